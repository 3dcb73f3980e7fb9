"""The project's own solver.

Answer: Each step of steepest descent spoils what the last one had reached: it zigzags from wall to wall of the
valley. Conjugate directions, p_i^T A p_j = 0, do not interfere: along each the minimum is found once and for all.
Stretch the valley until it is round, and they are perpendicular.
"""

from trpo import conjugate_gradient

__all__ = ["conjugate_gradient"]
