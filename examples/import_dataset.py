"""Turn datasets of other programs into this project's .npz.

    python examples/import_dataset.py brac data/Hopper/pure --env hopper --out hopper.npz
    python examples/import_dataset.py d4rl hopper_medium-v2.hdf5 --env hopper --out hopper.npz
    python examples/import_dataset.py minari ~/.minari/datasets/mujoco/hopper/medium-v0 --env hopper --out hopper.npz
    python examples/import_dataset.py minari mujoco/hopper/medium-v0 --env hopper --out hopper.npz

brac: the TensorFlow checkpoint of arXiv:1911.11361 (data.index and data.data-00000-of-00001, or of another name: a
folder, the index or the name before `.index`), on which the original BREMEN trains; read without TensorFlow, checksums
included.  d4rl: HDF5 in the layout of arXiv:2004.07219.  minari: a dataset's folder, or its id, through the package
minari.  d4rl and minari need the extra: pip install -e '.[import]'

Files are read a part at a time, in a process of its own, whose memory (--memory) and time are limited: whatever a
damaged or hostile file does to the library that reads it, this program says so in one line, and nothing else is lost.
"""

import argparse
import contextlib
import errno
import glob
import multiprocessing
import os
import re
import signal
import sys
from pathlib import Path

import numba
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import envs
import run

safe_files = run.page("safe_files")

foreign_data = envs.page("foreign_data")
PART = 20_000  # rows that are held in memory at a time
MUCH = 2_000_000_000  # bytes that an array may claim to have, however well it is packed
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # HDF5 loads no shared library because a file asks for it


class Table:
    """A foreign dataset, opened; what is in the file is known when its parts have been read."""

    def __init__(self, parts):
        """parts(self): a generator of Batches, which calls `count` and adds to `notes`."""
        self.rows, self.returns, self.notes, self.sum = 0, [], [], 0.0
        self.parts = parts(self)

    def count(self, rew, ended):
        """Rows of the file with their rewards (N,), and where an episode has ended (N,)."""
        self.rows += len(rew)
        for piece in np.split(rew, np.flatnonzero(ended) + 1)[:-1]:
            self.returns.append(self.sum + np.sum(piece, dtype=np.float64))
            self.sum = 0.0
        rest = np.flatnonzero(ended)[-1] + 1 if ended.any() else 0
        self.sum += np.sum(rew[rest:], dtype=np.float64)


def slices(n):
    """The rows 0 to n, in parts."""
    return [slice(i, min(i + PART, n)) for i in range(0, n, PART)]


def width(x):
    """How many numbers a row of an array (N, ...) has."""
    return int(np.prod(x.shape[1:]))


def table_of(x, rows):
    """Some rows of an array (N, M), (N, 1, M), ..., on the disk or not.  -> (rows, M)"""
    return x[rows].reshape(-1, width(x))


def check_shape(name, x, axes):
    """ValueError unless these are numbers (N,) with axes 1, (N, M) with axes 2; further axes may have length 1."""
    if x.dtype.kind not in "biuf" or x.ndim < 1 or sum(d != 1 for d in x.shape[1:]) >= axes:
        wanted = "(N,) or (N, 1)" if axes == 1 else "(N, M)"
        raise ValueError(f"{name} is {x.dtype} {x.shape}, not numbers of shape {wanted}")


# --- TensorFlow's checkpoints ----------------------------------------------------------------------------------------
# data.index is a table in LevelDB's format that maps names to places in the data file, and stores their checksums.

# A buffer of BRAC: obs, next_obs, act, rew, 0 where an episode terminated; rows that are filled, the rest is empty.
TENSORS = "_s1", "_s2", "_a1", "_reward", "_discount"
SIZE = "_current_size"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
NUMBERS = "<f4 <f8 <i4 |u1 <i2 |i1 <i8 |b1 <u2 <f2 <u4 <u8"  # TensorFlow's types that NumPy has, too
TYPES = dict(zip((1, 2, 3, 4, 5, 6, 9, 10, 17, 19, 22, 23), map(np.dtype, NUMBERS.split())))
OTHER_TYPES = {7: "string", 8: "complex64", 14: "bfloat16", 18: "complex128"}
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
    """An integer in groups of seven bits, the lowest first.  -> integer, index of the byte after it"""
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


