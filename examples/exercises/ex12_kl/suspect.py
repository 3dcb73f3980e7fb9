"""What the line search asks at every trial step."""

import numpy as np

import nets


def surrogate_and_kl(theta, rows, net):
    """Importance-weighted advantage and KL of a new policy theta, summed over rows.  rows: trpo.Rows -> (2,)"""
    mu, log_std = nets.gaussian(theta, rows.obs, net)
    ratio = np.exp(nets.log_prob(rows.act, mu, log_std) - nets.log_prob(rows.act, rows.mu, rows.log_std))
    kl = nets.kl_gauss(mu, log_std, rows.mu, rows.log_std)
    return np.array([np.sum(ratio * rows.adv), np.sum(kl)])
