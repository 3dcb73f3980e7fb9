"""The environments in the hands of other libraries: Gymnasium's own vector environment and wrappers are the oracle."""

import contextlib
import copy
import dataclasses
import functools
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import gymnasium as gym
import gymnasium.wrappers.vector as wrappers
import numpy as np
import pytest
import render
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from test_envs import headless_gl  # noqa: F401 (a fixture)

import envs
from envs import TASKS, TaskEnv, TaskVectorEnv

PENDULUM = TASKS["pendulum"]


def backwards(obs, act, next_obs):
    return -obs[..., 0]


OWN = dataclasses.replace(PENDULUM, name="own", physics=envs.PendulumSim, reward=backwards)


def ours(n=3, **options):
    """n hoppers at once, whose random actions make them fall at different times."""
    return gym.make_vec("bremen/Hopper-v0", num_envs=n, vectorization_mode="vector_entry_point", **options)


def theirs(n=3):
    return SyncVectorEnv([lambda: gym.make("bremen/Hopper-v0")] * n, autoreset_mode=AutoresetMode.SAME_STEP)


def hops(env, steps=80):
    """What reset and step return under the same random actions."""
    rng, shape = np.random.default_rng(0), (env.num_envs, 3)
    return [env.reset(seed=1), *(env.step(rng.uniform(-1, 1, shape).astype(np.float32)) for _ in range(steps))]


# --- what wrappers ask of the vector environment ----------------------------------------------------------------------


def test_gymnasium_counts_every_episode_right():
    """RecordEpisodeStatistics, as any library would use it, against sums by hand, over at least four episodes each."""
    totals, lengths, ended = np.zeros(3), np.zeros(3, int), np.zeros(3, int)
    for _, rew, terminated, truncated, infos in hops(wrappers.RecordEpisodeStatistics(ours()), 200)[1:]:
        totals, lengths, done = totals + rew, lengths + 1, terminated | truncated
        if done.any():
            np.testing.assert_array_equal(infos["episode"]["l"], np.where(done, lengths, 0))
            np.testing.assert_allclose(infos["episode"]["r"], np.where(done, totals, 0), rtol=1e-9)
            np.testing.assert_array_equal(infos["episode_returns"], np.where(done, totals, 0))
            np.testing.assert_array_equal(infos["_episode_returns"], done)
        totals[done], lengths[done], ended = 0, 0, ended + done
    assert ended.min() >= 4


def test_infos_become_one_dict_per_robot():
    """DictInfoToList: everything that SyncVectorEnv has there, and the return where an episode has ended."""
    mixed = 0
    for a, b in zip(hops(wrappers.DictInfoToList(ours())), hops(wrappers.DictInfoToList(theirs()))):
        ended = ["final_obs" in info for info in b[-1]]
        mixed += 0 < sum(ended) < 3
        assert ["final_obs" in info for info in a[-1]] == ["episode_returns" in info for info in a[-1]] == ended
        for mine, other in zip(a[-1], b[-1]):
            np.testing.assert_allclose(mine.get("final_obs", 0), other.get("final_obs", 0), rtol=1e-6, atol=1e-6)
    assert mixed > 3, "one robot falls while others stand"


