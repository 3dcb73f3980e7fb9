"""The command line: files, progress bars, plots and videos around bremen.py.  `python run.py --help`"""

import argparse
import csv
import inspect
import io
import json
import os
import platform
import re
import sys
import time
import warnings
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm import tqdm

import bremen
import envs
import nets
import trpo

HERE = Path(__file__).resolve().parent
# Names that the original program gave to what has a clearer name here.
ORIGINAL_FLAGS = {
    "ensemble_model_count": "members",
    "gaussian": "std",
    "max_path_length": "horizon",
    "onpol_iters": "iterations",
    "trpo_batch_size": "imagined_steps",
}


class UsageError(Exception):
    """Something the user can mend; the message says in one line what and how."""


# --- command line ---------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message):
        raise UsageError(f"{message} (see --help)")


def field_help():
    """The comment beside each field of bremen.Config is its help text.  -> {name: text}"""
    return dict(re.findall(r"^    (\w+): [^#\n]+  # (.+)$", inspect.getsource(bremen.Config), re.M))


def parser():
    """One flag per field of bremen.Config, the original's names for some of them, and what concerns files only."""
    p = Parser(
        prog="run.py",
        usage="python run.py --env ENV --mode MODE [flags]",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=118),
        description="BREMEN: model-based offline reinforcement learning (arXiv:2006.03647).",
        epilog="Flags that are given override the preset, wherever they stand on the line.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    files = p.add_argument_group("runs and files")
    files.add_argument("--random_seeds", type=int, nargs="+", metavar="N", help="several seeds, one run after another")
    files.add_argument("--exp_name", help="name of the run (bremen)")
    files.add_argument("--sub_exp_name", help="name of the group of runs (the mode)")
    files.add_argument("--log_dir", help="where runs are kept (log)")
    files.add_argument("--data_dir", help="where collected datasets are kept (data)")
    files.add_argument("--param_path", metavar="FILE", help="start from the values in a config.json of an earlier run")
    files.add_argument("--resume", metavar="DIR", help="go on with an interrupted offline run; no other flag needed")
    files.add_argument("--policy", metavar="FILE", help="policy.npz to collect with, evaluate or film")
    files.add_argument("--out", metavar="FILE", help="collect: the dataset to write; plot: the picture to write")
    files.add_argument("--video_dir", metavar="DIR", help="video: where to put it (videos)")
    files.add_argument("--video_format", choices=("gif", "mp4"), help="video: gif, or mp4 with the extra `video`")
    files.add_argument("--runs", nargs="+", metavar="DIR", help="plot: run directories")
    numbers = p.add_argument_group("numbers of the run (defaults: preset classroom, which differs per environment)")
    old = {new: f"--{name}" for name, new in ORIGINAL_FLAGS.items()}
    texts = field_help()
    for f in fields(bremen.Config):
        names = [f"--{f.name}", *([old[f.name]] if f.name in old else [])]
        shown = " ".join(map(str, f.default)) if isinstance(f.default, tuple) else f.default
        options = {"dest": f.name, "help": f"{texts[f.name]} [{shown}]".replace("%", "%%")}
        if isinstance(f.default, bool):
            options["action"] = argparse.BooleanOptionalAction
        elif isinstance(f.default, tuple):
            options |= {"type": int, "nargs": "+", "metavar": "N"}
        else:
            choices = ",".join(bremen.CHOICES.get(f.name, ()))
            options |= {
                "type": type(f.default),
                "metavar": f"{{{choices}}}" if choices else type(f.default).__name__.upper(),
            }
        numbers.add_argument(*names, **options)
    starts = numbers.add_mutually_exclusive_group()
    starts.add_argument("--use_s_t", dest="start", action="store_const", const="dataset", help="as --start dataset")
    starts.add_argument("--use_s_0", dest="start", action="store_const", const="initial", help="as --start initial")
    return p


