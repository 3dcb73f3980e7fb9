"""examples/variants.py: each idea against plain loops, and in the algorithm."""

import csv
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import bremen
import envs
import nets
import trpo

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import variants  # noqa: E402

RNG = np.random.default_rng
CFG = bremen.configured(env="half_cheetah", preset="smoke", n_train=1000, members=3, iterations=1, horizon=20, seed=3,
                        imagined_steps=200, model_noise=1.0, threads=1, clone_steps=500)  # fmt: skip
TASK = envs.TASKS["half_cheetah"]


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    before = nets.workers()
    yield
    nets.use_threads(before)


@pytest.fixture(scope="module")
def data():
    return envs.collect(TASK, envs.behavior(TASK, None, "random"), 3 * 1000, RNG(0), num_envs=3)


@pytest.fixture(scope="module")
def state(data):
    """After the clone, with the program's own models."""
    return next(r["state"] for r in bremen.train_offline(CFG, data) if r["stage"] == "clone")


def test_imagine_is_the_programs_own_when_nothing_is_changed(state, data):
    paths, info = variants.imagine(state, data.obs, CFG, RNG(1))
    expected, _ = bremen.imagine_paths(state, data.obs, CFG, RNG(1))
    for name, x, y in zip(trpo.Paths._fields, paths, expected):
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-3, err_msg=name)
    assert info["unknown"] == 0


def test_antithetic_paths_have_opposite_noise(state, data):
    paths, _ = variants.imagine(state, data.obs, CFG, RNG(1), antithetic=True)
    half = paths.obs.shape[1] // 2
    mean = bremen.policy_of(state, CFG).mean
    np.testing.assert_array_equal(paths.obs[0, :half], paths.obs[0, half : 2 * half])
    first, second = (paths.act[0, part] - mean(paths.obs[0, part]) for part in (slice(half), slice(half, 2 * half)))
    np.testing.assert_allclose(first, -second, atol=1e-6)
    assert np.abs(first).mean() > 0.03  # sigma is 0.1


def test_truncation_is_where_members_disagree_and_the_path_begins_anew(state, data):
    limit = variants.spread_on(data, state.dynamics, CFG, 0.5)
    paths, info = variants.imagine(state, data.obs, CFG, RNG(1), limit=limit)
    for t in range(CFG.horizon):
        x = state.dynamics.inputs(np.concatenate([paths.obs[t], TASK.clip(paths.act[t])], axis=1))
        guesses = [nets.mlp(phi, x, bremen.model_sizes(CFG)) for phi in state.dynamics.phi]
        strange = np.sqrt(np.var(guesses, axis=0).mean(axis=1)) > limit
        np.testing.assert_array_equal(paths.truncated[t], strange | (t == CFG.horizon - 1))
    ended = paths.truncated[:-1]
    assert 0.1 < info["unknown"] < 0.9 and (paths.time[1:][ended] == 0).all() and (paths.time[1:][~ended] > 0).all()
    assert {tuple(row) for row in paths.obs[1:][ended]} <= {tuple(row) for row in data.obs}


def test_half_of_the_logged_rows_have_a_smaller_spread_than_the_median(state, data):
    x, _ = bremen.regression_rows(data, CFG)
    guesses = [nets.mlp(phi, state.dynamics.inputs(x), bremen.model_sizes(CFG)) for phi in state.dynamics.phi]
    spreads = np.sqrt(np.var(guesses, axis=0).mean(axis=1))
    assert np.mean(spreads < variants.spread_on(data, state.dynamics, CFG, 0.5)) == pytest.approx(0.5, abs=0.01)
    assert variants.spread_on(data, state.dynamics, CFG, 1) == pytest.approx(spreads.max(), rel=1e-4)


def bound(predict, sizes):
    return partial(predict, sizes=sizes)


def test_layer_norm_normalises_each_row_before_each_relu():
    sizes, rng = (3, 4, 5, 2), RNG(0)
    phi, x = nets.init_mlp(rng, sizes), rng.standard_normal((6, 3)).astype(np.float32)
    out, std = variants.layer_norm(phi, x, sizes)
    *hidden, (W, b) = nets.layers(phi, sizes)
    for row, y in zip(x, out):
        for V, c in hidden:
            h = row @ V + c
            row = np.maximum((h - h.mean()) / np.sqrt(h.var() + 1e-5), 0)
        np.testing.assert_allclose(y, row @ W + b, rtol=1e-4, atol=1e-5)
    assert std is None