halved = functools.partial(np.multiply, 0.5)
WRAPPED = {
    "ClipAction": wrappers.ClipAction,
    "ClipReward": functools.partial(wrappers.ClipReward, min_reward=-1, max_reward=1),
    "NormalizeReward": wrappers.NormalizeReward,
    "RescaleAction": functools.partial(wrappers.RescaleAction, min_action=-2, max_action=2),
    "TransformAction": functools.partial(wrappers.TransformAction, func=halved),
    "TransformReward": functools.partial(wrappers.TransformReward, func=halved),
    "three": lambda env: wrappers.RecordEpisodeStatistics(wrappers.NormalizeReward(wrappers.ClipAction(env))),
    "NormalizeObservation": wrappers.NormalizeObservation,  # some releases refuse same-step autoreset
    "TransformObservation": functools.partial(wrappers.TransformObservation, func=halved),
    "HumanRendering": wrappers.HumanRendering,  # and this one needs pictures
    "RecordVideo": functools.partial(wrappers.RecordVideo, video_folder=os.devnull),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_vector_wrappers_do_what_they_do_around_gymnasiums_own(name):
    def outcome(env):
        try:
            return [step[:-1] for step in hops(WRAPPED[name](env), 40)]
        except ValueError as e:
            return str(e)

    a, b = outcome(ours()), outcome(theirs())
    if isinstance(a, str) or isinstance(b, str):
        assert a == b
    else:
        for x, y in zip((x for step in a for x in step), (y for step in b for y in step), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


def test_vector_env_says_of_itself_what_gymnasiums_own_does():
    a, b = ours(), theirs()
    a.reset(seed=[4, 5, 9]), b.reset(seed=[4, 5, 9])
    for name in "num_envs autoreset_mode render_mode closed np_random_seed single_action_space action_space".split():
        assert getattr(a, name) == getattr(b, name), name
    assert [r.bit_generator.state for r in a.np_random] == [r.bit_generator.state for r in b.np_random]
    assert a.spec.id == "bremen/Hopper-v0" and a.metadata["autoreset_mode"] == a.autoreset_mode
    a.close()
    assert a.closed


# --- limits and resets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit, ends", [(-1, []), (np.int64(-1), []), (None, [200, 400]), (np.int32(150), [150, 300])])
def test_time_limits(limit, ends):
    """-1 is no limit, as for gymnasium.make; None is the task's own."""
    env = gym.make_vec("bremen/Pendulum-v0", num_envs=1, max_episode_steps=limit)
    env.reset(seed=0)
    truncated = [env.step(np.zeros((1, 1)))[3].item() for _ in range(420)]
    assert [i + 1 for i, over in enumerate(truncated) if over] == ends


@pytest.mark.parametrize("limit, n", [(0, 2), (-5, 2), (2.5, 2), ("7", 2), (None, 0), (5, -1)])
def test_limits_and_numbers_that_make_no_sense_are_refused(limit, n):
    with pytest.raises((ValueError, TypeError), match="at least 1|interpreted as an integer"):
        TaskVectorEnv("pendulum", n, max_episode_steps=limit)


SEEDS = [7, [7, 8, 9], [7, None, 9], [None, None, None], None]
ALIKE = [(np.int64(7), 7), ((7, 8, 9), 7), (np.array([7, 8, 9]), 7), (np.array(7), 7), (range(7, 10), 7)]


@pytest.mark.parametrize("seed", SEEDS, ids=str)
@pytest.mark.parametrize("mask", [None, [True, False, True], [False, True, False]], ids=str)
def test_reset_is_that_of_gymnasiums_own(seed, mask):
    """With one seed, several or none; everywhere, or where the mask says so; then a few steps to see the rest."""
    a, b = ours(), theirs()
    options = lambda: None if mask is None else {"reset_mask": np.array(mask)}  # SyncVectorEnv empties the dict
    for env in a, b:
        env.reset(seed=3)
        for _ in range(15):
            env.step(np.ones((3, 3), np.float32))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6)
    close(a.reset(seed=seed, options=options())[0], b.reset(seed=seed, options=options())[0])
    for _ in range(60):
        for x, y in zip(a.step(np.ones((3, 3), np.float32))[:4], b.step(np.ones((3, 3), np.float32))[:4]):
            close(x, y)


@pytest.mark.parametrize("seed, number", ALIKE, ids=str)
def test_seeds_may_be_any_integers(seed, number):
    np.testing.assert_array_equal(ours().reset(seed=seed)[0], ours().reset(seed=number)[0])


BAD_RESETS = {
    "two seeds": dict(seed=[1, 2]),
    "four seeds": dict(seed=[1, 2, 3, 4]),
    "no seeds": dict(seed=[]),
    "negative": dict(seed=-1),
    "one negative": dict(seed=[5, 6, -1]),
    "a float": dict(seed=[5, 6, 1.5]),
    "a list as mask": dict(options={"reset_mask": [True, False, True]}),
    "numbers as mask": dict(options={"reset_mask": np.array([1, 0, 1])}),
    "a short mask": dict(options={"reset_mask": np.array([True, False])}),
    "a mask for nobody": dict(options={"reset_mask": np.zeros(3, bool)}),
}


@pytest.mark.parametrize("bad", BAD_RESETS.values(), ids=BAD_RESETS)
def test_a_reset_that_is_refused_has_changed_nothing(bad):
    env, twin = ours(), ours()
    env.reset(seed=0), twin.reset(seed=0)
    with pytest.raises((ValueError, TypeError, gym.error.Error)):
        env.reset(**bad)
    for x, y in zip(hops_on(env), hops_on(twin)):
        np.testing.assert_array_equal(x, y)


def hops_on(env):
    """Observation and reward of a step, and the next reset."""
    return *env.step(np.ones((3, 3)))[:2], env.reset()[0]


def test_statistics_of_robots_that_are_not_reset_go_on():
    env = wrappers.RecordEpisodeStatistics(TaskVectorEnv("pendulum", 2, max_episode_steps=6))
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.zeros((2, 1)))
    env.reset(options={"reset_mask": np.array([True, False])})
    lengths = [env.step(np.zeros((2, 1)))[4].get("episode", {"l": None})["l"] for _ in range(6)]
    assert lengths[1].tolist() == [0, 6] and lengths[5].tolist() == [6, 0]


