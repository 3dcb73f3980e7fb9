"""What a right answer to ex10 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import envs

suspect = judge.load(Path(__file__).parent, "suspect")


def one_by_one(obs):
    """The box in plain Python."""
    if obs.ndim > 1:
        return np.array([one_by_one(row) for row in obs])
    low, wide = np.float32([0.7, 0.2])
    inside = obs[0] > low and obs[0] < np.inf and abs(obs[1]) < wide and all(abs(x) < 100 for x in obs[1:])
    return np.bool_(inside)  # as NumPy answers: a test may ask for .all() of it


def only_last(obs):
    """The bug in the last coordinate alone."""
    with np.errstate(invalid="ignore"):
        return envs.TASKS["hopper"].healthy(np.concatenate([obs[..., :10], 0 * obs[..., 10:]], axis=-1)) & np.abs(
            obs[..., 10] < 100
        )


def check(test):
    """Right boxes must pass the test, boxes with the bug in all coordinates or in one must fail it."""
    single = lambda box: lambda obs: box(np.asarray(obs, np.float32))  # 0.7 is the bound, also of a float64 test
    right = {"that of envs.TASKS": single(envs.TASKS["hopper"].healthy), "coordinate by coordinate": single(one_by_one)}
    wrong = {"the bug in suspect.py": single(suspect.healthy), "the same bug in obs[10] alone": single(only_last)}
    wrong |= {"a box in which nothing is healthy": single(lambda obs: np.zeros(obs.shape[:-1], bool))}
    judge.exposes(test, right, wrong)


if __name__ == "__main__":
    judge.main(check, __file__)