def tensors(index):
    """The arrays of a buffer in the checkpoint with this index (NAME.index).  -> {name: array on the disk}"""
    table = index.read_bytes()
    if not 48 <= len(table) <= 1_000_000 or int.from_bytes(table[-8:], "little") != MAGIC:
        raise ValueError("not a TensorFlow checkpoint")
    i, place = 0, []
    for _ in range(4):  # where two blocks are; the second one says where all others are
        value, i = varint(table[-48:-8], i)
        place.append(value)
    arrays, read = {}, 0
    for _, handle in block(table, *place[2:]):
        offset, i = varint(handle, 0)
        size, _ = varint(handle, i)
        read += size
        if read > len(table):
            raise ValueError("blocks of the index overlap")
        for key, value in block(table, offset, size):
            owner, _, name = key.decode().removesuffix(SUFFIX).rpartition("/")
            if not key:  # the header
                shards = message(value).get(1, [1])[0]
            elif name in (*TENSORS, SIZE):
                if name in arrays:
                    raise ValueError(f"two buffers in it, the second one is {owner!r}")
                arrays[name] = tensor(index, shards, name, message(value))
    if missing := {*TENSORS} - arrays.keys():
        raise ValueError(f"a checkpoint without {', '.join(sorted(missing))}: not a buffer of BRAC")
    return arrays


def tensor(index, shards, name, entry):
    """The array that an entry of the index describes; `shards` is the number of data files.  -> array on the disk"""
    shape = [message(dim).get(1, [0])[0] for dim in message(entry[2][0]).get(2, ())]
    shard, start, size, kind = entry.get(3, [0])[0], entry.get(4, [0])[0], entry[5][0], entry[1][0]
    if kind not in TYPES:
        kind = OTHER_TYPES.get(kind, f"TensorFlow's type {kind}")
        known = ", ".join(t.name for t in TYPES.values())
        raise ValueError(f"{name} is {kind}: cast it before it is saved, to one of {known}")
    path = index.with_name(f"{index.stem}.data-{shard:05d}-of-{shards:05d}")
    if not path.is_file():
        raise envs.DataError(f"{path}: no such file")
    if 7 in entry or path.stat().st_size < start + size:
        raise ValueError(f"{name} is not in {path.name}, or not whole")
    raw = np.memmap(path, np.uint8, "r", start, (size,)) if size else np.zeros(0, np.uint8)
    check_crc(name, raw, entry[6][0])
    return raw.view(TYPES[kind]).reshape(shape)


def index_of(path):
    """The index of a checkpoint: `path` itself, the one of this name, or the one in this folder.  -> Path"""
    if path.is_file():
        return path.with_name(path.name.split(".data-")[0] + ".index") if ".data-" in path.name else path
    named = path.parent / f"{path.name}.index"
    if named.is_file() or not path.is_dir():
        return named
    inside = sorted(path.glob("*.index"))
    if path / "data.index" in inside:
        return path / "data.index"
    if len(inside) > 1:
        raise envs.DataError(f"{path}: several checkpoints, name one: {', '.join(str(x) for x in inside)}")
    return inside[0] if inside else path / "data.index"


def open_brac(path):
    """BRAC's replay buffer; an episode ends where the discount is 0, or where the next row does not go on.  -> Table"""
    index = index_of(path)
    if not index.is_file():
        raise envs.DataError(f"{index}: no such file (a checkpoint is NAME.index and NAME.data-00000-of-00001)")
    arrays = tensors(index)
    capacity = max((len(arrays[name]) for name in TENSORS if arrays[name].ndim), default=0)
    for name, axes in zip(TENSORS, (2, 2, 2, 1, 1)):
        check_shape(name, arrays[name], axes)
        if len(arrays[name]) != capacity:
            raise ValueError(f"{name} is {arrays[name].shape}, but the buffer has {capacity} rows")
    size = arrays.get(SIZE, np.array(capacity))
    n = int(size.item()) if size.size == 1 and np.isfinite(size).all() else -1
    if not 0 < n <= capacity:
        raise ValueError(f"{SIZE} says {size}: how many of the {capacity} rows are filled, at least one")
    obs, next_obs, act, rew, discount = (arrays[name] for name in TENSORS)
    if not np.isfinite(discount[:n]).all():
        raise ValueError("NaN or infinity in _discount")

    def parts(table):
        for rows in slices(n):
            more = slice(rows.start, min(rows.stop + 1, n))  # and the row after this part
            o, a, after = table_of(obs, more), table_of(act, rows), table_of(next_obs, rows)
            r, terminated = rew[rows].reshape(-1), discount[rows].reshape(-1) == 0
            truncated = ~terminated & ~goes_on(after, o[1:])
            table.count(r, terminated | truncated)
            yield envs.Batch(o[: len(r)], a, r, after, terminated, truncated)

    return Table(parts)