# --- actions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hopper", "cheetah_run", "pendulum"])  # cheetah_run's reward does not see the action
def test_an_action_that_is_none_is_refused_by_one_and_many_alike(name):
    """NaN, and another shape: before anything has moved, by collection and evaluation too."""
    task = TASKS[name]
    nan = np.eye(1, task.act_dim)[0] * np.nan
    wrong = {FloatingPointError: [nan], ValueError: [np.zeros(task.act_dim + 1), np.zeros((1, task.act_dim)), 0.0]}
    for error, act in ((error, act) for error, acts in wrong.items() for act in acts):
        for env, bad in (TaskEnv(name), act), (TaskVectorEnv(name, 2), np.stack([0 * act, act])):
            twin, good = copy.deepcopy(env), np.zeros(env.action_space.shape)
            env.reset(seed=0), twin.reset(seed=0)
            with pytest.raises(error):
                env.step(bad)
            np.testing.assert_array_equal(env.step(good)[0], twin.step(good)[0])
        policy = lambda obs, rng, act=act: np.stack([act] * len(obs))
        with pytest.raises(error):
            envs.collect(task, ((1.0, policy),), 10, np.random.default_rng(0), num_envs=2)
        with pytest.raises(error):
            envs.evaluate(task, policy, 2, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["hopper", "pendulum"])
@pytest.mark.parametrize("huge", [np.inf, -np.inf, 1e300])
def test_an_infinite_action_is_the_largest(name, huge):
    for env in TaskEnv(name), TaskVectorEnv(name, 2):
        results = []
        for value in huge, np.sign(huge) * TASKS[name].act_limit:
            env.reset(seed=0)
            results.append(env.step(np.full(env.action_space.shape, value))[:2])
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_array_equal(results[0][1], results[1][1])


def test_before_the_first_reset_there_is_nothing_to_step_or_draw():
    for env in TaskEnv("pendulum", render_mode="rgb_array"), TaskVectorEnv("pendulum", 2):
        with pytest.raises(gym.error.ResetNeeded):
            env.step(np.zeros(env.action_space.shape))
    with pytest.raises(gym.error.ResetNeeded):
        TaskEnv("pendulum", render_mode="rgb_array").render()
    with pytest.raises(gym.error.ResetNeeded):
        TaskVectorEnv("pendulum", 2).reset(options={"reset_mask": np.array([True, False])})


# --- copies -----------------------------------------------------------------------------------------------------------

