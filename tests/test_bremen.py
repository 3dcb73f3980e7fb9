"""Algorithm 2 and its parts: kernel against plain loops, models and clones of known systems, whole and resumed runs."""

import copy
import inspect
from dataclasses import asdict, fields, replace

import model_error
import mujoco
import numba
import numpy as np
import online
import pretrain
import pytest
import scipy.stats
from scipy.spatial.transform import Rotation

import bremen
import envs
import nets
import trpo

ANT, HOPPER, PENDULUM = envs.TASKS["ant"], envs.TASKS["hopper"], envs.TASKS["pendulum"]
TINY = bremen.Config(
    env="pendulum", threads=2, std=0.1, policy_hidden=(8,),
    members=2, model_hidden=(8,), model_epochs=2, model_batch=100, model_lr=1e-3, model_lr_last=1e-4, validation=0.15,
    clone_steps=30, clone_batch=32, clone_lr=1e-3,
    iterations=2, iteration_updates=2, imagined_steps=400, horizon=20, target_kl=5e-3, fisher_rows=0.2,
    value="mlp", value_hidden=(8,), value_epochs=1, value_batch=100, value_lr=1e-3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    before = nets.workers()
    yield
    nets.use_threads(before)


def rng_of(seed=0):
    return np.random.default_rng(seed)


def same(a, b):
    """Whether two records, states, tuples, lists, dicts or arrays are alike to the last bit."""
    if isinstance(a, np.random.Generator):
        return a.bit_generator.state == b.bit_generator.state
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# --- Config and presets -------------------------------------------------------------------------------------

nan, inf = float("nan"), float("inf")
KINDS = {  # what no field of this type may be
    int: [-1, nan, inf, 2.5, "3", None, True],
    float: [-0.1, nan, inf, "3", None, True],
    tuple: [(0,), (32, -32), 32, (2.5,), ("8",), None],
    bool: [0, 1, "no", None],
}
NONSENSE = {f.name: list(KINDS.get(type(f.default), [])) for f in fields(bremen.Config)}
for _name in bremen.CHOICES:
    NONSENSE[_name] = ["nonsense", "", None]
ABOVE_ZERO = "members horizon n_train imagined_steps iteration_updates deployments cg_iters target_kl std gamma"
for _name in ABOVE_ZERO.split():
    NONSENSE[_name] += [0]
for _name in ("validation", "gamma", "lam", "fisher_rows", "backtrack"):
    NONSENSE[_name] += [1.01]
NONSENSE["validation"] += [0, 1.0]
NONSENSE["gamma"] += [1.0]


@pytest.mark.parametrize("name", [name for name, bad in NONSENSE.items() if bad])
def test_config_refuses_nonsense_in_one_line(name):
    for bad in NONSENSE[name]:
        with pytest.raises(ValueError) as e:
            bremen.Config(**{name: bad})
        assert str(e.value).startswith(f"--{name} ") and "\n" not in str(e.value), bad


@pytest.mark.parametrize("name, good", [("seed", 0), ("threads", 0), ("alpha", 0), ("iterations", 0), ("lam", 1.0)])
def test_config_accepts(name, good):
    assert getattr(bremen.Config(**{name: good}), name) == good


def test_config_cannot_be_changed_by_accident():
    with pytest.raises(AttributeError):
        TINY.seed = 1


@pytest.mark.parametrize("mode", [*bremen.CHOICES["mode"], "online"])
@pytest.mark.parametrize("preset", bremen.CHOICES["preset"])
def test_every_preset_makes_a_valid_config(mode, preset):
    for env in envs.TASKS:
        first = online.OnlineConfig() if mode == "online" else bremen.Config(mode=mode)
        first = replace(first, env=env, preset=preset)
        changes = first.preset_numbers()
        cfg = replace(first, **changes)  # a field that does not exist raises
        assert (cfg.mode, cfg.env, cfg.preset) == (mode, env, preset)
        assert all(type(asdict(cfg)[k]) is type(v) for k, v in asdict(first).items()), "a preset keeps the types"


def test_presets_speak_of_things_that_exist():
    assert set(bremen.PRESETS) == set(bremen.CHOICES["preset"])
    for table in bremen.PRESETS.values():
        assert set(table) <= {"*", *envs.TASKS}


def test_an_environment_overrides_its_preset_and_mode_online_both():
    """By hand, from the tables of the paper and of this project's design."""
    changes = lambda **kw: bremen.Config(**kw).preset_numbers()
    assert changes(preset="paper", env="half_cheetah")["target_kl"] == 4.5e-4
    assert changes(preset="paper", env="hopper")["target_kl"] == 2.3e-4
    assert changes(preset="paper", env="hopper")["horizon"] == 1000
    assert "horizon" not in changes(preset="paper", env="ant")
    small = changes(preset="smoke", env="hopper", mode="offline")
    plain = online.OnlineConfig(preset="smoke", env="hopper").preset_numbers()
    assert small["policy_hidden"] == (32, 32) and plain["policy_hidden"] == (64, 64)
    assert plain["learn_std"] and "learn_std" not in small and "online_steps" not in small
    ant = bremen.configured(online.OnlineConfig, env="ant", preset="smoke", online_envs=3)
    assert (ant.mode, ant.std, ant.target_kl, ant.online_steps, ant.online_envs) == ("online", 0.3, 0.02, 16_000, 3)
    with pytest.raises(ValueError, match="^--mode online: choose from offline"):
        bremen.Config(mode="online")
    for wrong in ({"mode": "offline"}, {"online_envs": 0}, {"online_steps": 2.5}, {"gamma": 2.0}):
        with pytest.raises(ValueError, match=f"^--{next(iter(wrong))} "):
            online.OnlineConfig(**wrong)


def test_epochs_that_are_asked_for_are_not_raised_by_the_preset():
    steps = lambda **given: bremen.configured(env="pendulum", **given).model_steps
    assert (steps(), steps(model_epochs=2), steps(model_epochs=2, model_steps=7)) == (30_000, 0, 7)


def test_a_draw_from_one_stream_leaves_the_others_unmoved():
    drawn, fresh = bremen.streams(3), bremen.streams(3)
    drawn["evaluate"].random(1000)
    assert list(drawn) == list(bremen.STREAMS)
    numbers = [drawn[name].random() for name in bremen.STREAMS if name != "evaluate"]
    assert numbers == [fresh[name].random() for name in bremen.STREAMS if name != "evaluate"]
    assert len(set(numbers)) == len(numbers) and not same(bremen.streams(3), bremen.streams(4))


# --- rollout: the kernel ------------------------------------------------------------------------------------

WORLD = replace(TINY, env="hopper", members=3)


RESIDUALS = 0.5 * rng_of(20).standard_normal((25, 5, HOPPER.obs_dim))  # times the spread, added to predicted changes


def world(dtype=np.float32, broken=None):
    """A hopper's ensemble and policy with random weights: state, pool (T, B, S), noise (T, B, A), member (T,).

    The angle is clipped exactly to the edges of its open healthy box, the height to within its own; one whole
    member may be broken (NaN).
    """
    rng, T, B, S, A = rng_of(19), 25, 5, HOPPER.obs_dim, HOPPER.act_dim
    normalizer = lambda n, size: nets.Normalizer(size * rng.standard_normal(n), size * rng.uniform(1, 2, n))
    phi = np.stack([nets.init_mlp(rng, bremen.model_sizes(WORLD)) for _ in range(3)]).astype(dtype)
    theta = bremen.new_policy(WORLD, rng).astype(dtype)
    theta[:-A] += 0.3 * rng.standard_normal(len(theta) - A)
    if broken is not None:
        phi[broken] = np.nan
    lowest, highest = np.full(S, -0.5, np.float32), np.full(S, 0.5, np.float32)
    lowest[:2], highest[:2] = (0.5, HOPPER.low[1]), (1.6, HOPPER.high[1])
    dynamics = bremen.Dynamics(phi, normalizer(S + A, 1.0), normalizer(S, 0.05), lowest, highest, None)
    pool = (0.05 * rng.standard_normal((T, B, S))).astype(dtype)
    pool[..., 0] += 1.2
    noise = (0.6 * rng.standard_normal((T, B, A))).astype(dtype)
    return bremen.State({}, normalizer(S, 1.0), dynamics, theta=theta), pool, noise, rng.integers(3, size=T)


def spread_of(s, cfg, obs, act):
    """How far apart the members are, at one state and action: the root of the mean square, number by number."""
    seen = nets.felt(obs[None], envs.TASKS[cfg.env].free_joint)
    x = s.dynamics.inputs(np.concatenate([seen, act[None]], axis=1))
    changes = [nets.mlp(phi, x, bremen.model_sizes(cfg))[0] for phi in s.dynamics.phi]
    squares = [(one - sum(of) / len(of)) ** 2 for of in zip(*changes) for one in of]
    return np.sqrt(sum(squares) / len(squares))


def loop(s, cfg, pool, noise, member, residuals=None):
    """Path after path, step after step, one row at a time.  -> obs, act, next_obs, terminated, as `rollout`"""
    task, policy = envs.TASKS[cfg.env], nets.Policy(s.theta, s.norm, bremen.policy_net(cfg))
    T, B, _ = pool.shape
    steps = [[None] * B for _ in range(T)]
    for b in range(B):
        obs = pool[0, b]
        for t in range(T):
            act = policy.mean(obs[None])[0] + noise[t, b]
            applied = np.clip(act, -task.act_limit, task.act_limit)
            next_obs = bremen.predict(s.dynamics, obs[None], applied[None], member[t], cfg)[0]
            if residuals is not None:
                next_obs = next_obs + s.dynamics.delta.undo(spread_of(s, cfg, obs, applied) * residuals[t, b])
                next_obs = (next_obs - s.dynamics.delta.mean).astype(pool.dtype)
            next_obs = np.clip(next_obs, s.dynamics.lowest, s.dynamics.highest)
            ended = not task.healthy(next_obs)
            steps[t][b] = obs, act, next_obs, ended
            obs = next_obs
            if ended and t + 1 < T:
                obs = pool[t + 1, b]
    return tuple(np.array([[step[i] for step in row] for row in steps]) for i in range(4))


def ant_world(dtype=np.float32):
    """The same of ants, which lie and stand at all angles: only here do models see another state than the policy."""
    cfg, rng, T, B = replace(TINY, env="ant", members=3), rng_of(21), 12, 4
    S, A = ANT.obs_dim, ANT.act_dim
    phi = np.stack([nets.init_mlp(rng, bremen.model_sizes(cfg)) for _ in range(3)]).astype(dtype)
    theta = bremen.new_policy(cfg, rng).astype(dtype)
    unit, small = (nets.Normalizer(np.zeros(n), size * np.ones(n)) for n, size in ((S + A, 1.0), (S, 0.1)))
    dynamics = bremen.Dynamics(phi, unit, small, np.full(S, -9, np.float32), np.full(S, 9, np.float32), None)
    pool = rng.standard_normal((T, B, S)).astype(dtype)
    pool[..., 0] = 0.6
    pool[..., 1:5] /= np.linalg.norm(pool[..., 1:5], axis=2, keepdims=True)
    noise = rng.standard_normal((T, B, A)).astype(dtype)
    s = bremen.State({}, nets.Normalizer(np.zeros(S), np.ones(S)), dynamics, theta=theta)
    return cfg, s, pool, noise, rng.integers(3, size=T), (0.5 * rng.standard_normal((T, B, S))).astype(dtype)


def check_rollout(monkeypatch, rollout, dtype=np.float32, broken=None, robot="hopper"):
    """`rollout` does what the loop over single rows does."""
    if robot == "ant":
        cfg, s, pool, noise, member, residuals = ant_world(dtype)
        residuals[..., 1:5] = residuals[..., 13:16] = 0  # here predictions are in other axes
    else:
        cfg, residuals = WORLD, RESIDUALS.astype(dtype)
        s, pool, noise, member = world(dtype, broken)
    if broken is not None:
        residuals = None  # a broken member would spoil every step
    monkeypatch.setattr(nets, "rollout_fast", rollout)
    got = bremen.parallel_rollout(s, cfg, pool, noise, [member], residuals)
    want = loop(s, cfg, pool, noise, member, residuals)
    np.testing.assert_array_equal(got[3], want[3], err_msg="terminated")
    for name, a, b in zip(("obs", "act", "next_obs"), got, want):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 if dtype == np.float64 else 1e-4, err_msg=name)


