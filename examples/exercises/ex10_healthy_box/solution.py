"""A test that exposes the bug of ex10.

Answer: In the simulator physics keeps velocities within what can happen, whatever the box says. A model extrapolates
to any velocity, and the policy is trained to find whatever pays in the models: the only thing that ends such a path
is the box.
"""

import numpy as np

import envs


def test(healthy):
    task = envs.TASKS["hopper"]
    standing = np.zeros(11)
    standing[0] = 1.25
    assert healthy(standing), "a hopper that stands upright is healthy"
    for i in range(11):
        for value in (-np.inf, -150, -99, -0.3, -0.1, 0.1, 0.3, 0.6, 0.8, 99, 150, np.inf, np.nan):
            obs = standing.copy()
            obs[i] = value
            assert healthy(obs) == task.healthy(obs), (
                f"obs[{i}] = {value} is {'' if task.healthy(obs) else 'not '}healthy"
            )
