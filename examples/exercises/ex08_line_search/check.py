"""What a right answer to ex08 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

FULL = np.array([8.0])


def search(line_search, improvement, kl, expected=8.0, **options):
    """Run it with functions of the step's length, halving.  -> its answer, the lengths that it tried"""
    tried, full_step = [], FULL.copy()

    def evaluate(step):
        tried.append(float(step[0]))
        return improvement(step[0]), kl(step[0])

    answer = line_search(evaluate, full_step, expected, 1.0, backtrack=0.5, **options)
    assert np.array_equal(full_step, FULL), "full_step was changed: work on fraction * full_step"
    return answer, tried


def accepts(line_search, length, sentence, improvement, kl, **options):
    (step, gain, distance, backtracks, accepted), tried = search(line_search, improvement, kl, **options)
    assert accepted and float(step[0]) == length, f"{sentence}: the step of length {length:g} should be accepted"
    wanted = [float(FULL[0]) / 2**k for k in range(1 + int(np.log2(FULL[0] / length)))]
    assert tried == wanted, f"{sentence}: it should try the lengths {wanted}, not {tried}"
    assert backtracks == len(wanted) - 1, f"{sentence}: that was after {len(wanted) - 1} backtracks, not {backtracks}"
    judge.close([gain, distance], [improvement(length), kl(length)], f"{sentence}: improvement and kl of that step")


def check(line_search):
    """Each rule alone, on functions of one number that can be worked on paper."""
    none, linear = lambda x: 0.0, lambda x: x
    accepts(line_search, 8.0, "all is well", linear, none)
    accepts(line_search, 1.0, "kl = x^2 must be at most 1, and may be 1", linear, lambda x: x * x)
    accepts(line_search, 2.0, "x - x^2 / 4 improves below 4 only", lambda x: x - x * x / 4, none)
    late = lambda x: 0.5 * x if x < 1 else -1.0
    accepts(line_search, 0.5, "a sixteenth of the step need only bring a sixteenth of what was promised", late, none)
    words = "with accept_ratio 0.5 half of what was promised must be kept, and may be"
    accepts(line_search, 4.0, words, lambda x: 0.49 * x if x > 4 else 0.5 * x, none, accept_ratio=0.5)
    accepts(line_search, 4.0, "NaN as improvement is no improvement", lambda x: np.nan if x > 4 else x, none)
    accepts(line_search, 4.0, "NaN as kl is not inside the trust region", linear, lambda x: np.nan if x > 4 else 0.0)

    for words, improvement, kl, expected in (
        ("nothing improves", lambda x: -x, none, 8.0),
        ("a loss is no improvement, even where a greater one was predicted", lambda x: -0.05 * x, none, -8.0),
        ("improvements of 5 % of what was promised are too little", lambda x: 0.05 * x, none, 8.0),
        ("no change is no improvement, even where none was predicted", lambda x: 0.0, none, 0.0),
        ("kl is too large everywhere", linear, lambda x: 2.0, 8.0),
    ):
        found, tried = search(line_search, improvement, kl, expected, max_backtracks=3)
        step, gain, distance, backtracks, accepted = found
        assert not accepted, f"{words}: no step may be accepted"
        judge.close(step, np.zeros(1), f"{words}: the step must then be zeros, the policy stays where it was")
        judge.close([gain, distance], [0, 0], f"{words}: improvement and kl are then 0")
        assert backtracks == 3, f"{words}: backtracks is then max_backtracks, 3, not {backtracks}"
        assert tried == [8, 4, 2, 1], f"{words}: with 3 backtracks it should try 8, 4, 2, 1, not {tried}"


if __name__ == "__main__":
    judge.main(check, __file__)
