"""ex03: dynamics models learn normalised differences."""


def targets(obs, next_obs):
    """What a dynamics model is to learn: next_obs - obs, normalised per coordinate.

    obs, next_obs (N, S) -> y (N, S), mean (S,), scale (S,), where y = (next_obs - obs - mean) / scale has mean 0 and
    standard deviation 1.  A coordinate that always changes by the same (a standard deviation below 1e-6: there is
    rounding) has scale 1, so that nothing is divided by 0.
    """
    raise NotImplementedError("ex03: targets is still to be written")


def predict(dynamics, obs, act, member, cfg):
    """The next observations that one member expects: Algorithm 2 of arXiv:2006.03647, "imagined rollouts".

    The network of that member, nets.mlp(dynamics.phi[member], x, bremen.model_sizes(cfg)), takes normalised
    [obs, act] and returns a normalised difference.  dynamics.inputs and dynamics.delta are nets.Normalizer: fields
    mean and scale.  obs (B, S), act (B, A), member (int) -> (B, S), in the unit of obs
    """
    raise NotImplementedError("ex03: predict is still to be written")