def read_json(path):
    """The fields of bremen.Config in the JSON file `path`.  -> {name: value}; or UsageError"""
    try:
        stored = json.loads(Path(path).read_text())
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}") from e
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{path}: not JSON ({e})") from e
    if not isinstance(stored, dict):
        raise UsageError(f"{path}: not a JSON object {{name: value}}")
    unknown = stored.keys() - {f.name for f in fields(bremen.Config)}
    if unknown:
        raise UsageError(f"{path}: unknown {', '.join(sorted(unknown))}")
    return stored


def read_config(given, path=None):
    """Config from preset, then the JSON file `path`, then the flags `given` (a dict).  -> Config; or UsageError"""
    names = {f.name for f in fields(bremen.Config)}
    stored = read_json(path) if path else {}
    chosen = {**stored, **{k: v for k, v in given.items() if k in names}}
    chosen = {k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}
    try:
        first = bremen.Config(**{k: chosen[k] for k in ("mode", "env", "preset") if k in chosen})
        return replace(first, **{**bremen.preset(first), **chosen})
    except ValueError as e:
        raise UsageError(f"{path}: {e}" if path else str(e)) from e


def command(cfg):
    """The shortest command line with these numbers, wherever its files were."""
    plain = read_config({"mode": cfg.mode, "env": cfg.env})
    changed = {f.name: getattr(cfg, f.name) for f in fields(cfg) if getattr(cfg, f.name) != getattr(plain, f.name)}
    flags = {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in changed.items()}
    words = (f" --{'' if v else 'no-'}{k}" if isinstance(v, bool) else f" --{k} {v}" for k, v in flags.items())
    return f"python run.py --mode {cfg.mode} --env {cfg.env}" + "".join(words)


# --- files ----------------------------------------------------------------------------------------------------------


def versions():
    """Versions of what decides the numbers of a run.  -> dict"""
    packages = {p: version(p) for p in ("numpy", "numba", "scipy", "gymnasium", "mujoco", "autograd")}
    return {"python": platform.python_version(), **packages}


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
        norm = nets.Normalizer(*(arrays[f"norm_{k}"] for k in ("mean", "std")), float(arrays["norm_count"]))
        theta = arrays["theta"]
        right = (sizes[0], sizes[-1]) == (task.obs_dim, task.act_dim) and norm.mean.shape == norm.std.shape
        right &= norm.mean.shape == (task.obs_dim,) and theta.shape == (nets.n_params(sizes) + task.act_dim,)
        right &= bool(all(np.isfinite(x).all() for x in (theta, norm.mean, norm.std)))
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise envs.DataError(f"{path}: not a policy file ({type(e).__name__}: {e})") from e
    if not right:
        raise envs.DataError(f"{path}: the shapes or numbers in it are not those of a policy of {task.name}")
    return nets.Policy(theta.astype(np.float32), norm, (sizes, task.act_limit)), meta


def save_checkpoint(path, cfg, state, history):
    """The whole state of an offline run and what it has reported so far, in one .npz."""
    d, c = state.dynamics, state.critic
    norms = {"norm": state.norm, "inputs": d.inputs, "delta": d.delta}
    arrays = {f"{name}_{k}": v for name, norm in norms.items() for k, v in norm._asdict().items()}
    arrays |= {"phi": d.phi, "lowest": d.lowest, "highest": d.highest}
    if state.theta is not None:
        arrays |= {"beta": state.beta, "theta": state.theta, "psi": c.psi}
        arrays |= {} if c.moments is None else c.moments._asdict()
    rng = {name: r.bit_generator.state for name, r in state.rng.items()}
    meta = {"config": asdict(cfg), "updates": state.updates, "rng": rng, "history": history}
    envs.write_npz(path, **arrays, meta=json.dumps(meta))


