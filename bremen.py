"""BREMEN: behavior-regularized model ensembles (Matsushima, Furuta, Matsuo, Nachum & Gu, arXiv:2006.03647).

Fit an ensemble of dynamics models to logged transitions, clone the policy that made them, and improve the clone on
imagined rollouts in conservative trust-region steps.  `train_offline` is the paper's Algorithm 2 on one page; the
functions below it appear in the order in which it calls them.  It is a generator: it yields a record after each
stage and prints nothing.  Its parts are keyword arguments: pass another function to change one.

Letters in shapes: N rows, T time, B imagined paths side by side, K members, S/A observation/action dimension,
P parameters.  theta: policy, beta: clone, phi: dynamics models.
"""

from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numba import njit

import envs
import nets
import trpo


@dataclass(frozen=True)
class Config:
    """Every number of a run.  The defaults are the preset `classroom`; PRESETS holds what differs per environment."""

    mode: str = "offline"  # Algorithm 2 on a fixed dataset, TRPO on the simulator, or something to do with files
    env: str = "hopper"  # the robot
    preset: str = "classroom"  # a run of seconds, minutes or hours
    seed: int = 0  # every random number of the run comes from it
    threads: int = 0  # worker threads; 0: all cores
    gradients: str = "hand"  # derivatives: by hand is fast, autograd follows any change of the code
    # data
    data: str = ""  # dataset file (.npz); empty: the default dataset, collected when missing
    n_train: int = 200_000  # real transitions used for training [rows]
    noise: str = "pure"  # how to act while collecting: samples of the behaviour policy, or uniform random actions
    # dynamics models
    members: int = 5  # K, ensemble size
    model_hidden: tuple = (256, 256)  # widths of each member's hidden layers
    model_lr: float = 2e-3  # Adam's step size in the first epoch
    model_lr_last: float = 1e-4  # and in the last possible one; geometric in between
    model_batch: int = 64  # minibatch [rows]
    model_epochs: int = 14  # at most so many passes over the data
    model_patience: int = 5  # stop after so many epochs without a better validation loss
    validation: float = 0.15  # share of the rows held out, drawn at random
    # behaviour cloning and policy
    policy_hidden: tuple = (200, 200)  # widths of the policy's hidden layers
    clone_lr: float = 1e-3  # Adam's step size
    clone_batch: int = 256  # minibatch [rows]
    clone_steps: int = 10_000  # gradient steps
    bc_init: bool = True  # start the policy from the clone; no: random start, as ME-TRPO does
    std: float = 0.1  # sigma of the policy, as a share of the action limit: for sampling *and* for densities
    learn_std: bool = False  # let TRPO change sigma
    # imagination
    iterations: int = 12  # rounds, each of `interval` updates and one evaluation
    interval: int = 25  # TRPO updates per iteration
    imagined_steps: int = 20_000  # imagined transitions per update [rows]
    horizon: int = 250  # length of an imagined path [steps]
    start: str = "dataset"  # where paths start: any logged state, logged episode starts, or resets of the simulator
    clip_states: bool = True  # keep each coordinate of an imagined state within the range of the logged ones
    member_per: str = "step"  # draw the member that predicts anew at each step, or once for a path
    alpha: float = 0.0  # weight of the explicit penalty KL(policy || clone) on each imagined reward
    # trust region
    target_kl: float = 1e-3  # delta [nats], radius of the trust region
    gamma: float = 0.99  # discount
    lam: float = 0.95  # lambda of generalised advantage estimation
    cg_iters: int = 10  # conjugate-gradient iterations
    cg_damping: float = 0.1  # added to the Fisher matrix's diagonal
    fisher_rows: float = 0.1  # share of the rows used for Fisher products
    backtrack: float = 0.8  # factor of the line search
    max_backtracks: int = 15  # then the step is given up
    accept_ratio: float = 0.1  # least share of the predicted improvement
    # value function
    value: str = "mlp"  # a network, or ridge regression on simple features
    value_hidden: tuple = (64, 64)  # widths of the hidden layers
    value_epochs: int = 5  # passes over each update's rows
    value_batch: int = 1000  # minibatch [rows]
    value_lr: float = 1e-3  # Adam's step size
    # evaluation (never influences training)
    eval_episodes: int = 20  # real episodes for the closing table
    eval_interval_episodes: int = 5  # real episodes after each iteration, for the curve
    # mode online
    online_steps: int = 1_000_000  # real transitions in total
    online_envs: int = 32  # simulators side by side
    online_horizon: int = 250  # steps of each per update

    def __post_init__(self):
        """ValueError, in one line, for the first field that makes no sense."""
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"--{name} {getattr(self, name)}: choose from {', '.join(choices)}")
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            right = isinstance(value, KINDS[kind][0]) and isinstance(value, bool) == (kind is bool)
            if not right or (kind is tuple and not all(isinstance(width, Integral) for width in value)):
                raise ValueError(f"--{field.name} {value!r}: must be {KINDS[kind][1]}")
            least = 0 if field.name in ZERO_IS_FINE else None
            for v in value if kind is tuple else (value,):
                if kind in (int, float, tuple) and not (0 < v < np.inf or v == least):
                    raise ValueError(f"--{field.name} {v}: must be {'at least 0' if least == 0 else 'above 0'}, finite")
        for name in ("validation", "gamma", "lam", "fisher_rows", "backtrack", "accept_ratio"):
            below = name in ("validation", "gamma")  # the value network predicts (1 - gamma) V
            if getattr(self, name) > 1 or (below and getattr(self, name) == 1):
                raise ValueError(f"--{name} {getattr(self, name)}: a share, {'below' if below else 'at most'} 1")


