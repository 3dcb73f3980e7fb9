#!/bin/sh
# d3rlpy 2.8.1: fit(dataset, n_steps=5000) trains for no step at all, and fit(dataset, n_steps=15000) for 10,000.
#
# One would guess: fit makes as many gradient steps as it is asked for.
# What happens: it makes n_steps // n_steps_per_epoch whole epochs, and an epoch has 10,000 steps where nothing is
#   said.  The rest is left out without a word: fewer steps than an epoch give an empty list, and a policy that is
#   still random.
# Where it matters: quick trials, learning curves against small budgets, comparisons "after the same number of steps".
#   n_steps_per_epoch that divides n_steps keeps all of them.
# Source: takuseno/d3rlpy, d3rlpy/algos/qlearning/base.py, fitter.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q d3rlpy==2.8.1 torch==2.13.0 numpy==2.4.6
"$dir/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import structlog
from d3rlpy.algos import BCConfig
from d3rlpy.dataset import MDPDataset
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models import VectorEncoderFactory

from d3rlpy import ActionSpace

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
print(*(f"{name} {version(name)}" for name in ("d3rlpy", "torch", "numpy")))
rng = np.random.default_rng(0)
obs, act = rng.standard_normal((200, 3), np.float32), rng.uniform(-1, 1, (200, 1)).astype(np.float32)
data = MDPDataset(obs, act, np.ones(200, np.float32), np.arange(200) % 20 == 19, action_space=ActionSpace.CONTINUOUS)
seen = {}
for given in dict(n_steps=500), dict(n_steps=500, n_steps_per_epoch=400), dict(n_steps=500, n_steps_per_epoch=500):
    algorithm = BCConfig(batch_size=4, encoder_factory=VectorEncoderFactory([8])).create()
    epochs = algorithm.fit(data, **given, show_progress=False, logger_adapter=NoopAdapterFactory())
    seen[given.get("n_steps_per_epoch")] = algorithm.grad_step, len(epochs)
    print("fit", given, "-> gradient steps", algorithm.grad_step, "epochs", len(epochs))
sys.exit(seen != {None: (0, 0), 400: (400, 1), 500: (500, 1)})
PYTHON
