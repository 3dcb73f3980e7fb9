"""Many runs, on all cores or on a cluster: `python examples/sweep.py DIR --env hopper walker2d --random_seeds 0 1 2`

The flags are those of run.py.  A flag with several values spans the sweep, with all others: above, six runs.  A flag
that itself takes several numbers is put into quotes (`--model_hidden "256 256" "512 512"`); `--bc_init yes no` takes
both values of a switch.  Runs lie in DIR/log, the datasets that they share in DIR/data.

Whatever is finished is left alone and whatever was interrupted is resumed, so the same line again goes on with a
sweep; a line with other numbers wants another DIR.  A run of mode online cannot be resumed: take the directory of an
interrupted one away, and the same line begins it again.  A run that fails is reported, with the file that says why; the
others go on.  Every run has one thread, so results do not depend on how many run at once.  Needs the extra:
pip install -e '.[sweep]'

--scheduler gives the runs to the workers of a Dask cluster.  They need no files of this machine: what a run reads goes
with it, what it writes comes back with each of its checkpoints.  They need this program in the same version (installed,
or named by PYTHONPATH), the same packages and the same kernels of BLAS: a worker that has others gets no run.  When a
worker is lost, its run goes on with another one, from the last checkpoint that came back.
"""

import argparse
import asyncio
import contextlib
import gc
import importlib.util
import io
import itertools
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent))  # missing with python -P
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import envs
import nets
import run

safe_files = run.page("safe_files")

directories = run.page("run_directory")
unfinished, locked = directories.unfinished, run.page("resume").locked
PATHS = "--data", "--policy", "--param_path", "--models"  # flags whose value is a file or a folder


# --- the runs of a line ---------------------------------------------------------------------------------------------


def grid(words):
    """Flags with one or several values each.  -> one list of (flag, value) per run, {flag: its values}

    ["--env", "hopper", "ant", "--gamma=0.9"] -> [[("--env", "hopper"), ("--gamma", "0.9")], ...], {...}
    """
    flags = {}
    for word in words:
        if word.startswith("--"):
            flag, *value = word.split("=", 1)
            if flag in flags:
                raise run.UsageError(f"{flag} stands twice on the line")
            flags[flag] = value
        elif not flags:
            raise run.UsageError(f"{word}: a flag of run.py, please")
        else:
            flags[list(flags)[-1]].append(word)
    return [list(zip(flags, values)) for values in itertools.product(*(v or [""] for v in flags.values()))], flags


def line_of(choice):
    """The words for run.py of one list of (flag, value)."""
    words = []
    for flag, value in choice:
        if value in ("yes", "no"):
            words.append(flag if value == "yes" else f"--no-{flag[2:]}")
        else:
            words += [flag, *([value] if flag in PATHS else value.split())]
    return words


def placed(line, root):
    """A run of these words, with one thread and its files under `root`.  -> words for run.py, its directory

    Paths become absolute: the run may be done, and looked at, from another folder.  run.UsageError for a flag that is
    none, or where a run with other numbers has this directory.
    """
    whole = lambda path: str(Path(path).resolve())
    coded = lambda path: os.fsencode(whole(path)) if path else b""  # the same in every locale
    line = [whole(word) if before in PATHS else word for before, word in zip(["", *line], line)]
    line += ["--log_dir", whole(root / "log"), "--threads", "1"]
    opts = run.read_flags(line)
    if len(opts.get("random_seeds", [0])) > 1:
        raise run.UsageError("--random_seeds: every seed is a run of its own, leave the quotes away")
    cfg = run.read_config(opts, opts.get("param_path"))
    cfg = replace(cfg, seed=opts.get("random_seeds", [cfg.seed])[0])
    if cfg.mode == "offline":
        line += ["--data", whole(cfg.data)] if cfg.data and "data" not in opts else []  # of --param_path
        line += ["--data_dir", whole(root / "data")]
    folder = run.page("resume").run_folder(cfg, opts)
    if (folder / "config.json").exists():
        there = run.read_config({}, folder / "config.json")
        for name in (f.name for f in fields(cfg) if f.name == "data" or f.name not in run.FILE_FIELDS):
            was, now = getattr(there, name), getattr(cfg, name)
            if (coded(was) != coded(now)) if name == "data" else was != now:
                raise run.UsageError(f"{folder} holds a run with {name} {was}, not {now}: choose another directory")
    return line, folder


