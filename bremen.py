"""BREMEN: behavior-regularized model ensembles (Matsushima, Furuta, Matsuo, Nachum & Gu, arXiv:2006.03647).

Fit an ensemble of dynamics models to logged transitions, clone the policy that made them, and improve the clone on
imagined rollouts in conservative trust-region steps.  `train_offline` is the paper's Algorithm 2 on one page,
`train_recursive` its Algorithm 1.  Their parts follow in the order in which they are called, down to the ruled line:
below it are options, the evaluation of the models, and the numbers of the presets.

Both algorithms are generators: they yield a record after each stage and print nothing.  Their parts are keyword
arguments: pass another function to change one.  "The original" is the authors' program; examples/original.md has a
table of all that is done differently here.

Letters in shapes: N rows, R start states, T time, B imagined paths side by side, K members, S/A observation/action
dimension, P parameters.  theta: policy, beta: clone, phi: dynamics models.
"""

import math
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

import envs
import nets
import trpo

for _module, _name in (envs, "MujocoSim"), (trpo, "fisher_vector"):  # nets: see trpo.py
    if not hasattr(_module, _name):  # a folder or file of this name that came first
        _found = _module.__file__ or list(_module.__path__)[0]
        raise ImportError(f"bremen.py needs its own {_module.__name__}.py, but Python finds {_found}: rename that one")


@dataclass(frozen=True)
class Config:
    """Every number of a run.  Config() has the bare defaults; configured(env=...) puts in the numbers of a preset."""

    mode: str = "offline"  # offline: Algorithm 2; recursive: Algorithm 1; the others have pages in examples/
    env: str = "hopper"  # the robot
    preset: str = "classroom"  # a run of seconds, minutes or hours
    seed: int = 0  # every random number of the run comes from it
    threads: int = 0  # worker threads; 0: one per physical core
    gradients: str = "hand"  # derivatives: by hand is fast, autograd follows any change of the code
    # data
    data: str = ""  # dataset file (.npz); empty: the default dataset, collected when missing
    data_dir: str = "data"  # where default datasets are kept
    n_train: int = 100_000  # real transitions used for training, over all deployments [rows]; fewer: worse models
    noise: str = "pure"  # how to act while collecting: samples of the behaviour policy, uniform random, or mixtures
    deployments: int = 4  # mode recursive: how often n_train / deployments transitions are collected
    deployed_steps: int = 1000  # mode recursive: time limit of a deployed episode [steps]
    # dynamics models
    members: int = 5  # K, ensemble size; with one model the policy exploits its errors
    model_hidden: tuple = (256, 256)  # widths of each member's hidden layers
    model_lr: float = 4e-3  # Adam's step size in the first epoch
    model_lr_last: float = 3e-4  # Adam's step size in the last possible epoch, geometric in between; 0: linear to 0
    model_batch: int = 64  # minibatch [rows]
    model_epochs: int = 45  # largest number of passes over the data
    model_steps: int = 0  # train for at least this many minibatches, even beyond model_epochs; 0: no minimum
    model_patience: int = 5  # stop after this many epochs without a better validation loss
    validation: float = 0.15  # share of the rows held out, drawn at random
    # behaviour cloning and policy
    policy_hidden: tuple = (200, 200)  # widths of the policy's hidden layers
    clone_lr: float = 1e-3  # Adam's step size
    clone_batch: int = 256  # minibatch [rows]
    clone_steps: int = 10_000  # gradient steps
    bc_init: bool = True  # start from the clone; if not: keep the last policy, at first random weights (as ME-TRPO)
    all_bc: bool = False  # mode recursive: clone all data, not only the newest deployment's
    std: float = 0.1  # sigma of the policy, as a share of the action limit; larger: explores more, acts worse
    density_std: str = "same"  # sigma in log-probabilities: the same as for sampling, or exp(-5) as in the original
    learn_std: bool = False  # let TRPO change sigma
    # imagination
    iterations: int = 12  # rounds of updates with an evaluation after each; more: the models are exploited in the end
    iteration_updates: int = 25  # TRPO updates per iteration
    imagined_steps: int = 20_000  # imagined transitions per update, in whole paths [rows]; more: less noise, slower
    horizon: int = 250  # length of an imagined path [steps]; longer: the errors of the models add up
    start: str = "dataset"  # where paths start: any logged state, logged episode starts, or resets of the simulator
    clip_states: bool = True  # keep each coordinate of an imagined state within the range of the data
    clip_margin: float = 0.0  # that range is wider at both ends by this share of it; larger: the policy may go further
    model_noise: float = 0.0  # how much of the models' residuals imagined steps get; 0: as if models were exact
    member_per: str = "step"  # draw the member that predicts anew at each step, or once for a path
    alpha: float = 0.0  # how much of log(policy / clone) is taken off each reward; larger: stays nearer to the clone
    # trust region
    target_kl: float = 1e-3  # delta [nats], radius of the trust region; larger: faster, and exploits the models sooner
    target_kl_end: float = 1.0  # share of it that is left at the last update, linear in between; smaller: a calmer end
    gamma: float = 0.99  # discount; nearer to 1: looks further ahead, with more noise
    lam: float = 0.95  # lambda of generalised advantage estimation
    cg_iters: int = 10  # conjugate-gradient iterations
    cg_damping: float = 0.1  # added to the Fisher matrix's diagonal
    fisher_rows: float = 0.1  # share of the rows used for Fisher products; smaller: faster, and shorter steps
    backtrack: float = 0.8  # factor of the line search
    max_backtracks: int = 15  # give the update up after this many shorter steps
    accept_ratio: float = 0.1  # smallest share of the predicted improvement that is accepted
    # value function
    value: str = "mlp"  # a network, or ridge regression on simple features
    value_hidden: tuple = (64, 64)  # widths of the hidden layers
    value_epochs: int = 5  # passes over each update's rows
    value_batch: int = 1000  # minibatch [rows]
    value_lr: float = 1e-3  # Adam's step size
    pretrain_value: bool = False  # fit the value function to the logged episodes before the first update
    # evaluation (never influences training)
    eval_episodes: int = 20  # real episodes for the closing table; 100 in mode evaluate
    eval_interval_episodes: int = 5  # real episodes after each iteration, for the curve
    eval_model: bool = False  # measure after each iteration how far imagined trajectories are from real ones
    # files (never influence training)
    keep_policies: bool = False  # keep the policy of every iteration, in policies/
    tensorboard: bool = False  # write event files for TensorBoard, too (with the extra `tensorboard`)

    def __post_init__(self):
        """ValueError, in one line, for the first field that makes no sense."""
        envs.page("check_config").check(self, CHOICES)

    def preset_numbers(self):
        """What its preset changes in the defaults, for its mode and its environment.  -> {field: value}"""
        tables, numbers = [PRESETS[self.preset]], {}
        if self.mode == "recursive":
            tables.append(RECURSIVE.get(self.preset, {}))
        elif self.mode == "evaluate":
            tables.append({"*": dict(eval_episodes=100)})
        for table in tables:  # what comes later wins
            numbers.update(table.get("*", {}))
            numbers.update(table.get(self.env, {}))
        return numbers

    def updates_by(self, deployment):
        """Total number of TRPO updates after `deployment` deployments, which share the iterations evenly.  -> int"""
        deployments = self.deployments if self.mode == "recursive" else 1  # offline: the dataset counts as one
        iterations = (deployment * self.iterations) // deployments  # whole ones; after the last deployment all
        return iterations * self.iteration_updates


