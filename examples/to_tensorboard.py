"""Event files for TensorBoard: the columns of progress.csv over updates, or over real transitions for mode online.

python run.py --env hopper --tensorboard      # while the run goes on, a row after each iteration
python examples/to_tensorboard.py RUN         # from the progress.csv of the run directory RUN
tensorboard --logdir RUN

Both write to RUN/tensorboard.  They need an extra: pip install -e '.[tensorboard]'
"""

import argparse
import csv
import importlib.util
import math
import sys
from pathlib import Path

import run


def check():
    """run.UsageError unless the extra is installed: asked before a run begins, because the first row may take hours."""
    if not importlib.util.find_spec("tensorboardX"):
        raise run.UsageError("--tensorboard needs the extra: pip install -e '.[tensorboard]'")


WRITERS = {}  # directory of a run: what writes its event files until the run ends


def add_row(folder, row):
    """Add a row of progress.csv to the event files of a run; it is on the disk afterwards.  row: {column: number}"""
    if folder not in WRITERS:
        WRITERS[folder] = new_writer(folder)
        run.page("resume").HELD.callback(lambda: WRITERS.pop(folder).close())  # when the run lets go of its directory
    write_row(WRITERS[folder], row)


def new_writer(folder):
    """A writer of event files in `folder`/tensorboard.  -> tensorboardX.SummaryWriter"""
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))


def write_row(writer, row):
    """Write a scalar for each column of a row {column: number}."""
    step = int(row.get("real_steps", row["updates"]))
    for name, number in row.items():
        writer.add_scalar(name, number, step)
    writer.flush()


def read_rows(folder):
    """The rows of a run's progress.csv, without empty cells.  -> list of {column: number}; or run.UsageError"""
    path = folder / "progress.csv"
    if not path.exists():
        raise run.UsageError(f"{path}: No such file or directory")
    try:
        texts = run.page("run_directory").read_rows(path)
        rows = [{name: float(text) for name, text in row.items() if text} for row in texts]
    except OSError as e:
        raise run.UsageError(f"{path}: {e.strerror}") from e
    except (ValueError, csv.Error) as e:
        raise run.UsageError(f"{path}: not the progress.csv of a run ({e})") from e
    if not rows or not all(math.isfinite(row.get("updates", math.nan)) for row in rows):
        raise run.UsageError(f"{path}: not the progress.csv of a run (no column updates, or no rows)")
    return rows


def convert(folder):
    """Write the event files of a run directory from its progress.csv.  run.UsageError where there are some"""
    rows, place = read_rows(folder), folder / "tensorboard"
    if place.exists():
        raise run.UsageError(f"{place} exists: TensorBoard would show both, so remove it first")
    with run.writing(place, "the directory of the run must be one that can be written to"):
        writer = new_writer(folder)
        for row in rows:
            write_row(writer, row)
        writer.close()
    run.say(f"{len(rows)} rows; look at them with: tensorboard --logdir {folder}")


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""

    def work():
        p = run.Parser(
            prog="to_tensorboard.py",
            description=__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        p.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="directories of runs")
        folders = p.parse_args(argv).runs
        check()
        for folder in folders:
            convert(folder)
        return 0

    return run.guarded("to_tensorboard.py", work)


if __name__ == "__main__":
    sys.exit(main())
