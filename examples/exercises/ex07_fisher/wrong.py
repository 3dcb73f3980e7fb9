"""Plausible wrong answers to ex07."""

import autograd.numpy as anp
import numpy as np
from autograd import grad

import nets
import trpo


def _by_hand(theta, obs, v, net, power=2, log_std_metric=2.0):
    v_mu, v_log_std = nets.split(v, net.sizes)
    tape = nets.mlp_tape(theta, obs, *net)
    d_mu = nets.mlp_jvp(theta, tape, v_mu, *net) * np.exp(-power * nets.split(theta, net.sizes)[1])
    return np.concatenate([nets.mlp_vjp(theta, tape, d_mu, *net) / len(obs), log_std_metric * v_log_std])


def old_policy_moves_too(theta, obs, v, net):
    policy = lambda t: nets.gaussian(t, obs, net)
    slope = grad(lambda t: anp.mean(nets.kl_gauss(*policy(t), *policy(t))))
    return grad(lambda t: anp.dot(slope(t), v))(theta)


def by_autograd(theta, obs, v, net):
    policy = lambda t: nets.gaussian(t, obs, net)
    old = policy(theta)
    slope = grad(lambda t: anp.mean(nets.kl_gauss(*old, *policy(t))))
    return grad(lambda t: anp.dot(slope(t), v))(theta)


def sum_over_rows(theta, obs, v, net):
    return trpo.fisher_vector(theta, nets.mlp_tape(theta, obs, *net), v, net)


WRONG = {
    "1/sigma instead of 1/sigma^2": dict(fisher_by_hand=lambda *args: _by_hand(*args, power=1)),
    "metric 1 for log sigma": dict(fisher_by_hand=lambda *args: _by_hand(*args, log_std_metric=1.0)),
    "a sum over the rows": dict(fisher_by_hand=sum_over_rows),
    "by autograd both times": dict(fisher_by_hand=by_autograd),
    "by hand both times": dict(fisher_by_autograd=_by_hand),
    "the old policy is differentiated, too: always 0": dict(fisher_by_autograd=old_policy_moves_too),
}