def goes_on(next_obs, follow):
    """True where next_obs is the observation of the row that follows; the last row has none.  -> (N,) bool"""
    if next_obs.shape[1] != follow.shape[1]:
        raise ValueError(f"{follow.shape[1]} observed numbers, but {next_obs.shape[1]} in the next observation")
    same = foreign_data.goes_on(next_obs[: len(follow)], follow)
    return np.append(same, np.zeros(len(next_obs) - len(follow), bool))


# --- HDF5: D4RL and Minari --------------------------------------------------------------------------------------------


D4RL = "observations", "actions", "rewards", "terminals"  # also, but not in all files: timeouts, next_observations
MINARI = "observations", "actions", "rewards", "terminations", "truncations"
room = MUCH  # bytes of memory that reading may take; `limit` sets it


def inside(group, name):
    """What has this name in the HDF5 file itself; links to other files are not followed."""
    import h5py

    link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"no {name} in it" if link is None else f"{name} is a link, and links are not followed")
    return group[name]


def opened(path, cache=1 << 20):
    """An HDF5 file; of each of its arrays up to `cache` bytes are kept unpacked.  -> h5py.File"""
    import h5py

    return h5py.File(path, "r", rdcc_nbytes=cache)


def chunk_bytes(x):
    """What has to be unpacked together of an array in an HDF5 file."""
    return int(np.prod(x.chunks or (0,), dtype=float)) * x.dtype.itemsize


def h5_array(group, name, axes=1):
    """An array of numbers in an HDF5 file, not read yet, (N,) or (N, 1) with axes 1, else (N, M).  -> h5py.Dataset"""
    import h5py

    x = inside(group, name)
    if not isinstance(x, h5py.Dataset):
        raise ValueError(f"{name} is a group of {', '.join(x) or 'nothing'}, not numbers")
    check_shape(name, x, axes)
    if x.external or x.is_virtual:
        raise ValueError(f"the numbers of {name} are in another file")
    if np.prod(x.shape, dtype=float) * x.dtype.itemsize > max(10 * Path(x.file.filename).stat().st_size, MUCH):
        raise ValueError(f"{name} claims to be much larger than the file")
    return x


def h5_columns(group, names):
    """Arrays of an HDF5 group by name, observations and actions (N, M), the others (N,).  -> list of h5py.Datasets"""
    columns = [h5_array(group, name, 1 + name.endswith(("observations", "actions"))) for name in names]
    rows = max(map(len, columns))
    part = min(rows, PART) * sum(width(x) * x.dtype.itemsize for x in columns)
    chunks = [chunk_bytes(x) for x in columns]
    need = 3 * part + sum(chunks) + max(chunks) + 20 * rows  # a part and copies, chunks (one is packed, too), flags
    if need > room:
        text = f"{need / 1e6:,.0f} MB of memory, more than the {room / 1e6:,.0f} MB that it may take"
        raise envs.DataError(f"{group.file.filename}: reading it takes some {text}: --memory {need // 1e6 + 50:.0f}")
    return columns


def h5_flags(x):
    """All flags of an array, whatever their type.  h5py.Dataset (N,) or (N, 1) -> (N,) bool; or ValueError"""
    values = x[:].reshape(-1)
    if (other := values[~np.isin(values, (0, 1))]).size:
        raise ValueError(f"{x.name.lstrip('/')} holds {other[0]}: its flags should be 0 or 1")
    return values.astype(bool)


