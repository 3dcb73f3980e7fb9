"""Plausible wrong answers to ex09."""

from dataclasses import replace

import numpy as np

import bremen
import envs
import trpo


def member_per_path(s, starts, cfg, rng):
    return bremen.imagine_paths(s, starts, replace(cfg, member_per="path"), rng)


def clipped_actions(s, starts, cfg, rng):
    paths, info = bremen.imagine_paths(s, starts, cfg, rng)
    return paths._replace(act=envs.TASKS[cfg.env].clip(paths.act)), info


def by_hand(
    s, starts, cfg, rng, goes_on=lambda fallen, next_obs, first: next_obs, member=None, clip=np.clip, one_noise=False
):
    task, T = envs.TASKS[cfg.env], cfg.horizon
    obs, rows = starts[rng.integers(len(starts), size=cfg.imagined_steps // T)], []
    first = obs
    for t in range(T):
        act, k = bremen.policy_of(s, cfg).sample(obs, rng), rng.integers(len(s.dynamics.phi))
        if one_noise:
            mu = bremen.policy_of(s, cfg).mean(obs)
            act = mu + (act - mu)[:1]
        k = member(t) if member else k
        next_obs = bremen.predict(s.dynamics, obs, task.clip(act), k, cfg)
        next_obs = clip(next_obs, s.dynamics.lowest, s.dynamics.highest)
        rows.append((obs, act, task.reward(obs, task.clip(act), next_obs), next_obs, ~task.healthy(next_obs)))
        obs = goes_on(~task.healthy(next_obs)[:, None], next_obs, first)
    *columns, terminated = (np.stack(column) for column in zip(*rows))
    truncated = np.zeros_like(terminated)
    truncated[-1] = ~terminated[-1]
    paths = trpo.Paths(*columns, terminated, truncated, bremen.time_of(terminated))
    return paths, {"imagined_reward": float(np.mean(paths.rew))}


def goes_on_where_it_began(s, starts, cfg, rng):
    return by_hand(s, starts, cfg, rng, lambda fallen, next_obs, first: np.where(fallen, first, next_obs))


def drawn_anew(pool):
    """The right way to go on, with starts drawn from `pool`."""
    rng = np.random.default_rng(9)
    return lambda fallen, next_obs, first: np.where(fallen, pool[rng.integers(len(pool), size=len(first))], next_obs)


def no_range(s, starts, cfg, rng):
    return by_hand(s, starts, cfg, rng, drawn_anew(starts), clip=lambda x, lowest, highest: x)


def rota(s, starts, cfg, rng):
    return by_hand(s, starts, cfg, rng, drawn_anew(starts), member=lambda t: t % len(s.dynamics.phi))


def few_starts(s, starts, cfg, rng):
    starts = starts[: cfg.imagined_steps // cfg.horizon]
    return by_hand(s, starts, cfg, rng, drawn_anew(starts))


def same_row_for_all(s, starts, cfg, rng):
    row = lambda: starts[rng.integers(len(starts))]
    return by_hand(s, starts, cfg, rng, lambda fallen, next_obs, first: np.where(fallen, row(), next_obs))


def few_first_states(s, starts, cfg, rng):
    return by_hand(s, starts[: cfg.imagined_steps // cfg.horizon], cfg, rng, drawn_anew(starts))


def favourite(s, starts, cfg, rng):
    return by_hand(
        s, starts, cfg, rng, drawn_anew(starts), member=lambda t: int(rng.random() < 0.1) + (rng.random() < 0.1)
    )


def same_noise_for_all(s, starts, cfg, rng):
    return by_hand(s, starts, cfg, rng, drawn_anew(starts), one_noise=True)


def restarted(s, starts, cfg, rng):
    paths, info = by_hand(s, starts, cfg, rng, drawn_anew(starts))
    return paths._replace(next_obs=np.concatenate([paths.obs[1:], paths.next_obs[-1:]])), info


WRONG = {
    "paths that fall together go on in the same row": same_row_for_all,
    "the first states are of the first rows only": few_first_states,
    "one member is drawn four times in five": favourite,
    "one noise for all paths": same_noise_for_all,
    "next_obs is taken after the restart": restarted,
    "nothing keeps the states within the range of the data": no_range,
    "the members take turns": rota,
    "only the first rows of starts are drawn": few_starts,
    "a member for each path": member_per_path,
    "actions are stored clipped: their likelihood is that of others": clipped_actions,
    "a fallen path goes on where it fell": by_hand,
    "a fallen path begins again where it began": goes_on_where_it_began,
}