def test_gaussian_noise_is_bounded_and_its_loss_is_a_likelihood():
    sizes, rng = (3, 8, 4), RNG(0)
    phi, x, y = 30 * nets.init_mlp(rng, sizes), rng.standard_normal((50, 3)), rng.standard_normal((50, 2))
    mean, std = variants.gaussian(phi, x, sizes)
    assert np.exp(-5) <= std.min() < 0.1 and 1 < std.max() <= np.exp(0.51)
    theirs = [nets.log_prob(y[i : i + 1], mean[i : i + 1], np.log(std[i])) for i in range(50)]
    mine = variants.model_loss(phi, x, y, bound(variants.gaussian, sizes))
    assert mine == pytest.approx(-np.mean(theirs) - np.log(2 * np.pi), rel=1e-6)


def test_the_unrolled_loss_is_that_of_a_model_that_sees_its_own_predictions(data):
    sizes, steps = bremen.model_sizes(CFG), 4
    x, change = bremen.regression_rows(data, CFG)
    x_norm, y_norm = nets.Normalizer.fit(x), nets.Normalizer.fit(change)
    phi = nets.init_mlp(RNG(0), sizes).astype(np.float64)
    rows = variants.sequences(data, steps)[::200]
    loss = 0.0
    for row in rows:
        obs = data.obs[row[0]].astype(np.float64)
        for i in row:
            seen = x_norm(np.concatenate([obs, data.act[i]])[None])
            obs = obs + y_norm.undo(nets.mlp(phi, seen, sizes))[0]
            loss += np.sum(((obs - data.next_obs[i]) / y_norm.scale) ** 2) / (2 * steps * len(rows))
    args = (
        phi,
        x_norm(x).astype(np.float64)[rows],
        y_norm(change).astype(np.float64)[rows],
        bound(variants.plain, sizes),
    )
    assert variants.unrolled_loss(*args, scales=(x_norm.scale, y_norm.scale)) == pytest.approx(loss, rel=1e-3)


def test_the_unrolled_loss_of_one_step_is_the_plain_one():
    sizes, rng = (5, 8, 3), RNG(0)
    phi, x, y = nets.init_mlp(rng, sizes), rng.standard_normal((9, 5)), rng.standard_normal((9, 3))
    predict = bound(variants.plain, sizes)
    plain = variants.model_loss(phi, x, y, predict)
    one = variants.unrolled_loss(phi, x[:, None], y[:, None], predict, scales=(np.ones(5), np.ones(3)))
    assert one == pytest.approx(plain) == pytest.approx(nets.squared_error(phi, x, y, sizes))


def test_sequences_stay_in_their_episode(data):
    rows = variants.sequences(data, 4)
    assert len(rows) == 3 * (1000 - 3)
    assert not (data.terminated | data.truncated)[rows[:, :-1]].any()
    np.testing.assert_array_equal(data.next_obs[rows[:, :-1]], data.obs[rows[:, 1:]])


def test_weight_decay_is_over_the_rows_and_spares_biases_and_the_last_layer():
    sizes, rng = (3, 4, 2), RNG(0)
    phi, x, y = nets.init_mlp(rng, sizes) + 0.5, rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    extra = variants.weight_decay(phi, x, y, bound(variants.plain, sizes), sizes, rows=50) - nets.squared_error(
        phi, x, y, sizes
    )
    assert extra == pytest.approx(np.sum(nets.layers(phi, sizes)[0][0] ** 2) / 100, rel=1e-5)


@pytest.mark.parametrize("predict, width", [(variants.plain, 1), (variants.layer_norm, 1), (variants.gaussian, 2)])
def test_fits_learn_what_the_program_learns(data, predict, width):
    cfg = replace(CFG, model_epochs=20, model_hidden=(32,), model_lr=6e-3)
    models, info = variants.fit(data, cfg, RNG(0), lambda report: None, predict=predict, width=width)
    x, y = bremen.regression_rows(data, cfg)
    guesses, std = variants.predictions(models, models.inputs(x), cfg)
    error = np.mean((guesses.mean(axis=0) - models.delta(y)) ** 2)
    assert error < 0.6 and (std is None) == (width == 1)  # 1: the mean of the data
    if width == 1:
        assert models.residuals.shape == (3 * bremen.RESIDUALS, TASK.obs_dim) and info["model_loss"] > 0


