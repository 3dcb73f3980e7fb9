"""examples/sweep.py on a Dask cluster: a real scheduler and real workers, each with a folder of its own."""

import csv
import dataclasses
import gc
import io
import itertools
import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import sweep
from conftest import draw_nothing

import bremen
import envs
import run

ROOT = Path(__file__).resolve().parent.parent
SWEEP = str(ROOT / "examples" / "sweep.py")
MODULES = [f"{name}.py" for name in ("bremen", "envs", "nets", "trpo", "run")]


@contextmanager
def started(folder, *words, **environment):
    """A process in a folder, its output in a file beside it; killed at the end.  -> subprocess.Popen"""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.txt"), "w") as out:
        process = subprocess.Popen([sys.executable, *map(str, words)], cwd=folder, stdout=out, stderr=out,
                                   env=os.environ | environment)  # fmt: skip
        try:
            yield process
        finally:
            for p in (*children(process), process):
                p.kill()
            process.wait()


def children(process):
    """All processes below one."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def until(happens, seconds=60):
    """Wait for happens() to be true.  -> what it returns"""
    end = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


@contextmanager
def scheduler(folder):
    """A Dask scheduler.  -> its address"""
    words = "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1"
    with started(folder, *words):
        text = folder.with_name(f"{folder.name}.txt")
        yield until(lambda: re.search(r"Scheduler at: +(tcp://\S+)", text.read_text()))[1]


def worker(address, folder, *words, program=ROOT):
    """A Dask worker with one thread; it finds the program by PYTHONPATH.  -> context manager of its process"""
    line = "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", *words
    return started(folder, *line, "--local-directory", folder, PYTHONPATH=str(program))


def same(path):
    """The content of a file of a run, without seconds."""
    if path.suffix == ".csv":
        with open(path, newline="") as f:
            return [{k: v for k, v in row.items() if "_seconds" not in k} for row in csv.DictReader(f)]
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            plain = {k: (x.dtype, x.shape, x.tobytes()) for k, x in arrays.items() if k != "meta"}
            return plain | {"meta": without_seconds(json.loads(str(arrays["meta"])))}
    if path.suffix == ".json":
        return without_seconds(json.loads(path.read_text()))
    if path.suffix == ".txt":
        return [line for line in path.read_text().splitlines() if not line.startswith("wall time")]
    return path.read_bytes()


def without_seconds(x):
    """JSON without what a clock has told."""
    if isinstance(x, dict):
        return {k: without_seconds(v) for k, v in x.items() if "seconds" not in k}
    return [without_seconds(v) for v in x] if isinstance(x, list) else x


def files(folder):
    """All files below a folder.  -> {relative path: content}"""
    return {str(path.relative_to(folder)): same(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def begun(process):
    """The process of run.py that a worker has begun, and its words.  -> psutil.Process, list; or None"""
    for p in children(process):
        with suppress(psutil.Error):
            if "--log_dir" in (words := p.cmdline()):
                return p, words


SMALL = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --iterations 5".split()


@pytest.fixture(scope="module")
def other_program(tmp_path_factory):
    """A copy of the program with a comment more.  -> its folder"""
    folder = tmp_path_factory.mktemp("other")
    for name in MODULES:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("results", "exercises"))
    with open(folder / "bremen.py", "a") as f:
        f.write("# another one\n")
    return folder


@pytest.mark.whole
def test_a_sweep_on_workers_without_shared_files_is_the_same_as_a_local_one(tmp_path):
    """One worker is killed in the middle: its run dies with it, and goes on elsewhere from its last checkpoint."""
    line = [SWEEP, "s", *SMALL, "--mode", "offline", "recursive"]
    with started(tmp_path / "client", *line) as local:
        assert local.wait(120) == 0, (tmp_path / "client.txt").read_text()
    (tmp_path / "client/s").rename(tmp_path / "local")
    with ExitStack() as stack:
        address = stack.enter_context(scheduler(tmp_path / "scheduler"))
        first, _ = (stack.enter_context(worker(address, tmp_path / name, "--no-nanny")) for name in ("w1", "w2"))
        client = stack.enter_context(started(tmp_path / "client", *line, "--scheduler", address))
        old, words = until(lambda: begun(first))
        folder = tmp_path / "client/s/log/pendulum" / words[words.index("--mode") + 1] / "bremen/bremen0"
        until((folder / "checkpoint.npz").exists)
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE, seconds=5)
        assert client.wait(120) == 0, (tmp_path / "client.txt").read_text()
        until(lambda: not [*(tmp_path / "w2").rglob("config.json")], seconds=5)  # no copies stay with a worker
        more = ["--data", "s/data/pendulum/pure_600_seed0.npz", "--models", "s", "--target_kl", "1e-4"]
        client = stack.enter_context(started(tmp_path / "client", SWEEP, "t", *SMALL, *more, "--scheduler", address))
        assert client.wait(120) == 0, (tmp_path / "client.txt").read_text()
    (told,) = (path.read_text() for path in (tmp_path / "client/t").rglob("*.txt"))
    assert f"models of {tmp_path}/client/s/log/pendulum/offline/bremen/bremen0, commit" in told
    log = folder.with_name("bremen0.txt")
    before, after = log.read_text().split("BREMEN ", 2)[1:]
    assert str(tmp_path / "w") not in before + after, "paths are those of the client"
    log.write_text((tmp_path / "local" / log.relative_to(tmp_path / "client/s")).read_text())
    assert files(tmp_path / "client/s") == files(tmp_path / "local")


@pytest.mark.whole
def test_workers_that_would_compute_something_else_get_no_run(tmp_path, other_program):
    """One line that names both sides; and where no other worker is left, exit status 2 and nothing else on stderr."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.py").write_text("import a_package_that_is_not_there\n")
    with ExitStack() as stack:
        address = stack.enter_context(scheduler(tmp_path / "scheduler"))
        said = []
        for program in other_program, tmp_path / "broken":
            with worker(address, tmp_path / "w", "--no-nanny", program=program):
                line = [sys.executable, SWEEP, "s", *SMALL, "--scheduler", address]
                done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
            said.append(done.stderr)
    assert re.search(r"worker tcp://\S+ gets no run: program [0-9a-f]{12} there, [0-9a-f]{12} here", said[0]), said
    assert "No module named 'a_package_that_is_not_there'" in said[1]