@pytest.mark.parametrize("broken", [None, 1], ids=["", "a member is NaN"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rollout", [nets.rollout_fast, nets.rollout], ids=["kernel", "plain"])
def test_rollout_is_a_loop_over_single_rows(monkeypatch, rollout, dtype, broken):
    check_rollout(monkeypatch, rollout, dtype, broken)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rollout", [nets.rollout_fast, nets.rollout], ids=["kernel", "plain"])
def test_rollout_of_ants_is_a_loop_over_single_rows(monkeypatch, rollout, dtype):
    check_rollout(monkeypatch, rollout, dtype, robot="ant")


@pytest.mark.parametrize("rollout", [nets.rollout_fast, nets.rollout], ids=["kernel", "plain"])
def test_the_residuals_of_one_member_alone_are_added_as_they_are(monkeypatch, rollout):
    s, pool, noise, _ = world()
    s = s._replace(dynamics=s.dynamics._replace(phi=s.dynamics.phi[:1]))
    member, residuals = np.zeros(len(pool), int), np.float32(RESIDUALS)
    monkeypatch.setattr(nets, "rollout_fast", rollout)
    obs, act, next_obs, _ = bremen.parallel_rollout(s, WORLD, pool[:1], noise[:1], [member[:1]], residuals[:1])
    guess = bremen.predict(s.dynamics, obs[0], np.clip(act[0], -1, 1), 0, WORLD) + s.dynamics.delta.scale * residuals[0]
    np.testing.assert_allclose(next_obs[0], np.clip(guess, s.dynamics.lowest, s.dynamics.highest), atol=1e-5)


def test_members_that_never_differ_leave_finite_residuals():
    x, y = rng_of().standard_normal((30, 4)).astype(np.float32), np.ones((30, 3), np.float32)
    phi = np.zeros((2, nets.n_params((4, 3))), np.float32)
    assert np.isfinite(bremen.held_out_residuals(phi, x, y, replace(TINY, model_hidden=()))).all()


@pytest.mark.parametrize("robot", ["hopper", "ant"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rollout_fast_is_rollout(monkeypatch, dtype, robot):
    if robot == "ant":
        cfg, s, pool, noise, member, residuals = ant_world(dtype)
    else:
        (s, pool, noise, member), cfg, residuals = world(dtype), WORLD, RESIDUALS.astype(dtype)
    for added in None, residuals:
        with monkeypatch.context() as patch:
            kernel = bremen.parallel_rollout(s, cfg, pool, noise, [member], added)
            patch.setattr(nets, "rollout_fast", nets.rollout)
            plain = bremen.parallel_rollout(s, cfg, pool, noise, [member], added)
        for a, b in zip(kernel, plain):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 if dtype == np.float64 else 1e-4)


def test_the_world_of_these_tests_shows_everything():
    s, pool, noise, member = world()
    obs, act, next_obs, terminated = loop(s, WORLD, pool, noise, member)
    assert (terminated.sum(axis=0) >= 2).all() and terminated.mean() < 0.7, "every path restarts, and goes on"
    assert (np.abs(act) > 1).any() and (np.abs(act) < 1).any(), "clipped actions"
    assert (next_obs == s.dynamics.lowest).any() and (next_obs == s.dynamics.highest).any(), "clipped states"
    edge = next_obs[..., 1, None] == [HOPPER.low[1], HOPPER.high[1]]
    assert edge.any(axis=(0, 1)).all() and terminated[edge.any(axis=2)].all(), "on the edge is outside"
    assert set(member) == {0, 1, 2}
    s, *rest = world(broken=1)
    obs, _, next_obs, terminated = loop(s, WORLD, *rest)
    assert np.isnan(next_obs[rest[-1] == 1]).all() and np.isfinite(obs).all(), "NaN ends a path, the next is sound"


WRONG = {  # the kernel's text: what stands in it, what a slip would make of it
    "always member 0": ("member[t], residuals", "0, residuals"),
    "never restarts": ("next_obs[t, b, j] if healthy else pool[min(t + 1, T - 1), b, j]", "next_obs[t, b, j]"),
    "restarts from this step's row": ("pool[min(t + 1, T - 1), b, j]", "pool[t, b, j]"),
    "restarts from the first states": ("pool[min(t + 1, T - 1), b, j]", "pool[0, b, j]"),
    "model sees the raw action": ("min(max(a, -actor.limit), actor.limit)", "a"),
    "returns the clipped action": ("act[t, b, j] = a", "act[t, b, j] = min(max(a, -actor.limit), actor.limit)"),
    "box closed below": ("box_low[j] < y", "box_low[j] <= y"),
    "box closed above": ("y < world.box_high[j]", "y <= world.box_high[j]"),
    "states are not clipped": ("world.clip_low[j]), world.clip_high[j])", "-np.inf), np.inf)"),
    "model under the policy's normaliser": ("(seen[b, j] - world.in_mean[j]) / world.in_scale[j]", "o[b, j]"),
    "the mean change is forgotten": (" + world.out_mean[j]", ""),
    "residuals are forgotten": (" + spread * residuals[t, b, j]", ""),
    "residuals of the first step": ("residuals[t, b, j]", "residuals[0, b, j]"),
    "residuals everywhere the same": ("spread * residuals", "residuals"),
    "spread of the first path": ("(tapes[k][b, j] - mean)", "(tapes[k][0, j] - mean)"),
    "spread around member 0": ("mean += tapes[k][b, j] / K", "mean += tapes[0][b, j] / K"),
    "spread of one coordinate": ("squares / (K * S)", "squares / K"),
    "the last coordinate decides": ("healthy = healthy and world.box_low[j]", "healthy = world.box_low[j]"),
}


WRONG_ANTS = {
    "models see the heading": ("(seen[b, j] - world", "(s[b, j] - world"),
    "changes stay in the body's axes": ("next_s = moved(s, change, world.free)", "next_s = change"),
    "added to what the body feels": ("change[b, j] = s[b, j] +", "change[b, j] = seen[b, j] +"),
    "moved from the first states": ("moved(s, change", "moved(pool[0], change"),
}


SOURCES = [inspect.getsource(getattr(f, "py_func", f)) for f in (nets._predicted, nets.rollout_fast)]
KERNEL = "\n\n".join(SOURCES)


def rewritten(right="", wrong=""):
    """The kernel as Python, with one piece of its text replaced."""
    assert right in KERNEL, f"the kernel no longer says {right!r}: say here what it says now"
    names = {**vars(nets), "compiled": lambda f: f}
    exec(KERNEL.replace(right, wrong), names)
    return names["rollout_fast"]


def test_the_kernel_as_plain_python(monkeypatch):
    check_rollout(monkeypatch, rewritten())


@pytest.mark.parametrize("right, wrong", WRONG.values(), ids=WRONG)
def test_wrong_rollouts_are_refused(monkeypatch, right, wrong):
    with pytest.raises(AssertionError):
        check_rollout(monkeypatch, rewritten(right, wrong))


@pytest.mark.parametrize("right, wrong", WRONG_ANTS.values(), ids=WRONG_ANTS)
def test_wrong_rollouts_of_ants_are_refused(monkeypatch, right, wrong):
    with pytest.raises(AssertionError):
        check_rollout(monkeypatch, rewritten(right, wrong), robot="ant")


ANTS = replace(TINY, env="ant", model_epochs=3, model_batch=8)


@pytest.fixture
def ants():
    """States that ants have come to by random actions, on their feet and on their backs, and what they do then."""
    sim, rng = ANT.sim(), rng_of(22)
    state = np.stack([sim.initial(rng) for _ in range(64)])
    state[:, 3:7] = Rotation.random(64, rng=23).as_quat(scalar_first=True)
    for _ in range(30):
        state = sim.advance(state, rng.uniform(-1, 1, (64, 8)))
    lying = Rotation.from_quat(state[:, 3:7], scalar_first=True).as_matrix()[:, 2, 2] < 0
    assert 10 < lying.sum() < 54
    return sim, state, np.float32(rng.uniform(-1, 1, (64, 8))), rng.uniform(-3.1, 3.1, 64)


def rows_of_ants(sim, state, act, angle=0.0):
    """What happens to ants that were turned about the vertical axis first: SciPy knows how to turn.  -> Batch"""
    turn, state = Rotation.from_euler("z", np.broadcast_to(angle, len(state))[:, None]), state.copy()
    state[:, :3], state[:, 15:18] = turn.apply(state[:, :3]), turn.apply(state[:, 15:18])  # position, velocity
    state[:, 3:7] = (turn * Rotation.from_quat(state[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)
    obs, next_obs = sim.observe(state), sim.observe(sim.advance(state, act))
    return envs.Batch(obs, act, np.zeros(len(obs)), next_obs, *np.zeros((2, len(obs)), bool))


def test_an_ant_does_the_same_whichever_way_it_faces(ants):
    """Why its models need not see the heading: where MuJoCo's friction is a cone, nothing is left of it.  By default it
    is a pyramid in the world's axes, of which less is left than models could see.
    """
    sim, state, act, angle = ants
    for cone, most in (mujoco.mjtCone.mjCONE_ELLIPTIC, 1e-8), (mujoco.mjtCone.mjCONE_PYRAMIDAL, 2e-3):
        sim.model.opt.cone = cone
        (x, change), (other_x, other) = (
            bremen.regression_rows(rows_of_ants(sim, state, act, a), ANTS) for a in (0, angle)
        )
        np.testing.assert_allclose(x, other_x, atol=1e-5)
        off = ((change - other) ** 2).mean(axis=0) / np.maximum(change.var(axis=0), 1e-6)  # shares of the variance
        assert off.max() < most, cone


def test_moved_is_what_simulated_ants_do(ants):
    """regression_rows, which asks SciPy, and nets.moved, which calculates itself, are inverse to each other."""
    data = rows_of_ants(*ants)
    _, change = bremen.regression_rows(data, ANTS)
    assert (change[:, 1] == 0).all() and np.abs(change[:, 2:5]).max() > 0.1
    got = nets.moved(data.obs, data.obs + change, ANT.free_joint)
    np.testing.assert_allclose(got, data.next_obs, atol=1e-5)  # MuJoCo's quaternions do not jump to -q
    q, free = np.float32(-1.1) * data.obs, ANT.free_joint  # -q is the same turn, and so are longer ones
    scaled = np.concatenate([data.obs[:, :1], q[:, 1:5], data.obs[:, 5:]], axis=1)
    np.testing.assert_allclose(nets.felt(scaled, free), nets.felt(data.obs, free), atol=1e-5)
    np.testing.assert_allclose(nets.moved(scaled, scaled + change, free)[:, 1:5], -data.next_obs[:, 1:5], atol=1e-5)


def test_what_an_ant_feels_by_hand():
    """It faces along y and rolls along at 2 m/s: so 2 m/s forwards; one on its back feels that up is down."""
    obs = np.zeros((2, 27))
    obs[0, 1:5], obs[0, 13:16] = (np.sqrt(0.5), 0, 0, np.sqrt(0.5)), (0, 2, 3)
    obs[1, 1:5], obs[1, 13:16] = (0, 1, 0, 0), (0, 2, 3)
    seen = nets.felt(obs, 13)
    np.testing.assert_allclose(seen[0, [1, 2, 3, 4, 13, 14, 15]], [0, 0, 0, 1, 2, 0, 3], atol=1e-12)
    np.testing.assert_allclose(seen[1, [1, 2, 3, 4, 13, 14, 15]], [0, 0, 0, -1, 0, -2, -3], atol=1e-12)
    assert nets.felt(obs, None) is obs or (nets.felt(obs, None) == obs).all()


def test_models_of_ants_predict_the_same_whichever_way_they_face(ants):
    sim, state, act, angle = ants
    data, other = rows_of_ants(sim, state, act), rows_of_ants(sim, state, act, angle)
    other = other._replace(next_obs=nets.moved(other.obs, other.obs + bremen.regression_rows(data, ANTS)[1], 13))
    here, there = (bremen.fit_dynamics(rows, ANTS, rng_of(1))[0] for rows in (data, other))
    np.testing.assert_allclose(here.phi, there.phi, atol=1e-3)
    data, other = (rows._replace(next_obs=bremen.predict(here, rows.obs, rows.act, 1, ANTS)) for rows in (data, other))
    for a, b in zip(bremen.regression_rows(data, ANTS), bremen.regression_rows(other, ANTS)):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_columns_may_be_shared_out(parts):
    """Among more workers than there are columns, too."""
    s, pool, noise, member = world()
    given = s, WORLD, pool, noise
    whole, shared = (bremen.parallel_rollout(*given, [member] * n, np.float32(RESIDUALS)) for n in (1, parts))
    for a, b in zip(whole, shared):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_each_part_of_the_columns_has_its_own_members():
    s, pool, noise, member = world()
    both = bremen.parallel_rollout(s, WORLD, pool, noise, [member, 2 - member])
    for columns, m in ((slice(0, 3), member), (slice(3, 5), 2 - member)):
        alone = bremen.parallel_rollout(s, WORLD, pool[:, columns], noise[:, columns], [m])
        for a, b in zip(both, alone):
            np.testing.assert_allclose(a[:, columns], b, rtol=0, atol=1e-4)


# --- imagined paths -----------------------------------------------------------------------------------------


def with_residuals(s):
    """The same State, whose models left these residuals (60, S): the first coordinate says which row it is."""
    residuals = np.float32(0.02 * rng_of(21).standard_normal((60, HOPPER.obs_dim)))
    residuals[:, 0] = np.linspace(-0.06, 0.06, 60)
    return s._replace(dynamics=s.dynamics._replace(residuals=residuals))


@pytest.mark.parametrize("member_per", ["step", "path"])
def test_imagined_steps_get_whole_rows_of_the_residuals(member_per):
    """next_obs - prediction is half of some row of them, another one at each step of each path, and all are used."""
    (s, *_), cfg = world(), replace(WORLD, model_noise=0.5, horizon=20, imagined_steps=600, member_per=member_per)
    far_away = np.full(11, 9, np.float32)  # nothing is clipped
    s = with_residuals(s._replace(dynamics=s.dynamics._replace(lowest=-far_away, highest=far_away)))
    paths, _ = bremen.imagine_paths(s, standing(4), cfg, rng_of())
    flat = lambda x: x.reshape(600, -1)
    act = np.clip(flat(paths.act), -1, 1)
    spread = np.array([spread_of(s, cfg, o, a) for o, a in zip(flat(paths.obs), act)])[:, None]
    guesses = [bremen.predict(s.dynamics, flat(paths.obs), act, k, cfg) for k in range(3)]
    off = [(flat(paths.next_obs) - guess) / s.dynamics.delta.scale / spread for guess in guesses]
    far = np.abs(np.stack(off)[:, :, None] - 0.5 * s.dynamics.residuals).max(axis=-1)  # (member, step, row)
    assert far.min(axis=(0, 2)).max() < 1e-4
    rows = far.min(axis=0).argmin(axis=1).reshape(20, 30)
    assert len(np.unique(rows)) == 60
    for axis in 0, 1:
        assert (np.diff(np.sort(rows, axis=axis), axis=axis) > 0).any(axis=axis).all()


def test_without_model_noise_nothing_is_drawn_or_added():
    rng, (s, *_) = rng_of(), world()
    assert bremen.drawn_residuals(s.dynamics, 20, 5, WORLD, rng) is None
    assert rng.integers(2**40) == rng_of().integers(2**40)


def constants(env, *changes, std=0.5):
    """A world where member k adds changes[k] to every coordinate, whatever is done.  -> cfg, State"""
    cfg, task = replace(TINY, env=env, members=len(changes), std=std), envs.TASKS[env]
    unit = lambda n: nets.Normalizer(np.zeros(n), np.ones(n))
    phi = np.zeros((len(changes), nets.n_params(bremen.model_sizes(cfg))), np.float32)
    phi[:, -task.obs_dim :] = np.array(changes)[:, None]  # the biases of the last layer
    reach = np.full(task.obs_dim, np.inf, np.float32)
    dynamics = bremen.Dynamics(phi, unit(task.obs_dim + task.act_dim), unit(task.obs_dim), -reach, reach, None)
    beta, theta = bremen.new_policy(cfg, rng_of(1)), bremen.new_policy(cfg, rng_of(2))
    theta[-task.act_dim :] += 0.3
    return cfg, bremen.State({}, unit(task.obs_dim), dynamics, beta, theta)


def standing(n=1):
    """Healthy hopper states (n, S): upright at 1.2 m, all else 0 but the number of the state in the last place."""
    obs = np.zeros((n, HOPPER.obs_dim), np.float32)
    obs[:, 0], obs[:, -1] = 1.2, np.arange(n)
    return obs


def test_time_of_by_hand():
    terminated = np.array([[0, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 1, 1]], bool)
    np.testing.assert_array_equal(bremen.time_of(terminated).T, [[0, 1, 2, 3, 4], [0, 0, 0, 1, 2], [0, 1, 0, 1, 2]])


def test_imagined_paths_by_hand():
    """The angle grows by 0.06 a step, from 0: after 0.06, 0.12 and 0.18 the fourth step leaves the box (0.2)."""
    cfg, s = constants("hopper", 0.06, 0.06)
    paths, info = bremen.imagine_paths(s, standing(), replace(cfg, horizon=10, imagined_steps=40), rng_of())
    assert paths.obs.shape == paths.next_obs.shape == (10, 4, 11) and paths.act.shape == (10, 4, 3)
    for b in range(4):
        np.testing.assert_array_equal(paths.time[:, b], [0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
        np.testing.assert_array_equal(np.flatnonzero(paths.terminated[:, b]), [3, 7])
        np.testing.assert_array_equal(np.flatnonzero(paths.truncated[:, b]), [9])
    np.testing.assert_allclose(paths.obs[..., 1], 0.06 * paths.time, atol=1e-6)
    np.testing.assert_allclose(paths.next_obs, paths.obs + 0.06, atol=1e-6)
    assert info["imagined_length"] == pytest.approx(10 / 3)
    assert info["imagined_reward"] == pytest.approx(paths.rew.mean(), rel=1e-5)


def test_a_path_that_terminates_in_the_last_row_is_not_truncated():
    cfg, s = constants("hopper", 0.06)
    paths, info = bremen.imagine_paths(s, standing(), replace(cfg, horizon=8, imagined_steps=8), rng_of())
    assert paths.terminated[-1].all() and not paths.truncated.any() and info["imagined_length"] == 4


def test_imagined_rewards_are_the_tasks_for_the_clipped_action():
    """Hopper by hand: next_obs[5] + 1 - 0.001 |a|^2, the action clipped to 1 in the reward but not in the paths."""
    cfg, s = constants("hopper", 0.06, std=2.0)
    paths, _ = bremen.imagine_paths(s, standing(), cfg, rng_of())
    assert (np.abs(paths.act) > 1).mean() > 0.3
    cost = 1e-3 * np.sum(np.clip(paths.act, -1, 1) ** 2, axis=-1)
    np.testing.assert_allclose(paths.rew, paths.next_obs[..., 5] + 1 - cost, atol=1e-6)


def test_imagined_actions_have_the_policys_mean_and_its_one_sigma():
    cfg, s = constants("pendulum", 0.0)
    cfg = replace(cfg, horizon=50, imagined_steps=5000)
    paths, _ = bremen.imagine_paths(s, np.ones((1, 3), np.float32), cfg, rng_of())
    policy, sigma = nets.Policy(s.theta, s.norm, bremen.policy_net(cfg)), np.exp(s.theta[-1])
    z = (paths.act.ravel() - policy.mean(paths.obs.reshape(-1, 3))[:, 0]) / sigma
    assert sigma == pytest.approx(np.exp(0.3)) and z.mean() == pytest.approx(0, abs=0.05)
    assert z.std() == pytest.approx(1, abs=0.05) and len(np.unique(z)) > 4900


def test_one_member_per_step_predicts_for_all():
    cfg, s = constants("pendulum", 1.0, 2.0, 4.0)
    paths, _ = bremen.imagine_paths(s, np.zeros((1, 3), np.float32), replace(cfg, member_per="step"), rng_of())
    change = paths.next_obs - paths.obs
    assert paths.rew.shape == (20, 20) and (change == change[:, :1, :1]).all(), "one member for a whole row"
    assert set(change[:, 0, 0]) == {1, 2, 4}, "and another for the next"


def test_one_member_per_path_stays_with_it():
    cfg, s = constants("pendulum", 1.0, 2.0, 4.0)
    paths, _ = bremen.imagine_paths(s, np.zeros((1, 3), np.float32), replace(cfg, member_per="path"), rng_of())
    change = paths.next_obs - paths.obs
    assert (change == change[:1, :, :1]).all(), "one member for a whole path"
    counts = np.unique(change[0, :, 0], return_counts=True)
    np.testing.assert_array_equal(counts[0], [1, 2, 4])
    assert sorted(counts[1]) == [6, 7, 7], "fair shares of 20 paths"


def test_with_fewer_paths_than_members_any_member_may_have_one():
    cfg, s = constants("pendulum", 1.0, 2.0, 4.0)
    cfg = replace(cfg, member_per="path", imagined_steps=20)
    seen = {
        bremen.imagine_paths(s, np.zeros((1, 3), np.float32), cfg, rng_of(i))[0].next_obs[0, 0, 0] for i in range(9)
    }
    assert seen == {1, 2, 4}


def logged(n=12, starts=(0, 4, 9)):
    """Hopper transitions whose observations carry their row's number; episodes begin at `starts`."""
    ended = np.isin(np.arange(n) + 1, starts)
    row = np.zeros(n, np.float32)
    return envs.Batch(standing(n), np.zeros((n, 3), np.float32), row, standing(n), ended & False, ended)


@pytest.mark.parametrize("start, wanted", [("dataset", set(range(12))), ("initial", {0, 4, 9})])
def test_paths_start_and_restart_in_logged_states(start, wanted):
    cfg, s = constants("hopper", 0.06)
    cfg = replace(cfg, start=start)
    paths, _ = bremen.imagine_paths(s, bremen.start_states(logged(), cfg), cfg, rng_of())
    first, again = paths.obs[0], paths.obs[1:][paths.time[1:] == 0]
    assert len(again) == 80, "each of 20 paths restarts at rows 4, 8, 12 and 16"
    for obs in (first, again):
        np.testing.assert_array_equal(obs[:, :-1], standing(len(obs))[:, :-1])
    assert set(again[:, -1]) == wanted and set(first[:, -1]) <= wanted


def test_paths_may_start_where_the_simulator_resets():
    cfg = replace(TINY, start="reset")
    starts, again, other = (bremen.start_states(None, replace(cfg, seed=seed)) for seed in (0, 0, 1))
    assert same(starts, again) and not same(starts, other)
    np.testing.assert_allclose(np.hypot(starts[:, 0], starts[:, 1]), 1, rtol=1e-6)
    angle, speed = np.arctan2(starts[:, 1], starts[:, 0]), starts[:, 2]
    for x, width in ((angle, np.pi), (speed, 1)):  # Gymnasium's pendulum: uniform over the circle and [-1, 1]
        assert np.abs(x).max() <= width + 1e-6
        np.testing.assert_allclose(np.histogram(x, 4, (-width, width))[0] / len(x), 0.25, atol=0.03)


def test_alpha_takes_the_log_ratio_of_policy_and_clone_off_the_reward():
    cfg, s = constants("pendulum", 0.1)
    s = s._replace(beta=np.append(s.beta[:-1], np.log(np.float32(0.3))))  # another sigma, too
    free, tied = (
        bremen.imagine_paths(s, np.ones((1, 3), np.float32), replace(cfg, alpha=alpha), rng_of())[0]
        for alpha in (0.0, 0.4)
    )
    assert same(free.obs, tied.obs) and same(free.act, tied.act)
    obs, act, net = free.obs.reshape(-1, 3), free.act.ravel(), bremen.policy_net(cfg)
    means = [nets.Policy(v, s.norm, net).mean(obs)[:, 0].astype(np.float64) for v in (s.theta, s.beta)]
    sigmas = np.exp(s.theta[-1]), np.exp(s.beta[-1])
    policy, clone = (scipy.stats.norm.logpdf(act, mu, sigma) for mu, sigma in zip(means, sigmas))
    np.testing.assert_allclose((free.rew - tied.rew).ravel(), 0.4 * (policy - clone), rtol=1e-4, atol=1e-4)


def test_the_log_ratio_is_on_average_the_divergence_from_the_clone():
    cfg, s = constants("pendulum", 0.1)
    s, n = s._replace(beta=np.append(s.beta[:-1], np.log(np.float32(0.3)))), 50_000
    obs = np.tile(np.float32([[0.6, 0.8, 1.0]]), (n, 1))
    act = bremen.policy_of(s, cfg).sample(obs, rng_of())
    ratio = bremen.log_ratio_to_clone(s, obs, act, cfg)
    policy, clone = ((bremen.policy_of(s._replace(theta=v), cfg).mean(obs[:1]), v[-1:]) for v in (s.theta, s.beta))
    kl, error = nets.kl_gauss(*policy, *clone)[0], ratio.std() / np.sqrt(n)
    assert abs(ratio.mean() - kl) < 4 * error and kl > 20 * error  # four standard errors; not zero
    back = nets.kl_gauss(*clone, *policy)[0]
    assert abs(back - kl) > 20 * error, "KL(clone || policy) would be another number"


def test_alpha_costs_the_clone_itself_nothing():
    cfg, s = constants("pendulum", 0.1)
    s, start = s._replace(theta=s.beta.copy()), np.ones((1, 3), np.float32)
    free, tied = (bremen.imagine_paths(s, start, replace(cfg, alpha=a), rng_of())[0].rew for a in (0.0, 100.0))
    np.testing.assert_array_equal(free, tied)


@pytest.mark.parametrize("broken", ["models", "policy"])
def test_imagination_that_is_not_finite_is_reported(broken):
    cfg, s = constants("hopper", nan, nan) if broken == "models" else constants("hopper", 0.0)
    if broken == "policy":
        s.theta[:] = nan
    with pytest.raises(FloatingPointError):
        bremen.imagine_paths(s, standing(), cfg, rng_of())


@pytest.mark.parametrize("member_per", ["step", "path"])
def test_equal_members_act_as_one(member_per):
    s, *_ = world()
    starts, phi = standing(4), s.dynamics.phi[:1]
    one, three = (
        bremen.imagine_paths(
            s._replace(dynamics=s.dynamics._replace(phi=np.repeat(phi, k, axis=0))),
            starts, replace(WORLD, members=k, member_per=member_per), rng_of(),
        )[0]
        for k in (1, 3)
    )  # fmt: skip
    assert one.terminated.any()
    for a, b in zip(one, three):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_the_generator_decides_what_is_imagined_and_nothing_is_changed():
    s, *_ = world()
    before = copy.deepcopy(s)
    first, again, other = (bremen.imagine_paths(s, standing(4), WORLD, rng_of(seed)) for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other) and same(s, before)


def test_threads_change_nothing_that_is_imagined():
    s, *_ = world()
    results = []
    for threads in (1, 2):
        nets.use_threads(threads)
        results.append(bremen.imagine_paths(s, standing(4), WORLD, rng_of())[0])
    assert results[0].terminated.any()
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def test_imagined_returns_by_hand():
    """Four steps of reward 1 + 0.06, 0.12, 0.18 and 0.24 (the falling one is paid too): 4.6; the restart's are not."""
    cfg, s = constants("hopper", 0.06, 0.06)
    s = s._replace(theta=np.zeros_like(s.theta))  # stands still: the mean action is 0, and no noise is added
    np.testing.assert_allclose(bremen.imagined_returns(s, standing(), cfg, rng_of(), n_paths=3), [4.6] * 3, rtol=1e-6)


def test_an_ensemble_of_another_size_than_configured_is_used_as_it_is():
    cfg, s = constants("pendulum", 1.0, 2.0)
    for member_per in ("step", "path"):
        paths, _ = bremen.imagine_paths(
            s, np.zeros((1, 3), np.float32), replace(cfg, members=9, member_per=member_per), rng_of()
        )
        assert set((paths.next_obs - paths.obs).ravel()) == {1, 2}


def test_models_that_diverge_promise_no_return():
    """On the pendulum, whose rewards are negative, an early end would look like a good episode."""
    cfg, s = constants("pendulum", nan)
    assert np.isnan(bremen.imagined_returns(s, np.ones((1, 3), np.float32), cfg, rng_of(), n_paths=2)).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_imagined_returns_end_at_the_time_limit(threads):
    """An upright pendulum that keeps turning at 1 rad/s pays 0.1 in each of its 200 steps."""
    cfg, s = constants("pendulum", 0.0)
    s = s._replace(theta=np.zeros_like(s.theta))
    nets.use_threads(threads)
    returns = bremen.imagined_returns(s, np.array([[1, 0, 1]], np.float32), cfg, rng_of(), n_paths=1)
    np.testing.assert_allclose(returns, [-20], rtol=1e-6)


@pytest.mark.parametrize("model_noise", [0.0, 0.5])
def test_imagined_returns_are_a_plain_sum(monkeypatch, model_noise):
    monkeypatch.setitem(envs.TASKS, "hopper", replace(HOPPER, max_steps=20))
    (s, *_), drawn, right = world(), {}, bremen.parallel_rollout
    s, cfg = with_residuals(s), replace(WORLD, model_noise=model_noise)

    def watched(s, cfg, pool, noise, members, residuals):
        drawn.update(pool=pool, member=members[0], residuals=residuals)
        return right(s, cfg, pool, noise, members, residuals)

    monkeypatch.setattr(bremen, "parallel_rollout", watched)
    got = bremen.imagined_returns(s, standing(4), cfg, rng_of(), n_paths=6)
    given = drawn["pool"], np.zeros((20, 6, 3), np.float32), drawn["member"], drawn["residuals"]
    obs, act, next_obs, terminated = loop(s, cfg, *given)
    want = np.zeros(6)
    for b in range(6):
        for t in range(20):
            want[b] += HOPPER.reward(obs[t, b], np.clip(act[t, b], -1, 1), next_obs[t, b])
            if terminated[t, b]:
                break
    assert (drawn["residuals"] is not None) == (model_noise > 0)
    assert terminated.any() and set(drawn["pool"][0, :, -1]) > {0} and set(drawn["member"]) == {0, 1, 2}
    np.testing.assert_allclose(got, want, atol=1e-3)


# --- the ensemble -------------------------------------------------------------------------------------------


def system(n=400, seed=0, noise=0.0):
    """Transitions of next_obs = obs + obs M + act v + c; row i + 1 has nothing to do with row i."""
    rng = rng_of(seed)
    obs, act = rng.normal([0, 1, -2], [1, 2, 5], (n, 3)), rng.uniform(-2, 2, (n, 1))
    M, v, c = 0.1 * rng_of(5).standard_normal((3, 3)), [[0.3, -0.2, 1.0]], [0.5, 0.0, -1.0]
    next_obs = obs + obs @ M + act @ v + c + noise * rng.standard_normal((n, 3))
    never = np.zeros(n, bool)
    f = np.float32
    return envs.Batch(obs.astype(f), act.astype(f), np.zeros(n, f), next_obs.astype(f), never, never)


LINEAR = replace(TINY, model_hidden=(), model_epochs=30, model_patience=30, model_batch=20, model_lr=0.1)


def test_a_linear_system_is_recovered():
    """From the stored next_obs: obs[i + 1] would be noise here, with a loss of the order of 1."""
    dynamics, info = bremen.fit_dynamics(system(), LINEAR, rng_of())
    assert info["model_loss"] < 1e-5
    new = system(seed=1)
    for k in range(2):
        got = bremen.predict(dynamics, new.obs, new.act, k, LINEAR)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, new.next_obs, atol=0.02)


def test_wrong_next_observations_cannot_be_fitted():
    """The teeth of the test above: next_obs derived from obs[i + 1]."""
    data = system()
    _, info = bremen.fit_dynamics(data._replace(next_obs=np.roll(data.obs, -1, axis=0)), LINEAR, rng_of())
    assert info["model_loss"] > 0.1


def fit_and_watch(monkeypatch, data, cfg, seed=0):
    """fit_dynamics, and what each member was given.  -> Dynamics, info, [(x, y, x_val, y_val), ...]"""
    seen, right = [], bremen.fit_member

    def watched(*args):
        seen.append(args[:4])
        return right(*args)

    monkeypatch.setattr(bremen, "fit_member", watched)
    return *bremen.fit_dynamics(data, cfg, rng_of(seed)), seen


@pytest.mark.parametrize("members", [1, 3])
def test_residuals_are_what_members_get_wrong_on_rows_held_out(monkeypatch, members):
    """2,000 of each member, in units of the spread; the rows held out are fewer here, and come again."""
    data, cfg = system(noise=0.1), replace(LINEAR, members=members)
    dynamics, _, seen = fit_and_watch(monkeypatch, data, cfg)
    (_, _, x_val, y_val), *_ = seen
    assert dynamics.residuals.shape == (2000 * members, 3) and dynamics.residuals.dtype == np.float32
    x = dynamics.inputs.undo(x_val)
    guesses = np.stack([bremen.predict(dynamics, x[:, :3], x[:, 3:], k, cfg) for k in range(members)])
    s = bremen.State({}, dynamics=dynamics)
    spread = np.array([spread_of(s, replace(cfg, env="pendulum"), row[:3], row[3:]) for row in x])
    if members == 1:
        assert (spread == 0).all()
        spread[:] = 1
    for part, guess in zip(np.split(dynamics.residuals, members), guesses):
        wrong = (x[:, :3] + dynamics.delta.undo(y_val) - guess) / dynamics.delta.scale / spread[:, None]
        far = np.abs(part[:, None] - wrong).max(axis=2)  # (residual, row)
        assert far.min(axis=1).max() < 0.02 * np.abs(part).max() and set(far.argmin(axis=1)) == set(range(len(x)))


def test_members_that_differ_promise_less():
    """Where members differ three times as much, what they add is three times as large."""
    cfg, near = constants("pendulum", 0.1, 0.2, 0.3, std=0.01)
    far = near._replace(dynamics=near.dynamics._replace(phi=3 * near.dynamics.phi))
    starts, cfg = np.zeros((1, 3), np.float32), replace(cfg, model_noise=1.0, horizon=1, imagined_steps=4000)
    noise = rng_of(4).standard_normal((6000, 3)).astype(np.float32)
    added = []
    for s in near, far:
        s = s._replace(dynamics=s.dynamics._replace(residuals=noise))
        paths, _ = bremen.imagine_paths(s, starts, cfg, rng_of())
        added.append(paths.next_obs.std())
    np.testing.assert_allclose(added, [0.1 * np.sqrt(2 / 3), 0.3 * np.sqrt(2 / 3)], rtol=0.03)


@pytest.mark.parametrize("last, wanted", [(1e-4, [1e-2, 1e-3, 1e-4]), (0, [1e-2 * 5 / 6, 1e-2 / 2, 1e-2 / 6])])
def test_step_size_falls_geometrically_or_linearly_to_zero(monkeypatch, last, wanted):
    seen, right = [], nets.adam_epoch_fast

    def watched(theta, state, x, y, order, batch, lr, *rest):
        seen.append(lr)
        return right(theta, state, x, y, order, batch, lr, *rest)

    monkeypatch.setattr(nets, "adam_epoch_fast", watched)
    cfg = replace(TINY, members=1, model_epochs=3, model_patience=3, model_lr=1e-2, model_lr_last=last)
    bremen.fit_dynamics(system(), cfg, rng_of())
    np.testing.assert_allclose(seen, wanted)


def test_validation_rows_are_drawn_at_random(monkeypatch):
    """Rows whose last 15 % are marked (by the action): the held-out rows hold their fair share of them, not all."""
    data = system()
    data.act[:340], data.act[340:] = -1, 1
    dynamics, _, seen = fit_and_watch(monkeypatch, data, replace(TINY, members=3, validation=0.15, model_epochs=1))
    assert len(seen) == 3 and all(same(seen[0], other) for other in seen[1:]), "the same rows for all members"
    x, y, x_val, y_val = seen[0]
    assert (len(x), len(y), len(x_val), len(y_val)) == (340, 340, 60, 60)
    assert 2 <= np.sum(x_val[:, -1] > 0) <= 20, "9 expected"
    both = dynamics.inputs.undo(np.concatenate([x, x_val])), dynamics.delta.undo(np.concatenate([y, y_val]))
    logged = np.concatenate([data.obs, data.act], axis=1), data.next_obs - data.obs
    by_row = lambda pair: np.unique(np.round(np.concatenate(pair, axis=1), 3), axis=0)
    assert len(by_row(logged)) == 400
    np.testing.assert_allclose(by_row(both), by_row(logged), atol=2e-3, err_msg="every row once, with its own change")


def test_the_seed_decides_which_rows_are_held_out(monkeypatch):
    first, again, other = (fit_and_watch(monkeypatch, system(), TINY, seed)[2][0][2] for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)


def test_the_best_weights_are_kept_not_the_last(monkeypatch):
    """A learning rate that ends at 10 spoils what it has learnt."""
    cfg = replace(TINY, members=3, model_epochs=8, model_patience=8, model_lr=0.01, model_lr_last=10.0)
    dynamics, info, seen = fit_and_watch(monkeypatch, system(), cfg)
    curve = np.array(info["model_curve"])
    assert curve.shape == (8, 3) and (curve[-1] > 2 * curve.min(axis=0)).all()
    losses = [nets.mean_loss(phi, *seen[0][2:], bremen.model_sizes(cfg)) for phi in dynamics.phi]
    np.testing.assert_allclose(losses, curve.min(axis=0), rtol=1e-6)
    assert info["model_loss"] == pytest.approx(np.mean(losses))


def test_a_member_stops_when_patience_is_over():
    """Nothing can be learnt of pure noise; each member stops `model_patience` epochs after its own best."""
    data = system()
    data.next_obs[:] = data.obs + rng_of(7).standard_normal(data.obs.shape)
    cfg = replace(TINY, members=4, model_epochs=15, model_patience=2, model_batch=20, model_lr=0.1, model_lr_last=0.1)
    reports = []
    _, info = bremen.fit_dynamics(data, cfg, rng_of(), reports.append)
    curve = np.array(info["model_curve"])
    epochs = np.sum(np.isfinite(curve), axis=0)
    np.testing.assert_array_equal(epochs, np.nanargmin(curve, axis=0) + 3)
    assert len(curve) == epochs.max() < 15 and epochs.min() < epochs.max()
    assert info["model_loss"] == pytest.approx(np.mean(np.nanmin(curve, axis=0)))
    assert [r["done"] for r in reports] == [*range(np.isfinite(curve).sum() + 1)], "and one to begin with"
    assert reports[-1]["loss"] == info["model_loss"] and {r["total"] for r in reports} == {4 * 15}


def test_few_rows_get_more_passes_for_the_same_gradient_steps():
    """By hand, 85 of 100 rows, 20 per step: 23 steps are 5.4 passes, 12 are fewer than the 3 that there are anyway."""
    passes = {}
    for steps in (0, 12, 23):
        cfg = replace(TINY, model_epochs=3, model_steps=steps, model_patience=99, model_batch=20)
        passes[steps] = len(bremen.fit_dynamics(system(100), cfg, rng_of())[1]["model_curve"])
    assert passes == {0: 3, 12: 3, 23: 6}


def test_members_differ_and_one_generator_makes_the_same_ensemble_twice():
    first, again, other = (bremen.fit_dynamics(system(), replace(TINY, members=3), rng_of(s)) for s in (0, 0, 1))
    assert same(first, again) and not same(first, other)
    phi = first[0].phi
    assert phi.shape == (3, nets.n_params((4, 8, 3))) and phi.dtype == np.float32 and phi.flags.c_contiguous
    assert (phi[0] != phi[1]).all(where=phi[0] != 0) and (phi[1] != phi[2]).all(where=phi[1] != 0)


def test_members_start_from_weights_of_their_own():
    cfg = replace(TINY, model_lr=1e-12, model_lr_last=1e-12)  # they stay where they start
    phi = bremen.fit_dynamics(system(), cfg, rng_of())[0].phi
    assert np.abs(phi[0] - phi[1]).max() > 0.1


def test_both_kinds_of_gradients_fit_the_same_models():
    hand, auto = (
        bremen.fit_dynamics(system(), replace(TINY, gradients=how), rng_of())[0].phi for how in ("hand", "autograd")
    )
    np.testing.assert_allclose(hand, auto, atol=1e-4)


@pytest.mark.parametrize("clip_states, clip_margin", [(True, 0.0), (True, 0.25), (False, 0.0), (False, 0.25)])
def test_imagined_states_may_reach_what_was_logged(clip_states, clip_margin):
    data = system()
    data.obs[:, 2] = data.next_obs[:, 2] = 3  # a range without width
    cfg = replace(TINY, clip_states=clip_states, clip_margin=clip_margin)
    dynamics, _ = bremen.fit_dynamics(data, cfg, rng_of())
    logged = np.concatenate([data.obs, data.next_obs])
    want = ([min(c) for c in logged.T], [max(c) for c in logged.T]) if clip_states else ([-inf] * 3, [inf] * 3)
    if clip_margin and clip_states:
        want = zip(*((low - 0.25 * (high - low), high + 0.25 * (high - low)) for low, high in zip(*want)))
    for got, bound in zip((dynamics.lowest, dynamics.highest), want):
        np.testing.assert_array_equal(got, np.float32(bound))
        assert got.dtype == np.float32 and got.flags.c_contiguous


def test_fitting_leaves_the_data_alone():
    data, before = system(), system()
    bremen.fit_dynamics(data, TINY, rng_of())
    bremen.clone_behavior(data, nets.Normalizer.fit(data.obs), TINY, rng_of())
    assert same(data, before)


@pytest.mark.parametrize("n, validation", [(1, 0.15), (20, 0.99)])
def test_too_few_rows_for_validation_and_training_are_refused(n, validation):
    with pytest.raises(ValueError, match="rows"):
        bremen.fit_dynamics(system(n), replace(TINY, validation=validation), rng_of())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_learning_rate_that_blows_up_is_reported():
    with pytest.raises(FloatingPointError, match="model_lr"):
        bremen.fit_dynamics(system(), replace(TINY, model_lr=1e30, model_lr_last=1e30), rng_of())
    data = system()
    with pytest.raises(FloatingPointError, match="clone_lr"):
        norm = nets.Normalizer.fit(data.obs)
        bremen.clone_behavior(data, norm, replace(TINY, clone_lr=1e38, clone_steps=60), rng_of())


# --- the clone ----------------------------------------------------------------------------------------------

CLONE = replace(TINY, policy_hidden=(), clone_steps=400, clone_batch=64, clone_lr=0.02, std=0.3)


def teacher(noise, n=1000):
    """Rows of the policy 2 tanh(w s + b), with noise on its actions.  -> data, normaliser, its mean actions (n, 1)"""
    data = system(n)
    mean = 2 * np.tanh(data.obs @ np.float32([[0.5], [-0.3], [0.1]]) + np.float32(0.2))
    act = mean + noise * rng_of(3).standard_normal((n, 1))
    return data._replace(act=act.astype(np.float32)), nets.Normalizer.fit(data.obs), mean


def test_the_clone_recovers_a_policy_of_its_own_kind():
    data, norm, mean = teacher(noise=0.0)
    beta, info = bremen.clone_behavior(data, norm, CLONE, rng_of())
    assert beta.shape == (5,) and beta.dtype == np.float32
    got = nets.Policy(beta, norm, bremen.policy_net(CLONE)).mean(data.obs)
    np.testing.assert_allclose(got, mean, atol=0.02)
    assert (
        info["clone_loss"] == pytest.approx(0.5 * np.mean((got - data.act) ** 2), rel=1e-3)
        and info["clone_loss"] < 1e-4
    )


def test_the_clone_learns_the_mean_of_noisy_actions():
    """What is left of the loss is half the variance of the noise, 0.08."""
    data, norm, mean = teacher(noise=0.4)
    beta, info = bremen.clone_behavior(data, norm, CLONE, rng_of())
    got = nets.Policy(beta, norm, bremen.policy_net(CLONE)).mean(data.obs)
    assert np.mean((got - mean) ** 2) < 0.005
    assert info["clone_loss"] == pytest.approx(0.08, rel=0.1)


def test_the_clones_sigma_is_that_of_the_run_whatever_the_data():
    """0.3 of the pendulum's action limit of 2."""
    data, norm, _ = teacher(noise=0.0)
    beta, _ = bremen.clone_behavior(data, norm, replace(CLONE, clone_steps=20), rng_of())
    assert np.exp(beta[-1]) == pytest.approx(0.6)


def test_both_kinds_of_gradients_make_the_same_clone():
    data, norm, _ = teacher(noise=0.1)
    hand, auto = (
        bremen.clone_behavior(data, norm, replace(TINY, gradients=g), rng_of())[0] for g in ("hand", "autograd")
    )
    np.testing.assert_allclose(hand, auto, atol=1e-4)


def test_cloning_reports_how_it_gets_on_and_the_seed_decides():
    data, norm, _ = teacher(noise=0.1, n=100)
    cfg, reports = replace(CLONE, clone_steps=1100, clone_batch=4), []
    first, again, other = (bremen.clone_behavior(data, norm, cfg, rng_of(s), reports.append)[0] for s in (0, 0, 1))
    assert same(first, again) and not same(first, other)
    assert [r["done"] for r in reports[:3]] == [500, 1000, 1100] and {r["total"] for r in reports} == {1100}
    assert all(np.isfinite(r["loss"]) and r["stage"] == "clone" for r in reports)


def test_a_new_policy_acts_near_zero():
    cfg = replace(TINY, std=0.1)
    theta = bremen.new_policy(cfg, rng_of())
    mean = nets.Policy(theta, nets.Normalizer(np.zeros(3), np.ones(3)), bremen.policy_net(cfg)).mean(system().obs)
    assert 0 < np.abs(mean).max() < 0.3 and theta.dtype == np.float32 and np.exp(theta[-1]) == pytest.approx(0.2)


# --- Algorithm 2 --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    """600 rows of a pendulum pushed at random."""
    return envs.collect(PENDULUM, envs.behavior(PENDULUM, None, "random"), 600, rng_of(), num_envs=4)


def train(data, state=None, **changes):
    """All records of a run, each with a copy of its state: the generators in it go on with the run."""
    parts = {name: changes.pop(name) for name in ("fit", "clone", "imagine", "improve") if name in changes}
    run = bremen.train_offline(replace(TINY, **changes), data, state, **parts)
    return [{**record, "state": copy.deepcopy(record["state"])} for record in run]


def test_the_stages_come_in_the_order_of_the_algorithm(data):
    records = train(data)
    assert [r["stage"] for r in records] == ["model", "clone", *["update"] * 4]
    assert [r["state"].updates for r in records] == [0, 0, 1, 2, 3, 4]
    model, clone, *updates = (r["state"] for r in records)
    assert model.dynamics is not None and model.beta is model.theta is model.critic is None
    assert same(clone.beta, clone.theta), "the policy starts as the clone"
    for s in updates:
        assert same(s.dynamics, model.dynamics) and same(s.beta, clone.beta) and same(s.norm, model.norm)
    assert "model_loss" in records[0] and "clone_loss" in records[1]
    assert {"imagined_reward", "imagined_length", "kl", "surrogate_gain", "explained_variance"} <= records[2].keys()


def test_an_update_stays_in_the_trust_region_or_does_not_happen(data):
    """The second case: steps that bring a quarter at most of what the gradient predicts, and all of it is asked for."""
    for changes in dict(target_kl=5e-3), dict(target_kl=50.0, max_backtracks=0, accept_ratio=1.0):
        records = train(data, **changes)
        for old, new in zip(records[1:], records[2:]):
            moved = not same(old["state"].theta, new["state"].theta)
            assert moved == new["accepted"] and 0 <= new["kl"] <= changes["target_kl"] and (new["kl"] > 0) == moved
            assert (new["surrogate_gain"] > 0) == moved
            assert same(old["state"].theta[-1:], new["state"].theta[-1:]), "sigma is fixed"
            assert not same(old["state"].critic, new["state"].critic)
    assert not records[-1]["accepted"], "both cases have been seen"
    assert train(data, iterations=1, iteration_updates=1)[-1]["accepted"]


def test_the_seed_decides_everything(data):
    first, again, other = train(data), train(data), train(data, seed=1)
    assert same(first, again)
    for stage in range(6):
        assert not same(first[stage]["state"], other[stage]["state"])
    assert not same(first[-1]["state"].theta, other[-1]["state"].theta)


@pytest.mark.parametrize("value", ["mlp", "linear"])
def test_a_run_can_be_taken_up_after_every_stage(data, value):
    whole = train(data, value=value)
    for i, record in enumerate(whole):
        rest = train(data, copy.deepcopy(record["state"]), value=value)
        assert same(rest, whole[i + 1 :]), f"after record {i}"


def test_a_further_draw_for_evaluation_leaves_training_unmoved(data):
    undisturbed = train(data)
    for i, record in enumerate(bremen.train_offline(TINY, data)):
        record["state"].rng["evaluate"].random(i + 1)
        assert same(record["state"]._replace(rng={}), undisturbed[i]["state"]._replace(rng={}))


def test_training_never_touches_the_simulator(data, monkeypatch):
    def broken(*args):
        raise AssertionError("the simulator was used")

    monkeypatch.setattr(envs.Task, "sim", broken)
    assert len(train(data)) == 6
    with pytest.raises(AssertionError, match="simulator"):
        train(data, start="reset")


def test_the_clone_or_a_random_policy_to_begin_with(data):
    """The random one (ME-TRPO) acts near zero; the models, the clone and sigma are the same."""
    clone, random = (train(data, bc_init=bc_init)[1]["state"] for bc_init in (True, False))
    assert same(clone.beta, random.beta) and same(clone.dynamics, random.dynamics)
    assert not same(random.theta, random.beta) and same(random.theta[-1:], random.beta[-1:])


@pytest.mark.parametrize("learn_std", [False, True])
def test_both_kinds_of_gradients_give_one_curve(data, learn_std):
    hand, auto = (train(data, gradients=how, learn_std=learn_std, cg_iters=4) for how in ("hand", "autograd"))
    for a, b in zip(hand, auto):
        for name in ("model_loss", "clone_loss", "kl", "surrogate_gain", "imagined_reward", "explained_variance"):
            assert a.get(name, 0) == pytest.approx(b.get(name, 0), rel=1e-2, abs=1e-4), name
        assert a.get("backtracks") == b.get("backtracks")
    np.testing.assert_allclose(hand[-1]["state"].theta, auto[-1]["state"].theta, atol=1e-3)
    assert np.abs(hand[-1]["state"].theta - hand[1]["state"].theta).max() > 3e-3, "and it has moved by more than that"


def test_parts_that_are_passed_in_are_used_and_handed_on(data):
    _, s = constants("pendulum", 0.0, 0.0)
    called, critic = [], trpo.Critic(np.zeros(3))

    def fit(batch, cfg, rng, report):
        assert batch is data and report is bremen.ignore
        called.append("fit")
        return s.dynamics, {"my_loss": 1}

    def clone(batch, norm, cfg, rng, report):
        assert batch is data and same(norm, nets.Normalizer.fit(data.obs))
        called.append("clone")
        return s.beta, {"my_clone_loss": 2}

    def imagine(state, starts, cfg, rng):
        assert state.dynamics is s.dynamics and starts is data.obs
        called.append("imagine")
        return "paths", {"my_reward": 3}

    def improve(theta, psi, paths, norm, net, cfg, rng):
        assert paths == "paths" and net == ((3, 8, 1), 2.0)
        called.append("improve")
        return theta + 1, critic, {"my_kl": 4}

    records = train(data, fit=fit, clone=clone, imagine=imagine, improve=improve)
    assert called == ["fit", "clone"] + ["imagine", "improve"] * 4
    assert [records[i][name] for i, name in enumerate(("my_loss", "my_clone_loss", "my_reward"))] == [1, 2, 3]
    assert records[-1]["my_kl"] == 4 and same(records[-1]["state"].critic, critic)
    np.testing.assert_allclose(records[-1]["state"].theta, s.beta + 4, rtol=1e-6)


def test_diverging_models_end_the_run_with_the_last_good_state(data):
    _, s = constants("pendulum", nan, nan)
    run = bremen.train_offline(TINY, data, fit=lambda *a: (s.dynamics, {}))
    assert [next(run)["stage"], next(run)["stage"]] == ["model", "clone"]
    with pytest.raises(FloatingPointError):
        next(run)


def test_the_whole_loop_learns_what_is_paid_for(data):
    """Imagined paths that pay for actions near 1, at once."""

    def imagine(s, starts, cfg, rng):
        paths, info = bremen.imagine_paths(s, starts, cfg, rng)
        return paths._replace(rew=-((paths.act[..., 0] - 1.0) ** 2)), info

    records = train(data, imagine=imagine, target_kl=0.05, std=0.3, iteration_updates=10, gamma=0.1)
    net, error = bremen.policy_net(TINY), []
    for r in (records[1], records[-1]):
        mean = nets.Policy(r["state"].theta, r["state"].norm, net).mean(data.obs)
        error.append(np.mean((mean - 1.0) ** 2))
    assert error[1] < 0.2 * error[0]


# --- mode online --------------------------------------------------------------------------------------------

ONLINE = online.OnlineConfig(**asdict(TINY) | dict(
    mode="online", std=0.5, learn_std=True, policy_hidden=(64,), value="linear", gamma=0.95, target_kl=0.05,
    online_envs=10, online_horizon=200, online_steps=60_000,
))  # fmt: skip


def test_online_trpo_learns_to_swing_the_pendulum_up():
    """From about -1200 per episode; seeds 0 to 3 reach between -190 and -670."""
    *_, record = online.train_online(ONLINE)
    first, last = online.start_online(ONLINE), record["state"]
    before, after = (
        envs.evaluate(PENDULUM, nets.Policy(s.theta, s.norm, bremen.policy_net(ONLINE)).mean, 40, rng_of())[0].mean()
        for s in (first, last)
    )
    assert before < -1000 and after > before + 300
    assert last.steps == 60_000 and last.updates == 30


def short_online(state=None, **changes):
    cfg = replace(ONLINE, online_steps=1000, online_envs=5, online_horizon=50, **changes)
    return [{**r, "state": copy.deepcopy(r["state"])} for r in online.train_online(cfg, state)]


def test_online_steps_are_counted_and_limited():
    records = short_online()
    assert [r["state"].steps for r in records] == [250, 500, 750, 1000]
    assert [r["state"].updates for r in records] == [1, 2, 3, 4]
    assert [np.isnan(r["sampled_return"]) for r in records] == [True, True, True, False], "episodes of 200 steps"
    assert records[-1]["state"].norm.count == 2000 + 1000, "the normaliser has seen the random walk and every row"
    assert all(r["kl"] <= ONLINE.target_kl for r in records)


def test_online_training_follows_its_seed_and_can_go_on():
    records = short_online()
    assert same(records, short_online()) and not same(records[-1]["state"], short_online(seed=1)[-1]["state"])
    rest = short_online(copy.deepcopy(records[1]["state"]))
    assert [r["state"].steps for r in rest] == [750, 1000]
    assert same(rest, short_online(copy.deepcopy(records[1]["state"])))


def test_online_parts_can_be_replaced():
    called = []

    def sample(env, policy, steps, rng):
        called.append((env.num_envs, steps))
        return online.sample_paths(env, policy, steps, rng)

    def improve(theta, critic, paths, *rest):
        assert paths.rew.shape == (50, 5)
        return theta, critic, {"mine": 1}

    cfg = replace(ONLINE, online_steps=500, online_envs=5, online_horizon=50)
    records = list(online.train_online(cfg, sample=sample, improve=improve))
    assert called == [(5, 50)] * 2 and records[-1]["mine"] == 1


def sampled(env_id, steps, limit=None, sigma=0.5):
    task, env = envs.TASKS[env_id], envs.TaskVectorEnv(env_id, 4, max_episode_steps=limit)
    cfg = replace(TINY, env=env_id, std=sigma)
    unit = nets.Normalizer(np.zeros(task.obs_dim), np.ones(task.obs_dim))
    policy = nets.Policy(bremen.new_policy(cfg, rng_of()), unit, bremen.policy_net(cfg))
    env.reset(seed=0)
    parts = [online.sample_paths(env, policy, n, rng) for rng in [rng_of(1)] for n in (steps, 7)]
    return task, *parts


def check_rows_follow_each_other(paths):
    """Where nothing ended, next_obs is the next row's obs; where something did, it is not, and time restarts."""
    ended = (paths.terminated | paths.truncated)[:-1]
    goes_on = np.all(paths.next_obs[:-1] == paths.obs[1:], axis=-1)
    np.testing.assert_array_equal(goes_on, ~ended)
    np.testing.assert_array_equal(paths.time[1:], np.where(ended, 0, paths.time[:-1] + 1))
    assert ended.any() and not ended.all()


def test_sampled_pendulum_paths_are_the_physics_up_to_the_last_step():
    """Each row on its own, the cut-off ones too: the state from the observation, one step of Gymnasium's equations."""
    task, (paths, returns), _ = sampled("pendulum", 23, limit=5, sigma=1.5)
    check_rows_follow_each_other(paths)
    assert paths.obs.shape == (23, 4, 3) and (paths.time[0] == 0).all() and (np.abs(paths.act) > 2).any()
    np.testing.assert_array_equal(paths.truncated, np.broadcast_to(np.arange(23)[:, None] % 5 == 4, (23, 4)))
    assert not paths.terminated.any()
    angle, speed, torque = (
        np.arctan2(paths.obs[..., 1], paths.obs[..., 0]),
        paths.obs[..., 2],
        np.clip(paths.act[..., 0], -2, 2),
    )
    speed_after = np.clip(speed + (15 * np.sin(angle) + 3 * torque) * 0.05, -8, 8)
    angle_after = angle + speed_after * 0.05
    want = np.stack([np.cos(angle_after), np.sin(angle_after), speed_after], axis=-1)
    np.testing.assert_allclose(paths.next_obs, want, atol=1e-5)
    np.testing.assert_allclose(paths.rew, -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2), atol=1e-5)
    sums = paths.rew[:20].reshape(4, 5, 4).sum(axis=1)  # four whole episodes of each of four robots
    np.testing.assert_allclose(returns, sums.ravel(), rtol=1e-5)


def test_sampled_hopper_paths_end_in_the_fall():
    _, (paths, returns), (more, _) = sampled("hopper", 60, sigma=1.0)
    check_rows_follow_each_other(paths)
    np.testing.assert_array_equal(paths.terminated, ~HOPPER.healthy(paths.next_obs))
    assert HOPPER.healthy(paths.obs).all() and len(returns) == paths.terminated.sum() and not paths.truncated.any()
    on = ~paths.terminated[-1]
    np.testing.assert_array_equal(more.obs[0][on], paths.next_obs[-1][on])  # the robots go on where they were
    np.testing.assert_array_equal(more.time[0], np.where(on, paths.time[-1] + 1, 0))


# --- Algorithm 1 --------------------------------------------------------------------------------------------

AGAIN = replace(TINY, mode="recursive", deployments=3, iterations=3, iteration_updates=2, n_train=660)


def recursive(batches=(), state=None, cfg=AGAIN, **parts):
    """All records, each with a state of its own."""
    return [{**r, "state": copy.deepcopy(r["state"])} for r in bremen.train_recursive(cfg, batches, state, **parts)]


@pytest.fixture(scope="module")
def deployments():
    return recursive()


def test_algorithm_1_stage_by_stage(deployments):
    stages = [r["stage"] for r in deployments]
    assert stages == ["deploy", "model", "clone", "update", "update"] * 3
    assert [r["state"].deployments for r in deployments] == [1] * 5 + [2] * 5 + [3] * 5
    assert [r["state"].updates for r in deployments if r["stage"] == "update"] == [1, 2, 3, 4, 5, 6]
    assert [len(r["batch"].rew) for r in deployments if r["stage"] == "deploy"] == [220] * 3


def test_the_first_data_are_random_the_next_the_policys(deployments):
    first, second, third = (r for r in deployments if r["stage"] == "deploy")
    assert abs(first["batch"].act.std() - 4 / np.sqrt(12)) < 0.1
    for before, r in ((4, second), (9, third)):
        policy = bremen.policy_of(deployments[before]["state"], AGAIN)
        noise = r["batch"].act - np.clip(policy.mean(r["batch"].obs), -2, 2)
        assert 0.1 < noise.std() < 0.25, "sigma is 0.1 of the action limit 2"
        returns, _ = envs.episode_returns(r["batch"])
        assert r["deployed_return"] == pytest.approx(returns.mean())


def test_noise_is_added_to_what_is_deployed():
    """A policy that always pushes: with eps3, about 0.4 x 0.3 + 0.2 of the actions are uniform instead."""
    cfg = replace(AGAIN, n_train=30_000, deployments=3, std=1e-3)
    sizes, limit = bremen.policy_net(cfg)
    theta = bremen.new_policy(cfg, rng_of())
    nets.layers(theta, sizes)[-1][1][:] = 9  # the bias of the last layer
    s = bremen.State(bremen.streams(0), norm=nets.Normalizer(np.zeros(3), np.ones(3)), theta=theta)
    share = {}
    for noise in ("pure", "eps3"):
        batch, _ = bremen.collect_batch(s, replace(cfg, noise=noise), rng_of())
        share[noise] = np.mean(batch.act < 0.9 * limit)
    assert share["pure"] == 0 and share["eps3"] == pytest.approx(0.95 * 0.32, abs=0.05)


def test_deployments_share_the_iterations_evenly():
    """By hand: 7 iterations of 2 updates over 3 deployments."""
    cfg = replace(AGAIN, iterations=7)
    assert [cfg.updates_by(i) for i in range(4)] == [0, 4, 8, 14]
    assert replace(cfg, mode="offline").updates_by(1) == 14
    records = list(bremen.train_recursive(replace(cfg, n_train=660)))
    at = [r["state"].updates for r in records if r["stage"] == "deploy"]
    assert at == [0, 4, 8] and records[-1]["state"].updates == 14


def test_a_deployed_robot_is_set_up_anew_after_deployed_steps():
    batch, _ = bremen.collect_batch(bremen.State(streams := bremen.streams(0)), replace(AGAIN, deployed_steps=50),
                                    streams["collect"])  # fmt: skip
    _, lengths = envs.episode_returns(batch)
    assert set(lengths[:-1]) == {50} and len(batch.rew) == 220, "a pendulum never falls; its own limit is 200"
    assert batch.truncated.sum() == 5 and not batch.terminated.any()
    assert np.abs(batch.obs[50] - batch.next_obs[49]).max() > 0.01, "another episode"


@pytest.mark.parametrize("all_bc", [False, True])
def test_models_see_all_data_the_clone_the_newest(all_bc):
    seen = {"fit": [], "clone": []}

    def fit(data, *rest):
        seen["fit"].append(data)
        return bremen.fit_dynamics(data, *rest)

    def clone(data, *rest):
        seen["clone"].append(data)
        return bremen.clone_behavior(data, *rest)

    records = recursive(cfg=replace(AGAIN, all_bc=all_bc), fit=fit, clone=clone)
    batches = [r["batch"] for r in records if r["stage"] == "deploy"]
    assert [len(d.rew) for d in seen["fit"]] == [220, 440, 660]
    assert [len(d.rew) for d in seen["clone"]] == ([220, 440, 660] if all_bc else [220] * 3)
    for i, data in enumerate(seen["fit"]):
        np.testing.assert_array_equal(data.obs, np.concatenate([b.obs for b in batches[: i + 1]]))
    np.testing.assert_array_equal(seen["clone"][2].act[-220:], batches[2].act)


def test_the_policy_starts_again_from_each_clone(deployments):
    for i in (2, 7, 12):
        assert deployments[i]["stage"] == "clone"
        assert same(deployments[i]["state"].theta, deployments[i]["state"].beta)


def test_without_clones_the_policy_goes_on_under_each_new_normaliser():
    """As in ME-TRPO: what it does before and after a deployment is the same, in another parametrisation."""
    records = recursive(cfg=replace(AGAIN, bc_init=False))
    obs = np.concatenate([r["batch"].obs for r in records if r["stage"] == "deploy"])
    for before, after in ((4, 7), (9, 12)):
        old, new = records[before]["state"], records[after]["state"]
        assert not same(old.norm, new.norm) and not same(old.theta, new.theta)
        np.testing.assert_allclose(*(bremen.policy_of(s, AGAIN).mean(obs) for s in (old, new)), atol=1e-4)


def test_algorithm_1_can_be_taken_up_after_every_stage(deployments):
    for i, record in enumerate(deployments):
        batches = [r["batch"] for r in deployments[: i + 1] if r["stage"] == "deploy"]
        assert same(recursive(batches, copy.deepcopy(record["state"])), deployments[i + 1 :]), f"after record {i}"


def test_one_deployment_of_given_data_is_algorithm_2(data):
    cfg = replace(TINY, mode="recursive", deployments=1)
    records = recursive(cfg=cfg, deploy=lambda *rest: (data, {}))
    assert same([r["state"].theta for r in records[2:]], [r["state"].theta for r in train(data)[1:]])


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="learning takes minutes without the compiler")
def test_algorithm_1_learns_the_pendulum():
    """A minute's worth of data, three deployments: from about -1200 to -500 or better (seeds 0 to 3: -130 to -430)."""
    cfg = replace(
        AGAIN, n_train=6000, std=0.3, target_kl=0.03, model_hidden=(32, 32), model_epochs=40, model_batch=64,
        model_lr=3e-3, policy_hidden=(32, 32), clone_steps=500, iterations=3, iteration_updates=60,
        imagined_steps=4000, horizon=100, value_hidden=(32, 32), value_epochs=3,
    )  # fmt: skip
    *_, last = bremen.train_recursive(cfg)
    returns, _ = envs.evaluate(PENDULUM, bremen.policy_of(last["state"], cfg).mean, 40, rng_of())
    assert returns.mean() > -600


# --- the original's two sigmas, the value function's first fit, models against reality ----------------------


def test_the_originals_mismatch(data):
    """Actions are sampled with std, judged with exp(-5); the saved policy samples with std."""
    cfg = replace(TINY, density_std="original", std=0.2)
    s = train(data, density_std="original", std=0.2)[1]["state"]
    assert s.theta[-1] == -5.0 and bremen.policy_of(s, cfg).theta[-1] == pytest.approx(np.log(0.4))
    paths, _ = bremen.imagine_paths(s, data.obs, replace(cfg, imagined_steps=4000), rng_of())
    noise = paths.act - bremen.policy_of(s, cfg).mean(paths.obs)
    assert noise.std() == pytest.approx(0.4, rel=0.05)


def test_the_originals_mismatch_makes_steps_small(data):
    """Moving the mean by x costs x^2 / (2 sigma^2): the same delta moves the mean sigma / exp(-5) times less far."""
    moved = {}
    for name in ("same", "original"):
        before, *_, after = (r["state"] for r in train(data, density_std=name, target_kl=1e-3)[1:])
        cfg = replace(TINY, density_std=name)
        change = bremen.policy_of(after, cfg).mean(data.obs) - bremen.policy_of(before, cfg).mean(data.obs)
        moved[name] = np.sqrt(np.mean(change**2))
    assert 0 < moved["original"] < 0.2 * moved["same"]


@pytest.mark.parametrize("value", ["mlp", "linear"])
def test_pretraining_explains_the_returns_of_logged_episodes(value):
    """Discounted returns of whole episodes, summed up by a plain loop."""
    batch = envs.collect(PENDULUM, envs.behavior(PENDULUM, None, "random"), 6000, rng_of())
    cfg = replace(
        TINY, value=value, value_hidden=(32, 32), value_epochs=5, value_batch=600, value_lr=5e-3, gamma=0.95,
        gradients="autograd",
    )  # fmt: skip
    norm, returns, g = nets.Normalizer.fit(batch.obs), np.zeros(6000), 0.0
    for i in reversed(range(6000)):
        g = batch.rew[i] + cfg.gamma * (0.0 if batch.truncated[i] else g)
        returns[i] = g
    early = bremen.time_of((batch.terminated | batch.truncated)[:, None])[:, 0] < 100  # the cut-off is far away
    raw = trpo.new_critic(rng_of(), 3, cfg)
    critic = pretrain.pretrain(raw, batch, norm, cfg, rng_of())
    time = pretrain.logged_paths(batch).time[:, 0]
    fits = [
        trpo.explained_variance(trpo.value(c, norm(batch.obs), time, cfg)[early], returns[early]) for c in (raw, critic)
    ]
    assert fits[0] < 0.1 and fits[1] > 0.5


def test_the_trust_region_shrinks_within_each_deployment():
    """By hand: in four updates from delta to a tenth of it, and once more after the next deployment."""
    cfg = replace(TINY, mode="recursive", deployments=2, iterations=4, iteration_updates=2, target_kl_end=0.1)
    radius = [bremen.target_kl_after(cfg, u, 1 + u // 4) / cfg.target_kl for u in range(8)]
    np.testing.assert_allclose(radius, 2 * [1, 0.7, 0.4, 0.1])
    assert all(bremen.target_kl_after(TINY, u, 1) == TINY.target_kl for u in range(4)), "to the last bit"


def test_the_trust_region_of_a_run_shrinks(data):
    seen = []

    def improve(theta, critic, paths, norm, net, cfg, rng):
        seen.append(cfg.target_kl)
        return trpo.improve(theta, critic, paths, norm, net, cfg, rng)

    rows = train(data, improve=improve, target_kl_end=0.25)
    np.testing.assert_allclose(seen, np.linspace(1, 0.25, 4) * TINY.target_kl)
    assert all(row["kl"] <= delta for row, delta in zip([r for r in rows if "kl" in r], seen))


def test_pretrain_value_is_used(data):
    plain, fitted = (train(data, pretrain_value=flag)[1]["state"] for flag in (False, True))
    assert same(plain.theta, fitted.theta) and not same(plain.critic, fitted.critic)


def test_held_by_hand():
    x = np.arange(12.0).reshape(4, 3, 1)
    ended = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1]], bool)
    frozen = model_error.freeze_at_end(x, ended)[..., 0].T
    np.testing.assert_array_equal(frozen, [[0, 3, 3, 3], [1, 4, 7, 10], [2, 5, 8, 11]])


def exact_models(monkeypatch, members=2, error=0.0):
    """Models that know the pendulum, but for a constant error: twice as large for member 1 as for member 0."""
    cfg = replace(TINY, members=members, horizon=50)
    sim = PENDULUM.sim()

    def step(obs, act):
        state = np.stack([np.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2]], axis=1).astype(np.float64)
        return sim.observe(sim.advance(state, act))

    def parallel_rollout(s, cfg, pool, noise, members):
        rows, obs = [], pool[0]
        for t in range(len(pool)):
            act = bremen.policy_of(s, cfg).mean(obs) + noise[t]
            new = step(obs, np.clip(act, -2, 2)) + np.float32(error * (members[0][t] + 1))
            rows.append((obs, act, new, np.zeros(len(obs), bool)))
            obs = new
        return tuple(map(np.stack, zip(*rows)))

    monkeypatch.setattr(bremen, "parallel_rollout", parallel_rollout)
    monkeypatch.setattr(bremen, "predict", lambda d, obs, act, k, cfg: step(obs, act) + np.float32(error * (k + 1)))
    theta = bremen.new_policy(cfg, rng_of())
    norm = nets.Normalizer(np.zeros(3), np.array([1.0, 1.0, 4.0]))
    dynamics = bremen.Dynamics(np.zeros((members, 1)), *[None] * 5)
    return model_error.compare_paths(bremen.State({}, norm, dynamics, theta=theta), cfg, rng_of(1))


def test_exact_models_have_no_error(monkeypatch):
    numbers, paths = exact_models(monkeypatch)
    assert paths["real"].shape == (50, 20, 3) and paths["imagined"].shape == (2, 50, 20, 3)
    assert all(numbers[f"one_step_error_{i}"] < 1e-5 for i in range(3))
    assert numbers["path_error_last"] < 1e-2 and abs(numbers["energy_distance"]) < 1e-3
    assert numbers["evaluation_steps"] == 50 * 20


def test_a_constant_error_is_found(monkeypatch):
    """Member 0 is 0.1 off at every step, member 1 twice that: root mean square 0.1 sqrt(5 / 2)."""
    numbers, paths = exact_models(monkeypatch, error=0.1)
    assert numbers["one_step_error_2"] == pytest.approx(0.1 * np.sqrt(2.5), rel=1e-3)
    assert numbers["path_error"] > 0.05 and numbers["energy_distance"] > 1e-3
    assert paths["error"].shape == (50,) and numbers["path_error_last"] == paths["error"][-1]


def test_energy_distance_by_a_plain_double_loop(monkeypatch):
    numbers, paths = exact_models(monkeypatch, members=1, error=0.1)  # with one member nothing is drawn
    x, y = (z / np.array([1, 1, 4]) for z in (paths["real"], paths["imagined"][0]))
    pairs = [(i, j) for i in range(20) for j in range(20) if i != j]
    far = lambda a, b: np.mean([np.sqrt(np.mean((a[:, i] - b[:, j]) ** 2)) for i, j in pairs])
    assert numbers["energy_distance"] > 1e-3
    assert numbers["energy_distance"] == pytest.approx(2 * far(x, y) - far(x, x) - far(y, y), abs=1e-6)