_SMALL = dict(members=2, model_hidden=(32, 32), model_epochs=3, policy_hidden=(32, 32), clone_steps=300)
_ONLINE = dict(learn_std=True, std=0.5, policy_hidden=(64, 64), target_kl=0.015, lam=0.97, fisher_rows=1.0,
               value_epochs=10, interval=10)  # fmt: skip
_HALF = dict(n_train=100_000, model_epochs=24, iterations=14)
_LONG_PATHS = dict(horizon=1000)
# What a preset changes for all environments ("*") and for single ones; the defaults above are `classroom`.
PRESETS = {
    "smoke": {
        "*": dict(n_train=3000, iterations=2, interval=2, imagined_steps=2000, horizon=50, eval_episodes=4,
                  eval_interval_episodes=2, online_steps=16_000, online_envs=8, **_SMALL),
    },
    "classroom": {
        "half_cheetah": _HALF, "cheetah_run": _HALF, "walker2d": _HALF, "ant": _HALF | dict(lam=0.97),
        "pendulum": dict(n_train=20_000, iterations=6, horizon=100, target_kl=5e-3, model_hidden=(64, 64),
                         policy_hidden=(64, 64)),
    },
    "paper": {
        "*": dict(n_train=1_000_000, model_hidden=(1024, 1024), model_batch=1000, model_epochs=200, model_patience=20,
                  model_lr=1e-3, model_lr_last=1e-3, clone_lr=5e-4, clone_steps=300_000, iterations=250,
                  imagined_steps=50_000, start="initial", value="linear", target_kl=4.5e-4, fisher_rows=1.0),
        "hopper": _LONG_PATHS | dict(target_kl=2.3e-4), "walker2d": _LONG_PATHS | dict(target_kl=2.3e-4),
        "ant": dict(lam=0.97, target_kl=2.3e-4),
    },
}  # fmt: skip


def preset(cfg):
    """What cfg.preset changes in the defaults for cfg.env and cfg.mode.  -> {field: value}"""
    table, online = PRESETS[cfg.preset], {}
    if cfg.mode == "online":
        online = _ONLINE | (dict(std=0.3, target_kl=0.02) if cfg.env == "ant" else {})
    return {**table.get("*", {}), **table.get(cfg.env, {}), **online}


CHOICES = {
    "mode": ("offline", "online", "collect", "evaluate", "video", "plot"),
    "env": tuple(envs.TASKS),
    "preset": ("smoke", "classroom", "paper"),
    "gradients": ("hand", "autograd"),
    "noise": ("pure", "random"),
    "start": ("dataset", "initial", "reset"),
    "member_per": ("step", "path"),
    "value": ("mlp", "linear"),
}


