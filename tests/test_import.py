"""Datasets of other programs, as TensorFlow, h5py and Minari wrote them: read right, or refused in one line."""

import contextlib
import ctypes
import errno
import faulthandler
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import gymnasium as gym
import import_dataset
import numba
import numpy as np
import pytest
import safe_files
from conftest import draw_nothing

import bremen
import envs
import run
from envs import Batch

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ROOT / "tests" / "data" / "foreign"
h5py, hypothesis = pytest.importorskip("h5py"), pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

HOPPER, PENDULUM = envs.TASKS["hopper"], envs.TASKS["pendulum"]


def imported(kind, path, task, out):
    """Batch, meta and what was printed when a foreign dataset becomes `out`."""
    said = []
    import_dataset.convert(kind, Path(path), task, out, said.append)
    return *envs.load_dataset(out, task), said


def h5_columns(path):
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file if isinstance(file[name], h5py.Dataset)}


def equal_where(batch, rows, **columns):
    for name, column in columns.items():
        np.testing.assert_array_equal(getattr(batch, name), column[rows].astype(getattr(batch, name).dtype), name)


SAME = {
    "hopper": ("Hopper", "hopper_medium", "hopper/medium-v0"),
    "half_cheetah": ("HalfCheetah", "halfcheetah_random", "halfcheetah/random-v0"),
}
PLACES = {
    "brac": lambda names: FOREIGN / "brac" / names[0] / "pure",
    "d4rl": lambda names: FOREIGN / "d4rl" / f"{names[1]}-with-next-v2.hdf5",
    "minari": lambda names: FOREIGN / "minari" / "mujoco" / names[2],
}


@pytest.mark.parametrize("task", SAME)
@pytest.mark.parametrize("kind", PLACES)
def test_every_format_brings_the_rows_that_h5py_wrote(kind, task, tmp_path):
    """The fixtures hold the same rows three times: what TensorFlow and Minari wrote must be what h5py reads."""
    batch, meta, said = imported(kind, PLACES[kind](SAME[task]), envs.TASKS[task], tmp_path / "d.npz")
    theirs = h5_columns(PLACES["d4rl"](SAME[task]))
    ended = theirs["terminals"] | theirs["timeouts"]
    equal_where(batch, slice(None), obs=theirs["observations"], next_obs=theirs["next_observations"])
    equal_where(batch, slice(None), act=theirs["actions"], terminated=theirs["terminals"])
    np.testing.assert_allclose(batch.rew, theirs["rewards"], rtol=1e-6)
    np.testing.assert_array_equal(batch.terminated | batch.truncated, ended)
    assert not np.any(batch.terminated & batch.truncated)
    mean = np.sum(theirs["rewards"], dtype=np.float64) / ended.sum()
    rows, episodes, returns = ([float(x.replace(",", "")) for x in line.split()[-2:]] for line in said[1:4])
    assert rows == [len(ended)] * 2 and episodes == [ended.sum()] * 2
    assert returns == pytest.approx([mean] * 2, abs=0.01) and meta["return_mean"] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("task", SAME)
def test_without_next_observations_the_last_row_of_an_episode_is_left_out(task, tmp_path):
    path = FOREIGN / "d4rl" / f"{SAME[task][1]}-v2.hdf5"
    batch, meta, said = imported("d4rl", path, envs.TASKS[task], tmp_path / "d.npz")
    full = h5_columns(PLACES["d4rl"](SAME[task]))
    ended = full["terminals"] | full["timeouts"]
    assert len(batch.rew) == len(ended) - ended.sum() and meta["episodes"] == ended.sum()
    equal_where(batch, ~ended, obs=full["observations"], next_obs=full["next_observations"], act=full["actions"])
    np.testing.assert_array_equal(batch.truncated, np.append(ended[1:], True)[~ended])
    assert not batch.terminated.any()
    theirs = np.add.reduceat(full["rewards"].astype(float), np.flatnonzero(np.append(True, ended[:-1])))
    assert said[3].split()[-2] == f"{theirs.mean():,.2f}"
    assert meta["return_mean"] == pytest.approx(np.mean(theirs - full["rewards"][ended]), rel=1e-6)


@pytest.mark.parametrize("task", SAME)
def test_minari_itself_reports_the_same(task, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    name, root = f"mujoco/{SAME[task][2]}", tmp_path / "minari"
    shutil.copytree(FOREIGN / "minari", root)
    about = root / name / "data" / "metadata.json"  # of a later Minari, which an earlier one refuses
    about.write_text(json.dumps(json.loads(about.read_text()) | {"minari_version": minari.__version__}))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    theirs = minari.load_dataset(name)
    batch, meta, _ = imported("minari", import_dataset.minari_folder(name), envs.TASKS[task], tmp_path / "d.npz")
    assert (meta["transitions"], meta["episodes"]) == (theirs.total_steps, theirs.total_episodes)
    returns = [episode.rewards.sum() for episode in theirs.iterate_episodes()]
    np.testing.assert_allclose(envs.episode_returns(batch)[0], returns, rtol=1e-6)


def refused(capsys, *words):
    """The one line in which import_dataset.py refuses."""
    assert import_dataset.main([*map(str, words), "--env", "hopper", "--out", "never.npz"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("import_dataset.py: ")
    return err


def test_what_the_package_minari_cannot_fetch_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    def fetch(name):
        raise ImportError("huggingface_hub is not installed") if "one" in name else KeyError(f"no {name}")

    minari = pytest.importorskip("minari")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "kept"))
    monkeypatch.setattr(minari, "download_dataset", fetch)
    monkeypatch.setattr(import_dataset, "answers", lambda name: None)
    assert "pip install" in (err := refused(capsys, "minari", "some/one-v0")) and "huggingface_hub" in err
    assert "no some/two-v0" in refused(capsys, "minari", "some/two-v0")
    assert "no id" in refused(capsys, "minari", "~/some folder")


def test_without_a_network_an_id_is_refused_at_once(tmp_path, monkeypatch, capsys):
    """The package would ask six times, in 23 seconds and eleven lines."""
    minari, hub = pytest.importorskip("minari"), pytest.importorskip("huggingface_hub.constants")
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "kept"))
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr(minari, "download_dataset", asked.append)
    assert "no network" in refused(capsys, "minari", "some/one-v0") and not asked


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_an_id_in_another_format_says_so(form, tmp_path, monkeypatch, capsys):
    """Not that an extra lacks, which is installed: pyarrow is what the package asks for."""
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    folder = tmp_path / "some" / "one-v0" / "data"
    folder.mkdir(parents=True)
    about = {"data_format": form, "total_steps": 3, "total_episodes": 1}
    (folder / "metadata.json").write_text(json.dumps(about))
    monkeypatch.setattr(import_dataset, "isolated", lambda f, *args: f(*args))
    monkeypatch.setattr(import_dataset, "limit", lambda size, memory: None)
    with pytest.raises(SystemExit):
        import_dataset.main(["minari", "some/one-v0", "--env", "hopper", "--out", str(tmp_path / "o.npz")])
    err = capsys.readouterr().err
    assert f"its format is '{form}'" in err and "data_format='hdf5'" in err and "extra" not in err


