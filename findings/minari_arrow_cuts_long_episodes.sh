#!/bin/sh
# Minari 0.5.4: stored as arrow or parquet, an episode of 32,768 steps or more is read in pieces, and iterating gives
#   these pieces instead of the episodes that follow.
#
# One would guess: hdf5, arrow and parquet hold the same episodes, and list(dataset)[i] is dataset[i].
# What happens: PyArrow writes and scans pieces of at most 32,768 rows.  Minari takes each piece for an episode and
#   its last row for the padding, and pairs the pieces with the episodes' numbers until these are used up.
# Where it matters: logs of tasks that go on without an end, mazes of one long episode; filter_episodes, which
#   iterates, chooses by the wrong returns.  total_steps, and dataset[i] of a short episode, are right.
# Source: Farama-Foundation/Minari, minari/dataset/_storages/arrow_storage.py, get_episodes and update_episodes; issue
#   351 and pull request 352, open in September 2026.
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
STEPS = [70_000, 50, 60, 70]


def episode(number, steps):
    """Its observations are its number, and it pays its number for each step."""
    return EpisodeBuffer(observations=np.full((steps + 1, 1), number, np.float32), actions=np.zeros(steps, np.int64),
                         rewards=np.full(steps, float(number)), terminations=np.arange(steps) == steps - 1,
                         truncations=np.zeros(steps, bool))


spaces = dict(observation_space=Box(-np.inf, np.inf, (1,), np.float32), action_space=Discrete(2))
seen = {}
print("written: steps", STEPS, "of episodes", [*range(len(STEPS))])
for kind in "hdf5", "arrow", "parquet":
    buffers = [episode(i, n) for i, n in enumerate(STEPS)]
    dataset = minari.create_dataset_from_buffers(f"steps/{kind}-v0", buffers, data_format=kind, **spaces)
    got = list(dataset.iterate_episodes())
    seen[kind] = [len(e) for e in got], [int(e.observations[0, 0]) for e in got]
    chosen = dataset.filter_episodes(lambda e: e.rewards.sum() > 0).episode_indices.tolist()
    print(f"{kind:8} total_steps {dataset.total_steps}, iterating: steps {seen[kind][0]} of episodes {seen[kind][1]}; "
          f"dataset[3] has {len(dataset[3])}; return above 0: {chosen}")
whole, pieces = (STEPS, [0, 1, 2, 3]), [32_767, 32_767]
cut = all(seen[kind][0][:2] == pieces and seen[kind][1][:3] == [0, 0, 0] for kind in ("arrow", "parquet"))
sys.exit(not (seen["hdf5"] == whole and cut))
PYTHON
