"""Plausible wrong answers to ex15."""

import sys
from pathlib import Path

import autograd.numpy as anp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import nets

solution = judge.load(Path(__file__).parent, "solution")


def hard_bounds(raw):
    return anp.clip(raw, solution.LOW, solution.HIGH)


def overflowing(raw):
    softplus = lambda z: anp.log(1 + anp.exp(z))
    return solution.LOW + softplus(solution.HIGH - softplus(solution.HIGH - raw) - solution.LOW)


def squared_error_only(phi, x, y, sizes):
    out, S = nets.mlp(phi, x, sizes), sizes[-1] // 2
    return anp.mean(anp.sum((y - out[:, :S]) ** 2 * anp.exp(-solution.bounded(out[:, S:])), axis=1)) / 2


def variance_as_sigma(phi, x, eps, sizes):
    out, S = nets.mlp(phi, x, sizes), sizes[-1] // 2
    return out[:, :S] + anp.exp(solution.bounded(out[:, S:])) * eps


WRONG = {
    "bounds by clipping: no slope outside": dict(bounded=hard_bounds),
    "softplus that overflows": dict(bounded=overflowing),
    "the log-variance itself is left out of the likelihood": dict(nll=squared_error_only),
    "noise scaled by the variance": dict(difference=variance_as_sigma),
}
