"""The project's own formulae.

Answer: KL(old || new): it is an expectation over the actions of the old policy, and log old / new is huge for those
that the new one hardly ever takes. KL(new || old) asks about the new policy's actions only, and never notices what it
has given up.
"""

from nets import kl_gauss, log_prob

__all__ = ["log_prob", "kl_gauss"]
