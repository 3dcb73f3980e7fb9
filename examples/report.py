"""Tables and figures of finished runs: `python examples/report.py RUN [RUN ...] > report.md`

RUN is a run directory (config.json and progress.csv of it are enough), one of compare_d3rlpy.py, or a folder of many.
What is not finished is left out, with a note.  Runs that differ in nothing but the seed make one table, with a row per
seed.  Offline: dataset, clone, last policy, imagined return, and, apart, the best policy on the way (chosen by
evaluation: not a result); recursive: the last policy of each deployment (mean ± std over the real episodes at its end);
online: the last row.  Below it the interquartile mean over the seeds with a 95 % bootstrap interval (percentiles of
10,000 resamples of the seeds), as in Agarwal et al., arXiv:2108.13264.

A last table sets the methods side by side, a row per environment and dataset (each number of transitions has its own
table where an environment has several); its bottom row is the interquartile mean over environments and seeds of
normalised scores (0: uniform random actions, 1: the behaviour policy in examples/behavior/), resampled within each
environment.

--figure FILE   return against deployments and real transitions, of recursive and online runs.  An update of online
                TRPO is a deployment: its new policy goes to the robot
--curves FILE   real and imagined return against updates, of offline runs: a panel per environment, a line per seed
--beside FILE   the last table as a picture: a panel per environment, a dot per seed
--profile FILE  the share of runs above any score, and imagined against real returns, a row per table
--csv FILE      a row per run: returns, seconds, command, and what run.json adds: commit, versions, SHA-256 of the data
"""

import argparse
import itertools
import math
import sys
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import envs
import run

safe_files = run.page("safe_files")

directories, picture = run.page("run_directory"), run.page("picture")

# --- statistics -----------------------------------------------------------------------------------------------------


def interquartile_mean(*samples):
    """Mean of the middle half of all numbers, with a 95 % interval of a bootstrap within each sample.  -> 3 numbers

    samples (n,): the seeds of one environment each.  One number has no interval.
    """
    iqm = lambda *xs, axis=-1: stats.trim_mean(np.concatenate(xs, axis=axis), 0.25, axis=axis)
    if min(map(len, samples)) < 2:
        return iqm(*samples), np.nan, np.nan
    rng = np.random.default_rng(0)
    interval = stats.bootstrap(samples, iqm, n_resamples=10_000, method="percentile", rng=rng).confidence_interval
    return iqm(*samples), *interval


def profile(samples, thresholds, resamples=2000):
    """Share of runs above each threshold, with a 95 % interval; samples as above.  -> (M,), (M,), (M,)"""
    rng, above = np.random.default_rng(0), lambda x: np.mean(x[..., None] > thresholds, axis=-2)
    drawn = [np.asarray(x)[rng.integers(len(x), size=(resamples, len(x)))] for x in samples]
    low, high = np.percentile(above(np.concatenate(drawn, axis=1)), (2.5, 97.5), axis=0)
    return above(np.concatenate(samples)), low, high


@cache
def scale(env):
    """Mean return of uniform random actions (100 episodes, seed 0) and of the behaviour policy.  -> 2 numbers"""
    task = envs.TASKS[env]
    returns, _ = envs.evaluate(task, task.random_action, 100, np.random.default_rng(0))
    return returns.mean(), behavior_returns(env)[0]


def behavior_returns(env):
    """Mean return of the behaviour policy, its actions sampled, and of its mean action.  -> 2 numbers"""
    _, about = run.load_policy(run.HERE / "examples" / "behavior" / f"{env}.npz", envs.TASKS[env])
    return about["return_mean"], about["mean_action_return"][0]


def score(env, x):
    """Normalised return: 0 for uniform random actions, 1 for the behaviour policy."""
    zero, one = scale(env)
    return (np.asarray(x) - zero) / (one - zero)


# --- tables ---------------------------------------------------------------------------------------------------------


def labels(experiments):
    """What to call each experiment beside the others: its method, and the flags that not all of them have.  -> list"""
    own = (runs[0] for runs in experiments if not isinstance(runs[0], directories.Peer))
    shared = set.intersection(*[set(r.flags()) for r in own] or [set()])
    return [", ".join([runs[0].method(), *(f for f in runs[0].flags() if f not in shared)]) for runs in experiments]


