"""Another rollout rule: a path ends, badly, where the models disagree.  `python examples/parts/cautious_rollout.py`

The idea of MOReL (Kidambi et al., arXiv:2005.05951): what the models do not know is made unattractive, so the policy
need not be kept close to the clone.  Plain NumPy instead of a kernel; all members predict at every step.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))  # missing with python -P
from trial import compare

import bremen
import envs
import trpo

LIMIT = 0.5  # how far apart two members may be, in standard deviations of the change from step to step
PENALTY = -100.0  # the reward of the step that crosses it: worse than falling behind for a while


def imagine(s, starts, cfg, rng):
    """As bremen.imagine_paths.  -> trpo.Paths (T, B), info"""
    task, policy, K = envs.TASKS[cfg.env], bremen.policy_of(s, cfg), len(s.dynamics.phi)
    B, columns, unknown_steps = cfg.imagined_steps // cfg.horizon, [], 0
    draw = lambda: starts[rng.integers(len(starts), size=B)]
    obs = draw()
    for t in range(cfg.horizon):
        act = policy.sample(obs, rng)
        guesses = np.stack([bremen.predict(s.dynamics, obs, task.clip(act), k, cfg) for k in range(K)])
        spread = (guesses.max(axis=0) - guesses.min(axis=0)) / s.dynamics.delta.scale
        next_obs = np.clip(guesses[rng.integers(K)], s.dynamics.lowest, s.dynamics.highest)
        unknown = np.any(spread > LIMIT, axis=1)
        rew = np.where(unknown, PENALTY, task.reward(obs, task.clip(act), next_obs))
        terminated = unknown | ~task.healthy(next_obs)
        truncated = ~terminated & (t == cfg.horizon - 1)
        columns.append((obs, act, rew, next_obs, terminated, truncated))
        unknown_steps += np.count_nonzero(unknown)
        obs = np.where(terminated[:, None], draw(), next_obs)
    stacked = [np.stack(column) for column in zip(*columns)]
    paths = trpo.Paths(*stacked, bremen.time_of(stacked[4]))
    return paths, {"imagined_reward": float(np.mean(paths.rew)), "unknown": unknown_steps / paths.rew.size}


if __name__ == "__main__":
    compare(imagine=imagine)