class Dynamics(NamedTuple):
    """An ensemble: parameters phi (K, P), normalisers of `regression_rows`, the smallest and largest states (S,) that
    an imagined path may reach, and residuals (K * RESIDUALS, S) as `held_out_residuals` says."""

    phi: np.ndarray
    inputs: nets.Normalizer
    delta: nets.Normalizer
    lowest: np.ndarray
    highest: np.ndarray
    residuals: np.ndarray


class State(NamedTuple):
    """Everything that training knows after a stage, and needs to go on from there.  To keep one for later,
    copy.deepcopy it before you ask for the next record: its generators move on with the run."""

    rng: dict  # a generator per purpose
    norm: nets.Normalizer | None = None  # of the policy's and the value function's observations
    dynamics: Dynamics | None = None
    beta: np.ndarray | None = None  # clone (P,)
    theta: np.ndarray | None = None  # policy (P,)
    critic: trpo.Critic | None = None
    updates: int = 0  # of the policy, over all deployments
    deployments: int = 1  # how often data were collected; offline: the dataset counts as one deployment
    steps: int = 0  # real transitions taken (mode online)


# "init": random policies and value functions; "imagine": imagined paths and the update after them
STREAMS = "init", "collect", "model", "clone", "imagine", "evaluate"
RESIDUALS = 2000  # how many of each member a Dynamics has, however few the rows: checkpoints know their shapes


def streams(seed):
    """A generator for each purpose: a draw from one leaves the others alone (the original seeds some).  -> dict"""
    seeds = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return {name: np.random.default_rng(s) for name, s in zip(STREAMS, seeds)}


def policy_net(cfg):
    """The policy's network, whose output is squashed to the action limit.  -> nets.Net"""
    task = envs.TASKS[cfg.env]
    return nets.Net((task.obs_dim, *cfg.policy_hidden, task.act_dim), task.act_limit)


def model_sizes(cfg):
    """Layer widths of a model, [obs, act] to the normalised next_obs - obs (the original: twice 1024).  -> tuple"""
    task = envs.TASKS[cfg.env]
    return (task.obs_dim + task.act_dim, *cfg.model_hidden, task.obs_dim)


