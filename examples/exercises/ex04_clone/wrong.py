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


def by_hand(data, norm, cfg, rng, report=None, rows=None, keep=True, drawn=None):
    net, beta, obs = bremen.policy_net(cfg), bremen.new_policy(cfg, rng), norm(data.obs)
    mu = nets.split(beta, net.sizes)[0]
    moments = nets.adam_init(mu)
    for _ in range(cfg.clone_steps):
        i = (drawn or rng).integers(len(obs), size=cfg.clone_batch) if rows is None else rows
        after = nets.adam(mu, nets.squared_error_grad(mu, obs[i], data.act[i], *net), moments, cfg.clone_lr)
        moments = after if keep else moments
    return beta, {"clone_loss": nets.mean_loss(mu, obs, data.act, *net)}


WRONG = {
    "always the same rows": dict(clone=lambda *args: by_hand(*args, rows=np.arange(64))),
    "Adam always takes its first step": dict(clone=lambda *args: by_hand(*args, keep=False)),
    "rows from another generator": dict(clone=lambda *args: by_hand(*args, drawn=NOISE)),
    "the squared error of a sampled action, as in the original code": dict(loss=of_a_sample),
    "a mean over the action's coordinates": dict(loss=mean_of_all),
    "observations are not normalised": dict(clone=raw_observations),
    "log sigma is overwritten": dict(clone=sigma_of_one),
}
