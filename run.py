"""The command line: files, progress bars, plots and videos around bremen.py.  `python run.py --help`

What "the original" does differently, and what became of its flags: examples/original.md.
"""

import argparse
import contextlib
import csv
import difflib
import functools
import importlib.util
import inspect
import io
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
import warnings
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path

MEND = " (is a package missing or broken?  Mend it with: pip install --force-reinstall -e .)"
try:
    import numpy as np
    from threadpoolctl import threadpool_info
    from tqdm import tqdm

    import bremen
    import envs
    import nets
    import trpo

    if not hasattr(bremen, "train_offline"):  # a folder or file of this name that came first
        found = bremen.__file__ or list(bremen.__path__)[0]
        raise ImportError(f"run.py needs its own bremen.py, but Python finds {found}: rename that one")
except (ImportError, AttributeError) as e:  # the second, too, where versions do not fit
    print("run.py:", " ".join(str(e.__cause__ or e).split()) + MEND * ("rename" not in str(e)), file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).resolve().parent
# Names that the original program gave to what has a clearer name here.
ORIGINAL_FLAGS = {
    "ensemble_model_count": "members",
    "gaussian": "std",
    "max_path_length": "horizon",
    "onpol_iters": "iterations",
    "trpo_batch_size": "imagined_steps",
    "save_variables": "keep_policies",
}
PLACES = "data", "data_dir"  # fields that say where files are
FILES = *PLACES, "keep_policies", "tensorboard"  # fields that concern files only
AS = {  # flags of the original that set a field to one value
    "start": {"use_s_t": "dataset", "use_s_0": "initial"},
    "learn_std": {"const_sampling": False},
    "value": {"param_value": "mlp"},
}


HELD = contextlib.ExitStack()  # the lock of the run directory in which this process works


class UsageError(Exception):
    """Something the user can mend; the message says in one line what and how."""


# --- command line ---------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """argparse, with errors of one line, which name the flag that was perhaps meant."""

    def error(self, message):
        """As of argparse, without its `usage`."""
        wrong = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        near = difflib.get_close_matches(wrong[1], self._option_string_actions, 1) if wrong else ()
        raise UsageError(message + (f"; did you mean {near[0]}?" if near else " (see --help)"))


def parser():
    """A flag per field of bremen.Config, the original's names for some, and what concerns files only.  -> Parser"""
    p = Parser(
        prog="run.py",
        usage="python run.py --env ENV --mode MODE [flags]",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=118),
        description="BREMEN: model-based offline and deployment-efficient reinforcement learning (arXiv:2006.03647).",
        epilog="Flags that are given override the preset, wherever they stand on the line.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    files = p.add_argument_group("runs and files")
    files.add_argument("--random_seeds", type=int, nargs="+", metavar="N", help="several seeds, one run after another")
    files.add_argument("--exp_name", help="name of the run (bremen)")
    files.add_argument("--sub_exp_name", help="name of the group of runs (the mode)")
    files.add_argument("--log_dir", help="where runs are kept (log)")
    files.add_argument("--param_path", metavar="FILE", help="start from the values in a config.json of an earlier run")
    files.add_argument(
        "--resume", "--restore_path", metavar="DIR", help="go on with a run; and --data FILE if its data moved"
    )
    files.add_argument(
        "--models", metavar="DIR", help="offline: take the models of a run in or under DIR that were fitted alike"
    )
    files.add_argument("--restart_iter", type=int, metavar="N", help="refused: a run goes on from its last checkpoint")
    files.add_argument("--policy", metavar="FILE", help="policy.npz to collect with, evaluate or film")
    files.add_argument("--out", metavar="FILE", help="collect: the dataset to write; plot, --describe: the picture")
    files.add_argument("--describe", metavar="FILE", help="collect: tell what is in a dataset instead of making one")
    files.add_argument("--video_dir", metavar="DIR", help="video: where to put it (videos)")
    files.add_argument("--video_format", choices=("gif", "mp4"), help="video: gif, or mp4 with the extra `video`")
    files.add_argument("--runs", nargs="+", metavar="DIR", help="plot: run directories")
    numbers = p.add_argument_group("numbers of the run (in brackets: defaults; --preset changes some, per environment)")
    # the comment beside each field is its help text
    texts = dict(re.findall(r"^    (\w+): [^#\n]+  # (.+)$", inspect.getsource(bremen.Config), re.M))
    for f in fields(bremen.Config):
        add_field(numbers, f, texts[f.name])
    numbers.add_argument("--interval", type=int, metavar="N", help="recursive: iterations per deployment")
    return p


def add_field(numbers, f, text):
    """The flags of a field of bremen.Config, of which a line may hold one: its own, the original's for it or for AS."""
    group = numbers.add_mutually_exclusive_group()
    names = [f"--{f.name}", *(f"--{old}" for old, new in ORIGINAL_FLAGS.items() if new == f.name)]
    shown = " ".join(map(str, f.default)) if isinstance(f.default, tuple) else f.default
    options = {"dest": f.name, "help": f"{text} [{shown}]".replace("%", "%%")}
    if isinstance(f.default, bool):
        options["action"] = argparse.BooleanOptionalAction
    elif isinstance(f.default, tuple):
        options |= {"type": int, "nargs": "+", "metavar": "N"}
    elif f.name in bremen.CHOICES:
        options["choices"] = bremen.CHOICES[f.name]
    else:
        options |= {"type": type(f.default), "metavar": type(f.default).__name__.upper()}
    group.add_argument(*names, **options)
    for name, value in AS.get(f.name, {}).items():
        text = f"as --{f.name} {value}" if value else f"as --no-{f.name}"
        group.add_argument(f"--{name}", dest=f.name, action="store_const", const=value, help=text)


def read_json(path):
    """The JSON object in the file `path`.  -> dict; or UsageError"""
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise UsageError(f"{path}: cannot be read as JSON ({e})") from e
    if not isinstance(stored, dict):
        raise UsageError(f"{path}: not a JSON object {{name: value}}")
    return stored


def read_config(given, path=None):
    """Config from preset, then the JSON file `path`, then the flags `given` (a dict).  -> Config; or UsageError

    Here, and nowhere else, the places of files become whole paths: another folder may be the working one next time.
    """
    names = {f.name for f in fields(bremen.Config)}
    stored = read_json(path) if path else {}
    if unknown := stored.keys() - names:
        raise UsageError(f"{path}: unknown {', '.join(sorted(unknown))}")
    if "model_epochs" in given:  # epochs that are asked for are not raised, by a file as little as by a preset
        stored.pop("model_steps", None)
    chosen = {k: tuple(v) if isinstance(v, list) else v for k, v in (stored | given).items() if k in names}
    try:
        if "preset" in given and given["preset"] != stored.get("preset", given["preset"]):
            raise ValueError(f"has all numbers of preset {stored['preset']}: leave --preset {given['preset']} away")
        if "interval" in given:  # the original's name for the iterations between two deployments
            plain = bremen.configured(**{k: chosen[k] for k in ("mode", "env", "preset") if k in chosen})
            iterations = chosen.get("iterations", plain.iterations)
            if plain.mode != "recursive" or given["interval"] < 1 or iterations % given["interval"]:
                problem = f"--interval {given['interval']}: for --mode recursive, must divide --iterations {iterations}"
                raise ValueError(f"{problem} (updates per iteration: --iteration_updates)")
            chosen["deployments"] = iterations // given["interval"]
        cfg = bremen.configured(**chosen)
        return replace(cfg, data=cfg.data and os.path.realpath(cfg.data), data_dir=os.path.realpath(cfg.data_dir))
    except ValueError as e:
        raise UsageError(f"{path}: {e}" if path else str(e)) from e


def command(cfg):
    """The shortest command line with these numbers, wherever its files were.  -> text"""
    plain = asdict(read_config({"mode": cfg.mode, "env": cfg.env, "preset": cfg.preset})) | {"preset": "classroom"}
    plain |= {} if cfg.model_epochs == plain["model_epochs"] else {"model_steps": 0}  # as `bremen.configured` has it
    changed = {k: v for k, v in asdict(cfg).items() if v != plain[k] and k not in FILES}
    flags = {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in changed.items()}
    words = (f" --{'' if v else 'no-'}{k}" if isinstance(v, bool) else f" --{k} {v}" for k, v in flags.items())
    return f"python run.py --mode {cfg.mode} --env {cfg.env}" + "".join(words)


