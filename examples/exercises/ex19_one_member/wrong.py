"""Plausible wrong answers to ex19."""

import bremen


def mean_weights(data, cfg, rng, report=bremen.ignore):
    dynamics, info = bremen.fit_dynamics(data, cfg, rng, report)
    return dynamics._replace(phi=dynamics.phi.mean(axis=0, keepdims=True)), info


def copies(data, cfg, rng, report=bremen.ignore):
    dynamics, info = bremen.fit_dynamics(data, cfg, rng, report)
    return dynamics._replace(phi=dynamics.phi[:1].repeat(cfg.members, axis=0)), info


def flat(data, cfg, rng, report=bremen.ignore):
    dynamics, info = bremen.fit_dynamics(data, cfg, rng, report)
    return dynamics._replace(phi=dynamics.phi[0]), info


WRONG = {
    "the mean of the members' weights": mean_weights,
    "one model many times": copies,
    "phi without its first axis": flat,
}