def limited(terminated, limit):
    """Ends of episodes that terminate or take `limit` steps.  terminated (N,) -> (N,) bool"""
    ended, begin = terminated.copy(), 0
    for end in [*np.flatnonzero(terminated) + 1, len(terminated)]:
        ended[begin + limit - 1 : end : limit] = True
        begin = end
    return ended


def open_d4rl(path, task):
    """D4RL's flat arrays.  Without next_observations the last row of each episode is left out: nobody knows what
    came after it.  Without timeouts, which old files lack, the time limit of `task` ends episodes.  -> Table"""
    if path.is_dir():
        raise envs.DataError(f"{path}: a folder, where D4RL has one HDF5 file")
    file = opened(path)
    if absent := [name for name in D4RL if name not in file]:
        raise ValueError(f"no {' and no '.join(absent)} in it: D4RL's layout has {', '.join(D4RL)}")
    names = [*D4RL, *(name for name in ("timeouts", "next_observations") if name in file)]
    columns = h5_columns(file, names)
    if (largest := max(map(chunk_bytes, columns))) > 1 << 20:  # otherwise each part would unpack it again
        file.close()
        columns = h5_columns(opened(path, largest), names)
    columns = dict(zip(names, columns))
    if len({len(x) for x in columns.values()}) > 1:
        raise ValueError("not of one length: " + ", ".join(f"{name} {x.shape}" for name, x in columns.items()))
    obs, act, rew, next_obs = (columns.get(name) for name in (*D4RL[:3], "next_observations"))
    n, terminated = len(obs), h5_flags(columns["terminals"])
    if "timeouts" in columns:
        ended = terminated | h5_flags(columns["timeouts"])
    else:
        ended = terminated if next_obs is not None else limited(terminated, task.max_steps)
    stops = np.append(ended[:-1], True)[:n]  # nothing follows the last row

    def parts(table):
        silent = 0
        for rows in slices(n):
            more = slice(rows.start, rows.stop + 1)  # and the row after this part
            o, a, r = table_of(obs, more), table_of(act, rows), rew[rows].reshape(-1)
            if next_obs is None:
                table.count(r, ended[rows])
                yield whole_rows(o, a, r, stops[more])
                continue
            after = table_of(next_obs, rows)
            out = stops[rows] | ~goes_on(after, o[1:])  # no flag may say so, but an episode ends there, too
            silent += np.count_nonzero(out & ~stops[rows])
            table.count(r, ended[rows] if "timeouts" in columns else out)
            yield envs.Batch(o[: len(r)], a, r, after, terminated[rows], out & ~terminated[rows])
        if "timeouts" not in columns:
            rule = "the next row does not go on" if next_obs is not None else f"it has {task.max_steps:,} steps"
            table.notes.append(f"no timeouts in it: an episode is taken to end where it terminates, or {rule}")
        elif silent:
            text = "do not go on in the next one although no flag says so: an episode is taken to end there"
            table.notes.append(f"{silent:,} of {n:,} rows {text}")

    return Table(parts)


def whole_rows(obs, act, rew, ended):
    """Rows with the observation of the next row as next_obs; the last row of each episode is left out.  -> Batch

    act (N, A), rew (N,); obs (N + 1, S), ended (N + 1,), or N where the last row has ended
    """
    keep = np.flatnonzero(~ended[: len(rew)])
    last = ended[keep + 1]  # the row that was left out comes next
    return envs.Batch(obs[keep], act[keep], rew[keep], obs[keep + 1], np.zeros(len(keep), bool), last)


