#!/bin/sh
# Minari 0.5.4: an episode that has as many observations as steps, stored as arrow or parquet, is read without its last
#   step: its last reward, and whether it terminated, are gone.
#
# One would guess: the three formats give back the same steps.  Minari takes such episodes (logs of others often have no
#   observation after the last step), and hdf5 gives back all of them.
# What happens: the writer pads the other columns to the number of observations, here by nothing; the reader cuts one
#   row off them in any case.  total_steps still counts the step.
# Where it matters: returns are too low by their last reward, which in goal tasks is the only one; no episode terminates.
# Source: Farama-Foundation/Minari, minari/dataset/_storages/arrow_storage.py, update_episodes and get_episodes.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q 'minari[hdf5,arrow]==0.5.4' gymnasium==1.4.0 numpy==2.4.6 pyarrow==26.0.1 pillow==13.0.0
MINARI_DATASETS_PATH="$dir/minari" "$dir/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import minari
import numpy as np
from gymnasium.spaces import Box, Discrete
from minari.data_collector import EpisodeBuffer

print(*(f"{name} {version(name)}" for name in ("minari", "pyarrow", "gymnasium", "numpy")))
STEPS = [5, 3]


def episode(steps, observations):
    """Only its last step pays, and ends it."""
    last = np.arange(steps) == steps - 1
    return EpisodeBuffer(observations=np.arange(observations, dtype=np.float32)[:, None], rewards=last.astype(float),
                         actions=np.zeros(steps, np.int64), terminations=last, truncations=np.zeros(steps, bool))


spaces = dict(observation_space=Box(-np.inf, np.inf, (1,), np.float32), action_space=Discrete(2))
seen = {}
for more in 1, 0:
    print(f"{STEPS} steps, {[n + more for n in STEPS]} observations, a reward of 1 at the end of each episode")
    for kind in "hdf5", "arrow", "parquet":
        buffers = [episode(n, n + more) for n in STEPS]
        dataset = minari.create_dataset_from_buffers(f"steps/{kind}{more}-v0", buffers, data_format=kind, **spaces)
        got = list(dataset.iterate_episodes())
        seen[kind, more] = [len(e.rewards) for e in got], [float(e.rewards.sum()) for e in got]
        print(f"    {kind:8} total_steps {dataset.total_steps}, steps {seen[kind, more][0]}, returns {seen[kind, more][1]}, "
              f"terminated {[bool(e.terminations.any()) for e in got]}")
whole, cut = (STEPS, [1.0, 1.0]), ([4, 2], [0.0, 0.0])
right = all(seen[kind, 1] == whole for kind in ("hdf5", "arrow", "parquet")) and seen["hdf5", 0] == whole
sys.exit(not (right and seen["arrow", 0] == seen["parquet", 0] == cut))
PYTHON