COPIED = {
    "hopper": lambda: TaskEnv("hopper"),
    "ant, made": lambda: gym.make("bremen/Ant-v0", max_episode_steps=13),
    "pendulum, drawn": lambda: gym.make("bremen/Pendulum-v0", render_mode="rgb_array"),
    "own": lambda: gym.make("bremen/Pendulum-v0", task=OWN, max_episode_steps=13),
    "walkers": lambda: TaskVectorEnv("walker2d", 3, threads=2),
    "hoppers, made and counted": lambda: wrappers.RecordEpisodeStatistics(ours(max_episode_steps=13)),
    "own ones": lambda: TaskVectorEnv(OWN, 2, max_episode_steps=13),
}
WAYS = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


def future(env, steps=40):
    """All bytes of the next steps, of resets where a single environment ends, and of a sample of its actions."""
    rng, out = np.random.default_rng(5), [env.action_space.sample()]
    for _ in range(steps):
        *numbers, infos = env.step(rng.uniform(-1, 1, env.action_space.shape))
        out += numbers + [infos[k] for k in sorted(infos) if isinstance(infos[k], np.ndarray)]
        out += [infos[k]["r"] for k in infos if k == "episode"]
        if np.ndim(numbers[2]) == 0 and (numbers[2] or numbers[3]):
            out.append(env.reset()[0])
    return [np.asarray(x).tobytes() for x in out]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", COPIED.values(), ids=COPIED)
def test_a_copy_goes_on_as_its_original(make, way):
    """Before the first reset, in the middle of an episode, and the original is left as it was by what its copy does."""
    env = make()
    env.action_space.seed(2)
    early = way(env)
    np.testing.assert_array_equal(env.reset()[0], early.reset()[0])
    env.reset(seed=1), early.reset(seed=1)
    assert future(early) == future(env)
    late, twin = way(env), way(env)
    assert future(late) == future(env) == future(twin)
    env.reset(), late.reset()
    assert future(late) == future(env), "generators have gone on alike"


def test_tasks_and_physics_are_copied_too():
    for task in (*TASKS.values(), OWN):
        for way in WAYS.values():
            twin, sim = way(task), way(task.sim())
            state = np.stack([sim.initial(np.random.default_rng(0))] * 2)
            act = np.full((2, task.act_dim), 0.5)
            np.testing.assert_array_equal(sim.advance(state, act), twin.sim().advance(state, act))
            obs = sim.observe(state)
            np.testing.assert_array_equal(twin.reward(obs, act, obs), task.reward(obs, act, obs))
            assert (twin.name, twin.env_id, twin.max_steps) == (task.name, task.env_id, task.max_steps)


def test_a_changed_robot_stays_changed_in_its_copy():
    env = TaskEnv("hopper")
    env.reset(seed=0)
    env.action_space.seed(0)
    env.sim.model.opt.gravity[2] = -1.6  # on the moon
    copies = [way(env) for way in WAYS.values()]
    plain = TaskEnv("hopper")
    plain.reset(seed=0), plain.action_space.seed(0)
    assert future(copies[0]) == future(copies[1]) == future(env) != future(plain)


def test_environments_in_processes_that_know_nothing():
    """Spawned: the module is named before the id, or comes with a pickled environment; own tasks come along."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(gym.error.NamespaceNotFound):
            pool.submit(gym.make, "bremen/Hopper-v0").result()
        made = pool.submit(gym.make, "envs:bremen/Hopper-v0").result()
        assert made.reset(seed=3)[0].tolist() == gym.make("bremen/Hopper-v0").reset(seed=3)[0].tolist()
        for env in made, gym.make("bremen/Pendulum-v0", task=OWN), TaskVectorEnv("ant", 2, threads=2):
            env.reset(seed=3)
            act = np.full(env.action_space.shape, 0.5)
            there, here = pool.submit(env.step, act).result(), env.step(act)
            assert [np.asarray(x).tobytes() for x in there[:4]] == [np.asarray(x).tobytes() for x in here[:4]]


def test_copies_draw_with_renderers_of_their_own(headless_gl):  # noqa: F811
    """Each sees its own robot, whoever draws in between, and whoever is closed or dropped."""
    hopper = gym.make("bremen/Hopper-v0", render_mode="rgb_array", width=96, height=64)
    ant = TaskEnv("ant", render_mode="rgb_array", width=96, height=64)
    hopper.reset(seed=0), ant.reset(seed=0)
    picture, other = hopper.render(), ant.render()
    for way in WAYS.values():
        twin = way(hopper)
        np.testing.assert_array_equal(twin.render(), picture)
        np.testing.assert_array_equal(ant.render(), other)
        np.testing.assert_array_equal(hopper.render(), picture)
        twin.close()
        np.testing.assert_array_equal(hopper.render(), picture)
        dropped = way(hopper)
        dropped.render(), hopper.render()
        del dropped
        gc.collect()
        np.testing.assert_array_equal(hopper.render(), picture)
    hopper.close()
    np.testing.assert_array_equal(ant.render(), other)
    np.testing.assert_array_equal(hopper.render(), picture), "and opens again"


# --- drawing with and without a screen --------------------------------------------------------------------------------

DRAW = """
import os, {first}envs
env = envs.TaskEnv("hopper", render_mode="{mode}", width=96, height=64)
try:
    env.reset(seed=0)
    print(env.render().std() > 5, os.environ["MUJOCO_GL"])