@pytest.mark.whole
def test_no_run_outlives_a_local_sweep(tmp_path):
    """Nor would two processes write to one directory when the same line goes on."""
    with started(tmp_path / "client", SWEEP, "s", *SMALL) as local:
        child, _ = until(lambda: begun(local))
        os.kill(local.pid, signal.SIGKILL)
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, seconds=5)


# --- parts of it ------------------------------------------------------------------------------------------------------


class Cluster:
    """What sweep.Fleet sees of Dask: workers that come and go, and tasks that a test lets end as it likes."""

    status = "running"

    def __init__(self, *workers):
        self.workers, self.said, self.tasks, self.numbers = dict.fromkeys(workers, 1), [], {}, itertools.count()

    def nthreads(self):
        return dict(self.workers)

    def get_versions(self):
        python = {"packages": {"python": "3"}}
        return {"client": python, "workers": dict.fromkeys(self.workers, python)}

    def submit(self, f, *given, workers, pure):
        future = Namespace(key=f"task{next(self.numbers)}", status="pending", done=lambda: future.status != "pending",
                           cancel=lambda: self.tasks.pop(future.key, None), exception=lambda: future.error)  # fmt: skip
        if f is sweep.examined:
            self.said.append((*workers, "examined", (self.answers.get(*workers, {"commit": "a"}), "/program", "/home")))
        else:
            self.tasks[future.key] = (*workers, given[1], future)
        return future

    def get(self, batch):
        said, self.said = self.said, []
        return said

    def close(self):
        pass


