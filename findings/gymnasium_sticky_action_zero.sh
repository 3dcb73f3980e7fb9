#!/bin/sh
# Gymnasium 1.4.0: StickyAction with probability 0 changes where all episodes but the first begin.
#
# One would guess: an action that is repeated with probability 0 never is, so the wrapper does nothing.
# What happens: it draws a number at every step, from the random numbers of the environment itself.  The next reset
#   then draws others than without the wrapper, and which ones depends on how long the episode was.
# Where it matters: comparing agents or probabilities on the same episodes by one seed: with the wrapper the second
#   episode of two agents begins in two places.  A seed for each reset keeps them alike.
# Source: Farama-Foundation/Gymnasium, gymnasium/wrappers/stateful_action.py, StickyAction.action.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q mujoco==4.0.0 'gymnasium[mujoco]==1.4.0' numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import sys

import gymnasium
import mujoco
import numpy as np

print("gymnasium", gymnasium.__version__, "mujoco", mujoco.__version__)


def second_start(sticky, action):
    """Steps of the first episode of a hopper that always does the same, and where its second one begins."""
    env = gymnasium.make("Hopper-v5")
    env = gymnasium.wrappers.StickyAction(env, repeat_action_probability=0.0) if sticky else env
    env.reset(seed=0)
    steps, ended = 0, False
    while not ended:
        _, _, terminated, truncated, _ = env.step(np.full(3, action, np.float32))
        steps, ended = steps + 1, terminated or truncated
    return steps, env.reset()[0]


starts = {}
for sticky in False, True:
    for action in 0.0, 1.0:
        steps, starts[sticky, action] = second_start(sticky, action)
        text = np.array2string(starts[sticky, action][:4], precision=5)
        print(f"StickyAction: {sticky!s:5}  action {action}: {steps:3} steps, the second episode begins at {text} ...")
bare = np.array_equal(starts[False, 0.0], starts[False, 1.0])
wrapped = np.array_equal(starts[True, 0.0], starts[True, 1.0])
sys.exit(not (bare and not wrapped and not np.array_equal(starts[False, 0.0], starts[True, 0.0])))
PYTHON
