"""examples/parts: other parts for train_offline, each against an oracle, and in the algorithm."""

import sys
from pathlib import Path

import gymnasium as gym
import numba
import numpy as np
import pytest

import bremen
import envs
import nets
import trpo

PARTS = Path(__file__).resolve().parent.parent / "examples" / "parts"
sys.path.insert(0, str(PARTS))
import cautious_rollout  # noqa: E402
import linear_models  # noqa: E402
import own_task  # noqa: E402
import ppo_update  # noqa: E402
import trial  # noqa: E402
import weighted_clone  # noqa: E402

CART = envs.TASKS.pop("cartpole")  # only in the tests that ask for it: the others know six tasks
TINY = dict(trial.SMALL, n_train=400, model_hidden=(8,), policy_hidden=(8,), value_hidden=(8,), model_epochs=2,
            members=3, clone_steps=500, horizon=20, imagined_steps=200, iterations=1, iteration_updates=1)  # fmt: skip
CFG = bremen.configured(env="pendulum", **TINY)
LINEAR = bremen.configured(env="pendulum", **TINY | {"model_hidden": ()})
RNG = np.random.default_rng


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    before = nets.workers()
    yield
    nets.use_threads(before)


@pytest.fixture
def data():
    return trial.pendulum_data(CFG)


def after_clone(data):
    return next(r["state"] for r in bremen.train_offline(CFG, data) if r["stage"] == "clone")


@pytest.mark.parametrize("path", sorted(PARTS.glob("*.py")), ids=lambda path: path.stem)
def test_a_part_fits_on_a_page(path):
    assert len(path.read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    "part, changes",
    [({"fit": linear_models.fit}, {"model_hidden": ()}), ({"clone": weighted_clone.clone}, {}),
     ({"imagine": cautious_rollout.imagine}, {}), ({"improve": ppo_update.improve}, {})],
    ids=lambda x: next(iter(x), "unchanged"),
)  # fmt: skip
def test_a_part_changes_what_is_learnt_and_nothing_breaks(part, changes, capsys):
    plain, changed = trial.compare(changes, numbers=TINY, **part)
    assert np.isfinite(changed).all() and not np.array_equal(plain, changed)
    names = ("BREMEN", *(f"with another {p}" for p in part))
    titles = [f"{name}, {what}" for name in names for what in ("clone", "last policy")]
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == titles


def test_linear_models_are_right_where_the_world_is_linear(data):
    matrix = RNG(1).standard_normal((4, 3)).astype(np.float32) / 10
    linear = data._replace(next_obs=data.obs + np.concatenate([data.obs, data.act], axis=1) @ matrix + 0.3)
    dynamics, info = linear_models.fit(linear, LINEAR, RNG())
    for k in range(LINEAR.members):
        np.testing.assert_allclose(bremen.predict(dynamics, data.obs, data.act, k, LINEAR), linear.next_obs, atol=1e-4)
    assert info["model_loss"] < 1e-8
    with pytest.raises(ValueError, match="model_hidden"):
        linear_models.fit(linear, CFG, RNG())


def test_residuals_of_linear_models_are_those_of_rows_left_out_in_units_of_the_spread(data):
    dynamics, _ = linear_models.fit(data, LINEAR, RNG())
    next_obs = [bremen.predict(dynamics, data.obs, data.act, k, LINEAR) for k in range(3)]
    wrong = (data.next_obs - np.stack(next_obs)) / dynamics.delta.scale
    spread = np.stack(next_obs).std(axis=0) / dynamics.delta.scale
    units = wrong / np.sqrt((spread**2).mean(axis=1, keepdims=True))
    assert 0.3 * 3 * 400 < len(dynamics.residuals) < 0.44 * 3 * 400, "a bootstrap sample leaves out 37 of 100 rows"
    for row in dynamics.residuals[::50]:
        assert np.abs(units - row).max(axis=2).min() < 0.02 * np.abs(row).max()


def test_good_episodes_weigh_more():
    """Episodes that return 1, 3, 2 and 0; the last one is truncated."""
    obs, act, rew = np.zeros((5, 3), np.float32), np.zeros((5, 1), np.float32), np.float32([1, 1, 2, 2, 0])
    terminated, truncated = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1]], bool)
    w = weighted_clone.weights(envs.Batch(obs, act, rew, obs, terminated, truncated))
    returns = np.array([1, 3, 3, 2, 0])
    expected = np.exp(returns / (weighted_clone.TEMPERATURE * np.std([1, 3, 2, 0])))
    np.testing.assert_allclose(w, expected / expected.mean(), rtol=1e-5)
    truncated[-1] = False  # the last episode was cut: its return is unknown, and it counts as one of the others
    w = weighted_clone.weights(envs.Batch(obs, act, rew, obs, terminated, truncated))
    np.testing.assert_allclose(w[-1], np.mean([w[0], w[1], w[3]]), rtol=1e-5)
    cut = envs.Batch(obs, act, rew, obs, np.zeros(5, bool), truncated)
    np.testing.assert_array_equal(weighted_clone.weights(cut), np.ones(5))