@pytest.fixture
def fleet(monkeypatch):
    """A function (jobs, workers, answers of workers) -> a sweep.Fleet, the Cluster that it works on"""
    import distributed

    monkeypatch.setattr(sweep.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(sweep, "answer", lambda program: {"numpy": "2", "commit": "a"})
    monkeypatch.setattr(sweep.Fleet, "contents", lambda *given: {})
    monkeypatch.setattr(sweep.Fleet, "take", lambda *given: None)

    def made(jobs, workers, **answers):
        cluster = Cluster(*workers)
        cluster.answers = {a: {"numpy": "2", "commit": "a"} for a in workers} | answers
        monkeypatch.setattr(distributed, "Queue", lambda client: cluster)
        return sweep.Fleet(cluster, Path("/sweep"), [([], Path(job)) for job in jobs], True), cluster

    return made


@pytest.mark.parametrize("seed", range(5))
def test_no_run_is_with_two_workers_and_each_ends_once(fleet, seed):
    """Whatever workers do: they are lost, new ones come, good and bad, tasks end badly, last words come too late."""
    rng, jobs = np.random.default_rng(seed), [f"/sweep/{i}" for i in range(12)]
    ships, cluster = fleet(jobs, ["w0", "w1", "w2"])
    ships.TRIES, ended, new = 10**6, [], itertools.count(3)
    cluster.answers = Namespace(get=lambda address, other: {"numpy": "2" if address[0] == "w" else "1", "commit": "a"})

    def happens(seconds):
        """One step of the world, in place of sleep()."""
        with_workers = [folder for address, folder, _ in cluster.tasks.values() if address in cluster.workers]
        assert all(address[0] == "w" for address, *_ in cluster.tasks.values()), "a bad worker has a run"
        assert len(with_workers) == len(set(with_workers)) and not set(with_workers) & set(ended)
        if rng.random() < 0.3 and len(cluster.workers) > 1:
            lost = rng.choice(list(cluster.workers))
            del cluster.workers[lost]
            cluster.workers |= {f"w{next(new)}": 1, f"bad{next(new)}": 1}
        for key, (address, _, future) in list(cluster.tasks.items()):
            what = rng.choice(["goes on", "tells", "ends", "fails"], p=[0.5, 0.2, 0.2, 0.1])
            if address in cluster.workers and what in ("tells", "ends"):
                cluster.said.append((key, None if what == "tells" else 0, []))
            if address in cluster.workers and what in ("ends", "fails"):
                future.status, future.error = ("finished" if what == "ends" else "error"), OSError("disk")
                del cluster.tasks[key]

    sweep.time.sleep = happens
    for folder, why in ships.results():
        ended.append(str(folder))
        assert why == ""
    assert sorted(ended) == sorted(jobs)


def test_a_run_that_fails_is_not_tried_again_one_that_loses_its_workers_is(fleet):
    """Three times in a row without a checkpoint; as often as it takes where there is a new one each time."""
    ships, cluster = fleet(["/sweep/fails", "/sweep/loses", "/sweep/advances"], ["w0", "w1", "w2"])
    cluster.answers = Namespace(get=lambda address, other=None: {"numpy": "2", "commit": "a"})
    begun, new = [], itertools.count(3)

    def happens(seconds):
        """One step of the world, in place of sleep()."""
        for key, (address, folder, _) in list(cluster.tasks.items()):
            begun.append(folder)
            if folder == "/sweep/advances":
                cluster.said.append((key, None if begun.count(folder) < 8 else 0, []))
            if folder == "/sweep/fails":
                cluster.said.append((key, 1, []))
            else:
                cluster.workers.pop(address, None)
                cluster.workers[f"w{next(new)}"] = 1
            del cluster.tasks[key]

    sweep.time.sleep = happens
    assert sorted(ships.results()) == [(Path("/sweep/advances"), ""), (Path("/sweep/fails"), ""),
                                       (Path("/sweep/loses"), "3 workers were lost with it")]  # fmt: skip
    assert [begun.count(f"/sweep/{name}") for name in ("advances", "fails", "loses")] == [8, 1, 3]


def test_a_worker_that_differs_is_refused_and_the_others_do_its_runs(fleet, capsys):
    ships, cluster = fleet(["/sweep/a"], ["bad", "good"], bad={"numpy": "1", "commit": "a"})
    sweep.time.sleep = lambda seconds: [cluster.said.append((key, 0, [])) for key in cluster.tasks]
    assert list(ships.results()) == [(Path("/sweep/a"), "")]
    assert capsys.readouterr().err == "worker bad gets no run: numpy 1 there, 2 here\n"
    ships, _ = fleet(["/sweep/a"], ["bad"], bad="it does not find this program")
    with pytest.raises(run.UsageError, match="worker bad gets no run: it does not find this program"):
        list(ships.results())


def test_a_run_on_which_another_process_works_is_left_to_it(fleet, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    ships, cluster = fleet([tmp_path, "/root/free"], ["w0"])
    sweep.time.sleep = lambda seconds: [cluster.said.append((key, 0, [])) for key in cluster.tasks]
    with sweep.locked(tmp_path):
        assert dict(ships.results()) == {tmp_path: "another process is working on it", Path("/root/free"): ""}
    ships, cluster = fleet([tmp_path], ["w0"])
    for _ in ships.results():
        sweep.locked(tmp_path).close()  # it is free again


def test_what_comes_back_is_written_whole(tmp_path, monkeypatch):
    """A new directory appears with all that is in it, and is held; what follows replaces files, the checkpoint last."""
    folder, here, order = tmp_path / "log/bremen0", "/home/run0", []
    ships = Namespace(locks={})
    trip = sweep.Trip(([], folder), "w0", lambda text: text.replace(here, ""), None)
    names = ["checkpoint.npz", "progress.csv", "config.json", "sub/x.npz"]
    content = [(os.fsencode(f"{here}{folder}/{name}"), f'{{"data": "{here}/d.npz"}}'.encode()) for name in names]
    content.append((os.fsencode(f"{here}{folder}.txt"), f"see {here}/d.npz".encode()))
    sweep.Fleet.take(ships, trip, content)
    assert json.loads((folder / "config.json").read_text()) == {"data": "/d.npz"}
    assert folder.with_name("bremen0.txt").read_text() == "see /d.npz"
    with pytest.raises(BlockingIOError):
        sweep.locked(folder)
    write = sweep.safe_files.write_whole
    monkeypatch.setattr(sweep.safe_files, "write_whole", lambda path, f: (order.append(path.name), write(path, f)))
    sweep.Fleet.take(ships, trip, content[:2])
    assert order == ["progress.csv", "checkpoint.npz"]
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == ["bremen0", "bremen0.txt"]
    ships.locks[folder].close()


SMOKE = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --iterations 1 --noise random".split()


def test_what_is_still_to_do(tmp_path, monkeypatch):
    """A run that was killed between its last row and its last checkpoint; one of mode online before its last policy."""
    monkeypatch.chdir(tmp_path)
    draw_nothing(monkeypatch)
    assert run.main([*SMOKE, "--log_dir", "log"]) == 0
    offline, online = tmp_path / "log/pendulum/offline/bremen/bremen0", tmp_path / "online"
    assert not sweep.to_do(offline) and sweep.to_do(tmp_path / "absent")
    last = (offline / "checkpoint.npz").read_bytes()
    shutil.copy(offline / "checkpoint_before.npz", offline / "checkpoint.npz")
    assert sweep.to_do(offline)
    for damaged in b"", last[: len(last) // 2]:
        (offline / "checkpoint.npz").write_bytes(damaged)
        assert not sweep.to_do(offline), "only its last policy can be had"
    (offline / "checkpoint.npz").unlink()
    assert not sweep.to_do(offline)
    online.mkdir()
    (online / "config.json").write_text('{"mode": "online", "seed": 0, "data": "", "online_steps": 100}')
    for steps, meta, left in (100, {}, True), (100, {"return_mean": 1.0}, False), (50, {"return_mean": 1.0}, True):
        (online / "progress.csv").write_text(f"real_steps,sampled_return\n{steps},-1\n")
        sweep.safe_files.write_npz(online / "policy.npz", meta=json.dumps(meta))
        assert sweep.to_do(online) == left


def test_paths_of_a_run_move_there_and_back(tmp_path):
    """To the same bytes: config.json, run.json, a log and a checkpoint; other files and numbers stay as they are."""
    meta = {"config": {"data": "/c/d.npz", "data_dir": "/c/data"}, "history": {"x": 0.1, "file": "/c/d.npz"}}
    np.savez(tmp_path / "checkpoint.npz", **{"state.theta": np.arange(3.0)}, meta=json.dumps(meta))
    (tmp_path / "config.json").write_text(json.dumps({"data": "/c/dé.npz", "std": 0.1, "hidden": [1, 2]}, indent=1))
    np.savez(tmp_path / "policy.npz", theta=np.arange(3.0), meta='{"a": "/c"}')
    (tmp_path / "checkpoint_before.npz").write_bytes(b"PK damaged")
    out, back = (lambda text: text.replace('"/', '"/w1/')), (lambda text: text.replace("/w1", ""))
    for path in tmp_path.iterdir():
        there = sweep.relocated(path, path.read_bytes(), out)
        moves = path.name in ("checkpoint.npz", "config.json")
        assert (there != path.read_bytes()) == moves and sweep.relocated(path, there, back) == path.read_bytes()
    path = tmp_path / "checkpoint.npz"
    there = np.load(io.BytesIO(sweep.relocated(path, path.read_bytes(), out)))
    assert json.loads(str(there["meta"]))["history"] == {"x": 0.1, "file": "/w1/c/d.npz"}


def test_changes_are_told_once_the_checkpoint_first(tmp_path):
    for name in "a.txt", "checkpoint.npz", "x.1.tmp", "policies/0.npz", "progress.csv":
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    seen, places = {}, [tmp_path / "checkpoint.npz", tmp_path / "progress.csv", tmp_path, tmp_path / "absent"]
    names = lambda: [Path(os.fsdecode(name)).name for name, _ in sweep.changes(places, seen)]
    assert names() == ["checkpoint.npz", "progress.csv", "a.txt", "0.npz"] and names() == []
    (tmp_path / "a.txt").write_text("more")
    assert names() == ["a.txt"]


def test_what_a_line_names_is_absolute_and_travels(tmp_path, monkeypatch):
    """Wherever the line was typed; a name may hold spaces; a value may stand behind an equals sign."""
    monkeypatch.chdir(tmp_path)
    own = [f"m/log/{name}" for name in ("run.json", "config.json", "checkpoint.npz")]
    for name in "my data.npz", "s/data/pendulum/pure_9_seed0.npz", *own:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"env": "pendulum"}')
    small = "--env pendulum --n_train=9 --models m".split()
    ((line, folder),) = sweep.plan(Path("s"), [*small, "--data", "my data.npz"])
    assert folder == tmp_path / "s/log/pendulum/offline/bremen/bremen0"
    assert all(Path(word).is_absolute() for word in line if "/" in word or "data" in word.replace("--data", ""))
    lent = {tmp_path / name for name in own}
    assert sweep.inputs(line, folder) == {tmp_path / "my data.npz"} | lent
    ((line, folder),) = sweep.plan(Path("s"), small)
    assert sweep.inputs(line, folder) == {tmp_path / "s/data/pendulum/pure_9_seed0.npz"} | lent
    (tmp_path / "c.json").write_text('{"env": "pendulum", "data": "my data.npz"}')
    ((line, folder),) = sweep.plan(Path("s"), ["--param_path", "c.json"])
    assert sweep.inputs(line, folder) == {tmp_path / "my data.npz", tmp_path / "c.json"}


def test_the_same_data_by_another_name_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.npz").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    line = "--env pendulum --data".split()
    ((words, folder),) = sweep.plan(Path("s"), [*line, "d.npz"])
    folder.mkdir(parents=True)
    cfg = run.read_config(run.read_flags(words))
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(cfg) | {"data": "d.npz"}))
    for same in "d.npz", "./d.npz", "link/d.npz", tmp_path / "d.npz":
        assert sweep.plan(Path("s"), [*line, str(same)])[0][1] == folder
    with pytest.raises(run.UsageError, match="holds a run with data"):
        sweep.plan(Path("s"), [*line, "e.npz"])


