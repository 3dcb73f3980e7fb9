"""No penalty, a penalty on states, a penalty on actions: `python compare.py`."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import curves
import seams

import bremen


def by_state(s, starts, cfg, rng):
    """alpha KL(policy || clone) of each state is taken off the reward, the same for every action there."""
    paths, info = bremen.imagine_paths(s, starts, replace(cfg, alpha=0.0), rng)
    kl = seams.kl_to_clone(s, paths.obs.reshape(paths.rew.size, -1), cfg).reshape(paths.rew.shape)
    return paths._replace(rew=paths.rew - cfg.alpha * kl), info


def variants(part):
    return {
        "no penalty": curves.Variant(),
        "alpha 0.3, KL of the state": curves.Variant({"alpha": 0.3}, {"imagine": by_state}),
        "alpha 0.3, log-ratio of the action": curves.Variant({"alpha": 0.3}, {"imagine": part.imagine}),
    }


def main(argv=None):
    # few data and large steps: without a penalty the policy runs away to where the models are wrong
    common = dict(n_train=2000, target_kl=5e-2)
    curves.main("A price on leaving the clone", variants, __file__, curves.DISTANCE_TO_CLONE, argv, **common)


if __name__ == "__main__":
    main()