ZERO_IS_FINE = ("seed", "threads", "alpha", "iterations", "lam", "cg_damping", "max_backtracks")
KINDS = {  # what a field must be, by the type of its default; NumPy's numbers are welcome too
    int: (Integral, "an integer"),
    float: (Real, "a number"),
    tuple: (tuple, "a tuple of integers"),
    bool: (bool, "True or False"),
    str: (str, "a text"),
}


class Diverged(FloatingPointError):
    """A model or policy has produced numbers that are not finite; the last state yielded is still good."""


class Dynamics(NamedTuple):
    """An ensemble: parameters phi (K, P), normalisers of inputs [obs, act] and of next_obs - obs, and the smallest
    and largest states (S,) that an imagined path may reach."""

    phi: np.ndarray
    inputs: nets.Normalizer
    delta: nets.Normalizer
    lowest: np.ndarray
    highest: np.ndarray


class State(NamedTuple):
    """All that training knows after a stage, and all that is needed to go on from there.

    The generators go on with the run: to keep a state for later, copy.deepcopy it before asking for the next record.
    """

    rng: dict  # a generator per purpose
    norm: nets.Normalizer  # of the policy's and the value function's observations
    dynamics: Dynamics | None = None
    beta: np.ndarray | None = None  # clone (P,)
    theta: np.ndarray | None = None  # policy (P,)
    critic: trpo.Critic | None = None
    updates: int = 0
    steps: int = 0  # real transitions taken (mode online)


STREAMS = "init", "collect", "model", "clone", "imagine", "evaluate"


def streams(seed):
    """A generator for each purpose: a new draw in one leaves the others unmoved.  -> dict"""
    return dict(zip(STREAMS, map(np.random.default_rng, np.random.SeedSequence(seed).spawn(len(STREAMS)))))


def policy_net(cfg):
    """(sizes, limit) of the policy's network: see nets.mlp."""
    task = envs.TASKS[cfg.env]
    return (task.obs_dim, *cfg.policy_hidden, task.act_dim), task.act_limit


def model_sizes(cfg):
    """Layer widths of one dynamics model: [obs, act] -> normalised next_obs - obs."""
    task = envs.TASKS[cfg.env]
    return (task.obs_dim + task.act_dim, *cfg.model_hidden, task.obs_dim)


def new_policy(cfg, rng):
    """A policy that acts near zero with standard deviation std * act_limit.  -> theta (P,) float32"""
    sizes, limit = policy_net(cfg)
    log_std = np.full(sizes[-1], np.log(cfg.std * limit), np.float32)
    return np.concatenate([nets.init_mlp(rng, sizes, out_scale=0.01), log_std])


def ignore(record):
    """The default listener of progress reports."""


# --- Algorithm 2 ----------------------------------------------------------------------------------------------------


def train_offline(cfg, data, state=None, *, fit=None, clone=None, imagine=None, improve=None, report=ignore):
    """Algorithm 2 of arXiv:2006.03647: offline reinforcement learning from the fixed dataset `data` (a Batch).

    Yields a record after each stage: {"stage": ..., "state": all that was learnt so far, ...numbers}.  Training goes
    on from `state` when one is given.  Pass another function for one of the algorithm's parts to replace
    fit_dynamics, clone_behavior, imagine_paths or trpo.improve; `report` hears how the long ones get on.
    Raises Diverged.
    """
    fit, clone = fit or fit_dynamics, clone or clone_behavior
    imagine, improve = imagine or imagine_paths, improve or trpo.improve
    nets.use_threads(cfg.threads)
    s = state or State(streams(cfg.seed), nets.Normalizer.fit(data.obs))
    if s.dynamics is None:  # train K models on the dataset
        dynamics, info = fit(data, cfg, s.rng["model"], report)
        s = s._replace(dynamics=dynamics)
        yield {"stage": "model", "state": s, **info}
    if s.beta is None:  # estimate the behavior policy by cloning, and start the policy from it
        beta, info = clone(data, s.norm, cfg, s.rng["clone"], report)
        theta = beta if cfg.bc_init else new_policy(cfg, s.rng["init"])
        critic = trpo.new_critic(s.rng["init"], data.obs.shape[1], cfg)
        s = s._replace(beta=beta, theta=theta, critic=critic)
        yield {"stage": "clone", "state": s, **info}
    starts = start_states(data, cfg)
    while s.updates < cfg.iterations * cfg.interval:  # imagine, improve, one trust region after another
        paths, info = imagine(s, starts, cfg, s.rng["imagine"])
        theta, critic, more = improve(s.theta, s.critic, paths, s.norm, policy_net(cfg), cfg, s.rng["imagine"])
        s = s._replace(theta=theta, critic=critic, updates=s.updates + 1)
        yield {"stage": "update", "state": s, **info, **more}


