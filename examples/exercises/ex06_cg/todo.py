"""ex06: conjugate gradient."""


def conjugate_gradient(product, b, iters=10, tol=1e-10):
    """Solve A x = b for a symmetric positive definite A that is only known as a function v -> A v.

    Hestenes & Stiefel 1952; appendix C of arXiv:1502.05477.  At most `iters` products, fewer when |A x - b| has come
    down to tol |b|.  Starts from x = 0.  b (P,) -> x (P,) float64, |A x - b| / |b|, or 0 where b is 0
    """
    raise NotImplementedError("ex06: conjugate_gradient is still to be written")
