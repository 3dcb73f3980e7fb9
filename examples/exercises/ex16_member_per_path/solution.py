"""The project's own rollout, with the setting that its command line calls --member_per path.

Answer: Per path, both times: a member's mistake can be used for T steps, but only in its own paths, while all others,
which never see it, count with (K - 1) / K. Per step, every path meets every member: a mistake lasts for one step in
K, and what members err in different directions averages out along the path as noise does.
"""

from dataclasses import replace

import bremen


def imagine(s, starts, cfg, rng):
    return bremen.imagine_paths(s, starts, replace(cfg, member_per="path"), rng)
