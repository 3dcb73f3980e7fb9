"""Plausible wrong answers to ex18."""

import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams

import bremen
import envs

solution = judge.load(Path(__file__).parent, "solution")


def of_the_state(s, starts, cfg, rng):
    paths, info = bremen.imagine_paths(s, starts, replace(cfg, alpha=0.0), rng)
    kl = seams.kl_to_clone(s, paths.obs.reshape(paths.rew.size, -1), cfg).reshape(paths.rew.shape)
    return paths._replace(rew=paths.rew - cfg.alpha * kl), info


def a_bonus(s, starts, cfg, rng):
    same = deepcopy(rng)
    paths, info = solution.imagine(s, starts, cfg, rng)
    free, _ = bremen.imagine_paths(s, starts, replace(cfg, alpha=0.0), same)
    return paths._replace(rew=2 * free.rew - paths.rew), info


def of_clipped_actions(s, starts, cfg, rng):
    paths, info = solution.imagine(s, starts, cfg, rng)
    return paths._replace(act=envs.TASKS[cfg.env].clip(paths.act)), info


WRONG = {
    "the KL of the state: the same for every action": of_the_state,
    "a bonus instead of a penalty": a_bonus,
    "the actions come back clipped": of_clipped_actions,
}
