"""What a right answer to ex05 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge


def column(*numbers):
    """A single path (T, 1)."""
    return np.array(numbers, np.float64)[:, None]


def flags(*numbers):
    return column(*numbers) > 0


def by_definition(rew, val, next_val, terminated, truncated, gamma, lam):
    """Every advantage as a sum of its own over the rest of its path; quadratic in T, and plain."""
    adv = np.zeros(rew.shape)
    for t, b in np.ndindex(*rew.shape):
        for k in range(t, len(rew)):
            future = 0.0 if terminated[k, b] else gamma * next_val[k, b]
            adv[t, b] += (gamma * lam) ** (k - t) * (rew[k, b] + future - val[k, b])
            if terminated[k, b] or truncated[k, b]:
                break
    return adv


def check(gae):
    """Numbers worked on paper for each kind of end, then the definition as a sum, term by term."""

    def run(*args):
        """gae of copies, which it must leave as they are."""
        given = [x.copy() for x in args[:5]]
        adv = gae(*given, *args[5:])
        assert all(map(np.array_equal, given, args)), "gae has changed an array that it was given: work on copies"
        return adv

    never, half = flags(0, 0), (0.5, 0.5)
    rew, val, next_val = column(1, 2), column(4, 6), column(6, 8)
    got = run(rew, val, next_val, never, never, *half)
    judge.close(got, column(0, 0), "no end: td errors are 1 + 3 - 4 = 0 and 2 + 4 - 6 = 0, the last row bootstraps")
    got = run(rew, val, next_val, flags(0, 1), never, *half)
    judge.close(got, column(-1, -4), "terminated at the end: 2 - 6 = -4 without next_val, and a quarter of it above")
    got = run(rew, val, next_val, flags(1, 0), never, *half)
    judge.close(got, column(-3, 0), "terminated above: 1 - 4 = -3, and nothing of the row below, another path")
    got = run(rew, val, column(10, 10), never, flags(1, 0), *half)
    judge.close(got, column(2, 1), "truncated above: 1 + 5 - 4 = 2 bootstraps, but takes nothing of the row below")

    rng, shape = np.random.default_rng(0), (12, 4)
    rew, val, next_val = rng.standard_normal((3, *shape))
    terminated = rng.random(shape) < 0.2
    truncated = rng.random(shape) < 0.2  # both at once: the world ended in the last step that was recorded
    args = rew, val, next_val, terminated, truncated
    for gamma, lam in ((0.9, 0.0), (0.9, 1.0), (0.99, 0.95)):
        judge.close(
            run(*args, gamma, lam),
            by_definition(*args, gamma, lam),
            f"random paths, gamma {gamma}, lambda {lam}: not the sum of (gamma lambda)^k td_(t+k) to each path's end",
        )


if __name__ == "__main__":
    judge.main(check, __file__)
