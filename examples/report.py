"""Tables and a figure of finished runs: `python examples/report.py RUN [RUN ...] > report.md`

RUN is a run directory (config.json and progress.csv of it are enough), or a folder of many.  Runs that differ in
nothing but the seed make one table, with a row per seed.  Offline: dataset, clone, last policy, imagined return;
recursive: the last policy of each deployment (mean ± std over the real episodes at its end); online: the last row.
Below it the interquartile mean over the seeds with a 95 % bootstrap interval (percentiles of 10,000 resamples of the
seeds), as in Agarwal et al., arXiv:2108.13264.

With `--figure FILE` also a picture: return against deployments and against real transitions, a column per
environment, of recursive and online runs.  An update of online TRPO is a deployment: its new policy goes to the robot.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import run


def read(folder):
    """One run.  -> (what it shares with its other seeds, a text), config, rows of progress.csv as numbers"""
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        with open(folder / "progress.csv", newline="") as f:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(f)]
        if left := left_of(config, rows):
            raise ValueError(f"not finished, {left:.0f} to come")
    except (OSError, ValueError, KeyError, IndexError) as e:
        raise SystemExit(f"{folder}: not the directory of a finished run ({type(e).__name__}: {e})") from e
    # thread counts and paths do not make another experiment
    same = {**config, "seed": 0, "data": "", "data_dir": "", "threads": 0}
    return json.dumps(same, sort_keys=True), config, rows


def left_of(config, rows):
    """Updates, or steps of mode online, that are still to come."""
    if config["mode"] == "online":
        return max(0, config["online_steps"] - rows[-1]["real_steps"])
    return config["iterations"] * config["iteration_updates"] - rows[-1]["updates"]


def unfinished(folder):
    """Whether there is not a finished run in this folder."""
    try:
        read(folder)
    except SystemExit:
        return True
    return False


def found(folders):
    """The run directories that these folders are, or hold."""
    for folder in map(Path, folders):
        inside = sorted(path.parent for path in folder.rglob("config.json"))
        yield from inside or [folder]


def method(config):
    """What a run is called in a legend."""
    if config["mode"] == "online":
        return "TRPO on the simulator"
    return "BREMEN" if config["bc_init"] else "without the clone (ME-TRPO style)"


def numbers(config, rows):
    """What a run's row of the table shows.  -> {title: (mean, std)}"""
    pair = lambda row, name: (row[name], row.get(f"{name}_std", np.nan))
    if config["mode"] == "online":
        return {"last iteration, sampled actions": pair(rows[-1], "sampled_return")}
    if config["mode"] == "recursive":
        last = {int(row["deployment"]): row for row in rows}  # a later row of a deployment replaces this one
        return {f"{i}": pair(row, "real_return") for i, row in last.items()}
    first = {"dataset": pair(rows[0], "data_return"), "clone": pair(rows[0], "real_return")}
    return first | {"last policy": pair(rows[-1], "real_return"), "imagined": pair(rows[-1], "imagined_return")}


def interquartile_mean(x):
    """Mean of the middle half of x (n,), with a 95 % bootstrap interval.  -> 3 numbers"""
    iqm = lambda x, axis: stats.trim_mean(x, 0.25, axis=axis)
    if len(x) < 2:
        return iqm(x, 0), np.nan, np.nan
    interval = stats.bootstrap((x,), iqm, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0))
    return iqm(x, 0), *interval.confidence_interval


