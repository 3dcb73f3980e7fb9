"""The project's own line search.

Answer: u^T F u / 2 is the KL to second order only: F itself changes along the step. The step is scaled with F + 0.1
I, so that u^T F u / 2 = delta - 0.05 |u|^2: below delta from the outset, most of all along directions in which F is
small.
"""

from trpo import line_search

__all__ = ["line_search"]
