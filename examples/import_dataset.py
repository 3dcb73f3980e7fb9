"""Turn datasets of other programs into this project's .npz.

    python examples/import_dataset.py brac data/Hopper/pure --env hopper --out hopper.npz
    python examples/import_dataset.py d4rl hopper_medium-v2.hdf5 --env hopper --out hopper.npz
    python examples/import_dataset.py minari ~/.minari/datasets/mujoco/hopper/medium-v0 --env hopper --out hopper.npz
    python examples/import_dataset.py minari mujoco/hopper/medium-v0 --env hopper --out hopper.npz

brac: the TensorFlow checkpoint of arXiv:1911.11361 (data.index and data.data-00000-of-00001), on which the original
BREMEN trains; read without TensorFlow, checksums included.  d4rl: HDF5 in the layout of arXiv:2004.07219.  minari: a
dataset's folder, or its id, through the package minari.  d4rl and minari need the extra: pip install -e '.[import]'

Files are read a part at a time, in a process of its own, whose memory and time are limited: whatever a damaged or
hostile file does to the library that reads it, this program says so in one line, and nothing else is lost.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import envs
import run

PART = 50_000  # rows that are held in memory at a time
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # HDF5 loads no shared library because a file asks for it


class Table(NamedTuple):
    """A foreign dataset, opened but not read yet."""

    rows: int
    returns: list  # of the episodes, as the file has them
    parts: Iterator  # of Batches


# --- TensorFlow's checkpoints ----------------------------------------------------------------------------------------
# data.index is a table in LevelDB's format that maps names to places in the data file, and stores their checksums.

TENSORS = "_s1", "_s2", "_a1", "_reward", "_discount"  # obs, next_obs, act, rew, and 0 where an episode terminated
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
TYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}  # TensorFlow's numbers
MAGIC = 0xDB4775248B80FB57


def _crc_table():
    """The 256 remainders of CRC-32C, the Castagnoli polynomial.  -> (256,) uint32"""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0x82F63B78) ^ (table >> 1), table >> 1).astype(np.uint32)
    return table


CRC_TABLE = _crc_table()


@numba.njit
def crc32c(data, crc):
    """CRC-32C of bytes (N,) uint8 that follow bytes whose CRC-32C is `crc` (0 where none do): RFC 3720, appendix B.4"""
    crc = np.uint32(crc) ^ np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


def check_crc(name, data, stored):
    """ValueError unless the CRC-32C of bytes (N,) uint8, masked as LevelDB does, is the stored one."""
    crc = 0
    for i in range(0, len(data), 1 << 24):
        crc = int(crc32c(np.asarray(data[i : i + (1 << 24)]), crc))
    if ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF != stored:
        raise ValueError(f"{name}: damaged, its checksum is wrong")


def varint(data, i):
    """An integer in groups of seven bits, the lowest first.  -> integer, index behind it"""
    value = 0
    for shift in range(0, 64, 7):
        value |= (data[i] & 127) << shift
        i += 1
        if data[i - 1] < 128:
            return value, i
    raise ValueError("an integer does not end")


def block(index, offset, size):
    """Generator of the entries of one block of the table: key, value (bytes)."""
    data = index[offset : offset + size]
    if len(data) < size or size < 8 or index[offset + size] != 0:
        raise ValueError("the index is cut off, or compressed")
    stored = int.from_bytes(index[offset + size + 1 : offset + size + 5], "little")
    check_crc("data.index", np.frombuffer(index[offset : offset + size + 1], np.uint8), stored)
    end = size - 4 - 4 * int.from_bytes(data[-4:], "little")
    i, key = 0, b""
    while i < end:
        shared, i = varint(data, i)
        own, i = varint(data, i)
        length, i = varint(data, i)
        key = key[:shared] + data[i : i + own]
        if len(key) > 1000:
            raise ValueError("a name without end in the index")
        yield key, data[i + own : i + own + length]
        i += own + length


def message(data):
    """A protocol buffer.  -> {field number: [values]}, integers or bytes"""
    found, i = {}, 0
    while i < len(data):
        tag, i = varint(data, i)
        if tag & 7 == 0:
            value, i = varint(data, i)
        elif tag & 7 == 2:
            length, i = varint(data, i)
            value, i = data[i : i + length], i + length
        elif tag & 7 == 5:
            value, i = int.from_bytes(data[i : i + 4], "little"), i + 4
        else:
            raise ValueError("an unusual field in the index")
        found.setdefault(tag >> 3, []).append(value)
    return found


def tensors(folder):
    """The arrays of a checkpoint that lie where `folder` / data.index says.  -> {name: array on the disk}"""
    index = (folder / "data.index").read_bytes()
    if not 48 <= len(index) <= 1_000_000 or int.from_bytes(index[-8:], "little") != MAGIC:
        raise ValueError("not a TensorFlow checkpoint")
    i, place = 0, []
    for _ in range(4):  # where two blocks lie; the second one says where all others do
        value, i = varint(index[-48:-8], i)
        place.append(value)
    arrays, read, data = {}, 0, np.memmap(folder / "data.data-00000-of-00001", np.uint8, "r")
    for _, handle in block(index, *place[2:]):
        offset, i = varint(handle, 0)
        size, _ = varint(handle, i)
        read += size
        if read > len(index):
            raise ValueError("blocks of the index overlap")
        for key, value in block(index, offset, size):
            name = key.decode().removesuffix(SUFFIX).removeprefix("data/")
            if name not in (*TENSORS, "size"):
                continue
            entry = message(value)
            shape = [message(dim).get(1, [0])[0] for dim in message(entry[2][0]).get(2, ())]
            start, size, kind = entry.get(4, [0])[0], entry[5][0], TYPES[entry[1][0]]
            raw = data[start : start + size]
            if 7 in entry or entry.get(3, [0])[0] != 0 or len(raw) < size:
                raise ValueError(f"{name} is not in data.data-00000-of-00001, or not whole")
            check_crc(name, raw, entry[6][0])
            arrays[name] = raw.view(kind).reshape(shape)
    return arrays


def open_brac(path):
    """BRAC's replay buffer; an episode ends where the discount is 0, or where the next row does not go on.  -> Table"""
    folder = path if path.is_dir() else path.parent
    for name in ("data.index", "data.data-00000-of-00001"):
        if not (folder / name).is_file():
            raise envs.DataError(f"{folder / name}: no such file")
    arrays = tensors(folder)
    obs, next_obs, act, rew, discount = (arrays[name] for name in TENSORS)
    n = int(arrays["size"]) if "size" in arrays else len(obs)  # the rest of the buffer is empty
    if n < 1 or min(map(len, (obs, next_obs, act, rew, discount))) < n or obs.shape != next_obs.shape:
        raise ValueError(f"its {n} rows are not there")

    def columns(rows):
        follow = obs[rows.start + 1 : rows.stop + 1][: n - rows.start - 1]  # none behind the last row
        goes_on = np.zeros(rows.stop - rows.start, bool)
        goes_on[: len(follow)] = np.all(follow == next_obs[rows][: len(follow)], axis=1)
        terminated = discount[rows] == 0
        return envs.Batch(obs[rows], act[rows], rew[rows], next_obs[rows], terminated, ~terminated & ~goes_on)

    ended = np.concatenate([part.terminated | part.truncated for part in map(columns, slices(n))])
    return Table(n, returns_of(rew[:n], ended), map(columns, slices(n)))


