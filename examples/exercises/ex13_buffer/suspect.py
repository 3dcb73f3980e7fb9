"""A replay buffer: transitions go in, minibatches and a normaliser come out."""

import numpy as np

import nets


class Buffer:
    """The latest `capacity` rows (dim,) of all that were added."""

    def __init__(self, capacity, dim):
        self.storage, self.added = np.zeros((capacity, dim)), 0

    def __len__(self):
        return min(self.added, len(self.storage))

    def add(self, rows):
        """rows (n, dim): the oldest are overwritten when the buffer is full."""
        for row in rows:
            self.storage[self.added % len(self.storage)] = row
            self.added += 1

    def sample(self, n, rng):
        """n rows, drawn with replacement.  -> (n, dim)"""
        return self.storage[rng.integers(len(self.storage), size=n)]

    def normalizer(self):
        """Mean and standard deviation of the rows in the buffer.  -> nets.Normalizer"""
        return nets.Normalizer.fit(self.storage)
