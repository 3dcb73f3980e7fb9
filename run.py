"""The command line: what a run does with bremen.py, and the files that it leaves.  `python run.py --help`

First come the flags, then the run: `run_offline` and `run_recursive` follow a generator of bremen.py in `train`, which
evaluates the policy after each iteration and prints the table at the end.  A reader of the algorithm may stop at the
ruled line: below it are the files of a run, and errors in one line.

Modes and flags that few runs need have pages in examples/, which this command line starts (PAGES).  What "the
original" does differently, and what its flags are called here: examples/original.md.
"""

import argparse
import difflib
import functools
import inspect
import json
import os
import re
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

MEND = " (is a package missing or broken?  Mend it with: pip install --force-reinstall -e .)"
try:
    import numpy as np
    from tqdm import tqdm

    import bremen
    import envs
    import nets

    if not hasattr(bremen, "train_offline"):  # a folder or file of this name that came first
        found = bremen.__file__ or list(bremen.__path__)[0]
        raise ImportError(f"run.py needs its own bremen.py, but Python finds {found}: rename that one")
    page = envs.page  # examples/NAME.py as a module
    safe_files = page("safe_files")
except (ImportError, AttributeError, OSError) as e:  # the last two: versions that do not fit, no folder examples
    print("run.py:", " ".join(str(e.__cause__ or e).split()) + MEND * ("rename" not in str(e)), file=sys.stderr)
    sys.exit(2)

if vars(sys.modules[__name__]) is not globals():  # python -m cProfile run.py: it has no module, and pages import run
    import run

    sys.exit(run.main())
sys.modules.setdefault("run", sys.modules[__name__])  # for pages, which import run
HERE = Path(__file__).resolve().parent
PLACES = "data", "data_dir"  # fields of Config that say where files are
# fields of mode online, which earlier versions wrote into the config.json of every run
ONLINE_FIELDS = {"online_steps", "online_envs", "online_horizon"}
FILE_FIELDS = *PLACES, "keep_policies", "tensorboard"  # fields that change files, and no number of a result


class UsageError(Exception):
    """An error that the user can fix; its message says in one line what is wrong and what to do."""


# --- flags and Config -----------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """argparse, with errors of one line that name the flag which was perhaps meant."""

    def error(self, message):
        """Raise a UsageError; argparse itself would print its usage and exit."""
        near, wrong = [], re.search(r"unrecognized arguments: --([^\s=]+)", message)
        if wrong:
            known = self._option_string_actions
            near = [flag for flag in known if wrong[1] in flag[2:].split("_")]  # --lr: --model_lr, --clone_lr, ...
            near = near or difflib.get_close_matches(f"--{wrong[1]}", known, 1)
        raise UsageError(message + (f"; did you mean {' or '.join(near)}?" if near else " (see --help)"))


def parser(cfg):
    """The command line of modes offline and recursive; --help shows the numbers of `cfg`.  -> Parser"""
    p = Parser(
        prog="run.py",
        usage="python run.py --env ENV --mode MODE [flags]",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=118),
        description="BREMEN: model-based offline and deployment-efficient reinforcement learning (arXiv:2006.03647).",
        epilog="Flags win over the file of --param_path, and this wins over the preset, wherever they stand on the "
        f"line.  Modes {', '.join(PAGES)} have flags of their own: add --help to --mode MODE.  The flags of the "
        "original program work, too: python examples/original.py --help",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,  # only flags that were given are in the result
    )
    files = p.add_argument_group("runs and files")
    files.add_argument("--random_seeds", type=int, nargs="+", metavar="N", help="several seeds, one run after another")
    files.add_argument("--exp_name", help="name of the run (bremen)")
    files.add_argument("--sub_exp_name", help="name of the group of runs (the mode)")
    files.add_argument("--log_dir", help="where runs are kept (log)")
    files.add_argument("--param_path", metavar="FILE", help="start from the values in a config.json of an earlier run")
    files.add_argument("--models", metavar="DIR", help="offline: take the same models from a run in or under DIR")
    files.add_argument("--resume", metavar="DIR", help="go on with a run; and --data FILE if its data moved")
    title = f"numbers of the run (in brackets: with --env {cfg.env} --mode {cfg.mode} --preset {cfg.preset})"
    numbers = p.add_argument_group(title)
    for f in fields(cfg):
        add_field(numbers, f.name, cfg)
    return p


@functools.cache
def comments(kind):
    """Read the comments beside the fields of a Config from its source: they are the help texts.  -> {field: text}"""
    source = "".join(inspect.getsource(c) for c in kind.__mro__ if issubclass(c, bremen.Config))
    return dict(re.findall(r"^    (\w+): [^#\n]+  # (.+)$", source, re.M))