# --- "train K models": the ensemble ---------------------------------------------------------------------------------


def fit_dynamics(data, cfg, rng, report=ignore):
    """Fit K models to next_obs - obs by least squares: Algorithm 2, "train K models" (deterministic, no variance).

    Inputs [obs, act] and targets are normalised.  All members hold out the same random rows for validation, but each
    starts from its own weights and sees its own shuffles.  -> Dynamics, {"model_loss": mean of the members' best
    validation losses, "model_curve": validation losses of the members per epoch, NaN once they have stopped}
    """
    x, delta = np.concatenate([data.obs, data.act], axis=1), data.next_obs - data.obs
    inputs, outputs = nets.Normalizer.fit(x), nets.Normalizer.fit(delta)
    order, held = rng.permutation(len(x)), max(1, round(cfg.validation * len(x)))
    if held >= len(x):
        raise ValueError(f"fit_dynamics: {len(x)} rows, {held} of them for validation, leave none to train on")
    x, y = inputs(x)[order], outputs(delta)[order]
    members = [fit_member(x[held:], y[held:], x[:held], y[:held], cfg, r) for r in rng.spawn(cfg.members)]
    best, curve = [None] * cfg.members, []
    while any(news := nets.parallel(lambda member: next(member, None), members)):
        best = [new or old for new, old in zip(news, best)]
        curve.append([new[0] if new else np.nan for new in news])
        loss = float(np.mean([b[1] for b in best]))
        report({"stage": "model", "done": len(curve), "total": cfg.model_epochs, "loss": loss})
    seen = np.concatenate([data.obs, data.next_obs])
    reach = (seen.min(axis=0), seen.max(axis=0)) if cfg.clip_states else (seen[0] * 0 - np.inf, seen[0] * 0 + np.inf)
    info = {"model_loss": loss, "model_curve": curve}
    return Dynamics(np.stack([b[2] for b in best]), inputs, outputs, *reach), info


def fit_member(x, y, x_val, y_val, cfg, rng):
    """Generator: one model, one epoch of Adam per `next`, until `model_patience` epochs brought nothing better.

    x (N, S + A), y (N, S), normalised.  Yields (validation loss, best so far, its phi (P,)): the best weights are
    kept, not the last.  Raises Diverged.
    """
    sizes = x.shape[1], *cfg.model_hidden, y.shape[1]
    phi = nets.init_mlp(rng, sizes)
    moments, best, best_phi, waited = nets.adam_init(phi), np.inf, None, 0
    for epoch in range(cfg.model_epochs):
        lr = cfg.model_lr * (cfg.model_lr_last / cfg.model_lr) ** (epoch / max(1, cfg.model_epochs - 1))
        order = rng.permutation(len(x))
        moments = nets.adam_epoch(phi, moments, x, y, order, cfg.model_batch, lr, sizes, None, cfg.gradients)
        loss = nets.mean_loss(phi, x_val, y_val, sizes)
        if not np.isfinite(loss):
            raise Diverged("a dynamics model's loss is not finite: try a smaller model_lr")
        best, best_phi, waited = (loss, phi.copy(), 0) if loss < best else (best, best_phi, waited + 1)
        yield loss, best, best_phi
        if waited >= cfg.model_patience:
            return


def predict(dynamics, obs, act, member, cfg):
    """Next observations that a member expects, not clipped.  obs (B, S), act (B, A) clipped, member (int) -> (B, S)"""
    x = dynamics.inputs(np.concatenate([obs, act], axis=1))
    return obs + dynamics.delta.undo(nets.mlp(dynamics.phi[member], x, model_sizes(cfg)))


# --- "behavior cloning" ---------------------------------------------------------------------------------------------


