"""ex12: a test of what the line search asks."""


def test(surrogate_and_kl):
    """AssertionError if `surrogate_and_kl` does not measure KL(old || new), and nothing if it does.

    surrogate_and_kl(theta, rows, net) -> [sum of ratio * advantage, sum of KL(old || new)] over rows, (2,): the
    objective and the constraint of Eq. (14) of arXiv:1502.05477, see trpo.surrogate_and_kl.  theta (P,) is the *new*
    policy: weights and biases, then log sigma (A,).  rows: trpo.Rows with obs (N, S), act (N, A), adv (N,) and the
    *old* policy's mu (N, A) and log_std (A,).  net a nets.Net (sizes, limit).
    """
    raise NotImplementedError("ex12: the test is still to be written")