# --- files ----------------------------------------------------------------------------------------------------------


def versions():
    """Versions of what decides the numbers of a run.  -> dict"""
    packages = {p: version(p) for p in ("numpy", "numba", "scipy", "gymnasium", "mujoco", "autograd")}
    return {"python": platform.python_version(), **packages}


@functools.cache
def blas():
    """The kernels that BLAS chose for this processor (or for OPENBLAS_CORETYPE): they round differently.  -> text"""
    return " ".join(sorted({lib.get("architecture", "?") for lib in threadpool_info() if lib["user_api"] == "blas"}))


@functools.cache
def commit():
    """This program's commit.  -> text, with "-dirty" where a file was changed since; "unknown" outside of git"""
    words = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def save_policy(path, policy, cfg, **meta):
    """Write a policy with its normaliser; `meta` says where it comes from."""
    sizes, limit = policy.net
    meta = {"env": cfg.env, "sizes": list(sizes), "limit": limit, "versions": versions(), **meta}
    norm = {"norm_mean": policy.norm.mean, "norm_std": policy.norm.std, "norm_count": policy.norm.count}
    envs.write_npz(path, theta=policy.theta, **norm, meta=json.dumps(meta))


def load_policy(path, task):
    """Read and check a policy of `task`.  -> nets.Policy, meta; or envs.DataError"""
    arrays = envs.read_npz(path)
    meta = envs.read_meta(path, arrays)
    if meta.get("env") != task.name:
        raise envs.DataError(f"{path}: a policy of {meta.get('env')}, not of {task.name}")
    try:
        sizes = tuple(int(n) for n in meta["sizes"])
        meta |= {k: float(meta[k]) for k in ("return_mean", "return_std") if "return_mean" in meta}
        theta, mean, std, count = (arrays[name] for name in ("theta", "norm_mean", "norm_std", "norm_count"))
        right = (nets.n_params(sizes) + task.act_dim,), (task.obs_dim,), (task.obs_dim,), (task.obs_dim, task.act_dim)
        if (theta.shape, mean.shape, std.shape, (sizes[0], sizes[-1])) != right:
            raise ValueError("its shapes are others")
        with np.errstate(over="ignore"):
            finite = all(x.dtype.kind == "f" and np.isfinite(x.astype(np.float32)).all() for x in (theta, mean, std))
        if not finite:
            raise ValueError("NaN, infinity or something that is no number in it")
        norm = nets.Normalizer(mean, std, float(count))
        return nets.Policy(theta.astype(np.float32), norm, (sizes, task.act_limit)), meta
    except Exception as e:  # what stands in a damaged file, nobody knows
        why = f"no {e} in it" if isinstance(e, KeyError) else f"{type(e).__name__}: {e}"
        raise envs.DataError(f"{path}: not a policy of {task.name} ({why})") from e


def pack(x, name):
    """What nested NamedTuples hold by its path, "state.dynamics.phi"; None and dicts are left out.  -> dict"""
    if isinstance(x, tuple):
        return {k: v for field in x._fields for k, v in pack(getattr(x, field), f"{name}.{field}").items()}
    return {} if x is None or isinstance(x, dict) else {name: x}


def unpack(kind, arrays, name):
    """The reverse of `pack`: a NamedTuple class with its annotations tells what is where.  -> kind, or None"""
    if not hasattr(kind, "_fields"):
        x = arrays.get(name)
        return x if x is None or kind in (dict, np.ndarray) else kind(x)
    if not any(k.startswith(f"{name}.") for k in arrays):
        return None
    hints = {field: typing.get_args(hint) or (hint,) for field, hint in typing.get_type_hints(kind).items()}
    return kind(**{field: unpack(kinds[0], arrays, f"{name}.{field}") for field, kinds in hints.items()})


def save_checkpoint(path, cfg, state, history):
    """The whole state of a run and what it has reported so far, in one .npz; collected data have files of their own.

    The checkpoint before it stays, as checkpoint_before.npz: a disk can damage what was written well.
    """
    rng = {name: r.bit_generator.state for name, r in state.rng.items()}
    meta = {"config": asdict(cfg), "rng": rng, "history": history}
    if path.exists():
        envs.write_whole(path.with_name("checkpoint_before.npz"), lambda f: f.write(path.read_bytes()))
    envs.write_npz(path, **pack(state, "state"), meta=json.dumps(meta))


def load_checkpoint(path, cfg):
    """The checkpoint of a run with exactly this Config.  -> bremen.State, history; or envs.DataError"""
    arrays = envs.read_npz(path)
    meta = envs.read_meta(path, arrays)
    try:
        del arrays["meta"]
        configs = meta["config"], json.loads(json.dumps(asdict(cfg)))
        there, here = ({k: v for k, v in config.items() if k not in PLACES} for config in configs)
        if there != here:
            raise ValueError("of another run than config.json beside it describes")
        check_arrays(arrays, pack(blank_state(cfg), "state"))
        state, history, rng = unpack(bremen.State, arrays, "state"), meta["history"], bremen.streams(cfg.seed)
        for name, r in rng.items():
            r.bit_generator.state = meta["rng"][name]
        if not 0 <= state.updates <= cfg.updates_by(state.deployments) <= cfg.updates_by(cfg.deployments):
            raise ValueError(f"{state.updates} updates in {state.deployments} deployments")
        _ = sum(history.get("seconds", {}).values())  # these lines fail where something is missing, or no number
        for row in history["rows"]:
            row_text(cfg, row), row["deployment"] + row["evaluation_steps"]
        _ = [np.array(model["model_curve"], float) + model["model_loss"] for model in history["models"]]
        if "data" in history:
            Path(history["data"]["file"]), history["data"]["sha256"]
        _ = [batch["transitions"] + (batch["mean"] or 0) + (batch["std"] or 0) for batch in history["batches"]]
        return state._replace(rng=rng), history
    except Exception as e:  # what stands in a damaged file, nobody knows
        raise envs.DataError(f"{path}: not a checkpoint ({type(e).__name__}: {e})") from e


def check_arrays(arrays, like):
    """ValueError unless these are the arrays of a State at the end of some stage, with the shapes and types of `like`.

    Kernels do not check their bounds: nothing with another shape may come to them.
    """
    parts = {name.split(".")[1] for name in arrays} - {"updates", "deployments", "steps"}
    learnt = {"norm", "dynamics", "beta", "theta", "critic"}
    # after a deployment, after the models (later deployments have a policy by then), and after the clone
    stages = set(), {"norm", "theta"}, {"norm", "dynamics"}, {"norm", "dynamics", "theta"}, learnt
    if parts not in stages or arrays.keys() != {name for name in like if name.split(".")[1] not in learnt - parts}:
        raise ValueError(f"it holds {', '.join(sorted(arrays))}")
    for name, x in arrays.items():
        if x.shape != np.shape(like[name]) or x.dtype != np.asarray(like[name]).dtype:
            raise ValueError(f"{name} is {x.dtype} {x.shape}")


def blank_state(cfg):
    """What types and shapes are compared with.  -> State that has everything"""
    task, rng = envs.TASKS[cfg.env], bremen.streams(cfg.seed)
    norm, wide = (nets.Normalizer(np.zeros(n), np.zeros(n)) for n in (task.obs_dim, task.obs_dim + task.act_dim))
    phi = np.zeros((cfg.members, nets.n_params(bremen.model_sizes(cfg))), np.float32)
    dynamics = bremen.Dynamics(phi, wide, norm, np.zeros(task.obs_dim, np.float32), np.zeros(task.obs_dim, np.float32))
    theta = bremen.new_policy(cfg, rng["init"])
    return bremen.State(rng, norm, dynamics, theta, theta, trpo.new_critic(rng["init"], task.obs_dim, cfg))


def experiment(config):
    """What a run shares with its other seeds: files and threads make no other experiment.  dict of Config -> dict"""
    return {k: v for k, v in config.items() if k not in (*FILES, "seed", "threads")}