@pytest.mark.parametrize("task", SAME)
def test_tensorflow_itself_reports_the_same(task):
    tf = pytest.importorskip("tensorflow", reason="large, and not needed for anything else")
    folder = PLACES["brac"](SAME[task])
    reader = tf.train.load_checkpoint(str(folder / "data"))
    ours = import_dataset.tensors(folder / "data.index")
    for name in import_dataset.TENSORS:
        theirs = reader.get_tensor(f"data/{name}{import_dataset.SUFFIX}")
        np.testing.assert_array_equal(ours[name], theirs)


def test_crc32c_by_hand():
    """The check value in the catalogue of CRC algorithms, and RFC 3720's 32 bytes of zeros."""
    digits = np.frombuffer(b"123456789", np.uint8)
    assert import_dataset.crc32c(digits, 0) == 0xE3069283
    assert import_dataset.crc32c(digits[4:], import_dataset.crc32c(digits[:4], 0)) == 0xE3069283
    assert import_dataset.crc32c(np.zeros(32, np.uint8), 0) == 0x8A9136AA


# --- what is peculiar about a file is said --------------------------------------------------------------------------


def write_d4rl(path, n=40, every=10, **changes):
    """A small file of the hopper in D4RL's layout, whose episodes end after `every` rows."""
    rng = np.random.default_rng(0)
    obs, act = rng.standard_normal((n + 1, 11)), rng.uniform(-1, 1, (n, 3))
    obs[:, :2] = 1.2, 0.0  # healthy
    end = np.arange(n) % every == every - 1
    columns = {"observations": obs[:-1], "actions": act, "next_observations": obs[1:]}
    columns |= {"rewards": HOPPER.reward(obs[:-1], act, obs[1:]), "terminals": np.zeros(n, bool), "timeouts": end}
    with h5py.File(path, "w") as file:
        for name, column in (columns | changes).items():
            if column is not None:
                file[name] = column
    return path


def notes(path, tmp_path, task=HOPPER):
    _, meta, said = imported("d4rl", path, task, tmp_path / "out.npz")
    assert [f"note: {note}" for note in meta["notes"]] == said[4:]
    return " / ".join(meta["notes"])


def test_a_file_like_ours_gets_no_note(tmp_path):
    assert notes(write_d4rl(tmp_path / "d.hdf5"), tmp_path) == ""


def test_peculiar_files_get_notes(tmp_path):
    file = tmp_path / "d.hdf5"
    assert "actions beyond the limit in 40 of 40 rows" in notes(
        write_d4rl(file, actions=np.full((40, 3), 1.5)), tmp_path
    )
    (tmp_path / "out.npz").unlink()
    assert "rewards up to 3.6 from" in notes(write_d4rl(file, rewards=np.zeros(40)), tmp_path)
    (tmp_path / "out.npz").unlink()
    assert "another rule than this project's in 4 of 40" in notes(
        write_d4rl(file, terminals=np.arange(40) % 10 == 9, timeouts=np.zeros(40, bool)), tmp_path
    )
    (tmp_path / "out.npz").unlink()
    _, meta, _ = imported("brac", FOREIGN / "brac" / "Hopper" / "pure", HOPPER, tmp_path / "out.npz")
    assert "of exactly 10 or -10" in meta["notes"][0] and meta["noise"] == "pure" and "brac" in meta["source"]


def test_rows_that_do_not_go_on_end_an_episode(tmp_path):
    """Fourteen rows of one episode, a gap that no flag tells of, the rest."""
    file = write_d4rl(tmp_path / "d.hdf5", timeouts=np.zeros(40, bool))
    with h5py.File(file, "r+") as f:
        f["next_observations"][13, 3] += 1
    batch, _, _ = imported("d4rl", file, HOPPER, tmp_path / "out.npz")
    assert np.flatnonzero(batch.truncated).tolist() == [13, 39]


WIDTHS = [("ant", 27, 0), ("ant", 105, 0), ("ant", 111, 0), ("ant", 29, 2), ("ant", 107, 2), ("ant", 113, 2),
          ("half_cheetah", 18, 1), ("cheetah_run", 18, 1), ("walker2d", 18, 1), ("hopper", 12, 1)]  # fmt: skip


@pytest.mark.parametrize("name, wide, first", WIDTHS)
@pytest.mark.parametrize("kind", ["d4rl", "minari", "brac"])
def test_an_observation_is_taken_from_where_it_stands(kind, name, wide, first, tmp_path):
    """Behind the position in the plane, before the contact forces; which is said."""
    task, obs = envs.TASKS[name], np.random.default_rng(0).standard_normal((41, wide))
    batch = Batch(obs[:-1], np.zeros((40, task.act_dim)), np.zeros(40), obs[1:], *2 * [np.zeros(40, bool)])
    ours, meta, _ = imported(kind, WRITE[kind](tmp_path / "theirs", batch), task, tmp_path / "o.npz")
    np.testing.assert_array_equal(ours.obs, obs[:-1, first : first + task.obs_dim].astype(np.float32))
    np.testing.assert_array_equal(ours.next_obs, obs[1:, first : first + task.obs_dim].astype(np.float32))
    said = f"the first {first}, the position in the plane, are left out"
    assert any(said in note for note in meta["notes"]) == (first > 0)


@pytest.mark.parametrize("name", [name for name in envs.TASKS])
def test_an_observation_of_unknown_width_is_refused(name, tmp_path):
    """All from one number to twenty more than the longest that is known; cheap, because no row is read twice."""
    task, known = envs.TASKS[name], {wide for other, wide, _ in WIDTHS if other == name} | {envs.TASKS[name].obs_dim}
    for wide in range(1, max(known) + 20):
        if wide in known:
            import_dataset.position(task, wide)
        else:
            with pytest.raises(ValueError, match=f"^{wide} observed numbers, {name} has {task.obs_dim}"):
                import_dataset.position(task, wide)


def test_gymnasiums_robots_that_show_their_position(tmp_path):
    """The reset states of Gymnasium's own robots: what is left is what they show without their position."""
    for name, their_id in (("ant", "Ant-v5"), ("hopper", "Hopper-v5"), ("walker2d", "Walker2d-v5")):
        hidden, shown = (gym.make(their_id, exclude_current_positions_from_observation=x).reset(seed=0)[0]
                         for x in (True, False))  # fmt: skip
        assert len(shown) - len(hidden) == import_dataset.position(envs.TASKS[name], len(shown)) > 0
        np.testing.assert_array_equal(shown[import_dataset.position(envs.TASKS[name], len(shown)) :], hidden)


# --- files of several parts -----------------------------------------------------------------------------------------


def episodes_of(batch):
    """The rows of each episode of a Batch, as Batches."""
    ends = np.append(np.flatnonzero(batch.terminated | batch.truncated) + 1, len(batch.rew))
    return [Batch(*(column[a:b] for column in batch)) for a, b in zip([0, *ends], ends) if b > a]


def write_minari(folder, batch, last=True, **changes):
    """A Batch as Minari lays its episodes out; without their last observation if not `last`."""
    folder.mkdir()
    found = episodes_of(batch)
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for i, e in enumerate(found):
            obs = np.concatenate([e.obs, e.next_obs[-1:]])[: len(e.rew) + last]
            columns = dict(zip(import_dataset.MINARI, (obs, e.act, e.rew, e.terminated, e.truncated)))
            for name, column in (columns | changes).items():
                file.create_dataset(f"episode_{i}/{name}", data=column, chunks=True)
    about = {"data_format": "hdf5", "total_episodes": len(found), "total_steps": len(batch.rew)}
    (folder / "metadata.json").write_text(json.dumps(about))
    return folder