def open_minari(path):
    """Minari's episodes, of T + 1 observations each, one open at a time.  -> Table"""
    data = next(d for d in (path / "data", path, path.parent) if d.is_dir())
    about = run.read_json(data / "metadata.json") if (data / "metadata.json").is_file() else {}
    if (form := about.get("data_format", "hdf5")) != "hdf5":
        how = "minari.create_dataset_from_buffers(..., data_format='hdf5') writes that"
        raise ValueError(f"its format is {form!r}, of Minari's formats only 'hdf5' is read here: {how}")
    if path.name not in ("main_data.hdf5", "metadata.json", path.name * path.is_dir()):
        raise envs.DataError(f"{path}: not the folder of a Minari dataset, nor its main_data.hdf5")
    if not (data / "main_data.hdf5").is_file():
        raise envs.DataError(f"{data / 'main_data.hdf5'}: no such file; beside it metadata.json should be")
    file = opened(data / "main_data.hdf5")
    about = about or file.attrs  # there Minari kept them before 0.5
    if not {"total_steps", "total_episodes"} <= about.keys():
        raise ValueError("neither metadata.json nor the HDF5 file says total_steps and total_episodes")
    numbers = sorted(int(name[8:]) for name in file if re.fullmatch(r"episode_\d{1,9}", name))

    def parts(table):
        short = 0
        for i in numbers:
            obs, act, rew, *flags = h5_columns(inside(file, f"episode_{i}"), MINARI)
            T, lengths = len(act), [len(x) for x in (obs, act, rew, *flags)]
            if lengths[1:] != [T] * 4 or len(obs) not in (T, T + 1):
                lengths = ", ".join(f"{n} {name}" for n, name in zip(lengths, MINARI))
                raise ValueError(f"episode_{i} has {lengths}: it should be T + 1 observations and T of all others")
            terminated, truncated = map(h5_flags, flags)
            truncated[-1:] |= not terminated[-1:].any()  # the next row is another episode's
            ended, short = terminated | truncated, short + (len(obs) == T)
            for rows in slices(T):
                more = slice(rows.start, rows.stop + 1)
                o, a, r = table_of(obs, more), table_of(act, rows), rew[rows].reshape(-1)
                table.count(r, ended[rows])
                if len(obs) == T:
                    yield whole_rows(o, a, r, ended[more])
                else:
                    yield envs.Batch(o[:-1], a, r, o[1:], terminated[rows], truncated[rows])
        if (counted := (len(numbers), table.rows)) != (int(about["total_episodes"]), int(about["total_steps"])):
            text = f"{about['total_episodes']} episodes and {about['total_steps']} steps"
            raise ValueError(f"its metadata count {text}, but there are {counted[0]} and {counted[1]}")
        if short:
            text = "episodes have no observation behind their last step, which is left out: nobody knows what it led to"
            table.notes.append(f"{short:,} of {len(numbers):,} {text}")

    return Table(lambda table: gathered(parts(table)))


def gathered(batches):
    """Small Batches joined to some of PART rows or more: each has its price when it is written."""
    some, rows = [], 0
    for batch in batches:
        some, rows = [*some, batch], rows + len(batch.rew)
        if rows >= PART:
            yield envs.join(some)
            some, rows = [], 0
    if some:
        yield envs.join(some)


def minari_folder(name):
    """Where the package minari keeps the dataset of this id, which it fetches if need be.  -> Path"""
    try:
        import minari
        from minari.dataset.minari_dataset import parse_dataset_id
        from minari.storage import get_dataset_path

        if not re.fullmatch(r"[-\w/]+-v\d+", name):
            raise envs.DataError(f"{name}: no such folder, and no id, as mujoco/hopper/medium-v0 is, with its version")
        parse_dataset_id(name)
        folder = get_dataset_path(name)
        if not (folder / "data").is_dir():
            answers(name)
            minari.download_dataset(name)
        return folder
    except ImportError as e:
        raise envs.DataError(f"{name}: no such folder; an id needs the extra: pip install -e '.[import]' ({e})") from e
    except envs.DataError:
        raise
    except Exception as e:  # no such id, a damaged copy: what the package says
        raise envs.DataError(f"{name}: no such folder, and minari cannot load it: {e}") from e


def answers(name):
    """DataError where the hub that Minari fetches from does not answer: it would ask six times in 23 seconds."""
    if not os.environ.get("MINARI_REMOTE", "hf://").startswith("hf://"):
        return
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().get(constants.ENDPOINT, timeout=10)
    except Exception as e:  # which one, depends on the version
        raise envs.DataError(f"{name}: no such folder, and as an id it cannot be fetched: no network ({e})") from e


# --- from theirs to ours ----------------------------------------------------------------------------------------------


FORCES = {"ant": (78, 84)}  # how many contact forces follow: in Gymnasium's Ant-v5, in v2 to v4


