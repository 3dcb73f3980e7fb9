"""The project's own rollout; what it means in NumPy stands in nets.rollout_plain."""

from bremen import imagine_paths as imagine

__all__ = ["imagine"]
