"""What a right answer to ex11 does; `python check.py` tries todo.py."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge

import envs
import trpo

sample_paths = envs.page("online").sample_paths
suspect = judge.load(Path(__file__).parent, "suspect")


def robot_by_robot(env, policy, steps, rng):
    """A right one that keeps a list for every robot."""
    robots, returns = [[] for _ in range(env.num_envs)], []
    for _ in range(steps):
        obs, time, act = env.obs.copy(), env.elapsed.copy(), policy.sample(env.obs.copy(), rng)
        new, rew, terminated, truncated, infos = env.step(act)
        for b, rows in enumerate(robots):
            ended = terminated[b] or truncated[b]
            after = infos["final_obs"][b] if ended else new[b]
            rows.append((obs[b], act[b], rew[b], after, terminated[b], truncated[b], time[b]))
        if "episode_returns" in infos:
            returns.extend(infos["episode_returns"][infos["_episode_returns"]])
    return trpo.Paths(
        *(np.stack([np.stack(c) for c in column], 1) for column in zip(*(zip(*r) for r in robots)))
    ), returns


def shifted(env, policy, steps, rng):
    """next_obs made of the obs of the row below."""
    paths, returns = sample_paths(env, policy, steps, rng)
    return paths._replace(next_obs=np.concatenate([paths.obs[1:], paths.next_obs[-1:]])), returns


def stays(env, policy, steps, rng):
    """next_obs of the last row of an episode is that row's obs."""
    paths, returns = sample_paths(env, policy, steps, rng)
    ended = (paths.terminated | paths.truncated)[..., None]
    return paths._replace(next_obs=np.where(ended, paths.obs, paths.next_obs)), returns


def idle(env, policy, steps, rng):
    """No action is recorded."""
    paths, returns = sample_paths(env, policy, steps, rng)
    return paths._replace(act=0 * paths.act), returns


def check(test):
    """Right samplers must pass the test; those that take the next state from the next episode must fail it."""
    right = {"sample_paths of examples/online.py": sample_paths, "with a list for every robot": robot_by_robot}
    wrong = {"the bug in suspect.py": suspect.sample_paths, "next_obs taken from the row below": shifted}
    wrong |= {"an end at which next_obs is obs": stays, "actions that are recorded as 0": idle}
    judge.exposes(test, right, wrong)


if __name__ == "__main__":
    judge.main(check, __file__)