def test_vines_have_all_in_common_but_the_first_action(state, data):
    vines = variants.Vines()
    paths, _ = vines.imagine(state, data.obs, replace(CFG, imagined_steps=400), RNG(1))
    n, tries, steps = vines.STATES, vines.TRIES, vines.STEPS
    obs, act = vines.obs.reshape(steps, n, tries, -1), vines.act.reshape(steps, n, tries, -1)
    assert (obs[0] == obs[0, :, :1]).all() and {tuple(o) for o in vines.obs[0]} <= {
        tuple(o) for o in paths.obs.reshape(-1, TASK.obs_dim)
    }
    mean = bremen.policy_of(state, CFG).mean
    noise = act - mean(vines.obs.reshape(-1, TASK.obs_dim)).reshape(act.shape)
    np.testing.assert_allclose(noise[1:], np.broadcast_to(noise[1:, :, :1], noise[1:].shape), atol=1e-5)
    assert np.std(noise[0] - noise[0, :, :1], axis=1).mean() > 0.03


def test_the_advantage_of_a_vine_is_its_return_less_the_mean_of_its_state(state, data):
    vines = variants.Vines()
    vines.imagine(state, data.obs, replace(CFG, imagined_steps=400), RNG(1))
    vines.terminated[4, ::3] = True
    adv = vines.advantages(state.critic, state.norm, CFG)
    values = trpo.value(state.critic, state.norm(vines.next_obs[-1]), np.zeros(1000), CFG)
    gains = []
    for b in range(vines.STATES * vines.TRIES):
        gain, discount = 0.0, 1.0
        for t in range(vines.STEPS):
            gain += discount * vines.rew[t, b]
            discount *= CFG.gamma
            if vines.terminated[t, b]:
                break
        else:
            gain += discount * values[b]
        gains.append(gain)
    gains = np.reshape(gains, (vines.STATES, vines.TRIES))
    for i in range(vines.STATES):
        for j in range(vines.TRIES):  # against the mean of the others, which know nothing of its own noise
            others = np.delete(gains[i], j).mean()
            assert adv.reshape(gains.shape)[i, j] == pytest.approx(gains[i, j] - others, rel=1e-4, abs=1e-4)


def test_judges_say_what_their_promises_say(state, data):
    judges = variants.Judges(data, CFG, lambda report: None)
    assert np.isnan(judges.better(state)) and judges.better(state) == 0  # the same promise is no better one
    judges.before = judges.before + np.array([1.0, -1.0, -1.0])
    assert judges.better(state) == pytest.approx(2 / 3)
    assert not np.array_equal(judges.dynamics.phi, state.dynamics.phi)


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_every_variant_runs_to_its_end(name):
    small = dict(env="pendulum", iteration_updates=1, imagined_steps=400)
    cfg, task = replace(CFG, **small, **variants.VARIANTS[name][0]), envs.TASKS["pendulum"]
    data = envs.collect(task, envs.behavior(task, None, "random"), 1000, RNG(0), num_envs=5)
    rows = variants.train(name, cfg, data, lambda report: None)
    assert [row["updates"] for row in rows] == [0, 1] and rows[-1]["episodes"] == 100
    assert all(np.isfinite(row["real_return"]) for row in rows)


def test_the_command_line_keeps_what_is_finished(tmp_path, capsys, monkeypatch):
    train, made = variants.train, []
    monkeypatch.setattr(variants, "train", lambda *args: made.append(args[0]) or train(*args))
    line = ["preset", "truncation", "--preset", "smoke", "--random_seeds", "0", "--env", "pendulum"]
    line += ["--out", str(tmp_path / "out"), "--data_dir", str(tmp_path / "data")]
    for _ in range(2):
        assert variants.main(line) == 0
    assert made == ["preset", "truncation"]
    with open(tmp_path / "out" / "truncation_pendulum0.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["updates"] for row in rows] == ["0", "2", "4", "6", "8"]  # twice the preset's
    assert "truncation 0: -" in capsys.readouterr().out


@pytest.mark.parametrize(
    "line, text", [(["nothing", "--out", "x"], "nothing"), (["vines", "--env", "ant", "--out", "x"], "ant")]
)
def test_bad_words_are_refused(line, text, capsys):
    assert variants.main(line) == 2
    assert text in capsys.readouterr().err