def load_checkpoint(path, cfg):
    """The checkpoint of a run with exactly this Config.  -> bremen.State, history; or envs.DataError"""
    a = envs.read_npz(path)
    meta = envs.read_meta(path, a)
    if meta.get("config") != json.loads(json.dumps(asdict(cfg))):
        raise envs.DataError(f"{path}: not a checkpoint of the run that config.json beside it describes")
    try:
        rng = {name: np.random.default_rng() for name in bremen.STREAMS}
        for name, r in rng.items():
            r.bit_generator.state = meta["rng"][name]
        norm, inputs, delta = (
            nets.Normalizer(a[f"{k}_mean"], a[f"{k}_std"], float(a[f"{k}_count"])) for k in ("norm", "inputs", "delta")
        )
        dynamics = bremen.Dynamics(a["phi"], inputs, delta, a["lowest"], a["highest"])
        state = bremen.State(rng, norm, dynamics, updates=meta["updates"])
        if "theta" in a:
            moments = nets.Adam(a["m"], a["v"], int(a["t"])) if "m" in a else None
            state = state._replace(beta=a["beta"], theta=a["theta"], critic=trpo.Critic(a["psi"], moments))
        return state, meta["history"]
    except (KeyError, TypeError, ValueError) as e:
        raise envs.DataError(f"{path}: not a checkpoint ({type(e).__name__}: {e})") from e


def write_bytes(path, content):
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        if temporary.exists():
            temporary.unlink()
        raise


def write_csv(path, rows):
    """A line per row (a dict); the columns are those of all rows, in the order in which they first appear."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(k for row in rows for k in row)), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def run_folder(cfg, opts):
    """log/<env>/<sub_exp_name>/<exp_name>/<exp_name><seed>/, or the one to resume.  -> Path"""
    if "resume" in opts:
        return Path(opts["resume"])
    name = opts.get("exp_name", "bremen")
    return Path(opts.get("log_dir", "log"), cfg.env, opts.get("sub_exp_name", cfg.mode), name, f"{name}{cfg.seed}")


def check_new(folder, cfg):
    """UsageError where a run cannot begin: its directory exists, or cannot be made."""
    if folder.exists():
        resume = f"go on with --resume {folder}, or " if (folder / "checkpoint.npz").exists() else ""
        raise UsageError(f"{folder} exists: {resume}choose another --exp_name")
    ground = next(p for p in folder.parents if p.exists())
    if not ground.is_dir() or not os.access(ground, os.W_OK):
        raise UsageError(f"cannot write to {folder}: {ground} is not a folder that can be written to")


def new_run(cfg, opts):
    """Make the run's directory and its config.json.  -> Path; or UsageError"""
    folder = run_folder(cfg, opts)
    check_new(folder, cfg)
    try:
        folder.mkdir(parents=True)
        write_bytes(folder / "config.json", (json.dumps(asdict(cfg), indent=1) + "\n").encode())
    except OSError as e:
        raise UsageError(f"cannot write to {folder}: {e.strerror}") from e
    return folder


def way_on(folder):
    """What to do with a run that stopped early."""
    if (folder / "checkpoint.npz").exists():
        return f"its last checkpoint is kept, go on with: python run.py --resume {folder}"
    return f"{folder} holds no checkpoint yet" if folder.exists() else "nothing was written"


# --- progress -------------------------------------------------------------------------------------------------------


class Progress:
    """Progress bars, one per stage (none where there is no terminal), and the wall clock of every part."""

    TEXT = {
        "collect": ("collecting transitions", "row", None),
        "model": ("fitting the models", "epoch", "loss"),
        "clone": ("cloning the behaviour", "step", "loss"),
        "update": ("imagining and improving", "update", "imagined_reward"),
        "online": ("TRPO on the simulator", "step", "sampled_return"),
    }

    def __init__(self):
        self.bar, self.stage, self.seconds = None, None, {}

    def __call__(self, record):
        """Show a record {"stage", "done", "total", and the number that TEXT names}."""
        text, unit, number = self.TEXT[record["stage"]]
        if record["stage"] != self.stage:
            self.close()
            self.stage = record["stage"]
            first = record["done"] - 1 if unit in ("update", "epoch") else 0  # a resumed run does not start at 0
            self.bar = tqdm(total=record["total"], initial=first, desc=text, unit=unit, disable=None, leave=False)
        if number:
            self.bar.set_postfix({number: f"{record[number]:.4g}"}, refresh=False)
        self.bar.update(record["done"] - self.bar.n)

    def close(self):
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
        self.bar, self.stage = None, None

    def timed(self, name, f):
        """f, with the seconds spent in it added up under `name`."""

        def g(*args, **kwargs):
            began = time.perf_counter()
            try:
                return f(*args, **kwargs)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

        return g

    def lap(self):
        """Seconds per stage since the last call.  -> {"<stage>_seconds": s}"""
        laps = {f"{name}_seconds": round(s, 3) for name, s in self.seconds.items()}
        self.seconds = {}
        return laps


