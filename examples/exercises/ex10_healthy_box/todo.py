"""ex10: a test of the hopper's healthy box."""


def test(healthy):
    """AssertionError if `healthy` is not the hopper's box, and nothing if it is.

    The box, that of envs.TASKS["hopper"]: height obs[0] > 0.7 m, without an upper bound; angle
    |obs[1]| < 0.2 rad; |obs[i]| < 100 for every i from 1 to 10; bounds themselves are outside; NaN and infinity are
    never healthy.  healthy: obs (..., 11), taken as float32 -> (...) bool
    """
    raise NotImplementedError("ex10: the test is still to be written")
