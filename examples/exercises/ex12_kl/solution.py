"""A test that exposes the bug of ex12: the old sigma and the new one differ.

Answer: learn_std: while sigma stays as it is, both KLs are the same number. KL(new || old) grows like log(old / new
sigma) as sigma shrinks, the right one like the square of that ratio: the wrong constraint lets it shrink too fast
(and holds it back where it would grow).
"""

import numpy as np

import nets
import trpo


def test(surrogate_and_kl):
    net, n = nets.Net((1, 1)), 3
    zeros = np.zeros((n, 1))
    rows = trpo.Rows(zeros, zeros, np.ones(n), zeros, np.zeros(1))  # old policy: mean 0, sigma 1
    theta = np.array([0.0, 1.0, np.log(2.0)])  # new policy: mean 1, sigma 2
    surrogate, kl = surrogate_and_kl(theta, rows, net)
    # by hand: log 2 + (1 + 1) / 8 - 1/2 in each row; the other way round it would be -log 2 + (4 + 1) / 2 - 1/2
    assert np.isclose(kl, n * (np.log(2) - 0.25)), f"KL(old || new) of three rows is 1.329, not {kl:.3f}"
    # ratio at action 0: exp(-1/8) / 2
    assert np.isclose(surrogate, n * np.exp(-1 / 8) / 2), f"the surrogate of three rows is 1.324, not {surrogate:.3f}"