def say(text=""):
    """Print a line above the progress bar."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


# --- modes ----------------------------------------------------------------------------------------------------------


def default_dataset(cfg, opts):
    """Where the dataset of these settings is kept."""
    if cfg.noise == "pure" and "policy" in opts:  # never to be mistaken for the shipped policy's
        raise UsageError("--policy makes a dataset of its own: --mode collect --out FILE, then --data FILE")
    return Path(opts.get("data_dir", "data")) / cfg.env / f"{cfg.noise}_{cfg.n_train}_seed{cfg.seed}.npz"


def make_dataset(cfg, opts, path):
    """Collect n_train transitions of the behaviour policy (or of uniform random actions) into `path`."""
    task, progress, source, act = envs.TASKS[cfg.env], Progress(), "uniform random", envs.TASKS[cfg.env].random_action
    if cfg.noise == "pure":
        source = Path(opts.get("policy", HERE / "examples" / "behavior" / f"{cfg.env}.npz"))
        if "policy" not in opts and not source.exists():
            raise UsageError(f"no behaviour policy of {cfg.env} comes along: take --policy FILE or --noise random")
        act = load_policy(source, task)[0].sample
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # better to find out now than after collecting
        path.unlink()
    except OSError as e:
        raise UsageError(f"cannot write {path}: {e.strerror}") from e
    show = lambda rows: progress({"stage": "collect", "done": rows, "total": cfg.n_train})
    threads, rng = nets.use_threads(cfg.threads), bremen.streams(cfg.seed)["collect"]
    batch = envs.collect(task, act, cfg.n_train, rng, threads=threads, report=show)
    progress.close()
    returns = summary(envs.episode_returns(batch)[0])
    meta = {"env": cfg.env, "noise": cfg.noise, "policy": Path(source).name, "seed": cfg.seed, "versions": versions()}
    envs.save_dataset(path, batch, meta | {"return_mean": returns["mean"], "return_std": returns["std"]})


def get_dataset(cfg, opts, path):
    """The dataset of an offline run; the default one is collected when it is not there yet.  -> Batch"""
    if not cfg.data and not path.exists():
        say(f"collecting {cfg.n_train:,} transitions -> {path}")
        make_dataset(cfg, opts, path)
    data, _ = envs.load_dataset(path, envs.TASKS[cfg.env])
    n = min(len(data.rew), cfg.n_train)
    if n < 2 or round(cfg.validation * n) >= n:
        raise UsageError(f"{path}: {n} transitions, --validation {cfg.validation}: none are left to train on")
    return envs.Batch(*(column[: cfg.n_train] for column in data))


def run_offline(cfg, opts):
    """--mode offline: train, evaluate after each iteration, leave a run directory with a picture."""
    folder = Path(opts["resume"]) if "resume" in opts else None
    state, history = load_checkpoint(folder / "checkpoint.npz", cfg) if folder else (None, {"rows": []})
    path = history.setdefault("data", cfg.data or str(default_dataset(cfg, opts)))
    folder = folder or new_run(cfg, opts)
    try:
        data = get_dataset(cfg, opts, Path(path))
    except BaseException:
        if state is None:  # nothing has happened: leave nothing behind
            (folder / "config.json").unlink()
            os.removedirs(folder)
        raise
    history["dataset"] = summary(envs.episode_returns(data)[0])
    say(f"BREMEN offline: {cfg.env}, preset {cfg.preset}, seed {cfg.seed} -> {folder}")
    say(f"dataset: {len(data.rew):,} transitions, return {history['dataset']['text']}")
    progress, recent = Progress(), []
    parts = dict(
        fit=bremen.fit_dynamics, clone=bremen.clone_behavior, imagine=bremen.imagine_paths, improve=trpo.improve
    )
    parts = {name: progress.timed(name, f) for name, f in parts.items()}
    for record in bremen.train_offline(cfg, data, state, **parts, report=progress):
        stage, state = record.pop("stage"), record.pop("state")
        recent.append(record)
        if stage == "model":
            history["model"], recent = record, []
            say(f"{cfg.members} models: validation loss {record['model_loss']:.4f}")
        elif stage == "update":
            progress(record | {"stage": stage, "done": state.updates, "total": cfg.iterations * cfg.interval})
        if stage == "clone" or (stage == "update" and state.updates % cfg.interval == 0):
            history["rows"].append(iteration_row(cfg, data, state, recent, history, progress))
            recent = []
            say(row_text(history["rows"][-1]))
            write_results(folder, cfg, state, history)
        if not recent:
            save_checkpoint(folder / "checkpoint.npz", cfg, state, history)
    progress.close()
    closing_table(cfg, history, folder)


def iteration_row(cfg, data, state, records, history, progress):
    """A row of progress.csv: the policy's return in the simulator and in the ensemble, means of `records`, timings."""
    task, rng, rows = envs.TASKS[cfg.env], state.rng["evaluate"], history["rows"]
    policy = nets.Policy(state.theta, state.norm, bremen.policy_net(cfg))
    ends = state.updates in (0, cfg.iterations * cfg.interval)  # these two stand in the closing table
    episodes = cfg.eval_episodes if ends else cfg.eval_interval_episodes
    real, steps = progress.timed("evaluate", envs.evaluate)(task, policy.mean, episodes, rng, nets.workers())
    starts = data.obs[data.episode_starts()]
    dreamt = progress.timed("evaluate", bremen.imagined_returns)(state, starts, cfg, rng)
    row = {"iteration": len(rows), "updates": state.updates, "real_return": real.mean(), "real_return_std": real.std()}
    row |= {"real_length": steps.mean(), "imagined_return": dreamt.mean(), "imagined_return_std": dreamt.std()}
    row |= {k: np.mean([r[k] for r in records]) for k in records[0]} | {"model_loss": history["model"]["model_loss"]}
    row |= {"evaluation_steps": steps.sum() + (rows[-1]["evaluation_steps"] if rows else 0)} | progress.lap()
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}


