#!/bin/sh
# OGBench 1.2.2: in the teleport mazes step() returns the observation from before the jump, and so do the datasets.
#
# One would guess: the observation that step() returns is that of the state in which the next action acts.
# What happens: the robot is moved after the observation was made.  The next step starts elsewhere: in the row of the
#   jump an observation is not what qpos of the same row says, though in all others both are equal.
# Where it matters: models and value functions learn that an action at the portal's mouth moves the robot from there; the
#   rewards of the single-task data are made from qpos, so they are of another place than the observation beside them.
# Source: seohongpark/ogbench, ogbench/locomaze/maze.py, step of the teleport mazes.
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
np.random.seed(0)
env = ogbench.make_env_and_datasets("pointmaze-teleport-navigate-v0", env_only=True)
env.reset(seed=0, options={"task_id": 1})
portal = np.array(env.unwrapped._teleport_info["teleport_in_xys"][0], float)
env.unwrapped.set_xy(portal + [3.0, 0.0])
rows = []
for _ in range(14):  # to the left, through the portal and on
    observation, _, _, _, info = env.step(np.array([-1.0, 0.0]))
    rows.append((observation, info["qpos"], info["prev_qpos"]))
gaps = [float(np.abs(rows[i][0] - rows[i + 1][2]).max()) for i in range(len(rows) - 1)]
for i, gap in enumerate(gaps):
    if gap > 1e-6:
        print(f"step {i}: observed {rows[i][0].round(2)}, but the next action acts at {rows[i + 1][2].round(2)}")
jumps = sum(gap > 0.5 for gap in gaps)
print(f"{len(gaps) - jumps} of {len(gaps)} steps observe where the next action acts; {jumps} do not")
sys.exit(not (jumps >= 1 and sorted(gaps)[len(gaps) // 2] < 1e-6))
PYTHON
