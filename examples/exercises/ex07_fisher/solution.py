"""The project's own Fisher products."""

import numpy as np

import nets
import trpo


def fisher_by_hand(theta, obs, v, net):
    return trpo.fisher_vector(theta, nets.mlp_tape(theta, obs, *net), v, net) / len(obs)


def fisher_by_autograd(theta, obs, v, net):
    mu, log_std = nets.mlp(theta, obs, *net), nets.split(theta, net[0])[1]
    rows = trpo.Rows(obs, mu, np.zeros(len(obs)), mu, log_std)  # actions and advantages do not matter here
    return trpo.fisher_product(theta, rows, net, "autograd")(v)
