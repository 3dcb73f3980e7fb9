"""How fast is it?  `python examples/benchmark.py [--peers] [--only NAME ...] [--scaling] [--json]`

Measures the parts of the program at the hopper's sizes, and the whole of it, in one run.  A table and a bar chart go to
examples/results/ (with --only or --quick nowhere, unless --out says where).  How to read them:

- Ratios travel, seconds do not: between machines, compare shares of the peak and the factors in brackets.
- The peak is what BLAS reaches on large float32 matrices with all threads, before or after all else, whichever is more.
  When the two differ, or other processes were running, the table says so: throw it away then.  A second busy process
  does not halve the speed of work on several threads, it can ruin it.
- GFLOP/s are the arithmetic of the method, products with weights and biases, over the time.  What only an
  implementation does (a second backward pass, copies, Adam) counts as time, not as arithmetic.
- "Plain NumPy" is the same work without kernels, worker threads and chunks: all rows at once, BLAS on all threads.
- --peers: PyTorch, sb3-contrib and Gymnasium's environments, where installed, do the same work in turn with this
  program (A B A B ...); a peer with several variants is judged by its fastest.
- Numbers are medians of five rounds behind one that warms up.  The whole program runs once.
- --scaling measures instead how time and memory grow with the work, and runs side by side.
- --quick does everything at tiny sizes, to see that it works.  That is no measurement, and says so.
"""

import argparse
import copy
import csv
import fcntl
import importlib.util
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest import mock

import gymnasium as gym
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import bremen
import envs
import nets
import run
import trpo

safe_files = run.page("safe_files")

PEERS = {"PyTorch": "torch", "sb3-contrib": "sb3_contrib", "Gymnasium": "gymnasium"}  # and their modules
NO_MEASUREMENT = "QUICK: tiny sizes, to see that it works. Not a measurement."


# --- arithmetic: FLOP of the method ---------------------------------------------------------------------------------


def forward(sizes):
    """A network's output for one row: a multiplication and an addition for each parameter.  -> FLOP"""
    return 2 * nets.n_params(sizes)


def derivative(sizes):
    """One product with a network's Jacobian for one row, J v (nets.mlp_jvp) or J^T g (nets.mlp_vjp).  -> FLOP

    Each layer's parameters are met once, and its weights once more for its input, but for the first: that is data.
    """
    return forward(sizes) + sum(2 * m * n for m, n in zip(sizes[1:], sizes[2:]))


def update_flops(sizes, rows, fisher_rows, products, trials):
    """A trust-region step: Fisher products J^T M J v, the policy gradient, `trials` of the line search.  -> FLOP"""
    fisher = forward(sizes) + products * 2 * derivative(sizes)
    return fisher_rows * fisher + rows * (forward(sizes) + derivative(sizes) + trials * forward(sizes))


def exponent(sizes, seconds):
    """The p of seconds ~ sizes^p, by least squares between logarithms; None for a single size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else None


# --- clocks ---------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A piece of work, judged by the seconds of one call (unit "s") or by how many units are done per second."""

    what: str
    unit: str
    amount: float  # units done by one call
    work: Callable
    flops: Callable = lambda out: 0  # what `work` returned -> FLOP of one call
    peers: dict = {}  # peer -> {variant: (function, amount)}
    plain: tuple | None = None  # (function, amount), where the twin in plain NumPy is another function


PLAIN = {
    "rollout_fast": nets.rollout,
    "adam_epoch_fast": nets.adam_epoch,
    "_add_bias": lambda h, b, relu: np.maximum(h + b, 0) if relu else h + b,
    "_relu_gate": lambda g, h: g * (h > 0),
    "parallel": lambda f, *columns: list(map(f, *columns)),
    "race": lambda generators: ((i, item) for i, items in enumerate(generators) for item in items),
    "workers": lambda: 1,
    "CHUNK": sys.maxsize,
}


@contextmanager
def plain_numpy(threads):
    """Inside, the program does without its kernels, worker threads and chunks, and BLAS has all threads."""
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(threads, user_api="blas"))
        for name, twin in PLAIN.items():
            stack.enter_context(mock.patch.object(nets, name, twin))
        yield


def rounds(contenders, repeats, threads):
    """Call all contenders {name: function} in turn, again and again.  -> {name: median seconds}, {name: last result}"""
    times, results = {name: [] for name in contenders}, {}
    for _ in range(1 + repeats):  # the first round warms up: compilation, caches, thread pools
        for name, f in contenders.items():
            with plain_numpy(threads) if name == "plain" else nullcontext():
                began = time.perf_counter()
                results[name] = f()
                times[name].append(time.perf_counter() - began)
    return {name: median(seconds[1:]) for name, seconds in times.items()}, results


def sgemm(opts):
    """GFLOP/s of a matrix product on 1 and on all threads.  -> {threads: GFLOP/s}"""
    n, peaks = pick(opts, 2048, 64), {}
    a, b = np.random.default_rng(0).standard_normal((2, n, n), np.float32)
    for threads in sorted({1, opts.threads}):
        with threadpool_limits(threads, user_api="blas"):
            seconds, _ = rounds({"sgemm": lambda: a @ b}, opts.repeats, threads)
        peaks[threads] = 2 * n**3 / seconds["sgemm"] / 1e9
    return peaks


def measure(build, opts):
    """Time a case, its twin and its peers in turn.  -> its record for --json"""
    with ExitStack() as stack:
        case = build(opts, stack)
        runners = {"": (case.work, case.amount), "plain": case.plain or (case.work, case.amount)}
        runners |= {(peer, name): f for peer, variants in case.peers.items() for name, f in variants.items()}
        seconds, results = rounds({name: f for name, (f, _) in runners.items()}, opts.repeats, opts.threads)
    per_unit = case.flops(results[""]) / case.amount

    def figures(name, prefix=""):
        rate = runners[name][1] / seconds[name]
        key, x = ("seconds", seconds[name]) if case.unit == "s" else ("per_second", rate)
        return {f"{prefix}{key}": x, f"{prefix}gflops": per_unit * rate / 1e9 or None}

    record = {"what": case.what, "unit": case.unit, **figures(""), **figures("plain", "plain_")}
    record["peers"] = {peer: {name: figures((peer, name)) for name in names} for peer, names in case.peers.items()}
    return record