def table(runs):
    """A heading, the command and a Markdown table of the runs of one experiment, a list of (config, rows)."""
    config, rows = runs[0]
    names, seeds = list(numbers(config, rows)), " ".join(str(c["seed"]) for c, _ in runs)
    command = run.command(run.read_config({**config, "seed": 0, "data": "", "threads": 0}))
    print(f"### {config['env']}, {config['mode']}: {method(config)}\n\n`{command} --random_seeds {seeds}`\n")
    transitions = rows[-1].get("real_transitions", rows[-1].get("real_steps"))
    print(
        f"{transitions:,.0f} real transitions per seed{', by deployment' if config['mode'] == 'recursive' else ''}.\n"
    )
    print(f"| seed | {' | '.join(names)} | minutes |\n|---|{'---|' * (len(names) + 1)}")
    for config, rows in runs:
        cells = (f"{m:,.0f}" + (f" ± {s:,.0f}" if np.isfinite(s) else "") for m, s in numbers(config, rows).values())
        seconds = sum(v for row in rows for k, v in row.items() if k.endswith("_seconds"))
        print(f"| {config['seed']} | {' | '.join(cells)} | {seconds / 60:.1f} |")
    if len(runs) > 1:
        means = [interquartile_mean(np.array([numbers(*r)[name][0] for r in runs])) for name in names]
        print(f"| IQM [95 %] | {' | '.join(f'{m:,.0f} [{lo:,.0f}, {hi:,.0f}]' for m, lo, hi in means)} | |")
    print()


def curve(config, rows):
    """Return over the deployments of a run.  -> deployments (n,), real transitions (n,), return (n,)"""
    if config["mode"] == "online":
        rows = [row for row in rows if "sampled_return" in row]
        columns = [(row["updates"], row["real_steps"], row["sampled_return"]) for row in rows]
    else:
        last = {int(row["deployment"]): row for row in rows}
        columns = [(i, row["real_transitions"], row["real_return"]) for i, row in last.items()]
    return np.array(columns, float).T


def figure(experiments, path):
    """Return against deployments (above) and transitions (below), a column per environment; mean and single seeds."""
    environments = [name for name in bremen.CHOICES["env"] if any(runs[0][0]["env"] == name for runs in experiments)]
    size = {"figsize": (1 + 4 * len(environments), 7), "squeeze": False, "sharey": "col", "layout": "constrained"}
    fig, axes = run.pyplot().subplots(2, len(environments), **size)
    colors = {"BREMEN": "C0", "without the clone (ME-TRPO style)": "C1", "TRPO on the simulator": "0.45"}
    for runs in experiments:
        name, column = method(runs[0][0]), axes[:, environments.index(runs[0][0]["env"])]
        curves = [curve(*r) for r in runs]
        n = min(c.shape[1] for c in curves)
        mean = np.mean([c[2, :n] for c in curves], axis=0)
        for ax, i in zip(column, (0, 1)):
            for c in curves:
                ax.plot(c[i], c[2], color=colors[name], alpha=0.3, lw=1)
            marker = "" if runs[0][0]["mode"] == "online" else "o"
            ax.plot(curves[0][i, :n], mean, color=colors[name], marker=marker, label=f"{name} (n = {len(runs)})")
    for name, column in zip(environments, axes.T):
        column[0].set(title=name, xscale="log", xlabel="deployments", ylabel="return per episode")
        column[1].set(xscale="log", xlabel="real transitions for training", ylabel="return per episode")
    axes[0, 0].legend(frameon=False, fontsize=9)
    run.save_figure(fig, Path(path))


def main(argv=None):
    """Print the tables of the runs named on the command line, and draw their figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--figure", metavar="FILE", help="the picture to write, of recursive and online runs")
    opts, groups = parser.parse_args(argv), {}
    for folder in found(opts.runs):
        key, config, rows = read(folder)
        groups.setdefault(key, []).append((config, rows))
    experiments = [sorted(runs, key=lambda r: r[0]["seed"]) for runs in groups.values()]
    for runs in experiments:
        table(runs)
    print("Reported with " + ", ".join(f"{k} {v}" for k, v in run.versions().items()) + ".")
    shown = [runs for runs in experiments if runs[0][0]["mode"] != "offline"]
    if opts.figure and not shown:
        raise SystemExit("--figure shows recursive and online runs, there are none")
    if opts.figure:
        figure(shown, opts.figure)


if __name__ == "__main__":
    main()
