#!/bin/sh
# Gymnasium 1.4.0: a partial reset makes RecordEpisodeStatistics forget the episodes of all environments.
#
# One would guess: reset(options={"reset_mask": mask}) begins new episodes where mask is True, and the wrapper goes on
#   counting the others; its code has a branch for just that.
# What happens: SyncVectorEnv and AsyncVectorEnv take "reset_mask" out of the caller's dict with options.pop, before the
#   wrapper looks for it there.  The wrapper never sees a mask and sets every length and return to 0: an episode of 6
#   steps is reported as one of 2, with the return of its last 2 steps, and nothing warns.
# Where it matters: with AutoresetMode.DISABLED, where a mask is the only way to go on after the end of an episode;
#   returns in logs are those of the last part of each episode.
# Source: gymnasium/vector/sync_vector_env.py, `reset_mask = options.pop("reset_mask")`, and
#   gymnasium/wrappers/vector/common.py, `if options is not None and "reset_mask" in options`.
# Way round: give the same mask again under a dict that keeps it (a subclass of dict whose pop is get).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q gymnasium==1.4.0 numpy
"$dir/venv/bin/python" - <<'PYTHON'
import sys

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics


class Keeping(dict):
    pop = dict.get


def lengths(kind):
    """Reported lengths of episodes whose true lengths are 4, 6 and 4 steps."""
    makers = [lambda n=n: gym.make("Pendulum-v1", max_episode_steps=n) for n in (4, 6)]
    env, found = RecordEpisodeStatistics(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.DISABLED)), []
    env.reset(seed=0)
    for _ in range(8):
        *_, terminated, truncated, infos = env.step(np.zeros((2, 1), np.float32))
        done = terminated | truncated
        if done.any():
            found += infos["episode"]["l"][done].tolist()
            env.reset(options=kind(reset_mask=done))
    return found


plain, kept = lengths(dict), lengths(Keeping)
print("gymnasium", gym.__version__, "python", sys.version.split()[0])
print("true lengths                [4, 6, 4]")
print("reported                   ", plain)
print("reported, mask not popped  ", kept)
sys.exit(not (plain == [4, 2, 2] and kept == [4, 6, 4]))
PYTHON