def new_policy(cfg, rng):
    """A policy that acts near zero.  log_std is for log-probabilities: of `std`, or the original's.  -> theta (P,)"""
    sizes, limit = policy_net(cfg)
    weights = nets.init_mlp(rng, sizes, out_scale=0.01)
    log_std = np.log(cfg.std * limit) if cfg.density_std == "same" else -5.0
    return np.concatenate([weights, np.full(sizes[-1], log_std, np.float32)])


def policy_of(s, cfg):
    """The policy of a State, ready to act: theta may hold the original's log_std, for densities.  -> nets.Policy"""
    policy = nets.Policy(s.theta, s.norm, policy_net(cfg))
    return policy if cfg.density_std == "same" else policy.with_std(cfg.std * policy.net.limit)


def ignore(record):
    """The default listener of progress reports."""


# --- Algorithm 2 and Algorithm 1 ------------------------------------------------------------------------------------


def train_offline(
    cfg, data, state=None, *, newest=None, fit=None, clone=None, imagine=None, improve=None, report=ignore
):
    """Algorithm 2 of arXiv:2006.03647: offline reinforcement learning from the fixed dataset `data` (a Batch).

    Yields a record after each stage: {"stage": ..., "state": all that was learnt so far, ...numbers}, and returns the
    last State.  Training goes on from `state` if one is given.  The clone imitates `newest`, by default all data.
    Raises FloatingPointError when training diverges.  Pass another function to replace a part:

        fit(data, cfg, rng, report) -> Dynamics, info                           fit_dynamics
        clone(data, norm, cfg, rng, report) -> beta (P,), info                  clone_behavior
        imagine(s, starts, cfg, rng) -> trpo.Paths, info                        imagine_paths
        improve(theta, critic, paths, norm, net, cfg, rng) -> theta, critic, info    trpo.improve

    Each returns info, a dict of numbers for the record; the slow ones call `report` with their progress.
    """
    fit, clone = fit or fit_dynamics, clone or clone_behavior
    imagine, improve = imagine or imagine_paths, improve or trpo.improve
    nets.use_threads(cfg.threads)
    s = state or State(streams(cfg.seed))  # what is None in it is still to do
    if s.dynamics is None:  # train K models on the dataset
        dynamics, info = fit(data, cfg, s.rng["model"], report)
        s = renormalized(s, nets.Normalizer.fit(data.obs), cfg)
        s = s._replace(dynamics=dynamics)
        yield {"stage": "model", "state": s, **info}
    if s.beta is None:  # estimate the behavior policy by cloning, and start the policy from it
        beta, info = clone(newest or data, s.norm, cfg, s.rng["clone"], report)
        if cfg.bc_init:
            theta = beta
        else:  # as ME-TRPO: go on from the last policy, at first from a random one
            theta = new_policy(cfg, s.rng["init"]) if s.theta is None else s.theta
        # always a new one: the old critic was fitted with the old normaliser
        critic = trpo.new_critic(s.rng["init"], data.obs.shape[1], cfg)
        if cfg.pretrain_value:
            critic = envs.page("pretrain").pretrain(critic, data, s.norm, cfg, s.rng["init"])
        s = s._replace(beta=beta, theta=theta, critic=critic)
        yield {"stage": "clone", "state": s, **info}
    starts = start_states(data, cfg)
    while s.updates < cfg.updates_by(s.deployments):  # imagine, improve: one trust region after another
        paths, info = imagine(s, starts, cfg, s.rng["imagine"])
        step = replace(cfg, target_kl=target_kl_after(cfg, s.updates, s.deployments))
        theta, critic, more = improve(s.theta, s.critic, paths, s.norm, policy_net(cfg), step, s.rng["imagine"])
        s = s._replace(theta=theta, critic=critic, updates=s.updates + 1)
        yield {"stage": "update", "state": s, **info, **more}
    return s


def train_recursive(cfg, batches=(), state=None, *, deploy=None, report=ignore, **parts):
    """Algorithm 1 of arXiv:2006.03647: learn from scratch in a few deployments, with Algorithm 2 in between.

    Yields the records of train_offline and, after each deployment, {"stage": "deploy", "batch": what was collected};
    returns the last State.  Training goes on from `state` and the `batches` of its deployments if they are given.
    `parts` are those of train_offline; `deploy` replaces collect_batch: deploy(s, cfg, rng, report) -> Batch, info.
    """
    if cfg.mode != "recursive":
        raise ValueError(f"train_recursive: cfg.mode is {cfg.mode}: only recursive shares iterations among deployments")
    deploy, batches = deploy or collect_batch, list(batches)
    s = state or State(streams(cfg.seed), deployments=0)
    while s.updates < cfg.updates_by(cfg.deployments):
        finished = s.updates == cfg.updates_by(s.deployments)  # before the first deployment: 0 of 0 updates
        if finished:
            batch, info = deploy(s, cfg, s.rng["collect"], report)
            batches.append(batch)
            s = s._replace(deployments=s.deployments + 1, dynamics=None, beta=None, critic=None)  # None: to be fitted
            yield {"stage": "deploy", "state": s, "batch": batch, **info}
        data = envs.join(batches)
        newest = data if cfg.all_bc else batches[-1]  # its policy is cloned
        s = yield from train_offline(cfg, data, s, newest=newest, report=report, **parts)
    return s


