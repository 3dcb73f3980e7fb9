"""Sampling paths from robots that stand side by side and begin a new episode by themselves when one has ended."""

import numpy as np

import trpo


def sample_paths(env, policy, steps, rng):
    """Go on for `steps` steps with a policy in an envs.TaskVectorEnv.  -> trpo.Paths (steps, B), ended returns"""
    columns, returns, obs = [], [], env.obs.copy()
    for _ in range(steps):
        time, act = env.elapsed.copy(), policy.sample(obs, rng)
        next_obs, rew, terminated, truncated, infos = env.step(act)
        columns.append((obs, act, rew, next_obs, terminated, truncated, time))
        if "episode_returns" in infos:
            returns.extend(infos["episode_returns"][infos["_episode_returns"]])
        obs = next_obs
    return trpo.Paths(*(np.stack(column) for column in zip(*columns))), returns
