"""--tensorboard: the rows of progress.csv as event files for TensorBoard, while a run goes on."""

import importlib.util

import run


def check():
    """run.UsageError where the package that writes event files is missing."""
    try:
        found = importlib.util.find_spec("tensorboardX")
    except ValueError:  # it is None in sys.modules
        found = None
    if not found:
        raise run.UsageError("--tensorboard needs the extra: pip install -e '.[tensorboard]'")


def add_row(folder, row):
    """Write the numbers of a row, at its number of updates, as a file of its own in folder/tensorboard."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard"), filename_suffix=f".{row['iteration']:04d}") as events:
        for name, number in row.items():
            events.add_scalar(name, number, row["updates"])
