"""Train with the parts of bremen.train_offline as they are, then with others, on the same data: lines to compare."""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import bremen
import envs
import run

SMALL = dict(model_hidden=(32, 32), policy_hidden=(32, 32), value_hidden=(32, 32), clone_steps=1500, n_train=4000,
             imagined_steps=4000, iterations=20, iteration_updates=5, target_kl=5e-3, model_noise=0.0,
             threads=1)  # fmt: skip


def pendulum_data(cfg):
    """n_train transitions of the policy in examples/behavior, which swings the pendulum but does not balance it."""
    task, rng = envs.TASKS["pendulum"], np.random.default_rng(cfg.seed)
    policy, _ = run.load_policy(run.HERE / "examples" / "behavior" / "pendulum.npz", task)
    return envs.collect(task, envs.behavior(task, policy.sample, cfg.noise), cfg.n_train, rng)


def compare(changes=(), data=pendulum_data, numbers=(), **parts):
    """Print the real return of clone and last policy (50 episodes): of the algorithm as it is, and with other parts.

    parts: keywords of train_offline; changes: what they need in the Config; numbers: of the Config of both; data: a
    function Config -> Batch.  -> returns of the last policies, one (50,) each
    """
    run.page("endings").plain_streams()
    last, trials = [], [("BREMEN", {}, ()), (f"with another {', '.join(parts)}", parts, changes)]
    for name, chosen, own in trials[: 1 + bool(parts)]:
        cfg = bremen.configured(**{"env": "pendulum", **SMALL, **dict(numbers), **dict(own)})
        records = bremen.train_offline(cfg, data(cfg), **chosen)
        total = 2 + cfg.updates_by(1)
        states = {r["stage"]: r["state"] for r in tqdm(records, name, total, leave=False, disable=None, unit="stage")}
        for stage, what in (("clone", "clone"), ("update", "last policy")):
            policy, rng = bremen.policy_of(states[stage], cfg), np.random.default_rng(0)
            returns, _ = envs.evaluate(envs.TASKS[cfg.env], policy.mean, 50, rng)
            print(f"{name}, {what}: {returns.mean():,.0f} ± {returns.std():,.0f}")
        last.append(returns)
    return last
