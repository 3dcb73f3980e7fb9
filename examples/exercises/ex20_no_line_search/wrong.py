"""Plausible wrong answers to ex20."""

import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import nets
import trpo

solution = judge.load(Path(__file__).parent, "solution")


def with_line_search(theta, critic, paths, norm, net, cfg, rng):
    return trpo.improve(theta, critic, paths, norm, net, replace(cfg, fisher_rows=1.0), rng)


def plain_gradient(theta, critic, paths, norm, net, cfg, rng):
    obs, _, adv, _, _ = trpo.advantages(critic, paths, norm, cfg)
    rows = trpo.rows_of(theta, obs, paths.act, adv, net)
    g = trpo.policy_gradient(theta, rows, net) * (np.arange(len(theta)) < len(theta) - len(rows.log_std))
    new = theta + np.sqrt(2 * cfg.target_kl / (g @ trpo.fisher_product(theta, rows, net)(g))) * g
    _, critic, info = solution.improve(theta, critic, paths, norm, net, cfg, rng)
    return new, critic, {"kl": trpo.kl_sum(*nets.gaussian(new, rows.obs, net), rows) / len(obs)}


def log_sigma_counts(theta, critic, paths, norm, net, cfg, rng):
    """log sigma has its share of g and of F v, and only the step leaves it where it is."""
    obs, _, adv, _, _ = trpo.advantages(critic, paths, norm, cfg)
    rows = trpo.rows_of(theta, obs, paths.act, adv, net)
    fisher = trpo.fisher_product(theta, rows, net)
    damped = lambda v: fisher(v) + cfg.cg_damping * v
    x, _ = trpo.conjugate_gradient(damped, trpo.policy_gradient(theta, rows, net), cfg.cg_iters)
    step = x * np.sqrt(2 * cfg.target_kl / (x @ damped(x))) * (np.arange(len(theta)) < len(theta) - len(rows.log_std))
    new = theta + step.astype(theta.dtype)
    _, critic, _ = solution.improve(theta, critic, paths, norm, net, cfg, rng)
    return new, critic, {"kl": trpo.kl_sum(*nets.gaussian(new, rows.obs, net), rows) / len(obs)}


def forgotten_two(theta, critic, paths, norm, net, cfg, rng):
    return solution.improve(theta, critic, paths, norm, net, replace(cfg, target_kl=cfg.target_kl / 2), rng)


def scaled_by_the_kl(theta, critic, paths, norm, net, cfg, rng):
    new, critic, info = solution.improve(theta, critic, paths, norm, net, cfg, rng)
    new = theta + (new - theta) * np.sqrt(cfg.target_kl / info["kl"])
    obs = norm(paths.obs.reshape(-1, paths.obs.shape[-1]))
    policy = lambda t: nets.gaussian(t, obs, net)
    return new, critic, {"kl": nets.kl_gauss(*policy(theta), *policy(new)).mean()}


def raw_advantages(theta, critic, paths, norm, net, cfg, rng):
    """The solution's step from advantages that are neither centred nor scaled."""
    raw = trpo.advantages(critic, paths, norm, cfg)[2].astype(theta.dtype)
    kept = lambda obs, act, adv, *rest, Rows=trpo.Rows: Rows(obs, act, raw, *rest)
    with mock.patch.object(solution.trpo, "Rows", kept):
        return solution.improve(theta, critic, paths, norm, net, cfg, rng)


WRONG = {
    "advantages as they come, not centred": raw_advantages,
    "log sigma counts in g and F v, and is held back at the end": log_sigma_counts,
    "the line search is still there": with_line_search,
    "the plain gradient, scaled to the KL": plain_gradient,
    "sqrt(target_kl / x^T F x): half the KL": forgotten_two,
    "scaled to the KL itself, without the damping": scaled_by_the_kl,
}
