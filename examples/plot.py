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

    -> key (label, name of x, folder beside its other seeds, numbers), seed, x (iterations,), real return (iterations,)
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
        curve = [(float(row[x]), float(row.get(y) or "nan")) for row in rows]
        return key, config["seed"], *np.array(curve).T


def plot_runs(groups, path):
    """Real return of one or many runs; several of a kind become their mean with its 95 % confidence interval.

    groups: {key of `read_run`: {seed: (x, return)}}
    """
    fig = picture.figure(figsize=(8, 5))
    ax, labels = fig.subplots(), [label for label, *_ in groups]
    for (label, _, place, _), seeds in groups.items():
        plot_mean(ax, f"{label}, {place}" if labels.count(label) > 1 else label, seeds.values())
    names_of_x = " / ".join(dict.fromkeys(name for _, name, *_ in groups))
    averaged = any(len(seeds) > 1 for seeds in groups.values())
    ax.set(xlabel=names_of_x, ylabel="return per episode" + (" (mean, 95 % CI)" if averaged else ""))
    ax.legend()
    picture.save_figure(fig, path)


def plot_mean(ax, label, curves):
    """A line for the mean of these curves (x, y), with its interval; points that no line would show get a marker."""
    x, mean, half, n = average(curves)
    few, many = (n[n > 0].min(), n.max()) if n.any() else (0, 0)
    label += f" (n = {few} to {many})" if few < many else f" (n = {many})"
    alone = lonely(n > 0).tolist()
    (line,) = ax.plot(x, mean, marker="o" if alone else "", markevery=alone, label=label)
    if many > 1:
        ax.fill_between(x, mean - half, mean + half, color=line.get_color(), alpha=0.2, lw=0)
    for i in lonely(n > 1):
        ax.errorbar(x[i], mean[i], half[i], color=line.get_color(), capsize=4)


def average(curves):
    """Mean of those curves (x, y) that have a point, and the half width of its 95 % confidence interval (NaN for one).

    -> x (P,), mean (P,), half (P,), how many have the point (P,)
    """
    xs, ys = (np.concatenate(columns) for columns in zip(*curves))
    x, known = np.unique(xs), np.isfinite(ys)
    points = [ys[known & (xs == a)] for a in x]
    mean = [p.mean() if len(p) else np.nan for p in points]
    half = [stats.sem(p) * stats.t.ppf(0.975, len(p) - 1) if len(p) > 1 else np.nan for p in points]
    return x, np.array(mean), np.array(half), np.array([len(p) for p in points])


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