def interval_text(x, digits=0):
    """Interquartile mean and interval of (mean, low, high), to be read."""
    if np.isnan(x[0]):
        return "unknown"
    middle, low, high = (f"{v:,.{digits}f}" for v in x)
    return middle if np.isnan(x[1]) else f"{middle} [{low}, {high}]"


def table(runs, unfinished):
    """A heading, the command and a Markdown table of the runs of one experiment; unfinished: its other seeds."""
    first, names = runs[0], list(runs[0].numbers())
    seeds, recursive = " ".join(str(r.config["seed"]) for r in runs), first.config["mode"] == "recursive"
    transitions = first.rows[-1].get("real_transitions", first.rows[-1].get("real_steps"))
    print(f"### {first.config['env']}, {first.config['mode']}: {first.method()}\n")
    print(f"`{first.command()} --random_seeds {seeds}`\n")
    print(f"{transitions:,.0f} real transitions per seed{', by deployment' if recursive else ''}.\n")
    if unfinished:
        seeds = ", ".join(map(str, sorted(unfinished)))
        print(f"{len(runs)} of {len(runs) + len(unfinished)} seeds; not finished: {seeds}.\n")
    print(f"| seed | {' | '.join(names)} | minutes |\n|---|{'---|' * (len(names) + 1)}")
    text = lambda m, s: "unknown" if np.isnan(m) else f"{m:,.0f}" + (f" ± {s:,.0f}" if np.isfinite(s) else "")
    for r in runs:
        cells = (text(m, s) for m, s in r.numbers().values())
        print(f"| {r.config['seed']} | {' | '.join(cells)} | {r.seconds() / 60:.1f} |")
    if len(runs) > 1:
        columns = (np.array([r.numbers()[name][0] for r in runs]) for name in names)
        print(f"| IQM [95 %] | {' | '.join(interval_text(interquartile_mean(x)) for x in columns)} | |")
    print()


def outcomes(experiments):
    """Last returns of offline experiments by dataset and method, dataset and clone among them.

    -> {dataset: {method: (n,) returns}}, one entry per seed; dataset and clone of the experiment with the most seeds
    """
    found = {}
    for label, runs in zip(labels(experiments), experiments):
        cells = found.setdefault(runs[0].dataset(), {})
        if runs[0].config["bc_init"] and len(runs) > len(cells.get("clone", ())):
            cells["dataset"] = np.array([r.numbers()["dataset"][0] for r in runs])
            cells["clone"] = np.array([r.numbers()["clone"][0] for r in runs])
        if label in cells:
            text = f"{runs[0].dataset()}, {label}: two experiments have this name, report them one at a time"
            raise run.UsageError(text)
        cells[label] = np.array([r.numbers()["last policy"][0] for r in runs])
    return found


def by_size(experiments):
    """The experiments on each number of transitions apart where an environment has several, the largest first.

    -> {what to add to a title: experiments}
    """
    size = lambda runs: int(runs[0].rows[0]["real_transitions"])
    kinds = {(runs[0].config["env"], size(runs)) for runs in experiments}
    if len(kinds) == len({env for env, _ in kinds}):
        return {"": experiments}
    sizes = sorted({n for _, n in kinds}, reverse=True)
    return {f", {n:,} transitions": [runs for runs in experiments if size(runs) == n] for n in sizes}


def methods_of(found):
    """All methods of `outcomes`, each once.  -> list"""
    return list(dict.fromkeys(method for cells in found.values() for method in cells))


def normalised(found):
    """Normalised returns of the methods that all datasets of `outcomes` have.  -> {method: [(n,) for each dataset]}"""
    common = [m for m in methods_of(found) if all(m in cells for cells in found.values())]
    return {m: [score(name.split(",")[0], cells[m]) for name, cells in found.items()] for m in common}


def comparison(found, which=""):
    """The methods side by side; the bottom row where all datasets have the method, and more than one environment."""
    methods = methods_of(found)
    print(f"### Side by side{which}\n\n| | {' | '.join(methods)} |\n|---|{'---|' * len(methods)}")
    for name, cells in found.items():
        texts = (interval_text(interquartile_mean(cells[m])) if m in cells else "" for m in methods)
        print(f"| {name} | {' | '.join(texts)} |")
    if len(environments := {name.split(",")[0] for name in found}) > 1:
        scores = normalised(found)
        texts = (interval_text(interquartile_mean(*scores[m]), 2) if m in scores else "" for m in methods)
        print(f"| normalised, {len(environments)} environments | {' | '.join(texts)} |")
    print()


