"""Plausible wrong answers to ex06."""

import numpy as np


def _descend(product, b, iters, tol, conjugate=True, alias=False, bound=lambda tol, bb: tol * tol * bb):
    x, r = np.zeros(len(b)), np.array(b, np.float64)
    p, rr = r if alias else r.copy(), r @ r
    bb = rr
    for _ in range(iters):
        if rr <= bound(tol, bb):
            break
        z = product(p)
        step = rr / (p @ z) if conjugate else rr / (r @ z)
        x += step * p
        r -= step * z
        rr, before = r @ r, rr
        p = r + (rr / before) * p if conjugate else r.copy()
    return x, float(np.sqrt(rr / bb)) if bb else 0.0


def single(product, b, iters=10, tol=1e-10):
    x, residual = _descend(product, b, iters, tol)
    return x.astype(np.float32), residual


WRONG = {
    "p and r are one array": lambda A, b, n=10, tol=1e-10: _descend(A, b, n, tol, alias=True),
    "steepest descent": lambda A, b, n=10, tol=1e-10: _descend(A, b, n, tol, conjugate=False),
    "an answer in float32": single,
    "on and on until it is solved": lambda A, b, n=10, tol=1e-10: _descend(A, b, 10 * len(b), tol),
    "an absolute tolerance": lambda A, b, n=10, tol=1e-10: _descend(A, b, n, tol, bound=lambda tol, bb: tol * tol),
    "the squared residual against tol": lambda A, b, n=10, tol=1e-10: _descend(
        A, b, n, tol, bound=lambda tol, bb: tol * bb
    ),
}