def write_csv(path, rows):
    """A line per row (a dict); the columns are those of all rows, in the order in which they first appear."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(k for row in rows for k in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    envs.write_whole(path, lambda f: f.write(text.getvalue().encode(errors="surrogateescape")))


def run_folder(cfg, opts):
    """log/<env>/<sub_exp_name>/<exp_name>/<exp_name><seed>/, or the one to resume.  -> Path"""
    if "resume" in opts:
        return Path(opts["resume"])
    group, name = opts.get("sub_exp_name", cfg.mode), opts.get("exp_name", "bremen")
    for flag, text in (("sub_exp_name", group), ("exp_name", name)):
        if set("/\\") & set(text) or not text.strip("."):
            raise UsageError(f"--{flag} {text}: the name of a folder, please, not a path (--log_dir is one)")
    return Path(opts.get("log_dir", "log"), cfg.env, group, name, f"{name}{cfg.seed}")


def check_new(folder):
    """UsageError where a run cannot begin: its directory exists, or cannot be made."""
    if folder.exists():
        resume = f"go on with --resume {folder}, or " if (folder / "config.json").exists() else ""
        raise UsageError(f"{folder} exists: {resume}choose another --exp_name")
    ground = next(p for p in folder.parents if p.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise UsageError(f"cannot write to {folder}: {ground} is no folder to write to; --log_dir names another place")


def check_packages(cfg):
    """UsageError where a package that is used later, perhaps after hours, is missing or broken."""
    try:
        versions(), envs.TASKS[cfg.env].sim(), figure()
    except Exception as e:  # broken files fail in as many ways as there are files
        raise UsageError(f"{e.__cause__ or e}{MEND}") from e


def new_run(folder, cfg, history):
    """Make and `hold` the run's directory with its config.json and run.json, all of it or nothing."""
    hidden = folder.with_name(f".{folder.name}")
    envs.make_folder(folder.parent)
    envs.remove_abandoned(folder.parent, hidden.name)
    temporary = envs.temporary_name(hidden)
    temporary.mkdir()
    try:
        text = json.dumps(asdict(cfg), indent=1) + "\n"
        envs.write_whole(temporary / "config.json", lambda f: f.write(text.encode()))
        hold(temporary)
        write_about(temporary / "run.json", cfg, history)
        temporary.rename(folder)
        envs.sync(folder.parent)
    except OSError:
        check_new(folder)  # another process was quicker
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def hold(folder):
    """Keep other processes out of a run directory until this run ends, and remove what a killed one left in it."""
    path = folder / "config.json"
    if not envs.fcntl:  # an open file would only be in the way
        return
    try:
        locked = envs.lock(HELD.enter_context(open(path, "r+b" if os.access(path, os.W_OK) else "rb")))
    except BlockingIOError as e:
        raise UsageError(f"{folder}: another process is working on this run; wait for its end, or end it") from e
    for left in folder.rglob("*.[0-9]*.tmp") if locked else ():
        left.unlink(missing_ok=True)


def way_on(cfg, opts):
    """What to do with a run that stopped early; cfg is None before there is one.  -> text"""
    folder = cfg and run_folder(cfg, opts)
    if not cfg or not (folder / "config.json").exists():
        return "nothing was written"
    if cfg.mode == "online":
        return f"mode online keeps no checkpoint: remove {folder} or choose another --exp_name to begin again"
    kept = "it has no checkpoint yet"
    if (folder / "checkpoint.npz").exists():
        kept = "its last checkpoint is kept (a stage that was not finished begins again)"
    moved = ["--data", opts["data"]] if "resume" in opts and "data" in opts else []
    return f"{kept}, go on with: python run.py {shlex.join(['--resume', str(folder), *moved])}"


# --- progress -------------------------------------------------------------------------------------------------------


class Progress:
    """Progress bars, one per stage (none where there is no terminal), and the wall clock of every part."""

    TEXT = {
        "collect": ("collecting transitions", "row", None),
        "deploy": ("deploying", "row", None),
        "model": ("fitting the models", "epoch", "loss"),
        "clone": ("cloning the behaviour", "step", "loss"),
        "update": ("imagining and improving", "update", "imagined_reward"),
        "online": ("TRPO on the simulator", "step", "sampled_return"),
    }

    def __init__(self):
        self.bar, self.stage, self.seconds = tqdm(disable=True), None, {}

    def __call__(self, record):
        """Show a record {"stage", "done", "total", and the number that TEXT names}."""
        text, unit, number = self.TEXT[record["stage"]]
        if record["stage"] != self.stage:
            self.close()
            self.stage = record["stage"]
            first = record["done"] - 1 if unit == "update" else 0  # a resumed run does not start at 0
            self.bar = tqdm(total=record["total"], initial=first, desc=text, unit=unit, disable=None, leave=False)
        if number in record:
            self.bar.set_postfix({number: f"{record[number]:.4g}"}, refresh=False)
        self.bar.update(record["done"] - self.bar.n)

    def close(self):
        """Take the bar away."""
        self.bar.close()
        self.stage = None

    @contextlib.contextmanager
    def timed(self, name):
        """A clock for a `with` block or, as decorator, a function: the seconds add up under `name`."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def lap(self):
        """Seconds per stage since the last call.  -> {"<stage>_seconds": s}"""
        laps = {f"{name}_seconds": round(s, 3) for name, s in self.seconds.items()}
        self.seconds.clear()
        return laps


def shown(path):
    """A path as short as it can be said in the present folder.  -> text"""
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@contextlib.contextmanager
def writing(path, hint):
    """For a `with` block that writes `path`: UsageError with a hint where the disk refuses that.  Yields nothing"""
    try:
        yield
    except OSError as e:
        raise UsageError(f"cannot write {path}: {e.strerror or e}; {hint}") from e


def say(text=""):
    """Print a line above the progress bar."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


# --- training: modes offline, recursive, online ---------------------------------------------------------------------


def default_dataset(cfg, opts):
    """Where the dataset of these settings is kept.  -> Path"""
    if "policy" in opts:  # never to be mistaken for the shipped policy's
        raise UsageError("--policy makes a dataset of its own: --mode collect --out FILE, then --data FILE")
    return Path(cfg.data_dir) / cfg.env / f"{cfg.noise}_{cfg.n_train}_seed{cfg.seed}.npz"


def make_dataset(cfg, opts, path):
    """Collect n_train transitions of the behaviour policy, with `noise`, into `path`.  -> its meta"""
    task, progress, sample, about = envs.TASKS[cfg.env], Progress(), None, {"policy": "uniform random"}
    if cfg.noise == "random" and "policy" in opts:
        raise UsageError("--noise random asks no policy: leave --policy away")
    if cfg.noise != "random":
        source = Path(opts.get("policy", HERE / "examples" / "behavior" / f"{cfg.env}.npz"))
        policy, known = load_policy(source, task)
        sample, about = policy.sample, {"policy": source.name}
        about |= {"policy_return": [known["return_mean"], known["return_std"]]} if "return_mean" in known else {}
    envs.make_folder(path.parent)
    show = lambda rows: progress({"stage": "collect", "done": rows, "total": cfg.n_train})
    threads, rng = nets.use_threads(cfg.threads), bremen.streams(cfg.seed)["collect"]
    acts = envs.behavior(task, sample, cfg.noise)
    batches = envs.collect_parts(task, acts, cfg.n_train, rng, threads=threads, report=show)
    meta = save_batches(path, cfg, batches, noise=cfg.noise, **about)
    progress.close()
    return meta


def save_batches(path, cfg, batches, **meta):
    """Write a dataset; `meta` says how it was made.  -> the whole meta"""
    return envs.save_dataset(path, batches, {"env": cfg.env, "seed": cfg.seed, "versions": versions(), **meta})


def find_original(cfg):
    """data/<Agent>/<noise>/data.index, where the original program wants its data, as an .npz.  -> Path or None"""
    task = envs.TASKS[cfg.env]
    index = Path(cfg.data_dir, task.env_id.removeprefix("bremen/").removesuffix("-v0"), cfg.noise, "data.index")
    if not index.exists():
        return None
    digest = envs.sha256(index)  # it holds checksums of the data themselves
    path = Path(cfg.data_dir, cfg.env, f"brac_{cfg.noise}_{digest[:8]}.npz")
    if not path.exists():
        spec = importlib.util.spec_from_file_location("import_dataset", HERE / "examples" / "import_dataset.py")
        importer = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(importer)
        words = shlex.join(["brac", str(index.parent), "--env", cfg.env])
        with writing(path, f"python examples/import_dataset.py {words} --out FILE makes one for --data FILE"):
            envs.make_folder(path.parent)
            tempfile.TemporaryFile(dir=path.parent).close()  # here, because the importer blames what it reads
            importer.convert("brac", index, task, path, say)
    return path


