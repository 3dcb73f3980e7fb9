"""A test that exposes the bug of ex13: a buffer that is not yet full, and one that has run over.

Answer: Both. With advantage 0 it adds nothing to the gradient, but it adds the Fisher matrix of the state 0 to F, and
F^-1 g turns. The mean KL counts rows where nobody is: if a share p is real and nothing changes at the state 0, the
real rows may move by delta / p.
"""

import numpy as np

import nets


def test(Buffer):
    rows = 100.0 + np.arange(24).reshape(12, 2)
    for added in (5, 8, 12):  # of a capacity of 8: part full, just full, run over
        buffer = Buffer(8, 2)
        for part in np.array_split(rows[:added], 2):
            buffer.add(part)
        held = rows[:added][-8:]
        assert len(buffer) == len(held), f"after {added} rows it holds {len(held)}, not {len(buffer)}"
        sampled = buffer.sample(200, np.random.default_rng(0))
        assert sampled.shape == (200, 2), "200 rows were asked for"
        assert {*map(tuple, sampled)} == {*map(tuple, held)}, (
            "a sample holds rows that are not in the buffer, or misses some"
        )
        norm, wanted = buffer.normalizer(), nets.Normalizer.fit(held)
        assert np.allclose(norm.mean, wanted.mean) and np.allclose(norm.std, wanted.std), "normaliser of other rows"
