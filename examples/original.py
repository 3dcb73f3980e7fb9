"""Command lines of the original program: prints the line of run.py that does the same.

python examples/original.py --mode offline --env hopper --onpol_iters 250 --gaussian 0.1

`python offline.py` of the original is `--mode offline` here, `python recursive.py` is `--mode recursive`.  run.py takes
these flags, too: it calls `translate` when it finds a flag that is not its own.  examples/original.md has a table of
them all, and says where this project departs from the original.
"""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

import envs
import run

safe_files = run.page("safe_files")

RENAMED = {  # flags of the original with a value: the flag of run.py for the same
    "ensemble_model_count": "members",
    "gaussian": "std",
    "max_path_length": "horizon",
    "onpol_iters": "iterations",
    "trpo_batch_size": "imagined_steps",
    "restore_path": "resume",
}
SHORTCUTS = {  # flags of the original without a value
    "use_s_t": "--start dataset",
    "use_s_0": "--start initial",
    "param_value": "--value mlp",
    "const_sampling": "--no-learn_std",
    "save_variables": "--keep_policies",
    "no-save_variables": "--no-keep_policies",
}


def parser():
    """The flags that only the original has.  -> run.Parser"""
    p = run.Parser(
        prog="original.py",
        description=__doc__,
        epilog="All other flags are those of run.py: python run.py --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for old, new in RENAMED.items():
        p.add_argument(f"--{old}", metavar="VALUE", help=f"as --{new} VALUE")
    for old, words in SHORTCUTS.items():
        p.add_argument(f"--{old}", action="store_true", help=f"as {words}")
    p.add_argument("--interval", type=int, metavar="N", help="iterations per deployment: --deployments iterations / N")
    p.add_argument("--restart_iter", metavar="N", help="refused: a run goes on from its last checkpoint")
    return p


def translate(argv):
    """A line with flags of the original, in words that run.py knows.  -> list; or run.UsageError"""
    given, words = parser().parse_known_args(argv)
    given = vars(given)
    if "restart_iter" in given:
        raise run.UsageError("--restart_iter: a run always goes on from its last checkpoint, with --resume DIR alone")
    set_by = {word.split("=")[0].removeprefix("--").removeprefix("no-"): word for word in words if word[:2] == "--"}
    interval = given.pop("interval", None)
    for old in given:
        more = SHORTCUTS[old].split() if old in SHORTCUTS else [f"--{RENAMED[old]}", given[old]]
        name = more[0].removeprefix("--").removeprefix("no-")
        if name in set_by:
            raise run.UsageError(f"argument --{old}: not allowed with argument {set_by[name]}, which sets the same")
        set_by[name] = f"--{old}"
        words += more
    return words if interval is None else [*words, "--deployments", str(deployments(words, interval))]


def deployments(words, interval):
    """How often the original deploys with these iterations between two deployments.  -> int; or run.UsageError"""
    given = run.read_flags(words)
    for name in ("deployments", "resume"):
        if name in given:
            raise run.UsageError(f"argument --interval: not allowed with argument --{name}, leave --interval away")
    stored = run.read_json(given["param_path"]) if "param_path" in given else {}
    given = stored | given
    iterations = given.get("iterations")
    if iterations is None:
        iterations = run.read_config({k: given[k] for k in ("mode", "env", "preset") if k in given}).iterations
    whole = isinstance(iterations, int) and interval >= 1 and iterations % interval == 0
    if given.get("mode") != "recursive" or not whole:
        problem = f"--interval {interval}: for --mode recursive, must divide --iterations {iterations}"
        raise run.UsageError(f"{problem} (updates per iteration: --iteration_updates)")
    return iterations // interval


# --- data of the original -------------------------------------------------------------------------------------------


def find_data(cfg):
    """data/<Agent>/<noise>/data.index, where the original wants its data, imported as an .npz.  -> Path, or None"""
    task = envs.TASKS[cfg.env]
    index = Path(cfg.data_dir, task.env_id.removeprefix("bremen/").removesuffix("-v0"), cfg.noise, "data.index")
    if not index.exists():
        return None
    digest = safe_files.sha256(index)  # the index holds checksums of the data themselves
    path = Path(cfg.data_dir, cfg.env, f"brac_{cfg.noise}_{digest[:8]}.npz")
    if not path.exists():
        words = shlex.join(["brac", str(index.parent), "--env", cfg.env])
        with run.writing(path, f"python examples/import_dataset.py {words} --out FILE makes one for --data FILE"):
            safe_files.make_folder(path.parent)
            tempfile.TemporaryFile(dir=path.parent).close()  # fails here, because the importer blames what it reads
            run.page("import_dataset").convert("brac", index, task, path, run.say)
    return path


def main(argv=None):
    """Print the line for run.py.  -> exit status: 0, or 2 for a line that cannot be used"""

    def work():
        words = translate(sys.argv[1:] if argv is None else argv)
        run.read_flags(words)  # or UsageError, where run.py would not understand it
        print("python run.py", shlex.join(words))
        return 0

    return run.guarded("original.py", work)


if __name__ == "__main__":
    sys.exit(main())
