"""Many runs, on all cores or on a cluster: `python examples/sweep.py DIR --env hopper walker2d --random_seeds 0 1 2`

The flags are those of run.py.  A flag with several values spans the sweep, with all others: above, six runs.  A flag
that itself takes several numbers is put into quotes (`--model_hidden "256 256" "512 512"`); `--bc_init yes no` takes
both values of a switch.  Runs lie in DIR/log, the datasets that they share in DIR/data.

Whatever is finished is left alone and whatever was interrupted is resumed, so the same line again goes on with a
sweep; a line with other numbers wants another DIR.  A run that fails is reported at the end, with the file that says
why; the others go on.  Every run has one thread, so results do not depend on how many run at once.  Needs the extra:
pip install -e '.[sweep]'
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from report import unfinished

import nets
import run


def grid(words):
    """Flags with one or several values each.  -> one list of (flag, value) per run, {flag: its values}

    ["--env", "hopper", "ant", "--gamma", "0.9"] -> [[("--env", "hopper"), ("--gamma", "0.9")], ...], {...}
    """
    flags = {}
    for word in words:
        if word.startswith("--"):
            if word in flags:
                raise run.UsageError(f"{word} stands twice on the line")
            flags[word] = []
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
            words += [flag, *value.split()]
    return words


def placed(line, root):
    """A run of these words, with one thread and its files under `root`.  -> words for run.py, its directory

    run.UsageError for a flag that is none, or where a run with other numbers has this directory.
    """
    line = [*line, "--log_dir", str(root / "log"), "--threads", "1"]
    opts = vars(run.parser().parse_args(line))
    if len(opts.get("random_seeds", [0])) > 1:
        raise run.UsageError("--random_seeds: every seed is a run of its own, leave the quotes away")
    cfg = run.read_config(opts, opts.get("param_path"))
    cfg = replace(cfg, seed=opts.get("random_seeds", [cfg.seed])[0])
    if cfg.mode == "offline":
        line += ["--data_dir", str(root / "data")]
    folder = run.run_folder(cfg, opts)
    if (folder / "config.json").exists():
        there = run.read_config({}, folder / "config.json")
        for name in (f.name for f in fields(cfg) if f.name == "data" or f.name not in run.FILES):
            was, now = getattr(there, name), getattr(cfg, name)
            if was != now:
                raise run.UsageError(f"{folder} holds a run with {name} {was}, not {now}: choose another directory")
    return line, folder


def plan(root, words):
    """The runs of a sweep.  -> [(words for run.py, its directory)]; or run.UsageError for what makes no sense"""
    runs, (choices, flags) = [], grid(words)
    fixed = "--exp_name", "--sub_exp_name", "--log_dir", "--data_dir", "--threads", "--resume"
    if taken := [name for name in fixed if name in flags]:
        raise run.UsageError(f"{taken[0]} is given by the sweep")
    for choice in choices:
        varied = [(k[2:], v) for k, v in choice if len(flags[k]) > 1 and k not in ("--env", "--mode", "--random_seeds")]
        name = "_".join(f"{k}-{re.sub('[^A-Za-z0-9.+_-]+', '-', v)}" for k, v in varied) or "bremen"
        runs.append(placed([*line_of(choice), "--exp_name", name], root))
    if len({folder for _, folder in runs}) < len(runs):
        raise run.UsageError("a value stands twice on the line")
    return runs


def execute(line, folder):
    """One run in a process of its own, resumed if it was begun.  -> exit status"""
    folder = Path(folder)
    if (folder / "config.json").exists():
        line = ["--resume", str(folder)]
    log = folder.with_name(f"{folder.name}.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    inherited = {k: v for k, v in os.environ.items() if k != "MALLOC_TRIM_THRESHOLD_"}  # Dask's: halves our speed
    with open(log, "a") as out:
        words = [sys.executable, str(run.HERE / "run.py"), *line]
        return subprocess.run(words, stdout=out, stderr=subprocess.STDOUT, env=inherited | alone).returncode


def sweep(root, words, workers=None, scheduler=None):
    """All runs of a sweep.  -> directories of those that failed"""
    try:
        import dask
        from distributed import Client, LocalCluster, as_completed
    except ImportError as e:
        raise run.UsageError("a sweep needs the extra: pip install -e '.[sweep]'") from e
    runs = plan(root, words)
    left = [(line, folder) for line, folder in runs if unfinished(folder)]
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them finished before")
    if not left:
        return []
    failed, cluster = [], scheduler
    if not scheduler:
        dask.config.set({"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "1s"})
        cluster = LocalCluster(n_workers=min(workers or nets.cores(), len(left)), threads_per_worker=1,
                               processes=False, dashboard_address=":0", silence_logs=50)  # fmt: skip
    with Client(cluster) as client:
        jobs = [client.submit(execute, line, str(folder), pure=False) for line, folder in left]
        names = {job.key: str(folder) for job, (_, folder) in zip(jobs, left)}
        with tqdm(total=len(left), unit="run", desc="sweep") as bar:
            for job in as_completed(jobs):
                folder = names[job.key]
                if job.status != "finished" or job.result() != 0 or unfinished(folder):
                    failed.append(folder)
                    tqdm.write(f"failed: {folder}, see {folder}.txt", file=sys.stderr)
                bar.update()
    if not scheduler:
        cluster.close()
    return failed


def main(argv=None):
    """Run the command line.  -> exit status: 0; 1 if runs failed; 2 for a line that cannot be used; 130 for Ctrl-C"""
    p = run.Parser(prog="sweep.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dir", type=Path, metavar="DIR", help="where the sweep is kept")
    p.add_argument("--workers", type=int, metavar="N", help="runs at a time on this machine (its cores)")
    p.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster (tcp://...) that sees the same files")
    p.add_argument("--dry_run", action="store_true", help="print the command lines only")

    def work():
        opts, words = p.parse_known_args(argv)
        if opts.dry_run:
            for line, folder in plan(opts.dir, words):
                print(f"{'to do' if unfinished(folder) else 'done '} python run.py {' '.join(line)}")
            return 0
        return 1 if sweep(opts.dir, words, opts.workers, opts.scheduler) else 0

    return run.guarded("sweep.py", work, "interrupted; the same line goes on")


if __name__ == "__main__":
    sys.exit(main())
