#!/bin/sh
# d3rlpy 2.8.1: two algorithms made from one config share one scaler, so the second is normalised by the first one's
#   data.
#
# One would guess: config.create() makes a new, independent algorithm each time, and fit takes the mean and spread of
#   the dataset it is given.
# What happens: the scaler is an object in the config, and a scaler that has statistics is not fitted again.  The
#   second algorithm, on another dataset, uses those of the first, without a word.
# Where it matters: a loop over datasets or tasks with one config (over seeds with the same data nothing changes): of
#   data that are a hundred times as large the second network sees inputs of about 100.  copy.deepcopy(config) before
#   each create() keeps them apart.
# Source: takuseno/d3rlpy, d3rlpy/base.py (create hands the config on) and d3rlpy/algos/utility.py,
#   build_scalers_with_transition_picker (only a scaler without statistics is fitted).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q d3rlpy==2.8.1 torch==2.13.0 numpy==2.4.6
"$dir/venv/bin/python" -W ignore - <<'PYTHON'
import copy
import sys
from importlib.metadata import version

import numpy as np
import structlog
from d3rlpy.algos import TD3PlusBCConfig
from d3rlpy.dataset import MDPDataset
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import StandardObservationScaler

from d3rlpy import ActionSpace

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
print(*(f"{name} {version(name)}" for name in ("d3rlpy", "torch", "numpy")))


def data(spread):
    rng = np.random.default_rng(0)
    obs, act = spread * rng.standard_normal((200, 3), np.float32), rng.uniform(-1, 1, (200, 1)).astype(np.float32)
    return MDPDataset(obs, act, np.ones(200, np.float32), np.arange(200) % 20 == 19, action_space=ActionSpace.CONTINUOUS)


def fitted(config, dataset):
    algorithm = config.create()
    algorithm.fit(dataset, n_steps=1, n_steps_per_epoch=1, show_progress=False, logger_adapter=NoopAdapterFactory())
    return algorithm


seen = {}
for way, of in ("one config", lambda c: c), ("deepcopy(config)", copy.deepcopy):
    config = TD3PlusBCConfig(observation_scaler=StandardObservationScaler())
    first, second = (fitted(of(config), data(spread)) for spread in (1, 100))
    seen[way] = first.observation_scaler.std.mean(), second.observation_scaler.std.mean()
    print(f"{way:17} spread of data 1 and 100, scalers' std {seen[way][0]:.2f} and {seen[way][1]:.2f}, "
          f"the same object: {first.observation_scaler is second.observation_scaler}")
sys.exit(not (seen["one config"][0] == seen["one config"][1] < 2 and seen["deepcopy(config)"][1] > 50))
PYTHON
