"""Other offline methods on the same data: `python examples/compare_d3rlpy.py --env hopper --random_seeds 0 1 --out DIR`

Trains TD3+BC, IQL, CQL and BC of the library d3rlpy on the file and the rows that `run.py --mode offline` would take
(collected if need be), and measures the last policy as this project measures its own: mean action, same simulator, 20
episodes.  It wants an environment of its own:

    python -m venv d3 && . d3/bin/activate && pip install -e . -r examples/compare_d3rlpy.txt
    pip install --no-deps d3rlpy==2.8.1    # alone: its pin, gymnasium 1.0.0, is older than what this project needs

(The CPU build of PyTorch is enough and much smaller: installed first, in the version of that file, it is kept.)

The numbers are d3rlpy's own for its reproductions of the papers, in which all methods take 500,000 gradient steps:

- td3_bc: two layers of 256, minibatches of 256, step sizes 3e-4, alpha 2.5, observations in standard deviations;
- iql: the same sizes, expectile 0.7, inverse temperature 3, rewards times 1000 / (highest - lowest return of the data),
  the actor's step size falls to 0 along a cosine over --steps;
- cql: three layers of 256, minibatches of 256, step sizes 1e-4 (actor) and 3e-4 (critic), weight 5, fixed alpha 1, ten
  sampled actions;
- bc: no reproduction, the library's defaults: two layers of 256, minibatches of 100, step size 1e-3, deterministic.

Each run leaves DIR/<env>/<method>/<method><seed>/ with config.json (all that determines it) and result.csv (one row;
columns that progress.csv has, too, are called as there).  The same line again does what is not finished; an interrupted
run begins again.  A run that fails is reported and stops no other.  Runs have one thread: start a line per core.
"""

import argparse
import contextlib
import io
import itertools
import json
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import envs
import run

safe_files = run.page("safe_files")

METHODS = {"td3_bc": "TD3PlusBCConfig", "iql": "IQLConfig", "cql": "CQLConfig", "bc": "BCConfig"}


# --- d3rlpy ---------------------------------------------------------------------------------------------------------


def library():
    """Import d3rlpy.  -> versions of it and of PyTorch; or run.UsageError"""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # gym, which it needs, speaks at length about its own end
            import d3rlpy
            import torch
    except ImportError as e:
        raise run.UsageError(f"needs d3rlpy, --help says how to install it ({e})") from e
    torch.set_num_threads(1)
    return {"d3rlpy": d3rlpy.__version__, "torch": torch.__version__}


def learner(method, data, task, steps):
    """A method with new networks and d3rlpy's numbers.  -> algorithm of d3rlpy"""
    import d3rlpy

    limit = np.full(task.act_dim, task.act_limit)
    own = {"action_scaler": d3rlpy.preprocessing.MinMaxActionScaler(minimum=-limit, maximum=limit)}
    if method == "td3_bc":
        mean, std = data.obs.mean(axis=0, dtype=np.float64), data.obs.std(axis=0, dtype=np.float64)
        own["observation_scaler"] = d3rlpy.preprocessing.StandardObservationScaler(mean=mean, std=std)
    elif method == "iql":
        returns, _ = envs.episode_returns(data)
        if len(returns) == 0 or returns.max() == returns.min():
            raise ValueError("iql scales rewards by the range of returns: the data need two different whole episodes")
        ends = {"return_max": float(returns.max()), "return_min": float(returns.min())}
        own["reward_scaler"] = d3rlpy.preprocessing.ReturnBasedRewardScaler(multiplier=1000.0, **ends)
        cosine = d3rlpy.optimizers.CosineAnnealingLRFactory(T_max=steps)
        own["actor_optim_factory"] = d3rlpy.optimizers.AdamFactory(lr_scheduler_factory=cosine)
    elif method == "cql":
        wide = d3rlpy.models.VectorEncoderFactory([256, 256, 256])
        own |= {"actor_encoder_factory": wide, "critic_encoder_factory": wide, "alpha_learning_rate": 0.0}
    algorithm = getattr(d3rlpy.algos, METHODS[method])(**own).create()
    algorithm.create_impl((task.obs_dim,), task.act_dim)
    return algorithm