def clone_behavior(data, norm, cfg, rng, report=ignore):
    """Clone the behaviour policy: Algorithm 2, "behavior cloning", minimises the mean of 1/2 |a - mu(s)|^2.

    The mean is squashed to the action limit, the standard deviation is the run's `std`.
    -> beta (P,), {"clone_loss": that mean}
    """
    net, beta = policy_net(cfg), new_policy(cfg, rng)
    mu = nets.split(beta, net[0])[0]  # a view: Adam moves the weights of beta and leaves log_std alone
    moments, obs = nets.adam_init(mu), norm(data.obs)
    for done in range(0, cfg.clone_steps, 500):
        order = rng.integers(len(obs), size=min(500, cfg.clone_steps - done) * cfg.clone_batch)
        moments = nets.adam_epoch(mu, moments, obs, data.act, order, cfg.clone_batch, cfg.clone_lr, *net, cfg.gradients)
        loss = nets.mean_loss(mu, obs[order[:5000]], data.act[order[:5000]], *net)
        report({"stage": "clone", "done": min(done + 500, cfg.clone_steps), "total": cfg.clone_steps, "loss": loss})
    loss = nets.mean_loss(mu, obs, data.act, *net)
    if not np.isfinite(loss):
        raise Diverged("cloning has produced numbers that are not finite: try a smaller clone_lr")
    return beta, {"clone_loss": loss}


# --- "imagine": rollouts in the ensemble ----------------------------------------------------------------------------


def start_states(data, cfg):
    """The states from which imagined paths start: any logged, logged episode starts, or simulator resets.  -> (R, S)"""
    if cfg.start == "dataset":
        return data.obs
    if cfg.start == "initial":
        return data.obs[data.episode_starts()]
    sim, rng = envs.TASKS[cfg.env].sim(), streams(cfg.seed)["collect"]  # its own copy: resuming must not redraw
    return sim.observe(np.stack([sim.initial(rng) for _ in range(10_000)]))