def slices(n):
    """The rows 0 to n, in parts."""
    return [slice(i, min(i + PART, n)) for i in range(0, n, PART)]


def returns_of(rew, ended):
    """Sums of rewards (N,) between the rows where an episode has ended (N,).  -> (E,)"""
    nothing = np.zeros((len(rew), 0))
    return envs.episode_returns(envs.Batch(nothing, nothing, rew, nothing, ended, ended))[0]


# --- HDF5: D4RL and Minari --------------------------------------------------------------------------------------------


def inside(group, name):
    """What lies under this name in the HDF5 file itself; links to other files are not followed."""
    import h5py

    if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"no {name} in it")
    return group[name]


def h5_array(group, name, kinds="f", axes=1):
    """An array of numbers in an HDF5 file, not read yet.  -> h5py.Dataset"""
    import h5py

    x = inside(group, name)
    if not isinstance(x, h5py.Dataset) or x.external or x.is_virtual or x.dtype.kind not in kinds or x.ndim != axes:
        raise ValueError(f"{name} is not what it should be")
    if x.chunks and np.prod(x.chunks, dtype=float) * x.dtype.itemsize > 64e6:
        raise ValueError(f"the chunks of {name} are too large")
    if np.prod(x.shape, dtype=float) * x.dtype.itemsize > 10 * Path(x.file.filename).stat().st_size + 1e6:
        raise ValueError(f"{name} claims to be much larger than the file")
    return x