def minibatch(data, rows):
    """Some rows of a Batch for `update` of d3rlpy.

    d3rlpy's MDPDataset keeps no next_obs but takes the observation of the next row.  It would lose the last row of each
    truncated episode, whose next_obs is nowhere else, and all rows of an episode that --n_train cuts.  Here none is
    lost, and only a terminated row has no future: the value behind a truncated one counts.
    """
    import d3rlpy

    column = lambda x: np.asarray(x[rows], np.float32)[:, None]
    return d3rlpy.dataset.TransitionMiniBatch(
        observations=data.obs[rows],
        actions=data.act[rows],
        rewards=column(data.rew),
        next_observations=data.next_obs[rows],
        next_actions=np.zeros_like(data.act[rows]),  # the four methods look neither at these,
        terminals=column(data.terminated),
        intervals=np.ones((len(rows), 1), np.float32),
        transitions=[],  # nor at what would follow each row
    )


def fit(algorithm, data, steps, rng, title):
    """Gradient steps on minibatches drawn with replacement, as d3rlpy draws them."""
    for _ in tqdm(range(steps), desc=title, unit="step", disable=None, leave=False):
        algorithm.update(minibatch(data, rng.integers(len(data.rew), size=algorithm.config.batch_size)))


# --- runs -----------------------------------------------------------------------------------------------------------


def plan(opts):
    """The runs of a line.  -> {directory: (what was asked for, Config of the run whose data are used)}"""
    runs = {}
    given = {k: getattr(opts, k) for k in ("preset", "n_train", "noise", "data", "data_dir")}
    given = {k: v for k, v in given.items() if v is not None}
    for env, seed, method in itertools.product(opts.env, opts.random_seeds, opts.methods):
        cfg = run.read_config({"mode": "offline", "env": env, "seed": seed, **given})
        asked = {"env": env, "method": method, "seed": seed, "steps": opts.steps, "preset": cfg.preset}
        asked |= {"noise": "", "data": opts.sha256} if cfg.data else {"noise": cfg.noise, "data": "default"}
        asked |= {"n_train": cfg.n_train, "eval_episodes": cfg.eval_episodes}
        runs[opts.out / env / method / f"{method}{seed}"] = asked, cfg
    return runs


def finished(folder, asked):
    """Whether a run was done before; run.UsageError if another one lies there."""
    if not (folder / "config.json").exists():
        return False
    try:
        stored = json.loads((folder / "config.json").read_text())
        other = [f"{k} {stored.get(k)}, not {v}" for k, v in asked.items() if stored.get(k) != v]
    except (ValueError, AttributeError) as e:
        raise run.UsageError(f"{folder / 'config.json'}: not of this program ({e})") from e
    if other:
        raise run.UsageError(f"{folder} holds a run with {other[0]}: choose another --out")
    return (folder / "result.csv").exists()


def execute(folder, asked, cfg, peers):
    """One run: data, training, evaluation, files.  peers: versions of d3rlpy and PyTorch"""
    import d3rlpy

    task, began = envs.TASKS[cfg.env], time.perf_counter()
    data, meta, path = run.read_dataset(cfg, {})
    if meta["rows"]:
        run.say(f"note: {meta['rows']}")
    d3rlpy.seed(cfg.seed)
    algorithm = learner(asked["method"], data, task, asked["steps"])
    versions, digest = run.page("provenance").versions() | peers, safe_files.sha256(path)
    about = {"file": path.name, "sha256": digest, "rows": meta["rows"], "versions": versions}
    about["d3rlpy"] = algorithm.config.serialize_to_dict()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asked | about, indent=1) + "\n"
    safe_files.write_whole(folder / "config.json", lambda f: f.write(text.encode()))
    starts = time.perf_counter()
    fit(algorithm, data, asked["steps"], np.random.default_rng(cfg.seed), f"{cfg.env} {folder.name}")
    trained, rng = time.perf_counter(), bremen.streams(cfg.seed)["evaluate"]
    act = lambda obs, rng: algorithm.predict(obs)
    returns, lengths = envs.evaluate(task, act, cfg.eval_episodes, rng)
    if not np.isfinite(returns).all():
        raise ValueError("the policy's returns are not finite: training has diverged")
    logged = run.summary(envs.episode_returns(data)[0])
    row = {k: asked[k] for k in ("env", "method", "seed", "steps")} | {"real_transitions": len(data.rew)}
    row |= {"real_return": returns.mean(), "real_return_std": returns.std(), "episodes": len(returns)}
    row |= {"real_length": lengths.mean(), "data_return": logged["mean"], "data_return_std": logged["std"]}
    row |= {"data_seconds": round(starts - began, 3), "fit_seconds": round(trained - starts, 3)}
    row |= {"evaluate_seconds": round(time.perf_counter() - trained, 3), "commit": run.page("provenance").commit()}
    row |= {"versions": ", ".join(f"{k} {v}" for k, v in versions.items()), "sha256": digest}
    safe_files.write_csv(folder / "result.csv", [row | {"command": command(asked, cfg)}])
    seconds = f"{row['fit_seconds']:,.0f} s for {asked['steps']:,} steps"
    run.say(f"{cfg.env} {folder.name}: return {run.summary(returns)['text']}, {seconds}")


