"""The project's own fit, asked for one member.

Answer: Where there are no data: each extrapolates in its own way. What one member promises there the others do not,
so an action that leads there pays less on average than it would in that one.
"""

from dataclasses import replace

import bremen


def fit(data, cfg, rng, report=bremen.ignore):
    return bremen.fit_dynamics(data, replace(cfg, members=1), rng, report)