def add_field(group, name, cfg):
    """Add the flag of a field of bremen.Config; its help is the comment beside the field, and its number in `cfg`."""
    value = getattr(cfg, name)
    kind = type(value)
    shown = " ".join(map(str, value)) if kind is tuple else value
    options = {"help": f"{comments(type(cfg))[name]} [{shown}]".replace("%", "%%")}
    if kind is bool:
        options["action"] = argparse.BooleanOptionalAction
    elif kind is tuple:
        options.update(type=int, nargs="+", metavar="N")
    elif name == "mode":
        options["choices"] = MODES
    elif name in bremen.CHOICES:
        options["choices"] = bremen.CHOICES[name]
    else:
        options.update(type=kind, metavar=kind.__name__.upper())
    group.add_argument(f"--{name}", **options)


def read_flags(argv, command_line=None):
    """The flags that were given.  command_line: the Parser of a page.  -> {name: value}; or UsageError

    Unknown flags may be those of the original program, and are translated first.
    """
    command_line = command_line or parser(read_config(look_ahead(argv)[0]))
    _, unknown = command_line.parse_known_args(argv)
    if unknown:
        argv = page("original").translate(argv)
    return vars(command_line.parse_args(argv))


def look_ahead(argv, names=("mode", "env", "preset")):
    """Read only the flags `names` of a command line.  -> {name: value} of those that are given, the other words"""
    p = Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in names:
        p.add_argument(f"--{name}")
    given, others = p.parse_known_args(argv)
    return vars(given), others


def mode_of(argv):
    """The mode that a command line asks for, by its flag or by the file of --param_path.  -> text; or UsageError"""
    flags, _ = look_ahead(argv, ["mode", "param_path"])
    stored = read_json(flags["param_path"]) if "param_path" in flags else {}
    mode = (stored | flags).get("mode", bremen.Config.mode)
    if mode not in MODES:
        raise UsageError(f"--mode {mode}: choose from {', '.join(MODES)}")
    return mode


def read_config(given, path=None):
    """The numbers of a run.  given: flags {name: value}; path: a JSON file of such values.  -> Config; or UsageError

    Each number comes from the first of these that has it: the flags, the file, and what bremen.configured chooses, a
    preset or the default.  Paths become absolute here, and only here: the next program may start in another folder.
    """
    stored = read_json(path) if path else {}
    kind = page("online").OnlineConfig if (stored | given).get("mode") == "online" else bremen.Config
    names = {f.name for f in fields(kind)}
    dropped = ONLINE_FIELDS - names
    stored = {name: value for name, value in stored.items() if name not in dropped}
    flags = {name: value for name, value in given.items() if name in names}
    if unknown := stored.keys() - names:
        raise UsageError(f"{path}: unknown {', '.join(sorted(unknown))}")
    preset = flags.get("preset", stored.get("preset"))
    if "preset" in stored and stored["preset"] != preset:
        raise UsageError(f"{path}: has all numbers of preset {stored['preset']}: leave --preset {preset} away")
    if "model_epochs" in flags:  # it switches model_steps off, see bremen.configured
        stored.pop("model_steps", None)
    numbers = stored | flags
    for name, value in numbers.items():
        if isinstance(value, list):  # JSON and flags have lists of widths, Config has tuples
            numbers[name] = tuple(value)
    try:
        cfg = bremen.configured(kind, **numbers)
        return replace(cfg, data=cfg.data and os.path.realpath(cfg.data), data_dir=os.path.realpath(cfg.data_dir))
    except ValueError as e:
        raise UsageError(f"{path}: {e}" if path else str(e)) from e


def read_json(path):
    """The JSON object in a file.  -> dict; or UsageError"""
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise UsageError(f"{path}: cannot be read as JSON ({e})") from e
    if not isinstance(stored, dict):
        raise UsageError(f"{path}: not a JSON object {{name: value}}")
    return stored


# --- a run: modes offline and recursive -----------------------------------------------------------------------------


