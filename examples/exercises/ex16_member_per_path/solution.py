"""The project's own rollout, with the setting that its command line calls --member_per path."""

from dataclasses import replace

import bremen


def imagine(s, starts, cfg, rng):
    return bremen.imagine_paths(s, starts, replace(cfg, member_per="path"), rng)
