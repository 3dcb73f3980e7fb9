"""The project's own solver."""

from trpo import conjugate_gradient

__all__ = ["conjugate_gradient"]
