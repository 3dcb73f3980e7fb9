"""Datasets that other programs wrote, or files whose rows are in another order: which rows a run takes, what is odd.

run.py loads each dataset by this page.  Letters in shapes: N rows, S observation dimension.
"""

import zipfile
from pathlib import Path

import numpy as np

import bremen
import envs


def load_rows(path, task=None):
    """A dataset file, with an end where the next row does not go on; meta["notes"] says what is odd.  -> Batch, meta

    envs.DataError for a file that cannot be used.
    """
    check_unpacked_size(path)
    data, meta = envs.load_dataset(path, task)
    for name in "policy_return", "mean_action_return":
        if not is_pair(meta.get(name, [0, 0])):
            raise envs.DataError(f"{path}: the {name} in its meta is not a mean and a standard deviation")
    if not isinstance(meta.get("notes", []), list):
        raise envs.DataError(f"{path}: the notes in its meta are no list")
    data, notes = with_ends(data, envs.TASKS[meta["env"]])
    known = meta.get("notes", [])  # examples/import_dataset.py has written some of them into the file
    return data, meta | {"notes": known + [note for note in notes if note not in known]}


def check_unpacked_size(path):
    """envs.DataError for an .npz that claims to unpack to much more than it has: it could fill the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = sum(entry.file_size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile):
        return  # envs.load_dataset says what is wrong with it
    if content > Path(path).stat().st_size + 100e6:
        raise envs.DataError(f"{path}: unpacks to {content / 1e6:,.0f} MB: store it without compression")


def is_pair(x):
    """True for a list of two numbers that float32 can hold (NaN and infinity are not)."""
    return isinstance(x, list) and len(x) == 2 and all(type(y) in (int, float) and abs(y) < 1e38 for y in x)


def some_rows(data, meta, cfg):
    """The n_train rows of a dataset that a run learns from.  -> Batch, text that says which ("": all of them)

    This program's own files: the first rows, because each prefix has about the same mixture.  Other files may be in the
    order of a training, or have good data after bad ones: whole episodes from all over the file.
    """
    n, rows = cfg.n_train, len(data.rew)
    if rows <= n:
        return data, ""
    if "source" not in meta and {"seed", "versions"} <= meta.keys():
        return envs.Batch(*(column[:n] for column in data)), f"the first {n:,} of {rows:,} rows"
    some = spread_episodes(data, n, envs.TASKS[cfg.env].max_steps, bremen.streams(cfg.seed)["collect"].random())
    return some, f"{n:,} of {rows:,} rows: whole episodes from all over the file, drawn with seed {cfg.seed}"


def spread_episodes(data, n, max_steps, first):
    """Whole episodes, evenly from all over the data, until they have n rows (the last one is cut).  -> Batch of n rows

    Episode i gets the fractional part of `first` + i times the golden ratio, and the lowest are taken: such numbers
    are evenly spread, so the episodes are, too.  An episode longer than max_steps counts as several.
    """
    rows = len(data.rew)
    begins = np.append(np.flatnonzero(data.episode_starts()), rows)
    starts = [i for begin, end in zip(begins, begins[1:]) for i in range(begin, end, max_steps)]
    lengths = np.diff([*starts, rows])
    order = np.argsort((first + np.arange(len(starts)) * (np.sqrt(5) - 1) / 2) % 1)
    left = n - np.cumsum(lengths[order]) + lengths[order]  # rows that are missing before each episode
    lengths[order] = np.clip(left, 0, lengths[order])
    some = envs.join([envs.Batch(*(column[i : i + k] for column in data)) for i, k in zip(starts, lengths) if k])
    ends = np.cumsum(lengths[lengths > 0]) - 1
    some.truncated[ends] |= ~some.terminated[ends]
    return some


def goes_on(next_obs, obs):
    """Where what came next is the observation of the next row, but for rounding.  (N, S), (N, S) -> (N,) bool"""
    same = np.all(next_obs == obs, axis=1)
    other = np.flatnonzero(~same)
    a, b = np.float64(next_obs[other]), np.float64(obs[other])
    with np.errstate(invalid="ignore"):  # infinity goes on to nothing
        same[other] = np.all(np.abs(a - b) <= 1e-5 * (1 + np.abs(b)), axis=1)
    return same


def with_ends(batch, task):
    """A Batch in which an episode is truncated where the next row does not go on although no flag says that it ends.

    -> Batch; what is unlike this project's own data in it: list of texts
    """
    notes, ended = [], batch.terminated | batch.truncated
    silent = np.append(~goes_on(batch.next_obs[:-1], batch.obs[1:]) & ~ended[:-1], False)
    if broken := np.count_nonzero(silent):
        text = "do not go on in the next one although no flag says so: returns and lengths are of the pieces between"
        notes.append(f"{broken:,} of {len(ended):,} rows {text}")
    batch = batch._replace(truncated=batch.truncated | silent)
    starts = np.append(np.flatnonzero(batch.episode_starts()), len(ended))
    if (longest := np.diff(starts).max()) > task.max_steps:
        notes.append(f"an episode of {longest:,} steps: here they end after {task.max_steps:,}, and return less")
    return batch, notes + notes_on_ends(other_ends(batch, task), len(ended))


def other_ends(batch, task):
    """How many rows end an episode, or do not, against the task's rule; in how many a fallen robot goes on.  -> (2,)"""
    fallen = ~task.healthy(batch.next_obs)
    return np.array([np.count_nonzero(fallen != batch.terminated), np.count_nonzero(fallen & ~batch.terminated)])


def notes_on_ends(counts, rows):
    """What the counts of `other_ends` in a file of `rows` rows mean for a run.  -> list of texts"""
    note = f"episodes end by another rule than this project's in {counts[0]:,} of {rows:,} rows"
    if counts[1]:
        note += f"; {counts[1]:,} go on where the robot has fallen: imagined paths from there have one or two steps"
        note += " (--start initial takes none of them)"
    return [note] if counts[0] else []


def notes_on(data, meta, cfg, opts):
    """What a user should know of the data of a run.  -> list of texts"""
    notes, limit = list(meta.get("notes", [])), envs.TASKS[cfg.env].act_limit
    if meta["rows"]:
        notes.append(meta["rows"])
    if len(data.rew) < cfg.n_train:
        notes.append(f"there are fewer than the {cfg.n_train:,} of --n_train")
    if cfg.data and "noise" in opts:
        notes.append(f"--noise {cfg.noise} changes nothing in the file of --data")
    if np.abs(data.act).max() > limit:
        notes.append(f"actions beyond {limit:g} in it: a policy here has none")
    return notes
