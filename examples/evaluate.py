"""Mode evaluate: the return of a saved policy in the simulator, without and with its noise.

python run.py --mode evaluate --env hopper --policy FILE.npz
"""

import sys

import numpy as np

import bremen
import envs
import nets
import run

# how far a robot without a healthy box points up, from its observations (B, S): 1 upright, -1 on its back
UPRIGHT = {
    "ant.xml": lambda obs: 1 - 2 * (obs[:, 2] ** 2 + obs[:, 3] ** 2),  # entry of the rotation matrix of its quaternion
    "half_cheetah.xml": lambda obs: np.cos(obs[:, 1]),
}


def tested(task, act, episodes, rng, threads):
    """Run episodes as `envs.evaluate` does, and look how they end.  -> returns (E,), lengths (E,), how many fall

    A robot falls if it leaves its healthy box or, where it has none, if it lies on its back at the end.
    """
    last = {}

    def watched(obs, rng):
        """The action, after a look at the robots that are still there."""
        last["obs"] = obs
        return act(obs, rng)

    returns, lengths = envs.evaluate(task, watched, episodes, rng, threads)
    fall = np.count_nonzero(lengths < task.max_steps)
    if task.xml in UPRIGHT:
        fall += np.count_nonzero(UPRIGHT[task.xml](last["obs"]) < 0)
    return returns, lengths, int(fall)


def evaluate(cfg, opts):
    """--mode evaluate for one seed."""
    if "policy" not in opts:
        raise run.UsageError("--mode evaluate needs --policy FILE (a policy.npz of a run)")
    task, rng, threads = envs.TASKS[cfg.env], bremen.streams(cfg.seed)["evaluate"], nets.use_threads(cfg.threads)
    policy, _ = run.load_policy(opts["policy"], task)
    for name, act in (("mean action", policy.mean), ("sampled actions", policy.sample)):
        returns, steps, fall = tested(task, act, cfg.eval_episodes, rng, threads)
        run.say(f"{name}: return {run.summary(returns)['text']}, length {np.mean(steps):,.0f} steps, {fall} fall")


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