def find_dataset(cfg, opts, known):
    """Where the data of an offline run are; the default ones of a new run are collected when they are not there yet.

    known: what an interrupted run knows of its data, {"file", "sha256"}; of a new run {}.  -> Path; or UsageError
    """
    began_with = known.get("file") if "data" not in opts else None
    path = Path(os.path.realpath(began_with or cfg.data or find_original(cfg) or default_dataset(cfg, opts)))
    if "resume" in opts:
        check_same(path, cfg, opts, known)
    elif not cfg.data and not path.exists():
        say(f"collecting {cfg.n_train:,} transitions -> {shown(path)}")
        with writing(path, "--data_dir names another place"):
            make_dataset(cfg, opts, path)
    return path


def check_same(path, cfg, opts, known):
    """UsageError unless the file `path` is what an interrupted run began with; `known` as above."""
    folder, digest = run_folder(cfg, opts), known.get("sha256")
    if not digest and ("data" in opts or not path.is_file()):  # begun by an earlier version, without a checkpoint yet
        raise UsageError(f"{folder} does not say which data it began with: begin again under another --exp_name")
    try:
        if digest in (None, envs.sha256(path)):
            return
        why = "its SHA-256 is another"
    except OSError as e:
        why = e.strerror
    words = f"--env {cfg.env} --noise {cfg.noise} --n_train {cfg.n_train} --seed {cfg.seed}"
    again = "" if cfg.data else f"; python run.py --mode collect {words} --out FILE makes it again"
    hint = f"--resume {shlex.quote(str(folder))} --data FILE, where the SHA-256 of FILE is {digest}{again}"
    raise UsageError(f"{path}: not the data with which this run began ({why}): go on with {hint}")


def get_dataset(cfg, opts, known=None):
    """The dataset of an offline run, see `find_dataset`.  -> Batch, meta, Path; or UsageError, envs.DataError"""
    path = find_dataset(cfg, opts, known or {})
    data, meta = load_rows(path, envs.TASKS[cfg.env])
    n = min(len(data.rew), cfg.n_train)
    if n < 2 or round(cfg.validation * n) >= n:
        raise UsageError(f"{path}: {n} transitions, --validation {cfg.validation}: none are left to train on")
    some, meta["rows"] = some_rows(data, meta, cfg)
    return some, meta, path


def load_rows(path, task=None):
    """A dataset file, with an end where rows do not go on; meta["notes"] has what is odd.  -> Batch, meta"""
    return envs.page("foreign_data").load_rows(path, task)


def some_rows(data, meta, cfg):
    """The n_train rows of a dataset that a run learns from.  -> Batch, which they are (text; "" for all of them)"""
    return envs.page("foreign_data").some_rows(data, meta, cfg)


def run_offline(cfg, opts):
    """--mode offline: Algorithm 2 on a fixed dataset."""
    begun = open_run(cfg, opts) if "resume" in opts else None
    known = begun[2].get("data") if begun else None
    data, meta, path = get_dataset(cfg, opts, known)  # first: without data no directory
    about = {"file": str(path), "sha256": envs.sha256(path)} | ({"rows": meta["rows"]} if meta["rows"] else {})
    if known and "episodes" in meta["rows"] and known.get("rows") != meta["rows"]:
        raise UsageError(f"{path}: this run began with its first rows, as former versions did: begin another one")
    folder, state, history = begun or open_run(cfg, opts, data=about)
    history["data"] = about  # which may have moved
    history["batches"] = [summary(envs.episode_returns(data)[0]) | {"transitions": len(data.rew)}]
    if meta.get("noise") != "pure" and "policy_return" in meta:  # of the policy at the data's core: a higher bar
        history["policy"] = [float(x) for x in meta["policy_return"]]
    say(f"dataset {shown(path)}: {len(data.rew):,} transitions, return {history['batches'][0]['text']}")
    few = [f"there are fewer than the {cfg.n_train:,} of --n_train"] if len(data.rew) < cfg.n_train else []
    idle = [f"--noise {cfg.noise} changes nothing in the file of --data"] if cfg.data and "noise" in opts else []
    limit = envs.TASKS[cfg.env].act_limit
    wide = [f"actions beyond {limit:g} in it: a policy here has none"] if np.abs(data.act).max() > limit else []
    some = [meta["rows"]] if meta["rows"] else []
    for note in [*meta.get("notes", []), *some, *few, *idle, *wide]:
        say(f"note: {note}")
    progress = Progress()
    if state is None and "models" in opts:
        state = fitted_models(Path(opts["models"]), cfg, history, progress)
    records = bremen.train_offline(cfg, data, state, **timed_parts(progress), report=progress)
    train(cfg, folder, records, history, progress, data.obs[data.episode_starts()])


def fitted_models(root, cfg, history, progress):
    """Models that a run in or under `root` has fitted as this one would, to the last bit: from the same data, with the
    same seed, numbers and versions (whether the code is the same, the commit that is printed must tell).  They come
    with their validation losses and seconds.  -> bremen.State, or None
    """
    decides = {"mode", "env", "seed", "n_train", "members", "validation", "clip_states", "gradients"}
    decides |= {f.name for f in fields(cfg) if f.name.startswith("model_")}
    for path in sorted(root.rglob("run.json")):
        try:
            other = read_config({}, path.with_name("config.json"))
            if any(getattr(cfg, name) != getattr(other, name) for name in decides):
                continue
            about = json.loads(path.read_text())
            state, theirs = load_checkpoint(path.with_name("checkpoint.npz"), other)
            digest, model, seconds = theirs["data"]["sha256"], theirs["models"][0], theirs["rows"][0]["fit_seconds"]
            same = digest == history["data"]["sha256"] and about["versions"] == versions() | {"blas": blas()}
        except (UsageError, envs.DataError, OSError, ValueError, LookupError):
            continue  # of another version of this program, or not far enough, perhaps
        if same:
            history |= {"models": [model], "models_from": os.path.realpath(path.parent)}
            progress.seconds["fit"] = seconds
            say(f"models of {path.parent}, commit {about.get('commit')}: validation loss {model['model_loss']:.4f}")
            rng = bremen.streams(cfg.seed) | {"model": state.rng["model"]}
            return bremen.State(rng, state.norm, state.dynamics)
    say(f"note: no run under {root} has fitted the same models")
    return None


def run_recursive(cfg, opts):
    """--mode recursive: Algorithm 1 from scratch."""
    folder, state, history = open_run(cfg, opts)
    paths = [folder / f"deployment_{i + 1}.npz" for i in range(state.deployments if state else 0)]
    batches = [envs.load_dataset(path, envs.TASKS[cfg.env])[0] for path in paths]
    starts = batches[-1].obs[batches[-1].episode_starts()] if batches else None
    progress = Progress()
    parts = timed_parts(progress) | {"deploy": progress.timed("deploy")(bremen.collect_batch)}
    records = bremen.train_recursive(cfg, batches, state, **parts, report=progress)
    train(cfg, folder, records, history, progress, starts)


def run_online(cfg, opts):
    """--mode online: TRPO on the simulator."""
    folder, _, history = open_run(cfg, opts)
    progress = Progress()
    records = bremen.train_online(cfg, sample=progress.timed("sample")(trpo.sample_paths))
    state = train(cfg, folder, records, history, progress)
    key, seed, *curve = read_run(folder)
    plot_runs({key: {seed: curve}}, folder / "curves.png")
    policy, rng = bremen.policy_of(state, cfg), state.rng["evaluate"]
    returns = summary(envs.evaluate(envs.TASKS[cfg.env], policy.sample, 100, rng, nets.workers())[0])
    about = {"command": command(cfg), "real_steps": state.steps, "episodes": 100}
    about |= {"return_mean": returns["mean"], "return_std": returns["std"]}
    save_policy(folder / "policy.npz", policy, cfg, **about)
    say(f"last policy with its noise: return {returns['text']}\nuse it with --policy {folder / 'policy.npz'}")


def timed_parts(progress):
    """The parts of Algorithm 2, with a clock on each.  -> {name: function}"""
    parts = {"fit": bremen.fit_dynamics, "clone": bremen.clone_behavior, "imagine": bremen.imagine_paths}
    return {name: progress.timed(name)(f) for name, f in (parts | {"improve": trpo.improve}).items()}


