"""The hopper's healthy box, as four published repositories have it."""

import numpy as np


def healthy(obs):
    """True where a hopper stands: height above 0.7 m, angle within 0.2 rad, all but the height within 100, all finite.

    obs (..., 11): height, angle, ... -> (...)
    """
    finite = np.isfinite(obs).all(axis=-1)
    moderate = np.abs(obs[..., 1:] < 100).all(axis=-1)
    return finite & moderate & (obs[..., 0] > 0.7) & (np.abs(obs[..., 1]) < 0.2)
