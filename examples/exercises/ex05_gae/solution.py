"""The project's own estimator.

Answer: That nothing comes after them, as after a fall, although standing would have gone on to pay. Their values come
out too low, so do the advantages of all actions that lead to them: standing is learnt to be hardly better than
falling.
"""

from trpo import gae

__all__ = ["gae"]
