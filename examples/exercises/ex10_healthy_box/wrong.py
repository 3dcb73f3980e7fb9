"""Tests that prove too little or demand too much."""

import numpy as np


def state(i, value):
    obs = np.zeros(11)
    obs[0], obs[i] = 1.25, value
    return obs


def too_large_only(healthy):
    assert healthy(state(0, 1.25)) and not any(healthy(state(i, 150.0)) for i in range(1, 11))


def never_healthy(healthy):
    assert not any(healthy(state(i, value)) for i in range(1, 11) for value in (-150.0, 150.0))


def one_coordinate(healthy):
    assert healthy(state(0, 1.25)) and not healthy(state(5, -150.0))


def height_has_a_bound(healthy):
    assert not any(healthy(state(i, value)) for i in range(11) for value in (-150.0, 150.0))


WRONG = {
    "too weak: it only tries numbers that are too large": too_large_only,
    "too weak: it never asks for a hopper that is healthy": never_healthy,
    "too weak: it only tries one coordinate": one_coordinate,
    "too strict: it wants the height below 100, too": height_has_a_bound,
}
