"""Datasets of other programs, as TensorFlow, h5py and Minari wrote them: read right, or refused in one line."""

import contextlib
import ctypes
import faulthandler
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import import_dataset
import numba
import numpy as np
import pytest
from conftest import draw_nothing

import bremen
import envs
import run

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
    about = root / name / "data" / "metadata.json"  # Minari refuses what a later one wrote, though the layout is the same
    about.write_text(json.dumps(json.loads(about.read_text()) | {"minari_version": minari.__version__}))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    theirs = minari.load_dataset(name)
    batch, meta, _ = imported("minari", import_dataset.minari_folder(name), envs.TASKS[task], tmp_path / "d.npz")
    assert (meta["transitions"], meta["episodes"]) == (theirs.total_steps, theirs.total_episodes)
    returns = [episode.rewards.sum() for episode in theirs.iterate_episodes()]
    np.testing.assert_allclose(envs.episode_returns(batch)[0], returns, rtol=1e-6)


def test_what_the_package_minari_cannot_fetch_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    def fetch(name, download):
        raise ImportError("huggingface_hub is not installed") if name == "a/b-v0" else KeyError(f"no {name}")

    minari = pytest.importorskip("minari")
    monkeypatch.setattr(minari, "load_dataset", fetch)
    for name, word in (("a/b-v0", "pip install"), ("c/d-v0", "no c/d-v0")):
        assert import_dataset.main(["minari", name, "--env", "hopper", "--out", str(tmp_path / "o.npz")]) == 2
        err = capsys.readouterr().err
        assert word in err and err.count("\n") == 1


@pytest.mark.parametrize("task", SAME)
def test_tensorflow_itself_reports_the_same(task):
    tf = pytest.importorskip("tensorflow", reason="large, and not needed for anything else")
    folder = PLACES["brac"](SAME[task])
    reader = tf.train.load_checkpoint(str(folder / "data"))
    ours = import_dataset.tensors(folder)
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


def test_contact_forces_of_the_ant_are_cut_off(tmp_path):
    obs = np.random.default_rng(0).standard_normal((41, 111))
    columns = {"observations": obs[:-1], "next_observations": obs[1:], "actions": np.zeros((40, 8))}
    batch, _, _ = imported("d4rl", write_d4rl(tmp_path / "d.hdf5", **columns), envs.TASKS["ant"], tmp_path / "o.npz")
    np.testing.assert_array_equal(batch.obs, obs[:-1, :27].astype(np.float32))


def test_parts_do_not_show_in_the_result(tmp_path, monkeypatch):
    for kind, path in (("brac", PLACES["brac"](SAME["hopper"])), ("d4rl", FOREIGN / "d4rl" / "hopper_medium-v2.hdf5")):
        whole, _, _ = imported(kind, path, HOPPER, tmp_path / f"{kind}.npz")
        for rows in (7, 232, 3219):
            monkeypatch.setattr(import_dataset, "PART", rows)
            parts, _, _ = imported(kind, path, HOPPER, tmp_path / f"{kind}{rows}.npz")
            assert [c.tobytes() for c in parts] == [c.tobytes() for c in whole], (kind, rows)
        monkeypatch.undo()


def test_the_originals_folder_is_found(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FOREIGN / "brac" / "Hopper" / "pure", "data/Hopper/eps1")
    line = "--mode offline --env hopper --preset smoke --iterations 0 --noise eps1 --n_train 3000".split()
    assert run.main(line) == 0
    (made,) = Path("data/hopper").glob("brac_eps1_*.npz")
    printed = capsys.readouterr().out
    assert f"dataset {made}: 3,000 transitions" in printed and "begin with the random actions" in printed
    about = json.loads(Path("log/hopper/offline/bremen/bremen0/run.json").read_text())
    assert about["data"] == {"file": str(made), "sha256": envs.sha256(made)}
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
    monkeypatch.setattr(import_dataset, "limit", lambda size: None)
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
        path.write_text(json_with(run.asdict(CFG), arrays))
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
NOTHING_YET = {"rows": [], "models": [], "batches": []}
BASES = {
    "dataset": saved(lambda path: envs.save_dataset(path, [small_batch()], ABOUT)),
    "policy": saved(write_small_policy),
    "checkpoint": saved(lambda path: run.save_checkpoint(path, CFG, small_state(), NOTHING_YET)),
    "config": saved(lambda path: path.write_text(json.dumps(run.asdict(CFG), indent=1))),
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
            batch, _ = envs.load_dataset(path, PENDULUM)
            assert batch.obs.shape == (len(batch.rew), 3) and np.isfinite(batch.obs).all()
            for line in (f"--mode collect --describe {path}", f"{SHORT} --data {path} --log_dir {path.parent}"):
                assert run.main(line.split()) == 0, "a file that can be loaded can be told of, and used"
        elif kind == "policy":
            policy, _ = run.load_policy(path, PENDULUM)
            assert policy.mean(np.zeros((2, 3), np.float32)).shape == (2, 1)
            line = f"--mode collect --env pendulum --n_train 20 --threads 1 --policy {path} --out"
            assert run.main([*line.split(), str(path.with_name("collected.npz"))]) == 0
        elif kind == "checkpoint":
            state, history = run.load_checkpoint(path, CFG)
            record = next(bremen.train_offline(CFG, small_batch(), state), None)  # what was read is fit to go on from
            done = state.updates == CFG.updates_by(state.deployments)
            assert (record is None if done else record["stage"] == "update") and isinstance(history["rows"], list)
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
        envs.write_npz(path, **whole | {name: np.ones(whole[name].shape).astype(dtype)})
        with pytest.raises(envs.DataError, match="not a policy"):
            run.load_policy(path, PENDULUM)


def test_a_checkpoint_without_one_of_its_arrays_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(BASES["checkpoint"]())
    whole = envs.read_npz(path)
    for left_out in whole:
        envs.write_npz(path, **{name: x for name, x in whole.items() if name != left_out})
        with pytest.raises(envs.DataError, match="checkpoint"):
            run.load_checkpoint(path, CFG)


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
