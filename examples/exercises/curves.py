"""Compare variants of the algorithm on the pendulum, over several seeds: a picture and a table.

Each swap exercise has a `compare.py` that says which variants; all the rest is here.  The variants of one seed share
data, start states of evaluation and streams of random numbers, so that their difference is less noisy than they are.
"""

import argparse
import operator
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent))
import judge
import seams

import bremen
import envs
import run

TASK = envs.TASKS["pendulum"]
SIZE = dict(threads=1, n_train=4000, policy_hidden=(32, 32), model_hidden=(32, 32), value_hidden=(32, 32),
            clone_steps=1500, imagined_steps=4000, iterations=20, iteration_updates=5, target_kl=5e-3, model_noise=0.0,
            eval_episodes=30,
            model_epochs=50, model_patience=50, model_lr=2e-3, model_lr_last=1e-4)  # fmt: skip
TINY = dict(n_train=300, policy_hidden=(8,), model_hidden=(8,), model_epochs=2, members=2, value="linear", horizon=20,
            clone_steps=50, imagined_steps=200, iterations=2, iteration_updates=1, eval_episodes=2)  # fmt: skip


class Variant(NamedTuple):
    """What a variant changes: fields of bremen.Config, parts of bremen.train_offline (fit, clone, ...), and how the
    behaviour policy acts: act(nets.Policy) -> function of (obs, rng), by default its `sample`."""

    changes: dict = {}
    parts: dict = {}
    act: Callable = operator.attrgetter("sample")


class Watch(NamedTuple):
    """What is drawn beside the return: measure(state, record, data, cfg) -> number, and its axis."""

    measure: Callable
    label: str
    scale: str = "linear"
    is_return: bool = False  # then both pictures share one axis


def imagined_return(s, record, data, cfg):
    """What the models expect the policy's mean action to return."""
    starts = data.obs[data.episode_starts()]
    return float(np.nanmean(bremen.imagined_returns(s, starts, cfg, np.random.default_rng(cfg.seed))))


def distance_to_clone(s, record, data, cfg):
    """Mean KL(policy || clone) over the logged observations [nats]."""
    return float(np.mean(seams.kl_to_clone(s, data.obs, cfg), dtype=np.float64))


def of_record(name):
    """The number that the record of the latest update has under this name; NaN before the first."""
    return lambda s, record, data, cfg: record.get(name, np.nan)


IMAGINED_RETURN = Watch(imagined_return, "return that the models expect", is_return=True)
IMAGINED_REWARD = Watch(of_record("imagined_reward"), "imagined reward per step")
STEP_KL = Watch(of_record("kl"), "KL(old || new) of an update [nats]", "log")
DISTANCE_TO_CLONE = Watch(distance_to_clone, "KL(policy || clone) on the data [nats]")


# --- runs -----------------------------------------------------------------------------------------------------------


def dataset(cfg, act):
    """n_train transitions of the pendulum's behaviour policy, which swings but does not balance.  -> Batch"""
    policy, _ = run.load_policy(run.HERE / "examples" / "behavior" / "pendulum.npz", TASK)
    acts, rng = envs.behavior(TASK, act(policy), cfg.noise), np.random.default_rng(cfg.seed)
    return envs.collect(TASK, acts, cfg.n_train, rng)


def learn(cfg, variant, watch, tick):
    """One run.  -> updates (U,), real return of the mean action (U,), what is watched (U,); U evaluations"""
    data, rows = dataset(cfg, variant.act), []
    for record in bremen.train_offline(cfg, data, **variant.parts):
        s = record["state"]
        if record["stage"] == "clone" or record["stage"] == "update" and s.updates % cfg.iteration_updates == 0:
            # the same start states every time: what differs between two evaluations is the policy
            act, rng = bremen.policy_of(s, cfg).mean, np.random.default_rng(cfg.seed)
            returns, _ = envs.evaluate(TASK, act, cfg.eval_episodes, rng)
            rows.append((s.updates, returns.mean(), watch.measure(s, record, data, cfg)))
            tick()
    return np.array(rows).T


def learn_all(variants, seeds, watch, common):
    """Every variant with every seed.  -> {name: (updates (U,), returns (seeds, U), watched (seeds, U), seconds)}"""
    numbers, results = {"env": "pendulum", **SIZE, **common}, {}
    cfgs = {name: bremen.configured(**{**numbers, **variant.changes}) for name, variant in variants.items()}
    with tqdm(total=len(seeds) * sum(c.iterations + 1 for c in cfgs.values()), unit="evaluation", disable=None) as bar:
        for name, variant in variants.items():
            began, runs = time.perf_counter(), []
            for seed in seeds:
                bar.set_description(f"{name}, seed {seed}")
                runs.append(learn(replace(cfgs[name], seed=seed), variant, watch, bar.update))
            updates, returns, watched = np.stack(runs, axis=1)
            results[name] = updates[0], returns, watched, time.perf_counter() - began
    return results


