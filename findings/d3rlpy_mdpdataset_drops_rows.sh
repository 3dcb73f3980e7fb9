#!/bin/sh
# d3rlpy 2.8.1: MDPDataset forgets all rows after the last flag, and samples no last row of an episode that timed out.
#
# One would guess: a dataset of N rows has N rows, or refuses those that it cannot use.
# What happens: rows after the last terminal or timeout belong to no episode and are gone.  Of an episode with a
#   timeout the last row is kept but is no transition, for there is no next observation to take; one of a single step
#   is gone. Nothing is said.
# Where it matters: a file that is cut at a round number of rows loses its last episode.  Of robots that never fall, 1
#   row in 1,000 is not learnt from, and it is always the last one.
# Source: takuseno/d3rlpy, d3rlpy/dataset/episode_generator.py (EpisodeGenerator), components.py (transition_count).
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
from d3rlpy.dataset import MDPDataset

from d3rlpy import ActionSpace

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
print(*(f"{name} {version(name)}" for name in ("d3rlpy", "torch", "numpy")))
N = 12
obs, act, rew = np.arange(N, dtype=np.float32)[:, None], np.zeros((N, 1), np.float32), np.ones(N, np.float32)


def kept(terminals, timeouts):
    """Rows in its episodes, and rows that it samples."""
    flags = [np.isin(np.arange(N), rows) for rows in (terminals, timeouts)]
    data = MDPDataset(obs, act, rew, *flags, action_space=ActionSpace.CONTINUOUS, action_size=1)
    sampled = [data.transition_picker(*data.buffer[i]).observation[0] for i in range(data.transition_count)]
    return sum(len(e) for e in data.episodes), sorted(int(row) for row in sampled)


right = True
for terminals, timeouts, rows, sampled in (
    ([3, 7, 11], [], 12, [*range(12)]),
    ([3, 7], [], 8, [*range(8)]),
    ([], [3, 7, 11], 12, [0, 1, 2, 4, 5, 6, 8, 9, 10]),
    ([11], [0, 1, 2], 9, [*range(3, 12)]),
):
    found = kept(terminals, timeouts)
    right &= found == (rows, sampled)
    print(f"{N} rows, terminals {terminals}, timeouts {timeouts}: {found[0]} in episodes, sampled {found[1]}")
sys.exit(not right)
PYTHON