def run_offline(cfg, opts):
    """--mode offline: Algorithm 2 on a fixed dataset, from nothing, a checkpoint, or the models of another run."""
    folder, state, history = page("resume").run_folder(cfg, opts), None, History()
    if "resume" in opts:
        state, history = page("resume").last_state(folder, cfg)
    data, meta, path = read_dataset(cfg, opts, history.data)  # None for a new run
    history.data = {"file": str(path), "sha256": safe_files.sha256(path)}  # the file may have moved since
    if meta["rows"]:
        history.data["rows"] = meta["rows"]
    history.batches = [summary(envs.episode_returns(data)[0]) | {"transitions": len(data.rew)}]
    for act in "policy", "mean_action":  # the behaviour policy sampled, and by its mean action: harder to beat
        if f"{act}_return" in meta:
            setattr(history, act, [float(x) for x in meta[f"{act}_return"]])
    if "resume" not in opts:  # not before there are data: a refused dataset leaves no directory
        page("resume").start_run(folder, cfg, history)
    say(f"dataset {short_path(path)}: {len(data.rew):,} transitions, return {history.batches[0]['text']}")
    for note in page("foreign_data").notes_on(data, meta, cfg, opts):
        say(f"note: {note}")
    progress = page("progress").Progress()
    if state is None and "models" in opts:
        state = page("fitted_models").fitted_models(Path(opts["models"]), cfg, history, progress)
    records = bremen.train_offline(cfg, data, state, **progress.parts(), report=progress)
    train(cfg, folder, records, history, progress, data.obs[data.episode_starts()])


def run_recursive(cfg, opts):
    """--mode recursive: Algorithm 1 from scratch."""
    folder, state, history = page("resume").run_folder(cfg, opts), None, History()
    batches, starts = [], None
    if "resume" in opts:
        state, history = page("resume").last_state(folder, cfg)
        for i in range(state.deployments if state else 0):
            batches.append(envs.load_dataset(folder / f"deployment_{i + 1}.npz", envs.TASKS[cfg.env])[0])
            starts = batches[-1].obs[batches[-1].episode_starts()]
    else:
        page("resume").start_run(folder, cfg, history)
    progress = page("progress").Progress()
    parts = progress.parts() | {"deploy": progress.timed("deploy")(bremen.collect_batch)}
    records = bremen.train_recursive(cfg, batches, state, **parts, report=progress)
    train(cfg, folder, records, history, progress, starts)


def train(cfg, folder, records, history, progress, starts=None):
    """Follow a training generator of bremen.py: progress bars, evaluations, files, and the table at the end.

    starts (R, S): where episodes of the real data began; imagined returns begin there, too.  progress.csv gets a row
    after the clone, before any update, and one after each iteration; an iteration is `iteration_updates` updates.
    """
    since_row = []  # records of what was learnt since the last row
    seconds = history.seconds | progress.seconds
    history.seconds = progress.seconds = seconds  # one dict: checkpoints keep the clock
    for record in records:
        stage, state = record.pop("stage"), record.pop("state")
        if stage == "deploy":
            starts = keep_deployment(cfg, folder, record["batch"], history)
        elif stage == "model":
            history.models.append(record)
            say(f"{cfg.members} model{'s' * (cfg.members > 1)}: validation loss {record['model_loss']:.4f}")
        else:
            since_row.append(record)
            if stage == "update":
                total = cfg.iterations * cfg.iteration_updates
                progress(record | {"stage": stage, "done": state.updates, "total": total})
                if state.updates % cfg.iteration_updates > 0:
                    continue  # no checkpoint either: it would lack the records since the last row
            with progress.timed("evaluate"):
                tested = evaluation(cfg, folder, state, starts)
            history.rows.append(iteration_row(state, since_row, history, tested) | progress.lap())
            since_row = []
            say(page("progress").row_text(history.rows[-1]))
            page("picture").plot_run(folder / "curves.png", cfg, history)
            write_results(folder, cfg, state, history)
        page("resume").save_checkpoint(folder / "checkpoint.npz", cfg, state, history)
    progress.close()
    page("progress").closing_table(cfg, history, folder)


def keep_deployment(cfg, folder, batch, history):
    """Write and announce what a deployment has collected.  -> first observations of its episodes (R, S)"""
    i, returns = len(history.batches) + 1, summary(envs.episode_returns(batch)[0])
    save_batches(folder / f"deployment_{i}.npz", cfg, [batch], deployment=i)
    history.batches.append(returns | {"transitions": len(batch.rew)})
    say(f"deployment {i}: {len(batch.rew):,} transitions, return {returns['text']}")
    return batch.obs[batch.episode_starts()]


def iteration_row(state, records, history, tested):
    """A row of progress.csv: numbers of the data, of `evaluation`, and means over the updates' records.  -> dict"""
    row = {"iteration": len(history.rows), "deployment": state.deployments, "updates": state.updates}
    row["real_transitions"] = sum(batch["transitions"] for batch in history.batches)
    data = history.batches[-1]  # the dataset, or what the last deployment collected
    if data["mean"] is not None:
        row |= {"data_return": data["mean"], "data_return_std": data["std"]}
    row |= tested
    if history.rows:
        row["evaluation_steps"] += history.rows[-1]["evaluation_steps"]
    row["model_loss"] = history.models[-1]["model_loss"]
    return plain_numbers(row | means(records))