def h5_columns(group, names):
    """Observations, actions, rewards and two flags of an HDF5 group, not read yet.  -> five h5py.Datasets"""
    obs, act, rew, *flags = names
    flags = (h5_array(group, name, "biu") for name in flags)
    return h5_array(group, obs, axes=2), h5_array(group, act, axes=2), h5_array(group, rew), *flags


def open_d4rl(path):
    """D4RL's flat arrays.  Without next_observations the last row of each episode is left out: nobody knows what
    came after it.  -> Table"""
    import h5py

    file = h5py.File(path, "r")
    obs, act, rew, *flags = h5_columns(file, ("observations", "actions", "rewards", "terminals", "timeouts"))
    next_obs = h5_array(file, "next_observations", axes=2) if "next_observations" in file else obs
    n = len(obs)
    if any(len(x) != n for x in (act, rew, next_obs, *flags)):
        raise ValueError("its arrays are not of one length")
    terminated, timeout = (x[:].astype(bool) for x in flags)
    ended = terminated | timeout
    returns = returns_of(rew[:], ended)
    if n > 0:
        ended[-1] = True  # nothing follows the last row

    def columns(rows):
        o, a, r, after = (x[rows].astype(np.float32) for x in (obs, act, rew, next_obs))
        follow = obs[rows.start + 1 : rows.stop + 1].astype(np.float32)
        if next_obs is not obs:  # rows that do not go on although no flag says so end an episode, too
            goes_on = np.all(follow == after[: len(follow)], axis=1)
            out = ended[rows] | ~np.append(goes_on, [False] * (len(o) - len(follow)))
            return envs.Batch(o, a, r, after, terminated[rows], out & ~terminated[rows])
        keep = np.flatnonzero(~ended[rows])
        last = ended[rows.start + keep + 1]  # the row that was left out comes next
        return envs.Batch(o[keep], a[keep], r[keep], follow[keep], np.zeros(len(keep), bool), last)

    return Table(n, returns, map(columns, slices(n)))


