"""Run directories, as examples/plot.py, report.py and sweep.py read them: finished or not, of this or earlier versions.

config.json and progress.csv of a run are enough.  What its files are: examples/run_directory.md.
"""

import contextlib
import csv
import json
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

import run

# --- directories and files ------------------------------------------------------------------------------------------


def found(folders):
    """The run directories that these folders are, or hold, each once, whatever it is called.  -> list of Paths"""
    places = {}
    for folder in map(Path, folders):
        inside = sorted(path.parent for path in folder.rglob("config.json") if path.parent.suffix != ".tmp")
        for place in inside or [folder]:
            places.setdefault(place.resolve(), place)
    return list(places.values())


def gather(folders, read):
    """Read the runs in or below some folders, each seed of an experiment once.

    read(folder) -> key of the experiment, seed, what else is wanted of the run; or run.UsageError
    -> {key: {seed: [what else]}}, {folder: run.UsageError} of the runs that cannot be used
    A folder that holds no run at all raises its run.UsageError.
    """
    experiments, left_out, first = {}, {}, {}
    for folder in found(folders):
        try:
            key, seed, *wanted = read(folder)
            other = first.setdefault((key, seed), folder)
            if other != folder:
                raise run.UsageError(f"{folder}: {other} has the same seed and numbers")
            experiments.setdefault(key, {})[seed] = wanted
        except run.UsageError as e:
            if not (folder / "config.json").exists():
                raise
            left_out[folder] = e
    return experiments, left_out


def notes_on(left_out):
    """What to tell of the runs that `gather` has left out.  -> list of texts"""
    return [f"{folder} is left out, {str(e).removeprefix(f'{folder}: ')}" for folder, e in left_out.items()]


@contextlib.contextmanager
def reading(folder, kind):
    """For a `with` block that reads a run directory: whatever is wrong with its files is a run.UsageError."""
    try:
        yield
    except OSError as e:
        raise run.UsageError(f"{folder}: not the directory of {kind} ({e.filename}: {e.strerror})") from e
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error) as e:
        raise run.UsageError(f"{folder}: not the directory of {kind} ({type(e).__name__}: {e})") from e


def read_config(folder):
    """config.json of a run, which may be of an earlier version of this program.  -> dict"""
    return json.loads((folder / "config.json").read_text())


def read_rows(path):
    """The rows of a CSV file; none if it is not there yet.  -> [{column: text}]

    A row that is cut is left out: the file is just being copied, and a part of a number is another number.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as f:
        return [row for row in csv.DictReader(f) if None not in row and None not in row.values()]


def experiment_of(config):
    """What a run shares with its other seeds: files and threads make no other experiment.  -> dict"""
    apart = {*run.FILE_FIELDS, "seed", "threads"}
    if config["mode"] != "online":  # earlier versions wrote the numbers of mode online into every config.json
        apart |= {name for name in config if name.startswith("online_")}
    return {name: value for name, value in config.items() if name not in apart}


# --- finished runs --------------------------------------------------------------------------------------------------


def pair(row, name):
    """A mean and its standard deviation, each NaN where the row has none.  -> 2 numbers"""
    return row.get(name, np.nan), row.get(f"{name}_std", np.nan)


class Run(NamedTuple):
    """One finished run: its config.json, the rows of progress.csv as numbers, and run.json ({} where there is none)."""

    config: dict
    rows: list
    about: dict
    SEED = "--seed"  # the flag for a single seed

    def experiment(self):
        """What it shares with its other seeds; the data of `--data` are among it.  -> text"""
        given = self.config["data"] and self.about.get("data", {}).get("sha256", self.config["data"])
        return json.dumps(experiment_of(self.config) | {"data": given}, sort_keys=True)

    def command(self):
        """The line that makes this run, without its seed."""
        data = f" --data {shlex.quote(run.short_path(self.config['data']))}" if self.config["data"] else ""
        return run.page("provenance").command(run.read_config({**self.config, "seed": 0, "threads": 0})) + data

    def dataset(self):
        """The data of an offline run, as text."""
        if self.config.get("data"):
            return f"{self.config['env']}, {self.rows[0]['real_transitions']:,.0f} of {Path(self.config['data']).name}"
        return f"{self.config['env']}, {self.config['n_train']:,} {self.config['noise']}"

    def flags(self):
        """What its command changes in the algorithm of its preset.  -> list of texts"""
        hidden = {"n_train", "noise", "no-bc_init", "deployments", "data"}  # shown elsewhere
        if self.config["mode"] != "recursive":
            hidden |= {"deployed_steps", "all_bc"}
        return [flag for flag in self.command().split(" --")[3:] if flag.split()[0] not in hidden]

    def method(self):
        """Which algorithm it is of."""
        if self.config["mode"] == "online":
            return "TRPO on the simulator"
        return "BREMEN" if self.config["bc_init"] else "without the clone (ME-TRPO style)"

    def seconds(self):
        """Wall time of all its parts."""
        return sum(v for row in self.rows for k, v in row.items() if k.endswith("_seconds"))

    def best(self):
        """The highest real return of its policies: chosen by evaluation, so reported apart."""
        return max((row["real_return"] for row in self.rows[1:]), default=np.nan)

    def numbers(self):
        """What a run's row of the table shows.  -> {title: (mean, std)}"""
        first, last = self.rows[0], self.rows[-1]
        if self.config["mode"] == "online":
            return {"last iteration, sampled actions": pair(last, "sampled_return")}
        if self.config["mode"] == "recursive":
            ends = {int(row["deployment"]): row for row in self.rows}  # a later row of a deployment replaces this one
            return {f"{i}": pair(row, "real_return") for i, row in ends.items()}
        start = "clone" if self.config["bc_init"] else "start"
        begin = {"dataset": pair(first, "data_return"), start: pair(first, "real_return")}
        end = {"last policy": pair(last, "real_return"), "imagined": pair(last, "imagined_return")}
        return begin | end | {"(best on the way)": (self.best(), np.nan)}