def plan(root, words):
    """The runs of a sweep.  -> [(words for run.py, its directory)]; or run.UsageError for what makes no sense"""
    runs, (choices, flags) = [], grid(words)
    fixed = "--exp_name", "--sub_exp_name", "--log_dir", "--data_dir", "--threads", "--resume", "--restore_path"
    if taken := [name for name in fixed if name in flags]:
        raise run.UsageError(f"{taken[0]} is given by the sweep")
    for choice in choices:
        varied = [(k[2:], v) for k, v in choice if len(flags[k]) > 1 and k not in ("--env", "--mode", "--random_seeds")]
        name = "_".join(f"{k}-{re.sub('[^A-Za-z0-9.+_-]+', '-', v)}" for k, v in varied) or "bremen"
        runs.append(placed([*line_of(choice), "--exp_name", name], root))
    if len({folder for _, folder in runs}) < len(runs):
        raise run.UsageError("a value stands twice on the line")
    return runs


def to_do(folder):
    """Whether a run is not finished, or was killed between its last row and the last of its files."""
    if unfinished(folder):
        return True
    online = directories.read_config(folder)["mode"] == "online"
    path = folder / ("policy.npz" if online else "checkpoint.npz")
    with contextlib.suppress(Exception):  # of a file that is missing or damaged: nobody can go on with it
        meta = envs.read_meta(path, envs.read_npz(path))
        if online:
            return "return_mean" not in meta
        return len(meta["history"]["rows"]) < len(directories.read_rows(folder / "progress.csv"))
    return False


def inputs(line, folder):
    """Files that a run of these words reads, begun in `folder` or not, apart from its own.  -> set of Paths"""
    opts = run.read_flags(line)
    cfg = run.read_config(opts, opts.get("param_path"))
    cfg = replace(cfg, seed=opts.get("random_seeds", [cfg.seed])[0])
    paths = [Path(opts[name]) for name in ("data", "policy", "param_path") if name in opts]
    if cfg.mode == "offline" and not cfg.data:
        agent = envs.TASKS[cfg.env].env_id.removeprefix("bremen/").removesuffix("-v0")  # of the original's layout
        paths += Path(cfg.data_dir, agent, cfg.noise).glob("data.*")
        paths += Path(cfg.data_dir, cfg.env).glob(f"brac_{cfg.noise}_*.npz")
        paths.append(run.default_dataset(cfg))
    with contextlib.suppress(run.UsageError, LookupError, TypeError):  # data that have moved since it was begun
        paths.append(Path(os.path.abspath(run.read_json(folder / "run.json")["data"]["file"])))
    for about in Path(opts["models"]).rglob("run.json") if "models" in opts else ():
        config, *others = (about.with_name(name) for name in ("config.json", "checkpoint.npz", "run.json"))
        with contextlib.suppress(run.UsageError):
            other = run.read_config({}, config)
            paths += [config, *others] if (other.env, other.seed) == (cfg.env, cfg.seed) else []
    return {path for path in paths if path.is_file() and os.access(path, os.R_OK)}


# --- what a worker does ---------------------------------------------------------------------------------------------
# These functions go to the workers as they stand here: they use no module of the project.

# run.py, in a process that ends as soon as the one that has begun it lets go of the pipe, even by being killed.
CHILD = """
import os, sys, threading
sys.path = [sys.argv.pop(1), *filter(None, sys.path)]
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
import run
sys.exit(run.main())
"""

# What decides the numbers of a run, as JSON.
EXAMINE = """
import hashlib, json, sys
sys.path = [sys.argv.pop(1), *filter(None, sys.path)]
import run
modules = [run.HERE / f"{name}.py" for name in ("bremen", "envs", "nets", "trpo", "run")]
paths = [*modules, *sorted(run.HERE.glob("examples/*.py")), *sorted(run.HERE.glob("examples/behavior/*.npz"))]
digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths if path.exists())).hexdigest()
source = run.page("provenance")
about = source.versions() | {"blas": source.blas(), "program": digest[:12], "commit": source.commit()}
print(json.dumps(about))
"""


