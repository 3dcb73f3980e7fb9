"""Acting, and saying how likely the action was."""

import nets

STD = 0.1  # of every action that is sampled


def act(theta, obs, net, rng):
    """Sample actions and give their log-density [nats].  obs (N, S) -> act (N, A), log_prob (N,)"""
    sizes, limit = net
    weights, log_std = nets.split(theta, sizes)
    mu = nets.mlp(weights, obs, sizes, limit)
    action = mu + STD * rng.standard_normal(mu.shape)
    return action, nets.log_prob(action, mu, log_std)
