"""What a right answer to ex06 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge


def check(conjugate_gradient):
    """An n x n system is solved in n steps: what sets conjugate gradient apart from descent."""
    rng, n, asked = np.random.default_rng(0), 8, []
    M = rng.standard_normal((n, n))
    A, b = M @ M.T + np.eye(n), rng.standard_normal(n)

    def product(v):
        asked.append(v.copy())
        return A @ v

    given = b.copy()
    x, residual = conjugate_gradient(product, given, n)
    assert np.array_equal(given, b), "b was changed: work on a copy"
    assert x.dtype == np.float64, f"x must be float64, not {x.dtype}: half the digits are lost"
    assert len(asked) <= n, f"{len(asked)} products for {n} iterations: one each is enough, and each is expensive"
    P = np.array(asked) / np.linalg.norm(asked, axis=1)[:, None]
    off = np.abs(P @ A @ P.T - np.diag(np.diag(P @ A @ P.T))).max()
    assert off < 1e-5 * np.abs(A).max(), "the directions p must be A-conjugate: p_i^T A p_j = 0"
    judge.close(x, np.linalg.solve(A, b), "after n steps the answer to n equations should be exact", rtol=1e-5)
    assert residual < 1e-6, f"after n steps the relative residual should be nearly 0, not {residual:.2g}"

    asked.clear()
    x, residual = conjugate_gradient(product, b.copy(), 3)
    assert len(asked) == 3, f"{len(asked)} products where 3 iterations were asked for: stop after `iters`"
    judge.close(residual, np.linalg.norm(A @ x - b) / np.linalg.norm(b), "after 3 steps the residual is not |Ax-b|/|b|")
    tiny, _ = conjugate_gradient(lambda v: A @ v, 1e-12 * b, n)
    judge.close(tiny, 1e-12 * np.linalg.solve(A, b), "tol is relative: a small b deserves the same digits", 1e-5, 0)
    tol = 1.01 * residual  # of 3 steps: just enough
    asked.clear()
    conjugate_gradient(product, b.copy(), n, tol)
    assert len(asked) == 3, f"{len(asked)} products where 3 bring |A x - b| down to tol |b|: no sooner, no later"
    asked.clear()
    conjugate_gradient(lambda v: asked.append(v) or 2 * v, b.copy(), 10)
    assert len(asked) == 1, f"A = 2 I is solved after one step: stop there, not after {len(asked)}"
    x, residual = conjugate_gradient(lambda v: A @ v, np.zeros(n), 5)
    judge.close(x, np.zeros(n), "for b = 0 the answer is 0, not NaN")
    judge.close(residual, 0.0, "for b = 0 the residual is 0, not NaN")


if __name__ == "__main__":
    judge.main(check, __file__)
