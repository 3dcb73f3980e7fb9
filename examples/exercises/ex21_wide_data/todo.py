"""ex21: the same behaviour with another width."""


def with_noise(policy, std):
    """A behaviour policy that does on average what `policy` does, with noise of another width.

    policy: a nets.Policy; policy.mean(obs) is its mean action, policy.net.limit the largest action.  std: sigma of the
    noise, as a share of that limit; each action of each robot has noise of its own.  The simulator clips actions that
    are too large: leave them as they are.  -> function act(obs (B, S), rng: np.random.Generator) -> actions (B, A)
    """
    raise NotImplementedError("ex21: with_noise is still to be written")
