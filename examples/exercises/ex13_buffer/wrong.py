"""Tests that prove too little or demand too much."""

import numpy as np

ROWS = 1.0 + np.arange(10.0).reshape(5, 2)


def filled(Buffer, capacity):
    buffer = Buffer(capacity, 2)
    buffer.add(ROWS)
    return buffer, buffer.sample(100, np.random.default_rng(0))


def full_buffer(Buffer):
    buffer, sampled = filled(Buffer, 5)
    assert len(buffer) == 5 and {*map(tuple, sampled)} == {*map(tuple, ROWS)}
    assert np.allclose(buffer.normalizer().mean, ROWS.mean(axis=0))


def never_full(Buffer):
    buffer, sampled = filled(Buffer, 8)
    assert {*map(tuple, sampled)} == {*map(tuple, ROWS)}
    norm = buffer.normalizer()
    assert np.allclose(norm.mean, ROWS.mean(axis=0)) and np.allclose(norm.std, ROWS.std(axis=0))


def sample_only(Buffer):
    assert {*map(tuple, filled(Buffer, 8)[1])} == {*map(tuple, ROWS)}


def no_repeats(Buffer):
    buffer, _ = filled(Buffer, 8)
    assert len(np.unique(buffer.sample(5, np.random.default_rng(0)), axis=0)) == 5, "a row came twice"


def one_generator(Buffer):
    buffer, sampled = filled(Buffer, 8)
    assert np.array_equal(sampled, ROWS[np.random.default_rng(0).integers(5, size=100)]), "other rows than expected"


WRONG = {
    "too weak: its buffer is full": full_buffer,
    "too weak: its buffer never runs over": never_full,
    "too weak: it does not look at the normaliser": sample_only,
    "too strict: it wants no row twice, but rows are drawn with replacement": no_repeats,
    "too strict: it wants the draws of one way to draw": one_generator,
}
