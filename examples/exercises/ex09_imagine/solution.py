"""The project's own rollout; as a loop in NumPy it stands in examples/parts/cautious_rollout.py.

Answer: Clipped actions lie on the inner side of a mean near the limit, more often than a Gaussian's would. The mean
of d log p / d mu is then not 0 but points inwards, and a policy moves although no action was better than any other;
nor do importance weights average to 1.
"""

from bremen import imagine_paths as imagine

__all__ = ["imagine"]