def write_rows(path, experiments):
    """A row per run, for other programs."""
    rows = []
    for label, r in ((label, r) for label, runs in zip(labels(experiments), experiments) for r in runs):
        last, cells = r.rows[-1], r.numbers()
        row = {k: r.config[k] for k in ("env", "mode", "seed", "noise")} | {"method": label}
        row |= {"noise": ""} if r.config.get("data") else {}  # as the file has it
        row |= {"transitions": last.get("real_transitions", last.get("real_steps"))}
        row |= {"last_return": list(cells.values())[-1][0] if r.config["mode"] != "offline" else last["real_return"]}
        row |= {"last_return_std": last.get("real_return_std"), "imagined_return": last.get("imagined_return")}
        if r.config["mode"] != "online":
            row |= {"best_return": r.best(), "dataset_return": r.rows[0].get("data_return")}
        if r.config["mode"] == "offline" and r.config["bc_init"]:
            row |= {"clone_return": r.rows[0]["real_return"]}
        row |= {"wall_seconds": round(r.seconds(), 1), "sha256": r.about.get("data", {}).get("sha256")}
        row |= {"commit": r.about.get("commit")}
        row |= {"versions": " ".join(f"{k}={v}" for k, v in r.about.get("versions", {}).items())}
        rows.append(row | {"command": f"{r.command()} {r.SEED} {r.config['seed']}"})
    safe_files.write_csv(Path(path), rows)


# --- figures --------------------------------------------------------------------------------------------------------


COLORS = {"BREMEN": "C0", "without the clone (ME-TRPO style)": "C1", "TRPO on the simulator": "0.45", "clone": "C2",
          "dataset": "0.45"}  # fmt: skip
MORE_COLORS = "C3 C5 C6 C8 C9 gold navy black".split()  # C4 is the behaviour policy's, C7 as grey as the dataset


def curve(r):
    """Return over the deployments of a run.  -> deployments (n,), real transitions (n,), return (n,)"""
    if r.config["mode"] == "online":
        rows = [row for row in r.rows if "sampled_return" in row]
        columns = [(row["updates"], row["real_steps"], row["sampled_return"]) for row in rows]
    else:
        last = {int(row["deployment"]): row for row in r.rows}
        columns = [(i, row["real_transitions"], row["real_return"]) for i, row in last.items()]
    return np.array(columns, float).reshape(-1, 3).T


def figure(experiments, path):
    """Return against deployments (above) and transitions (below), a column per environment; mean and single seeds."""
    names = [name for name in bremen.CHOICES["env"] if any(runs[0].config["env"] == name for runs in experiments)]
    fig = picture.figure(figsize=(1 + 4 * len(names), 7))
    axes, called = fig.subplots(2, len(names), squeeze=False, sharey="col"), labels(experiments)
    colors = palette(dict.fromkeys(called))
    for name, runs in zip(called, experiments):
        column = axes[:, names.index(runs[0].config["env"])]
        curves = [curve(r) for r in runs]
        n = min(c.shape[1] for c in curves)
        mean = np.mean([c[2, :n] for c in curves], axis=0)
        for ax, i in zip(column, (0, 1)):
            for c in curves:
                ax.plot(c[i], c[2], color=colors[name], alpha=0.3, lw=1)
            marker = "" if runs[0].config["mode"] == "online" and n > 1 else "o"
            ax.plot(curves[0][i, :n], mean, color=colors[name], marker=marker, label=f"{name} (n = {len(runs)})")
    for name, column in zip(names, axes.T):
        column[0].set(title=name, xscale="log", xlabel="deployments")
        column[1].set(xscale="log", xlabel="real transitions for training")
    fig.supylabel("return per episode")
    picture.legend_below(fig, axes[0], 4)
    picture.save_figure(fig, Path(path))


def palette(methods):
    """A colour for each method, always the same for the usual ones.  -> {method: colour}"""
    return COLORS | dict(zip((m for m in methods if m not in COLORS), itertools.cycle(MORE_COLORS)))


