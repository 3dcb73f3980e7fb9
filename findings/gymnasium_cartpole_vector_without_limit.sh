#!/bin/sh
# Gymnasium 1.4.0: max_episode_steps=-1, "no limit" for make, ends each episode of its vectorised CartPole at once.
#
# One would guess: make_vec("CartPole-v1", max_episode_steps=-1) has no time limit, as make and as make_vec with
#   vectorization_mode="sync" have none (the documentation of make: "Using max_episode_steps=-1 will not apply the
#   wrapper").
# What happens: make_vec hands -1 on to CartPoleVectorEnv, which compares `steps >= max_episode_steps`: each episode is
#   truncated in its first step, every second step is a reset, and no error or warning says so.
# Where it matters: returns of 1 instead of hundreds; a way to write "no limit" that works for one environment and
#   spoils another.  By default make_vec takes this class, not SyncVectorEnv.
# Source: gymnasium/envs/classic_control/cartpole.py, CartPoleVectorEnv.step; gymnasium/envs/registration.py, make_vec.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q gymnasium==1.4.0 numpy
"$dir/venv/bin/python" - <<'PYTHON'
import sys

import gymnasium as gym
import numpy as np

print("gymnasium", gym.__version__, "python", sys.version.split()[0])
ends = {}
for mode in ("vector_entry_point", "sync"):
    env = gym.make_vec("CartPole-v1", num_envs=1, vectorization_mode=mode, max_episode_steps=-1)
    env.reset(seed=0)
    ends[mode] = [bool(env.step(np.array([step % 2]))[3][0]) for step in range(6)]
    print(f"{mode:20}truncated after steps 1 to 6: {ends[mode]}")
sys.exit(not (ends["vector_entry_point"] == [True, False] * 3 and not any(ends["sync"])))
PYTHON
