"""Mode collect: a dataset of the shipped behaviour policy, of another policy, or of random actions.

python run.py --mode collect --env hopper --noise eps3 --n_train 100000 --out FILE.npz

Mode offline collects its default dataset by `make_dataset`, too, when it is not there yet.  What is
in a file: python run.py --mode collect --describe FILE.npz
"""

import argparse
import os
import sys
from pathlib import Path

import bremen
import envs
import nets
import run

safe_files = run.page("safe_files")


def make_dataset(cfg, path, policy_path=None, std=None):
    """Collect n_train transitions into the file `path`, acting as cfg.noise says.  -> its meta

    policy_path: the policy to act with, by default the shipped behaviour policy.  std: the same mean action with
    another sigma, as a share of the action limit.
    """
    task, sample, about = envs.TASKS[cfg.env], None, {"policy": "uniform random"}
    if cfg.noise == "random" and (policy_path or std):
        raise run.UsageError(f"--noise random asks no policy: leave {'--policy' if policy_path else '--std'} away")
    if cfg.noise != "random":
        source = Path(policy_path or behavior_file(cfg.env))
        policy, policy_meta = run.load_policy(source, task)
        if std:
            policy = policy.with_std(std * task.act_limit)
        sample, about = policy.sample, {"policy": source.name, "policy_sha256": safe_files.sha256(source)}
        about["std"] = (policy.std / task.act_limit).tolist()
        if "return_mean" in policy_meta and not std:  # sampled with another sigma it has another return
            about["policy_return"] = [policy_meta["return_mean"], policy_meta["return_std"]]
        if "mean_action_return" in policy_meta:
            about["mean_action_return"] = policy_meta["mean_action_return"]
    safe_files.make_folder(path.parent)
    progress, rng = run.page("progress").Progress(), bremen.streams(cfg.seed)["collect"]
    report = lambda rows: progress({"stage": "collect", "done": rows, "total": cfg.n_train})
    acts, threads = envs.behavior(task, sample, cfg.noise), nets.use_threads(cfg.threads)
    batches = envs.collect_parts(task, acts, cfg.n_train, rng, threads=threads, report=report)
    meta = run.save_batches(path, cfg, batches, noise=cfg.noise, **about)
    progress.close()
    return meta


def check_policy(path, meta, cfg):
    """UsageError for a default dataset that was collected with another behaviour policy than the shipped one."""
    if cfg.data or cfg.noise == "random" or path != Path(os.path.realpath(run.default_dataset(cfg))):
        return
    if meta.get("policy_sha256") != safe_files.sha256(behavior_file(cfg.env)):
        way = "move it away and the same line collects a new one, or take it as it is with --data"
        raise run.UsageError(f"{path}: of another behaviour policy than that of this version: {way}")


def behavior_file(env):
    """The shipped behaviour policy of a robot.  -> Path"""
    return run.HERE / "examples" / "behavior" / f"{env}.npz"


def collect(cfg, opts):
    """--mode collect for one seed."""
    for name in "policy", "std":  # such data must never be mistaken for the shipped policy's
        if name in opts and "out" not in opts:
            raise run.UsageError(f"--{name} makes a dataset of its own: name the file with --out, then --data FILE")
    path = Path(opts["out"]) if "out" in opts else run.default_dataset(cfg)
    if path.exists():
        raise run.UsageError(f"{path} exists: name another file with --out")
    with run.writing(path, "--out names another place"):
        meta = make_dataset(cfg, path, opts.get("policy"), opts.get("std"))
    text = run.page("progress").returns_text(meta["return_mean"], meta["return_std"], meta["episodes"])
    run.say(f"{path}: {meta['transitions']:,} transitions, return {text}")


# --- the command line, which examples/evaluate.py shares ------------------------------------------------------------


def page_parser(mode, names, description, argv):
    """The command line of a page: the flags of these fields of bremen.Config, and what all modes have.  -> Parser"""
    p = run.Parser(
        prog=f"run.py --mode {mode}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    cfg = run.read_config(run.look_ahead(argv)[0] | {"mode": mode})
    for name in names:
        run.add_field(p, name, cfg)
    p.add_argument("--random_seeds", type=int, nargs="+", metavar="N", help="several seeds, one after another")
    p.add_argument("--param_path", metavar="FILE", help="start from the values in a config.json")
    return p


def run_page(mode, parser, work, argv):
    """The main function of a page: work(cfg, opts) for each seed.  -> exit status, as of `guarded`"""
    argv = sys.argv[1:] if argv is None else argv

    def all_seeds():
        opts = {"mode": mode} | vars(parser(argv).parse_args(argv))
        base = run.read_config(opts, opts.get("param_path"))
        run.page("provenance").check_packages(base)
        for cfg in run.each_seed(base, opts):
            work(cfg, opts)
        return 0

    return run.guarded("run.py", all_seeds)


def parser(argv):
    """The flags of this page.  -> run.Parser"""
    fields = "env preset seed threads n_train noise data_dir".split()
    p = page_parser("collect", fields, __doc__, argv)
    p.add_argument("--policy", metavar="FILE", help="policy.npz to act with (the shipped behaviour policy)")
    p.add_argument("--std", type=float, help="its sigma, as a share of the action limit (the policy's own)")
    p.add_argument("--out", metavar="FILE", help="the dataset to write (the default dataset below --data_dir)")
    return p


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""
    return run_page("collect", parser, collect, argv)


if __name__ == "__main__":
    sys.exit(main())