def open_run(cfg, opts, **known):
    """A new run directory, or an interrupted run as its last checkpoint left it.  -> Path, State or None, history

    known: what a new run's history begins with.
    """
    folder, state, history = run_folder(cfg, opts), None, {"rows": [], "models": [], "batches": []} | known
    if "resume" not in opts:
        new_run(folder, cfg, history)
    else:
        hold(folder)
        if (folder / "checkpoint.npz").exists():
            try:
                state, history = load_checkpoint(folder / "checkpoint.npz", cfg)
            except envs.DataError as e:
                before = folder / "checkpoint_before.npz"
                hint = f"; the one before it is {before}: rename it to checkpoint.npz" if before.exists() else ""
                raise UsageError(f"{e}{hint}") from e
        elif (folder / "run.json").exists():  # from the beginning, but with the same data
            data = read_json(folder / "run.json").get("data")
            if isinstance(data, dict) and all(isinstance(data.get(k), str) for k in ("file", "sha256")):
                history["data"] = data
    ended = state and state.beta is not None and state.updates == cfg.iterations * cfg.iteration_updates
    done = ", which had ended: nothing is left to do" if ended else ""
    say(f"BREMEN {cfg.mode}: {cfg.env}, preset {cfg.preset}, seed {cfg.seed} -> {folder}{done}")
    return folder, state, history


def train(cfg, folder, records, history, progress, starts=None):
    """Follow a training generator: progress bars, an evaluation after each iteration, files.  -> last State

    starts (R, S): where episodes of the real data began; imagined returns begin there, too.
    """
    recent, state, events = [], None, None
    history["seconds"] = progress.seconds = history.get("seconds", {}) | progress.seconds  # kept in checkpoints, too
    if cfg.tensorboard:
        from tensorboardX import SummaryWriter

        events = SummaryWriter(str(folder / "tensorboard"))
    for record in records:
        stage, state = record.pop("stage"), record.pop("state")
        done, total = state.updates, cfg.iterations * cfg.iteration_updates
        if cfg.mode == "online":
            done, total = state.steps, cfg.online_steps
        if stage == "deploy":
            starts = deployed(cfg, folder, record.pop("batch"), history)
        elif stage == "model":
            history["models"].append(record)
            say(f"{cfg.members} models: validation loss {record['model_loss']:.4f}")
        else:
            recent.append(record)
        if stage in ("update", "online"):
            progress(record | {"stage": stage, "done": min(done, total), "total": total})
        iteration_ends = state.updates % cfg.iteration_updates == 0 or done >= total
        if recent and (stage == "clone" or iteration_ends):  # before the first update there is a row, too
            row = iteration_row(cfg, folder, state, recent, history, progress, starts)
            history["rows"].append(row)
            recent = []
            say(row_text(cfg, row))
            write_results(folder, cfg, state, history, events)
        if not recent and stage != "online":  # no update is without its row
            save_checkpoint(folder / "checkpoint.npz", cfg, state, history)
    progress.close()
    if events:
        events.close()
    if cfg.mode != "online":
        closing_table(cfg, history, folder)
    return state


def deployed(cfg, folder, batch, history):
    """Keep and announce what a deployment has collected.  -> first observations of its episodes (R, S)"""
    i, returns = len(history["batches"]) + 1, summary(envs.episode_returns(batch)[0])
    save_batches(folder / f"deployment_{i}.npz", cfg, [batch], deployment=i)
    history["batches"].append(returns | {"transitions": len(batch.rew)})
    say(f"deployment {i}: {len(batch.rew):,} transitions, return {returns['text']}")
    return batch.obs[batch.episode_starts()]


def iteration_row(cfg, folder, state, records, history, progress, starts):
    """A row of progress.csv: return in the simulator and in the ensemble, means of `records`, timings.  -> dict"""
    rows = history["rows"]
    row = {"iteration": len(rows), "deployment": state.deployments, "updates": state.updates}
    if cfg.mode == "online":
        row |= {"real_steps": state.steps}
    else:
        row |= {"real_transitions": sum(batch["transitions"] for batch in history["batches"])}
        data = history["batches"][-1]  # the dataset, or what the last deployment brought
        row |= {} if data["mean"] is None else {"data_return": data["mean"], "data_return_std": data["std"]}
        with progress.timed("evaluate"):
            row |= evaluation(cfg, folder, state, starts, ends="kl" not in records[0])
        row["evaluation_steps"] += rows[-1]["evaluation_steps"] if rows else 0
        row |= {"model_loss": history["models"][-1]["model_loss"]}
    means = {k: np.mean([r[k] for r in records if np.isfinite(r[k])] or np.nan) for k in records[0]}
    row |= {k: v for k, v in means.items() if np.isfinite(v)} | progress.lap()
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}


def evaluation(cfg, folder, state, starts, ends):
    """Return of the policy's mean action in the simulator and in the ensemble, and how far these are apart.  -> dict

    There are more episodes at both `ends` of a deployment: they stand in the closing table.  Real steps are counted
    (the original does not), and training never hears of them.
    """
    policy, rng = bremen.policy_of(state, cfg), state.rng["evaluate"]
    many = ends or state.updates == cfg.updates_by(state.deployments)
    episodes = cfg.eval_episodes if many else cfg.eval_interval_episodes
    real, steps = envs.evaluate(envs.TASKS[cfg.env], policy.mean, episodes, rng, nets.workers())
    dreamt = bremen.imagined_returns(state, starts, cfg, rng)
    row = {"real_return": real.mean(), "real_return_std": real.std(), "real_length": steps.mean()}
    row |= {"imagined_return": dreamt.mean(), "imagined_return_std": dreamt.std(), "evaluation_steps": steps.sum()}
    if cfg.eval_model:
        numbers, paths = bremen.compare_paths(state, cfg, rng)
        plot_paths(folder / "model.png", cfg, state, paths)
        row |= numbers | {"evaluation_steps": steps.sum() + numbers["evaluation_steps"]}
    return row


def write_results(folder, cfg, state, history, events):
    """The files of a run that a person looks at, as they stand now."""
    rows = history["rows"]
    write_csv(folder / "progress.csv", rows)
    write_about(folder / "run.json", cfg, history)
    names = "deployment updates real_steps real_transitions evaluation_steps real_return real_return_std".split()
    about = {"command": command(cfg)} | {k: rows[-1][k] for k in names if k in rows[-1]}
    paths = [folder / "policy.npz"]
    if cfg.keep_policies:
        (folder / "policies").mkdir(exist_ok=True)
        paths.append(folder / "policies" / f"{rows[-1]['iteration']:04d}.npz")
    for path in paths:
        save_policy(path, bremen.policy_of(state, cfg), cfg, **about)
    if cfg.mode != "online":
        plot_run(folder / "curves.png", cfg, history)
    if events:
        for name, number in rows[-1].items():
            events.add_scalar(name, number, state.steps or state.updates)
        events.flush()


def write_about(path, cfg, history):
    """run.json: how a run is made, of which data, and its rows so far."""
    made_by = {"command": command(cfg), "commit": commit(), "versions": versions() | {"blas": blas()}}
    known = {k: history[k] for k in ("data", "policy", "models_from", "batches", "rows") if k in history}
    text = json.dumps(made_by | known, indent=1)
    envs.write_whole(path, lambda f: f.write(text.encode()))


def summary(returns):
    """Mean, standard deviation, and both as text, of the returns of episodes (E,).  -> dict"""
    mean, std = (float(np.mean(returns)), float(np.std(returns))) if len(returns) else (None, None)
    return {"mean": mean, "std": std, "text": returns_text(mean, std, len(returns))}


def returns_text(mean, std, episodes):
    """Mean and standard deviation of the returns of so many episodes, to be read.  -> text"""
    return f"{mean:,.0f} ± {std:,.0f} over {episodes} episodes" if episodes else "unknown (no complete episode)"


def row_text(cfg, row):
    """One line about an iteration.  -> text"""
    if cfg.mode == "online":
        ended = f"{row['sampled_return']:8,.0f}" if "sampled_return" in row else "(no episode has ended)"
        return f"{row['real_steps']:10,} steps: return {ended}, KL {row['kl']:.1e}"
    text = f"update {row['updates']:4d}: real return {row['real_return']:7,.0f} ± {row['real_return_std']:5,.0f}"
    text += f", imagined {row['imagined_return']:7,.0f} ± {row['imagined_return_std']:5,.0f}"
    return text + (f", KL {row['kl']:.1e}" if "kl" in row else "  (before the first update)")