def test_weighted_cloning_of_equal_weights_is_cloning(data, monkeypatch):
    monkeypatch.setattr(weighted_clone, "weights", lambda data: np.ones(len(data.rew), np.float32))
    norm = nets.Normalizer.fit(data.obs)
    own, _ = weighted_clone.clone(data, norm, CFG, RNG(0))
    theirs, _ = bremen.clone_behavior(data, norm, CFG, RNG(0))
    mean = lambda beta: nets.mlp(beta, norm(data.obs), *bremen.policy_net(CFG))
    assert np.mean((mean(own) - mean(theirs)) ** 2) < 0.02 * np.mean((mean(own) - data.act) ** 2)


def test_a_cautious_path_ends_where_models_disagree(data, monkeypatch):
    s, starts = after_clone(data), data.obs
    for limit, ended in ((np.inf, 0), (-1.0, 1)):
        monkeypatch.setattr(cautious_rollout, "LIMIT", limit)
        paths, info = cautious_rollout.imagine(s, starts, CFG, RNG(0))
        assert info["unknown"] == ended and np.mean(paths.terminated) == ended
    assert (paths.rew == cautious_rollout.PENALTY).all() and (paths.time == 0).all()
    monkeypatch.setattr(cautious_rollout, "LIMIT", 2.0)
    paths, info = cautious_rollout.imagine(s, starts, CFG, RNG(0))
    obs, act = paths.obs.reshape(-1, 3), envs.TASKS["pendulum"].clip(paths.act).reshape(-1, 1)
    guesses = np.stack([bremen.predict(s.dynamics, obs, act, k, CFG) for k in range(CFG.members)])
    far = (np.ptp(guesses, axis=0) / s.dynamics.delta.scale > 2).any(axis=1).reshape(paths.rew.shape)
    assert 0.05 < info["unknown"] < 0.95 and np.array_equal(paths.terminated, far)
    np.testing.assert_array_equal(paths.obs[1:][~far[:-1]], paths.next_obs[:-1][~far[:-1]])


def test_ppo_improves_its_objective_and_leaves_sigma_alone(data):
    s = after_clone(data)
    paths, _ = bremen.imagine_paths(s, data.obs, CFG, RNG(0))
    net = bremen.policy_net(CFG)
    theta, _, info = ppo_update.improve(s.theta, s.critic, paths, s.norm, net, CFG, RNG(0))
    obs, _, adv, _, _ = trpo.advantages(s.critic, paths, s.norm, CFG)
    adv = ((adv - adv.mean()) / adv.std()).astype(np.float32)
    mu, log_std = nets.mlp(s.theta, obs, *net), s.theta[-1:]
    act = paths.act.reshape(mu.shape)
    value = lambda th: ppo_update.clipped_surrogate(th, obs, act, adv, nets.log_prob(act, mu, log_std), net)
    assert value(theta) > value(s.theta) + 1e-3 and theta[-1] == s.theta[-1] and 0 < info["kl"] < 0.1


def test_the_clipped_surrogate_by_hand():
    """One weight, ratios 1.5 and 0.5: rewarded up to 1.2, and punished in full."""
    net, act, log_std = nets.Net((1, 1)), np.array([[1.0], [-1.0]]), 0.0
    theta, obs = np.array([0.0, 0.0, log_std]), np.zeros((2, 1))
    old = nets.log_prob(act, np.zeros((2, 1)), np.zeros(1)) - np.log([1.5, 0.5])
    for adv, wanted in (([1, 0], 0.6), ([-1, 0], -0.75), ([0, 1], 0.25), ([0, -1], -0.4)):
        assert ppo_update.clipped_surrogate(theta, obs, act, np.array(adv), old, net) == pytest.approx(wanted)


@pytest.fixture
def cart(monkeypatch):
    monkeypatch.setitem(envs.TASKS, "cartpole", CART)
    return CART


def test_the_cart_is_gymnasiums(cart):
    """A step from a hundred states, pushed to the left or to the right."""
    theirs, sim, rng = gym.make("CartPole-v1").unwrapped, cart.sim(), RNG(0)
    for state in rng.uniform(-2, 2, (100, 4)):
        theirs.reset(seed=0)
        theirs.state, push = state, int(rng.integers(2))
        theirs.step(push)
        after = sim.advance(state[None], np.array([[2.0 * push - 1]]))
        np.testing.assert_allclose(after[0], theirs.state, rtol=1e-9)
        assert np.array_equal(sim.observe(after), after.astype(np.float32))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="learning takes minutes without the compiler")
def test_bremen_balances_a_pole_that_it_has_only_seen_falling(cart, capsys):
    (returns,) = trial.compare(data=own_task.random_data, numbers=own_task.NUMBERS)
    assert returns.mean() > 150
