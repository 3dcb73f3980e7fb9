"""What a right answer to ex16 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams


def check(imagine):
    """Each imagined step is taken apart: who predicted it must not change along a path."""
    paths, member = seams.apart(imagine)
    assert (member == member[:1]).all(), "a path must keep its member from its first step to its last"
    s, starts = seams.world()
    for seed in range(4):
        paths, _ = imagine(s, starts, seams.HOPPER, np.random.default_rng(seed))
        counts = ", ".join(map(str, turns := np.bincount(seams.who(s, paths, seams.HOPPER)[0], minlength=3)))
        assert turns.min() >= 2, f"10 paths, 3 members: each should have about its share, not {counts}"
    seams.first_update(imagine=imagine)


if __name__ == "__main__":
    judge.main(check, __file__)