def open_minari(path):
    """Minari's episodes, of T + 1 observations each.  -> Table"""
    import h5py

    data = path / "data" if (path / "data").is_dir() else path
    about = json.loads((data / "metadata.json").read_text(encoding="utf-8"))
    if about.get("data_format", "hdf5") != "hdf5":
        raise ValueError(f"its format is {about['data_format']!r}, not hdf5")
    file = h5py.File(data / "main_data.hdf5", "r")
    numbers = sorted(int(name[8:]) for name in file if re.fullmatch(r"episode_\d{1,9}", name))
    names = "observations", "actions", "rewards", "terminations", "truncations"
    episodes = [h5_columns(inside(file, f"episode_{i}"), names) for i in numbers]
    for i, (obs, *others) in zip(numbers, episodes):
        if any(len(x) != len(obs) - 1 for x in others) or len(obs) < 2:
            raise ValueError(f"the arrays of episode_{i} do not fit together")
    rows = sum(len(episode[1]) for episode in episodes)
    if (about["total_episodes"], about["total_steps"]) != (len(episodes), rows):
        raise ValueError(f"its metadata.json counts {about['total_steps']} steps, but there are {rows}")

    def columns(episode):
        obs, act, rew, terminated, truncated = (x[:] for x in episode)
        truncated = truncated.astype(bool)
        truncated[-1] |= not terminated[-1]  # the next row is another episode's
        return envs.Batch(obs[:-1], act, rew, obs[1:], terminated.astype(bool), truncated)

    return Table(rows, [np.sum(episode[2][:], dtype=np.float64) for episode in episodes], map(columns, episodes))


def minari_folder(name):
    """Where the package minari keeps the dataset of this id, which it fetches if need be.  -> Path"""
    try:
        import minari

        return Path(minari.load_dataset(name, download=True).storage.data_path)
    except ImportError as e:
        raise envs.DataError(f"{name}: no such folder; an id needs the extra: pip install -e '.[import]'") from e
    except Exception as e:  # no network, no such id, a damaged copy: what the package says
        raise envs.DataError(f"{name}: no such folder, and minari cannot load it: {e}") from e


# --- from theirs to ours ----------------------------------------------------------------------------------------------


def adapt(parts, task, notes):
    """Batches as this project wants them; what is peculiar about them is put into the list `notes` at the end."""
    counts = dict.fromkeys(("rows", "outside", "at_ten", "other_end"), 0)
    farthest = 0.0
    for part in parts:
        obs, act, rew, next_obs = (np.ascontiguousarray(x, np.float32) for x in part[:4])
        if task.name == "ant" and obs.shape[1] > task.obs_dim:  # followed by contact forces
            obs, next_obs = (x[:, : task.obs_dim].copy() for x in (obs, next_obs))
        if (obs.shape[1], act.shape[1]) != (task.obs_dim, task.act_dim):
            wanted = f"{task.name} has {task.obs_dim} and {task.act_dim}"
            raise ValueError(f"{obs.shape[1]} observed numbers and {act.shape[1]} of the action, {wanted}")
        if not all(np.isfinite(x).all() for x in (obs, act, rew, next_obs)):
            raise ValueError("NaN or infinity in it")
        counts["rows"] += len(obs)
        counts["outside"] += np.count_nonzero(np.any(np.abs(act) > task.act_limit, axis=1))
        counts["at_ten"] += np.count_nonzero(np.any(np.abs(next_obs) == 10, axis=1))
        counts["other_end"] += np.count_nonzero(task.healthy(next_obs) == part.terminated)
        act = task.clip(act)
        farthest = max(farthest, np.max(np.abs(task.reward(obs, act, next_obs) - rew), initial=0))
        yield envs.Batch(obs, act, rew, next_obs, part.terminated, part.truncated)
    if counts["rows"] == 0:
        raise ValueError("no transitions in it")
    share = lambda name: f"{counts[name]:,} of {counts['rows']:,} rows"
    if counts["outside"]:
        notes.append(f"actions beyond the limit in {share('outside')}: clipped, as the robot does")
    if counts["at_ten"]:
        notes.append(f"a velocity of exactly 10 or -10 in {share('at_ten')}: clipped there by its environment")
    if counts["other_end"]:
        notes.append(f"episodes end by another rule than this project's in {share('other_end')}")
    if farthest > 1e-3:
        notes.append(f"rewards up to {farthest:.2g} from this project's, which alone is used in imagination")


OPEN = {"brac": open_brac, "d4rl": open_d4rl, "minari": open_minari}