def closing_table(cfg, history, folder):
    """What the run was for: data, clone and BREMEN side by side, and what they cost."""
    rows, batches, seconds = history["rows"], history["batches"], {}
    cell = lambda mean, std: f"{'unknown' if mean is None else f'{mean:,.0f} ± {std:5,.0f}':>18}"
    say(f"\n{'':22}{'real return':>18}{'imagined return':>18}")
    if "policy" in history:
        say(f"{'behaviour policy':22}{cell(*history['policy'])}")
    for i, batch in enumerate(batches, 1):
        mine = [row for row in rows if row["deployment"] == i]
        if cfg.mode == "recursive":
            say(f"deployment {i}: {batch['transitions']:,} transitions")
        say(f"{'dataset':22}{cell(batch['mean'], batch['std'])}")
        for title, row in (("clone" if cfg.bc_init else "start", mine[0]), ("BREMEN, last policy", mine[-1])):
            say(f"{title:22}" + "".join(cell(row[k], row[f"{k}_std"]) for k in ("real_return", "imagined_return")))
    real, tested = sum(batch["transitions"] for batch in batches), rows[-1]["evaluation_steps"]
    say(f"({cfg.eval_episodes} episodes each; real transitions for training: {real:,}, for evaluation: {tested:,})")
    for k, v in (item for row in rows for item in row.items() if item[0].endswith("_seconds")):
        seconds[k.removesuffix("_seconds")] = seconds.get(k.removesuffix("_seconds"), 0) + v
    lent = " (fit: of the run that has lent its models)" if "models_from" in history else ""
    say("wall time: " + ", ".join(f"{k} {v:.0f} s" for k, v in seconds.items()) + lent)
    say(f"look at {folder / 'curves.png'}")


# --- files and looks: modes collect, evaluate, video, plot -----------------------------------------------------------


def run_collect(cfg, opts):
    """--mode collect: write a dataset, or describe one."""
    if "describe" in opts:
        if idle := opts.keys() - {"mode", "describe", "out"}:
            raise UsageError(f"--describe tells what is in a file, and nothing else: leave --{min(idle)} away")
        describe(Path(opts["describe"]), opts)
        return
    path = Path(opts["out"]) if "out" in opts else default_dataset(cfg, opts)
    if path.exists():
        raise UsageError(f"{path} exists: name another file with --out")
    with writing(path, "--out names another place"):
        meta = make_dataset(cfg, opts, path)
    text = returns_text(meta["return_mean"], meta["return_std"], meta["episodes"])
    say(f"{path}: {meta['transitions']:,} transitions, return {text}")


def describe(path, opts):
    """--describe: what a dataset file holds and where it comes from, as a table and a picture."""
    data, meta = load_rows(path)
    returns, lengths = envs.episode_returns(data)
    table = {k: meta[k] for k in ("env", "noise", "policy", "seed", "source", "versions") if k in meta}
    if isinstance(table.get("versions"), dict):
        table["versions"] = ", ".join(f"{k} {v}" for k, v in table["versions"].items())
    table |= {"transitions": f"{len(data.rew):,}", "return": summary(returns)["text"]}
    if len(returns):
        table |= {"": f"from {returns.min():,.0f} to {returns.max():,.0f}"}
        table |= {"episodes": f"{lengths.mean():,.0f} steps on average, from {lengths.min():,} to {lengths.max():,}"}
    cut = np.count_nonzero(data.truncated & ~data.terminated)
    table |= {"their ends": f"{np.count_nonzero(data.terminated):,} terminated, {cut:,} truncated"}
    table |= {"SHA-256": envs.sha256(path)}
    for name, value in [*table.items(), *(("note", note) for note in meta.get("notes", ()))]:
        say(f"{name:12} {value}")
    picture = Path(opts.get("out", path.with_name(f"{path.stem}_described.png")))
    with writing(picture, "--out names another place"):
        plot_dataset(picture, path.name, data, returns)
    say(f"look at {picture}")


def needed_policy(cfg, opts):
    """The policy named with --policy.  -> nets.Policy; or UsageError"""
    if "policy" not in opts:
        raise UsageError(f"--mode {cfg.mode} needs --policy FILE (a policy.npz of a run)")
    return load_policy(opts["policy"], envs.TASKS[cfg.env])[0]


def run_evaluate(cfg, opts):
    """--mode evaluate: a saved policy's return, without and with its noise."""
    policy, rng = needed_policy(cfg, opts), bremen.streams(cfg.seed)["evaluate"]
    for name, act in (("mean action", policy.mean), ("sampled actions", policy.sample)):
        returns, steps = envs.evaluate(envs.TASKS[cfg.env], act, cfg.eval_episodes, rng, nets.use_threads(cfg.threads))
        say(f"{name}: return {summary(returns)['text']}, length {np.mean(steps):,.0f} steps")


def run_video(cfg, opts):
    """--mode video: one episode of a saved policy as a GIF or MP4."""
    import imageio

    policy, task, form = needed_policy(cfg, opts), envs.TASKS[cfg.env], opts.get("video_format", "gif")
    path = Path(opts.get("video_dir", "videos")) / f"{cfg.env}_seed{cfg.seed}.{form}"
    if path.exists():
        raise UsageError(f"{path} exists: choose another --video_dir or --seed")
    if form == "mp4" and not importlib.util.find_spec("imageio_ffmpeg"):
        raise UsageError("--video_format mp4 needs the extra: pip install -e '.[video]'")
    every = max(1, round(1 / (25 * task.dt)))  # about 25 frames per second of simulated time
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        frames, steps, total = film(task, policy, every, cfg.seed)
        fps = 1 / (every * task.dt)
        imageio.mimsave(path, frames, **({"fps": fps} if form == "mp4" else {"duration": 1000 / fps, "loop": 0}))
    except Exception as e:  # drawing and encoding fail in as many ways as there are drivers
        why = (str(e) or type(e).__name__).splitlines()[0]
        raise UsageError(f"cannot film {path}: {why} (the README says what drawing needs)") from e
    say(f"{path}: {len(frames)} frames, {steps} steps, return {total:,.0f}")


def film(task, policy, every, seed):
    """One episode of the mean action.  -> frames (every `every`-th), steps, return"""
    frames, total, env = [], 0.0, envs.TaskEnv(task, render_mode="rgb_array", width=400, height=304)
    obs, _ = env.reset(seed=seed)
    for t in tqdm(range(task.max_steps), desc="filming", unit="step", disable=None, leave=False):
        if t % every == 0:
            frames.append(env.render())
        obs, rew, terminated, _, _ = env.step(policy.mean(obs[None])[0])
        total += rew
        if terminated:
            break
    env.close()
    return frames, t + 1, total


def run_plot(cfg, opts):
    """--mode plot: curves of the run directories in --runs, or below them."""
    if "runs" not in opts:
        raise UsageError("--mode plot needs --runs DIR [DIR ...]")
    path, groups, notes = Path(opts.get("out", "curves.png")), {}, []
    for folder in found(opts["runs"]):
        try:
            key, seed, *curve = read_run(folder)
            if seed in groups.setdefault(key, {}):
                raise UsageError(f"{folder}: a run beside it has the same seed and numbers")
            groups[key][seed] = curve
        except UsageError as e:
            if not (folder / "config.json").exists():
                raise
            notes.append(f"{folder} is left out, {str(e).removeprefix(f'{folder}: ')}")
    if not (n := sum(map(len, groups.values()))):
        raise UsageError(f"--runs: none has an iteration yet ({notes[0]})")
    for note in notes:
        say(f"note: {note}")
    plot_runs(groups, path)
    say(f"{path}: {n} run{'s' if n > 1 else ''}")


def found(folders):
    """The run directories that these folders are, or hold, each once, whatever it is called.  -> list of Paths"""
    places = {}
    for folder in map(Path, folders):
        inside = sorted(path.parent for path in folder.rglob("config.json") if path.parent.suffix != ".tmp")
        for place in inside or [folder]:
            places.setdefault(place.resolve(), place)
    return list(places.values())


