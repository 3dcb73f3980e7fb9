#!/bin/sh
# Gymnasium 1.1.0 to 1.3.0: RecordEpisodeStatistics leaves out the first step of every episode but the first, around a
# vector environment with same-step autoreset; 1.4.0 counts right.
#
# One would guess: lengths and returns in infos["episode"] are those of the episodes, since the wrapper asks for the
#   environment's autoreset mode and refuses one that it does not know.
# What happens: it stores the mode and never uses it.  After each end it skips a step, the one in which next-step
#   autoreset resets; with same-step autoreset that is the first real step of the next episode.  Episodes of 5 steps are
#   reported as 5, 4, 4, 4, ... and each return lacks its first reward; no warning.
# Where it matters: any training curve from SyncVectorEnv(..., autoreset_mode=SAME_STEP) or an environment like it; an
#   environment can do nothing about it, the wrapper sees only rewards and ends.
# Source: gymnasium/wrappers/vector/common.py in both releases.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat > "$dir/count.py" <<'PYTHON'
import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

env = SyncVectorEnv([lambda: gym.make("Pendulum-v1", max_episode_steps=5)], autoreset_mode=AutoresetMode.SAME_STEP)
env = gym.wrappers.vector.RecordEpisodeStatistics(env)
env.reset(seed=0)
lengths = []
for _ in range(20):
    infos = env.step(np.zeros((1, 1), np.float32))[-1]
    lengths += infos["episode"]["l"].tolist() if "episode" in infos else []
print("gymnasium", gym.__version__, "reports episodes of 5 steps as", lengths)
PYTHON
python3 -m venv "$dir/venv"
said=""
for release in 1.1.0 1.3.0 1.4.0; do
    "$dir/venv/bin/pip" install -q "gymnasium==$release" numpy
    line=$("$dir/venv/bin/python" "$dir/count.py")
    echo "$line"
    said="$said${line##* as };"
done
test "$said" = "[5, 4, 4, 4];[5, 4, 4, 4];[5, 5, 5, 5];"
