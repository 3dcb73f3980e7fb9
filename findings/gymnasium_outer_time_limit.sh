#!/bin/sh
# Gymnasium 1.4.0: TimeLimit around an environment of make() says 2,000 steps in its spec, ends after 1,000, and an
#   environment that is made from this spec runs 2,000.
#
# One would guess: env.spec describes env, so that make(env.spec) makes the like of it; that is what it is for.
# What happens: make() has put a TimeLimit of its own inside, which still ends the episode.  The outer one writes its
#   number over the spec's, and make(spec) then gives that number to the inner one.
# Where it matters: longer episodes for evaluation, specs that are stored beside data or policies: the copy's returns
#   are about twice as high.  make(name, max_episode_steps=2000) is right in both ways.
# Source: Farama-Foundation/Gymnasium, gymnasium/wrappers/common.py, TimeLimit.spec.
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


def steps(env):
    env.reset(seed=0)
    for n in range(1, 5000):
        if env.step(np.zeros(6, np.float32))[3]:
            return n


outer = gymnasium.wrappers.TimeLimit(gymnasium.make("HalfCheetah-v5"), 2000)
argument = gymnasium.make("HalfCheetah-v5", max_episode_steps=2000)
seen = {}
for name, env in {"TimeLimit(make(...), 2000)": outer, "make(..., max_episode_steps=2000)": argument}.items():
    seen[name] = env.spec.max_episode_steps, steps(env), steps(gymnasium.make(env.spec))
    print("{:34} spec says {}, truncated after {}, made again from its spec after {}".format(name, *seen[name]))
sys.exit([*seen.values()] != [(2000, 1000, 2000), (2000, 2000, 2000)])
PYTHON
