"""The project's own regression.

Answer: Its expectation is 1/2 |a - mu|^2 + A sigma^2 / 2: the same for mu, and least for sigma = 0. So the original's
sigma falls to the least that its code allows, exp(-5), and says nothing about the spread of the data.
"""

import bremen
import nets


def loss(theta, obs, act, net):
    return nets.squared_error(theta, obs, act, *net)


def clone(data, norm, cfg, rng, report=bremen.ignore):
    return bremen.clone_behavior(data, norm, cfg, rng, report)