# --- the work -------------------------------------------------------------------------------------------------------


def pick(opts, full, tiny):
    """A size: the table's, or with --quick a tiny one."""
    return tiny if opts.quick else full


def config(opts, width=256, **numbers):
    """bremen.Config with the table's sizes; or, with --quick, tiny ones."""
    numbers = dict(fisher_rows=1.0, cg_iters=10, model_lr=1e-3) | numbers
    numbers |= dict(model_epochs=10**9, model_patience=10**9)  # a fit ends when we have seen enough of it
    full = dict(model_hidden=(width, width), policy_hidden=(200, 200), imagined_steps=50_000, clone_steps=2000)
    tiny = dict(model_hidden=(8, 8), policy_hidden=(8, 8), imagined_steps=40, clone_steps=4, horizon=10)
    return bremen.Config(**numbers | pick(opts, full, tiny | dict(model_batch=8, clone_batch=8)))


def wide(hidden):
    """Widths of hidden layers for the eye, as in 2×256."""
    return f"{len(hidden)}×{hidden[0]}"


def transitions(n):
    """n made-up transitions of a hopper that stands and sways: what is learnt does not change the cost.  -> Batch"""
    rng, task = np.random.default_rng(0), envs.TASKS["hopper"]
    obs, act = (rng.standard_normal((n, size), np.float32) / 20 for size in (task.obs_dim, task.act_dim))
    obs[:, 0] += 1.25
    next_obs = obs + act @ rng.standard_normal((task.act_dim, task.obs_dim), np.float32) / 10
    truncated = np.arange(1, n + 1) % task.max_steps == 0
    return envs.Batch(obs, act, task.reward(obs, act, next_obs), next_obs, np.zeros(n, bool), truncated)


def world(cfg, data):
    """A State as training would have it, with models and policy as they begin.  -> bremen.State"""
    rng, (x, change) = np.random.default_rng(0), bremen.regression_rows(data, cfg)
    phi = np.stack([nets.init_mlp(rng, bremen.model_sizes(cfg), out_scale=0.1) for _ in range(cfg.members)])
    norm, inputs, delta = map(nets.Normalizer.fit, (data.obs, x, change))
    dynamics = bremen.Dynamics(phi, inputs, delta, data.obs.min(axis=0), data.obs.max(axis=0), None)
    return bremen.State({}, norm, dynamics, theta=bremen.new_policy(cfg, rng))


def rollout_work(cfg):
    """What bremen.imagine_paths hands over, and the function of no arguments that imagines."""
    rng, data, act_dim = np.random.default_rng(0), transitions(10_000), envs.TASKS[cfg.env].act_dim
    s, T, B = world(cfg, data), cfg.horizon, cfg.imagined_steps // cfg.horizon
    pool, member = data.obs[rng.integers(len(data.obs), size=(T, B))], rng.integers(cfg.members, size=T)
    noise = np.float32(cfg.std) * rng.standard_normal((T, B, act_dim), np.float32)
    residuals = 0.01 * rng.standard_normal(pool.shape, np.float32) if cfg.model_noise else None
    work = lambda: bremen.parallel_rollout(s, cfg, pool, noise, [member] * min(B, nets.workers()), residuals)
    return (s, cfg, pool, noise, member, residuals), work


def rollout_case(width, horizon, opts, stack, model_noise=0.0):
    """50,000 imagined steps: bremen.parallel_rollout.  With residuals all members predict at each of them."""
    cfg = config(opts, width, horizon=horizon, model_noise=model_noise)
    predictions = cfg.members if model_noise else 1
    per_step = forward(bremen.policy_net(cfg).sizes) + predictions * forward(bremen.model_sizes(cfg))
    (given, work), steps = rollout_work(cfg), cfg.imagined_steps
    what = f"{steps:,} imagined steps, models {wide(cfg.model_hidden)}, {steps // cfg.horizon} × {cfg.horizon}"
    what += f", residuals in units of the spread of {predictions}" if model_noise else ""
    peers = invite(opts, {"PyTorch": lambda: {"eager": (torch_rollout(*given), 1)}})
    return Case(what, "s", 1, work, lambda out: steps * per_step, peers)


def update_work(cfg, n):
    """Rows for trpo.step as trpo.improve would make them, and the function of no arguments that takes the step."""
    rng, data, net = np.random.default_rng(0), transitions(n), bremen.policy_net(cfg)
    s = world(cfg, data)
    obs, log_std = s.norm(data.obs), nets.split(s.theta, net.sizes)[1]
    mu = nets.mlp_rows(s.theta, obs, *net)
    act = mu + np.exp(log_std) * rng.standard_normal(mu.shape, np.float32)
    rows = trpo.Rows(obs, act, rng.standard_normal(n, np.float32), mu, log_std)
    return (s.theta, rows, net, cfg), lambda: trpo.step(s.theta, rows, net, cfg, rng)


def update_case(share, opts, stack):
    """A TRPO update without that of the value function: trpo.step."""
    cfg, n = config(opts, fisher_rows=share), pick(opts, 50_000, 60)
    given, work = update_work(cfg, n)
    count = partial(update_flops, given[2][0], n, round(share * n), cfg.cg_iters + 1)
    what = f"TRPO update, {n:,} rows, CG {cfg.cg_iters}, {share:.0%} of the rows for Fisher products"
    peers = {"PyTorch": lambda: {"eager": (torch_update(*given), 1)}, "sb3-contrib": lambda: sb3_update(*given)}
    peers = invite(opts, peers if share == 1 else {})
    return Case(what, "s", 1, work, lambda out: count(out[1]["backtracks"] + 1), peers)


