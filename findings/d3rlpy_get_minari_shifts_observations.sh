#!/bin/sh
# d3rlpy 2.8.1: get_minari pairs the actions and rewards of episode k with observations of k steps earlier.
#
# One would guess: the dataset that d3rlpy.datasets.get_minari returns has the transitions of the Minari dataset.
# What happens: a Minari episode of T steps has T actions and T + 1 observations.  get_minari joins all observations
#   and all actions, and MDPDataset cuts both at the same places.  So episode 0 is right, in episode 1 each action
#   stands beside the observation before the right one, in episode k beside that of k steps before, across episodes'
#   ends. Lengths, returns, shapes and the number of transitions are as they should be, and nothing is said.
# Where it matters: every method of d3rlpy on a Minari dataset of more than one episode; with a thousand episodes the
#   last ones are 999 steps off.  MDPDataset made by hand from observations[:-1] of each episode is right.
# Source: takuseno/d3rlpy, d3rlpy/datasets.py, get_minari; dataset/episode_generator.py cuts.  A Minari episode has
#   one observation more than actions: Minari's documentation, "Dataset standards".
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q d3rlpy==2.8.1 'minari[hdf5]==0.5.4' gymnasium==1.0.0 torch==2.13.0 numpy==2.4.6 \
    pillow==13.0.0
MINARI_DATASETS_PATH="$dir/minari" "$dir/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import gymnasium
import minari
import numpy as np
import structlog
from minari.data_collector import EpisodeBuffer

import d3rlpy

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
print(*(f"{name} {version(name)}" for name in ("d3rlpy", "minari", "gymnasium", "torch", "numpy")))
T, EPISODES = 20, 200
env = gymnasium.make("Pendulum-v1", max_episode_steps=T)


def policy(obs):
    return np.clip(-(10 * obs[..., 1:2] + obs[..., 2:3]), -2, 2)


def rewards(obs, act):  # Pendulum's own, which depends on nothing else
    return -(np.arctan2(obs[:, 1], obs[:, 0]) ** 2 + 0.1 * obs[:, 2] ** 2 + 0.001 * act[:, 0] ** 2)


def episode(seed):
    obs = [env.reset(seed=seed)[0]]
    steps = []
    for _ in range(T):
        act = policy(obs[-1])
        new, *rest, _ = env.step(act)
        obs.append(new)
        steps.append((act, *rest))
    act, rew, terminated, truncated = (list(column) for column in zip(*steps))
    return EpisodeBuffer(observations=np.array(obs), actions=np.array(act), rewards=rew, terminations=terminated,
                         truncations=truncated)


def right(obs, act, rew):  # how many rows have the reward of their observation and action
    return int(np.isclose(rewards(obs, act), rew, atol=1e-3).sum())


dataset = minari.create_dataset_from_buffers("pendulum/policy-v0", [episode(k) for k in range(EPISODES)], env=env)
stored = list(dataset.iterate_episodes())
print("Minari: rows with the right reward:", sum(right(e.observations[:-1], e.actions, e.rewards) for e in stored))
got, _ = d3rlpy.datasets.get_minari("pendulum/policy-v0")
counts = [right(e.observations, e.actions, e.rewards[:, 0]) for e in got.episodes]
print(f"d3rlpy: rows with the right reward: {sum(counts)} of {EPISODES * T}; in episodes 0 to 3: {counts[:4]} of {T} each")
all_obs = np.concatenate([e.observations for e in stored])
shifted = [np.array_equal(e.observations, all_obs[k * T : (k + 1) * T]) for k, e in enumerate(got.episodes)]
k, step = divmod((EPISODES - 1) * T, T + 1)
print(f"observations of d3rlpy's episode {EPISODES - 1} begin at step {step} of Minari's episode {k}")
returns = [np.isclose(e.compute_return(), sum(m.rewards), atol=1e-3) for e, m in zip(got.episodes, stored)]
lengths = {len(e) for e in got.episodes}
print("as in Minari:", len(got.episodes), "episodes, their lengths", lengths, "and returns", all(returns))
sys.exit(not (all(shifted) and counts[0] == T and sum(counts) < EPISODES * T / 10 and all(returns)))
PYTHON