def write_results(folder, cfg, state, history):
    """The files of a run that a person looks at, as they stand now."""
    write_csv(folder / "progress.csv", history["rows"])
    last = {k: history["rows"][-1][k] for k in ("updates", "real_return", "real_return_std")}
    policy = nets.Policy(state.theta, state.norm, bremen.policy_net(cfg))
    save_policy(folder / "policy.npz", policy, cfg, mode=cfg.mode, seed=cfg.seed, **last)
    plot_offline(folder / "curves.png", cfg, history)


def summary(returns):
    """Mean, standard deviation, and both as text, of the returns of episodes (E,).  -> dict"""
    if len(returns) == 0:
        return {"mean": None, "std": None, "text": "unknown (no complete episode)"}
    mean, std = float(np.mean(returns)), float(np.std(returns))
    return {"mean": mean, "std": std, "text": f"{mean:,.0f} ± {std:,.0f} over {len(returns)} episodes"}


def row_text(row):
    """One line about an iteration."""
    text = f"update {row['updates']:4d}: real return {row['real_return']:7,.0f} ± {row['real_return_std']:5,.0f}"
    text += f", imagined {row['imagined_return']:7,.0f} ± {row['imagined_return_std']:5,.0f}"
    return text + (f", KL {row['kl']:.1e}" if "kl" in row else "  (before the first update)")