def means(records):
    """The mean of each number over those records in which it is finite.  -> {name: mean}, without what never is"""
    columns = {name: [record[name] for record in records if np.isfinite(record[name])] for name in records[0]}
    return {name: np.mean(values) for name, values in columns.items() if values}


def plain_numbers(row):
    """A row with Python's numbers in place of NumPy's: JSON knows no others.  -> dict"""
    return {name: x.item() if isinstance(x, np.generic) else x for name, x in row.items()}


def evaluation(cfg, folder, state, starts):
    """Return of the policy's mean action in the simulator and in the ensemble.  -> {column: number}

    The first and the last policy of a deployment, which are in the closing table, get more episodes than the others.
    Real steps are counted (the original does not count them), and training never sees them.
    """
    policy, rng = bremen.policy_of(state, cfg), state.rng["evaluate"]
    first, last = cfg.updates_by(state.deployments - 1), cfg.updates_by(state.deployments)
    episodes = cfg.eval_episodes if state.updates in (first, last) else cfg.eval_interval_episodes
    real, steps = envs.evaluate(envs.TASKS[cfg.env], policy.mean, episodes, rng, nets.workers())
    imagined = bremen.imagined_returns(state, starts, cfg, rng)
    numbers = {"real_return": real.mean(), "real_return_std": real.std(), "real_length": steps.mean()}
    numbers |= {"imagined_return": imagined.mean(), "imagined_return_std": imagined.std()}
    numbers["evaluation_steps"] = steps.sum()
    if cfg.eval_model:
        page("model_error").add_numbers(numbers, folder, cfg, state, rng)
    return numbers


def summary(returns):
    """Mean and standard deviation of returns (E,), None where there are none, and both as text.  -> dict"""
    mean, std = (float(np.mean(returns)), float(np.std(returns))) if len(returns) else (None, None)
    return {"mean": mean, "std": std, "text": page("progress").returns_text(mean, std, len(returns))}


# --- the data of a run ----------------------------------------------------------------------------------------------


def read_dataset(cfg, opts, known=None):
    """The dataset of an offline run.  known: what an interrupted run knows of its data, see History.data.

    -> Batch, meta, Path; or UsageError, envs.DataError.  meta["rows"] says which rows of the file are taken ("": all)
    """
    path = page("resume").find_data(cfg, opts, known) if "resume" in opts else dataset_path(cfg)
    data, meta = page("foreign_data").load_rows(path, envs.TASKS[cfg.env])
    if "resume" not in opts:
        page("collect").check_policy(path, meta, cfg)
    n = min(len(data.rew), cfg.n_train)
    if n < 2 or round(cfg.validation * n) >= n:
        raise UsageError(f"{path}: {n} transitions, --validation {cfg.validation}: none are left to train on")
    taken, meta["rows"] = page("foreign_data").some_rows(data, meta, cfg)
    if known:
        page("resume").check_rows(path, meta["rows"], known)
    return taken, meta, path


def dataset_path(cfg):
    """Where the data of a new run are; the default dataset is collected if it is missing.  -> Path; or UsageError"""
    if cfg.data:
        return Path(os.path.realpath(cfg.data))
    path = Path(os.path.realpath(page("original").find_data(cfg) or default_dataset(cfg)))
    if not path.exists():
        say(f"collecting {cfg.n_train:,} transitions -> {short_path(path)}")
        with writing(path, "--data_dir names another place"):
            page("collect").make_dataset(cfg, path)
    return path


def default_dataset(cfg):
    """Where the dataset of these settings is kept.  -> Path"""
    return Path(cfg.data_dir) / cfg.env / f"{cfg.noise}_{cfg.n_train}_seed{cfg.seed}.npz"


def save_batches(path, cfg, batches, **meta):
    """Write a dataset; `meta` says how it was made.  -> the whole meta"""
    about = {"env": cfg.env, "seed": cfg.seed, "versions": page("provenance").versions()}
    return safe_files.save_dataset(path, batches, about | meta)


# === files of a run, and what can go wrong ==========================================================================


