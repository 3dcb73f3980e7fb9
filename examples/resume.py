"""The directory of a run: begin it, lock it, keep checkpoints in it, and go on with a run that was interrupted.

python run.py --resume DIR, or python examples/resume.py DIR

A run writes checkpoint.npz after each stage, see `save_checkpoint`.  This page reads it, makes sure that it belongs
to the run in DIR and holds what a run holds at the end of some stage, and finds the run's data again.  The run then
goes on to the same bytes as if it had never been interrupted.  `hold` keeps two processes out of one directory.
"""

import contextlib
import json
import os
import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

import bremen
import envs
import nets
import run
import trpo

safe_files = run.page("safe_files")

# --- the run --------------------------------------------------------------------------------------------------------


def read_config(opts):
    """The numbers of the run in --resume DIR.  opts: flags of run.py {name: value}.  -> Config; or run.UsageError"""
    folder = Path(opts["resume"])
    for name in opts:
        if name not in ("resume", "data"):
            raise run.UsageError(f"--resume goes on with the run as it was: leave --{name} away")
    if not (folder / "config.json").exists():
        raise run.UsageError(f"--resume {folder}: not the directory of a run, there is no config.json in it")
    cfg = run.read_config(opts, folder / "config.json")
    if cfg.mode not in ("offline", "recursive"):
        raise run.UsageError(f"--resume {folder}: only --mode offline and recursive can be resumed")
    return cfg


def last_state(folder, cfg):
    """Lock the run's directory and read its last checkpoint.  -> bremen.State (None: no checkpoint yet), run.History"""
    hold(folder)
    state, history, line = None, run.History(), first_line(folder, cfg)
    if (folder / "checkpoint.npz").exists():
        state, history = last_checkpoint(folder, cfg)
        if state.beta is not None and state.updates == cfg.iterations * cfg.iteration_updates:
            line += ", which had ended: nothing is left to do"
    elif (folder / "run.json").exists():  # from the beginning, but with the same data
        data = run.read_json(folder / "run.json").get("data")
        if isinstance(data, dict) and all(isinstance(data.get(name), str) for name in ("file", "sha256")):
            history.data = data
    run.say(line)
    return state, history


# --- the directory ---------------------------------------------------------------------------------------------------

HELD = contextlib.ExitStack()  # the lock of the run directory in which this process works


def locked(folder):
    """Keep other processes out of a run directory until this file is closed.

    -> file, or None where the system has no locks; BlockingIOError where another process has locked it
    """
    path = folder / "config.json"
    if not safe_files.fcntl:  # Windows: no locks, and an open file could not be renamed
        return None
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(path, "r+b" if os.access(path, os.W_OK) else "rb"))
        if not safe_files.lock(file):
            return None
        stack.pop_all()  # it stays open
        return file


def hold(folder):
    """Keep other processes out of a run directory until this run ends, and remove what a killed one left in it."""
    try:
        file = locked(folder)
    except BlockingIOError as e:
        raise run.UsageError(f"{folder}: another process is working on this run; wait for its end, or end it") from e
    if file:
        HELD.enter_context(file)
        for left in folder.rglob("*.[0-9]*.tmp"):
            left.unlink(missing_ok=True)


def run_folder(cfg, opts):
    """log/<env>/<sub_exp_name>/<exp_name>/<exp_name><seed>/, or the one to resume.  -> Path"""
    if "resume" in opts:
        return Path(opts["resume"])
    group, name = opts.get("sub_exp_name", cfg.mode), opts.get("exp_name", "bremen")
    for flag, text in (("sub_exp_name", group), ("exp_name", name)):
        if set("/\\") & set(text) or not text.strip("."):
            raise run.UsageError(f"--{flag} {text}: the name of a folder, please, not a path (--log_dir is one)")
    return Path(opts.get("log_dir", "log"), cfg.env, group, name, f"{name}{cfg.seed}")


