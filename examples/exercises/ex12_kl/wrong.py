"""Tests that prove too little or demand too much."""

import numpy as np

import nets
import trpo

NET = nets.Net((1, 1))


def answer(f, mean, sigma, n=3):
    zeros = np.zeros((n, 1))
    rows = trpo.Rows(zeros, zeros, np.ones(n), zeros, np.zeros(1))  # old policy: mean 0, sigma 1
    return f(np.array([0.0, mean, np.log(sigma)]), rows, NET)


def one_sigma(f):
    assert np.isclose(answer(f, 1.0, 1.0)[1], 1.5), "moving three means by one sigma costs 1.5 nats"


def only_a_divergence(f):
    assert answer(f, 0.0, 1.0)[1] == 0 and all(answer(f, m, s)[1] > 0 for m in (0.1, 1.0) for s in (0.5, 2.0))


def wants_a_mean(f):
    assert np.isclose(answer(f, 1.0, 2.0)[1], np.log(2) - 0.25), "the mean KL over the rows"


WRONG = {
    "too weak: old and new sigma are the same": one_sigma,
    "too weak: positive, and 0 for the old policy": only_a_divergence,
    "too strict: it wants a mean where a sum was promised": wants_a_mean,
}
