"""Do rows repeat?  `python examples/repeat.py examples/results/offline/runs.csv DIR --rows 3`

Rows of a sweep are drawn at random from a CSV of report.py, their runs are made again in DIR, from nothing and with one
thread as in any sweep, and both rows are compared.  With the same versions and the same kernels of BLAS they are equal
to the last digit; with others a run is another one.  The same line again goes on where it was interrupted.  Exit
status: 0 if all rows are equal, 1 if not.
"""

import argparse
import csv
import shlex
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent))  # missing with python -P
import report as tables
import sweep

import run

directories = run.page("run_directory")
FREE = "wall_seconds", "commit", "versions", "method"  # may differ: the last is named after what else is in the CSV


def read_rows(path):
    """The rows of a CSV of report.py.  -> [{column: text}]; or run.UsageError"""
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as f:
            rows = list(csv.DictReader(f))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise run.UsageError(f"{path}: cannot be read ({e})") from e
    rows = [row for row in rows if (row.get("command") or "").startswith("python run.py ")]  # without other programs'
    if not rows:
        raise run.UsageError(f"{path}: no runs of run.py, as `report.py --csv` writes them")
    return rows


def again(row, root):
    """Make the run of a row again, in `root`.  -> its row; or run.UsageError where the run fails"""
    line, folder = sweep.placed(shlex.split(row["command"])[2:], root)
    if directories.unfinished(folder) and sweep.execute(line, folder):
        raise run.UsageError(f"{row['command']}: failed, see {folder}.txt")
    made = directories.read(folder)
    if (commit := made.about["commit"]) != run.page("provenance").commit():
        raise run.UsageError(
            f"{folder} was made by commit {commit}, this is {run.page('provenance').commit()}: choose another DIR"
        )
    tables.write_rows(root / "row.csv", [[made]])
    return read_rows(root / "row.csv")[0]


def repeat(opts):
    """Draw rows, make them again, say what is equal.  -> exit status: 0 if all is, 1 if not"""
    rows, equal = read_rows(opts.csv), 0
    if not 1 <= opts.rows <= len(rows):
        raise run.UsageError(f"--rows {opts.rows}: {opts.csv} has {len(rows)}")
    for i in tqdm(np.random.default_rng(opts.seed).choice(len(rows), opts.rows, False), unit="run", desc="repeat"):
        was, now = rows[i], again(rows[i], opts.dir / f"row{i + 1}")
        other = [k for k in now if k not in FREE and now[k] != was.get(k)]
        equal += not other
        tqdm.write(f"row {i + 1}, {was['command']}: {'equal' if not other else 'other ' + ', '.join(other)}")
        if other and now["versions"] != was["versions"]:
            tqdm.write(f"  with {now['versions']}; it was {was['versions']}")
    print(f"{equal} of {opts.rows} rows repeat")
    return 0 if equal == opts.rows else 1


def main(argv=None):
    """Run the command line.  -> exit status: 0 or 1 as of `repeat`, 2 for what cannot be used, 130 for Ctrl-C"""
    p = run.Parser(prog="repeat.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("csv", metavar="CSV")
    p.add_argument("dir", type=Path, metavar="DIR")
    p.add_argument("--rows", type=int, default=3, metavar="N", help="how many to draw (3)")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw (0)")
    work = lambda: repeat(p.parse_args(argv))
    return run.guarded("repeat.py", work, lambda: "the same line goes on")


if __name__ == "__main__":
    sys.exit(main())
