"""ex02: density and divergence of diagonal Gaussian policies."""


def log_prob(act, mu, log_std):
    """Log-density of a diagonal Gaussian [nats], summed over the action's coordinates.

    act, mu (B, A), log_std (A,) -> (B,)
    """
    raise NotImplementedError("ex02: log_prob is still to be written")


def kl_gauss(mu_old, log_std_old, mu, log_std):
    """KL(old || new) of two diagonal Gaussians [nats], summed over the action's coordinates.

    The divergence in the constraint of Eq. (14) of arXiv:1502.05477.  mu_old, mu (B, A), log_std_old, log_std (A,)
    -> (B,)
    """
    raise NotImplementedError("ex02: kl_gauss is still to be written")
