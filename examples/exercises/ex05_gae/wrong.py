"""Plausible wrong answers to ex05."""

import numpy as np

import trpo


def one_done(rew, val, next_val, terminated, truncated, gamma, lam):
    return trpo.gae(rew, val, next_val, terminated | truncated, truncated, gamma, lam)


def sum_runs_on(rew, val, next_val, terminated, truncated, gamma, lam):
    return trpo.gae(rew, val, next_val, terminated, np.zeros_like(truncated), gamma, lam)


def either(rew, val, next_val, terminated, truncated, gamma, lam):
    return trpo.gae(rew, val, next_val, terminated & ~truncated, terminated ^ truncated, gamma, lam)


def in_place(rew, val, next_val, terminated, truncated, gamma, lam):
    adv = trpo.gae(rew, val, next_val, terminated, truncated, gamma, lam)
    rew[:] = adv
    return rew


def row_below(rew, val, next_val, terminated, truncated, gamma, lam):
    return trpo.gae(rew, val, np.concatenate([val[1:], next_val[-1:]]), terminated, truncated, gamma, lam)


def zero_at_the_horizon(rew, val, next_val, terminated, truncated, gamma, lam):
    next_val = next_val.copy()
    next_val[-1] = 0
    return trpo.gae(rew, val, next_val, terminated, truncated, gamma, lam)


WRONG = {
    "one `done` for both ends: truncation does not bootstrap": one_done,
    "truncation does not cut the sum": sum_runs_on,
    "both flags at once count as none": either,
    "rewards are overwritten": in_place,
    "the value of the row below instead of next_val": row_below,
    "value 0 behind the last row, as in the original code": zero_at_the_horizon,
}
