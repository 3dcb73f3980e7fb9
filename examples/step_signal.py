"""How much of a trust-region step is signal?  `python examples/step_signal.py RUN [--imagined_steps N ...] [--lam X]`

A step is computed from imagined rows, and fits their noise as well.  What it is really worth, other rows tell, imagined
with the same policy in the same models but not used for the step.  RUN is the directory of an offline run; its last
checkpoint is the policy that takes the steps, its dataset is where imagined paths begin.  For each number of imagined
steps and each lambda of generalised advantage estimation the table shows the gain of the surrogate (mean advantage that
the new policy wins per step, unit of reward)

- on the rows that the step was made of, and on 300,000 others, judged with --judge_lam: mean of --repeats steps, with
  its standard error,
- and their ratio, the share of the promise that was kept.

The step itself is as large in all rows of the table: the run's target_kl.  A small share means that the policy wanders:
most of its way in the trust region goes into noise, step after step, until it is where the models are wrong.  At the
end of a run shares around 0 are no surprise, a policy that has learnt what its models teach has no more to gain: look
at a run that was interrupted early, too.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import sem
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import envs
import nets
import run
import trpo

safe_files = run.page("safe_files")

JUDGES = 300_000  # imagined rows that judge a step


def read(folder):
    """An offline run with a policy.  -> Config, State, Batch; or run.UsageError, envs.DataError"""
    cfg = run.read_config({}, folder / "config.json")
    s, history = run.page("resume").load_checkpoint(folder / "checkpoint.npz", cfg)
    if cfg.mode != "offline" or s.critic is None:
        raise run.UsageError(f"{folder}: not an offline run that has a policy")
    path = history.data["file"]
    data, meta = run.page("foreign_data").load_rows(path, envs.TASKS[cfg.env])
    if safe_files.sha256(path) != history.data["sha256"]:
        raise run.UsageError(f"{path}: not the file with which this run began (its SHA-256 is another)")
    return cfg, s, run.page("foreign_data").some_rows(data, meta, cfg)[0]


def imagined_rows(s, starts, cfg, rng):
    """Rows of fresh imagined paths.  -> trpo.Rows, standard deviation of their advantages before standardisation"""
    paths, _ = bremen.imagine_paths(s, starts, cfg, rng)
    obs, _, adv, _, _ = trpo.advantages(s.critic, paths, s.norm, cfg)
    return trpo.rows_of(s.theta, obs, paths.act, adv, bremen.policy_net(cfg)), adv.std()


def gains(s, starts, cfg, judges, unit, repeats, rng):
    """Gains of the surrogate by `repeats` steps, on their own rows and on `judges`.  -> (repeats,), (repeats,)"""
    net, own, fresh, before = bremen.policy_net(cfg), [], [], np.mean(judges.adv, dtype=np.float64)
    for _ in range(repeats):
        rows, std = imagined_rows(s, starts, cfg, rng)
        theta, info = trpo.step(s.theta, rows, net, cfg, rng)
        value = nets.parallel(
            lambda c, t=theta: float(trpo.surrogate(*nets.gaussian(t, c.obs, net), c)), judges.chunks()
        )
        own.append(std * info["surrogate_gain"])
        fresh.append(unit * (sum(value) / len(judges.adv) - before))
    return np.array(own), np.array(fresh)


def main(argv=None):
    """Run the command line.  -> exit status: 0; 1 if the models diverge; 2 for what cannot be used; 130 for Ctrl-C"""
    p = run.Parser(prog="step_signal.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, metavar="RUN")
    p.add_argument("--imagined_steps", type=int, nargs="+", default=[10_000, 20_000, 50_000, 100_000], metavar="N")
    p.add_argument("--lam", type=float, nargs="+", default=[0.5, 0.8, 0.9, 0.95], metavar="X")
    p.add_argument("--judge_lam", type=float, default=0.97, metavar="X", help="lambda of the rows that judge (0.97)")
    p.add_argument("--repeats", type=int, default=5, metavar="N", help="steps for each line of the table (5)")
    p.add_argument("--out", type=Path, default=Path("step_signal.png"), metavar="FILE", help="the picture")
    return run.guarded("step_signal.py", lambda: signal(p.parse_args(argv)))


def signal(opts):
    """Print the table, draw the picture.  -> exit status 0"""
    cfg, s, data = read(opts.run)
    nets.use_threads(cfg.threads)
    try:
        choices = [replace(cfg, imagined_steps=n, lam=lam) for lam in opts.lam for n in opts.imagined_steps]
        judging = replace(cfg, imagined_steps=JUDGES, lam=opts.judge_lam)
    except ValueError as e:
        raise run.UsageError(str(e)) from e
    starts, rng = bremen.start_states(data, cfg), np.random.default_rng(cfg.seed)
    judges, unit = imagined_rows(s, starts, judging, rng)
    print(f"{cfg.env}, after {s.updates} updates\n")
    print("| lambda | imagined steps | gain, own rows | gain, other rows | share |\n|---|---|---|---|---|")
    shares = []
    for c in tqdm(choices, leave=False, disable=None):
        own, fresh = gains(s, starts, c, judges, unit, opts.repeats, rng)
        shares.append(fresh.mean() / own.mean())
        middle = f"{own.mean():.4f} | {fresh.mean():.4f} ± {sem(fresh):.4f}"
        tqdm.write(f"| {c.lam} | {c.imagined_steps:,} | {middle} | {shares[-1]:.2f} |")
    draw(opts.out, np.reshape(shares, (len(opts.lam), -1)), opts, f"{cfg.env}, after {s.updates} updates")
    print(f"\nlook at {opts.out}")
    return 0


def draw(path, shares, opts, title):
    """Share of the promised gain that other rows confirm, against the number of imagined steps; a line per lambda."""
    fig = run.page("picture").figure(figsize=(7, 4.5))
    ax = fig.subplots()
    for lam, line in zip(opts.lam, shares):
        ax.plot(opts.imagined_steps, line, "o-", label=f"lambda {lam}")
    ax.set(xscale="log", xlabel="imagined steps per update", ylabel="kept share of the gain", title=title)
    ax.set_ylim(min(0, shares.min()) - 0.02, 1)
    ax.set_xticks(opts.imagined_steps, [f"{n:,}" for n in opts.imagined_steps])
    ax.minorticks_off()
    ax.legend(frameon=False)
    run.page("picture").save_figure(fig, path)


if __name__ == "__main__":
    sys.exit(main())
