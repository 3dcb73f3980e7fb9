"""Files that are read with suspicion: .npz files of anybody, and datasets.  envs.load_dataset is the one of this page.

No file is unpickled, and what is wrong with one is said in one line, by an envs.DataError.
"""

import json
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

import envs


def read_npz(path):
    """All arrays of an .npz, never unpickled; envs.DataError if it is missing, damaged or not an .npz.  -> dict"""
    if not Path(path).is_file():
        raise envs.DataError(f"{path}: {'a folder, not a file' if Path(path).is_dir() else 'no such file'}")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not an .npz file, or a truncated one")
        with open(path, "rb") as f, np.load(f, allow_pickle=False) as archive:
            if damaged := archive.zip.testzip():  # NumPy compares no checksum of what it does not read
                raise ValueError(f"{damaged} is damaged")
            return {name: np.asarray(archive[name]) for name in archive.files}
    except Exception as e:  # damaged bytes fail in many ways
        raise envs.DataError(f"{path}: cannot be read ({' '.join(str(e).split()) or type(e).__name__})") from e


def read_meta(path, arrays):
    """The JSON object in the `meta` string of an .npz.  -> dict; or envs.DataError"""
    with suppress(KeyError, ValueError, RecursionError):
        meta = json.loads(str(arrays["meta"]))
        if isinstance(meta, dict):
            return meta
    raise envs.DataError(f"{path}: its meta is not JSON, or not a JSON object")


def load_dataset(path, task=None):
    """Read and check a dataset of `task`, or of the task that it names: names, shapes, types, finite numbers.

    -> Batch, meta (dict); or envs.DataError
    """
    arrays = read_npz(path)
    if missing := {*envs.Batch._fields, "meta"} - arrays.keys():
        raise envs.DataError(f"{path}: not a dataset, it lacks {', '.join(sorted(missing))}")
    meta = read_meta(path, arrays)
    tasks = {task.name: task} if task else envs.TASKS
    if meta.get("env") not in list(tasks):  # a list, because what a file says may not be hashable
        raise envs.DataError(f"{path}: holds data of {meta.get('env')!r}, not of {', '.join(tasks)}")
    n, task = arrays["rew"].size, tasks[meta["env"]]
    shapes = envs.Batch((n, task.obs_dim), (n, task.act_dim), (n,), (n, task.obs_dim), (n,), (n,))
    kinds = envs.Batch("float", "float", "float", "float", "bool", "bool")
    rules = zip(envs.Batch._fields, shapes, kinds)
    data = envs.Batch(*(_column(f"{path}: {name}", arrays[name], shape, kind) for name, shape, kind in rules))
    if task.free_joint is not None and not (data.obs[:, 1:5].any(axis=1) & data.next_obs[:, 1:5].any(axis=1)).all():
        raise envs.DataError(f"{path}: a quaternion, columns 1 to 4 of obs and next_obs, is zero: it has no direction")
    return data, meta


def _column(name, x, shape, kind):
    """A column of a dataset, checked: "bool", or finite numbers for "float".  -> bool or float32"""
    if x.shape != shape or not x.dtype.name.startswith(kind) or len(x) == 0:
        raise envs.DataError(f"{name} is {x.dtype} {x.shape}, not {kind} {shape}, n > 0")
    if kind == "bool":
        return x
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, np.float32)
    if not np.isfinite(x).all():
        raise envs.DataError(f"{name} holds NaN or infinity (as float32)")
    return x


for _function in read_npz, read_meta, load_dataset:
    _function.__module__ = "envs"  # as which it is pickled: other processes find it there