# --- plots ----------------------------------------------------------------------------------------------------------


def plot_runs(groups, path):
    """Real return of one or many runs; several of a kind become their mean with its 95 % confidence interval.

    groups: {key of `read_run`: {seed: (x, return)}}
    """
    fig = figure(figsize=(8, 5))
    ax, names = fig.subplots(), [label for label, *_ in groups]
    for (label, _, place, _), seeds in groups.items():
        label += f", {place}" if names.count(label) > 1 else ""
        x, mean, half, n = average(seeds.values())
        several = n[n > 0] if n.any() else n
        label += f" (n = {several.min()}" + (f" to {several.max()})" if several.min() < several.max() else ")")
        alone = lonely(n > 0).tolist()
        (line,) = ax.plot(x, mean, marker="o" if alone else "", markevery=alone, label=label)
        if n.max() > 1:
            ax.fill_between(x, mean - half, mean + half, color=line.get_color(), alpha=0.2, lw=0)
        for i in lonely(n > 1):
            ax.errorbar(x[i], mean[i], half[i], color=line.get_color(), capsize=4)
    x_names = " / ".join(dict.fromkeys(x_name for _, x_name, *_ in groups))
    averaged = any(len(seeds) > 1 for seeds in groups.values())
    ax.set(xlabel=x_names, ylabel="return per episode" + (" (mean, 95 % CI)" if averaged else ""))
    ax.legend()
    save_figure(fig, path)


def average(curves):
    """Mean of those curves (x, y) that have a point, and the half width of its 95 % confidence interval (NaN for one).

    -> x (P,), mean (P,), half (P,), how many have the point (P,)
    """
    from scipy.stats import sem, t

    xs, ys = (np.concatenate(columns) for columns in zip(*curves))
    x, here = np.unique(xs), np.isfinite(ys)
    points = [ys[here & (xs == a)] for a in x]
    mean = [p.mean() if len(p) else np.nan for p in points]
    half = [sem(p) * t.ppf(0.975, len(p) - 1) if len(p) > 1 else np.nan for p in points]
    return x, np.array(mean), np.array(half), np.array([len(p) for p in points])


def lonely(there):
    """Which points have no neighbour, so that no line shows them.  there (P,) of bool -> indices"""
    beside = np.pad(there, 1)
    return np.flatnonzero(there & ~beside[:-2] & ~beside[2:])


def read_rows(path):
    """The rows of a CSV file; one that is cut, because the file is being copied, is not there.  -> [{column: text}]"""
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as f:
        return [row for row in csv.DictReader(f) if None not in row and None not in row.values()]


def read_run(folder):
    """What a run directory has for a plot; runs with the same key differ in nothing but the seed.  Or UsageError

    -> key (label, name of x, folder beside its other seeds, numbers), seed, x (iterations,), real return (iterations,)
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        x, y = ("real_steps", "sampled_return") if config["mode"] == "online" else ("updates", "real_return")
        place = folder.resolve().parent
        label = f"{config['env']}, {config['mode']}, {place.name}"
        key, seed = (label, x, os.path.relpath(place), json.dumps(experiment(config))), config["seed"]
        if not (rows := read_rows(folder / "progress.csv") if (folder / "progress.csv").exists() else []):
            raise UsageError(f"{folder}: it has no iteration yet")
        curve = ([float(row[x]), float(row.get(y) or "nan")] for row in rows)
        return key, seed, *np.array(list(curve)).T
    except OSError as e:
        raise UsageError(f"{folder}: not the directory of a run ({e.filename}: {e.strerror})") from e
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error) as e:
        raise UsageError(f"{folder}: not the directory of a run ({type(e).__name__}: {e})") from e


def figure(**options):
    """A figure in the project's style; without pyplot, it needs no screen and need not be closed.  -> Figure"""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"font.size": 11, "axes.grid": True, "grid.alpha": 0.25, "lines.linewidth": 2}
    style |= {"legend.edgecolor": "none", "legend.framealpha": 0.85}  # lines shine through a legend, faintly
    matplotlib.rcParams.update(style | {"axes.spines.top": False, "axes.spines.right": False})
    return Figure(layout="constrained", **options)


def save_figure(fig, path):
    """Write a picture whole or not at all."""
    from matplotlib.text import Text

    envs.make_folder(path.parent)
    for text in fig.findobj(Text):  # names of files may hold bytes that no letter has
        text.set_text(text.get_text().encode(errors="replace").decode())
    try:
        envs.write_whole(path, lambda f: fig.savefig(f, dpi=130, format=path.suffix[1:] or "png"))
    except ValueError as e:  # a format that matplotlib does not know
        raise UsageError(f"cannot write {path}: {e}") from e


