"""What a right answer to ex12 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import nets
import trpo

suspect = judge.load(Path(__file__).parent, "suspect")


def row_by_row(theta, rows, net):
    """A right one, a scalar at a time, with SciPy's densities."""
    mu, log_std = nets.gaussian(theta, rows.obs, net)
    surrogate = kl = 0.0
    for n, a in np.ndindex(*mu.shape):
        old, new = np.exp(rows.log_std[a]), np.exp(log_std[a])
        kl += np.log(new / old) + (old**2 + (mu[n, a] - rows.mu[n, a]) ** 2) / (2 * new**2) - 0.5
    for n in range(len(mu)):
        new = norm.pdf(rows.act[n], mu[n], np.exp(log_std)).prod()
        surrogate += rows.adv[n] * new / norm.pdf(rows.act[n], rows.mu[n], np.exp(rows.log_std)).prod()
    return np.array([surrogate, kl])


def old_sigma(theta, rows, net):
    """The KL of a policy whose sigma has not changed."""
    surrogate, _ = trpo.surrogate_and_kl(theta, rows, net)
    mu = nets.mlp(theta, rows.obs, *net)
    return np.array([surrogate, nets.kl_gauss(rows.mu, rows.log_std, mu, rows.log_std).sum()])


def check(test):
    """Right implementations must pass the test; a KL the wrong way round, or of means alone, must fail it."""
    right = {"trpo.surrogate_and_kl": trpo.surrogate_and_kl, "row by row with SciPy's densities": row_by_row}
    wrong = {"the bug in suspect.py": suspect.surrogate_and_kl, "a KL that knows only the old sigma": old_sigma}
    judge.exposes(test, right, wrong)


if __name__ == "__main__":
    judge.main(check, __file__)
