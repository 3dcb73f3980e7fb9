"""ex08: the line search of TRPO."""


def line_search(evaluate, full_step, expected, max_kl, backtrack=0.8, max_backtracks=15, accept_ratio=0.1):
    """The longest shrunken step that improves the policy and stays in the trust region: arXiv:1502.05477, appendix C.

    Tries fraction * full_step with fraction = 1, backtrack, backtrack^2, ..., backtrack^max_backtracks.
    evaluate(step) -> (improvement, kl).  Accepted is the first with kl <= max_kl [nats], improvement > 0, and
    improvement >= accept_ratio * fraction * expected; `expected` is what the gradient promises for the full step.
    NaN, in either number, is refused.  full_step (P,)
    -> step (P,), improvement, kl, backtracks (the k of backtrack^k), accepted (bool); when none is accepted:
       zeros (P,), 0.0, 0.0, max_backtracks, False
    """
    raise NotImplementedError("ex08: line_search is still to be written")
