"""examples/sweep.py on a Dask cluster: a real scheduler and real workers, each with a folder of its own."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

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


@pytest.mark.whole
def test_a_sweep_on_workers_without_shared_files_is_the_same_as_a_local_one(tmp_path):
    """One worker is killed in the middle: its run dies with it, and goes on with the other from its last checkpoint."""
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
        until(lambda: not old.is_running(), seconds=5)
        assert client.wait(120) == 0, (tmp_path / "client.txt").read_text()
    log = folder.with_name("bremen0.txt")
    starts, want = log.read_text().split("BREMEN ")[1:], tmp_path / "local" / log.relative_to(tmp_path / "client/s")
    print(log.read_text())
    log.write_text(want.read_text())
    assert files(tmp_path / "client/s") == files(tmp_path / "local")
