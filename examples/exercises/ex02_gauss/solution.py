"""The project's own formulae."""

from nets import kl_gauss, log_prob

__all__ = ["log_prob", "kl_gauss"]