def write_results(folder, cfg, state, history):
    """The policy, tables and run.json, as they are now, of mode online, too; progress.csv is the last."""
    row, policy = history.rows[-1], bremen.policy_of(state, cfg)
    names = "deployment updates real_steps real_transitions evaluation_steps real_return real_return_std".split()
    about = {"command": page("provenance").command(cfg)} | {name: row[name] for name in names if name in row}
    save_policy(folder / "policy.npz", policy, cfg, **about)
    if cfg.keep_policies:
        (folder / "policies").mkdir(exist_ok=True)
        save_policy(folder / "policies" / f"{row['iteration']:04d}.npz", policy, cfg, **about)
    if cfg.tensorboard:
        page("to_tensorboard").add_row(folder, row)
    page("provenance").write_about(folder / "run.json", cfg, history)
    safe_files.write_csv(folder / "progress.csv", history.rows)


@dataclass
class History:
    """What a run knows of itself beside what was learnt; checkpoints and run.json hold it under these names."""

    data: dict | None = None  # mode offline: the dataset's "file" and "sha256", and "rows": which ones, if not all
    policy: list | None = None  # return of the behaviour policy, its actions sampled: mean and std
    mean_action: list | None = None  # return of the behaviour policy's mean action: mean and std
    models_from: str | None = None  # directory of the run that has lent its models
    batches: list = field(default_factory=list)  # {"transitions", "mean", "std", "text"} of each deployment's real data
    rows: list = field(default_factory=list)  # of progress.csv: {column: number}
    models: list = field(default_factory=list)  # {"model_loss", "model_curve"} of each deployment's ensemble
    seconds: dict = field(default_factory=dict)  # wall time of each part since the last row

    def stored(self):
        """The fields that are known, for JSON.  -> dict"""
        return {name: x for name, x in vars(self).items() if x is not None}


# --- what a run shows -----------------------------------------------------------------------------------------------


def say(text=""):
    """Print a line above the progress bar."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def short_path(path):
    """A path, relative to the present folder where it is below it.  -> text"""
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


# --- entry ----------------------------------------------------------------------------------------------------------

# The page in examples/ of each mode that has one.
PAGES = {"collect": "collect", "evaluate": "evaluate", "online": "online", "video": "film", "plot": "plot"}
MODES = "offline", "recursive", *PAGES


def main(argv=None):
    """Run the command line.  -> exit status: 0, or as `guarded` says"""
    argv = sys.argv[1:] if argv is None else argv
    current = {}  # "cfg" and "opts" of the run that is being made: run_one writes them, how_to_go_on reads them

    def work():
        """Give the line to the page of its mode, or make the runs that it asks for.  -> exit status"""
        if "describe" in look_ahead(argv, ["describe"])[0]:
            return page("describe").main(argv)
        mode = mode_of(argv)
        if mode in PAGES:
            return page(PAGES[mode]).main(look_ahead(argv, ["mode"])[1])
        opts = read_flags(argv)
        return max([run_one(cfg, opts, current) for cfg in configs_of(opts)])

    return guarded("run.py", work, lambda: page("resume").how_to_go_on(**current))


def configs_of(opts):
    """What the flags of a command line ask for: a Config per seed.  -> list; or UsageError"""
    base = page("resume").read_config(opts) if "resume" in opts else read_config(opts, opts.get("param_path"))
    page("check_config").check_flags(base.mode, opts)
    page("provenance").check_packages(base)
    configs = each_seed(base, opts)
    if "resume" not in opts:
        for cfg in configs:
            page("resume").check_new(page("resume").run_folder(cfg, opts))
    return configs


def each_seed(cfg, opts):
    """The Config of each seed in --random_seeds, or of its one seed.  -> list; or UsageError"""
    seeds = opts.get("random_seeds", [cfg.seed])
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--random_seeds {' '.join(map(str, seeds))}: different numbers of at least 0, please")
    return [replace(cfg, seed=seed) for seed in seeds]


def run_one(cfg, opts, current, run_mode=None):
    """One run, by the function of its mode.  -> exit status: 0, or 1 (training diverged: another seed may do better)"""
    current.update(cfg=cfg, opts=opts)
    run_mode = run_mode or (run_offline if cfg.mode == "offline" else run_recursive)
    try:
        with page("resume").HELD:  # it lets go of the lock of the run's directory
            run_mode(cfg, opts)
        return 0
    except FloatingPointError as e:
        way = "the same would happen again, so change a number and --exp_name"
        folder = page("resume").run_folder(cfg, opts)
        text = f"training stopped: {e}; {folder} holds what there was; {way}"
        return page("endings").complain("run.py", 1, text)


save_policy, load_policy = page("policies").save_policy, page("policies").load_policy
# how every program ends: errors become one line and an exit status; and a block that writes a file
guarded, writing = page("endings").guarded, page("endings").writing


if __name__ == "__main__":
    sys.exit(main())