def plot_run(path, cfg, history):
    """curves.png: imagined against real return over updates, with data and clone; model loss; trust region."""
    rows, fig = history["rows"], figure(figsize=(11, 5.6))
    x, kl = ([r.get(k, np.nan) for r in rows] for k in ("updates", "kl"))
    grid = fig.add_gridspec(2, 2, width_ratios=(2, 1))
    ax, models, steps = fig.add_subplot(grid[:, 0]), fig.add_subplot(grid[0, 1]), fig.add_subplot(grid[1, 1])
    for name, color, style, place in (("real", "C0", "-", "simulator"), ("imagined", "C1", "--", "models")):
        mean, std = (np.array([r[f"{name}_return{end}"] for r in rows]) for end in ("", "_std"))
        ax.plot(x, mean, style, color=color, marker="o", ms=4, label=f"{name}: in the {place}")
        ax.fill_between(x, mean - std, mean + std, color=color, alpha=0.15, lw=0)
    plot_levels(ax, cfg, history)
    ax.set(xlabel="TRPO updates", ylabel="return per episode (mean ± std)")
    ax.set_title(f"BREMEN {cfg.mode}: {cfg.env}, seed {cfg.seed}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize=9)  # below: bands are everywhere
    for i, model in enumerate(history["models"]):
        curve, color = np.array(model["model_curve"]), f"C{i}" if cfg.mode == "recursive" else None
        lines = models.plot(range(1, len(curve) + 1), curve, lw=1.2, color=color, marker="o" if len(curve) == 1 else "")
        lines[0].set_label(f"deployment {i + 1}")
    if cfg.mode == "recursive":
        models.legend(frameon=False, fontsize=8, ncols=2)
    models.set(xlabel="epoch", ylabel="validation loss", yscale="log", title=f"the {cfg.members} dynamics models")
    models.xaxis.get_major_locator().set_params(integer=True)
    steps.plot(x, kl, color="C3", marker="o", ms=3)
    steps.axhline(cfg.target_kl, color="0.35", ls=":", label="trust region")
    steps.set(xlabel="TRPO updates", ylabel="KL [nats]", title="size of one update", ylim=(0, 1.15 * cfg.target_kl))
    steps.legend(frameon=False, loc="lower right")
    save_figure(fig, path)


def plot_paths(path, cfg, state, paths):
    """model.png: one real trajectory and what each member makes of it, for a few coordinates; the error over time."""
    shown, dt = envs.TASKS[cfg.env].shown, envs.TASKS[cfg.env].dt
    fig = figure(figsize=(11, 6))
    axes = fig.subplots(2, 2)
    seconds = dt * np.arange(1, 1 + len(paths["real"]))
    for ax, (i, label) in zip(axes.flat, shown):  # the first 100 steps: later, gaits are out of phase in any case
        fan = ax.plot(seconds[:100], paths["imagined"][:, :100, 0, i].T, color="C1", alpha=0.6, lw=1)
        fan[0].set_label(f"imagined, each of {cfg.members} members")
        ax.plot(seconds[:100], paths["real"][:100, 0, i], color="C0", label="real")
        ax.set(xlabel="time [s]", ylabel=label)
    axes.flat[0].legend(frameon=False)
    axes.flat[3].plot(seconds, paths["error"], color="C3")
    axes.flat[3].set(xlabel="time [s]", ylabel="distance [std]", title="mean over paths and members, whole horizon")
    fig.suptitle(f"{cfg.env}, update {state.updates}: the same first state, the same action noise")
    save_figure(fig, path)


def plot_dataset(path, name, data, returns):
    """What episodes return, and in which range each coordinate of observation and action lies."""
    fig = figure(figsize=(11, 5))
    grid = fig.add_gridspec(1, 3, width_ratios=(2, 2 + data.obs.shape[1] / 6, 1 + data.act.shape[1] / 6))
    hist, *axes = (fig.add_subplot(cell) for cell in grid)
    hist.hist(returns, bins=50)
    hist.set(xlabel="return per episode", ylabel="episodes")
    hist.set_title(name, parse_math=False)  # a name may hold dollars
    hist.yaxis.get_major_locator().set_params(integer=True)
    for ax, x, title in zip(axes, (data.obs, data.act), ("observations", "actions")):
        names = ("whislo", "q1", "med", "q3", "whishi")
        marks = [dict(zip(names, map(float, column))) for column in np.percentile(x, (0, 5, 50, 95, 100), axis=0).T]
        ax.bxp(marks, positions=range(x.shape[1]), showfliers=False)
        ax.set(xlabel="coordinate", title=title)
    axes[0].set(yscale="symlog", ylabel="value")
    fig.supxlabel("lines: the whole range; boxes: the middle 90 %; orange: the median", fontsize=9)
    save_figure(fig, path)


def plot_levels(ax, cfg, history):
    """Horizontal lines for what the policy is measured against, one piece per deployment."""
    if "policy" in history:
        ax.axhline(history["policy"][0], color="C4", ls=":", label=f"behaviour policy: {history['policy'][0]:,.0f}")
    for i, batch in enumerate(history["batches"]):
        span = cfg.updates_by(i), cfg.updates_by(i + 1)
        first = next((row for row in history["rows"] if row["deployment"] == i + 1), None)
        levels = [("dataset" if cfg.mode == "offline" else "data of the deployment", batch["mean"], "0.35", ":")]
        levels += [("clone" if cfg.bc_init else "start", first and first["real_return"], "C2", "-.")]
        for name, value, color, style in levels:
            if value is not None:
                label = f"{name}: {value:,.0f}" if cfg.mode == "offline" else name if i == 0 else None
                ax.plot(span, (value, value), color=color, ls=style, label=label)
        if i > 0:
            ax.axvline(span[0], color="0.85", lw=1, zorder=0)


# --- entry ----------------------------------------------------------------------------------------------------------


# Flags that only some modes look at: with another one they are refused.  Those for all modes are not here.
ONLY = {
    "offline": "data models",
    "recursive": "deployments deployed_steps all_bc interval",
    "online": "online_steps online_envs online_horizon",
    "video": "video_dir video_format",
    "plot": "runs",
    "collect": "describe",
    "collect plot": "out",
    "offline collect": "data_dir",
    "offline collect evaluate video": "policy",
    "offline recursive evaluate": "eval_episodes",
    "offline recursive collect": "n_train noise",
    "offline recursive": "members model_hidden model_lr model_lr_last model_batch model_epochs model_steps "
    "model_patience validation clone_lr clone_batch clone_steps bc_init iterations imagined_steps horizon start "
    "clip_states member_per alpha pretrain_value eval_interval_episodes eval_model",
    "offline recursive online": "gradients policy_hidden std density_std learn_std iteration_updates target_kl gamma "
    "lam cg_iters cg_damping fisher_rows backtrack max_backtracks accept_ratio value value_hidden value_epochs "
    "value_batch value_lr keep_policies tensorboard exp_name sub_exp_name log_dir",
}


def runs(opts):
    """What the command line asks for, one Config per seed.  -> list; or UsageError"""
    if "restart_iter" in opts:
        raise UsageError("--restart_iter: a run always goes on from its last checkpoint, with --resume DIR alone")
    if "resume" in opts:
        folder = Path(opts["resume"])
        if given := [name for name in opts if name not in ("resume", "data")]:
            raise UsageError(f"--resume goes on with the run as it was: leave --{given[0]} away")
        if not (folder / "config.json").exists():
            raise UsageError(f"--resume {folder}: not the directory of a run, there is no config.json in it")
    base = read_config(opts, folder / "config.json" if "resume" in opts else opts.get("param_path"))
    if "resume" in opts and base.mode not in ("offline", "recursive"):
        raise UsageError(f"--resume {folder}: only --mode offline and recursive can be resumed")
    seeds = opts.get("random_seeds", [base.seed])
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--random_seeds {' '.join(map(str, seeds))}: different numbers of at least 0, please")
    configs = [replace(base, seed=seed) for seed in seeds]
    if base.tensorboard and not importlib.util.find_spec("tensorboardX"):
        raise UsageError("--tensorboard needs the extra: pip install -e '.[tensorboard]'")
    for modes, flags in ONLY.items():
        if base.mode not in modes.split() and (idle := [name for name in flags.split() if name in opts]):
            raise UsageError(f"--{idle[0]}: only with --mode {' or '.join(modes.split())}")
    if "models" in opts and not Path(opts["models"]).is_dir():
        raise UsageError(f"--models {opts['models']}: no such folder")
    check_packages(base)
    if base.mode in ("offline", "recursive", "online") and "resume" not in opts:
        for cfg in configs:
            check_new(run_folder(cfg, opts))
    return configs


def plain_streams():
    """Let stdout and stderr show "?" for letters that their encoding lacks: a ± or a name of a file ends no run."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")  # None: closed by whoever started us
        setattr(sys, name, stream)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def orderly():
    """For a whole program: SIGTERM, SIGHUP and output that nobody reads end it by a KeyboardInterrupt, as Ctrl-C does,
    with the number of the signal; what it has said is out at the end.  Yields nothing"""

    def stop(number, frame):
        raise KeyboardInterrupt(number)

    plain_streams()
    mine = threading.current_thread() is threading.main_thread()  # no other may set a handler
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if mine and hasattr(signal, name)]
    taken = [n for n in numbers if signal.getsignal(n) == signal.SIG_DFL]  # under nohup SIGHUP is ignored
    for n in taken:
        signal.signal(n, stop)
    try:
        yield
    except BrokenPipeError as e:
        raise KeyboardInterrupt(13) from e  # SIGPIPE
    finally:
        for n in taken:
            signal.signal(n, signal.SIG_DFL)
        try:
            sys.stdout.flush()
        except OSError as e:  # Python itself would try once more, and print a traceback
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(e, BrokenPipeError):
                raise


def guarded(program, work, interrupted="interrupted"):
    """work(), the body of a program in examples/.  -> its exit status; after one line of `program` 1 for training that
    diverged, 2 for what cannot be used, 128 + the number of a signal: 130 for Ctrl-C, 143 for SIGTERM"""
    try:
        with orderly():
            return work()
    except FloatingPointError as e:
        status, text = 1, str(e)
    except (UsageError, envs.DataError, ImportError) as e:
        status, text = 2, str(e)
    except OSError as e:
        status, text = 2, f"{e}{interrupted.removeprefix('interrupted')}"
    except KeyboardInterrupt as e:
        status, text = 128 + next(iter(e.args), signal.SIGINT), interrupted
    return complain(program, status, text)


def complain(program, status, text):
    """One line on stderr.  -> the status"""
    print(f"{program}:", *text.split(), file=sys.stderr)
    return status


def main(argv=None):
    """Run the command line.  -> exit status: 0; 1 training diverged; 2 input that cannot be used; 128 + a signal"""
    opts, cfg = {}, None
    warnings.simplefilter("ignore", RuntimeWarning)  # what is not finite is reported once, in words
    try:
        with orderly():
            opts, status = vars(parser().parse_args(argv)), 0
            for cfg in runs(opts):
                try:
                    with HELD:
                        globals()[f"run_{cfg.mode}"](cfg, opts)
                except FloatingPointError as e:  # another seed may do better
                    way = "the same would happen again, so change a number and --exp_name"
                    text = f"training stopped: {e}; {run_folder(cfg, opts)} holds what there was; {way}"
                    status = complain("run.py", 1, text)
            return status
    except (UsageError, envs.DataError) as e:
        status, text = 2, str(e)
    except ImportError as e:
        status, text = 2, f"{e.__cause__ or e}{MEND}"
    except OSError as e:  # reading is checked where it happens
        status, text = 2, f"cannot write: {e}; {way_on(cfg, opts)}"
    except KeyboardInterrupt as e:
        status, text = 128 + next(iter(e.args), signal.SIGINT), f"interrupted; {way_on(cfg, opts)}"
    return complain("run.py", status, text)


if __name__ == "__main__":
    sys.exit(main())
