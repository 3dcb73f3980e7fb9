"""The project's own estimator."""

from trpo import gae

__all__ = ["gae"]
