"""Mode evaluate: the return of a saved policy in the simulator, without and with its noise.

python run.py --mode evaluate --env hopper --policy FILE.npz
"""

import sys

import numpy as np

import bremen
import envs
import nets
import run


def evaluate(cfg, opts):
    """--mode evaluate for one seed."""
    if "policy" not in opts:
        raise run.UsageError("--mode evaluate needs --policy FILE (a policy.npz of a run)")
    task, rng, threads = envs.TASKS[cfg.env], bremen.streams(cfg.seed)["evaluate"], nets.use_threads(cfg.threads)
    policy, _ = run.load_policy(opts["policy"], task)
    for name, act in (("mean action", policy.mean), ("sampled actions", policy.sample)):
        returns, steps = envs.evaluate(task, act, cfg.eval_episodes, rng, threads)
        run.say(f"{name}: return {run.summary(returns)['text']}, length {np.mean(steps):,.0f} steps")


def parser(argv):
    """The flags of this page.  -> run.Parser"""
    p = run.page("collect").page_parser("evaluate", "env preset seed threads eval_episodes".split(), __doc__, argv)
    p.add_argument("--policy", metavar="FILE", help="policy.npz to evaluate")
    return p


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""
    return run.page("collect").run_page("evaluate", parser, evaluate, argv)


if __name__ == "__main__":
    sys.exit(main())
