#!/bin/sh
# d3rlpy 2.8.1: an online buffer glues an episode of one step to the next episode, and its end is lost.
#
# One would guess: append(...) and clip_episode(True) store an episode of one terminal transition.
# What happens: clip_episode returns early where the episode has no finished transition yet, and that is so after one
#   step. The next step is then appended to the same episode.  There is a transition from the first episode's
#   observation to the second's, which is not terminal, and the first episode's own terminal is nowhere.
# Where it matters: collect and fit_online where an episode may end with its first step: bandits, one-shot decisions,
#   robots that begin beyond a limit.  With discount g a value learns 1 + g V(somewhere else) instead of 1. The
#   offline constructor, MDPDataset, stores the same data right.
# Source: takuseno/d3rlpy, d3rlpy/dataset/writers.py, ExperienceWriter.clip_episode and
#   _ActiveEpisode.transition_count.
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
from d3rlpy.dataset import InfiniteBuffer, MDPDataset, ReplayBuffer, Signature

from d3rlpy import ActionSpace

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
print(*(f"{name} {version(name)}" for name in ("d3rlpy", "torch", "numpy")))
WRITTEN = (3, 1, 4, 1, 1, 2)  # steps of six episodes, each of which terminates


def transitions(replay):
    return [replay.transition_picker(*replay.buffer[i]) for i in range(replay.transition_count)]


def told(name, replay):
    lengths, ends = [len(e) for e in replay.episodes], [int(t.terminal) for t in transitions(replay)]
    print(f"{name:8} lengths of episodes {lengths}, terminal flags of transitions {ends}")
    return lengths, ends


n = sum(WRITTEN)
obs, act, rew = np.arange(n, dtype=np.float32)[:, None], np.zeros((n, 1), np.float32), np.ones(n, np.float32)
last = np.isin(np.arange(n), np.cumsum(WRITTEN) - 1)
print("written  lengths of episodes", list(WRITTEN), "terminal flags of transitions", last.astype(int).tolist())
about = dict(action_space=ActionSpace.CONTINUOUS, action_size=1)
offline = told("offline", MDPDataset(obs, act, rew, last, **about))
like = Signature([np.dtype(np.float32)], [(1,)])
about |= dict(observation_signature=like, action_signature=like, reward_signature=like)
online = ReplayBuffer(InfiniteBuffer(), **about)
for row in range(n):
    online.append(obs[row], act[row], float(rew[row]))
    if last[row]:
        online.clip_episode(True)
lengths, ends = told("online", online)
bridge = [t for t in transitions(online) if t.observation[0] == 3][0]  # row 3 is the episode of one step
print(f"online, the second episode: from {bridge.observation[0]:.0f} to {bridge.next_observation[0]:.0f}, which is the "
      f"third's beginning, terminal {bridge.terminal:.0f}")
same = offline == (list(WRITTEN), last.astype(int).tolist()) and lengths == [3, 5, 2, 2] and bridge.terminal == 0
sys.exit(not (same and bridge.next_observation[0] == 4))
PYTHON
