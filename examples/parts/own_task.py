"""An environment of one's own: a cart that balances a pole, in plain NumPy.  `python examples/parts/own_task.py`

The equations are those of Barto, Sutton & Anderson (IEEE Transactions on Systems, Man, and Cybernetics 13, 1983).
The data are random actions: the pole falls after some twenty steps, and nothing in them shows how to balance it.
A MuJoCo robot needs no class: Task(..., xml="/path/of/robot.xml", frame_skip=..., dt=...).
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # missing with python -P
from trial import compare

import envs


class CartPole:
    """Many carts at once; a state is [position, speed, angle, angular speed] (4,) float64, all of it observed."""

    def __init__(self, task):
        self.task = task

    def initial(self, rng):
        """A random state near the upright one.  -> (4,)"""
        return rng.uniform(-0.05, 0.05, 4)

    def advance(self, state, act):
        """An Euler step under a force of 10 N times act (B, 1); masses 1 and 0.1 kg, half a pole 0.5 m.  -> (B, 4)"""
        _, speed, angle, turn = state.T
        sin, cos = np.sin(angle), np.cos(angle)
        push = (10 * act[:, 0] + 0.05 * turn**2 * sin) / 1.1
        turning = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        return state + self.task.dt * np.stack([speed, push - 0.05 * turning * cos / 1.1, turn, turning], axis=1)

    def observe(self, state):
        """All of the state.  (B, 4) -> (B, 4) float32"""
        return state.astype(np.float32)


LIMIT = np.array([2.4, np.inf, 0.21, np.inf], np.float32)  # of position [m] and angle [rad]: beyond, it has fallen
upright = lambda obs, act, next_obs: 1 - 0.01 * np.sum(act * act, axis=-1)  # per step
envs.TASKS["cartpole"] = envs.Task("cartpole", "CartPole", 4, 1, upright, -LIMIT, LIMIT, max_steps=200, dt=0.02,
                                   physics=CartPole)  # fmt: skip


def random_data(cfg):
    """n_train transitions of uniform random forces.  -> Batch"""
    task = envs.TASKS[cfg.env]
    return envs.collect(task, envs.behavior(task, None, "random"), cfg.n_train, np.random.default_rng(cfg.seed))


NUMBERS = dict(env="cartpole", std=0.5, target_kl=0.01)
if __name__ == "__main__":
    compare(data=random_data, numbers=NUMBERS)