@pytest.mark.parametrize("words", ["--workers 0", "--workers -1", "--workers 2 --scheduler tcp://x:1",
                                   "--scheduler foo", "--scheduler ''", "--env=ant", "--restore_path x"])  # fmt: skip
def test_a_line_that_cannot_be_used_is_refused(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logging, "disable", lambda: None)
    assert sweep.main([str(tmp_path / "s"), "--env", "pendulum", *shlex.split(words)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_refused_address_leaves_no_client_behind():
    """distributed 2026.8.0: collected while the next client starts, it would wait for ever."""
    with pytest.raises(run.UsageError, match="--scheduler foo: "):
        sweep.connected("foo", 1)
    assert not [x for x in gc.get_objects() if type(x).__name__ == "Client" and type(x).__module__.startswith("distri")]


@pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")
def test_twice_the_updates_of_each_preset():
    """evidence.sh names them: they follow when a preset changes."""
    script = (Path(__file__).resolve().parent.parent / "examples" / "evidence.sh").read_text()
    twice = {env: int(n) for env, n in re.findall(r" (\w+):(\d+)", script)}
    assert twice == {env: 2 * bremen.configured(env=env).iterations for env in envs.TASKS}


def test_evidence_stops_where_a_dataset_cannot_be_collected(tmp_path):
    """A sweep over the files that could be made would look like the whole one.  Here the second is refused."""
    script = Path(__file__).resolve().parent.parent / "examples" / "evidence.sh"
    (tmp_path / "python").write_text('#!/bin/sh\necho "$*" >> calls\ncase "$*" in *"--std 0.2"*) exit 2 ;; esac\n')
    (tmp_path / "python").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    words = ["sh", script, "DIR", "sigma_hopper"]
    done = subprocess.run(words, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, check=False)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert done.returncode == 2 and len(calls) == 2 and all("--mode collect" in call for call in calls)


@pytest.mark.parametrize("words, said", [((), "usage: "), (("DIR", "none"), "evidence.sh: no sweep is called none; ")])
def test_evidence_refuses_a_sweep_that_it_does_not_know_before_any_run(words, said, tmp_path):
    script = Path(__file__).resolve().parent.parent / "examples" / "evidence.sh"
    done = subprocess.run(["sh", script, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith(said) and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