except RuntimeError as e:
    print(e)
env.close()
"""


def drawn(mode="rgb_array", first="", **variables):
    """What another process without a screen says of its first picture."""
    plain = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")}
    code = [sys.executable, "-W", "error", "-c", DRAW.format(mode=mode, first=first)]
    environment = plain | {"PYTHONPATH": os.path.dirname(envs.__file__)} | variables
    done = subprocess.run(code, env=environment, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "display", [{}, {"DISPLAY": ":77"}, {"MUJOCO_GL": ""}], ids=["none", "stale", "empty MUJOCO_GL"]
)
def test_pictures_need_no_screen(display, headless_gl):  # noqa: F811
    """Also where mujoco was imported before, and has settled for a screen."""
    if headless_gl != "egl":
        pytest.skip("no EGL on this machine")
    assert drawn(first="mujoco, ", **display) == "True egl\n"


def test_a_picture_that_cannot_be_drawn_is_one_clear_line():
    """EGL cannot work where PYOPENGL_PLATFORM is another; a window needs a screen (GLFW would end the process)."""
    text = drawn(PYOPENGL_PLATFORM="glx")
    assert text.count("\n") == 1 and "EGL" in text and "needs a screen" in text
    assert drawn(mode="human", MUJOCO_GL="egl").endswith("render mode human needs a screen\n")


CHOICES = [  # MUJOCO_GL of the user, render mode, what works here: MUJOCO_GL afterwards, what was tried
    (None, "rgb_array", "glfw egl", "glfw", "glfw"),
    (None, "rgb_array", "egl", "egl", "glfw egl"),
    ("", "rgb_array", "egl", "egl", "glfw egl"),
    ("osmesa", "rgb_array", "glfw egl osmesa", "osmesa", "osmesa"),
    ("egl", "rgb_array", "glfw", "egl", "egl"),
    ("egl", "human", "glfw egl", "egl", "glfw"),
    ("osmesa", "human", "egl osmesa", "osmesa", "glfw"),
    (None, "rgb_array", "", None, "glfw egl"),
]


@pytest.mark.parametrize("own, mode, working, after, tried", CHOICES)
def test_what_draws(own, mode, working, after, tried, monkeypatch):
    """A choice of the user's own stands; without one, a screen goes before EGL."""
    notes = []

    def try_gl(backend):
        notes.append(backend)
        if backend not in working.split():
            raise ImportError("two\nlines")

    monkeypatch.setattr(render, "try_gl", try_gl)
    monkeypatch.setenv("MUJOCO_GL", own or "")  # first of all, so that what choose_gl writes is undone in any case
    if own is None:
        monkeypatch.delenv("MUJOCO_GL")
    works = not set(tried.split()).isdisjoint(working.split())
    with contextlib.nullcontext() if works else pytest.raises(RuntimeError, match="^[^\n]*two[^\n]*$"):
        render.choose_gl(mode)
    assert (os.environ.get("MUJOCO_GL"), notes) == (after, tried.split())
