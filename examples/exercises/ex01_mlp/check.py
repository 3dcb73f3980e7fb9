"""What a right answer to ex01 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge


def check(layers, forward, backward):
    """Numbers worked on paper, then finite differences of the student's own forward pass."""
    theta, sizes = np.array([1.0, -1, 2, 0, 0, 1, 1, 3, -2]), (2, 2, 1)
    pairs = layers(theta, sizes)
    assert len(pairs) == 2, f"a network of widths {sizes} has two pairs of weights and biases, not {len(pairs)}"
    for (W, b), (W_wanted, b_wanted) in zip(pairs, (([[1, -1], [2, 0]], [0, 1]), ([[1], [3]], [-2]))):
        judge.close(W, W_wanted, "layers: a W is not what stands in theta, row by row")
        judge.close(b, b_wanted, "layers: a b is not what stands in theta behind its W")
    pairs[1][1][:] = 7
    assert theta[-1] == 7, "layers must return views: writing into the last b has not changed theta"
    theta[-1] = -2

    # hidden [3, 0], [0, 1], [1, 2] and [1, 0]; y = h1 + 3 h2 - 2
    x = np.array([[1.0, 1], [0, -1], [-1, 1], [1, 0]])
    judge.close(forward(theta, x, sizes), [[1], [1], [5], [-1]], "forward: four outputs worked on paper come out wrong")
    got = backward(theta, x[:1], np.ones((1, 1)), sizes)
    by_hand = [1, 0, 1, 0, 1, 0, 3, 0, 1]  # the second hidden unit is off: nothing flows through it
    judge.close(got, by_hand, "backward: the gradient of one output, worked on paper, comes out wrong")

    rng, sizes = np.random.default_rng(0), (3, 5, 4, 2)
    theta, x, g = rng.standard_normal(54), rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    loss, before = lambda t: np.sum(g * forward(t, x, sizes)), (theta.copy(), g.copy())
    steps = 1e-6 * np.eye(54)
    slopes = [(loss(theta + d) - loss(theta - d)) / 2e-6 for d in steps]
    got = backward(theta, x, g, sizes)
    judge.close(
        got, slopes, "backward is not the slope of sum(g * forward) by finite differences", rtol=1e-5, atol=1e-7
    )
    assert np.array_equal(theta, before[0]) and np.array_equal(g, before[1]), "backward must not change theta or g"


if __name__ == "__main__":
    judge.main(check, __file__)