def fit_work(cfg, n, held, epochs=1):
    """Training rows, and the function of no arguments that gives each model so many epochs on n of them."""
    data = transitions(n + held)
    x, delta = bremen.regression_rows(data, cfg)
    x, y = nets.Normalizer.fit(x)(x), nets.Normalizer.fit(delta)(delta)
    rngs = map(np.random.default_rng, range(cfg.members))
    members = [bremen.fit_member(x[held:], y[held:], x[:held], y[:held], cfg, rng) for rng in rngs]
    work = lambda: sorted(nets.race([islice(member, epochs) for member in members]), key=lambda pair: pair[0])
    return (x[held:], y[held:], cfg), work


def fit_case(width, batch, rows, opts, stack):
    """Epochs of all models by bremen.fit_member; they go on from call to call.

    Two at a time: bremen.fit_dynamics, too, lets no worker wait at the end of an odd number of members.
    """
    cfg, n, held = config(opts, width, model_batch=batch), pick(opts, rows, 40), pick(opts, 1000, 8)
    sizes, epochs = bremen.model_sizes(cfg), 2
    given, work = fit_work(cfg, n, held, epochs)
    flops = epochs * cfg.members * (n * (forward(sizes) + derivative(sizes)) + held * forward(sizes))  # validation
    what = f"fit of {cfg.members} models {wide(cfg.model_hidden)}, batch {cfg.model_batch}, {n:,} rows"
    peers = invite(opts, {"PyTorch": lambda: torch_fits(*given)})
    return Case(what, "rows·members", epochs * n * cfg.members, work, lambda out: flops, peers)


