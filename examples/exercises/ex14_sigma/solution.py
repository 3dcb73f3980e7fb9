"""A test that exposes the bug of ex14: samples and densities are each held to log sigma, for several sigmas.

Answer: By (0.1 / exp(-5))^2 = 220: the KL of a change d of the mean is d^2 / (2 sigma^2).
"""

import numpy as np
from scipy.stats import norm

import nets


def test(act):
    rng, net, n = np.random.default_rng(0), nets.Net((2, 4, 2), 1.0), 4000
    obs = rng.standard_normal((n, 2))
    for sigma in ([0.5, 0.02], [0.1, 1.0]):
        theta = np.concatenate([rng.standard_normal(nets.n_params(net.sizes)), np.log(sigma)])
        mu = nets.mlp(theta, obs, *net)
        action, log_prob = act(theta, obs, net, rng)
        z = (action - mu) / sigma
        # a standard deviation of 4000 numbers is right to 1 / sqrt(8000) = 1.1 %; five times that never happens
        assert np.all(np.abs(z.std(axis=0) - 1) < 0.056), f"sampled with {(z * sigma).std(axis=0)}, not with {sigma}"
        assert np.all(np.abs(z.mean(axis=0)) < 0.08), "the samples are not around the mean action"
        assert np.allclose(log_prob, norm.logpdf(action, mu, sigma).sum(axis=1)), "not the density of sigma"