# --- "deploy": data for the next round ------------------------------------------------------------------------------


def collect_batch(s, cfg, rng, report=ignore):
    """n_train / deployments real transitions of the policy, at first of uniform random actions: Algorithm 1, "deploy".

    A part of them has extra noise if `cfg.noise` says so, see `envs.behavior`.
    -> Batch, {"deployed_return": mean of its whole episodes}
    """
    task, n = envs.TASKS[cfg.env], cfg.n_train // cfg.deployments
    task = replace(task, max_steps=min(task.max_steps, cfg.deployed_steps))
    if s.theta is None:  # there is no policy yet
        acts = envs.behavior(task, None, "random")
    else:
        acts = envs.behavior(task, policy_of(s, cfg).sample, cfg.noise)
    show = lambda rows: report({"stage": "deploy", "done": rows, "total": n})
    threads = nets.use_threads(cfg.threads)
    batch = envs.collect(task, acts, n, rng, threads=threads, report=show)
    returns, _ = envs.episode_returns(batch)
    return batch, {"deployed_return": float(np.mean(returns)) if len(returns) else np.nan}


def renormalized(s, norm, cfg):
    """The same State with another normaliser of observations, and a policy that still acts as before.  -> State

    Only its first layer changes.  With old mean m and scale c, and new ones m' and c', for every observation o:
        (o - m) / c @ W + b = (o - m') / c' @ W' + b'  if  W' = c' / c * W  and  b' = b + (m' - m) / c @ W
    (The original keeps W and b.)
    """
    if s.theta is None:
        return s._replace(norm=norm)
    old, theta = s.norm, s.theta.copy()
    W, b = nets.layers(theta, policy_net(cfg).sizes)[0]  # views: they change theta
    b += ((norm.mean - old.mean) / old.scale) @ W  # b first: it needs the old W
    W *= (norm.scale / old.scale)[:, None]
    return s._replace(norm=norm, theta=theta)


# --- "train K models": the ensemble ---------------------------------------------------------------------------------


def predict(dynamics, obs, act, member, cfg):
    """Next observations that a member expects, not clipped.  obs (B, S), act (B, A) clipped, member (int) -> (B, S)"""
    free_joint = envs.TASKS[cfg.env].free_joint
    x = dynamics.inputs(np.concatenate([nets.felt(obs, free_joint), act], axis=1))
    change = dynamics.delta.undo(nets.mlp(dynamics.phi[member], x, model_sizes(cfg)))
    return nets.moved(obs, obs + change, free_joint)


def fit_dynamics(data, cfg, rng, report=ignore):
    """Fit K models to next_obs - obs by least squares: Algorithm 2, "train K models" (deterministic, no variance).

    `regression_rows` are normalised.  Each member has its own first weights and its own shuffles; the rows held out for
    validation are the same for all.  There are more than model_epochs epochs if model_steps needs them (the original:
    at most 200).  -> Dynamics, {"model_loss", "model_curve"} as `follow` says
    """
    x, change = regression_rows(data, cfg)  # [obs, act] and next_obs - obs
    x_norm, change_norm = nets.Normalizer.fit(x), nets.Normalizer.fit(change)
    train, validation = split_rows(x_norm(x), change_norm(change), cfg.validation, rng)
    epochs_needed = math.ceil(cfg.model_steps * cfg.model_batch / len(train[0]))
    cfg = replace(cfg, model_epochs=max(cfg.model_epochs, epochs_needed))  # of this fit only
    # not rng.spawn: it counts its children, and checkpoints do not save the count
    seeds = rng.integers(2**63, size=cfg.members)
    members = [fit_member(*train, *validation, cfg, np.random.default_rng(seed)) for seed in seeds]
    phi, info = follow(members, cfg.members * cfg.model_epochs, report)
    residuals = held_out_residuals(phi, *validation, cfg)
    return Dynamics(phi, x_norm, change_norm, *state_range(data, cfg), residuals), info


def split_rows(x, y, share, rng):
    """Hold out a random share of the rows (the original: the last ones).  x (N, m), y (N, n) -> (x, y), (x, y) held out

    ValueError when none are left to train on.
    """
    order, n = rng.permutation(len(x)), max(1, round(share * len(x)))
    if n >= len(x):
        raise ValueError(f"fit_dynamics: {len(x)} rows, {n} of them for validation, leave none to train on")
    x, y = x[order], y[order]
    return (x[n:], y[n:]), (x[:n], y[:n])


