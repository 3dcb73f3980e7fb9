"""What a right answer to ex13 does; `python check.py` tries todo.py."""

import sys
from collections import deque
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import nets

suspect = judge.load(Path(__file__).parent, "suspect")


class Right(suspect.Buffer):
    """As suspected, without the bug."""

    def sample(self, n, rng):
        return self.storage[rng.integers(len(self), size=n)]

    def normalizer(self):
        return nets.Normalizer.fit(self.storage[: len(self)])


class Queue:
    """Another right one: a queue, other random numbers, newest rows first."""

    def __init__(self, capacity, dim):
        self.rows = deque(maxlen=capacity)

    def __len__(self):
        return len(self.rows)

    def add(self, rows):
        self.rows.extendleft(rows.copy())

    def sample(self, n, rng):
        return rng.choice(np.stack(self.rows), size=n)

    def normalizer(self):
        return nets.Normalizer.fit(np.stack(self.rows))


class WrongSample(Right):
    sample = suspect.Buffer.sample


class WrongNormalizer(Right):
    normalizer = suspect.Buffer.normalizer


class KeepsOldest(Right):
    def add(self, rows):
        super().add(rows[: len(self.storage) - len(self)])


class NoSpread(Right):
    def normalizer(self):
        norm = super().normalizer()
        return norm._replace(std=suspect.Buffer.normalizer(self).std)


def check(test):
    """Right buffers must pass the test; buffers whose empty rows get out must fail it."""
    right = {"suspect.py without its bug": Right, "a queue that draws in another way": Queue}
    wrong = {
        "the bug in suspect.py": suspect.Buffer,
        "the bug in sample alone": WrongSample,
        "the bug in normalizer alone": WrongNormalizer,
        "the bug in the normalizer's std alone": NoSpread,
        "a full buffer that keeps its oldest rows": KeepsOldest,
    }
    judge.exposes(test, right, wrong)


if __name__ == "__main__":
    judge.main(check, __file__)
