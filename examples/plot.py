"""Mode plot: return against updates of the runs in or below some directories, in one picture.

python run.py --mode plot --runs DIR [DIR ...] --out FILE

Runs that differ in nothing but the seed become one line: their mean, with its 95 % confidence interval.  A run that
has no iteration yet is left out, with a note.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from scipy import stats

import run

directories, picture = run.page("run_directory"), run.page("picture")

# --- the picture ----------------------------------------------------------------------------------------------------


def read_run(folder):
    """What a run directory has for the picture.  Or run.UsageError

    -> key (label, name of x, folder beside its other seeds, numbers), seed, deployment and x (iterations, 2),
       real return (iterations,)
    """
    with directories.reading(folder, "a run"):
        config = directories.read_config(folder)
        rows = directories.read_rows(folder / "progress.csv")
        x, y = ("real_steps", "sampled_return") if config["mode"] == "online" else ("updates", "real_return")
        place = folder.resolve().parent
        label = f"{config['env']}, {config['mode']}, {place.name}"
        key = label, x, os.path.relpath(place), json.dumps(directories.experiment_of(config))
        if not rows:
            raise run.UsageError(f"{folder}: it has no iteration yet")
        where = [(float(row.get("deployment") or 0), float(row[x])) for row in rows]
        return key, config["seed"], np.array(where), np.array([float(row.get(y) or "nan") for row in rows])


def plot_runs(groups, path):
    """Real return of one or many runs; several of a kind become their mean with its 95 % confidence interval.

    groups: {key of `read_run`: {seed: (deployment and x, return)}}
    """
    names_of_x = list(dict.fromkeys(name for _, name, *_ in groups))  # updates and real steps have an axis each
    fig = picture.figure(figsize=(5 + 3 * len(names_of_x), 5))
    axes = dict(zip(names_of_x, fig.subplots(1, len(names_of_x), sharey=True, squeeze=False)[0]))
    for i, (label, (_, name, *_), seeds) in enumerate(zip(told_apart(groups), groups, groups.values())):
        plot_mean(axes[name], label, seeds.values(), color=f"C{i}")
    averaged = any(len(seeds) > 1 for seeds in groups.values())
    for name, ax in axes.items():
        ax.set(xlabel=name)
    axes[names_of_x[0]].set(ylabel="return per episode" + (" (mean, 95 % CI)" if averaged else ""))
    picture.legend_below(fig, axes.values(), len(names_of_x))
    picture.save_figure(fig, path)


def told_apart(groups):
    """A label for each group; where several have the same, with their folders and the numbers in which they differ."""
    for label, _, place, experiment in groups:
        alike = [
            (other_place, json.loads(other)) for other_label, _, other_place, other in groups if other_label == label
        ]
        numbers, places = json.loads(experiment), {other_place for other_place, _ in alike}
        differ = [name for name in numbers if any(other.get(name) != numbers[name] for _, other in alike)]
        yield ", ".join([label, *[place] * (len(places) > 1), *(f"{name} {numbers[name]}" for name in differ)])


def plot_mean(ax, label, curves, color):
    """A line for the mean of these curves, with its interval; points that no line would show get a marker."""
    x, mean, half, n = average(curves)
    few, many = (n[n > 0].min(), n.max()) if n.any() else (0, 0)
    label += f" (n = {few} to {many})" if few < many else f" (n = {many})"
    alone = lonely(n > 0).tolist()
    ax.plot(x, mean, marker="o" if alone else "", markevery=alone, label=label, color=color)
    if many > 1:
        ax.fill_between(x, mean - half, mean + half, color=color, alpha=0.2, lw=0)
    for i in lonely(n > 1):
        ax.errorbar(x[i], mean[i], half[i], color=color, capsize=4)


def average(curves):
    """Mean of those curves (deployment and x, y) that have a point, and the half width of its 95 % confidence interval
    (NaN for one).  The last update of a deployment and the clone of the next stand at one x, and are two points.

    -> x (P,), mean (P,), half (P,), how many have the point (P,)
    """
    where, ys = (np.concatenate(columns) for columns in zip(*curves))
    places, known = np.unique(where, axis=0), np.isfinite(ys)  # sorted by deployment, then x
    points = [ys[known & np.all(where == place, axis=1)] for place in places]
    mean = [p.mean() if len(p) else np.nan for p in points]
    half = [stats.sem(p) * stats.t.ppf(0.975, len(p) - 1) if len(p) > 1 else np.nan for p in points]
    return places[:, 1], np.array(mean), np.array(half), np.array([len(p) for p in points])


def lonely(there):
    """Which points have no neighbour, so that no line shows them.  there (P,) of bool -> indices"""
    beside = np.pad(there, 1)
    return np.flatnonzero(there & ~beside[:-2] & ~beside[2:])


# --- the command line -----------------------------------------------------------------------------------------------


def plot(opts):
    """Draw the runs that the command line names, and say which are left out.  -> exit status 0; or run.UsageError"""
    groups, left_out = directories.gather(opts.runs, read_run)
    notes = directories.notes_on(left_out)
    if not groups:
        raise run.UsageError(f"--runs: none has an iteration yet ({notes[0]})")
    for note in notes:
        run.say(f"note: {note}")
    plot_runs(groups, opts.out)
    n = sum(map(len, groups.values()))
    run.say(f"{opts.out}: {n} run{'s' if n > 1 else ''}")
    return 0


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""
    p = run.Parser(prog="run.py --mode plot", description=__doc__, allow_abbrev=False,
                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    for ignored in ("--mode", "--env"):
        p.add_argument(ignored, help=argparse.SUPPRESS)
    p.add_argument("--runs", nargs="+", metavar="DIR", required=True, help="run directories, or folders of many")
    p.add_argument("--out", type=Path, default=Path("curves.png"), metavar="FILE", help="the picture (curves.png)")
    return run.guarded("run.py", lambda: plot(p.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