def follow(members, total, report=ignore):
    """Run the generators of `fit_member` side by side to their ends; `total` is the largest number of epochs of all.

    -> phi (K, P), {"model_loss": mean of the members' best validation losses, "model_curve" (epochs, K): the losses of
    every epoch, NaN once a member has stopped}; a loss is nets.squared_error of normalised changes
    """
    curves = [[] for _ in members]
    best_loss, best_phi = np.full(len(members), np.nan), [None] * len(members)
    report({"stage": "model", "done": 0, "total": total})  # the first epoch may take a minute
    for done, (k, epoch) in enumerate(nets.race(members), 1):  # whenever a member k has finished an epoch
        loss, best_loss[k], best_phi[k] = epoch
        curves[k].append(loss)
        report({"stage": "model", "done": done, "total": total, "loss": float(np.nanmean(best_loss))})
    curve = [list(losses) for losses in zip_longest(*curves, fillvalue=np.nan)]
    return np.stack(best_phi), {"model_loss": float(np.mean(best_loss)), "model_curve": curve}


def state_range(data, cfg):
    """Range of imagined states: the logged ones, clip_margin wider (the original: -1e5 to 1e5).  -> (S,), (S,)"""
    seen = np.concatenate([data.obs, data.next_obs])
    lowest, highest = seen.min(axis=0), seen.max(axis=0)
    margin = cfg.clip_margin * (highest - lowest) if cfg.clip_states else np.inf
    return lowest - margin, highest + margin


def fit_member(x, y, x_val, y_val, cfg, rng):
    """Generator: one model, one epoch of Adam per `next`, until `model_patience` epochs brought nothing better.

    x (N, S + A), y (N, S), normalised.  Yields (validation loss, best so far, its phi (P,)).  Here the best weights are
    kept and the step size falls; in the original the last ones are kept, the step size is constant, and weights decay.
    Raises FloatingPointError when training diverges.
    """
    sizes = x.shape[1], *cfg.model_hidden, y.shape[1]
    phi = nets.init_mlp(rng, sizes)
    moments = nets.adam_init(phi)
    best, best_phi, waited = np.inf, None, 0
    for epoch in range(cfg.model_epochs):
        lr = cfg.model_lr * (cfg.model_lr_last / cfg.model_lr) ** (epoch / max(1, cfg.model_epochs - 1))
        if cfg.model_lr_last == 0:
            lr = cfg.model_lr * (1 - (epoch + 0.5) / cfg.model_epochs)
        order = rng.permutation(len(x))
        moments = nets.adam_epoch_fast(phi, moments, x, y, order, cfg.model_batch, lr, sizes, None, cfg.gradients)
        loss = nets.mean_loss(phi, x_val, y_val, sizes)  # phi has changed in place
        if not np.isfinite(loss):
            raise FloatingPointError("a dynamics model's loss is not finite: try a smaller model_lr")
        waited += 1
        if loss < best:
            best, best_phi, waited = loss, phi.copy(), 0
        yield loss, best, best_phi
        if waited >= cfg.model_patience:
            return


# --- "behavior cloning" ---------------------------------------------------------------------------------------------


def clone_behavior(data, norm, cfg, rng, report=ignore):
    """Clone the behaviour policy: Algorithm 2, "behavior cloning", minimises the mean of 1/2 |a - mu(s)|^2.

    The mean is squashed to the action limit, the standard deviation is the run's `std`.  (The original minimises the
    error of a sampled action; sampling only adds noise to it.)
    -> beta (P,), {"clone_loss": that mean}
    """
    net, beta = policy_net(cfg), new_policy(cfg, rng)
    weights, _ = nets.split(beta, net.sizes)  # a view: Adam moves the weights of beta and leaves log_std alone
    moments, obs, act = nets.adam_init(weights), norm(data.obs), data.act
    for done in range(0, cfg.clone_steps, 500):  # in pieces of 500 steps, to report
        steps = min(500, cfg.clone_steps - done)
        order = rng.integers(len(obs), size=steps * cfg.clone_batch)  # row numbers, clone_batch of them per step
        moments = nets.adam_epoch_fast(
            weights, moments, obs, act, order, cfg.clone_batch, cfg.clone_lr, *net, gradients=cfg.gradients
        )
        loss = nets.mean_loss(weights, obs[order[:5000]], act[order[:5000]], *net)
        report({"stage": "clone", "done": done + steps, "total": cfg.clone_steps, "loss": loss})
    loss = nets.mean_loss(weights, obs, act, *net)
    if not np.isfinite(loss):
        raise FloatingPointError("cloning has produced numbers that are not finite: try a smaller clone_lr")
    return beta, {"clone_loss": loss}


# --- "imagine": rollouts in the ensemble ----------------------------------------------------------------------------