def clone_case(opts, stack):
    """bremen.clone_behavior: steps of Adam and, every 500, a look at the loss of up to 5000 rows."""
    cfg, data, rng = config(opts), transitions(pick(opts, 20_000, 40)), np.random.default_rng(0)
    norm, sizes = nets.Normalizer.fit(data.obs), bremen.policy_net(cfg).sizes
    steps, batch = cfg.clone_steps, cfg.clone_batch
    looks = len(data.obs) + -(-steps // 500) * min(5000, steps * batch)
    flops = steps * batch * (forward(sizes) + derivative(sizes)) + looks * forward(sizes)
    peers = invite(opts, {"PyTorch": lambda: {"eager": (torch_clone(norm(data.obs), data.act, cfg), steps)}})
    work = partial(bremen.clone_behavior, data, norm, cfg, rng)
    what = f"cloning, policy {wide(cfg.policy_hidden)}, batch {batch}"
    return Case(what, "steps", steps, work, lambda out: flops, peers)


def collect_case(env, opts, stack):
    """envs.collect with a behaviour policy; the twin steps one robot at a time."""
    task, rng, n = envs.TASKS[env], np.random.default_rng(0), pick(opts, 128_000, 100)
    policy, _ = run.load_policy(run.HERE / "examples" / "behavior" / f"{env}.npz", task)
    acts, robots, steps = envs.behavior(task, policy.sample, "pure"), pick(opts, 64, 2), pick(opts, 4000, 16)
    theirs = task.env_id.removeprefix("bremen/").replace("-v0", "-v5")

    def stepping(made):
        stack.callback(made.close)
        return partial(step_gymnasium, made, task, policy, steps, rng), steps

    def variants():
        vectors = {f"{mode} × 8": gym.make_vec(theirs, 8, mode) for mode in ("sync", "async")}
        return {name: stepping(made) for name, made in {"single": gym.make(theirs), **vectors}.items()}

    work = lambda: envs.collect(task, acts, n, rng, num_envs=robots, threads=opts.threads)
    what = f"{n:,} real steps, {env}, policy {wide(policy.net.sizes[1:-1])} included"
    twin = stepping(gym.make(task.env_id))
    return Case(what, "steps", n, work, peers=invite(opts, {"Gymnasium": variants}), plain=twin)


# --- the same work by others: nothing here is imported unless it is asked for -----------------------------------------


def invite(opts, peers):
    """Build those of the peers {name: function that makes {variant: (function, amount)}} that take part."""
    return {name: build() for name, build in peers.items() if name in opts.peers}


def step_gymnasium(env, task, policy, steps, rng):
    """`steps` steps in an environment of Gymnasium, single or vector."""
    single = not isinstance(env, gym.vector.VectorEnv)
    obs, _ = env.reset(seed=0)
    for _ in range(steps if single else steps // env.num_envs):
        act = task.clip(policy.sample(np.atleast_2d(obs).astype(np.float32), rng))
        obs, _, terminated, truncated, _ = env.step(act[0] if single else act)
        if single and (terminated or truncated):
            obs, _ = env.reset()


def torch_net(theta, sizes):
    """The same network in PyTorch, with linear output.  -> torch.nn.Sequential"""
    import torch

    parts = []
    for W, b in nets.layers(theta, sizes):
        linear = torch.nn.Linear(*W.shape)
        linear.weight.data, linear.bias.data = torch.tensor(W.T.copy()), torch.tensor(b)
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def torch_rollout(s, cfg, pool, noise, member, residuals=None):
    """nets.rollout in PyTorch.  -> function"""
    import torch

    tensors = lambda *arrays: [torch.from_numpy(np.array(a, np.float32)) for a in arrays]
    (sizes, limit), task, d = bremen.policy_net(cfg), envs.TASKS[cfg.env], s.dynamics
    policy, models = torch_net(s.theta, sizes), [torch_net(phi, bremen.model_sizes(cfg)) for phi in d.phi]
    (o_mean, o_std), (x_mean, x_std), (d_mean, d_std) = (tensors(n.mean, n.scale) for n in (s.norm, d.inputs, d.delta))
    lowest, highest, low, high, pool, noise = tensors(d.lowest, d.highest, task.low, task.high, pool, noise)
    added = None if residuals is None else torch.from_numpy(residuals)

    @torch.no_grad()
    def imagine():
        now, rows = pool[0], []
        for t, k in enumerate(member):
            act = limit * torch.tanh(policy((now - o_mean) / o_std)) + noise[t]
            x = (torch.cat([now, act.clamp(-limit, limit)], dim=1) - x_mean) / x_std
            change = models[k](x)
            if added is not None:
                spread = torch.stack([model(x) for model in models]).var(dim=0, correction=0).mean(dim=1).sqrt()
                change = change + spread[:, None] * added[t]
            then = torch.clamp(now + change * d_std + d_mean, lowest, highest)
            ended = ~((low < then) & (then < high)).all(dim=1)
            rows.append((now, act, then, ended))
            now = torch.where(ended[:, None], pool[min(t + 1, len(pool) - 1)], then)
        return [torch.stack(column) for column in zip(*rows)]

    return imagine


def torch_update(theta, rows, net, cfg):
    """trpo.step in PyTorch, with Fisher products by a second backward pass, as sb3-contrib has them.  -> function"""
    import torch
    from torch.distributions import Normal, kl_divergence

    actor, float32 = torch_net(theta, net.sizes), lambda v: torch.from_numpy(v.astype(np.float32))
    params, flat, write = list(actor.parameters()), *(getattr(torch.nn.utils, f) for f in FLAT)
    obs, act, adv, mu, log_std = map(torch.from_numpy, rows)
    start, old = flat(params).detach().clone(), Normal(mu, log_std.exp())
    old_log_prob = old.log_prob(act)

    def surrogate_and_kl():
        new = Normal(net.limit * torch.tanh(actor(obs)), log_std.exp())
        ratio = torch.exp((new.log_prob(act) - old_log_prob).sum(dim=1))
        return (ratio * adv).mean(), kl_divergence(old, new).sum(dim=1).mean()

    @torch.no_grad()
    def evaluate(part):
        write(start + float32(part), params)
        after, kl = surrogate_and_kl()
        return float(after - adv.mean()), float(kl)

    def update():
        write(start, params)
        surrogate, kl = surrogate_and_kl()
        gradient = lambda y, **more: flat(torch.autograd.grad(y, params, retain_graph=True, **more))
        g, kl_slope = gradient(surrogate).double().numpy(), gradient(kl, create_graph=True)
        damped = lambda v: gradient(kl_slope @ float32(v)).double().numpy() + cfg.cg_damping * v
        x, _ = trpo.conjugate_gradient(damped, g, cfg.cg_iters)
        full = x * np.sqrt(2 * cfg.target_kl / (x @ damped(x)))
        how = cfg.target_kl, cfg.backtrack, cfg.max_backtracks, cfg.accept_ratio
        return trpo.line_search(evaluate, full, g @ full, *how)

    return update


FLAT = "parameters_to_vector", "vector_to_parameters"


def sb3_update(theta, rows, net, cfg):
    """TRPO.train() of sb3-contrib on a full buffer, without its updates of the value function.  -> variants"""
    import sb3_contrib
    import torch
    from stable_baselines3.common.logger import Logger

    n, kind = len(rows.obs), dict(net_arch=list(cfg.policy_hidden), activation_fn=torch.nn.ReLU)
    kind["log_std_init"] = float(rows.log_std[0])
    numbers = dict(cg_max_steps=cfg.cg_iters, cg_damping=cfg.cg_damping, target_kl=cfg.target_kl, n_critic_updates=0)
    numbers |= dict(n_steps=n, batch_size=n, device="cpu", policy_kwargs=kind)
    learner = sb3_contrib.TRPO("MlpPolicy", gym.make("bremen/Hopper-v0"), **numbers)
    learner.set_logger(Logger(None, []))
    with torch.no_grad():
        actions, _, log_prob = learner.policy(torch.from_numpy(rows.obs))
    full = dict(observations=rows.obs, actions=actions.numpy(), log_probs=log_prob.numpy(), advantages=rows.adv)
    for name, column in full.items():
        getattr(learner.rollout_buffer, name)[:, 0] = column
    learner.rollout_buffer.full, start = True, copy.deepcopy(learner.policy.state_dict())

    def update():
        learner.policy.load_state_dict(start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it takes the mean of no value losses
            learner.train()
        return learner.logger.name_to_value["train/kl_divergence_loss"]

    return {"train()": (update, 1)}


def torch_epoch(predict, adam, x, y, order, batch):
    """nets.adam_epoch in PyTorch, of one network or, with order (K, N), of K at once.  -> the last loss"""
    for i in order.split(batch, dim=-1):
        loss = (predict(x[i]) - y[i]).square().sum(dim=-1).mean(dim=-1).sum() / 2
        adam.zero_grad()
        loss.backward()
        adam.step()
    return loss.item()


def torch_fits(x, y, cfg):
    """An epoch of all models in PyTorch, one after another or in batched products.  -> variants"""
    import torch

    rng, sizes, batch = np.random.default_rng(0), bremen.model_sizes(cfg), cfg.model_batch
    phi, x, y = [nets.init_mlp(rng, sizes) for _ in range(cfg.members)], *map(torch.from_numpy, (x, y))
    adam, shuffle = partial(torch.optim.Adam, lr=cfg.model_lr, fused=True), partial(torch.randperm, len(x))
    stacks = [map(np.stack, zip(*layer)) for layer in zip(*(nets.layers(p, sizes) for p in phi))]
    stacks = [(torch.tensor(W, requires_grad=True), torch.tensor(b[:, None], requires_grad=True)) for W, b in stacks]
    pairs = [(model, adam(model.parameters())) for model in (torch_net(p, sizes) for p in phi)]
    all_adam = adam([p for pair in stacks for p in pair])

    def predict_all(h):
        for i, (W, b) in enumerate(stacks):
            h = torch.baddbmm(b, h if i == 0 else torch.relu(h), W)
        return h

    separate = lambda: sum(torch_epoch(model, its_adam, x, y, shuffle(), batch) for model, its_adam in pairs)
    batched = lambda: torch_epoch(predict_all, all_adam, x, y, torch.stack([shuffle() for _ in phi]), batch)
    return {name: (f, len(x) * cfg.members) for name, f in (("separate", separate), ("batched", batched))}


def torch_clone(obs, act, cfg):
    """bremen.clone_behavior in PyTorch, without a look at the loss.  -> function"""
    import torch

    (sizes, limit), obs, act = bremen.policy_net(cfg), *map(torch.from_numpy, (obs, act))
    net, draws = torch_net(nets.init_mlp(np.random.default_rng(0), sizes), sizes), cfg.clone_steps * cfg.clone_batch
    adam = torch.optim.Adam(net.parameters(), lr=cfg.clone_lr, fused=True)
    predict = lambda x: limit * torch.tanh(net(x))
    return lambda: torch_epoch(predict, adam, obs, act, torch.randint(len(obs), (draws,)), cfg.clone_batch)


# --- whole runs, in processes of their own --------------------------------------------------------------------------

# A small process in between: on Linux, the peak memory of a child begins with that of its parent.
WITH_PEAK = """import resource, subprocess, sys; status = subprocess.call(sys.argv[1:])
print("\\npeak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(status)"""


def run_program(folder, words, until=None, **environment):
    """`python run.py WORDS` with files in `folder`, to its end or to the first output that holds the text `until`.

    On a pseudo-terminal, because progress bars are only drawn on a terminal.
    -> seconds, [(seconds, piece of output)], peak resident memory [MB]
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))  # rows, columns: a bar needs some
    line = [sys.executable, "-c", WITH_PEAK, sys.executable, str(run.HERE / "run.py"), *words.split()]
    line += ["--log_dir", f"{folder}/log", "--data_dir", f"{folder}/data"]
    began, output, streams = time.perf_counter(), [], dict(stdin=theirs, stdout=theirs, stderr=theirs)
    child = subprocess.Popen(line, env=os.environ | environment, start_new_session=True, **streams)
    os.close(theirs)
    try:
        while text := read_terminal(ours):
            output.append((time.perf_counter() - began, text))
            if until and until in text:
                return output[-1][0], output, None
        seconds, text = time.perf_counter() - began, "".join(text for _, text in output)
        if child.wait() != 0:
            raise RuntimeError(f"run.py {words}: {text[-300:]}")
        return seconds, output, int(text.split("peak ")[-1]) / (1e6 if sys.platform == "darwin" else 1e3)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(ours)


def read_terminal(file):
    """What comes next from a pseudo-terminal; empty when all who wrote to it have ended."""
    try:
        return os.read(file, 65536).decode(errors="replace")
    except OSError:  # Linux's way to say so
        return ""


def offline_hopper(opts):
    """The program's main job from nothing, once: time per phase, peak memory.  -> record"""
    words = f"--mode offline --env hopper --threads {opts.threads}{pick(opts, '', ' --preset smoke')}"
    with tempfile.TemporaryDirectory() as folder:
        seconds, output, peak = run_program(folder, words)
        with open(next(Path(folder).rglob("progress.csv")), newline="") as f:
            rows = list(csv.DictReader(f))
    began, ended = (next(t for t, text in output if word in text) for word in ("collecting ", "dataset "))
    phases = {"collect": ended - began}
    for column in (column for column in rows[-1] if column.endswith("_seconds")):
        phases[column.removesuffix("_seconds")] = sum(float(row[column] or 0) for row in rows)
    phases["all else"] = seconds - sum(phases.values())
    return {"what": f"run.py {words}, from nothing, once", "seconds": seconds, "phases": phases, "peak_mb": peak}


def cold_start(opts):
    """How long until something moves, and what compilation costs: with an empty and a filled cache of kernels."""
    words, times = f"--mode offline --env hopper --threads {opts.threads}", {}
    note = lambda name, seconds: times.setdefault(name, []).append(seconds)
    for _ in range(opts.repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import run"], cwd=run.HERE, check=True)
        note("import", time.perf_counter() - began)
        with tempfile.TemporaryDirectory() as cache:
            for kind in ("cold", "warm"):
                with tempfile.TemporaryDirectory() as folder:
                    start = partial(run_program, folder, NUMBA_CACHE_DIR=cache)
                    seconds, output, _ = start(words, until="%")  # of the first progress bar
                    note(f"{kind}: first line", output[0][0])
                    note(f"{kind}: first progress bar", seconds)
                    note(f"{kind}: whole smoke run", start(f"{words} --preset smoke --exp_name smoke")[0])
    phases = {name: median(seconds) for name, seconds in times.items()}
    phases["compilation"] = phases["cold: whole smoke run"] - phases["warm: whole smoke run"]
    what = f"first progress bar of run.py {words}, no kernel compiled yet"
    return {"what": what, "seconds": phases["cold: first progress bar"], "phases": phases}


CASES = {
    "rollout_256_200x250": partial(rollout_case, 256, 250),
    "rollout_256_50x1000": partial(rollout_case, 256, 1000),
    "rollout_256_200x250_residuals": partial(rollout_case, 256, 250, model_noise=1.0),
    "rollout_1024_200x250": partial(rollout_case, 1024, 250),
    "rollout_1024_50x1000": partial(rollout_case, 1024, 1000),
    "trpo_update": partial(update_case, 1.0),
    "trpo_update_fisher10": partial(update_case, 0.1),
    "fit_256_b256": partial(fit_case, 256, 256, 50_000),
    "fit_1024_b1000": partial(fit_case, 1024, 1000, 20_000),
    "clone": clone_case,
    "collect_hopper": partial(collect_case, "hopper"),
    "collect_half_cheetah": partial(collect_case, "half_cheetah"),
}
WHOLE = {"offline_hopper": offline_hopper, "cold_start": cold_start}


# --- cost as the work grows -----------------------------------------------------------------------------------------


def growing_work(opts):
    """What grows, through which sizes, and {line: size -> function of no arguments}.  -> {panel: (sizes, lines)}"""
    cfg, rows, paths = config(opts, model_batch=256), pick(opts, 20_000, 40), pick(opts, 200, 4)
    fit = lambda n=rows, **x: fit_work(replace(cfg, **x), n, pick(opts, 1000, 8))[1]
    imagine = lambda **x: rollout_work(replace(cfg, **x))[1]
    epoch, imagined = f"fit, an epoch of {rows:,} rows", f"{cfg.imagined_steps:,} imagined steps"
    workers = sorted({1, opts.threads, *(2**i for i in range(1, 10) if 2**i < opts.threads)})
    widths = {epoch: lambda w: fit(model_hidden=(w, w)), imagined: lambda w: imagine(model_hidden=(w, w))}
    horizons = {f"{paths} imagined paths": lambda T: imagine(horizon=T, imagined_steps=paths * T)}
    horizons |= {imagined: lambda T: imagine(horizon=T)}
    threads = {epoch: lambda _: fit(), imagined: lambda _: imagine()}
    threads |= {"TRPO update": lambda _: update_work(cfg, pick(opts, 50_000, 60))[1]}
    return {
        "rows": (pick(opts, (10_000, 30_000, 100_000, 300_000, 1_000_000), (16, 32)), {"fit, an epoch": fit}),
        "members": (pick(opts, (1, 2, 3, 5, 7, 10), (1, 2)), {epoch: lambda k: fit(members=k)}),
        "width of the models": (pick(opts, (64, 128, 256, 512, 1024), (4, 8)), widths),
        "horizon [steps]": (pick(opts, (50, 100, 250, 500, 1000), (5, 10)), horizons),
        "threads": (workers, threads),
    }


def scaling(opts):
    """Time against size, memory of training on a million transitions, runs side by side.  -> record"""
    record = {}
    for panel, (sizes, lines) in tqdm(growing_work(opts).items(), desc="what grows", disable=None, leave=False):
        record[panel] = {}
        for line, work in lines.items():
            seconds = []
            for size in sizes:
                threads = nets.use_threads(size if panel == "threads" else opts.threads)
                seconds.append(rounds({"": work(size)}, pick(opts, 3, 1), threads)[0][""])
            record[panel][line] = {"sizes": sizes, "seconds": seconds, "exponent": exponent(sizes, seconds)}
    nets.use_threads(opts.threads)
    n = pick(opts, 1_000_000, 2000)
    short = "--model_epochs 1 --model_batch 1000 --clone_steps 500 --iterations 1 --iteration_updates 2"
    with hopper_data(n, f"--threads {opts.threads} {short}") as start:
        return {"time": record, "memory_rows": n, "memory_mb": start()[2], **side_by_side(opts)}


def side_by_side(opts):
    """As many runs as threads, of one thread each: one after another, and all at once.  -> runs per hour of both"""
    short = pick(opts, "--model_epochs 4 --clone_steps 2000 --iterations 1", "--preset smoke --iterations 1")
    names = [f" --exp_name run{i}" for i in range(max(2, opts.threads))]
    with hopper_data(pick(opts, 20_000, 600), f"--threads 1 {short}") as start, ThreadPoolExecutor(len(names)) as pool:
        times = []
        for kind, in_turn in (("a", map), ("b", pool.map)):
            began = time.perf_counter()
            list(in_turn(start, [name + kind for name in names]))
            times.append(time.perf_counter() - began)
    rates = [3600 * len(names) / seconds for seconds in times]
    gain = {"side_by_side_gain": rates[1] / rates[0]}
    return {"runs": len(names), "runs_per_hour": dict(zip(("one after another", "side by side"), rates)), **gain}


@contextmanager
def hopper_data(n, words):
    """A dataset of n transitions; gives the function that trains on them, with more words if need be."""
    with tempfile.TemporaryDirectory() as folder:
        safe_files.save_dataset(f"{folder}/data.npz", [transitions(n)], {"env": "hopper"})
        words = f"--mode offline --env hopper --data {folder}/data.npz --n_train {n} {words}"
        yield lambda more="": run_program(folder, words + more)


# --- table and pictures ---------------------------------------------------------------------------------------------


def shown(figures, unit, prefix=""):
    """A figure for the eye."""
    if f"{prefix}per_second" in figures:
        return f"{figures[f'{prefix}per_second']:,.0f} {unit}/s"
    seconds = figures[f"{prefix}seconds"]
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def speed(figures, prefix=""):
    """A figure of which more is better."""
    return figures.get(f"{prefix}per_second") or 1 / figures[f"{prefix}seconds"]


def against(record, other, prefix=""):
    """Another's figure, and how many times as fast this program is."""
    return f"{shown(other, record['unit'], prefix)} ({speed(record) / speed(other, prefix):.1f}×)"


def best(record, peer):
    """The fastest variant of a peer, if it did this work.  -> name, figures; or None"""
    return max(record["peers"].get(peer, {}).items(), key=lambda item: speed(item[1]), default=None)


def table(records):
    """The cases as a Markdown table, with a column for each peer that took part.  -> lines"""
    peers = [peer for peer in PEERS if any(peer in record["peers"] for record in records.values())]
    head = ["work", "this program", "GFLOP/s", "of the peak", "plain NumPy", *peers]
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
    for record in records.values():
        cells, share = [record["what"], shown(record, record["unit"])], record["share_of_peak"]
        cells += [f"{record['gflops']:.3g}", f"{share:.0%}"] if share else ["", ""]
        cells.append(against(record, record, "plain_") if record.get("plain_seconds", 1) else "")
        for name, figures in (best(record, peer) or ("", None) for peer in peers):
            cells.append(f"{against(record, figures)}, {name}" if figures else "")
        yield f"| {' | '.join(cells)} |"


def report(result, records):
    """Everything measured, as Markdown.  -> text"""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines = ["# Benchmark", "", " ".join(result["notes"]), ""]
    lines += [f"`{result['command']}` on {result['machine']}, threads: {result['threads']}; {versions}.", ""]
    for threads, before in result["sgemm_before"].items():
        what = f"sgemm {result['sgemm_size']}², {threads} thread{'s' * (threads > 1)}"
        lines += [f"{what}: {before:.0f} GFLOP/s before all else, {result['sgemm_after'][threads]:.0f} after.", ""]
    lines += table(records) if records else []
    lines += ["", "In brackets: how many times as fast this program is."] if records else []
    for name, record in records.items():
        if "phases" in record:
            peak = f"; peak resident memory {record['peak_mb']:,.0f} MB" if "peak_mb" in record else ""
            lines += ["", f"{name}: {', '.join(f'{k} {v:.3g} s' for k, v in record['phases'].items())}{peak}."]
    return "\n".join([*lines, *(scaling_table(result["scaling"]) if "scaling" in result else ())]) + "\n"


def scaling_table(scaling):
    """Time against size, memory, and runs side by side, as Markdown.  -> lines"""
    yield "\n| what grows | work | sizes | seconds | exponent |\n|---|---|---|---|---|"
    for panel, lines in scaling["time"].items():
        for line, x in lines.items():
            sizes, seconds = ", ".join(f"{n:,}" for n in x["sizes"]), ", ".join(f"{s:.3g}" for s in x["seconds"])
            yield f"| {panel} | {line} | {sizes} | {seconds} | {power(x)} |"
    yield f"\nTraining on {scaling['memory_rows']:,} transitions took {scaling['memory_mb']:,.0f} MB at most."
    rates = ", ".join(f"{k} {v:,.0f} runs per hour" for k, v in scaling["runs_per_hour"].items())
    yield f"\n{scaling['runs']} runs of one thread each: {rates}, {scaling['side_by_side_gain']:.2f} times as many."


def power(x):
    """A fitted exponent for the eye."""
    return "none" if x["exponent"] is None else f"{x['exponent']:.2f}"


def draw(result, records, path):
    """benchmark.png: shares of the peak, and real steps per second."""
    fig = run.page("picture").figure(figsize=(13, 6.5))
    share = lambda figures, prefix="": 100 * figures[f"{prefix}gflops"] / result["sgemm_gflops"]
    counted = {name: record for name, record in records.items() if record["gflops"]}
    collected = {name: record for name, record in records.items() if name.startswith("collect")}
    halves = (counted, share, "arithmetic [% of the sgemm peak]"), (collected, speed, "real steps per second")
    for ax, (some, value, label) in zip(fig.subplots(1, 2, width_ratios=(3, 2)), halves):
        bars(ax, some, value, label) if some else ax.axis("off")
    title = f"threads: {result['threads']}, sgemm {result['sgemm_gflops']:.0f} GFLOP/s"
    title += "" if result["quiet"] else "; the machine was NOT quiet"
    fig.suptitle(title if result["measurement"] else NO_MEASUREMENT)
    run.page("picture").save_figure(fig, path)


def bars(ax, records, value, label):
    """A group of bars per case: this program, its twin, each peer's best."""
    for row, record in enumerate(records.values()):
        found = {"this program": value(record), "plain NumPy": value(record, "plain_")}
        found |= {peer: value(best(record, peer)[1]) for peer in PEERS if best(record, peer)}
        for i, (who, x) in enumerate(found.items()):
            color = f"C{['this program', 'plain NumPy', *PEERS].index(who)}"
            bar = ax.barh(row + 0.2 * (i - (len(found) - 1) / 2), x, 0.19, color=color, label=who)
            ax.bar_label(bar, fmt="{:,.0f}", padding=2, fontsize=8)
    ax.set_yticks(range(len(records)), [name.replace("_", " ") for name in records])
    ax.set(xlabel=label, ylim=(len(records) - 0.5, -0.5))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.locator_params(axis="x", nbins=5)
    ax.margins(x=0.12)
    once = dict(zip(*reversed(ax.get_legend_handles_labels())))
    ax.legend(once.values(), once.keys(), frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.08), ncols=4)


def draw_scaling(result, path):
    """benchmark_scaling.png: time against size with the fitted exponents, and runs side by side."""
    fig = run.page("picture").figure(figsize=(13, 7.5))
    *axes, last = fig.subplots(2, 3).flat
    for ax, (panel, lines) in zip(axes, result["scaling"]["time"].items()):
        for line, x in lines.items():
            ax.loglog(x["sizes"], x["seconds"], marker="o", label=f"{line}: exponent {power(x)}")
            ax.set_xticks(x["sizes"], [f"{n:,}" for n in x["sizes"]])
        ax.set_xticks([], minor=True)
        ax.tick_params(labelsize=9)
        ax.set(xlabel=panel, ylabel="time [s]")
        ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1))
    rates, scale = result["scaling"]["runs_per_hour"], result["scaling"]
    last.bar_label(last.bar(list(rates), list(rates.values()), 0.6), fmt="{:,.0f}")
    memory = f"{scale['memory_rows']:,} transitions: {scale['memory_mb']:,.0f} MB at most"
    last.margins(y=0.15)
    last.set(ylabel="runs per hour", xlabel=f"{scale['runs']} runs of one thread each")
    last.set_title(memory, fontsize=11)
    fig.suptitle(f"threads: {result['threads']}" if result["measurement"] else NO_MEASUREMENT)
    run.page("picture").save_figure(fig, path)


# --- entry ----------------------------------------------------------------------------------------------------------


def unrest(before, after, load):
    """What speaks against these numbers: a peak that moved by more than 15 %, other processes.  -> sentences"""
    for threads, x in before.items():
        if abs(after[threads] - x) > 0.15 * max(after[threads], x):
            yield f"**Not quiet: sgemm on {threads} threads went from {x:.0f} to {after[threads]:.0f} GFLOP/s.**"
    if load > 0.5:
        yield f"**Not quiet: the load average was {load:.1f} at the start: other processes were running.**"


def benchmark(opts):
    """Run the cases between two looks at the peak.  -> everything for --json, records of the cases"""
    load, before, records = os.getloadavg()[0], sgemm(opts), {}
    for name in tqdm(opts.names, desc="benchmark", unit="case", disable=None, leave=False):
        blank = {"unit": "s", "gflops": None, "share_of_peak": None, "plain_seconds": None, "peers": {}}
        records[name] = blank | WHOLE[name](opts) if name in WHOLE else measure(CASES[name], opts)
    more = {"scaling": scaling(opts)} if opts.scaling else {}
    after = sgemm(opts)
    peak, disturbed = max(before[opts.threads], after[opts.threads]), list(unrest(before, after, load))
    for record in records.values():
        record["share_of_peak"] = record["gflops"] and record["gflops"] / peak
    notes = [f"**{NO_MEASUREMENT}**"] * opts.quick + (disturbed or ["The machine was quiet."]) + opts.notes
    source = run.page("provenance")
    versions = source.versions() | {"blas": source.blas()}
    versions |= {PEERS[peer]: source.version(PEERS[peer]) for peer in opts.peers}
    about = {"measurement": not opts.quick, "quiet": not disturbed, "notes": notes, "command": opts.command}
    about |= {"machine": machine(), "versions": versions, "threads": opts.threads, "rounds": opts.repeats}
    about |= {"sgemm_gflops": peak, "sgemm_before": before, "sgemm_after": after}
    about |= {"sgemm_size": pick(opts, 2048, 64), "load_at_start": load}
    return about | records | more, records


def machine():
    """What the processor calls itself."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else ()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.machine())


def parser():
    """The command line."""
    p = run.Parser(prog="benchmark.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
               allow_abbrev=False)  # fmt: skip
    names = [*CASES, *WHOLE]
    p.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME", help=f"some of {', '.join(names)}")
    p.add_argument("--peers", action="store_true", help="PyTorch, sb3-contrib and Gymnasium on the same work")
    p.add_argument("--scaling", action="store_true", help="how time and memory grow, instead of the cases")
    p.add_argument("--threads", type=int, default=0, metavar="N", help="at most all cores, the default")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    p.add_argument("--out", type=Path, metavar="DIR", help="where table and picture go (examples/results)")
    p.add_argument("--quick", action="store_true", help="tiny sizes, no measurement")
    return p


def prepared(opts):
    """Parsed flags, checked, with what follows from them; or run.UsageError."""
    cores = nets.use_threads()
    if not 0 <= opts.threads <= cores:
        raise run.UsageError(f"--threads {opts.threads}: 0 (all) to {cores} on this machine")
    flags = [f"--{name}" for name in ("peers", "scaling", "quick") if getattr(opts, name)]
    flags += [f"--only {' '.join(opts.only)}"] * bool(opts.only) + [f"--threads {opts.threads}"] * bool(opts.threads)
    opts.command, opts.notes = " ".join(["python examples/benchmark.py", *flags]), []
    opts.names = opts.only or ([] if opts.scaling else [*CASES, *WHOLE])
    opts.threads, opts.repeats = nets.use_threads(opts.threads), pick(opts, 5, 1)
    if opts.peers:
        opts.notes = [f"{x} is not installed: no column." for x in PEERS if not importlib.util.find_spec(PEERS[x])]
    opts.peers = [x for x in PEERS if opts.peers and importlib.util.find_spec(PEERS[x])]
    if "PyTorch" in opts.peers:
        import torch

        torch.set_num_threads(opts.threads)
    if not (opts.out or opts.only or opts.quick):  # a part must not replace the whole
        opts.out = run.HERE / "examples" / "results"
    if opts.out:
        opts.out.mkdir(parents=True, exist_ok=True)  # better to find out now than at the end
    return opts


def main(argv=None):
    """Run the command line.  -> exit status: 0; 1 if run.py failed; 2 for a line that cannot be used; 130 Ctrl-C"""
    run.page("endings").plain_streams()
    try:
        opts = prepared(parser().parse_args(argv))
        result, records = benchmark(opts)
        text = report(result, records)
        print(json.dumps(result, indent=1) if opts.json else text)
        if opts.out:
            name = "benchmark.md" if records else "benchmark_scaling.md"
            safe_files.write_whole(opts.out / name, lambda f: f.write(text.encode()))
        if opts.out and records:
            draw(result, records, opts.out / "benchmark.png")
        if opts.out and opts.scaling:
            draw_scaling(result, opts.out / "benchmark_scaling.png")
        return 0
    except (run.UsageError, OSError) as e:
        status, text = 2, str(e)
    except RuntimeError as e:
        status, text = 1, str(e)
    except KeyboardInterrupt:
        status, text = 130, "interrupted"
    return run.page("endings").complain("benchmark.py", status, text)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever stops us stops the runs that we started
    sys.exit(main())
