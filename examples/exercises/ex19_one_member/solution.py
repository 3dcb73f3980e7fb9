"""The project's own fit, asked for one member."""

from dataclasses import replace

import bremen


def fit(data, cfg, rng, report=bremen.ignore):
    return bremen.fit_dynamics(data, replace(cfg, members=1), rng, report)