def start_states(data, cfg):
    """The states from which imagined paths start: any logged, logged episode starts, or simulator resets.  -> (R, S)

    Only `reset`, the original's default, needs the simulator.  Logged episode starts were such resets.
    """
    if cfg.start == "dataset":
        return data.obs
    if cfg.start == "initial":
        return data.obs[data.episode_starts()]
    sim, rng = envs.TASKS[cfg.env].sim(), streams(cfg.seed)["collect"]  # a fresh copy: a resumed run must draw the same
    return sim.observe(np.stack([sim.initial(rng) for _ in range(10_000)]))


def imagine_paths(s, starts, cfg, rng):
    """Roll the policy out in the ensemble from states drawn from `starts` (R, S): Algorithm 2, "imagined rollouts".

    imagined_steps / horizon paths side by side.  One that leaves the healthy box goes on from another start state in
    the same column (the original pads it with zeros, and takes the first rows of the padded paths).  alpha times
    `log_ratio_to_clone` is taken off the reward.  -> Paths (T, B), {"imagined_reward": mean per step,
    "imagined_length": mean length [steps]}; FloatingPointError when the models diverge
    """
    task, T, B = envs.TASKS[cfg.env], cfg.horizon, max(1, cfg.imagined_steps // cfg.horizon)
    K = len(s.dynamics.phi)  # not cfg.members: kernels check no bounds
    # pool[t, b]: where path b goes on if it ended at t - 1; pool[0]: where paths begin
    pool = starts[rng.integers(len(starts), size=(T, B))].astype(s.theta.dtype, copy=False)
    noise = policy_of(s, cfg).std * rng.standard_normal((T, B, task.act_dim), np.float32)
    if cfg.member_per == "step":  # at each step one member, drawn at random, predicts for all paths
        members = [rng.integers(K, size=T)]
    else:  # each member predicts all steps of a group of paths
        members = [np.full(T, k) for k in rng.permutation(K)[:B]]
    residuals = drawn_residuals(s.dynamics, T, B, cfg, rng)
    obs, act, next_obs, terminated = parallel_rollout(s, cfg, pool, noise, members, residuals)
    if not np.isfinite(next_obs).all():
        raise FloatingPointError("imagined states are not finite: the dynamics models have diverged")
    rew = task.reward(obs, task.clip(act), next_obs)
    if cfg.alpha > 0:
        rew = rew - cfg.alpha * log_ratio_to_clone(s, obs, act, cfg)
    truncated = np.zeros_like(terminated)
    truncated[-1] = ~terminated[-1]
    paths = trpo.Paths(obs, act, rew, next_obs, terminated, truncated, time_of(terminated))
    ends = np.count_nonzero(terminated | truncated)
    return paths, {"imagined_reward": float(np.mean(rew, dtype=np.float64)), "imagined_length": float(T * B / ends)}


def parallel_rollout(s, cfg, pool, noise, members, residuals=None):
    """`nets.rollout` of a State's policy in its ensemble, groups of paths side by side on the worker threads.

    pool (T, B, S), noise (T, B, A), residuals (T, B, S) or None.  members: a list of arrays (T,) that say which
    model predicts at each step: for all paths, or for each group.  -> obs, act, next_obs, terminated, all (T, B, ...)
    """
    task, net, d, dtype = envs.TASKS[cfg.env], policy_net(cfg), s.dynamics, s.theta.dtype
    mean_and_scale = lambda norm: (norm.mean.astype(dtype), norm.scale.astype(dtype))
    actor = nets.Actor(s.theta, np.array(net.sizes), *mean_and_scale(s.norm), dtype.type(net.limit))
    phi_to_out_scale = d.phi, np.array(model_sizes(cfg)), *mean_and_scale(d.inputs), *mean_and_scale(d.delta)
    world = nets.World(*phi_to_out_scale, d.lowest, d.highest, task.low, task.high, task.free_joint)
    if len(members) == 1:  # a group per worker, with the same array: the list is repeated
        members = members * min(pool.shape[1], nets.workers())
    in_groups = lambda x: [np.ascontiguousarray(part) for part in np.array_split(x, len(members), axis=1)]
    residuals = [None] * len(members) if residuals is None else in_groups(residuals)
    roll_group = lambda *group: nets.rollout_fast(actor, world, *group)
    groups = nets.parallel(roll_group, in_groups(pool), in_groups(noise), residuals, members)
    return tuple(np.concatenate(column, axis=1) for column in zip(*groups))


# === options, evaluation, presets: a reader of the algorithm may stop here ===========================================


def time_of(ended):
    """Steps since each path's last restart, which follows an end.  (T, B) -> (T, B)"""
    time = np.zeros(ended.shape, int)
    for t in range(1, len(time)):
        time[t] = np.where(ended[t - 1], 0, time[t - 1] + 1)
    return time


def target_kl_after(cfg, updates, deployment):
    """Radius of the trust region of the next update; each deployment begins with cfg.target_kl.  -> delta [nats]"""
    first, last = cfg.updates_by(deployment - 1), cfg.updates_by(deployment)
    return cfg.target_kl * (1 - (1 - cfg.target_kl_end) * (updates - first) / max(1, last - 1 - first))


def regression_rows(data, cfg):
    """What models see and shall predict, [obs, act] and next_obs - obs.  A Batch -> x (N, S + A), change (N, S)

    Of the ant, which has a free joint, it is what its body feels, see `nets.felt`: it does the same wherever it faces.
    Its turn is the imaginary part of a quaternion, its velocity changes in its own axes (the original: as observed).
    """
    free, change = envs.TASKS[cfg.env].free_joint, data.next_obs - data.obs
    if free is not None:
        before, after = (Rotation.from_quat(obs[:, 1:5], scalar_first=True) for obs in (data.obs, data.next_obs))
        change[:, 1:5] = (before.inv() * after).as_quat(canonical=True, scalar_first=True)
        change[:, 1] = 0  # it follows from the other three
        change[:, free : free + 3] = before.inv().apply(change[:, free : free + 3])
    return np.concatenate([nets.felt(data.obs, free), data.act], axis=1), change


def drawn_residuals(dynamics, T, B, cfg, rng):
    """`model_noise` of residuals that members left on rows held out, for imagined steps.  -> (T, B, S), or None

    (The original adds nothing.)  Imagination multiplies them by the members' spread at the imagined step.  So models
    promise no more precision than they have there; the policy learns to do without it, or to stay where they know more.
    """
    if cfg.model_noise == 0:
        return None
    return np.float32(cfg.model_noise) * dynamics.residuals[rng.integers(len(dynamics.residuals), size=(T, B))]


def held_out_residuals(phi, x, y, cfg):
    """y less predictions, in units of the members' `nets.spread`: x (V, S + A), y (V, S).  -> (K * RESIDUALS, S)

    Members' disagreement as a measure of what they do not know: Lakshminarayanan et al., arXiv:1612.01474.
    """
    rows = np.arange(len(phi) * RESIDUALS) % len(x)  # held-out rows are in random order
    predictions = np.stack([nets.mlp_rows(p, x[rows], model_sizes(cfg)) for p in phi])
    own = predictions[np.repeat(np.arange(len(phi)), RESIDUALS), np.arange(len(rows))]  # RESIDUALS rows of each member
    return (y[rows] - own) / np.maximum(nets.spread(predictions), 1e-6)


def log_ratio_to_clone(s, obs, act, cfg):
    """log policy(act | obs) - log clone(act | obs) [nats]: on average over the policy's actions KL(policy || clone).

    The KL itself (the original's penalty) is the same for every action in a state.  As a reward it cannot tell good
    actions from bad ones, because policy gradients do not differentiate rewards.
    obs (..., S), act (..., A) as sampled -> (...)
    """
    net, flat_obs = policy_net(cfg), s.norm(obs.reshape(-1, obs.shape[-1]))
    flat_act = act.reshape(len(flat_obs), -1)
    log_policy = nets.log_prob(flat_act, *nets.gaussian(s.theta, flat_obs, net))
    log_clone = nets.log_prob(flat_act, *nets.gaussian(s.beta, flat_obs, net))
    return (log_policy - log_clone).reshape(obs.shape[:-1])


def imagined_returns(s, starts, cfg, rng, n_paths=40):
    """Returns that the ensemble expects of the policy without noise over whole episodes: to set beside real ones.

    From n_paths of the states `starts` (R, S), a member drawn for each step, until termination or the time limit.
    -> (n_paths,), NaN where the models diverge
    """
    task, T = envs.TASKS[cfg.env], envs.TASKS[cfg.env].max_steps
    first = starts[rng.integers(len(starts), size=n_paths)]
    pool, noise = np.repeat(first[None], T, axis=0), np.zeros((T, n_paths, task.act_dim), np.float32)
    member = rng.integers(len(s.dynamics.phi), size=T)
    residuals = drawn_residuals(s.dynamics, T, n_paths, cfg, rng)
    obs, act, next_obs, terminated = parallel_rollout(s, cfg, pool, noise, [member], residuals)
    rew = task.reward(obs, task.clip(act), next_obs)
    ended = np.cumsum(terminated, axis=0) - terminated > 0  # such a path is rolled out further, but not counted
    returns = np.where(ended, 0, rew).sum(axis=0, dtype=np.float64)
    # NaN is unhealthy and so ends a path: where rewards are negative, a short sum would look like a good return
    returns[(~ended & ~np.isfinite(next_obs).all(axis=2)).any(axis=0)] = np.nan
    return returns


PRESETS = {  # what a preset changes in Config's defaults: for all environments ("*") and, on top, for single ones
    "smoke": {
        "*": dict(n_train=3000, deployments=2, members=2, model_hidden=(32, 32), model_epochs=3, policy_hidden=(32, 32),
                  clone_steps=300, iterations=2, iteration_updates=2, imagined_steps=2000, horizon=50, eval_episodes=4,
                  eval_interval_episodes=2),
    },
    "classroom": {
        "*": dict(model_steps=30_000, model_epochs=12, model_patience=15, model_noise=1.0, iterations=5,
                  iteration_updates=20, target_kl=2e-3),
        "hopper": dict(model_hidden=(128, 128), model_steps=40_000, policy_hidden=(128, 128), clone_steps=4000,
                       iteration_updates=45, std=0.2, target_kl=4e-3, gamma=0.995),
        "walker2d": dict(model_hidden=(256, 256, 256), model_steps=60_000, iterations=8, imagined_steps=30_000, std=0.3,
                         target_kl=4e-3, target_kl_end=0.25, gamma=0.995, start="initial"),
        "ant": dict(model_hidden=(256, 256, 256), iterations=12, imagined_steps=30_000, std=0.3, learn_std=True,
                    target_kl=0.01, target_kl_end=0.02, gamma=0.995, lam=0.97, start="initial"),
        "half_cheetah": dict(model_lr=6e-3, model_lr_last=0.0, iterations=14, target_kl=8e-3),
        "cheetah_run": dict(model_lr=6e-3, model_lr_last=0.0, iterations=12, target_kl=0.01),
        "pendulum": dict(model_hidden=(64, 64), model_lr=2e-3, model_lr_last=1e-4, policy_hidden=(64, 64),
                         horizon=100, std=0.3),
    },
    "paper": {  # the original's sizes, and its numbers where they mean the same here
        "*": dict(n_train=1_000_000, model_hidden=(1024, 1024), model_batch=1000, model_epochs=200, model_patience=20,
                  model_lr=1e-3, model_lr_last=1e-3, clone_lr=5e-4, clone_steps=300_000, iterations=250,
                  imagined_steps=50_000, start="initial", value="linear", target_kl=4.5e-4, fisher_rows=1.0),
        **dict.fromkeys(("hopper", "walker2d"), dict(horizon=1000, target_kl=2.3e-4)),
        "ant": dict(lam=0.97, target_kl=2.3e-4),
    },
}  # fmt: skip
RECURSIVE = {  # what mode recursive changes on top of that; all other numbers are those of mode offline
    "classroom": {
        "*": dict(n_train=300_000, deployments=6, model_lr=2e-3, model_lr_last=1e-4, model_steps=30_000, model_epochs=1,
                  iterations=24, iteration_updates=25, std=0.2, target_kl=0.01, model_noise=0.0),
        "hopper": dict(n_train=600_000, deployments=10, model_hidden=(256, 256, 256), model_steps=15_000,
                       policy_hidden=(200, 200), clone_steps=10_000, iterations=50, std=0.3, target_kl=0.005,
                       gamma=0.997, lam=0.97),
        "walker2d": dict(n_train=600_000, deployments=10, iterations=40, imagined_steps=20_000, std=0.3,
                         target_kl_end=1.0, gamma=0.997, lam=0.97),
        "ant": dict(deployed_steps=200, model_hidden=(256, 256), model_steps=15_000, iterations=18, std=0.3,
                    imagined_steps=20_000, learn_std=False, target_kl=0.005, target_kl_end=1.0, gamma=0.99),
        "pendulum": dict(n_train=10_000, deployments=5, model_steps=5000, iterations=20, target_kl=0.02),
    },
    "paper": {
        "*": dict(deployments=5, iterations=400),
        "hopper": dict(n_train=2_000_000, deployments=10, iterations=2400),
        "walker2d": dict(n_train=2_000_000, deployments=10, iterations=800),
    },
}  # fmt: skip


def configured(kind=Config, /, **given):
    """The numbers of a preset, and those that are `given`: configured(env="ant", seed=1).  -> kind, by default Config

    What wins: a given number, then the preset's for the mode and the environment, for the mode, for the environment,
    for all, and at last the default.  An explicit model_epochs switches model_steps off.
    """
    if "model_epochs" in given:
        given = {"model_steps": 0} | given
    plain = kind(**{k: given[k] for k in ("mode", "env", "preset") if k in given})  # only to ask for its preset
    numbers = plain.preset_numbers() | given
    return replace(plain, **numbers)


CHOICES = {
    "mode": ("offline", "recursive", "collect", "evaluate", "video", "plot"),
    "env": envs.TASKS,  # by name; an own Task may be added
    "preset": tuple(PRESETS),
    "gradients": ("hand", "autograd"),
    "noise": ("pure", *envs.NOISE, "random"),
    "density_std": ("same", "original"),
    "start": ("dataset", "initial", "reset"),
    "member_per": ("step", "path"),
    "value": ("mlp", "linear"),
}
