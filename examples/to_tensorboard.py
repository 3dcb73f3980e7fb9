"""--tensorboard: the rows of progress.csv as event files for TensorBoard, while a run goes on."""

import run

try:
    from tensorboardX import SummaryWriter
except ImportError as e:
    raise run.UsageError("--tensorboard needs the extra: pip install -e '.[tensorboard]'") from e

WRITERS = {}  # of this process, by the run's directory: each makes a file of its own


def add_row(folder, row):
    """Write the numbers of a row, at its number of updates, into folder/tensorboard."""
    if folder not in WRITERS:
        WRITERS[folder] = SummaryWriter(str(folder / "tensorboard"))
    for name, number in row.items():
        WRITERS[folder].add_scalar(name, number, row["updates"])
    WRITERS[folder].flush()