def closing_table(cfg, history, folder):
    """What the run was for: dataset, clone and BREMEN side by side."""
    first, last = history["rows"][0], history["rows"][-1]
    say(f"\n{'':22}{'real return':>16}{'imagined return':>18}")
    d = history["dataset"]
    say(f"{'dataset':22}" + (f"{d['mean']:8,.0f} ± {d['std']:5,.0f}" if d["mean"] is not None else "unknown"))
    for name, row in (("clone" if cfg.bc_init else "random start", first), ("BREMEN, last policy", last)):
        cells = (f"{row[k]:8,.0f} ± {row[k + '_std']:5,.0f}" for k in ("real_return", "imagined_return"))
        say(f"{name:22}" + "  ".join(cells))
    say(f"({cfg.eval_episodes} episodes each; evaluation took {last['evaluation_steps']:,} real steps, training none)")
    seconds = {}
    for k, v in (item for row in history["rows"] for item in row.items()):
        if k.endswith("_seconds"):
            seconds[k.removesuffix("_seconds")] = seconds.get(k.removesuffix("_seconds"), 0) + v
    say("wall time: " + ", ".join(f"{k} {v:.0f} s" for k, v in seconds.items()))
    say(f"look at {folder / 'curves.png'}")


def run_online(cfg, opts):
    """--mode online: TRPO on the simulator; leaves a run directory like --mode offline."""
    folder, progress, rows, recent = new_run(cfg, opts), Progress(), [], []
    say(f"TRPO on the simulator: {cfg.env}, preset {cfg.preset}, seed {cfg.seed} -> {folder}")
    for record in bremen.train_online(cfg, sample=progress.timed("sample", trpo.sample_paths)):
        record.pop("stage")
        state = record.pop("state")
        recent.append(record)
        progress(record | {"stage": "online", "done": min(state.steps, cfg.online_steps), "total": cfg.online_steps})
        if state.updates % cfg.interval == 0 or state.steps >= cfg.online_steps:
            row = {k: [r[k] for r in recent if np.isfinite(r[k])] for k in record}
            row = {k: float(np.mean(v)) if v else "" for k, v in row.items()}
            rows.append({"updates": state.updates} | row | {"real_steps": state.steps} | progress.lap())
            recent, policy = [], nets.Policy(state.theta, state.norm, bremen.policy_net(cfg))
            write_csv(folder / "progress.csv", rows)
            save_policy(folder / "policy.npz", policy, cfg, mode=cfg.mode, seed=cfg.seed, real_steps=state.steps)
            ended = f"{row['sampled_return']:8,.0f}" if row["sampled_return"] != "" else "(no episode has ended)"
            say(f"{state.steps:10,} steps: return {ended}, KL {row['kl']:.1e}")
    progress.close()
    plot_runs([folder], folder / "curves.png")
    task, rng = envs.TASKS[cfg.env], state.rng["evaluate"]
    returns = summary(envs.evaluate(task, policy.sample, 100, rng, nets.workers())[0])
    about = dict(
        command=command(cfg),
        real_steps=state.steps,
        return_mean=returns["mean"],
        return_std=returns["std"],
    )
    save_policy(folder / "policy.npz", policy, cfg, mode=cfg.mode, seed=cfg.seed, episodes=100, **about)
    say(f"last policy with its noise: return {returns['text']}\nuse it with --policy {folder / 'policy.npz'}")


def run_collect(cfg, opts):
    """--mode collect: write a dataset."""
    path = Path(opts["out"]) if "out" in opts else default_dataset(cfg, opts)
    if path.exists():
        raise UsageError(f"{path} exists: name another file with --out")
    make_dataset(cfg, opts, path)
    data, _ = envs.load_dataset(path, envs.TASKS[cfg.env])
    say(f"{path}: {len(data.rew):,} transitions, return {summary(envs.episode_returns(data)[0])['text']}")


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
    policy, task, form = needed_policy(cfg, opts), envs.TASKS[cfg.env], opts.get("video_format", "gif")
    path = Path(opts.get("video_dir", "videos")) / f"{cfg.env}_seed{cfg.seed}.{form}"
    if path.exists():
        raise UsageError(f"{path} exists: choose another --video_dir or --seed")
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl")  # draws without a screen
    every = max(1, round(1 / (25 * task.dt)))  # about 25 frames per second of simulated time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"cannot write {path}: {e.strerror}") from e
    try:
        frames, steps, total = film(task, policy, every, cfg.seed)
        import imageio

        fps = 1 / (every * task.dt)
        imageio.mimsave(path, frames, **({"fps": fps} if form == "mp4" else {"duration": 1000 / fps, "loop": 0}))
    except Exception as e:  # drawing and encoding fail in as many ways as there are drivers
        hint = "mp4 needs the extra `video`; the README says what drawing needs"
        raise UsageError(f"cannot film {path}: {(str(e) or type(e).__name__).splitlines()[0]} ({hint})") from e
    say(f"{path}: {len(frames)} frames, {steps} steps, return {total:,.0f}")


