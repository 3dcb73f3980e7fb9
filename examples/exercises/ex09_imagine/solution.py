"""The rollout as a loop in NumPy, a step at a time.  The project's own, bremen.imagine_paths, runs it in a kernel.

Answer: Clipped actions lie on the inner side of a mean near the limit, more often than a Gaussian's would. The mean
of d log p / d mu is then not 0 but points inwards, and a policy moves although no action was better than any other;
nor do importance weights average to 1.
"""

import numpy as np

import bremen
import envs
import trpo


def imagine(s, starts, cfg, rng):
    task, policy, T = envs.TASKS[cfg.env], bremen.policy_of(s, cfg), cfg.horizon
    B, steps = cfg.imagined_steps // T, []
    draw = lambda: starts[rng.integers(len(starts), size=B)]
    obs = draw()
    for t in range(T):
        act = policy.sample(obs, rng)
        applied = task.clip(act)
        next_obs = bremen.predict(s.dynamics, obs, applied, rng.integers(len(s.dynamics.phi)), cfg)
        next_obs = np.clip(next_obs, s.dynamics.lowest, s.dynamics.highest)
        rew, terminated = task.reward(obs, applied, next_obs), ~task.healthy(next_obs)
        steps.append((obs, act, rew, next_obs, terminated, ~terminated & (t == T - 1)))
        obs = np.where(terminated[:, None], draw(), next_obs)
    columns = [np.stack(column) for column in zip(*steps)]
    paths = trpo.Paths(*columns, time=bremen.time_of(columns[4]))
    return paths, {"imagined_reward": float(np.mean(paths.rew))}
