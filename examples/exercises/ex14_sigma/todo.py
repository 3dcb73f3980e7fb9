"""ex14: a test of acting."""


def test(act):
    """AssertionError if the actions do not come from the density that `act` reports, and nothing if they do.

    act(theta, obs, net, rng) -> actions (N, A) sampled from N(mu(obs), sigma^2), not clipped, and their log-density
    (N,) [nats].  mu(obs) = nets.mlp(theta, obs, *net); log sigma (A,) are the last entries of theta (P,);
    obs (N, S), net a nets.Net (sizes, limit).  How `act` draws its noise from rng is its own affair.
    """
    raise NotImplementedError("ex14: the test is still to be written")
