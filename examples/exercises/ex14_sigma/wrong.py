"""Tests that prove too little or demand too much."""

import numpy as np
from scipy.stats import norm

import nets

NET = nets.Net((2, 1), 1.0)


def acted(act, sigma, n=1000):
    rng = np.random.default_rng(0)
    obs, theta = rng.standard_normal((n, 2)), np.array([1.0, -1.0, 0.5, np.log(sigma)])
    mu = nets.mlp(theta, obs, *NET)
    return mu, *act(theta, obs, NET, rng)


def one_sigma(act):
    mu, action, log_prob = acted(act, 0.1)
    assert np.allclose(log_prob, norm.logpdf(action, mu, 0.1)[:, 0]) and 0.09 < (action - mu).std() < 0.11


def density_only(act):
    for sigma in (0.02, 0.5, 1.0):
        mu, action, log_prob = acted(act, sigma)
        assert np.allclose(log_prob, norm.logpdf(action, mu, sigma)[:, 0])


def samples_only(act):
    for sigma in (0.02, 0.5):
        mu, action, _ = acted(act, sigma)
        assert 0.85 < (action - mu).std() / sigma < 1.15


def too_exact(act):
    mu, action, _ = acted(act, 0.5)
    assert abs((action - mu).std() - 0.5) < 1e-4, "the standard deviation of 1000 samples must be 0.5"


WRONG = {
    "too weak: it only tries sigma = 0.1": one_sigma,
    "too weak: it only looks at the density": density_only,
    "too weak: it only looks at the samples": samples_only,
    "too strict: 1000 samples are not that exact": too_exact,
}
