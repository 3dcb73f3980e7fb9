"""What else might keep a half_cheetah on its feet?  `python examples/variants.py vines --random_seeds 11 --out DIR`

A dozen ideas, each a few lines in the seams of bremen.train_offline.  What came of those that have run by now stands in
examples/results/presets.md.  Each run takes the data of its seed, the preset with twice its updates, and leaves
DIR/<variant>_<env><seed>.csv: the mean return of 5 episodes after each iteration, and of 100 at the end, with how many
of those fall (a cheetah: lies on its back at the end).  Plain NumPy and autograd, up to twice as slow as the program: a
loss or a rollout is written down, and that is all.

For robots whose observations the models take as they are: not for the ant.
"""

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import autograd.numpy as anp
import numpy as np
from autograd import grad
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import envs
import nets
import run
import trpo

safe_files = run.page("safe_files")

# --- other models: a loss for autograd, and what a member predicts ----------------------------------------------------


class Models(NamedTuple):
    """A bremen.Dynamics whose members may be any function: predict(phi (P,), x (B, S + A)) -> normalised change (B, S)
    and the standard deviation of its noise (B, S), or None where residuals say how far it is off."""

    phi: np.ndarray
    inputs: nets.Normalizer
    delta: nets.Normalizer
    lowest: np.ndarray
    highest: np.ndarray
    residuals: np.ndarray | None
    predict: object


def model_loss(phi, x, y, predict):
    """Mean over rows of 1/2 |y - mean|^2, or, where the model knows its own noise, of the negative log-likelihood."""
    mean, std = predict(phi, x)
    if std is None:
        return anp.sum((mean - y) ** 2) / (2 * len(x))
    return anp.sum(0.5 * ((mean - y) / std) ** 2 + anp.log(std)) / len(x)


def plain(phi, x, sizes):
    """The program's own model."""
    return nets.mlp(phi, x, sizes), None


def gaussian(phi, x, sizes):
    """Mean and standard deviation, its logarithm between -5 and 0.5 (softly, as in PETS, arXiv:1805.12114)."""
    half = sizes[-1] // 2
    out = nets.mlp(phi, x, sizes)
    low, high = -5.0, 0.5
    log_std = high - anp.logaddexp(0, high - out[:, half:])
    return out[:, :half], anp.exp(low + anp.logaddexp(0, log_std - low))


def layer_norm(phi, x, sizes):
    """LayerNorm (arXiv:1607.06450) without gain and bias before each ReLU."""
    *hidden, (W, b) = nets.layers(phi, sizes)
    for V, c in hidden:
        x = anp.dot(x, V) + c
        x = x - anp.mean(x, axis=1, keepdims=True)
        x = x / anp.sqrt(anp.mean(x * x, axis=1, keepdims=True) + 1e-5)
        x = x * (x > 0)
    return anp.dot(x, W) + b, None


def weight_decay(phi, x, y, predict, sizes, rows):
    """`model_loss` and half the squared weights of the hidden layers over the number of training rows: the original's
    loss with its reg_coeff at 1."""
    squares = sum(anp.sum(W * W) for W, _ in nets.layers(phi, sizes)[:-1])
    return model_loss(phi, x, y, predict) + squares / (2 * rows)


def unrolled_loss(phi, x, y, predict, scales):
    """`model_loss` of several predictions in a row, each from the one before.  x (B, steps, S + A) and y (B, steps, S)
    normalised, by scales (S + A,) and (S,)"""
    (_, steps, S), loss = y.shape, 0.0
    ratio = (scales[1] / scales[0][:S]).astype(x.dtype)
    here, drift = x[:, 0, :S], np.zeros_like(y[:, 0])
    for i in range(steps):
        mean, _ = predict(phi, anp.concatenate([here, x[:, i, S:]], axis=1))
        drift = drift + mean - y[:, i]  # predicted less true state, in scales of y
        loss = loss + anp.sum(drift * drift) / (2 * len(x) * steps)
        if i + 1 < steps:
            here = x[:, i + 1, :S] + drift * ratio
    return loss


def sequences(data, steps):
    """Numbers of rows that follow each other in an episode, `steps` at a time.  A Batch -> (N, steps)"""
    whole = ~(data.terminated | data.truncated)
    whole[:-1] &= np.all(data.next_obs[:-1] == data.obs[1:], axis=1)
    starts = np.arange(len(whole) - steps + 1)
    for i in range(steps - 1):
        starts = starts[whole[starts + i]]
    return starts[:, None] + np.arange(steps)


