"""What a right answer to ex02 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge


def integral(m_old, s_old, m, s):
    """KL(old || new) of two scalar Gaussians as what it is by definition: an integral."""
    old, new = norm(m_old, s_old), norm(m, s)
    return quad(lambda a: old.pdf(a) * (old.logpdf(a) - new.logpdf(a)), m_old - 9 * s_old, m_old + 9 * s_old)[0]


def check(log_prob, kl_gauss):
    """SciPy's density, and the divergence by numerical integration."""
    rng = np.random.default_rng(0)
    act, mu_old, mu = rng.standard_normal((3, 2, 2))
    log_std_old, log_std = np.array([-0.5, 0.3]), np.array([0.2, -0.1])

    at_mean = log_prob(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1))
    judge.close(at_mean, [-0.5 * np.log(2 * np.pi)], "log_prob: the standard normal at 0 has density 1/sqrt(2 pi)")
    wanted = norm.logpdf(act, mu, np.exp(log_std)).sum(axis=1)
    given = act.copy(), mu.copy(), log_std.copy()
    judge.close(log_prob(*given), wanted, "log_prob disagrees with scipy.stats.norm.logpdf, summed over A")

    assert all(map(np.array_equal, given, (act, mu, log_std))), "log_prob: act, mu or log_std was changed by the call"
    same = kl_gauss(mu, log_std, mu, log_std)
    judge.close(same, np.zeros(2), "kl_gauss of a policy and itself must be 0 in every row")
    moved = kl_gauss(np.zeros((1, 1)), np.log([0.1]), np.full((1, 1), 0.2), np.log([0.1]))
    judge.close(moved, [2.0], "kl_gauss: with one sigma, moving the mean by 2 sigma costs 2^2 / 2 = 2 nats")
    got = kl_gauss(mu_old, log_std_old, mu, log_std)
    pairs = zip(mu_old.ravel(), np.tile(np.exp(log_std_old), 2), mu.ravel(), np.tile(np.exp(log_std), 2))
    wanted = np.array([integral(*pair) for pair in pairs]).reshape(2, 2).sum(axis=1)
    judge.close(got, wanted, "kl_gauss disagrees with the integral of p_old log(p_old / p_new), summed over A")


if __name__ == "__main__":
    judge.main(check, __file__)
