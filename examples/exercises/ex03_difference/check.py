"""What a right answer to ex03 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import bremen
import nets

LINEAR = bremen.Config(env="pendulum", members=2, model_hidden=())  # without a hidden layer a network is x W + b


def check(targets, predict):
    """A linear world, which a network without hidden layers can represent exactly: its predictions must be right."""
    rng = np.random.default_rng(0)
    obs, act = np.array([5, -3, 2]) + np.array([0.1, 10, 0]) * rng.standard_normal((200, 3)), rng.normal(2, 3, (200, 1))
    change = 0.01 * np.concatenate([obs[:, :2] @ [[1, 2], [0.5, -1]] + act @ [[3, 4]] + 7, np.zeros((200, 1))], axis=1)
    next_obs = obs + change  # the third coordinate is always the same, and so is an input that tells nothing

    y, mean, scale = targets(obs, next_obs)
    judge.close(mean, change.mean(axis=0), "targets: mean must be that of next_obs - obs, coordinate by coordinate")
    assert np.isfinite(y).all(), "targets: a coordinate that never changes must not be divided by 0"
    judge.close(scale[2], 1.0, "targets: a coordinate that never changes has scale 1")
    steady = obs[:, :2] + np.stack([np.full(200, 0.1), 1e-4 * rng.standard_normal(200)], axis=1)
    _, _, scale_of_little = targets(obs[:, :2], steady)
    judge.close(
        scale_of_little[0], 1.0, "targets: 0.1 in every row changes by rounding only, 1e-16: that scale is 1, too"
    )
    judge.close(
        scale_of_little[1], (steady - obs[:, :2])[:, 1].std(), "targets: a change of 1e-4 is small, but a change"
    )
    judge.close(y.mean(axis=0), np.zeros(3), "targets: y must have mean 0")
    judge.close(y.std(axis=0), [1, 1, 0], "targets: y must have standard deviation 1, or 0 where nothing changes")
    judge.close(obs + y * scale + mean, next_obs, "targets: obs + y * scale + mean must be next_obs again")

    x = np.concatenate([obs, act], axis=1)
    inputs = nets.Normalizer(x.mean(axis=0), x.std(axis=0), 200)
    delta = nets.Normalizer(change.mean(axis=0), change.std(axis=0), 200)
    weights = np.linalg.lstsq(inputs(x), delta(change), rcond=None)[0]
    constant = lambda answer: np.concatenate([np.zeros(12), np.full(3, answer)])  # a network that always answers that
    phi = np.stack([constant(0.0), np.concatenate([weights.ravel(), np.zeros(3)]), constant(1.0)])
    world = bremen.Dynamics(phi, inputs, delta, np.full(3, -np.inf), np.full(3, np.inf), None)
    got = predict(world, obs, act, 1, LINEAR)
    judge.close(got, next_obs, "predict: a model that is exact in a linear world must predict next_obs there")
    got = predict(world, obs, act, 0, LINEAR)
    judge.close(got, obs + delta.mean, "predict: a network that answers 0 predicts obs plus the mean difference")
    got, wanted = predict(world, obs, act, 2, LINEAR), obs + delta.mean + [*change.std(axis=0)[:2], 1]
    judge.close(got, wanted, "predict: a network that answers 1 adds the scale, which is 1 where nothing ever changed")


if __name__ == "__main__":
    judge.main(check, __file__)
