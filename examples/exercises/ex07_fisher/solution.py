"""The project's own Fisher products.

Answer: From right to left every intermediate result is a vector: J v costs a forward pass, J^T a backward pass. The
matrix has 50,000^2 entries, 20 GB in float64; and J alone would have 20,000 A rows of 50,000.
"""

import numpy as np

import nets
import trpo


def fisher_by_hand(theta, obs, v, net):
    return trpo.fisher_vector(theta, nets.mlp_tape(theta, obs, *net), v, net) / len(obs)


def fisher_by_autograd(theta, obs, v, net):
    mu, log_std = nets.gaussian(theta, obs, net)
    rows = trpo.Rows(obs, mu, np.zeros(len(obs)), mu, log_std)  # actions and advantages do not matter here
    return trpo.fisher_product(theta, rows, net, "autograd")(v)