def imagine_paths(s, starts, cfg, rng):
    """Roll the policy out in the ensemble from states drawn from `starts` (R, S): Algorithm 2, "imagined rollouts".

    imagined_steps / horizon paths side by side; one that leaves the healthy box restarts in place.  At each step one
    member, drawn at random, predicts for all (or each path keeps its own).  alpha KL(policy || clone) is taken off
    the reward.  -> Paths (T, B), {"imagined_reward": mean per step, "imagined_length": mean length [steps]}; Diverged
    """
    task, T, K = envs.TASKS[cfg.env], cfg.horizon, len(s.dynamics.phi)  # the kernel does not check its bounds
    B = max(1, cfg.imagined_steps // T)
    pool = starts[rng.integers(len(starts), size=(T, B))].astype(s.theta.dtype, copy=False)
    std = np.exp(nets.split(s.theta, policy_net(cfg)[0])[1])
    noise = std * rng.standard_normal((T, B, task.act_dim), np.float32)
    if cfg.member_per == "step":
        members = [rng.integers(K, size=T)] * min(B, nets.workers())
    else:  # each member has a share of the columns for good
        members = [np.full(T, k) for k in rng.permutation(K)[:B]]
    obs, act, next_obs, terminated = roll_out(s, cfg, pool, noise, members)
    if not np.isfinite(next_obs).all():
        raise Diverged("imagined states are not finite: the dynamics models have diverged")
    rew = task.reward(obs, task.clip(act), next_obs)
    if cfg.alpha > 0:
        rew = rew - cfg.alpha * kl_to_clone(s, obs.reshape(T * B, -1), cfg).reshape(T, B)
    truncated = np.zeros_like(terminated)
    truncated[-1] = ~terminated[-1]
    paths = trpo.Paths(obs, act, rew, next_obs, terminated, truncated, time_of(terminated))
    ends = np.count_nonzero(terminated | truncated)
    return paths, {"imagined_reward": float(np.mean(rew, dtype=np.float64)), "imagined_length": float(T * B / ends)}


def imagined_returns(s, starts, cfg, rng, paths=40):
    """Returns that the ensemble expects of the policy without noise over whole episodes: to set beside real ones.

    From `paths` logged episode starts (R, S), one member per step, until termination or the time limit.  -> (paths,),
    NaN where the models diverge
    """
    task, T = envs.TASKS[cfg.env], envs.TASKS[cfg.env].max_steps
    pool = np.broadcast_to(starts[rng.integers(len(starts), size=paths)], (T, paths, task.obs_dim)).copy()
    noise = np.zeros((T, paths, task.act_dim), np.float32)
    members = [rng.integers(len(s.dynamics.phi), size=T)] * min(paths, nets.workers())
    obs, act, next_obs, terminated = roll_out(s, cfg, pool, noise, members)
    alive = np.cumsum(terminated, axis=0) - terminated == 0  # up to and including the first terminal step
    returns = np.sum(task.reward(obs, task.clip(act), next_obs), axis=0, where=alive, dtype=np.float64)
    # a model that blows up ends an episode: where rewards are negative, that would look like a good one
    return np.where(np.all(np.isfinite(next_obs) | ~alive[..., None], axis=(0, 2)), returns, np.nan)


def time_of(terminated):
    """Steps since each path's last restart.  (T, B) -> (T, B)"""
    t = np.arange(len(terminated))[:, None]
    began = np.where(np.roll(terminated, 1, axis=0), t, 0)  # at t = 0 a path begins in any case
    return t - np.maximum.accumulate(began, axis=0)


def kl_to_clone(s, obs, cfg):
    """KL(policy || clone) at each observation [nats].  obs (N, S) -> (N,)"""
    net = policy_net(cfg)
    policy, clone = ((nets.mlp(v, s.norm(obs), *net), nets.split(v, net[0])[1]) for v in (s.theta, s.beta))
    return nets.kl_gauss(*policy, *clone)


def roll_out(s, cfg, pool, noise, members):
    """`rollout` with the columns of pool and noise shared out among the worker threads.

    members: a list of C arrays (T,), the models that predict for the first, second, ... C-th part of the columns.
    -> obs, act, next_obs, terminated, all (T, B, ...)
    """
    task, (sizes, limit), f = envs.TASKS[cfg.env], policy_net(cfg), s.theta.dtype.type
    stats = [a.astype(f) for n in (s.norm, s.dynamics.inputs, s.dynamics.delta) for a in (n.mean, n.scale)]
    stats += [s.dynamics.lowest, s.dynamics.highest, task.low, task.high]
    world = s.theta, np.array(sizes), s.dynamics.phi, np.array(model_sizes(cfg)), f(limit), *stats
    parts = (np.array_split(x, len(members), axis=1) for x in (pool, noise))
    run = lambda p, n, m: rollout(*world, np.ascontiguousarray(p), np.ascontiguousarray(n), m)
    return tuple(np.concatenate(column, axis=1) for column in zip(*nets.parallel(run, *parts, members)))


@njit(nogil=True, cache=True)
def rollout(
    theta, policy_sizes, phi, sizes, limit, obs_mean, obs_std, in_mean, in_std, d_mean, d_std,
    lowest, highest, low, high, pool, noise, member,
):  # fmt: skip
    """Imagined paths: policy, model, healthy box, step after step; `rollout_plain` says the same in NumPy.

    pool (T, B, S): pool[0] are the first states, pool[t] the states from which a path that ended at t - 1 goes on.
    noise (T, B, A) is added to the mean action.  member (T,): whose prediction counts at each step.
    -> obs (T, B, S), act (T, B, A) not clipped, next_obs (T, B, S), terminated (T, B)
    """
    T, B, S = pool.shape
    A = noise.shape[2]
    obs, next_obs, act = np.empty_like(pool), np.empty_like(pool), np.empty_like(noise)
    terminated = np.zeros((T, B), np.bool_)
    s, o, x = pool[0].copy(), np.empty((B, S), pool.dtype), np.empty((B, S + A), pool.dtype)
    for t in range(T):
        for b in range(B):
            for j in range(S):
                o[b, j] = (s[b, j] - obs_mean[j]) / obs_std[j]
                x[b, j] = (s[b, j] - in_mean[j]) / in_std[j]
        mu = _forward(theta, policy_sizes, o)
        for b in range(B):
            for j in range(A):
                a = limit * np.tanh(mu[b, j]) + noise[t, b, j]
                act[t, b, j] = a
                x[b, S + j] = (min(max(a, -limit), limit) - in_mean[S + j]) / in_std[S + j]
        d = _forward(phi[member[t]], sizes, x)
        for b in range(B):
            healthy = True
            for j in range(S):
                y = min(max(s[b, j] + d[b, j] * d_std[j] + d_mean[j], lowest[j]), highest[j])
                obs[t, b, j], next_obs[t, b, j] = s[b, j], y
                healthy = healthy and low[j] < y and y < high[j]
            terminated[t, b] = not healthy
            for j in range(S):
                s[b, j] = next_obs[t, b, j] if healthy else pool[min(t + 1, T - 1), b, j]
    return obs, act, next_obs, terminated


@njit(nogil=True, cache=True)
def _forward(theta, sizes, x):
    """nets.mlp for Numba (linear output): a cached kernel and all that it calls must live in one file."""
    i = 0
    for k in range(len(sizes) - 1):
        m, n = sizes[k], sizes[k + 1]
        x = np.dot(x, theta[i : i + m * n].reshape((m, n)))
        b = theta[i + m * n : i + m * n + n]
        for r in range(len(x)):
            for j in range(n):
                x[r, j] += b[j]
                if k < len(sizes) - 2 and x[r, j] < 0:
                    x[r, j] = 0
        i += (m + 1) * n
    return x


def rollout_plain(
    theta, policy_sizes, phi, sizes, limit, obs_mean, obs_std, in_mean, in_std, d_mean, d_std,
    lowest, highest, low, high, pool, noise, member,
):  # fmt: skip
    """What `rollout` means, in NumPy: its oracle, and the thing to read first."""
    s, rows = pool[0], []
    for t, k in enumerate(member):
        act = nets.mlp(theta, (s - obs_mean) / obs_std, policy_sizes, limit) + noise[t]
        x = (np.concatenate([s, np.clip(act, -limit, limit)], axis=1) - in_mean) / in_std
        next_obs = np.clip(s + nets.mlp(phi[k], x, sizes) * d_std + d_mean, lowest, highest)
        terminated = ~np.all((low < next_obs) & (next_obs < high), axis=1)
        rows.append((s, act, next_obs, terminated))
        s = np.where(terminated[:, None], pool[min(t + 1, len(pool) - 1)], next_obs)
    return tuple(np.stack(column) for column in zip(*rows))


# --- mode online: TRPO on the simulator -----------------------------------------------------------------------------


def train_online(cfg, state=None, *, sample=None, improve=None):
    """Model-free TRPO (arXiv:1502.05477) on the simulator: trains behaviour policies, and is the yardstick.

    Yields a record after each update; `state` continues from an earlier record's (the robots start new episodes).
    """
    sample, improve = sample or trpo.sample_paths, improve or trpo.improve
    threads, task = nets.use_threads(cfg.threads), envs.TASKS[cfg.env]
    s = state or start_online(cfg)
    env = envs.TaskVectorEnv(cfg.env, cfg.online_envs, threads)
    env.reset(seed=[int(i) for i in s.rng["collect"].integers(2**31, size=cfg.online_envs)])
    while s.steps < cfg.online_steps:
        paths, returns = sample(
            env, nets.Policy(s.theta, s.norm, policy_net(cfg)), cfg.online_horizon, s.rng["collect"]
        )
        theta, critic, info = improve(s.theta, s.critic, paths, s.norm, policy_net(cfg), cfg, s.rng["imagine"])
        norm = s.norm.merge(paths.obs.reshape(-1, task.obs_dim))
        steps = s.steps + paths.rew.size
        s = s._replace(theta=theta, critic=critic, norm=norm, updates=s.updates + 1, steps=steps)
        yield {
            "stage": "online",
            "state": s,
            "real_steps": steps,
            "sampled_return": np.mean(returns or [np.nan]),
            **info,
        }


def start_online(cfg):
    """A random policy; 2,000 random steps, not counted, tell how to normalise observations to begin with.  -> State"""
    rng, task = streams(cfg.seed), envs.TASKS[cfg.env]
    norm = nets.Normalizer.fit(envs.collect(task, task.random_action, 2000, rng["collect"]).obs)
    critic = trpo.new_critic(rng["init"], task.obs_dim, cfg)
    return State(rng, norm, theta=new_policy(cfg, rng["init"]), critic=critic)
