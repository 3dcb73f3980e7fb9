#!/bin/sh
# Gymnasium 1.4.0: a copied or pickled InvertedDoublePendulum-v5 or InvertedPendulum-v5 has the default reward and
#   noise.
#
# One would guess: copy.deepcopy and pickle make an environment with the arguments that were given to make, for
#   EzPickle says that it builds the copy from its constructor's arguments; its state may be new.
# What happens: these two give EzPickle xml_file, frame_skip and reset_noise_scale, but the third argument of their
#   constructors is default_camera_config.  So the noise becomes a camera setting, and noise and healthy_reward of the
#   copy are the defaults.  make(env.spec) is right, and so are copies of Hopper-v5.
# Where it matters: copies for evaluation, environments that are sent to worker processes.
# Source: Farama-Foundation/Gymnasium, gymnasium/envs/mujoco/inverted_double_pendulum_v5.py and
#   inverted_pendulum_v5.py.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q mujoco==4.0.0 'gymnasium[mujoco]==1.4.0' numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import copy
import pickle
import sys

import gymnasium
import mujoco
import numpy as np

print("gymnasium", gymnasium.__version__, "mujoco", mujoco.__version__)
seen = {}
for name, given in {
    "InvertedDoublePendulum-v5": dict(healthy_reward=1.0, reset_noise_scale=0.0),
    "InvertedPendulum-v5": dict(reset_noise_scale=0.0),
    "Hopper-v5": dict(healthy_reward=3.0, reset_noise_scale=0.0),
}.items():
    env = gymnasium.make(name, **given)
    print(name, given)
    ways = {"original": env, "deepcopy": copy.deepcopy(env), "pickle": pickle.loads(pickle.dumps(env)),
            "make(env.spec)": gymnasium.make(env.spec)}
    for way, e in ways.items():
        starts = [e.reset(seed=k)[0] for k in range(2)]
        reward = e.step(np.zeros(e.action_space.shape, np.float32))[1]
        seen[name, way] = bool(np.array_equal(*starts)), round(float(reward), 3)
        print(f"  {way:15} every episode begins alike: {seen[name, way][0]}, reward of the first step {seen[name, way][1]}")
lost = [way for name, way in seen if name != "Hopper-v5" and not seen[name, way][0]]
rewards = [seen["InvertedDoublePendulum-v5", way][1] for way in ("original", "deepcopy", "pickle")]
kept = {seen["Hopper-v5", way] for way in ways}
sys.exit(not (lost == ["deepcopy", "pickle"] * 2 and rewards[0] < 1.1 < 9 < min(rewards[1:]) and len(kept) == 1))
PYTHON