def film(task, policy, every, seed):
    """One episode of the mean action.  -> frames (every `every`-th), steps, return"""
    import gymnasium

    frames, total = [], 0.0
    env = gymnasium.make(task.env_id, render_mode="rgb_array", width=400, height=304)
    obs, _ = env.reset(seed=seed)
    for t in tqdm(range(task.max_steps), desc="filming", unit="step", disable=None, leave=False):
        if t % every == 0:
            frames.append(env.render())
        obs, rew, terminated, truncated, _ = env.step(policy.mean(obs[None])[0])
        total += rew
        if terminated or truncated:
            break
    env.close()
    return frames, t + 1, total


def run_plot(cfg, opts):
    """--mode plot: curves of the run directories --runs."""
    if "runs" not in opts:
        raise UsageError("--mode plot needs --runs DIR [DIR ...]")
    path = Path(opts.get("out", "curves.png"))
    plot_runs(opts["runs"], path)
    say(f"{path}: {len(opts['runs'])} runs")


# --- plots ----------------------------------------------------------------------------------------------------------


def plot_runs(folders, path):
    """Real return of one or many runs; several of a kind become their mean with its 95 % confidence interval."""
    groups = {}
    for folder in folders:
        key, x, y = read_run(Path(folder))
        groups.setdefault(key, []).append((x, y))
    fig, ax = pyplot().subplots(figsize=(8, 5), layout="constrained")
    for (label, _), curves in groups.items():
        n = min(len(x) for x, _ in curves)
        x, ys = curves[0][0][:n], np.array([y[:n] for _, y in curves])
        (line,) = ax.plot(x, ys.mean(axis=0), label=f"{label} (n = {len(ys)})")
        if len(ys) > 1:
            from scipy.stats import sem, t

            half = sem(ys, axis=0) * t.ppf(0.975, len(ys) - 1)
            ax.fill_between(x, ys.mean(axis=0) - half, ys.mean(axis=0) + half, color=line.get_color(), alpha=0.2, lw=0)
    x_names = " / ".join(dict.fromkeys(x_name for _, x_name in groups))
    ax.set(xlabel=x_names, ylabel="return per episode" + (" (mean, 95 % CI)" if len(folders) > len(groups) else ""))
    ax.legend(frameon=False)
    save_figure(fig, path)


def read_run(folder):
    """-> (label, name of x), x (iterations,), real return (iterations,) of a run directory; or UsageError"""
    try:
        config = json.loads((folder / "config.json").read_text())
        with open(folder / "progress.csv", newline="") as f:
            rows = list(csv.DictReader(f))
        x, y = ("real_steps", "sampled_return") if config["mode"] == "online" else ("updates", "real_return")
        if not rows:
            raise ValueError("progress.csv has no rows yet")
        label = f"{config['env']}, {config['mode']}, {folder.resolve().parent.name}"
        return (label, x), *(np.array([float(r[k] or "nan") for r in rows]) for k in (x, y))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UsageError(f"{folder}: not the directory of a run ({type(e).__name__}: {e})") from e


