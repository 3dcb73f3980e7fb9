"""What a right answer to ex07 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path
from unittest import mock

import autograd.core
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import nets

NET = nets.Net((3, 4, 2), 1.5)  # two actions, squashed to 1.5


def policy(theta, obs):
    return nets.gaussian(theta, obs, NET)


def matrix(theta, obs):
    """F entry by entry, from derivatives of mean and log sigma by finite differences: no product with any vector."""
    steps = 1e-6 * np.eye(len(theta))
    J = np.stack([(policy(theta + d, obs)[0] - policy(theta - d, obs)[0]) / 2e-6 for d in steps], axis=-1)  # (B, A, P)
    F = np.einsum("bap,a,baq->pq", J, np.exp(-2 * theta[-2:]), J) / len(obs)
    F[-2:, -2:] += 2 * np.eye(2)
    return F


def refused(*_):
    raise AssertionError("by autograd: derivatives by hand (nets.mlp_jvp, nets.mlp_vjp) are the other way")


def traced(*_):
    raise AssertionError("by hand: autograd is the other way")


def check(fisher_by_hand, fisher_by_autograd):
    """Column by column against the whole matrix, and along a line against the KL that it is to approximate."""
    rng = np.random.default_rng(0)
    theta, obs = 0.5 * rng.standard_normal(nets.n_params(NET.sizes) + 2), rng.standard_normal((20, 3))
    theta[-2:] = -0.7, 0.4
    F, v = matrix(theta, obs), rng.standard_normal(len(theta))
    for name, product in (("by hand", fisher_by_hand), ("by autograd", fisher_by_autograd)):
        got = product(theta, obs, v, NET)
        assert np.any(got), f"{name}: F v is 0 everywhere: do both arguments of the KL move with theta?"
        judge.close(got[-2:], 2 * v[-2:], f"{name}: for log sigma the metric is 2, whatever sigma is")
        judge.close(got, F @ v, f"{name}: F v is not that of the matrix J^T M J, mean over the rows", 1e-4, 1e-6)
        double = product(theta, np.concatenate([obs, obs]), v, NET)
        judge.close(double, got, f"{name}: the same rows twice must not change a mean over the rows")
    by_hand, by_autograd = (f(theta, obs, v, NET) for f in (fisher_by_hand, fisher_by_autograd))
    judge.close(by_hand, by_autograd, "the two ways must agree to many digits: they are one formula", 1e-9, 1e-11)
    with mock.patch.multiple(nets, mlp_jvp=refused, mlp_vjp=refused):
        fisher_by_autograd(theta, obs, v, NET)
    with mock.patch.object(autograd.core, "trace", traced):  # every derivative of autograd begins there
        fisher_by_hand(theta, obs, v, NET)
    u = 1e-3 * v
    kl = np.mean(nets.kl_gauss(*policy(theta, obs), *policy(theta + u, obs)))
    judge.close(u @ fisher_by_hand(theta, obs, u, NET) / 2, kl, "for a small step u, u^T F u / 2 must be the KL", 0.02)


if __name__ == "__main__":
    judge.main(check, __file__)
