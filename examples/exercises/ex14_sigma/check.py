"""What a right answer to ex14 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import nets

suspect = judge.load(Path(__file__).parent, "suspect")


def project(theta, obs, net, rng):
    """Acting as the project does."""
    nothing = nets.Normalizer(np.zeros(net.sizes[0]), np.ones(net.sizes[0]))
    action = nets.Policy(theta, nothing, net).sample(obs, rng)
    return action, nets.log_prob(action, *nets.gaussian(theta, obs, net))


def by_scipy(theta, obs, net, rng):
    """Another right one, with SciPy's samples and densities."""
    mu, sigma = nets.mlp(theta, obs, *net), np.exp(theta[-net.sizes[-1] :])
    action = norm.rvs(mu, sigma, random_state=rng)
    return action, norm.logpdf(action, mu, sigma).sum(axis=1)


def narrow_density(theta, obs, net, rng):
    """The original code after cloning: samples of one sigma, densities of exp(-5)."""
    action, _ = project(theta, obs, net, rng)
    return action, nets.log_prob(action, nets.mlp(theta, obs, *net), np.full(net.sizes[-1], -5.0))


def variance(theta, obs, net, rng):
    """Noise scaled by the variance."""
    mu, log_std = nets.mlp(theta, obs, *net), theta[-net.sizes[-1] :]
    action = mu + np.exp(2 * log_std) * rng.standard_normal(mu.shape)
    return action, nets.log_prob(action, mu, log_std)


def check(test):
    """Right ways to act must pass the test; two sigmas, wherever the second comes from, must fail it."""
    right = {"as nets.Policy": project, "with SciPy's samples": by_scipy}
    wrong = {
        "the bug in suspect.py": suspect.act,
        "densities with sigma = exp(-5)": narrow_density,
        "noise scaled by the variance": variance,
    }
    judge.exposes(test, right, wrong)


if __name__ == "__main__":
    judge.main(check, __file__)