def convert(kind, path, task, out, say=print, called=""):
    """Read a dataset of this kind, write it to `out` (.npz), and say what was in it.  envs.DataError if it is unfit

    called: the dataset's id, where it is known by one and not by its path.
    """
    path, notes = Path(path), []
    meta = {"env": task.name, "source": f"{kind}, {called or path.name}", "versions": run.versions(), "notes": notes}
    name = path.name if path.is_dir() else path.parent.name
    if kind == "brac" and name in bremen.CHOICES["noise"]:
        meta["noise"] = name
    if kind == "brac" and name in envs.NOISE:
        notes.append("such files begin with the random actions: the first --n_train rows are not like the others")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        table = OPEN[kind](path)
        meta = envs.save_dataset(out, adapt(table.parts, task, notes), meta)
    except envs.DataError:
        raise
    except ImportError as e:
        raise envs.DataError(f"{kind} needs the extra: pip install -e '.[import]' ({e})") from e
    except Exception as e:  # damaged files fail in as many ways as there are bytes
        raise envs.DataError(f"{path}: cannot be read as {kind} ({str(e).strip() or type(e).__name__})") from e
    there, here = (table.rows, len(table.returns)), (meta["transitions"], meta["episodes"])
    mean = float(np.mean(table.returns)) if len(table.returns) else None, meta["return_mean"]
    say(f"{'':13}{'in the file':>14}{'written':>14}")
    for name, *pair in zip(("transitions", "episodes"), there, here):
        say(f"{name:13}" + "".join(f"{x:14,}" for x in pair))
    say(f"{'mean return':13}" + "".join(f"{'unknown' if x is None else f'{x:,.2f}':>14}" for x in mean))
    for note in notes:
        say(f"note: {note}")


def limit(size):
    """From now on this process may take twice `size` bytes of memory and 200 MB, and a second for each megabyte."""
    crc32c(np.zeros(1, np.uint8), 0)  # what compiling and loading take is not the file's fault
    with contextlib.suppress(ImportError):
        import h5py  # noqa: F401
    if sys.platform == "linux":
        import resource

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits = {resource.RLIMIT_AS: taken + 2 * size + 200_000_000, resource.RLIMIT_CPU: 60 + size // 1_000_000}
        for what, most in limits.items():
            resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def convert_limited(kind, path, task, out, called):
    """`convert` in the process that may die of it.  Ends with status 0 or 2."""
    try:
        files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
        limit(sum(f.stat().st_size for f in files))
        convert(kind, path, envs.TASKS[task], out, called=called)
    except (envs.DataError, OSError) as e:
        sys.exit(run.complain("import_dataset.py", 2, str(e)))


def isolated(f, *args):
    """Call f in a process of its own.  -> its exit status; envs.DataError if it did not come to an end"""
    process = multiprocessing.get_context("spawn").Process(target=f, args=args)
    process.start()
    process.join()
    if process.exitcode < 0:
        name = signal.Signals(-process.exitcode).name
        raise envs.DataError(f"{args[1]}: the library that reads it was stopped by {name}: the file is damaged")
    return process.exitcode


def main(argv=None):
    """Run the command line.  -> exit status: 0, 2 for what cannot be used, 130 for Ctrl-C"""
    p = run.Parser(prog="import_dataset.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("format", choices=OPEN)
    p.add_argument("path", help="a file or a folder; minari: or an id")
    p.add_argument("--env", choices=envs.TASKS, required=True)
    p.add_argument("--out", type=Path, metavar="FILE", required=True, help="the .npz to write")

    def work():
        opts = p.parse_args(argv)
        path, called = Path(opts.path), ""
        if opts.out.exists():
            raise run.UsageError(f"{opts.out} exists: name another file with --out")
        if opts.format == "minari" and not path.exists():
            path, called = minari_folder(opts.path), opts.path
        if not path.exists():
            raise run.UsageError(f"{path}: no such file or folder")
        return isolated(convert_limited, opts.format, path, opts.env, opts.out, called)

    return run.guarded("import_dataset.py", work)


if __name__ == "__main__":
    sys.exit(main())