def position(task, seen):
    """How many numbers come before the task's own in an observation of `seen` numbers: none, or the robot's position in
    the plane, which Gymnasium's robots can show.  ValueError for another width, whose meaning nobody knows."""
    places = (0, task.hidden) if task.xml else (0,)
    widths = {front + task.obs_dim + n: front for n in (0, *FORCES.get(task.name, ())) for front in places}
    if seen not in widths:
        known = ", ".join(f"{w} ({front} of position first)" if front else f"{w}" for w, front in widths.items())
        raise ValueError(f"{seen} observed numbers, {task.name} has {known}")
    return widths[seen]


def adapt(table, task):
    """Batches as this project wants them.  What is peculiar about them is in table.notes in the end."""
    counts, ends, farthest, first = dict.fromkeys(("rows", "outside", "at_ten"), 0), np.zeros(2, int), 0.0, 0
    for part in table.parts:
        obs, act, rew, next_obs = (np.ascontiguousarray(x, np.float32) for x in part[:4])
        if act.shape[1] != task.act_dim or next_obs.shape != obs.shape:
            seen = f"{obs.shape[1]} observed numbers ({next_obs.shape[1]} in the next) and {act.shape[1]} of the action"
            raise ValueError(f"{seen}, {task.name} has {task.obs_dim} and {task.act_dim}")
        seen, first = obs.shape[1], position(task, obs.shape[1])
        obs, next_obs = (x[:, first : first + task.obs_dim].copy() for x in (obs, next_obs))
        if not all(np.isfinite(x).all() for x in (obs, act, rew, next_obs)):
            raise ValueError("NaN or infinity in it")
        counts["rows"] += len(obs)
        counts["outside"] += np.count_nonzero(np.any(np.abs(act) > task.act_limit, axis=1))
        counts["at_ten"] += np.count_nonzero(np.any(np.abs(next_obs) == 10, axis=1))
        act = task.clip(act)
        farthest = max(farthest, np.max(np.abs(task.reward(obs, act, next_obs) - rew), initial=0))
        batch = envs.Batch(obs, act, rew, next_obs, part.terminated, part.truncated)
        ends += foreign_data.other_ends(batch, task)
        yield batch
    if counts["rows"] == 0:
        raise ValueError("no transitions in it")
    share = lambda name: f"{counts[name]:,} of {counts['rows']:,} rows"
    if first:
        table.notes.append(f"{seen} observed numbers: the first {first}, the position in the plane, are left out")
    if counts["outside"]:
        table.notes.append(f"actions beyond the limit in {share('outside')}: clipped, as the robot does")
    if counts["at_ten"]:
        table.notes.append(f"a velocity of exactly 10 or -10 in {share('at_ten')}: clipped there by its environment")
    table.notes.extend(foreign_data.notes_on_ends(ends, counts["rows"]))
    if farthest > 1e-3:
        table.notes.append(f"rewards up to {farthest:.2g} from this project's, which alone is used in imagination")


OPEN = {"brac": lambda path, task: open_brac(path), "d4rl": open_d4rl, "minari": lambda path, task: open_minari(path)}


