"""Where a run comes from: versions, kernels of BLAS, commit, and the command line that makes it again.  For run.json.

Two runs with the same numbers, versions and kernels of BLAS leave the same bytes.
"""

import functools
import json
import platform
import shlex
import subprocess
from dataclasses import asdict, replace
from importlib.metadata import version

from threadpoolctl import threadpool_info

import bremen
import envs
import run

check_config, safe_files = run.page("check_config"), run.page("safe_files")


def versions():
    """Versions of what decides the numbers of a run.  -> dict"""
    packages = {p: version(p) for p in ("numpy", "numba", "scipy", "gymnasium", "mujoco", "autograd")}
    return {"python": platform.python_version(), **packages}


@functools.cache
def blas():
    """Names of BLAS's kernels for this processor: others round differently, so the numbers differ.  -> text"""
    return " ".join(sorted({lib.get("architecture", "?") for lib in threadpool_info() if lib["user_api"] == "blas"}))


@functools.cache
def commit():
    """This program's commit.  -> text, with "-dirty" where a file was changed since; "unknown" outside of git"""
    words = ["git", "-C", str(run.HERE), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command(cfg):
    """The shortest command line with the numbers of `cfg`; it does not say where files are.  -> text"""
    plain = bremen.configured(type(cfg), mode=cfg.mode, env=cfg.env, preset=cfg.preset)
    if cfg.model_epochs != plain.model_epochs:
        plain = replace(plain, model_steps=0)  # as bremen.configured does when epochs are given
    words = ["python run.py", f"--mode {cfg.mode}", f"--env {cfg.env}"]
    if cfg.preset != bremen.Config.preset:
        words.append(f"--preset {cfg.preset}")
    for name, value in asdict(cfg).items():
        if name in run.FILE_FIELDS or value == getattr(plain, name) or not taken(name, cfg.mode):
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            values = value if isinstance(value, tuple) else [value]
            words.append(f"--{name} {shlex.join(map(str, values))}")
    return " ".join(words)


def taken(name, mode):
    """Whether a mode has a flag for this number: the stored numbers of a run are those of all modes.  -> bool"""
    if mode == "online":
        return name in run.page("online").FLAGS
    return all(name not in names for other, names in check_config.FLAGS_OF_ONE_MODE.items() if other != mode)


def write_about(path, cfg, history):
    """run.json: with what a run is made, of which data, and its rows so far."""
    about = {"command": command(cfg), "commit": commit(), "versions": versions() | {"blas": blas()}}
    about |= {name: x for name, x in history.stored().items() if name not in ("models", "seconds")}
    text = json.dumps(about, indent=1)
    safe_files.write_whole(path, lambda f: f.write(text.encode()))


def check_packages(cfg):
    """run.UsageError where a package that is used later, perhaps after hours, is missing or broken."""
    if cfg.tensorboard:
        run.page("to_tensorboard").check()
    try:  # each of these fails here rather than after hours
        versions()
        envs.TASKS[cfg.env].sim()
        run.page("picture").figure()
    except Exception as e:  # broken files fail in as many ways as there are files
        raise run.UsageError(f"{e.__cause__ or e}{run.MEND}") from e