def numbered(number):
    """A whole number in groups of seven bits, as protocol buffers have it.  -> bytes"""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def table_block(entries):
    """A block of LevelDB's tables without shared keys, with its checksum.  -> bytes"""
    rows = (bytes(1) + numbered(len(k)) + numbered(len(v)) + k + v for k, v in entries)
    return (body := b"".join(rows) + struct.pack("<II", 0, 1)) + bytes(1) + struct.pack("<I", masked(body + bytes(1)))


def masked(content):
    """The checksum that LevelDB stores of some bytes."""
    crc = int(import_dataset.crc32c(np.frombuffer(content, np.uint8), 0))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_checkpoint(folder, arrays, name="data", owner="data/", kinds=(), shards=1):
    """Arrays as a TensorFlow checkpoint, in `shards` files in turn; kinds: other types than their own, by name."""
    folder.mkdir(exist_ok=True)
    files, types = [b""] * shards, {t: n for n, t in import_dataset.TYPES.items()}
    entries = [(b"", b"\x08" + numbered(shards))]
    for i, (key, x) in enumerate(sorted(arrays.items())):
        raw, k = np.ascontiguousarray(x).tobytes(), i % shards
        dims = b"".join(b"\x12" + numbered(len(d)) + d for d in (b"\x08" + numbered(n) for n in np.shape(x)))
        entry = b"\x08" + numbered(dict(kinds).get(key) or types[np.asarray(x).dtype])
        entry += b"\x12" + numbered(len(dims)) + dims + b"\x18" + numbered(k) + b"\x20" + numbered(len(files[k]))
        entry += b"\x28" + numbered(len(raw)) + b"\x35" + struct.pack("<I", masked(raw))
        entries.append((f"{owner}{key}{import_dataset.SUFFIX}".encode(), entry))
        files[k] += raw
    index, places = b"", []
    for content in (sorted(entries), []):
        places.append(numbered(len(index)) + numbered(len(b := table_block(content)) - 5))
        index += b
    places.append(numbered(len(index)) + numbered(len(b := table_block([(entries[-1][0], places[0])])) - 5))
    index += b + (places[1] + places[2]).ljust(40, bytes(1)) + struct.pack("<Q", import_dataset.MAGIC)
    (folder / f"{name}.index").write_bytes(index)
    for k, content in enumerate(files):
        (folder / f"{name}.data-{k:05d}-of-{shards:05d}").write_bytes(content)
    return folder


def brac_arrays(batch, capacity=0):
    """A Batch as the arrays of BRAC's buffer, empty behind its rows up to `capacity`."""
    rows = len(batch.rew)
    columns = batch.obs, batch.next_obs, batch.act, batch.rew, np.where(batch.terminated, 0, 1)
    arrays = {name: np.float32(x) for name, x in zip(import_dataset.TENSORS, columns)}
    if capacity:
        arrays = {k: np.concatenate([x, np.zeros((capacity - rows, *x.shape[1:]), x.dtype)]) for k, x in arrays.items()}
        arrays |= {
            k: np.int32(n) for k, n in zip(("_current_size", "_current_idx", "_capacity"), (rows, rows, capacity))
        }
    return arrays


def write_brac(folder, batch, **options):
    return write_checkpoint(folder, brac_arrays(batch), **options)


def write_d4rl_batch(path, batch, **changes):
    """A Batch in D4RL's layout; a column that is None is left out."""
    names = "observations", "actions", "rewards", "next_observations", "terminals", "timeouts"
    with h5py.File(path, "w") as file:
        for name, column in (dict(zip(names, batch)) | changes).items():
            if column is not None:
                file.create_dataset(name, data=column, compression="gzip")
    return path


WRITE = {"d4rl": write_d4rl_batch, "minari": write_minari, "brac": write_brac}


def hoppers(n=500, seed=0):
    """n rows of hoppers that act at random, one episode behind the other."""
    acts = envs.behavior(HOPPER, None, "random")
    return envs.collect(HOPPER, acts, n, np.random.default_rng(seed), num_envs=1)