def panel_grid(n):
    """A figure with n panels, three in a row.  -> figure, its axes (n,)"""
    columns, rows = min(3, n), math.ceil(n / 3)
    fig = picture.figure(figsize=(1 + 4.5 * columns, 4.2 * rows))
    grid = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[n:]:
        ax.remove()
    return fig, grid[:n]


def plot_beside(experiments, path):
    """Last returns by dataset and method, a panel per environment: interquartile mean, its interval, a dot per seed."""
    found, panels = outcomes(experiments), {}
    for name, cells in found.items():
        env, data = name.split(", ", 1)
        panels.setdefault(env, {})[data] = cells
    colors, (fig, grid) = palette(methods_of(found)), panel_grid(len(panels))
    for ax, (env, panel) in zip(grid, panels.items()):
        plot_behavior(ax, env)
        here = methods_of(panel)
        for i, method in enumerate(here):
            shown = [(x, cells[method]) for x, cells in enumerate(panel.values()) if method in cells]
            place = np.array([x for x, _ in shown]) + 0.7 * ((i + 0.5) / len(here) - 0.5)
            middle, low, high = np.array([interquartile_mean(returns) for _, returns in shown]).T
            error = np.nan_to_num(np.maximum([middle - low, high - middle], 0))  # rounding makes zeros negative
            ax.errorbar(place, middle, error, color=colors[method], fmt="s", ms=6, capsize=3, label=method)
            for x, (_, returns) in zip(place, shown):
                ax.plot(np.full(len(returns), x), returns, ".", color=colors[method], alpha=0.5)
        ax.set(title=env, ylabel="return per episode", xticks=range(len(panel)), xlim=(-0.5, len(panel) - 0.5))
        tilt = dict(rotation=30, ha="right") if len(panel) > 1 else {}
        ax.set_xticklabels(panel, **tilt)
    picture.legend_below(fig, grid, min(3, len(grid)) + 1)
    picture.save_figure(fig, Path(path))


def plot_curves(experiments, path):
    """Return against updates, a panel per environment: real ones of each seed, their mean, and what is imagined."""
    called = {}
    for which, some in by_size(experiments).items():
        called |= {id(runs): label + which for label, runs in zip(labels(some), some)}
    colors = palette(dict.fromkeys(called.values()))
    panels = dict.fromkeys(runs[0].config["env"] for runs in experiments)
    fig, grid = panel_grid(len(panels))
    for ax, env in zip(grid, panels):
        plot_behavior(ax, env)
        for runs in experiments:
            if runs[0].config["env"] == env:
                plot = plot_level if isinstance(runs[0], directories.Peer) else plot_seeds
                plot(ax, runs, called[id(runs)], colors[called[id(runs)]])
        ax.set(title=env, xlabel="TRPO updates", ylabel="return per episode")
    picture.legend_below(fig, grid, min(3, len(grid)) + 1)
    picture.save_figure(fig, Path(path))


def plot_behavior(ax, env):
    """What is to be beaten, as levels: the shipped behaviour policy with its noise, and by its mean action."""
    for act, return_, style in zip(("behaviour policy", "its mean action"), behavior_returns(env), (":", "--")):
        ax.axhline(return_, color="C4", ls=style, lw=1.5, label=act)


def plot_seeds(ax, runs, name, color):
    """The curves of one experiment: a thin line per seed, their mean, and the mean of what the models promise."""
    n = min(len(r.rows) for r in runs)
    column = lambda key: np.array([[row[key] for row in r.rows[:n]] for r in runs])
    updates, real = column("updates")[0], column("real_return")
    ax.plot(updates, real.T, color=color, lw=1, alpha=0.35)
    ax.plot(updates, real.mean(axis=0), color=color, lw=2.5, label=f"{name} (n = {len(runs)}), each and their mean")
    promised = np.nanmean(column("imagined_return"), axis=0)
    ax.plot(updates, promised, color=color, ls="--", lw=1.2, label=f"{name}: what its models promise")


def plot_level(ax, runs, name, color):
    """The mean last return of a method of d3rlpy, as a level: it counts in other steps."""
    ax.axhline(np.mean([r.numbers()["last policy"][0] for r in runs]), color=color, lw=1.5, label=name)


