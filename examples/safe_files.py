"""Files that are written whole or not at all, even if the disk is full, the process is killed, or the power fails.

Datasets, policies, checkpoints and tables of a run are written by these functions; read_files.py reads them.
"The original" is the authors' program: examples/original.md.
"""

import csv
import glob
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs import Batch

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def write_whole(path, write):
    """Write a file whole or not at all: write(f) into a temporary file, which is then renamed."""
    path = Path(path)
    remove_abandoned(path.parent, path.name)
    temporary = temporary_name(path)
    try:
        with open(temporary, "wb") as f:
            lock(f)
            write(f)
            f.flush()
            os.fsync(f.fileno())  # the content must be on the disk before the name is
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as e:  # its message has the temporary name, or none
        raise OSError(e.errno, e.strerror or str(e), str(path)) from e
    finally:
        with suppress(OSError):
            temporary.unlink()


def temporary_name(path):
    """A name for `path` while it is written, which no other process uses, on this machine or another.  -> Path"""
    return path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")


def remove_abandoned(folder, name):
    """Remove temporary files and run directories in `folder` that killed processes left when they wrote `name`.

    One that is locked belongs to a living process; a new, empty one perhaps, too: its lock comes with its first byte.
    """
    for left in folder.glob(f"{glob.escape(name)}.[0-9]*.tmp"):
        with suppress(OSError), open(left / "config.json" if left.is_dir() else left, "r+b") as f:
            old = time.time() - left.stat().st_mtime > 10  # seconds
            if (old or left.is_file() and f.read(1)) and lock(f):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def lock(file):
    """Lock an open file until it is closed or its process dies.  -> True, or False where the system has no locks

    BlockingIOError where another process has locked it.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return fcntl is not None


def sync(folder):
    """Put the names in a folder on the disk, where the system can (Windows cannot)."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def make_folder(path):
    """Make a folder and those above it, and put their names on the disk."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sha256(path):
    """The SHA-256 of a file.  -> 64 hexadecimal digits"""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# --- arrays, datasets, tables ----------------------------------------------------------------------------------------


def write_npz(path, **arrays):
    """Write an .npz, whole or not at all.  No pickles, unlike the original: ValueError for what would need one."""
    if objects := [name for name, value in arrays.items() if np.asarray(value).dtype.hasobject]:
        raise ValueError(f"{path}: {', '.join(objects)} could only be stored as pickles")
    write_whole(path, lambda f: np.savez(f, **arrays))


def save_dataset(path, batches, meta):
    """Write Batches, one after the other, as one dataset file, whole or not at all, with the memory of one Batch.

    meta: where the data come from, a dict for JSON; to it the numbers of rows and episodes and their returns are added.
    -> the whole meta
    """
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=Path(path).parent)) for _ in Batch._fields]
        rows, returns, begun = 0, [], 0.0
        for batch in batches:
            batch = Batch(*(np.asarray(x, bool if x.dtype == bool else np.float32) for x in batch))
            for file, x in zip(files, batch):
                file.write(x.tobytes())
            ended, begun = _returns_after(begun, batch)
            returns.extend(ended)
            rows += len(batch.rew)
        columns = (_OnDisk(file, x.dtype, (rows, *x.shape[1:])) for file, x in zip(files, batch))
        meta = {**meta, "transitions": rows, "episodes": len(returns)}
        for name, statistic in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max)):
            meta[f"return_{name}"] = float(statistic(returns)) if returns else None
        write_npz(path, **dict(zip(Batch._fields, columns)), meta=json.dumps(meta))
        return meta


def _returns_after(begun, batch):
    """Returns of the episodes that end in a Batch; `begun` is the sum of rewards of the first one before it.

    -> returns (E,), sum of rewards of the episode that has begun and goes on after the Batch
    """
    sums = np.cumsum(np.append(begun, batch.rew))
    ends = np.flatnonzero(batch.terminated | batch.truncated) + 1
    rest = np.cumsum(np.append(0.0, batch.rew[ends[-1] :]))[-1] if len(ends) else sums[-1]
    return np.diff(sums[ends], prepend=0.0), rest


class _OnDisk(NamedTuple):
    """An array in a file, which takes memory only while it is looked at."""

    file: object
    dtype: np.dtype
    shape: tuple

    def __array__(self, dtype=None, copy=None):
        return np.memmap(self.file, self.dtype, "r", shape=self.shape)


def write_csv(path, rows):
    """A line per row (a dict); the columns are those of all rows, in the order in which they first appear."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, lambda f: f.write(text.getvalue().encode(errors="surrogateescape")))