def process(code, words, **options):
    """Python in a process of its own, with one thread for BLAS.  -> subprocess.Popen"""
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    alone["PYTHONIOENCODING"] = "utf-8:surrogateescape"  # a log is the same, whatever the terminal can show
    inherited = {k: v for k, v in os.environ.items() if k != "MALLOC_TRIM_THRESHOLD_"}  # Dask's: halves our speed
    return subprocess.Popen([sys.executable, "-c", code, *words], env=inherited | alone, **options)


def execute(line, folder, program=str(run.HERE), look=lambda: None, cwd=None):
    """One run in a process of its own, resumed if it was begun; look() is called again and again.  -> exit status"""
    folder = Path(folder)
    if (folder / "config.json").exists():
        line = ["--resume", str(folder)]
    log = folder.with_name(f"{folder.name}.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": cwd}
    with open(log, "ab") as out, process(CHILD, [program, *line], stdout=out, **pipes) as child:
        while True:  # whatever ends this loop lets go of the pipe
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=0.5)
            look()


def answer(program):
    """What decides the numbers of a run of the program in this folder.  -> dict; or why it does not run (text)"""
    asked = process(EXAMINE, [program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = (text.decode(errors="replace") for text in asked.communicate())
    last = (err.strip().splitlines() or [f"exit status {asked.returncode}"])[-1]
    return json.loads(out) if asked.returncode == 0 else f"its program does not run there ({last})"


def examined(news):
    """Tell `news` what decides the numbers on this Dask worker, where the program is, and a folder for files."""
    from distributed import get_worker

    found = importlib.util.find_spec("run")
    program = os.path.dirname(found.origin) if found and found.origin else None
    lost = "it does not find this program (install it there, or name its folder in PYTHONPATH)"
    told = answer(program) if program else lost
    home = os.path.realpath(get_worker().local_directory)  # run.py writes whole paths: they must begin like this
    news.put((get_worker().address, "examined", (told, program, home)))


def stamp(path):
    """What changes whenever a file is written.  -> tuple, or None where there is none"""
    with contextlib.suppress(OSError):
        about = path.stat()
        return about.st_mtime_ns, about.st_size, about.st_ino


def changes(places, seen):
    """The files at or below `places` that are new since the last call, in the order of `places`.  -> [(path, content)]

    What run.py writes last is read first: then no other file is older, as if the run had been killed here.
    """
    new = []
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not path.name.endswith(".tmp") and seen.get(path) != stamp(path):
                with contextlib.suppress(FileNotFoundError):
                    seen[path] = stamp(path)
                    new.append((os.fsencode(path), path.read_bytes()))  # a name may be no text
    return new


def work(line, folder, root, here, program, files, cwd, news):
    """One run on a Dask worker, with its `files` {path: bytes} below the folder `here`, as if that were the root.

    `news` hears what the run has written, after each checkpoint, and its exit status.  The machine of the sweep needs
    no copies: `here` is empty, and only the status is told.
    """
    from distributed import get_worker

    worker, seen = get_worker(), {}
    key, folder = worker.get_current_task(), Path(here + folder)
    if here and not here.startswith(os.path.realpath(worker.local_directory) + "/"):
        return  # a new worker at the address of a lost one
    log, data = folder.with_name(f"{folder.name}.txt"), Path(f"{here}{root}/data")
    places = [folder / "checkpoint.npz", folder / "progress.csv", folder, log, data] if here else []

    def look():
        """Stop what nobody waits for; tell of a new checkpoint."""
        if worker.state.tasks[key].state != "executing":
            raise RuntimeError("the sweep has gone")
        if here and stamp(places[0]) != seen.get(places[0]):
            news.put((key, None, changes(places, seen)))

    try:
        Path(here + cwd).mkdir(parents=True, exist_ok=True)
        for path, content in ((Path(here + path), content) for path, content in files.items()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            seen[path] = stamp(path)
        status = execute(line, folder, program, look, here + cwd)
        news.put((key, status, changes(places, seen)))
    finally:
        if here:
            shutil.rmtree(here, ignore_errors=True)


# --- who does what --------------------------------------------------------------------------------------------------


def relocated(path, content, change):
    """The content of a file of a run, with change(text) -> text applied to the JSON or the log in it."""
    if path.suffix in (".json", ".txt"):
        return change(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")
    if path.name.startswith("checkpoint"):
        with contextlib.suppress(Exception), np.load(io.BytesIO(content)) as arrays:  # a damaged one stays as it is
            out = io.BytesIO()
            np.savez(out, **{k: change(str(x)) if k == "meta" else x for k, x in arrays.items()})
            return out.getvalue()
    return content


class Trip(NamedTuple):
    """A run that is with a worker."""

    job: tuple  # (words for run.py, its directory)
    address: str  # of the worker
    change: Callable  # text of a file there -> the same text here
    future: object  # of Dask


class Fleet:
    """Runs, and the Dask workers that do them.  Dask carries and watches; this side decides who does what.

    Each run is bound to one worker: Dask never begins one again by itself.  Where its worker is lost, it is given to
    another, with the files that had come back.  All that workers have to say comes through one queue, which the
    scheduler keeps: it outlives them.  Only this side writes to the directory of the sweep.
    """

    TRIES = 3  # workers that a run may lose, one after another, with no checkpoint in between

    def __init__(self, client, root, jobs, away):
        """jobs: as of `plan`; away: the workers are not on this machine"""
        from distributed import Queue

        self.client, self.root, self.away = client, str(root), away
        self.waiting, self.running, self.tried = deque(jobs), {}, {}
        self.checks, self.ready, self.refused = {}, {}, {}  # workers by address
        self.sent, self.numbers, self.news, self.locks = {}, itertools.count(), Queue(client=client), {}
        self.ours = answer(str(run.HERE)) if away else {}
        self.note, self.hope = "note: the cluster has no worker, this sweep waits for one", 0.0
        self.last_words = "no worker is left that may have a run"

    def results(self):
        """Do all runs.  Generator of (directory, what went wrong beside what its log says, or ""), as they end"""
        try:
            while self.waiting or self.running:
                present = self.client.nthreads()
                over = [k for k, trip in self.running.items() if trip.address not in present or trip.future.done()]
                ended = self.hear()  # after these lines: all that such workers have said is in the queue by now
                ended += self.recover(k for k in over if k in self.running)
                self.greet(present)
                for folder, why in ended + self.lend(present):
                    if file := self.locks.pop(folder, None):
                        file.close()
                    yield folder, why
                time.sleep(0.2)
        except (Exception, asyncio.CancelledError) as e:
            if self.client.status == "running":
                raise
            raise run.UsageError("the scheduler has gone, the same line goes on with another one") from e
        finally:
            self.news.close()
            for file in filter(None, self.locks.values()):
                file.close()

    def hear(self):
        """Take what workers have told.  -> list as of `results`"""
        ended = []
        try:
            messages = self.news.get(batch=True)
        except KeyError as e:
            raise run.UsageError("the scheduler knows nothing of this sweep any more, the same line goes on") from e
        for key, status, content in messages:
            if status == "examined":
                self.judge(key, *content)
            elif trip := self.running.get(key):  # else it has been given to another worker since
                self.take(trip, content)
                self.tried.pop(trip.job[1], None)
                if status is not None:
                    del self.running[key]
                    ended.append((trip.job[1], f"ended by signal {-status}" if status < 0 else ""))
        return ended

    def recover(self, keys):
        """Let others go on with the runs of lost workers.  -> list as of `results`, of those that have lost too many"""
        ended = []
        for trip in [self.running.pop(key) for key in keys]:
            error = trip.future.exception() if trip.future.status == "error" else None
            trip.future.cancel()
            self.ready.pop(trip.address, None)  # if it is still there, it is examined again
            tried = self.tried.setdefault(trip.job[1], [])
            tried.append(trip.address)
            if self.away and len(tried) < self.TRIES:
                self.waiting.appendleft(trip.job)
            else:
                ended.append((trip.job[1], repr(error) if error else f"{len(tried)} workers were lost with it"))
        return ended

    def greet(self, present):
        """Have new workers examined.  run.UsageError where none is left that may have a run"""
        for workers in self.checks, self.ready, self.refused:
            for address in workers.keys() - present.keys():
                del workers[address]
        if not present and self.note:
            tqdm.write(self.note, file=sys.stderr)
            self.note = ""
        new = present.keys() - self.checks.keys() - self.ready.keys() - self.refused.keys()
        if not self.away:
            self.ready |= dict.fromkeys(new, (str(run.HERE), "", ""))
            return
        about = self.client.get_versions() if new else {}
        python = lambda machine: machine.get("packages", {}).get("python", "unknown")
        for address in new:  # code travels between equal versions of Python only: these are asked for first
            theirs, ours = python(about["workers"].get(address, {})), python(about["client"])
            if theirs == ours:
                self.checks[address] = self.client.submit(examined, self.news, workers=[address], pure=False)
            else:
                self.refuse(address, f"python {theirs} there, {ours} here")
        for address in [address for address, check in self.checks.items() if check.status == "error"]:
            self.refuse(address, repr(self.checks.pop(address).exception()))
        self.hope = time.monotonic() + 60 if self.ready else self.hope  # a good one that was lost may come again
        if self.refused and not self.checks and not self.ready and time.monotonic() > self.hope:
            raise run.UsageError(self.last_words)

    def judge(self, address, told, program, home):
        """May this worker have runs?  Only if they would be those of this machine."""
        if not self.checks.pop(address, None):
            return
        if not isinstance(told, dict):
            self.refuse(address, told)
        elif other := [k for k in self.ours if k != "commit" and told.get(k) != self.ours[k]]:
            self.refuse(address, ", ".join(f"{k} {told.get(k)} there, {self.ours[k]} here" for k in other))
        else:
            self.ready[address] = program, home, told["commit"]

    def refuse(self, address, why):
        """Say that this worker gets nothing: now, or as the last words where there is no other one."""
        self.refused[address] = line = " ".join(f"worker {address} gets no run: {why}".split())
        if self.ready or self.checks:
            tqdm.write(line, file=sys.stderr)
        else:
            self.last_words = line

    def lend(self, present):
        """Give runs to workers, the freest first.  Where a run has failed with one worker, others are asked first.

        -> list as of `results`, of those in whose directory another process works
        """
        ended = []
        free = {address: present.get(address, 0) for address in self.ready}
        for trip in self.running.values():
            free[trip.address] = free.get(trip.address, 0) - 1
        for job in list(self.waiting):
            tried = self.tried.get(job[1], ())
            fit = [a for a in self.ready if free[a] > 0 and (a not in tried or not self.ready.keys() - tried)]
            if fit:
                address = max(fit, key=free.get)
                free[address] -= 1
                try:
                    self.send(job, address)
                except BlockingIOError:
                    self.waiting.remove(job)
                    ended.append((job[1], "another process is working on it"))
        return ended

    def send(self, job, address):
        """Give a run to a worker; if it is lost just now, the run waits on."""
        (line, folder), (program, home, commit) = job, self.ready[address]
        if self.away and (folder / "config.json").exists() and folder not in self.locks:
            self.locks[folder] = locked(folder)
        here = f"{home}/run{next(self.numbers)}" if self.away else ""
        coded = json.dumps(here)[1:-1]
        theirs, ours = (f'"commit": {json.dumps(name)}' for name in (commit, self.ours.get("commit")))
        back = lambda text: text.replace(coded, "").replace(here, "").replace(theirs, ours)  # the program is the same
        words = [here + word if word.startswith("/") else word for word in line]
        contents = self.contents(line, folder, lambda text: text.replace('"/', f'"{coded}/')) if here else {}
        new = {path: content for path, content in contents.items() if isinstance(content, bytes)}
        try:
            futures = self.client.scatter(list(new.values()), hash=False, workers=[address]) if new else []
        except (OSError, KeyError, asyncio.TimeoutError):
            del self.ready[address]
            return
        files = {str(path): held for path, held in (contents | dict(zip(new, futures))).items()}
        self.sent |= {(path, stamp(path)): files[str(path)] for path in contents if folder.parent not in path.parents}
        while len(self.sent) > 8:  # the memory of workers is not ours alone
            del self.sent[next(iter(self.sent))]
        future = self.client.submit(work, words, str(folder), self.root, here, program, files, os.getcwd(), self.news,
                                    workers=[address], pure=False)  # fmt: skip
        self.waiting.remove(job)
        self.running[future.key] = Trip(job, address, back, future)

    def contents(self, line, folder, change):
        """What a run needs: its own files, and others that it reads.  -> {Path: bytes, or a Future that has them}"""
        log, contents = folder.with_name(f"{folder.name}.txt"), {}
        for path in inputs(line, folder):
            held = self.sent.pop((path, stamp(path)), None)  # lost, where the only worker that had it is lost
            contents[path] = held if held and held.status == "finished" else path.read_bytes()
        for path in (*folder.rglob("*"), log):
            if path.is_file() and not path.name.endswith(".tmp"):
                content = path.read_bytes()
                contents[path] = content if path == log else relocated(path, content, change)
        return contents

    def take(self, trip, content):
        """Write what has come back, in the order of run.py: a directory begins whole, a checkpoint is the last file."""
        folder = trip.job[1]
        new = None if folder.exists() else safe_files.temporary_name(folder.with_name(f".{folder.name}"))
        for name, data in reversed(content):
            path = Path(trip.change(os.fsdecode(name)))
            place = new / path.relative_to(folder) if new and folder in path.parents else path
            place.parent.mkdir(parents=True, exist_ok=True)
            data = relocated(path, data, trip.change)
            safe_files.write_whole(place, lambda f, data=data: f.write(data))
        if new and new.exists():
            self.locks[folder] = locked(new)
            new.rename(folder)


def connected(scheduler, workers):
    """A client of the cluster at this address, or of one in this process with so many workers.  -> Client"""
    try:
        import dask
        from distributed import Client
    except ImportError as e:
        raise run.UsageError("a sweep needs the extra: pip install -e '.[sweep]'") from e
    logging.disable()  # what concerns the runs is said here, once
    if scheduler is not None:
        warnings.simplefilter("ignore")  # of versions that differ: workers are examined
        try:
            return Client(scheduler)
        except ValueError as e:
            why = str(e)
        # the half-made client goes now: collected while another one starts, it would wait for the lock of that one
        gc.collect()
        raise run.UsageError(f"--scheduler {scheduler}: {why}")
    dask.config.set({"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"})
    return Client(n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50)


def sweep(root, words, workers=None, scheduler=None):
    """All runs of a sweep.  -> directories of those that failed"""
    runs, failed = plan(root, words), []
    left = [job for job in runs if to_do(job[1])]
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them finished before", flush=True)
    if not left:
        return []
    with connected(scheduler, min(workers or nets.cores(), len(left))) as client:
        with tqdm(total=len(left), unit="run", desc="sweep", disable=None) as bar:
            for folder, why in Fleet(client, root.resolve(), left, scheduler is not None).results():
                if why or to_do(folder):
                    failed.append(folder)
                    log = folder.with_name(f"{folder.name}.txt")
                    said = [f"failed: {folder}", *filter(None, [why]), *([f"see {log}"] if log.exists() else [])]
                    tqdm.write(", ".join(said), file=sys.stderr)
                bar.update()
    return failed


def main(argv=None):
    """Run the command line.  -> exit status: 0; 1 if runs failed; 2 for a line that cannot be used; 130 for Ctrl-C"""
    p = run.Parser(prog="sweep.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", type=Path, metavar="DIR", help="where the sweep is kept")
    p.add_argument("--workers", type=int, metavar="N", help="runs at a time on this machine (its cores)")
    p.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster (tcp://...)")
    p.add_argument("--dry_run", action="store_true", help="print the command lines only")

    def work():
        opts, words = p.parse_known_args(argv)
        if opts.workers is not None and (opts.workers < 1 or opts.scheduler is not None):
            raise run.UsageError(f"--workers {opts.workers}: at least 1, and only without --scheduler")
        if opts.dry_run:
            for line, folder in plan(opts.dir, words):
                print(f"{'to do' if to_do(folder) else 'done '} python run.py {shlex.join(line)}")
            return 0
        return 1 if sweep(opts.dir, words, opts.workers, opts.scheduler) else 0

    return run.guarded("sweep.py", work, lambda: "the same line goes on")


if __name__ == "__main__":
    sys.exit(main())
