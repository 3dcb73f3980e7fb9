"""Another policy update: PPO's clipped surrogate instead of a trust region.  `python examples/parts/ppo_update.py`

Schulman et al., arXiv:1707.06347, Eq. (7): many small steps of Adam on an objective that stops rewarding a step once
the likelihood ratio of an action has changed by more than CLIP.  Autograd differentiates it; sigma stays fixed.
"""

import sys
from pathlib import Path

import autograd.numpy as anp
import numpy as np
from autograd import grad

sys.path.insert(0, str(Path(__file__).resolve().parent))  # missing with python -P
from trial import compare

import nets
import trpo

CLIP, EPOCHS, BATCH, LR = 0.2, 4, 500, 3e-4


def clipped_surrogate(theta, obs, act, adv, old, net):
    """Mean over rows of the smaller of ratio * advantage and clipped ratio * advantage.  old (N,): log-likelihoods"""
    mu, log_std = nets.gaussian(theta, obs, net)
    ratio = anp.exp(nets.log_prob(act, mu, log_std) - old)
    return anp.mean(anp.minimum(ratio * adv, anp.clip(ratio, 1 - CLIP, 1 + CLIP) * adv))


def improve(theta, critic, paths, norm, net, cfg, rng):
    """As trpo.improve.  -> theta (P,), critic, info"""
    obs, time, adv, target, _ = trpo.advantages(critic, paths, norm, cfg)
    adv = ((adv - adv.mean()) / (adv.std() + 1e-8)).astype(theta.dtype)
    mu, log_std = nets.gaussian(theta, obs, net)
    act = paths.act.reshape(mu.shape)
    old, new, gradient = nets.log_prob(act, mu, log_std), theta.copy(), grad(clipped_surrogate)
    moments = nets.adam_init(new)
    for _ in range(EPOCHS):
        order = rng.permutation(len(obs))
        for rows in (order[i : i + BATCH] for i in range(0, len(order), BATCH)):
            g = gradient(new, obs[rows], act[rows], adv[rows], old[rows], net).astype(theta.dtype)
            g[-len(log_std) :] = 0
            moments = nets.adam(new, -g, moments, LR)  # Adam descends
    kl = np.mean(nets.kl_gauss(mu, log_std, *nets.gaussian(new, obs, net)))
    return new, trpo.fit_value(critic, obs, time, target, cfg, rng), {"kl": float(kl)}


if __name__ == "__main__":
    compare(improve=improve)
