#!/bin/sh
# OGBench 1.2.2: env.reset(seed=0) does not decide where a maze's episode begins, nor its goal, nor its task.
#
# One would guess: as in Gymnasium, the same seed is the same episode.
# What happens: start, goal and task are drawn from NumPy's global generator; the seed decides only the small noise on
#   the joints.  The same holds for environments of a single task.  With np.random.seed before each reset the start
#   repeats.
# Where it matters: agents that are compared "on the same seeds" run different mazes; a run that sets no global seed
#   cannot be repeated; two environments in one process share one stream.
# Source: seohongpark/ogbench, ogbench/locomaze/maze.py, reset and set_goal (np.random).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q ogbench==1.2.2 gymnasium==1.4.0 mujoco==4.0.0 dm_control==1.0.47 numpy==2.4.6
TMPDIR="$dir" "$dir/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import ogbench

print(*(f"{name} {version(name)}" for name in ("ogbench", "gymnasium", "mujoco", "numpy")))
env = ogbench.make_env_and_datasets("antmaze-medium-navigate-v0", env_only=True)


def start(global_seed=None):
    """Where the ant stands after reset(seed=0), and its task."""
    if global_seed is not None:
        np.random.seed(global_seed)
    observation, _ = env.reset(seed=0)
    return observation[:2].round(3).tolist(), env.unwrapped.cur_task_id


np.random.seed(1)
free = [start() for _ in range(4)]
held = [start(7) for _ in range(4)]
print("reset(seed=0), four times:", *free)
print("the same after np.random.seed(7):", *held)
sys.exit(not (len({str(x) for x in free}) > 1 and len({str(x) for x in held}) == 1))
PYTHON