def fit(data, cfg, rng, report, predict=plain, loss=model_loss, width=1, steps=1):
    """As bremen.fit_dynamics, with another model or another loss.  width: outputs per coordinate of the state; steps:
    predictions in a row for a row of the loss.  -> bremen.Dynamics or Models, {"model_loss"}"""
    x, change = bremen.regression_rows(data, cfg)
    x_norm, y_norm = nets.Normalizer.fit(x), nets.Normalizer.fit(change)
    x, y = x_norm(x), y_norm(change)
    sizes = (x.shape[1], *cfg.model_hidden, width * y.shape[1])
    predict = partial(predict, sizes=sizes)
    order = rng.permutation(len(x))
    held_out, rows = np.split(order, [round(cfg.validation * len(x))])
    if steps > 1:  # no row of a sequence is held out
        rows = sequences(data, steps)
        rows = rows[~np.isin(rows, held_out).any(axis=1)]
    own = {weight_decay: dict(sizes=sizes, rows=len(rows)), unrolled_loss: dict(scales=(x_norm.scale, y_norm.scale))}
    slope = grad(lambda phi, x, y: loss(phi, x, y, predict, **own.get(loss, {})))
    validate = lambda phi: float(model_loss(phi, x[held_out], y[held_out], predict))
    cfg = replace(cfg, model_batch=max(1, cfg.model_batch // steps))
    steps_each = max(cfg.model_steps, cfg.model_epochs * len(rows) // cfg.model_batch)
    members, total = [], cfg.members * steps_each
    for k in range(cfg.members):
        show = lambda i, k=k: report({"stage": "model", "done": k * steps_each + i, "total": total})
        first = nets.init_mlp(rng, sizes)
        members.append(fit_member(first, slope, validate, x, y, rows, steps_each, cfg, rng, show))
    phi, common = np.stack([phi for phi, _ in members]), (x_norm, y_norm, *bremen.state_range(data, cfg))
    info = {"model_loss": float(np.mean([loss for _, loss in members]))}
    if predict.func is plain:
        return bremen.Dynamics(phi, *common, bremen.held_out_residuals(phi, x[held_out], y[held_out], cfg)), info
    return Models(phi, *common, left_over(phi, x[held_out], y[held_out], predict), predict), info


def fit_member(phi, slope, validate, x, y, rows, steps, cfg, rng, show):
    """Adam for `steps` minibatches of `rows`, its step size linear to 0, as the cheetahs' presets have it.
    slope(phi, x, y) -> (P,); validate(phi) -> loss.  -> the phi (P,) of the best of every 1,000 steps, its loss"""
    moments, best, best_loss = nets.adam_init(phi), phi, np.inf
    for i in range(1, steps + 1):
        part = rows[rng.integers(len(rows), size=cfg.model_batch)]
        lr = cfg.model_lr * (1 - (i - 0.5) / steps)
        moments = nets.adam(phi, slope(phi, x[part], y[part]), moments, lr)
        if i % 1000 == 0 or i == steps:
            loss = validate(phi)
            if loss < best_loss:
                best, best_loss = phi.copy(), loss
            show(i)
    return best, best_loss


def left_over(phi, x, y, predict):
    """bremen.held_out_residuals of other models; None for those that know their own noise."""
    rows, K = np.arange(len(phi) * bremen.RESIDUALS) % len(x), len(phi)
    pairs = [predict(p, x[rows]) for p in phi]
    if pairs[0][1] is not None:
        return None
    guesses = np.stack([mean for mean, _ in pairs])
    own = guesses[np.repeat(np.arange(K), bremen.RESIDUALS), np.arange(len(rows))]
    return (y[rows] - own) / np.maximum(nets.spread(guesses), 1e-6)


# --- other imagination ------------------------------------------------------------------------------------------------


def predictions(dynamics, x, cfg):
    """What all members expect.  x (B, S + A) normalised -> change (K, B, S) normalised, std (K, B, S) or None"""
    predict = getattr(dynamics, "predict", partial(plain, sizes=bremen.model_sizes(cfg)))
    pairs = [predict(phi, x) for phi in dynamics.phi]
    return np.stack([mean for mean, _ in pairs]), None if pairs[0][1] is None else np.stack([std for _, std in pairs])


def imagine(s, starts, cfg, rng, antithetic=False, limit=np.inf):
    """As bremen.imagine_paths.  antithetic: paths come in pairs from one state, with opposite noise; limit: a path is
    truncated, and its value counts on, where the members' spread exceeds it.  -> trpo.Paths (T, B), info"""
    task, policy, d = envs.TASKS[cfg.env], bremen.policy_of(s, cfg), s.dynamics
    T, B = cfg.horizon, cfg.imagined_steps // cfg.horizon
    pool = starts[rng.integers(len(starts), size=(T, B))]
    noise = policy.std * rng.standard_normal((T, B, task.act_dim), np.float32)
    members = rng.integers(len(d.phi), size=T)
    if d.residuals is None:
        errors = rng.standard_normal(pool.shape, np.float32)
    else:
        errors = bremen.drawn_residuals(d, T, B, cfg, rng)
        errors = np.zeros_like(pool) if errors is None else errors
    if antithetic:
        half = B // 2
        for drawn, sign in (pool, 1), (noise, -1), (errors, 1):
            drawn[:, half : 2 * half] = sign * drawn[:, :half]
    obs, columns, unknown = pool[0], [], 0
    for t, k in enumerate(members):
        act = policy.mean(obs) + noise[t]
        x = d.inputs(np.concatenate([obs, task.clip(act)], axis=1))
        guesses, std = predictions(d, x, cfg)
        spread = nets.spread(guesses)
        change = guesses[k] + errors[t] * (spread if std is None else std[k])
        next_obs = np.clip(obs + d.delta.undo(change), d.lowest, d.highest)
        terminated = ~task.healthy(next_obs)
        strange = spread[:, 0] > limit
        truncated = ~terminated & (strange | (t == T - 1))
        columns.append((obs, act, task.reward(obs, task.clip(act), next_obs), next_obs, terminated, truncated))
        unknown += np.count_nonzero(strange)
        obs = np.where((terminated | truncated)[:, None], pool[min(t + 1, T - 1)], next_obs)
    stacked = [np.stack(column) for column in zip(*columns)]
    paths = trpo.Paths(*stacked, bremen.time_of(stacked[4] | stacked[5]))
    return paths, {"imagined_reward": float(np.mean(paths.rew, dtype=np.float64)), "unknown": unknown / (T * B)}


def spread_on(data, dynamics, cfg, quantile):
    """The members' spread that a share `quantile` of the logged rows stays below.  -> number"""
    x, _ = bremen.regression_rows(data, cfg)
    pieces = [nets.spread(predictions(dynamics, dynamics.inputs(part), cfg)[0])[:, 0] for part in nets.chunks(x)]
    return float(np.quantile(np.concatenate(pieces), quantile))


class Vines:
    """The gradient's noise, less: from each of some imagined states four actions are tried, and everything else that is
    random is the same for all four (arXiv:1502.05477, section 5.2).  An action's advantage is then its return less the
    mean of the four; these rows join those of the paths."""

    STATES, TRIES, STEPS = 250, 4, 10

    def imagine(self, s, starts, cfg, rng):
        """bremen.imagine_paths, and vines from states on those paths."""
        paths, info = bremen.imagine_paths(s, starts, cfg, rng)
        flat = paths.obs.reshape(-1, paths.obs.shape[-1])
        states = flat[rng.choice(len(flat), self.STATES, replace=False)]
        alike = lambda x: np.repeat(x, self.TRIES, axis=1)
        draw = lambda n: rng.standard_normal((self.STEPS, n, paths.act.shape[-1]), np.float32)
        noise = alike(draw(self.STATES))
        noise[0] = draw(self.STATES * self.TRIES)[0]
        noise *= bremen.policy_of(s, cfg).std
        pool = alike(np.repeat(states[None], self.STEPS, axis=0))
        residuals = bremen.drawn_residuals(s.dynamics, self.STEPS, self.STATES, cfg, rng)
        member = rng.integers(len(s.dynamics.phi), size=self.STEPS)
        rolled = bremen.parallel_rollout(s, cfg, pool, noise, [member], None if residuals is None else alike(residuals))
        self.obs, self.act, self.next_obs, self.terminated = rolled
        task = envs.TASKS[cfg.env]
        self.rew = task.reward(self.obs, task.clip(self.act), self.next_obs)
        return paths, info

    def advantages(self, critic, norm, cfg):
        """Of the first actions, from what came within STEPS steps and the value behind them.  -> (STATES * TRIES,)"""
        going = np.cumsum(self.terminated, axis=0) - self.terminated == 0  # before, and in, the step that ends a path
        last = norm(self.next_obs[-1])
        value = trpo.value(critic, last, np.zeros(len(last)), cfg)
        gains = (cfg.gamma ** np.arange(self.STEPS)[:, None] * self.rew * going).sum(axis=0, dtype=np.float64)
        gains += cfg.gamma**self.STEPS * value * ~self.terminated.any(axis=0)
        of_state = gains.reshape(self.STATES, self.TRIES)
        return ((of_state - of_state.mean(axis=1, keepdims=True)) * self.TRIES / (self.TRIES - 1)).reshape(-1)

    def improve(self, theta, critic, paths, norm, net, cfg, rng):
        """trpo.improve with the vines' first actions as further rows."""
        obs, ages, adv, target, val = trpo.advantages(critic, paths, norm, cfg)
        all_obs = np.concatenate([obs, norm(self.obs[0])])
        act = np.concatenate([paths.act.reshape(len(obs), -1), self.act[0]])
        rows = trpo.rows_of(theta, all_obs, act, np.concatenate([adv, self.advantages(critic, norm, cfg)]), net)
        critic = trpo.fit_value(critic, obs, ages, target, cfg, np.random.default_rng(rng.integers(2**63)))
        theta, info = trpo.step(theta, rows, net, cfg, rng)
        return theta, critic, info | {"explained_variance": trpo.explained_variance(val, target)}


class Judges:
    """A second ensemble that imagination never uses; ME-TRPO (arXiv:1802.10592) stops when fewer than 70 % of its
    models say that the policy has become better."""

    def __init__(self, data, cfg, report):
        judge_rng = np.random.default_rng([cfg.seed, 1])
        self.dynamics, _ = bremen.fit_dynamics(data, cfg, judge_rng, report)
        self.starts, self.cfg, self.before = data.obs[data.episode_starts()], replace(cfg, model_noise=0.0), None

    def better(self, s):
        """Share of the judges that promise more than the last time they were asked.  -> number, NaN the first time"""
        promised = []
        for k in range(len(self.dynamics.phi)):
            alone = s._replace(dynamics=self.dynamics._replace(phi=self.dynamics.phi[k : k + 1]))
            rng = np.random.default_rng(k)  # the same starts each time
            promised.append(bremen.imagined_returns(alone, self.starts, self.cfg, rng).mean())
        before, self.before = self.before, np.array(promised)
        return np.nan if before is None else float(np.mean(self.before > before))


# --- the variants and a run of one ------------------------------------------------------------------------------------

VARIANTS = {  # what changes in the Config, and in the parts of train_offline
    "preset": ({}, {}),
    "member_per_path": ({"member_per": "path"}, {}),
    "sigma_0.3": ({"std": 0.3}, {}),
    "sigma_of_data": ({"std": 0.5}, {}),  # that of the behaviour policy, which is also the likeliest
    "members_10": ({"members": 10}, {}),
    "own_fit": ({}, {"fit": fit}),  # what the fits below are to be compared with
    "layer_norm": ({}, {"fit": partial(fit, predict=layer_norm), "imagine": imagine}),
    "gaussian": ({}, {"fit": partial(fit, predict=gaussian, width=2), "imagine": imagine}),
    "weight_decay": ({}, {"fit": partial(fit, loss=weight_decay)}),
    "four_steps": ({}, {"fit": partial(fit, loss=unrolled_loss, steps=4)}),
    "antithetic": ({}, {"imagine": partial(imagine, antithetic=True)}),
    "truncation": ({}, {}),  # parts that a run makes for itself: see `parts_of`
    "truncation_0.99": ({}, {}),
    "vines": ({}, {}),
    "judges": ({}, {}),
}


def parts_of(name, data):
    """The parts of train_offline for a variant.  -> {keyword: function}"""
    if name == "vines":
        vines = Vines()
        return {"imagine": vines.imagine, "improve": vines.improve}
    if name.startswith("truncation"):
        share, limit = float(name[len("truncation_") :] or 1), []

        def truncated(s, starts, cfg, rng):
            """`imagine` with the largest spread on the data, or most of it, as its limit."""
            limit.extend([] if limit else [spread_on(data, s.dynamics, cfg, share)])
            return imagine(s, starts, cfg, rng, limit=limit[0])

        return {"imagine": truncated}
    return VARIANTS[name][1]


def train(name, cfg, data, show):
    """Train a variant; measure its policy after each iteration, and its end.  -> a row for each measurement"""
    task, judges, rows, began = envs.TASKS[cfg.env], None, [], time.perf_counter()
    streams = bremen.streams(cfg.seed)
    for record in bremen.train_offline(cfg, data, report=show, **parts_of(name, data)):
        s = record["state"]
        if record["stage"] == "model":
            loss = record["model_loss"]
        elif s.updates % cfg.iteration_updates == 0:  # the clone, too
            if name == "judges":
                judges = judges or Judges(data, cfg, show)
            policy, last = bremen.policy_of(s, cfg), s.updates == cfg.updates_by(1)
            episodes = 100 if last else cfg.eval_interval_episodes
            returns, _, fall = run.page("evaluate").tested(task, policy.mean, episodes, streams["evaluate"], 1)
            row = {"variant": name, "env": cfg.env, "seed": cfg.seed, "updates": s.updates, "episodes": episodes}
            row |= {"real_return": returns.mean(), "real_return_std": returns.std(), "fall": fall}
            row |= {"imagined_reward": record.get("imagined_reward", np.nan), "unknown": record.get("unknown", np.nan)}
            row |= {"judges": judges.better(s) if judges else np.nan, "model_loss": loss}
            rows.append(row | {"seconds": round(time.perf_counter() - began, 1)})
            show({"stage": "update", "done": s.updates, "total": cfg.updates_by(1), "loss": returns.mean()})
    return rows


def execute(opts, name, seed):
    """One run, if it was not made before."""
    path = opts.out / f"{name}_{opts.env}{seed}.csv"
    if path.exists():
        return
    numbers = {"mode": "offline", "env": opts.env, "seed": seed, "threads": 1, "data_dir": str(opts.data_dir)}
    cfg = run.read_config(numbers | ({"preset": opts.preset} if opts.preset else {}))
    cfg = replace(cfg, iterations=2 * cfg.iterations, **VARIANTS[name][0])
    data, _, _ = run.read_dataset(cfg, {})
    with tqdm(total=100, desc=f"{name} {seed}", disable=None, leave=False) as bar:

        def show(report):
            """A report of training as a share of its stage."""
            bar.set_postfix_str(f"{report['stage']} {report.get('loss', '')}")
            bar.update(100 * report["done"] / report["total"] - bar.n)

        rows = train(name, cfg, data, show)
    versions = run.page("provenance").versions()
    about = {"commit": run.page("provenance").commit(), "versions": ", ".join(f"{k} {v}" for k, v in versions.items())}
    opts.out.mkdir(parents=True, exist_ok=True)
    safe_files.write_csv(path, [row | about for row in rows])
    end = rows[-1]
    run.say(f"{name} {seed}: {end['real_return']:,.0f} ± {end['real_return_std']:,.0f}, {end['fall']} of 100 fall")


def parser():
    """The command line."""
    p = run.Parser(prog="variants.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                   allow_abbrev=False)  # fmt: skip
    p.add_argument("variants", nargs="+", choices=VARIANTS, metavar="VARIANT", help=", ".join(VARIANTS))
    robots = [name for name, task in envs.TASKS.items() if task.free_joint is None]
    p.add_argument("--env", choices=robots, default="half_cheetah", metavar="ENV", help=", ".join(robots))
    p.add_argument("--random_seeds", nargs="+", type=int, default=[11], metavar="N", help="of data and training (11)")
    p.add_argument("--preset", choices=bremen.PRESETS, help="whose numbers (classroom)")
    p.add_argument("--data_dir", type=Path, default=Path("data"), metavar="DIR", help="where datasets are kept (data)")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the rows are kept")
    return p


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""

    def work():
        opts = parser().parse_args(argv)
        for name in opts.variants:
            for seed in opts.random_seeds:
                execute(opts, name, seed)
        return 0

    return run.guarded("variants.py", work, lambda: "finished runs are kept; the same line goes on")


if __name__ == "__main__":
    sys.exit(main())
