"""A test that exposes the bug of ex11: next_obs must obey the pendulum's physics in every row.

Answer: That a hopper about to fall is put back on its feet. The box ends a path where the *predicted* state has
fallen, and here it would not: falling costs nothing, and a policy throws itself forward as fast as it can.
"""

from types import SimpleNamespace

import numpy as np

import envs


def test(sample):
    env = envs.TaskVectorEnv("pendulum", 3, max_episode_steps=4)
    env.reset(seed=0)
    push = SimpleNamespace(sample=lambda obs, rng: rng.uniform(-2, 2, (len(obs), 1)))
    paths, _ = sample(env, push, 10, np.random.default_rng(0))
    assert paths.truncated.sum() == 6, "three robots, ten steps, a limit of four: six episodes end"
    rows = lambda x: x.reshape(30, -1).astype(np.float64)
    obs, act, next_obs = rows(paths.obs), rows(paths.act), rows(paths.next_obs)
    state = np.stack([np.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2]], axis=1)
    wanted = env.sim.observe(env.sim.advance(state, act))
    assert np.allclose(next_obs, wanted, atol=1e-4), "next_obs is not where obs and act lead"
    on = ~paths.truncated[:-1]
    assert np.array_equal(paths.obs[1:][on], paths.next_obs[:-1][on]), "an episode goes on where it was"
