"""Tests that prove too little or demand too much."""

from types import SimpleNamespace

import numpy as np

import envs


def pendulums(sample, steps, limit=4):
    env = envs.TaskVectorEnv("pendulum", 3, max_episode_steps=limit)
    env.reset(seed=0)
    push = SimpleNamespace(sample=lambda obs, rng: rng.uniform(-3, 3, (len(obs), 1)))
    return sample(env, push, steps, np.random.default_rng(0))


def nothing_ends(sample):
    paths, _ = pendulums(sample, 3)
    assert np.array_equal(paths.obs[1:], paths.next_obs[:-1])


def no_jumps(sample):
    paths, _ = pendulums(sample, 10)
    assert np.abs(paths.next_obs - paths.obs).max() < 1.6, "a step of the pendulum is not that long"


def only_shapes(sample):
    paths, returns = pendulums(sample, 10)
    assert paths.next_obs.shape == (10, 3, 3) and np.isfinite(paths.next_obs).all() and len(returns) == 6


def never_ends(sample):
    paths, _ = pendulums(sample, 10)
    assert np.array_equal(paths.obs[1:], paths.next_obs[:-1]), "next_obs must be obs of the row below"


def wants_clipped_actions(sample):
    paths, _ = pendulums(sample, 10)
    assert np.abs(paths.act).max() <= 2, "actions must be within the limit"


WRONG = {
    "too weak: no episode ends in it": nothing_ends,
    "too weak: any next_obs that is near": no_jumps,
    "too weak: shapes, finite numbers, the count of episodes": only_shapes,
    "too strict: it wants next_obs to be obs of the row below everywhere": never_ends,
    "too strict: it wants clipped actions": wants_clipped_actions,
}
