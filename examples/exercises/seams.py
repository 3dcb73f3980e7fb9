"""Small worlds in which parts of bremen.train_offline can be checked in a moment, without a simulator.

float32, unlike other checks: these parts run on the networks of training, whose kernels are compiled for float32.
"""

import judge
import numpy as np

import bremen
import envs
import nets

HOPPER = bremen.Config(env="hopper", threads=1, members=3, model_hidden=(8,), policy_hidden=(8,), std=0.8, horizon=40,
                       imagined_steps=400)  # fmt: skip
PENDULUM = bremen.Config(env="pendulum", threads=1, members=3, model_hidden=(8,), model_epochs=2, policy_hidden=(8,),
                         clone_steps=20, value="linear", horizon=20, imagined_steps=200, iterations=1,
                         iteration_updates=1)  # fmt: skip


def world(cfg=HOPPER, seed=0):
    """Random models that disagree, in which hoppers fall; a policy and another clone.  -> State, starts (R, S)"""
    rng, task = np.random.default_rng(seed), envs.TASKS[cfg.env]
    S, A, f = task.obs_dim, task.act_dim, np.float32
    phi = np.stack([nets.init_mlp(rng, bremen.model_sizes(cfg)) for _ in range(cfg.members)])
    beta, theta = (bremen.new_policy(cfg, rng) for _ in range(2))
    for policy in (beta, theta):
        policy[:-A] += 0.2 * rng.standard_normal(len(policy) - A).astype(f)
    beta[-A:] -= f(0.2)
    inputs = nets.Normalizer(rng.standard_normal(S + A), rng.uniform(1, 2, S + A))
    delta = nets.Normalizer(np.zeros(S), rng.uniform(0.01, 0.03, S))
    norm = nets.Normalizer(0.5 * rng.standard_normal(S), rng.uniform(1, 2, S))
    centre = np.zeros(S, f) if cfg.env != "hopper" else np.array([1.2] + [0] * (S - 1), f)
    starts = centre + 0.05 * rng.standard_normal((50, S)).astype(f)
    reach = np.array([0.8, 0.8] + [0.2] * (S - 2), f)  # hoppers reach the ends of the last ones before they fall
    dynamics = bremen.Dynamics(phi, inputs, delta, centre - reach, centre + reach, None)
    return bremen.State({}, norm, dynamics, beta=beta, theta=theta), starts


def logged(n=400, seed=0):
    """Rows of a pendulum that is pushed at random.  -> Batch"""
    task, rng = envs.TASKS["pendulum"], np.random.default_rng(seed)
    return envs.collect(task, envs.behavior(task, None, "random"), n, rng, num_envs=4)


def who(s, paths, cfg):
    """Which member predicted each imagined step: the only one whose prediction is next_obs.  -> (T, B) int"""
    T, B, S = paths.obs.shape
    flat, task = lambda x: x.reshape(T * B, -1), envs.TASKS[cfg.env]
    obs, act, next_obs = flat(paths.obs), task.clip(flat(paths.act)), flat(paths.next_obs)
    lowest, highest = s.dynamics.lowest, s.dynamics.highest
    off = np.stack(
        [
            np.abs(np.clip(bremen.predict(s.dynamics, obs, act, k, cfg), lowest, highest) - next_obs).max(axis=1)
            for k in range(len(s.dynamics.phi))
        ]
    )
    assert off.min(axis=0).max() < 1e-4, (
        "next_obs must be what one member predicts from obs and the clipped action, kept between lowest and highest"
    )
    return off.argmin(axis=0).reshape(T, B)


def kl_to_clone(s, obs, cfg):
    """KL(policy || clone) at each observation [nats].  obs (N, S) -> (N,)"""
    net = bremen.policy_net(cfg)
    policy, clone = (nets.gaussian(v, s.norm(obs), net) for v in (s.theta, s.beta))
    return nets.kl_gauss(*policy, *clone)


