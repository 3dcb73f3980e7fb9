"""What a right answer to ex09 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams


def check(imagine):
    """Each imagined step is taken apart: where it began, who predicted, how it went on."""
    paths, member = seams.apart(imagine)
    assert (member == member[:, :1]).all(), "at each step one member must predict for all paths"
    turns = np.bincount(member[:, 0], minlength=3)
    assert turns.min() > 3, f"over 40 steps each of the 3 members must have its share, not {turns}: draw uniformly"
    changes = member[1:, 0] != member[:-1, 0]
    assert changes.sum() > 10, "the member must be drawn anew at each step"
    assert not changes.all(), "the member must be drawn: the same one may come twice, a rota has no chance in it"
    s, starts = seams.world()
    other, _ = imagine(s, starts, seams.HOPPER, np.random.default_rng(1))
    assert not np.array_equal(other.act, paths.act), "another rng must imagine other paths: draw everything from rng"
    again, _ = imagine(s, starts, seams.HOPPER, np.random.default_rng(0))
    assert np.array_equal(again.act, paths.act), "the same rng must imagine the same paths: draw everything from rng"


if __name__ == "__main__":
    judge.main(check, __file__)