LAYOUTS = {
    "brac": write_brac,
    "brac, three files": lambda path, batch: write_brac(path, batch, shards=3),
    "d4rl": write_d4rl_batch,
    "d4rl without timeouts": lambda path, batch: write_d4rl_batch(path, batch, timeouts=None),
    "d4rl without next_observations": lambda path, batch: write_d4rl_batch(path, batch, next_observations=None),
    "d4rl with neither": lambda path, batch: write_d4rl_batch(path, batch, next_observations=None, timeouts=None),
    "minari": write_minari,
    "minari without last observations": lambda path, batch: write_minari(path, batch, last=False),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_do_not_show_in_the_result(layout, tmp_path, monkeypatch):
    """One row at a time, some, all but one: the same bytes, returns and notes; and the rows that were written."""
    batch, kind = hoppers(), layout.split()[0].rstrip(",")
    path = LAYOUTS[layout](tmp_path / "theirs", batch)
    whole, _, said = imported(kind, path, HOPPER, tmp_path / "whole.npz")
    for rows in (1, 7, 64, 499, 500):
        monkeypatch.setattr(import_dataset, "PART", rows)
        parts, _, again = imported(kind, path, HOPPER, tmp_path / f"{rows}.npz")
        assert [c.tobytes() for c in parts] == [c.tobytes() for c in whole] and again == said, rows
    if "without next" in layout or "neither" in layout or "without last" in layout:
        ended = (batch.terminated | batch.truncated)[:-1]
        batch = Batch(*(column[:-1][~ended] for column in batch))
        batch = batch._replace(terminated=np.zeros(len(batch.rew), bool))
    for name in ("obs", "act", "next_obs", "rew", "terminated"):
        np.testing.assert_array_equal(getattr(whole, name), np.asarray(getattr(batch, name), whole.rew.dtype), name)
    assert said[1].split()[-2:] == ["500", f"{len(batch.rew):,}"]
    starts = np.any(whole.next_obs[:-1] != whole.obs[1:], axis=1)
    np.testing.assert_array_equal((whole.terminated | whole.truncated)[:-1], starts)


@pytest.mark.parametrize("layout", ["d4rl", "d4rl with neither", "minari", "brac"])
def test_files_of_several_parts_as_they_are(layout, tmp_path):
    """60,000 rows, one more than two parts, exactly two: nothing lowered."""
    rng = np.random.default_rng(0)
    for n in (60_000, 2 * import_dataset.PART + 1, 2 * import_dataset.PART):
        obs, terminated = rng.standard_normal((n + 1, 11)).astype(np.float32), np.arange(n) % 500 == 499
        act, rew = rng.uniform(-1, 1, (n, 3)).astype(np.float32), np.zeros(n, np.float32)
        batch = Batch(obs[:-1], act, rew, obs[1:], terminated, ~terminated & (np.arange(n) == n - 1))
        path = LAYOUTS[layout](tmp_path / f"{n}", batch)
        ours, _, said = imported(layout.split()[0], path, HOPPER, tmp_path / f"{n}.npz")
        dropped = np.count_nonzero(batch.terminated | batch.truncated) if "neither" in layout else 0
        assert len(ours.rew) == n - dropped and said[1].split()[1] == f"{n:,}"
        if not dropped:
            np.testing.assert_array_equal(ours.obs, batch.obs)
            np.testing.assert_array_equal(ours.terminated | ours.truncated, batch.terminated | batch.truncated)


# --- D4RL: what its own loader reads ---------------------------------------------------------------------------------

VARIANTS = {
    "flags of floats": lambda b: {"terminals": np.float32(b.terminated), "timeouts": np.float64(b.truncated)},
    "flags of integers": lambda b: {"terminals": np.int8(b.terminated), "timeouts": np.uint8(b.truncated)},
    "flags in a column": lambda b: {"terminals": b.terminated[:, None], "timeouts": b.truncated[:, None]},
    "rewards in a column": lambda b: {"rewards": b.rew[:, None]},
    "half precision": lambda b: {"actions": np.float16(b.act)},
    "double precision": lambda b: {"observations": np.float64(b.obs), "next_observations": np.float64(b.next_obs)},
    "an axis too many": lambda b: {"observations": b.obs[:, None], "actions": b.act[:, :, None]},
    "no timeouts": lambda b: {"timeouts": None},
    "whole rewards": lambda b: {"rewards": np.int64(np.round(b.rew))},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_d4rl_files_of_other_types_and_shapes(variant, tmp_path):
    batch = hoppers()
    changes = VARIANTS[variant](batch)
    ours, _, _ = imported("d4rl", write_d4rl_batch(tmp_path / "d", batch, **changes), HOPPER, tmp_path / "o.npz")
    theirs = batch._replace(rew=np.round(batch.rew)) if "whole" in variant else batch
    theirs = theirs._replace(act=np.float16(batch.act)) if "half" in variant else theirs
    for name, column in theirs._asdict().items():
        np.testing.assert_array_equal(getattr(ours, name), column, name)


def test_one_torque_needs_no_second_axis(tmp_path):
    """The pendulum's actions (N,)."""
    batch = envs.collect(PENDULUM, envs.behavior(PENDULUM, None, "random"), 400, np.random.default_rng(0), num_envs=1)
    path = write_d4rl_batch(tmp_path / "d", batch, actions=batch.act[:, 0])
    ours, _, _ = imported("d4rl", path, PENDULUM, tmp_path / "o.npz")
    np.testing.assert_array_equal(ours.act, batch.act)


REFUSED = {
    "rewards of three": ({"rewards": np.zeros((500, 3))}, "rewards is float64 (500, 3), not numbers of shape (N,)"),
    "rewards of text": ({"rewards": np.full(500, b"x")}, "rewards is |S1 (500,)"),
    "complex actions": (
        {"actions": np.zeros((500, 3), complex)},
        "actions is complex128 (500, 3), not numbers of shape",
    ),
    "flat observations": (
        {"observations": np.zeros(5500)},
        "not of one length: observations (5500,), actions (500, 3)",
    ),
    "a flag of a half": ({"terminals": np.full(500, 0.5)}, "terminals holds 0.5"),
    "a flag that is NaN": ({"timeouts": np.full(500, np.nan)}, "timeouts holds nan"),
    "no actions": ({"actions": None}, "no actions in it: D4RL's layout has"),
    "too few rewards": ({"rewards": np.zeros(499)}, "rewards (499,)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_d4rl_does_not_have_is_named_with_type_and_shape(what, tmp_path):
    changes, said = REFUSED[what]
    with pytest.raises(envs.DataError, match=re.escape(said)):
        imported("d4rl", write_d4rl_batch(tmp_path / "d", hoppers(), **changes), HOPPER, tmp_path / "o.npz")
    assert not (tmp_path / "o.npz").exists()


def test_without_timeouts_and_next_observations_the_time_limit_ends_episodes(tmp_path):
    """By hand: 450 rows of the pendulum (limit 200) that terminate at row 229: ends at 199, 229, 429, 449."""
    terminated = np.arange(450) == 229
    assert np.flatnonzero(import_dataset.limited(terminated, 200)).tolist() == [199, 229, 429]
    obs = np.random.default_rng(0).standard_normal((451, 3))
    batch = Batch(obs[:-1], np.zeros((450, 1)), np.zeros(450), obs[1:], terminated, np.zeros(450, bool))
    path = write_d4rl_batch(tmp_path / "d", batch, timeouts=None, next_observations=None)
    ours, meta, _ = imported("d4rl", path, PENDULUM, tmp_path / "o.npz")
    assert len(ours.rew) == 446 and np.flatnonzero(ours.truncated).tolist() == [198, 227, 426, 445]
    assert "no timeouts in it: an episode is taken to end where it terminates, or it has 200 steps" in meta["notes"][0]


def test_rows_that_do_not_go_on_are_counted(tmp_path):
    """Two gaps that no flag tells of; a difference of rounding is none, nor is the end of the file."""
    batch = hoppers()
    after = batch.next_obs.astype(np.float64) * (1 + 1e-7)
    inside = np.flatnonzero(~(batch.terminated | batch.truncated))[[3, 70]]
    after[inside, 2] += 0.01
    path = write_d4rl_batch(tmp_path / "d", batch, next_observations=after)
    ours, meta, _ = imported("d4rl", path, HOPPER, tmp_path / "o.npz")
    assert any(note.startswith("2 of 500 rows do not go on in the next one") for note in meta["notes"])
    assert ours.truncated[inside].all() and np.count_nonzero(ours.truncated) == np.count_nonzero(batch.truncated) + 2


# --- BRAC: buffers that are not full, checkpoints of any name ---------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_empty_rows_of_a_buffer_are_left_out(rows, tmp_path, monkeypatch):
    batch = hoppers(64)
    filled = Batch(*(column[:rows] for column in batch))
    folder = write_checkpoint(tmp_path / "pure", brac_arrays(filled, 64))
    monkeypatch.setattr(import_dataset, "PART", 10)
    ours, _, said = imported("brac", folder, HOPPER, tmp_path / "o.npz")
    np.testing.assert_array_equal(ours.obs, filled.obs)
    np.testing.assert_array_equal(ours.rew, filled.rew)
    assert said[1].split()[1:] == [f"{rows}"] * 2 and ours.truncated[-1] != ours.terminated[-1]


@pytest.mark.parametrize("size", [0, -1, 65])
def test_a_buffer_that_counts_more_rows_than_it_has_is_refused(size, tmp_path):
    folder = write_checkpoint(tmp_path / "pure", brac_arrays(hoppers(64), 64) | {"_current_size": np.int32(size)})
    with pytest.raises(envs.DataError, match=f"_current_size says {size}: how many of the 64 rows are filled"):
        imported("brac", folder, HOPPER, tmp_path / "o.npz")


def test_a_checkpoint_of_any_name_is_taken_as_named(tmp_path):
    """By folder, index, name and data file; where a folder has several, they are named; other owners, other types."""
    batch = hoppers(64)
    folder = write_brac(tmp_path / "some", batch, name="replay_final", owner="buffer/data/")
    for path in (folder, folder / "replay_final.index", folder / "replay_final",
                 folder / "replay_final.data-00000-of-00001"):  # fmt: skip
        ours, meta, _ = imported("brac", path, HOPPER, tmp_path / f"{path.name}.npz")
        np.testing.assert_array_equal(ours.obs, batch.obs)
        assert "noise" not in meta
    arrays = brac_arrays(batch)
    write_checkpoint(folder, arrays | {"_discount": np.float16(arrays["_discount"])}, name="replay_0")
    with pytest.raises(envs.DataError, match="several checkpoints, name one: .*replay_0.index, .*replay_final.index"):
        imported("brac", folder, HOPPER, tmp_path / "o.npz")
    assert len(imported("brac", folder / "replay_0", HOPPER, tmp_path / "half.npz")[0].rew) == 64
    shutil.copytree(FOREIGN / "brac" / "Hopper" / "pure", tmp_path / "pure")
    for path in (tmp_path / "pure" / "data", tmp_path / "pure" / "data.index"):
        assert imported("brac", path, HOPPER, tmp_path / f"{path.name}.npz")[1]["noise"] == "pure"
    assert command_line("brac", folder / "replay_final", "--env", "hopper", "--out", tmp_path / "c.npz").returncode == 0


@pytest.mark.parametrize(
    "name, x, said",
    [
        ("_reward", np.zeros((8, 2), np.float32), "_reward is float32 (8, 2), not numbers of shape (N,) or (N, 1)"),
        ("_s1", np.zeros((8, 12), np.float32), "12 observed numbers, but 11 in the next observation"),
        ("_s1", np.zeros((8, 11, 2), np.float32), "_s1 is float32 (8, 11, 2), not numbers of shape (N, M)"),
        ("_reward", np.zeros(9, np.float32), "is (8, 11), but the buffer has 9 rows"),
        ("_discount", np.full(8, np.nan, np.float32), "NaN or infinity in _discount"),
        ("_current_size", np.float32(np.nan), "_current_size says nan: how many of the 8 rows"),
        ("_current_size", np.int32([1, 2]), "_current_size says [1 2]"),
    ],
)
def test_arrays_of_another_shape_are_named(name, x, said, tmp_path):
    folder = write_checkpoint(tmp_path / "pure", brac_arrays(hoppers(8)) | {name: x})
    with pytest.raises(envs.DataError, match=re.escape(said)):
        imported("brac", folder, HOPPER, tmp_path / "o.npz")


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_full_buffer_of_usual_size(tmp_path):
    """600,000 rows, 72 MB, by each of its names: the limit allows for it."""
    n, rng = 600_000, np.random.default_rng(0)
    obs = rng.standard_normal((n + 1, 11)).astype(np.float32)
    no, zeros = np.zeros(n, bool), np.zeros((n, 3), np.float32)
    folder = write_checkpoint(tmp_path / "x", brac_arrays(Batch(obs[:-1], zeros, zeros[:, 0], obs[1:], no, no)))
    for i, path in enumerate((folder, folder / "data", folder / "data.index")):
        done = command_line("brac", path, "--env", "hopper", "--out", tmp_path / f"{i}.npz")
        assert done.returncode == 0 and "600,000" in done.stdout, done.stderr


@pytest.mark.parametrize("kind, name", [(14, "bfloat16"), (7, "string"), (99, "TensorFlow's type 99")])
def test_other_types_of_tensorflow_have_names(kind, name, tmp_path):
    folder = write_checkpoint(tmp_path / "pure", brac_arrays(hoppers(8)), kinds={"_reward": kind})
    with pytest.raises(envs.DataError, match=f"_reward is {name}: cast it .* float32, float64"):
        imported("brac", folder, HOPPER, tmp_path / "o.npz")


def test_two_buffers_in_one_checkpoint_are_not_mixed(tmp_path):
    arrays = brac_arrays(hoppers(8))
    folder = write_checkpoint(tmp_path / "x", arrays | {f"old/{k}": v for k, v in arrays.items()}, owner="")
    with pytest.raises(envs.DataError, match="two buffers in it, the second one is 'old'"):
        imported("brac", folder, HOPPER, tmp_path / "o.npz")


# --- Minari: many episodes, little memory ----------------------------------------------------------------------------


def test_one_episode_is_open_at_a_time(tmp_path, monkeypatch):
    """Whatever their number: the HDF5 library keeps 0.1 MB for each array that is open."""
    few = hoppers(60)
    path = write_minari(tmp_path / "m", few._replace(truncated=np.arange(60) % 3 == 2, terminated=np.zeros(60, bool)))
    monkeypatch.setattr(import_dataset, "PART", 1)
    count = lambda: h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_ALL)
    before = count()  # other tests may have left some
    opened = [count() - before for _ in import_dataset.open_minari(path).parts]
    assert len(opened) == 60 and max(opened) < 10


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
@pytest.mark.whole
def test_a_thousand_short_episodes_and_the_memory_that_is_needed(tmp_path):
    """Refused in words where --memory is too little; what it asks for suffices."""
    few = hoppers(4000)
    path = write_minari(
        tmp_path / "m", few._replace(truncated=np.arange(4000) % 4 == 3, terminated=np.zeros(4000, bool))
    )
    done = command_line("minari", path, "--env", "hopper", "--out", tmp_path / "o.npz")
    assert done.returncode == 0 and "4,000" in done.stdout and "1,000" in done.stdout, done.stderr
    path = write_d4rl_batch(tmp_path / "d", envs.join([few] * 10))
    words = "d4rl", path, "--env", "hopper", "--out", tmp_path / "d.npz", "--memory"
    done = command_line(*words, 1)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "d.npz").exists()
    (asked,) = re.findall(r"--memory (\d+)$", done.stderr)
    assert command_line(*words, asked).returncode == 0


def test_the_library_at_its_limit_says_so_in_words(tmp_path, monkeypatch):
    """Its own words would be "memory allocation failed for chunk"."""

    def fail(*args):
        raise OSError("Can't synchronously read data (memory allocation failed for chunk)")

    path = write_minari(tmp_path / "m", hoppers(20))
    monkeypatch.setattr(import_dataset, "h5_flags", fail)
    with pytest.raises(envs.DataError, match="more memory than .* MB that reading may take, allow more with --memory"):
        imported("minari", path, HOPPER, tmp_path / "o.npz")


def test_minari_without_metadata_file(tmp_path):
    """Before 0.5 the counts were attributes of the HDF5 file; where there are none, it is said what lacks."""
    batch = hoppers(50)
    path = write_minari(tmp_path / "m", batch)
    (path / "metadata.json").unlink()
    with pytest.raises(envs.DataError, match="neither metadata.json nor the HDF5 file says total_steps"):
        imported("minari", path, HOPPER, tmp_path / "o.npz")
    with h5py.File(path / "main_data.hdf5", "r+") as file:
        file.attrs.update({"total_steps": 50, "total_episodes": len(episodes_of(batch))})
    ours, _, _ = imported("minari", path, HOPPER, tmp_path / "o.npz")
    np.testing.assert_array_equal(ours.next_obs, batch.next_obs)


@pytest.mark.parametrize("name, shape, said", [
    ("observations", (3, 11), "episode_0 has 3 observations, 50 actions"),
    ("rewards", (49,), "49 rewards, 50 terminations, 50 truncations: it should be T \\+ 1 observations"),
    ("observations", (51, 4, 4), "observations is float64 \\(51, 4, 4\\), not numbers of shape \\(N, M\\)"),
])  # fmt: skip
def test_episodes_that_do_not_fit_together_say_how(name, shape, said, tmp_path):
    batch = hoppers(50)._replace(truncated=np.arange(50) == 49, terminated=np.zeros(50, bool))
    path = write_minari(tmp_path / "m", batch, **{name: np.zeros(shape)})
    with pytest.raises(envs.DataError, match=said):
        imported("minari", path, HOPPER, tmp_path / "o.npz")


def test_a_link_is_named(tmp_path):
    path = write_d4rl_batch(tmp_path / "d", hoppers(50), rewards=None)
    with h5py.File(path, "r+") as file:
        file["rewards"] = h5py.ExternalLink("other.hdf5", "/rewards")
    with pytest.raises(envs.DataError, match="rewards is a link, and links are not followed"):
        imported("d4rl", path, HOPPER, tmp_path / "o.npz")


@pytest.mark.parametrize("place", ["next_observations", "rewards"])
def test_numbers_too_large_are_refused_without_a_warning(place, tmp_path):
    batch = hoppers(50)
    changes = {"next_observations": batch.next_obs.astype(float), "rewards": batch.rew.astype(float)}
    changes[place][3] = 1e300
    path = write_d4rl_batch(tmp_path / "d", batch, **changes)
    with pytest.raises(envs.DataError, match="NaN or infinity in it"):
        imported("d4rl", path, HOPPER, tmp_path / "o.npz")


def test_what_is_refused_leaves_no_folder(tmp_path):
    path = write_d4rl_batch(tmp_path / "d", hoppers(50), rewards=np.full(50, np.nan))
    with pytest.raises(envs.DataError):
        imported("d4rl", path, HOPPER, tmp_path / "new" / "deep" / "o.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_full_disk_is_not_the_files_fault(tmp_path, monkeypatch):
    def full(path, batches, meta):
        next(iter(batches))
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_d4rl_batch(tmp_path / "d", hoppers(50))
    monkeypatch.setattr(safe_files, "save_dataset", full)
    with pytest.raises(envs.DataError, match="o.npz: cannot be written .No space left on device.; --out names"):
        imported("d4rl", path, HOPPER, tmp_path / "o.npz")


def test_a_large_chunk_is_kept_unpacked(tmp_path, monkeypatch):
    """All rows in one chunk of 9 MB: HDF5's own cache may hold 1, and each part would unpack the chunk anew."""
    batch = envs.join([hoppers(1000)] * 100)
    path, caches, opened = tmp_path / "d", [], import_dataset.opened
    monkeypatch.setattr(import_dataset, "opened", lambda path, *cache: (caches.extend(cache), opened(path, *cache))[1])
    imported("d4rl", write_d4rl_batch(path, batch), HOPPER, tmp_path / "small.npz")
    assert caches == []
    obs = batch.obs.astype(np.float64)
    with h5py.File(path, "r+") as file:
        del file["observations"]
        file.create_dataset("observations", data=obs, chunks=obs.shape, compression="gzip")
    ours, _, _ = imported("d4rl", path, HOPPER, tmp_path / "o.npz")
    assert caches == [obs.nbytes] and len(ours.rew) == 100_000


def test_observations_in_a_group_are_named(tmp_path):
    """A space of several parts, as of Gymnasium's goal robots."""
    batch = hoppers(50)._replace(truncated=np.arange(50) == 49, terminated=np.zeros(50, bool))
    path = write_minari(tmp_path / "m", batch)
    with h5py.File(path / "main_data.hdf5", "r+") as file:
        file.move("episode_0/observations", "episode_0/x")
        file["episode_0/observations/desired_goal"] = np.zeros((51, 2))
    with pytest.raises(envs.DataError, match="observations is a group of desired_goal"):
        imported("minari", path, HOPPER, tmp_path / "o.npz")


def test_robots_that_go_on_after_a_fall_are_said_with_what_follows(tmp_path):
    """A hopper that lies on the ground from row ten on, recorded without termination."""
    lying = hoppers(40)
    low = np.arange(40) >= 10
    obs = np.where(low[:, None], np.float32(0.1), lying.obs)
    batch = lying._replace(obs=obs, next_obs=obs, terminated=np.zeros(40, bool), truncated=np.arange(40) == 39)
    _, meta, _ = imported("minari", write_minari(tmp_path / "m", batch), HOPPER, tmp_path / "o.npz")
    (note,) = [note for note in meta["notes"] if "fallen" in note]
    assert "in 31 of 40 rows; 31 go on where the robot has fallen: imagined paths" in note and "--start initial" in note


def test_the_originals_folder_is_found(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FOREIGN / "brac" / "Hopper" / "pure", "data/Hopper/eps1")
    line = "--mode offline --env hopper --preset smoke --iterations 0 --noise eps1 --n_train 3000".split()
    assert run.main(line) == 0
    (made,) = Path("data/hopper").glob("brac_eps1_*.npz")
    printed = capsys.readouterr().out
    rows = "3,000 of 3,220 rows: whole episodes from all over the file, drawn with seed 0"
    assert f"dataset {made}: 3,000 transitions" in printed and f"note: {rows}\n" in printed
    about = json.loads(Path("log/hopper/offline/bremen/bremen0/run.json").read_text())
    assert about["data"] == {"file": str(made.resolve()), "sha256": safe_files.sha256(made), "rows": rows}
    before = made.stat().st_mtime_ns
    assert run.main([*line, "--exp_name", "again"]) == 0 and made.stat().st_mtime_ns == before
    Path("data/Hopper/eps1/data.data-00000-of-00001").unlink()  # the .npz is enough
    assert run.main([*line, "--exp_name", "third"]) == 0


def test_a_run_goes_on_with_its_own_data_although_the_originals_came_later(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = "--mode offline --env hopper --preset smoke --iterations 0 --noise eps1 --n_train 3000".split()
    assert run.main(line) == 0
    shutil.copytree(FOREIGN / "brac" / "Hopper" / "pure", "data/Hopper/eps1")
    assert run.main(["--resume", "log/hopper/offline/bremen/bremen0"]) == 0
    assert capsys.readouterr().out.count("dataset data/hopper/eps1_3000_seed0.npz") == 2


# --- the command line -----------------------------------------------------------------------------------------------


def command_line(*words):
    line = [sys.executable, str(ROOT / "examples" / "import_dataset.py"), *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_command_line(tmp_path):
    path, out = PLACES["minari"](SAME["hopper"]), tmp_path / "new" / "d.npz"
    done = command_line("minari", path, "--env", "hopper", "--out", out)
    assert done.returncode == 0 and "936.74" in done.stdout and done.stderr == ""
    assert len(envs.load_dataset(out, HOPPER)[0].rew) == 3220
    again = command_line("minari", path, "--env", "hopper", "--out", out)
    assert again.returncode == 2 and "exists" in again.stderr and again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words, said",
    [
        (("d4rl", "absent.hdf5", "--env", "hopper"), "no such file"),
        (("d4rl", PLACES["d4rl"](SAME["hopper"]), "--env", "walker2d"), "walker2d has 17 and 6"),
        (("brac", FOREIGN / "d4rl", "--env", "hopper"), "no such file"),
        (("d4rl", PLACES["brac"](SAME["hopper"]) / "data.index", "--env", "hopper"), "cannot be read as d4rl"),
        (("minari", FOREIGN / "d4rl", "--env", "hopper"), "metadata.json"),
        (("hdf4", "x", "--env", "hopper"), "invalid choice"),
        (("d4rl", "x", "--env", "hooper"), "invalid choice"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(import_dataset, "isolated", lambda f, *args: f(*args))
    monkeypatch.setattr(import_dataset, "limit", lambda size, memory: None)
    try:
        status = import_dataset.main([*map(str, words), "--out", str(tmp_path / "o.npz")])
    except SystemExit as e:
        status = e.code
    printed = capsys.readouterr().err
    assert status == 2 and said in printed and printed.count("\n") == 1 and not list(tmp_path.iterdir())


def die(how, path):
    """What a library does to its process when a file is malicious."""
    import_dataset.limit(1_000_000)
    if how == "crash":
        ctypes.string_at(1)
    elif how == "memory":
        np.ones(300_000_000, np.uint8)


def test_a_process_that_dies_of_a_file_is_one_line():
    with pytest.raises(envs.DataError, match="x.hdf5: .* stopped by SIGSEGV"):
        import_dataset.isolated(die, "crash", "x.hdf5")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_is_limited(capfd):
    assert import_dataset.isolated(die, "nothing", "x.hdf5") == 0
    assert import_dataset.isolated(die, "memory", "x.hdf5") == 1
    assert "MemoryError" in capfd.readouterr().err


# --- whatever is in a file ------------------------------------------------------------------------------------------

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "flip", "flip", "cut", "drop", "zero", "insert", "repeat"]),
        st.sampled_from(["anywhere", "head", "tail"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=4,
)
DTYPES = st.sampled_from("<f4 <f8 >f4 <f2 |b1 <i8 |u1 <c8 <U3 |S0 <M8[s] <f4,<f4 |O |V0".split())
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 11, 40, 41]), max_size=3)
ARRAYS = st.tuples(st.integers(0, 9), DTYPES, SHAPES, st.booleans())


def edited(content, edits):
    """Bytes with some of them changed."""
    content = bytearray(content)
    for what, where, share, value in edits:
        n = {"anywhere": len(content), "head": min(len(content), 600), "tail": min(len(content), 600)}[where]
        i = int(share * n) + (len(content) - n if where == "tail" else 0)
        if what == "flip" and content:
            content[i] ^= value
        elif what == "cut":
            del content[i:]
        elif what == "drop":
            del content[i : i + value]
        elif what == "zero":
            content[i : i + value] = bytes(len(content[i : i + value]))
        elif what == "insert":
            content[i:i] = bytes([value]) * value
        elif what == "repeat":
            content[i:i] = content[i : i + 8 * value]
    return bytes(content)


def some_array(like, dtype, shape, same):
    """An array that nobody expects: of another type, and of another shape unless `same`, which has other numbers."""
    a = np.zeros(np.shape(like) if same else shape, dtype)
    if dtype == "<f8" and a.size:
        a.flat[-1] = 1e300
    return a.T.copy().T if same else a  # stored by columns


def npz_with(base, changes):
    """An .npz in which some arrays are others, or left out."""
    names, out = sorted(base), io.BytesIO()
    arrays = dict(base)
    for i, dtype, shape, same in changes:
        name = names[i % len(names)]
        if dtype == "|S0":
            arrays.pop(name, None)
        else:
            arrays[name] = some_array(base[name], dtype, shape, same)
    np.savez(out, **arrays)  # pickles included: they must be refused
    return out.getvalue()


def h5_with(path, changes, group="/"):
    """Change some arrays of an HDF5 file into others, links, folders, or nothing."""
    with h5py.File(path, "r+") as file:
        names = sorted(file[group])
        for i, dtype, shape, same in changes:
            name = names[i % len(names)]
            if not isinstance(file[group].get(name, getlink=True), h5py.HardLink):
                continue  # left out, or a link already
            like = file[group][name]
            like = like[()] if isinstance(like, h5py.Dataset) and like.size and like.size < 10**6 else np.zeros(3)
            del file[group][name]
            if dtype == "|O":
                file[group][name] = h5py.ExternalLink("/etc/hostname", "/x") if same else h5py.SoftLink("/actions")
            elif dtype == "|V0":
                file[group].create_group(name)
            elif dtype == "|S0" and shape:  # large, but nothing of it is in the file
                file[group].create_dataset(name, [10**9 * shape[0], *shape[1:]], "f4")
            elif np.dtype(dtype).kind in "fbiuc":
                file[group][name] = some_array(like, dtype, shape, same)


def json_with(values, changes):
    """A JSON object in which some values are others, or new."""
    values, names = dict(values), sorted(values)
    strange = [0, -1, 1e400, 10**30, "", "x", None, [], {}, [1, "a"], True, 3.5, "hopper", float("nan")]
    for i, dtype, shape, same in changes:
        name = names[(7 * i + 13 * len(shape) + sum(map(ord, dtype))) % len(names)] if same else f"{dtype}{i}"
        values[name] = strange[(i + len(shape) + sum(shape)) % len(strange)]
    return json.dumps(values)


def write_case(kind, folder, way, edits, arrays):
    """A damaged file of some kind, in `folder`.  -> what to open"""
    if kind == "brac":
        shutil.copytree(FOREIGN / "brac" / "Hopper" / "pure", folder / "pure")
        target = folder / "pure" / ("data.index" if way else "data.data-00000-of-00001")
        target.write_bytes(edited(target.read_bytes(), edits))
        return folder / "pure"
    if kind == "d4rl":
        path = write_d4rl(folder / "d.hdf5")
        if way:
            h5_with(path, arrays)
        else:
            path.write_bytes(edited(path.read_bytes(), edits))
        return path
    if kind == "minari":
        shutil.copytree(FOREIGN / "minari" / "mujoco" / "hopper" / "medium-v0", folder / "medium-v0")
        path = folder / "medium-v0" / "data" / "main_data.hdf5"
        if way:
            h5_with(path, arrays, "/episode_0")
        elif edits[0][3] % 3:
            path.write_bytes(edited(path.read_bytes(), edits))
        else:
            path = path.with_name("metadata.json")
            path.write_bytes(edited(path.read_bytes(), edits))
        return folder / "medium-v0"
    content = BASES[kind]()
    path = folder / ("config.json" if kind == "config" else f"{kind}.npz")
    if way and kind == "config":
        path.write_text(json_with(asdict(CFG), arrays))
    elif way:
        with zipfile.ZipFile(io.BytesIO(content)) as z:
            base = {name[:-4]: np.lib.format.read_array(z.open(name)) for name in z.namelist()}
        if edits[0][3] % 2:  # all arrays as they should be, but not what is said of them
            base["meta"] = np.array(json_with(json.loads(str(base["meta"])), arrays))
            arrays = []
        path.write_bytes(npz_with(base, arrays))
    else:
        path.write_bytes(edited(content, edits))
    return path


def saved(write):
    """The bytes of the file that write(path) makes; made once."""
    made = []

    def content():
        if not made:
            with tempfile.TemporaryDirectory() as folder:
                write(path := Path(folder) / "made")
                made.append(path.read_bytes())
        return made[0]

    return content


CFG = run.read_config({"env": "pendulum", "preset": "smoke"})


def small_batch():
    """400 rows of the pendulum."""
    return envs.collect(PENDULUM, envs.behavior(PENDULUM, None, "random"), 400, np.random.default_rng(0), num_envs=4)


def small_state():
    """What a run knows after its first stages."""
    return next(r["state"] for r in bremen.train_offline(CFG, small_batch()) if r["stage"] == "clone")


def write_small_policy(path):
    run.save_policy(path, bremen.policy_of(small_state(), CFG), CFG, return_mean=-900.0, return_std=100.0)


ABOUT = {"env": "pendulum", "noise": "eps1", "notes": ["a note"], "policy": "p.npz", "policy_return": [-900.0, 100.0],
         "seed": 0, "source": "a test", "versions": {"numpy": "2"}}  # fmt: skip
BASES = {
    "dataset": saved(lambda path: safe_files.save_dataset(path, [small_batch()], ABOUT)),
    "policy": saved(write_small_policy),
    "checkpoint": saved(lambda path: run.page("resume").save_checkpoint(path, CFG, small_state(), run.History())),
    "config": saved(lambda path: path.write_text(json.dumps(asdict(CFG), indent=1))),
}


SHORT = """--env pendulum --preset smoke --threads 1 --iterations 1 --iteration_updates 1 --clone_steps 5
           --model_epochs 1 --imagined_steps 100 --eval_episodes 2 --eval_interval_episodes 2"""


def attempt(kind, path, out):
    """Read one file.  -> None if it could be read and gave something sound, or the one line that refuses it"""
    try:
        if kind in import_dataset.OPEN:
            import_dataset.convert(kind, path, HOPPER, out, lambda text: None)
            batch, _ = envs.load_dataset(out, HOPPER)
            assert 0 < len(batch.rew) and np.isfinite(batch.obs).all()
        elif kind == "dataset":
            batch, _ = run.page("foreign_data").load_rows(path, PENDULUM)
            assert batch.obs.shape == (len(batch.rew), 3) and np.isfinite(batch.obs).all()
            for line in (f"--mode collect --describe {path}", f"{SHORT} --data {path} --log_dir {path.parent}"):
                assert run.main(line.split()) == 0, "a file that can be loaded can be told of, and used"
        elif kind == "policy":
            policy, _ = run.load_policy(path, PENDULUM)
            assert policy.mean(np.zeros((2, 3), np.float32)).shape == (2, 1)
            line = f"--mode collect --env pendulum --n_train 20 --threads 1 --policy {path} --out"
            assert run.main([*line.split(), str(path.with_name("collected.npz"))]) == 0
        elif kind == "checkpoint":
            state, history = run.page("resume").load_checkpoint(path, CFG)
            record = next(bremen.train_offline(CFG, small_batch(), state), None)  # what was read is fit to go on from
            done = state.updates == CFG.updates_by(state.deployments)
            assert (record is None if done else record["stage"] == "update") and isinstance(history.rows, list)
        else:
            run.read_config({}, path)
    except (envs.DataError, run.UsageError) as e:
        return " ".join(str(e).split())


def attempt_within_limits(kind, path, checksums):
    """`attempt` with 200 MB more than the process has by now, and an eye on time.  -> what it returns"""
    faulthandler.dump_traceback_later(120, exit=True)  # stuck: say where, and end
    import_dataset.check_crc = CHECK_CRC if checksums else lambda name, data, stored: None
    size = sum(f.stat().st_size for f in [path, *path.rglob("*")] if f.is_file())
    out, began = path.parent / "out.npz", time.perf_counter()
    import_dataset.limit(size)
    tracemalloc.start()
    with contextlib.redirect_stdout(io.StringIO()):
        line = attempt(kind, path, out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    faulthandler.cancel_dump_traceback_later()
    assert peak < 2 * size + 200e6 and time.perf_counter() - began < 60
    assert line is None or line.startswith(str(path)) or kind == "brac", line
    return line


CHECK_CRC = import_dataset.check_crc


def worker():
    draw_nothing(pytest.MonkeyPatch())  # for as long as this process lives
    for _ in bremen.train_offline(CFG, small_batch()):
        pass  # compiled code, threads and buffers of BLAS are not the file's fault
    with contextlib.suppress(ImportError):  # seconds: of each file, in attempt_within_limits
        import resource

        setrlimit = resource.setrlimit
        resource.setrlimit = lambda what, most: what == resource.RLIMIT_CPU or setrlimit(what, most)


@pytest.fixture(scope="module")
def readers():
    """[a pool of one process], to be replaced when a file ended it."""
    pools = [new_reader()]
    yield pools
    pools[0].shutdown(cancel_futures=True)


def new_reader():
    """-> a pool of one process"""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=worker)


def fuzz(kind, n, tmp_path, readers):
    """n damaged files of a kind, each read in a process that can be ended by it.  -> read, refused, died"""
    cases, folder = [], tmp_path / "cases"

    @hypothesis.settings(max_examples=n, deadline=None, derandomize=True, database=None,
                         phases=[hypothesis.Phase.generate],
                         suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
    @hypothesis.given(st.booleans(), EDITS, st.lists(ARRAYS, min_size=1, max_size=3))
    def make(way, edits, arrays):
        case = folder / str(len(cases))
        case.mkdir(parents=True)
        cases.append((kind, write_case(kind, case, way, edits, arrays)))

    make()
    left, read, refused, died = list(enumerate(cases)), 0, 0, 0
    while left:
        # without its checksums, damage to a checkpoint's index would never get as far as its reader
        futures = [readers[0].submit(attempt_within_limits, *case, i % 2 == 0) for i, case in left]
        for done, future in enumerate(futures, 1):  # noqa: B007
            try:
                line = future.result()
                read, refused = read + (line is None), refused + (line is not None)
            except BrokenProcessPool:  # in the program that is one line, too: see `isolated`
                died += 1
                readers[0] = new_reader()
                break
        left = left[done:]
    assert read + refused + died == len(cases)
    return read, refused, died


KINDS = (*import_dataset.OPEN, *BASES)
compiled = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="a file has a second per megabyte: not for plain Python")


@pytest.mark.parametrize("kind", BASES)
def test_the_undamaged_file_is_read(kind, tmp_path):
    """Or else a fuzz that sees all its files refused would prove nothing."""
    path = tmp_path / ("config.json" if kind == "config" else f"{kind}.npz")
    path.write_bytes(BASES[kind]())
    assert attempt(kind, path, tmp_path / "out.npz") is None


@pytest.mark.parametrize("dtype", ["<M8[s]", "<c8", "|b1", "<i8"])
def test_a_policy_of_other_things_than_numbers_is_refused(dtype, tmp_path):
    path = tmp_path / "policy.npz"
    path.write_bytes(BASES["policy"]())
    whole = envs.read_npz(path)
    for name in ("theta", "norm_mean", "norm_std"):
        safe_files.write_npz(path, **whole | {name: np.ones(whole[name].shape).astype(dtype)})
        with pytest.raises(envs.DataError, match="not a policy"):
            run.load_policy(path, PENDULUM)


def test_a_checkpoint_without_one_of_its_arrays_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(BASES["checkpoint"]())
    whole = envs.read_npz(path)
    for left_out in whole:
        safe_files.write_npz(path, **{name: x for name, x in whole.items() if name != left_out})
        with pytest.raises(envs.DataError, match="checkpoint"):
            run.page("resume").load_checkpoint(path, CFG)


@compiled
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_right_or_refused_in_one_line(kind, tmp_path, readers):
    read, refused, died = fuzz(kind, 100, tmp_path, readers)
    print(f"{kind}: {read} read, {refused} refused, {died} ended their process")
    assert refused > 30 and (died == 0 or kind in ("d4rl", "minari"))


@compiled
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_damaged_files_of_each_kind(kind, tmp_path):
    read, refused, died = fuzz(kind, 1000, tmp_path, [new_reader()])
    print(f"{kind}: {read} read, {refused} refused, {died} ended their process")
    assert read + refused + died >= 1000 and refused > 300 and (died == 0 or kind in ("d4rl", "minari"))