def plot_profile(experiments, path):
    """The share of runs above any normalised score, and how far imagined returns are from real ones."""
    parts = by_size(experiments)
    fig = picture.figure(figsize=(11, 5 * len(parts)))
    for row, (which, some) in zip(fig.subplots(len(parts), 2, squeeze=False), parts.items()):
        found = outcomes(some)
        colors = palette(methods_of(found))
        plot_shares(row[0], found, colors)
        row[0].set_title(f"returns{which}")
        plot_gaps(row[1], some, colors)
    picture.save_figure(fig, Path(path))


def plot_shares(ax, found, colors):
    """The share of runs above any normalised score, a line per method that all datasets of `outcomes` have."""
    curves = normalised(found)
    scores = np.concatenate([[0, 1], *itertools.chain(*curves.values())])
    thresholds = np.linspace(1.1 * scores.min(), 1.1 * scores.max(), 200)
    for method, samples in curves.items():
        share, low, high = profile(samples, thresholds)
        ax.plot(thresholds, share, color=colors[method], label=f"{method} (n = {sum(map(len, samples))})")
        ax.fill_between(thresholds, low, high, color=colors[method], alpha=0.15, lw=0)
    ax.axvline(1, color="0.8", lw=1, zorder=0)
    ax.set(xlabel="normalised return (0: random actions, 1: behaviour policy)", ylabel="share of runs above it")
    ax.legend(frameon=False, fontsize=9)


def plot_gaps(ax, experiments, colors):
    """Imagined against real returns of last policies, normalised, a dot per run."""
    for method, runs in zip(labels(experiments), experiments):
        if isinstance(runs[0], directories.Peer):  # imagines nothing
            continue
        ends = [[r.rows[-1][k] for k in ("real_return", "imagined_return")] for r in runs]
        points, shown = score(runs[0].config["env"], ends), ax.get_legend_handles_labels()[1]
        label = None if method in shown else method
        ax.plot(*points.T, "o", ms=4, alpha=0.7, color=colors[method], label=label)
    ax.axline((0, 0), slope=1, color="0.6", lw=1, zorder=0)
    ax.set(xlabel="real return, normalised", ylabel="imagined return, normalised", title="last policies")
    ax.legend(frameon=False, fontsize=9)


def main(argv=None):
    """Print the tables of the runs named on the command line, and draw their figures.  -> exit status: 0, 2 or 130"""
    parser = run.Parser(prog="report.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--figure", metavar="FILE", help="the picture of recursive and online runs")
    parser.add_argument("--curves", metavar="FILE", help="offline runs against updates, as a picture")
    parser.add_argument("--beside", metavar="FILE", help="offline runs side by side, as a picture")
    parser.add_argument("--profile", metavar="FILE", help="the scores of offline runs, as a picture")
    parser.add_argument("--csv", metavar="FILE", help="a row per run")
    return run.guarded("report.py", lambda: report(parser.parse_args(argv)))


def report(opts):
    """What the command line asks for.  -> exit status 0"""
    experiments, unfinished = directories.collected(opts.runs)
    place = {name: i for key in ("env", "noise") for i, name in enumerate(bremen.CHOICES[key])}
    experiments.sort(key=lambda runs: [place.get(runs[0].config[key], 9) for key in ("env", "noise")])
    offline = [runs for runs in experiments if runs[0].config["mode"] == "offline"]
    others = [runs for runs in experiments if runs[0].config["mode"] != "offline"]
    if (opts.figure and not others) or ((opts.profile or opts.beside or opts.curves) and not offline):
        text = "--figure shows recursive and online runs, --curves, --beside and --profile offline ones: there are none"
        raise run.UsageError(text)
    for runs in experiments:
        table(runs, unfinished.get(runs[0].experiment()))
    if len(offline) > 1:
        for which, some in by_size(offline).items():
            comparison(outcomes(some), which)
    print("Reported with " + ", ".join(f"{k} {v}" for k, v in run.page("provenance").versions().items()) + ".")
    if opts.figure:
        figure(others, opts.figure)
    if opts.curves:
        plot_curves(offline, opts.curves)
    if opts.beside:
        plot_beside(offline, opts.beside)
    if opts.profile:
        plot_profile(offline, opts.profile)
    if opts.csv:
        write_rows(opts.csv, experiments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
