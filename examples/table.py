"""Runs of several seeds as a Markdown table: `python examples/table.py log/hopper/offline/bremen/* > table.md`

A row per seed.  Offline: dataset, clone, last policy (mean ± std over the real episodes of the closing table), imagined
return, wall time; recursive: the first data and the last policy of each deployment.  Below it the interquartile mean
over the seeds with a 95 % bootstrap interval (percentiles of 10,000 resamples of the seeds), as in Agarwal et al.,
arXiv:2108.13264.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import envs
import run


def read(folder):
    """One run.  -> config, {name: (mean, std)}, wall seconds of training and evaluation"""
    config = json.loads((folder / "config.json").read_text())
    meta = envs.read_meta(folder, envs.read_npz(folder / "checkpoint.npz"))
    with open(folder / "progress.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    if int(rows[-1]["updates"]) != config["iterations"] * config["iteration_updates"]:
        raise SystemExit(f"{folder}: not finished")
    pair = lambda row, name: (float(row[name]), float(row[name + "_std"]))
    data = meta["history"]["batches"][0]
    numbers = {"dataset": (data["mean"], data["std"])}
    if config["mode"] == "offline":
        numbers |= {"clone": pair(rows[0], "real_return"), "BREMEN, last policy": pair(rows[-1], "real_return")}
        numbers |= {"imagined": pair(rows[-1], "imagined_return")}
    else:
        last = {int(row["deployment"]): pair(row, "real_return") for row in rows}  # a later row of it replaces this one
        numbers |= {f"deployment {i}": numbers for i, numbers in last.items()}
    return config, numbers, sum(float(v or 0) for row in rows for k, v in row.items() if k.endswith("_seconds"))


def interquartile_mean(x):
    """Mean of the middle half of x (n,), with a 95 % bootstrap interval.  -> 3 numbers"""
    iqm = lambda x, axis: stats.trim_mean(x, 0.25, axis=axis)
    interval = stats.bootstrap((x,), iqm, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0))
    return iqm(x, 0), *interval.confidence_interval


def main(folders):
    """Print the table of the runs in `folders`."""
    runs = sorted((read(Path(f)) for f in folders), key=lambda r: r[0]["seed"])
    config, names = runs[0][0], list(runs[0][1])
    seeds = " ".join(str(c["seed"]) for c, *_ in runs)
    command = run.command(run.read_config({**config, "seed": 0, "data": "", "threads": 0}))
    print(f"`{command} --random_seeds {seeds}`\n")
    print(f"| seed | {' | '.join(names)} | minutes |\n|---|{'---|' * (len(names) + 1)}")
    for c, numbers, seconds in runs:
        cells = " | ".join(f"{m:,.0f} ± {s:,.0f}" for m, s in numbers.values())
        print(f"| {c['seed']} | {cells} | {seconds / 60:.1f} |")
    if len(runs) > 1:
        means = [interquartile_mean(np.array([numbers[k][0] for _, numbers, _ in runs])) for k in names]
        print(f"| IQM [95 %] | {' | '.join(f'{m:,.0f} [{lo:,.0f}, {hi:,.0f}]' for m, lo, hi in means)} | |")
    print(f"\n{config['n_train']:,} transitions per seed. {', '.join(f'{k} {v}' for k, v in run.versions().items())}.")


if __name__ == "__main__":
    main(sys.argv[1:])
