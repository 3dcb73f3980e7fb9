"""ex05: generalised advantage estimation, with two ways for a path to end."""


def gae(rew, val, next_val, terminated, truncated, gamma, lam):
    """Generalised advantage estimation, Eq. (16) of arXiv:1506.02438.

    All (T, B): time runs down, B paths stand side by side, and a path that ends at row t begins anew at row t + 1.
    next_val is the value of the state that the step led to; after an end that is not val of the row below.
    terminated (bool): the world ended, nothing comes after.  truncated (bool): only the recording ended, and next_val
    stands for what would have come.  Where both are set, the world has ended.  Behind the last row nothing is known: it
    is treated like a truncation.
    -> advantages (T, B), in the unit of reward
    """
    raise NotImplementedError("ex05: gae is still to be written")