def check_new(folder):
    """run.UsageError where a run cannot begin: its directory exists, or cannot be made."""
    if folder.exists():
        way = ""
        if (folder / "config.json").exists():
            ended = not run.page("run_directory").unfinished(folder)
            way = "its run has ended, so look at it or " if ended else f"go on with --resume {folder}, or "
        raise run.UsageError(f"{folder} exists: {way}choose another --exp_name")
    ground = next(p for p in folder.parents if p.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise run.UsageError(
            f"cannot write to {folder}: {ground} is no folder to write to; --log_dir names another place"
        )


def start_run(folder, cfg, history):
    """Make and lock the directory of a new run with its config.json and run.json, all of it or nothing."""
    hidden = folder.with_name(f".{folder.name}")
    safe_files.make_folder(folder.parent)
    safe_files.remove_abandoned(folder.parent, hidden.name)
    temporary = safe_files.temporary_name(hidden)
    temporary.mkdir()
    try:
        text = json.dumps(asdict(cfg), indent=1) + "\n"
        safe_files.write_whole(temporary / "config.json", lambda f: f.write(text.encode()))
        hold(temporary)  # nobody may resume a run that is still running
        run.page("provenance").write_about(temporary / "run.json", cfg, history)
        temporary.rename(folder)
        safe_files.sync(folder.parent)
    except OSError:
        check_new(folder)  # another process was quicker
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    run.say(first_line(folder, cfg))


def first_line(folder, cfg):
    """The first line of a run.  -> text"""
    return f"BREMEN {cfg.mode}: {cfg.env}, preset {cfg.preset}, seed {cfg.seed} -> {folder}"


def last_checkpoint(folder, cfg):
    """As `load_checkpoint`; the error names the checkpoint before.  -> bremen.State, run.History; or run.UsageError"""
    try:
        return load_checkpoint(folder / "checkpoint.npz", cfg)
    except envs.DataError as e:
        before, hint = folder / "checkpoint_before.npz", ""
        with contextlib.suppress(envs.DataError):
            load_checkpoint(before, cfg)
            hint = f"; the one before it is {before}: rename it to checkpoint.npz"
        raise run.UsageError(f"{e}{hint}") from e


def how_to_go_on(cfg=None, opts=()):
    """What to do with a run that stopped early; cfg is None before there is one.  -> text"""
    folder = cfg and run_folder(cfg, opts)
    if not cfg or not (folder / "config.json").exists():
        return "nothing was written"
    kept = "it has no checkpoint yet"
    if (folder / "checkpoint.npz").exists():
        kept = "its last checkpoint is kept (a stage that was not finished begins again)"
    words = ["--resume", str(folder)]
    if "resume" in opts and "data" in opts:
        words += ["--data", opts["data"]]
    return f"{kept}, go on with: python run.py {shlex.join(words)}"


# --- its data -------------------------------------------------------------------------------------------------------


def find_data(cfg, opts, known):
    """Where the data of an interrupted offline run are: as --data says, else where they were.  -> Path; UsageError

    known: {"file", "sha256"} of the data with which the run began, or None where no file says it.
    """
    if known and "data" not in opts:
        path = known["file"]
    else:
        path = cfg.data or run.page("original").find_data(cfg) or run.default_dataset(cfg)
    path = Path(os.path.realpath(path))
    if known:
        check_same_data(path, cfg, opts, known["sha256"])
    elif "data" in opts or not path.is_file():  # an earlier version of run.py began it, and it has no checkpoint yet
        raise run.UsageError(
            f"{opts['resume']} does not say which data it began with: begin again under another --exp_name"
        )
    return path


def check_same_data(path, cfg, opts, digest):
    """run.UsageError unless the file `path` has this SHA-256."""
    try:
        if safe_files.sha256(path) == digest:
            return
        why = "its SHA-256 is another"
    except OSError as e:
        why = e.strerror
    hint = f"--resume {shlex.quote(opts['resume'])} --data FILE, where the SHA-256 of FILE is {digest}"
    if not cfg.data:
        words = f"--env {cfg.env} --noise {cfg.noise} --n_train {cfg.n_train} --seed {cfg.seed}"
        hint += f"; python run.py --mode collect {words} --out FILE makes it again"
    raise run.UsageError(f"{path}: not the data with which this run began ({why}): go on with {hint}")


def check_rows(path, rows, known):
    """run.UsageError where the run began with other rows of its file: earlier versions of run.py took the first."""
    if known and "episodes" in rows and known.get("rows") != rows:
        raise run.UsageError(f"{path}: this run began with its first rows, as former versions did: begin another one")


# --- checkpoints ----------------------------------------------------------------------------------------------------

LEARNT = {"norm", "dynamics", "beta", "theta", "critic"}
# Which of them a State has: at the start of a run, after its models, after the clone and ever since.  Before and after
# the models of a later deployment there is the policy of the deployment before.
STAGES = set(), {"norm", "dynamics"}, LEARNT, {"norm", "theta"}, {"norm", "dynamics", "theta"}


def pack(x, name):
    """The arrays and numbers in nested NamedTuples by their path, "state.dynamics.phi".  -> dict

    None and dicts (State.rng) are left out.
    """
    if x is None or isinstance(x, dict):
        return {}
    if not isinstance(x, tuple):
        return {name: x}
    packed = {}
    for part, value in zip(x._fields, x):
        packed |= pack(value, f"{name}.{part}")
    return packed


def save_checkpoint(path, cfg, state, history):
    """Everything that a run needs to go on, in one .npz; what deployments have collected has files of its own.

    The checkpoint before it is kept as checkpoint_before.npz, because a disk can damage a file that was written well.
    """
    rng = {name: generator.bit_generator.state for name, generator in state.rng.items()}
    meta = {"config": asdict(cfg), "rng": rng, "history": history.stored(), "residuals": UNIT}
    if path.exists():
        safe_files.write_whole(path.with_name("checkpoint_before.npz"), lambda f: f.write(path.read_bytes()))
    safe_files.write_npz(path, **pack(state, "state"), meta=json.dumps(meta))


UNIT = "of the members' spread"  # of the residuals of models; earlier versions had that of the state


def load_checkpoint(path, cfg):
    """The checkpoint of a run with exactly this Config.  -> bremen.State, run.History; or envs.DataError"""
    arrays = envs.read_npz(path)
    meta = envs.read_meta(path, arrays)
    try:
        config = json.loads(json.dumps(asdict(cfg)))  # tuples become lists
        theirs = asdict(bremen.Config()) | meta["config"]  # the default of a field that came later changes nothing
        if any(theirs[name] != value for name, value in config.items() if name not in run.PLACES):
            raise ValueError("of another run than config.json beside it describes")
        learnt = LEARNT & {name.split(".")[1] for name in arrays if name.startswith("state.")}
        if learnt not in STAGES:
            raise ValueError(f"it holds {', '.join(sorted(arrays))}")
        like = blank_state(cfg)._replace(**dict.fromkeys(LEARNT - learnt))
        state, history = fill(like, arrays, "state"), checked(run.History(**meta["history"]))
        for name, generator in state.rng.items():
            generator.bit_generator.state = meta["rng"][name]
        if state.dynamics and meta.get("residuals") != UNIT:
            raise ValueError("its models are those of an earlier version: fit them anew in a new run")
        if not 0 <= state.updates <= cfg.updates_by(state.deployments) <= cfg.updates_by(cfg.deployments):
            raise ValueError(f"{state.updates} updates in {state.deployments} deployments")
        return state, history
    except Exception as e:  # a damaged file may hold anything
        raise envs.DataError(f"{path}: not a checkpoint ({type(e).__name__}: {e})") from e


def blank_state(cfg):
    """A State in which everything has the right shape and type, for `fill`.  -> bremen.State"""
    task, rng = envs.TASKS[cfg.env], bremen.streams(cfg.seed)
    norm, wide = (nets.Normalizer(np.zeros(n), np.zeros(n)) for n in (task.obs_dim, task.obs_dim + task.act_dim))
    phi = np.zeros((cfg.members, nets.n_params(bremen.model_sizes(cfg))), np.float32)
    residuals = np.zeros((cfg.members * bremen.RESIDUALS, task.obs_dim), np.float32)
    dynamics = bremen.Dynamics(phi, wide, norm, residuals[0], residuals[0], residuals)
    theta = bremen.new_policy(cfg, rng["init"])
    return bremen.State(rng, norm, dynamics, theta, theta, trpo.new_critic(rng["init"], task.obs_dim, cfg))


def fill(like, arrays, name):
    """The reverse of `pack`: nested NamedTuples as `like`, with the values that `arrays` has under the same paths.

    ValueError for other shapes or types, because kernels do not check their bounds; KeyError for what is missing.
    """
    if like is None or isinstance(like, dict):
        return like
    if isinstance(like, tuple):
        return type(like)(*(fill(value, arrays, f"{name}.{part}") for part, value in zip(like._fields, like)))
    x = arrays[name]
    if x.shape != np.shape(like) or x.dtype != np.asarray(like).dtype:
        raise ValueError(f"{name} is {x.dtype} {x.shape}")
    return x if isinstance(like, np.ndarray) else type(like)(x)


NUMBER = (int, float)
ALWAYS = "deployment updates evaluation_steps real_return real_return_std imagined_return imagined_return_std".split()


def checked(history):
    """A History whose contents are of the right kinds: its JSON may be damaged.  -> run.History; or ValueError"""
    if history.data is not None:
        require(history.data, file=str, sha256=str)
    for known in history.policy, history.mean_action:
        if known is not None:
            require(dict(zip(("mean", "std"), known)), mean=NUMBER, std=NUMBER)
    for batch in history.batches:
        require(batch, transitions=int, mean=(*NUMBER, type(None)), std=(*NUMBER, type(None)))
    for row in history.rows:
        require(row, **dict.fromkeys([*ALWAYS, *row], NUMBER))
    for model in history.models:
        require(model, model_loss=NUMBER)
        model["model_curve"] = np.array(model["model_curve"], float).tolist()  # a table of numbers (epochs, K)
    require(history.seconds, **dict.fromkeys(history.seconds, NUMBER))
    return history


def require(stored, **kinds):
    """ValueError unless the dict `stored` has a value of the right kind under each of these names."""
    for name, kind in kinds.items():
        if not isinstance(stored.get(name), kind):
            raise ValueError(f"its history has {name} = {stored.get(name)!r}")


def main(argv=None):
    """Go on with the run in DIR.  -> exit status, as of run.py"""
    words = sys.argv[1:] if argv is None else argv
    return run.main(["--help"] if {"-h", "--help"} & set(words) else ["--resume", *words])


if __name__ == "__main__":
    sys.exit(main())
