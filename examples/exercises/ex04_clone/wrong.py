"""Plausible wrong answers to ex04."""

import numpy as np

import bremen
import nets

NOISE = np.random.default_rng(0)  # of its own, because `loss` is handed none: one more sign that something is wrong


def of_a_sample(theta, obs, act, net):
    return nets.squared_error(theta, obs, act + 0.1 * NOISE.standard_normal(act.shape), *net)


def mean_of_all(theta, obs, act, net):
    return np.mean((nets.mlp(theta, obs, *net) - act) ** 2) / 2


def raw_observations(data, norm, cfg, rng, report=bremen.ignore):
    nothing = nets.Normalizer(np.zeros_like(norm.mean), np.ones_like(norm.std))
    return bremen.clone_behavior(data, nothing, cfg, rng, report)


def sigma_of_one(data, norm, cfg, rng, report=bremen.ignore):
    beta, info = bremen.clone_behavior(data, norm, cfg, rng, report)
    beta[-1] = 0
    return beta, info


WRONG = {
    "the squared error of a sampled action, as in the original code": dict(loss=of_a_sample),
    "a mean over the action's coordinates": dict(loss=mean_of_all),
    "observations are not normalised": dict(clone=raw_observations),
    "log sigma is overwritten": dict(clone=sigma_of_one),
}