def convert(kind, path, task, out, say=print, called=""):
    """Read a dataset of this kind, write it to `out` (.npz), and say what was in it.  envs.DataError if it is unfit

    called: the dataset's id, where it is known by one and not by its path.
    """
    path = Path(path)
    name = path.name if path.is_dir() else path.parent.name
    known = {"noise": name} if kind == "brac" and name in bremen.CHOICES["noise"] else {}
    new = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        table = OPEN[kind](path, task)
        meta = {
            "env": task.name,
            "source": f"{kind}, {called or path.name}",
            "versions": run.page("provenance").versions(),
            **known,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        with np.errstate(all="ignore"):  # what is too large becomes infinite, and that is said
            meta = safe_files.save_dataset(out, adapt(table, task), meta | {"notes": table.notes})
    except (envs.DataError, run.UsageError):
        raise
    except ImportError as e:
        raise envs.DataError(f"{kind} needs the extra: pip install -e '.[import]' ({e})") from e
    except Exception as e:  # damaged files fail in as many ways as there are bytes
        why = " ".join(str(e).split()) or type(e).__name__
        if isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise envs.DataError(f"{out}: cannot be written ({e.strerror}); --out names another place") from e
        if isinstance(e, MemoryError) or "alloc" in why:
            why = f"more memory than the {room / 1e6:,.0f} MB that reading may take, allow more with --memory; {why}"
        raise envs.DataError(f"{path}: cannot be read as {kind} ({why})") from e
    finally:
        if not out.exists():
            for folder in new:
                with contextlib.suppress(OSError):
                    folder.rmdir()
    there, here = (table.rows, len(table.returns)), (meta["transitions"], meta["episodes"])
    mean = float(np.mean(table.returns)) if len(table.returns) else None, meta["return_mean"]
    say(f"{'':13}{'in the file':>14}{'written':>14}")
    for name, *pair in zip(("transitions", "episodes"), there, here):
        say(f"{name:13}" + "".join(f"{x:14,}" for x in pair))
    say(f"{'mean return':13}" + "".join(f"{'unknown' if x is None else f'{x:,.2f}':>14}" for x in mean))
    for note in table.notes:
        say(f"note: {note}")


def limit(size, memory=None):
    """From now on this process may take `memory` bytes more, or twice `size` bytes and 200 MB, and a second for each
    megabyte of size."""
    global room
    room = memory or 2 * size + 200_000_000
    crc32c(np.zeros(1, np.uint8), 0)  # what compiling and loading take is not the file's fault
    with contextlib.suppress(ImportError):
        import h5py  # noqa: F401
    if sys.platform == "linux":
        import resource

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits = {resource.RLIMIT_AS: taken + room, resource.RLIMIT_CPU: 60 + size // 1_000_000}
        for what, most in limits.items():
            resource.setrlimit(what, (most, resource.getrlimit(what)[1]))


def convert_limited(kind, path, task, out, called, memory):
    """`convert` in the process that may die of it.  Ends with status 0 or 2."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both processes: the other one ends this one
    try:
        files = [path, *path.rglob("*")]
        if kind == "brac":
            index = index_of(path)
            files = index.parent.glob(f"{glob.escape(index.stem)}.*")
        limit(sum(f.stat().st_size for f in files if f.is_file()), memory)
        convert(kind, path, envs.TASKS[task], out, called=called)
    except (envs.DataError, run.UsageError, OSError) as e:
        sys.exit(run.page("endings").complain("import_dataset.py", 2, str(e)))


def isolated(f, *args):
    """Call f in a process of its own.  -> its exit status; envs.DataError if it did not come to an end"""
    process = multiprocessing.get_context("spawn").Process(target=f, args=args, daemon=True)
    process.start()
    try:
        process.join()
    finally:
        process.terminate()
    if process.exitcode < 0:
        name = signal.Signals(-process.exitcode).name
        why = "the time for a file of its size was not enough" if name == "SIGXCPU" else "the file is damaged"
        raise envs.DataError(f"{args[1]}: the library that reads it was stopped by {name}: {why}")
    return process.exitcode


def main(argv=None):
    """Run the command line.  -> exit status: 0, 2 for what cannot be used, 130 for Ctrl-C"""
    p = run.Parser(prog="import_dataset.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("format", choices=OPEN)
    p.add_argument("path", help="a file or a folder; minari: or an id; brac: or a checkpoint's name without .index")
    p.add_argument("--env", choices=envs.TASKS, required=True)
    p.add_argument("--out", type=Path, metavar="FILE", required=True, help="the .npz to write")
    p.add_argument("--memory", type=int, metavar="MB", help="that reading may take (200, and twice what the file has)")

    def work():
        opts = p.parse_args(argv)
        path, called = Path(opts.path), ""
        if opts.out.exists():
            raise run.UsageError(f"{opts.out} exists: name another file with --out")
        if opts.format == "minari" and not path.exists():
            path, called = minari_folder(opts.path), opts.path
        if not (path.exists() or opts.format == "brac" and index_of(path).is_file()):
            raise run.UsageError(f"{path}: no such file or folder")
        if opts.memory is not None and opts.memory < 1:
            raise run.UsageError(f"--memory {opts.memory}: megabytes, at least 1")
        memory = opts.memory and opts.memory * 1_000_000
        return isolated(convert_limited, opts.format, path, opts.env, opts.out, called, memory)

    return run.guarded("import_dataset.py", work)


if __name__ == "__main__":
    sys.exit(main())
