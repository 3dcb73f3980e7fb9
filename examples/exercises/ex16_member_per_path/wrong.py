"""Plausible wrong answers to ex16."""

from dataclasses import replace

import bremen


def per_step(s, starts, cfg, rng):
    return bremen.imagine_paths(s, starts, cfg, rng)


def one_for_all(s, starts, cfg, rng):
    k = rng.integers(len(s.dynamics.phi))
    alone = s._replace(dynamics=s.dynamics._replace(phi=s.dynamics.phi[k : k + 1]))
    return bremen.imagine_paths(alone, starts, cfg, rng)


def mean_of_members(s, starts, cfg, rng):
    together = s._replace(dynamics=s.dynamics._replace(phi=s.dynamics.phi.mean(axis=0, keepdims=True)))
    return bremen.imagine_paths(together, starts, cfg, rng)


def drawn_again(s, starts, cfg, rng):
    """Three members are drawn with replacement: some are never asked."""
    K = len(s.dynamics.phi)
    some = s.dynamics.phi[rng.integers(K, size=K)]
    cfg = replace(cfg, member_per="path")
    return bremen.imagine_paths(s._replace(dynamics=s.dynamics._replace(phi=some)), starts, cfg, rng)


WRONG = {
    "members are drawn with replacement": drawn_again,
    "one member per step": per_step,
    "one member for all paths": one_for_all,
    "a network of mean weights": mean_of_members,
}