def pyplot():
    """matplotlib without a screen, in the project's style."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style = {"font.size": 11, "axes.grid": True, "grid.alpha": 0.25, "lines.linewidth": 2}
    plt.rcParams.update(style | {"axes.spines.top": False, "axes.spines.right": False})
    return plt


def save_figure(fig, path):
    """Write a picture whole or not at all, and forget the figure."""
    picture = io.BytesIO()
    try:
        fig.savefig(picture, dpi=130, format=path.suffix[1:] or "png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, picture.getvalue())
    except (OSError, ValueError) as e:
        raise UsageError(f"cannot write {path}: {e}") from e
    finally:
        pyplot().close(fig)


def plot_offline(path, cfg, history):
    """curves.png: imagined against real return over updates, with dataset and clone; model loss; trust region."""
    rows, fig = history["rows"], pyplot().figure(figsize=(11, 5.6), layout="constrained")
    x, kl = ([r.get(k, np.nan) for r in rows] for k in ("updates", "kl"))
    grid = fig.add_gridspec(2, 2, width_ratios=(2, 1))
    ax, models, steps = fig.add_subplot(grid[:, 0]), fig.add_subplot(grid[0, 1]), fig.add_subplot(grid[1, 1])
    for name, color, style, place in (("real", "C0", "-", "simulator"), ("imagined", "C1", "--", "models")):
        mean, std = (np.array([r[f"{name}_return{end}"] for r in rows]) for end in ("", "_std"))
        ax.plot(x, mean, style, color=color, marker="o", ms=4, label=f"{name}: in the {place}")
        ax.fill_between(x, mean - std, mean + std, color=color, alpha=0.15, lw=0)
    for name, value, color, style in (
        ("dataset", history["dataset"]["mean"], "0.35", ":"),
        ("clone" if cfg.bc_init else "random start", rows[0]["real_return"], "C2", "-."),
    ):
        if value is not None:
            ax.axhline(value, color=color, ls=style, label=f"{name}: {value:,.0f}")
    ax.set(
        xlabel="TRPO updates",
        ylabel="return per episode (mean ± std)",
        title=f"BREMEN offline: {cfg.env}, seed {cfg.seed}",
    )
    ax.legend(frameon=False)
    curve = history["model"]["model_curve"]
    models.plot(range(1, len(curve) + 1), curve, lw=1.2)
    models.set(xlabel="epoch", ylabel="validation loss", yscale="log", title=f"the {cfg.members} dynamics models")
    steps.plot(x, kl, color="C3", marker="o", ms=3)
    steps.axhline(cfg.target_kl, color="0.35", ls=":", label="trust region")
    steps.set(xlabel="TRPO updates", ylabel="KL [nats]", title="size of one update", ylim=(0, 1.15 * cfg.target_kl))
    steps.legend(frameon=False, loc="lower right")
    save_figure(fig, path)


# --- entry ----------------------------------------------------------------------------------------------------------


def runs(opts):
    """What the command line asks for, one Config per seed.  -> list; or UsageError"""
    given = [name for name in ("random_seeds", "param_path", *(f.name for f in fields(bremen.Config))) if name in opts]
    if "resume" in opts and given:
        raise UsageError(f"--resume goes on with the run as it was: leave --{given[0]} away")
    base = read_config(opts, Path(opts["resume"]) / "config.json" if "resume" in opts else opts.get("param_path"))
    if "resume" in opts and base.mode != "offline":
        raise UsageError(f"--resume {opts['resume']}: only --mode offline can be resumed")
    seeds = opts.get("random_seeds", [base.seed])
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--random_seeds {' '.join(map(str, seeds))}: different numbers of at least 0, please")
    configs = [replace(base, seed=seed) for seed in seeds]
    if base.mode in ("offline", "online") and "resume" not in opts:
        for cfg in configs:
            check_new(run_folder(cfg, opts), cfg)
    return configs


def main(argv=None):
    """Run the command line.  -> exit status: 0; 1 training diverged; 2 input that cannot be used; 130 Ctrl-C"""
    folder = Path()
    warnings.simplefilter("ignore", RuntimeWarning)  # what is not finite is reported once, in words, as Diverged
    try:
        opts = vars(parser().parse_args(argv))
        for cfg in runs(opts):
            folder = run_folder(cfg, opts)
            globals()[f"run_{cfg.mode}"](cfg, opts)
        return 0
    except (UsageError, envs.DataError, OSError) as e:
        status, text = 2, str(e)
    except FloatingPointError as e:
        status, text = 1, f"training stopped: {e}; {way_on(folder)}"
    except KeyboardInterrupt:
        status, text = 130, f"interrupted; {way_on(folder)}"
    print("run.py:", *text.split(), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
