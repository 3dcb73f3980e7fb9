"""ex15: models that predict a mean and a variance."""

LOW, HIGH = -8.0, 0.5  # bounds of the log-variance of normalised differences [nats]


def bounded(raw):
    """Squeeze any number smoothly into [LOW, HIGH]: arXiv:1805.12114, appendix.

    Nearly the identity in the middle of the interval; outside it the slope is small but never 0, so that a network can
    find its way back.  Write it with autograd.numpy: it will be differentiated.  raw (...) -> log-variance (...)
    """
    raise NotImplementedError("ex15: bounded is still to be written")


def nll(phi, x, y, sizes):
    """Negative log-likelihood [nats] of y under the member's Gaussians, summed over coordinates, mean over the rows.

    The network has 2 S outputs: first S means, then S raw log-variances, to be `bounded`.  With autograd.numpy.
    phi (P,), x (B, sizes[0]), y (B, S) normalised differences, sizes[-1] = 2 S -> scalar
    """
    raise NotImplementedError("ex15: nll is still to be written")


def difference(phi, x, eps, sizes):
    """Normalised differences drawn from the member's Gaussians: mean + sigma * eps.

    phi (P,), x (B, sizes[0]), eps (B, S) standard normal noise -> (B, S)
    """
    raise NotImplementedError("ex15: difference is still to be written")