def check_paths(paths, s, starts, cfg):
    """What every imagine has to do, whichever member predicts: AssertionError where it does not."""
    task, T, B = envs.TASKS[cfg.env], cfg.horizon, cfg.imagined_steps // cfg.horizon
    S, A = task.obs_dim, task.act_dim
    shapes = ((T, B, S), (T, B, A), (T, B), (T, B, S), (T, B), (T, B), (T, B))
    for name, column, shape in zip(paths._fields, paths, shapes):
        assert column.shape == shape, f"{name} must have the shape {shape} (T, B, ...), not {column.shape}"
    is_start = lambda x: (np.abs(x[:, None] - starts).max(axis=-1) < 1e-6).any(axis=1)
    assert is_start(paths.obs[0]).all(), "every path must begin in a row of starts"
    assert len(np.unique(paths.obs[0], axis=0)) > 1, "starts must be drawn for each path, not one for all"
    for began in (paths.obs[0], paths.obs[paths.time == 0]):
        late = began[:, None] - starts[len(starts) // 2 :]
        assert np.abs(late).max(axis=-1).min() < 1e-6, "starts must be drawn from all rows, not from the first few"
    fallen = ~task.healthy(paths.next_obs)
    words = "terminated must be True where next_obs, the state that the step led to, is not healthy, and only there"
    assert np.array_equal(paths.terminated, fallen), words
    before, on = paths.terminated[:-1], paths.obs[1:]
    assert np.array_equal(on[~before], paths.next_obs[:-1][~before]), "a healthy path must go on from its next_obs"
    assert before.sum() == 0 or is_start(on[before]).all(), "a path that fell must go on in a row of starts"
    began = np.take_along_axis(paths.obs, (np.arange(T)[:, None] - paths.time)[..., None], axis=0)[:-1]
    same = np.all(on == began, axis=-1)[before]
    assert same.sum() <= len(same) / 2, "a path that fell must go on in another row of starts, drawn anew"
    together = [len(np.unique(on[t][fell], axis=0)) for t, fell in enumerate(before) if fell.sum() > 1]
    assert not together or max(together) > 1, "paths that fall in the same step must not all go on in the same row"
    noise = paths.act - bremen.policy_of(s, cfg).mean(paths.obs.reshape(T * B, S)).reshape(T, B, A)
    for axis, words in ((0, "at every step of a path"), (1, "for every path")):
        assert noise.std(axis=axis).min() > 0.05 * cfg.std * task.act_limit, (
            f"the noise of an action must be drawn {words}, not once for all"
        )
    noise = noise.ravel()
    sigma, spread = cfg.std * task.act_limit, 5 / np.sqrt(noise.size)
    right = abs(noise.std() / sigma - 1) < spread and abs(noise.mean()) < spread * sigma
    assert right, f"act must be the mean action plus noise of sigma {sigma:.2g}, not clipped (it is {noise.std():.2g})"
    rew = task.reward(paths.obs, task.clip(paths.act), paths.next_obs)
    assert np.allclose(paths.rew, rew, atol=1e-5), "rew must be the task's reward of obs, *clipped* action and next_obs"
    assert not paths.truncated[:-1].any(), "truncated must be False before the last row: nothing is cut there"
    assert np.array_equal(paths.truncated[-1], ~fallen[-1]), "the last row must be truncated unless it terminated"
    wanted = np.zeros((T, B), int)
    for t in range(1, T):
        wanted[t] = np.where(before[t - 1], 0, wanted[t - 1] + 1)
    assert np.array_equal(paths.time, wanted), "time must count the steps since the path's last start, from 0"


def apart(imagine):
    """Imagined paths of hoppers that have passed `check_paths`.  -> Paths, who predicted (T, B)"""
    s, starts = world()
    paths, info = imagine(s, starts, HOPPER, np.random.default_rng(0))
    check_paths(paths, s, starts, HOPPER)
    judge.close(info["imagined_reward"], np.mean(paths.rew), "imagined_reward must be the mean of rew", 1e-4)
    return paths, who(s, paths, HOPPER)


def first_update(data=None, cfg=PENDULUM, **parts):
    """Run bremen.train_offline up to its first update with these parts.  -> its records"""
    records = list(bremen.train_offline(cfg, logged() if data is None else data, **parts))
    stages = [r["stage"] for r in records]
    assert stages == ["model", "clone", "update"], (
        f"train_offline came to {', '.join(stages)} instead of its first update"
    )
    assert np.isfinite(records[-1]["state"].theta).all(), "after one update of train_offline the policy is not finite"
    return records
