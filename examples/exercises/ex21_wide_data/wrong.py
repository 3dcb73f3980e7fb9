"""Plausible wrong answers to ex21."""

import numpy as np


def on_top(policy, std):
    return lambda obs, rng: (a := policy.sample(obs, rng)) + std * policy.net.limit * rng.standard_normal(a.shape)


def absolute(policy, std):
    return lambda obs, rng: (a := policy.mean(obs)) + std * rng.standard_normal(a.shape)


def one_for_all(policy, std):
    return lambda obs, rng: (a := policy.mean(obs)) + std * policy.net.limit * rng.standard_normal(a.shape[1:])


def clipped(policy, std):
    limit = policy.net.limit
    return lambda obs, rng: np.clip((a := policy.mean(obs)) + std * limit * rng.standard_normal(a.shape), -limit, limit)


def multiplied(policy, std):
    return lambda obs, rng: (a := policy.mean(obs)) * (1 + std * rng.standard_normal(a.shape))


def own_generator(policy, std):
    mine = np.random.default_rng(0)
    return lambda obs, rng: (a := policy.mean(obs)) + std * policy.net.limit * mine.standard_normal(a.shape)


WRONG = {
    "noise on top of the policy's own": on_top,
    "sigma in the unit of the action": absolute,
    "the same noise for all robots": one_for_all,
    "clipped actions": clipped,
    "noise as a share of the action": multiplied,
    "another generator than the one that is given": own_generator,
}