def command(asked, cfg):
    """The line that repeats one run, wherever its files were."""
    data = f"--data {Path(cfg.data).name}" if cfg.data else f"--noise {cfg.noise}"
    words = f"--env {cfg.env} --methods {asked['method']} --random_seeds {cfg.seed} --steps {asked['steps']} {data}"
    return f"python examples/compare_d3rlpy.py {words} --n_train {cfg.n_train} --preset {cfg.preset} --out DIR"


def parser():
    """The command line."""
    p = run.Parser(prog="compare_d3rlpy.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                   allow_abbrev=False)  # fmt: skip
    p.add_argument("--env", nargs="+", choices=envs.TASKS, required=True, metavar="ENV", help=", ".join(envs.TASKS))
    p.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD", help="all of them")
    p.add_argument("--random_seeds", nargs="+", type=int, default=[0], metavar="N", help="of data and training (0)")
    p.add_argument("--steps", type=int, default=500_000, metavar="N", help="gradient steps of each run (500000)")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the runs are kept")
    p.add_argument("--data", metavar="FILE", help="a dataset for all runs, instead of the default one of each seed")
    p.add_argument("--n_train", type=int, metavar="N", help="only so many of its rows (as run.py)")
    p.add_argument("--preset", metavar="NAME", help="whose dataset and number of episodes (as run.py)")
    p.add_argument("--noise", metavar="NAME", help="of the default dataset (as run.py)")
    p.add_argument("--data_dir", metavar="DIR", help="where default datasets are kept (as run.py)")
    return p


def prepared(opts):
    """The runs that a line still has to do, checked before anything happens; or run.UsageError, envs.DataError."""
    if opts.steps < 1:
        raise run.UsageError(f"--steps {opts.steps}: at least 1")
    if opts.data is not None:
        for env in opts.env:
            envs.load_dataset(opts.data, envs.TASKS[env])
        opts.sha256 = safe_files.sha256(opts.data)
    runs = plan(opts)
    left = {folder: asked for folder, asked in runs.items() if not finished(folder, asked[0])}
    run.say(f"{len(runs)} runs, {len(runs) - len(left)} of them finished before")
    return left


def compare(left, peers):
    """Do these runs.  -> directories of those that failed"""
    failed = []
    for folder, (asked, cfg) in tqdm(left.items(), desc="compare", unit="run", disable=None):
        log = folder / "failed.txt"
        log.unlink(missing_ok=True)
        try:
            execute(folder, asked, cfg, peers)
        except Exception as e:  # whatever went wrong with one run, the others can do without it
            folder.mkdir(parents=True, exist_ok=True)
            log.write_bytes(traceback.format_exc().encode(errors="replace"))
            failed.append(folder)
            tqdm.write(f"failed: {folder} ({' '.join(str(e).split()) or type(e).__name__}), see {log}", file=sys.stderr)
    return failed


def main(argv=None):
    """Run the command line.  -> exit status: 0; 1 if runs failed; 2 for a line that cannot be used; 130 for Ctrl-C"""

    def work():
        left = prepared(parser().parse_args(argv))
        return 1 if left and compare(left, library()) else 0

    return run.guarded("compare_d3rlpy.py", work, "interrupted; the same line goes on")


if __name__ == "__main__":
    sys.exit(main())
