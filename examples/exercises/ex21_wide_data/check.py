"""What a right answer to ex21 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams

import bremen
import nets


def check(with_noise):
    """The mean action of the policy plus Gaussian noise of the width that was asked for, from the given generator."""
    cfg, rng = seams.PENDULUM, np.random.default_rng(0)
    norm = nets.Normalizer(np.zeros(3), np.ones(3))
    policy = nets.Policy(bremen.new_policy(cfg, rng), norm, bremen.policy_net(cfg))
    policy.theta[:-1] += 0.5 * rng.standard_normal(len(policy.theta) - 1).astype(np.float32)
    obs = rng.standard_normal((4000, 3)).astype(np.float32)
    limit, mean = policy.net.limit, policy.mean(obs)
    for std in (0.0, 0.1, 0.5):
        act = np.asarray(with_noise(policy, std)(obs, np.random.default_rng(1)))
        assert act.shape == mean.shape, f"there must be an action for each row: {mean.shape}, not {act.shape}"
        noise = (act - mean).ravel() / limit
        words = f"actions must be the mean action plus noise of sigma {std:g} times the limit, not clipped"
        assert abs(noise.std() - std) <= 0.05 * std + 1e-6, f"{words} (it is {noise.std():.3g} times the limit)"
        assert abs(noise.mean()) <= 0.1 * std + 1e-6, f"the noise must be 0 on average, not {noise.mean():.3g}"
        size = np.abs(mean.ravel())
        small, large = (noise[rows].std() for rows in (size < np.median(size), size >= np.median(size)))
        assert abs(small - large) <= 0.15 * std + 1e-6, "the noise must be as wide where the mean action is small"
    act = with_noise(policy, 0.5)
    same = [act(obs, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(same[0], same[1]), "the same generator must give the same actions: draw from rng alone"
    assert not np.array_equal(same[0], same[2]), "another generator must give other actions: draw from rng"


if __name__ == "__main__":
    judge.main(check, __file__)
