"""What a right answer to ex18 does; `python check.py` tries todo.py."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import judge
import seams

import bremen

CFG = replace(seams.HOPPER, alpha=0.5)


def check(imagine):
    """The penalty of every action by SciPy's densities; on average over actions it is the KL divergence."""
    s, starts = seams.world()
    free, _ = bremen.imagine_paths(s, starts, replace(CFG, alpha=0.0), np.random.default_rng(0))
    paths, info = imagine(s, starts, CFG, np.random.default_rng(0))
    for name, got, wanted in zip(free._fields, paths, free):
        assert name == "rew" or np.array_equal(got, wanted), f"{name} must be that of bremen.imagine_paths, same rng"
    assert "imagined_reward" in info, "the second result must be what bremen.imagine_paths reports"

    clone, rows = s._replace(theta=s.beta), paths.rew.size
    density = [
        norm.logpdf(free.act.reshape(rows, 3), policy.mean(free.obs.reshape(rows, 11)), np.exp(policy.theta[-3:])).sum(
            1
        )
        for policy in (bremen.policy_of(s, CFG), bremen.policy_of(clone, CFG))
    ]
    penalty = (free.rew - paths.rew).ravel() / CFG.alpha
    ratio = density[0] - density[1]
    judge.close(penalty, ratio, "(rew without - rew with) / alpha must be log pi_theta - log pi_beta", 1e-3, 1e-3)
    kl, error = seams.kl_to_clone(s, free.obs.reshape(rows, 11), CFG).mean(), ratio.std() / np.sqrt(rows)
    assert abs(penalty.mean() - kl) < 5 * error, "on average over actions the penalty must be KL(policy || clone)"
    same, _ = imagine(clone, starts, CFG, np.random.default_rng(0))
    free, _ = bremen.imagine_paths(clone, starts, replace(CFG, alpha=0.0), np.random.default_rng(0))
    judge.close(same.rew, free.rew, "the clone itself must pay nothing", 1e-5, 1e-5)


if __name__ == "__main__":
    judge.main(check, __file__)