# --- picture and table ----------------------------------------------------------------------------------------------


def draw(results, title, watch, path):
    """Return, and what is watched, against updates: means over the seeds, bands from the lowest to the highest."""
    figure = run.page("picture").figure(figsize=(11, 4.2))
    axes = figure.subplots(1, 2, sharey=watch.is_return)
    for i, (name, (updates, *columns, _)) in enumerate(results.items()):
        for ax, values in zip(axes, columns):
            seen = np.isfinite(values).all(axis=0)  # nothing is imagined before the first update
            x, y = updates[seen], values[:, seen]
            ax.plot(x, y.mean(axis=0), color=f"C{i}", label=name)
            ax.fill_between(x, y.min(axis=0), y.max(axis=0), color=f"C{i}", alpha=0.15, lw=0)
    axes[0].set(ylabel="real return of the mean action")
    axes[1].set(ylabel=watch.label, yscale=watch.scale)
    for ax in axes:
        ax.set(xlabel="TRPO updates")
    axes[0].legend()
    seeds = len(next(iter(results.values()))[1])
    figure.suptitle(f"{title}\npendulum; mean of {seeds} seeds, band from the lowest to the highest", fontsize=11)
    run.page("picture").save_figure(figure, Path(path))


def table(results, watch):
    """Returns at the end (mean of the last quarter of the evaluations) and over the whole run, mean ± std over seeds.

    Then the difference to the first variant at the end, seed by seed, with its standard error, and what is watched, at
    the end, mean over the seeds.
    """
    titles = f"{'':34}{'clone or start':>16}{'whole run':>16}{'end':>16}{'end, difference':>18}"
    lines = [f"{titles}{'watched, end':>14}{'seconds':>9}"]
    last = lambda values: values[:, -max(1, values.shape[1] // 4) :].mean(axis=1)
    ends = {name: last(returns) for name, (_, returns, _, _) in results.items()}
    base = next(iter(ends.values()))
    for name, (_, returns, watched, seconds) in results.items():
        cells = [f"{x.mean():,.0f} ± {x.std():,.0f}" for x in (returns[:, 0], returns.mean(axis=1), ends[name])]
        difference, n = ends[name] - base, len(base)
        cells.append(f"{difference.mean():+,.0f} ± {difference.std() / np.sqrt(max(1, n - 1)):,.0f}")
        lines.append(
            f"{name:34}{cells[0]:>16}{cells[1]:>16}{cells[2]:>16}{cells[3]:>18}{last(watched).mean():14.3g}{seconds:9.0f}"
        )
    legend = "end: the last quarter of the evaluations; difference: to the first line, seed by seed, ± standard error"
    return "\n".join([*lines, legend, f"watched: {watch.label}"])


def main(title, variants, file, watch=IMAGINED_RETURN, argv=None, **common):
    """The command line of a compare.py: variants(module) -> {name: Variant}, with the module todo.py or solution.py.

    `common` are fields of bremen.Config for all variants.  Prints the table, leaves the picture in --out.
    """
    parser = argparse.ArgumentParser(description=f"{title}, on the pendulum.")
    parser.add_argument("--seeds", type=int, default=5, help="how many runs of each variant (default 5)")
    parser.add_argument("--out", default="curves.png", help="the picture (default curves.png, where you are)")
    parser.add_argument("--solution", action="store_true", help="compare with solution.py instead of todo.py")
    parser.add_argument("--tiny", action="store_true", help="so small that nothing is learnt: does everything run?")
    run.page("endings").plain_streams()
    opts = parser.parse_args(argv)
    if opts.seeds < 1:
        parser.error("--seeds: at least 1")
    folder = Path(file).resolve().parent
    part = judge.load(folder, "solution" if opts.solution else "todo")
    if not opts.solution and (wrong := judge.fault(judge.load(folder, "check").check, part)):
        sys.exit(wrong)  # a comparison of something wrong would only cost minutes
    results = learn_all(variants(part), range(opts.seeds), watch, {**common, **(TINY if opts.tiny else {})})
    draw(results, title, watch, opts.out)
    print(table(results, watch))
    print(f"picture: {opts.out}")