class Peer(Run):
    """A run of compare_d3rlpy.py: an offline run with the single row of its result.csv."""

    SEED = "--random_seeds"
    TEXTS = "env", "method", "noise", "commit", "versions", "sha256", "command"  # the other columns are numbers

    def experiment(self):
        """As of a Run."""
        return json.dumps({k: self.config[k] for k in ("env", "method", "n_train", "noise", "data", "steps")})

    def command(self):
        """As of a Run."""
        return self.rows[0]["command"].replace(f" --random_seeds {self.config['seed']}", "")

    def flags(self):
        """As of a Run: there is no preset."""
        return []

    def method(self):
        """As of a Run."""
        return f"{self.config['method']} (d3rlpy, {self.config['steps']:,} steps)"

    def numbers(self):
        """As of a Run."""
        (row,) = self.rows
        names = {"dataset": "data_return", "last policy": "real_return"}
        return {title: pair(row, name) for title, name in names.items()}


class Unfinished(run.UsageError):
    """A run that is not finished: `seed` of `experiment`."""

    def __init__(self, text, experiment, seed):
        super().__init__(text)
        self.experiment, self.seed = experiment, seed


def read(folder):
    """The finished run in a directory.  -> Run; or Unfinished, or another run.UsageError"""
    folder = Path(folder)
    with reading(folder, "a finished run"):
        config = read_config(folder)
        rows = read_rows(folder / ("result.csv" if "method" in config else "progress.csv"))
        rows = [{k: v if k in Peer.TEXTS else float(v) for k, v in row.items() if v} for row in rows]
        r = peer(config, rows) if "method" in config else Run(config, rows, read_about(folder))
        if left := left_of(config, rows):
            raise Unfinished(f"{folder}: not finished, {left} to come", r.experiment(), config["seed"])
        return r


def read_about(folder):
    """run.json of a run.  -> dict, {} where there is none"""
    path = folder / "run.json"
    return json.loads(path.read_text()) if path.exists() else {}


def peer(config, rows):
    """A run of compare_d3rlpy.py in the words of run.py.  -> Peer"""
    data = "" if config["data"] == "default" else config["file"]
    origin = {"commit": rows[0].get("commit"), "data": {"sha256": rows[0]["sha256"]}} if rows else {}
    return Peer(config | {"mode": "offline", "bc_init": False, "data": data}, rows, config | origin)


def left_of(config, rows):
    """What is still to come: updates, steps of mode online, or the first row.  -> text, "" if there is nothing"""
    if not rows or "method" in config:
        return "" if rows else "its first row"
    if config["mode"] == "online":
        left = config["online_steps"] - rows[-1]["real_steps"]
    else:
        left = config["iterations"] * config["iteration_updates"] - rows[-1]["updates"]
    return f"{left:,.0f}" if left > 0 else ""


def unfinished(folder):
    """Whether there is not a finished run in this folder."""
    try:
        read(folder)
    except run.UsageError:
        return True
    return False


def collected(folders):
    """The runs in or under these folders, each seed once.  Others are left out, which is said.  Or run.UsageError

    -> [runs of one experiment, in the order of their seeds], {experiment: its seeds that are not finished}
    """

    def keyed(folder):
        r = read(folder)
        return r.experiment(), r.config["seed"], r

    groups, left_out = gather(folders, keyed)
    notes, unfinished = notes_on(left_out), {}
    if not groups:
        others = f", and {len(notes) - 1} more like it" if notes[1:] else ""
        raise run.UsageError(f"no run is finished: {notes[0]}{others}")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    for e in left_out.values():
        if isinstance(e, Unfinished) and e.seed not in groups.get(e.experiment, {}):
            unfinished.setdefault(e.experiment, set()).add(e.seed)
    return [[runs[seed][0] for seed in sorted(runs)] for runs in groups.values()], unfinished
