"""The real world: six tasks, their Gymnasium environments, data collection, evaluation and dataset files.

A task is data: sizes, reward, healthy box, reset noise.  The same reward function and the same box serve the
simulator here and the imagined world in bremen.py.  What "the original" does differently: examples/original.md.

Letters in shapes: B batch, N samples, T time, E episodes, S/A observation/action dimension; `...` any leading shape.
"""

import glob
import hashlib
import importlib
import json
import operator
import os
import shutil
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Batch(NamedTuple):
    """Transitions.  obs, next_obs (N, S), act (N, A) as applied (clipped), rew (N,), terminated, truncated (N,) bool.

    next_obs is stored, never derived from obs[i + 1]: behind the last row of an episode stands another episode.
    """

    obs: np.ndarray
    act: np.ndarray
    rew: np.ndarray
    next_obs: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray

    def episode_starts(self):
        """True where an episode begins.  -> (N,) bool"""
        ended = self.terminated | self.truncated
        return np.concatenate([[True], ended[:-1]])


def join(batches):
    """Several Batches, one behind the other.  -> Batch"""
    return Batch(*map(np.concatenate, zip(*batches)))


def episode_returns(batch):
    """Undiscounted return and length of every complete episode in a batch.  -> (E,) reward, (E,) steps"""
    ends = np.flatnonzero(batch.terminated | batch.truncated) + 1
    sums = np.concatenate([[0.0], np.cumsum(batch.rew, dtype=np.float64)[ends - 1]])
    return np.diff(sums), np.diff(np.concatenate([[0], ends]))


# --- the six tasks: rewards, healthy boxes, table -------------------------------------------------------------------
# Rewards and boxes are those of the original code (arXiv:2006.03647); the pendulum's are Gymnasium's.


def run_reward(obs, act, next_obs):
    """half_cheetah: forward velocity before the step [m/s] - 0.1 |a|^2.  (..., S), (..., A), (..., S) -> (...)"""
    return obs[..., 8] - 0.1 * np.sum(act * act, axis=-1)


def clipped_run_reward(obs, act, next_obs):
    """cheetah_run: forward velocity before the step as a share of 10 m/s, in [0, 1].  -> (...)"""
    return np.clip(obs[..., 8] / 10, 0, 1)


def ant_reward(obs, act, next_obs):
    """ant: forward velocity before the step [m/s], +1 per step, minus control and height costs.  -> (...)"""
    return obs[..., 13] - 0.1 * np.sum(act * act, axis=-1) + 1 - 3 * (obs[..., 0] - 0.57) ** 2


def upright_reward(obs, act, next_obs):
    """hopper, walker2d: forward velocity after the step [m/s] + 1 - 0.001 |a|^2.  -> (...)"""
    forward = next_obs[..., next_obs.shape[-1] // 2]  # entry 5 or 8, the first velocity behind the positions
    return forward + 1 - 1e-3 * np.sum(act * act, axis=-1)


def pendulum_reward(obs, act, next_obs):
    """pendulum: -(angle^2 + 0.1 speed^2 + 0.001 torque^2), before the step [rad, rad/s, N m]; upright: 0.  -> (...)"""
    angle = np.arctan2(obs[..., 1], obs[..., 0])
    return -(angle**2 + 0.1 * obs[..., 2] ** 2 + 1e-3 * np.sum(act * act, axis=-1))


@dataclass(frozen=True)
class Task:
    """One environment as data.  low, high (S,): the open healthy box; reset noise is [m, rad] and [m/s, rad/s]."""

    name: str
    env_id: str
    obs_dim: int
    act_dim: int
    reward: Callable  # (obs (..., S), act (..., A) as applied, next_obs (..., S)) -> rew (...)
    low: np.ndarray
    high: np.ndarray
    act_limit: float = 1.0  # actions lie in [-act_limit, act_limit]
    max_steps: int = 1000  # time limit of an episode [steps]
    xml: str | None = None  # one of Gymnasium's MuJoCo files, or an own one (with its whole path)
    physics: Callable | None = None  # without xml: physics(task) makes something with the methods of PendulumSim
    frame_skip: int = 1  # simulator steps per action
    dt: float = 0.05  # time between two observations [s]
    hidden: int = 1  # leading coordinates (position in the plane) that the observation leaves out
    uniform_reset: float | None = None  # half-width on positions and velocities; None: 0.1 uniform, 0.1 normal
    shown: tuple = ((0, "height [m]"), (1, "angle [rad]"), (8, "forward speed [m/s]"))  # coordinates worth a picture

    def healthy(self, obs):
        """True where every entry of obs (..., S) lies strictly inside the box; NaN and infinity never do.  -> (...)"""
        return np.all((self.low < obs) & (obs < self.high), axis=-1)

    def clip(self, act):
        """The action as applied, float32; data hold this one (the original's: as sampled).  (..., A) -> (..., A)"""
        return np.clip(np.asarray(act), -self.act_limit, self.act_limit).astype(np.float32, copy=False)

    def applied(self, act, *lead):
        """What robots do with actions (*lead, A): clip them, infinite ones too.  -> (*lead, A) float32

        Another shape raises ValueError, NaN FloatingPointError, before anything has moved (MuJoCo takes NaN for 0).
        """
        if np.shape(act) != (*lead, self.act_dim):
            raise ValueError(f"{self.name}: actions must have shape {(*lead, self.act_dim)}, not {np.shape(act)}")
        if np.isnan(act := self.clip(act)).any():
            raise FloatingPointError(f"{self.name}: an action is not a number (NaN)")
        return act

    def random_action(self, obs, rng):
        """Uniform random actions.  obs (B, S) -> (B, A)"""
        return rng.uniform(-self.act_limit, self.act_limit, (len(obs), self.act_dim))

    def sim(self, threads=1):
        """The physics of this task for many robots at once, on so many threads.  -> MujocoSim or the like"""
        return self.physics(self) if self.xml is None else MujocoSim(self, threads)

    def __deepcopy__(self, memo):
        return self  # nothing in it changes


def _box(obs_dim, bounds=()):
    """Healthy box from (first, last + 1, low, high) rows; all else is unbounded.  -> low, high (S,) float32"""
    low, high = np.full(obs_dim, -np.inf, np.float32), np.full(obs_dim, np.inf, np.float32)
    for first, last, lo, hi in bounds:
        low[first:last], high[first:last] = lo, hi
    return low, high


def _pendulum(task):
    return PendulumSim(task)  # which stands below; a lambda could not be pickled


_HOPPER = _box(11, [(0, 1, 0.7, np.inf), (1, 2, -0.2, 0.2), (2, 11, -100, 100)])
_WALKER = _box(17, [(0, 1, 0.8, 2.0), (1, 2, -1.0, 1.0)])
_CHEETAH = dict(xml="half_cheetah.xml", frame_skip=5, dt=0.05)
_LEGGED = dict(frame_skip=4, dt=0.008, uniform_reset=0.005)
_ANT = ((0, "height [m]"), (13, "forward speed [m/s]"), (14, "sideways speed [m/s]"))
_HOPS = ((0, "height [m]"), (1, "angle [rad]"), (5, "forward speed [m/s]"))
_SWINGS = ((0, "cos(angle)"), (1, "sin(angle)"), (2, "speed [rad/s]"))
TASKS = {
    task.name: task
    for task in (
        Task("ant", "bremen/Ant-v0", 27, 8, ant_reward, *_box(27), xml="ant.xml", frame_skip=5, hidden=2, shown=_ANT),
        Task("half_cheetah", "bremen/HalfCheetah-v0", 17, 6, run_reward, *_box(17), **_CHEETAH),
        Task("cheetah_run", "bremen/CheetahRun-v0", 17, 6, clipped_run_reward, *_box(17), **_CHEETAH),
        Task("hopper", "bremen/Hopper-v0", 11, 3, upright_reward, *_HOPPER, xml="hopper.xml", shown=_HOPS, **_LEGGED),
        Task("walker2d", "bremen/Walker2d-v0", 17, 6, upright_reward, *_WALKER, xml="walker2d.xml", **_LEGGED),
        Task("pendulum", "bremen/Pendulum-v0", 3, 1, pendulum_reward, *_box(3), act_limit=2.0, max_steps=200,
             physics=_pendulum, shown=_SWINGS),
    )
}  # fmt: skip


# --- physics: many robots at once -----------------------------------------------------------------------------------


class MujocoSim:
    """B robots of one task; a state is [qpos, qvel] (n,) float64 and decides everything that follows."""

    def __init__(self, task, threads=1):
        import mujoco

        self.task = task
        assets = Path(gym.__file__).parent / "envs" / "mujoco" / "assets"
        with warnings.catch_warnings():  # Gymnasium's half_cheetah.xml uses a deprecated attribute
            warnings.simplefilter("ignore")
            self.model = mujoco.MjSpec.from_file(str(assets / task.xml)).compile()
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # a state that blew up stays visible
        self.datas, self.pool = [mujoco.MjData(self.model) for _ in range(max(1, threads))], None

    def initial(self, rng):
        """A random initial state, drawn from `rng` (a numpy Generator).  -> (n,)"""
        nq, nv, width = self.model.nq, self.model.nv, self.task.uniform_reset
        qpos = self.model.qpos0 + rng.uniform(-(width or 0.1), width or 0.1, nq)
        qvel = rng.uniform(-width, width, nv) if width else 0.1 * rng.standard_normal(nv)
        return np.concatenate([qpos, qvel])

    def advance(self, state, act):
        """The states after holding act (B, A), clipped, for `frame_skip` simulator steps.  state (B, n) -> (B, n)"""
        if self.pool is None:
            import mujoco.rollout

            self.pool = mujoco.rollout.Rollout(nthread=len(self.datas) if len(self.datas) > 1 else 0)
        full = np.pad(state, ((0, 0), (1, 0)))  # MuJoCo's full physics state begins with the time
        control = np.repeat(np.asarray(act, np.float64)[:, None], self.task.frame_skip, axis=1)
        warmstart = np.zeros((len(state), self.model.nv))  # no hidden memory from one step to the next
        after, _ = self.pool.rollout(self.model, self.datas, full, control, initial_warmstart=warmstart)
        return after[:, -1, 1:]

    def observe(self, state):
        """Observations: all of [qpos, qvel] but the position in the plane.  (B, n) -> (B, S) float32"""
        with np.errstate(over="ignore"):  # a state that blew up becomes infinite, and unhealthy
            return state[:, self.task.hidden :].astype(np.float32)

    def __getstate__(self):
        return {**vars(self), "pool": None}  # threads cannot be copied: a copy starts its own


class PendulumSim:
    """B copies of Gymnasium's classic pendulum (g = 10, m = l = 1); a state is [angle, speed] (2,) float64.

    15 below is 3 g / (2 l) [1/s^2], 3 is 3 / (m l^2).
    """

    def __init__(self, task):
        self.task = task

    def initial(self, rng):
        """A random initial state, drawn from `rng` (a numpy Generator).  -> (2,)"""
        return rng.uniform([-np.pi, -1.0], [np.pi, 1.0])

    def advance(self, state, act):
        """Semi-implicit Euler step of `dt` under torque act (B, 1).  state (B, 2) -> (B, 2)"""
        angle, speed = state.T
        speed = np.clip(speed + (15.0 * np.sin(angle) + 3.0 * act[:, 0]) * self.task.dt, -8.0, 8.0)
        return np.stack([angle + speed * self.task.dt, speed], axis=1)

    def observe(self, state):
        """(B, 2) -> [cos angle, sin angle, speed] (B, 3) float32"""
        angle, speed = state.T
        return np.stack([np.cos(angle), np.sin(angle), speed], axis=1).astype(np.float32)


# --- Gymnasium environments -----------------------------------------------------------------------------------------


def _spaces(task):
    """Observation and action space of a single environment."""
    high = np.array([1, 1, 8] if task.name == "pendulum" else [np.inf] * task.obs_dim, np.float32)
    action = gym.spaces.Box(-task.act_limit, task.act_limit, (task.act_dim,), np.float32)
    return gym.spaces.Box(-high, high, dtype=np.float32), action


def _after_reset(x):
    """x, which is None before the first reset.  -> x"""
    if x is None:
        raise gym.error.ResetNeeded("call reset() before step() and render()")
    return x


class TaskEnv(gym.Env):
    """One robot behind Gymnasium's interface; MuJoCo is stepped directly, one mj_step after another.

    The time limit is added by `gymnasium.make` (TimeLimit).  Actions: `Task.applied`.  Render modes: "rgb_array" and
    "human" (which needs pygame for the pendulum); width and height are in pixels.  A copy, by copy.deepcopy or pickle,
    goes on as the original would, with a renderer of its own.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 20}

    def __init__(self, task, render_mode=None, width=480, height=480):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be rgb_array or human, not {render_mode!r}")
        self.task = TASKS[task] if isinstance(task, str) else task
        self.metadata = {**self.metadata, "render_fps": round(1 / self.task.dt)}
        self.observation_space, self.action_space = _spaces(self.task)
        self.render_mode, self.size, self.renderer = render_mode, (width, height), None
        self.sim, self.state = self.task.sim(), None
        self._np_random, self._np_random_seed = np_random()  # now, so that copies have it, too

    def reset(self, *, seed=None, options=None):
        """A new episode.  -> obs (S,), {}"""
        super().reset(seed=seed)
        self.state = self.sim.initial(self.np_random)
        self.obs = self.sim.observe(self.state[None])[0]
        if self.render_mode == "human":
            self.render()
        return self.obs.copy(), {}

    def step(self, action):
        """Apply the clipped action (A,).  -> obs (S,), reward, terminated, truncated (always False), {}"""
        act = self.task.applied(action)
        self.state = self._advance(_after_reset(self.state), act)
        obs = self.sim.observe(self.state[None])[0]
        rew = float(self.task.reward(self.obs, act, obs))
        self.obs = obs
        if self.render_mode == "human":
            self.render()
        return obs.copy(), rew, not self.task.healthy(obs), False, {}

    def _advance(self, state, act):
        if self.task.xml is None:
            return self.sim.advance(state[None], act[None])[0]
        import mujoco  # on purpose not sim.advance: each is a check of the other, and for one robot this is faster

        model, data = self.sim.model, self.sim.datas[0]
        data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
        data.ctrl[:] = act
        data.qacc_warmstart[:] = 0
        mujoco.mj_step(model, data, self.task.frame_skip)
        return np.concatenate([data.qpos, data.qvel])

    def render(self):
        """Draw the current state.  -> RGB array (height, width, 3); None without a render mode, or in a window"""
        if self.render_mode is None:
            return None
        state, sim = _after_reset(self.state), self.sim
        if self.task.xml is None and self.render_mode == "rgb_array":
            return draw_pendulum(state[0], *self.size)
        if self.renderer is None:
            self.renderer = self._make_renderer()
        if self.task.xml is None:
            self.renderer.state, self.renderer.last_u = state, None
            return self.renderer.render()
        import mujoco

        data = sim.datas[0]
        data.qpos[:], data.qvel[:] = state[: sim.model.nq], state[sim.model.nq :]
        mujoco.mj_forward(sim.model, data)
        if self.renderer.viewer is not None:
            self.renderer.viewer.make_context_current()  # that of another environment may be
        return self.renderer.render(self.render_mode)

    def _make_renderer(self):
        if self.task.xml is None:
            return gym.make("Pendulum-v1", render_mode=self.render_mode).unwrapped
        _choose_gl(self.render_mode)
        from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

        width, height = self.size
        floor = self.sim.model.geom("floor")
        floor.size[:2] = 0  # drawn without end: robots run off the 40 m of the file
        self.sim.model.mat_texuniform[floor.matid] = True  # squares of a size that shows how fast they run
        self.sim.model.mat_texrepeat[floor.matid] = 0.5
        screen = self.sim.model.vis.global_  # MuJoCo's own off-screen buffer is 640 x 480
        screen.offwidth, screen.offheight = max(width, screen.offwidth), max(height, screen.offheight)
        return MujocoRenderer(self.sim.model, self.sim.datas[0], width=width, height=height, camera_name="track")

    def close(self):
        """Free the window or the drawing context, and nothing of another environment's."""
        renderer, self.renderer = self.renderer, None
        viewer = getattr(renderer, "viewer", None)
        if viewer is not None:  # not its own close(), which would close all windows of this process
            viewer.make_context_current()
            viewer.con.free()
            viewer.free()
        elif renderer is not None:
            renderer.close()

    def __del__(self):
        with suppress(Exception):  # at the end of the program half of it may be gone
            self.close()

    def __getstate__(self):
        return {**vars(self), "renderer": None}


def _choose_gl(render_mode):
    """Let MuJoCo draw by a screen if one answers, else by EGL, unless MUJOCO_GL says what it shall be.

    Gymnasium reads MUJOCO_GL whenever a renderer opens, and without it takes a screen for granted: it is set here.
    RuntimeError, in one line, where nothing can draw.
    """
    wish, why = "glfw" if render_mode == "human" else os.environ.get("MUJOCO_GL"), []
    for backend in [wish] if wish else ["glfw", "egl"]:
        try:
            _try_gl(backend)
        except Exception as e:  # they fail in as many ways as there are drivers
            why.append(f"{backend}: {(str(e) or type(e).__name__).splitlines()[0]}")
        else:
            os.environ["MUJOCO_GL"] = os.environ.get("MUJOCO_GL") or backend
            return
    others = "" if render_mode == "human" else ", or EGL (libegl1 on Debian and Ubuntu), or another MUJOCO_GL"
    raise RuntimeError(f"MuJoCo cannot draw ({'; '.join(why)}): render mode {render_mode} needs a screen{others}")


def _try_gl(backend):
    """Open and close a drawing context of mujoco.glfw, mujoco.egl or mujoco.osmesa; any exception if it fails."""
    with warnings.catch_warnings():  # without a screen GLFW warns, and goes on
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"mujoco.{backend}")
        context = module.GLContext(64, 64)
        context.make_current()
        if backend == "glfw" and not module.glfw.get_current_context():
            raise RuntimeError("no window opens")
        context.free()


def draw_pendulum(angle, width, height):
    """A picture of the pendulum at `angle` [rad], 0 is upright, by matplotlib.  -> RGB array (height, width, 3)"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas, small = FigureCanvasAgg(Figure(figsize=(width / 100, height / 100), dpi=100)), min(width, height)
    x, y = 1.3 * width / small, 1.3 * height / small
    ax = canvas.figure.add_axes((0, 0, 1, 1), xlim=(-x, x), ylim=(-y, y))
    ax.axis("off")
    ax.plot([0, -np.sin(angle)], [0, np.cos(angle)], color="C3", lw=0.072 * small, solid_capstyle="round")
    ax.plot(0, 0, "o", color="0.2", ms=0.03 * small)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


class TaskVectorEnv(VectorEnv):
    """`num_envs` robots stepped together by mujoco.rollout on `threads` threads, same-step autoreset.

    Robot i is seeded with seed + i, as Gymnasium's SyncVectorEnv does.  When an episode ends, `obs` is already the
    new episode's first observation and infos["final_obs"] (B, S) holds the last one where infos["_final_obs"] (B,);
    infos["episode_returns"] (B,) are the returns of the episodes that ended, where infos["_episode_returns"] (B,).
    max_episode_steps: None is the task's own limit, -1 none.  Actions and copies: as those of TaskEnv.
    """

    autoreset_mode = AutoresetMode.SAME_STEP
    metadata = {"autoreset_mode": autoreset_mode, "render_modes": []}

    def __init__(self, task, num_envs=1, threads=1, max_episode_steps=None, render_mode=None):
        if render_mode is not None:
            raise ValueError("many robots at once are not drawn: render_mode must be None")
        self.task = TASKS[task] if isinstance(task, str) else task
        limit = self.task.max_steps if max_episode_steps is None else operator.index(max_episode_steps)
        if (limit < 1 and limit != -1) or num_envs < 1:
            raise ValueError(f"num_envs={num_envs}, max_episode_steps={limit}: at least 1; -1 steps for no limit")
        self.num_envs, self.max_steps = num_envs, np.inf if limit == -1 else limit
        self.single_observation_space, self.single_action_space = _spaces(self.task)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.sim, self.obs = self.task.sim(threads), None
        self._np_random, self._np_random_seed = zip(*(np_random() for _ in range(num_envs)))  # one per robot
        self.state = np.stack([self.sim.initial(np.random.default_rng(0))] * num_envs)
        self.elapsed, self.returns = np.zeros(num_envs, int), np.zeros(num_envs)

    def reset(self, *, seed=None, options=None):
        """New episodes, everywhere or where options["reset_mask"] (B,) is True.  -> obs (B, S), {}

        seed: an integer or one per robot; None leaves generators where they are.
        """
        B = self.num_envs
        mask = (options or {}).get("reset_mask", np.ones(B, bool))
        if not (isinstance(mask, np.ndarray) and mask.shape == (B,) and mask.dtype == bool and mask.any()):
            raise ValueError(f"reset_mask must be a bool array of shape ({B},) with a True in it, not {mask!r}")
        if not mask.all():
            _after_reset(self.obs)
        if np.ndim(seed) == 0:
            seed = [None if seed is None else operator.index(seed) + i for i in range(B)]
        if len(seed) != B:
            raise ValueError(f"{len(seed)} seeds for {B} robots")
        pairs = list(zip(self.np_random, self.np_random_seed))
        for i in np.flatnonzero(mask):
            pairs[i] = pairs[i] if seed[i] is None else np_random(operator.index(seed[i]))
        self._np_random, self._np_random_seed = zip(*pairs)
        self._begin(mask, self.obs)
        return self.obs.copy(), {}

    def _begin(self, which, obs):
        """New episodes where `which` (B,); the others go on from obs (B, S)."""
        for i in np.flatnonzero(which):
            self.state[i] = self.sim.initial(self.np_random[i])
        self.elapsed[which], self.returns[which] = 0, 0.0
        first = self.sim.observe(self.state)
        self.obs = first if which.all() else np.where(which[:, None], first, obs)

    def step(self, actions):
        """Apply clipped actions (B, A).  -> obs (B, S), rew (B,), terminated (B,), truncated (B,), infos"""
        act, obs = self.task.applied(actions, self.num_envs), _after_reset(self.obs)
        self.state = self.sim.advance(self.state, act)
        next_obs = self.sim.observe(self.state)
        rew = self.task.reward(obs, act, next_obs).astype(np.float64)
        self.elapsed += 1
        self.returns += rew
        terminated, truncated = ~self.task.healthy(next_obs), self.elapsed >= self.max_steps
        self.obs, infos = next_obs, {}
        done = terminated | truncated
        if done.any():
            returns = np.where(done, self.returns, 0.0)
            infos = {"final_obs": next_obs, "_final_obs": done, "episode_returns": returns, "_episode_returns": done}
            self._begin(done, next_obs)
        return self.obs.copy(), rew, terminated, truncated, infos


# Where this module is not imported yet, in a new process for example: gymnasium.make("envs:bremen/Hopper-v0").
for _task in TASKS.values():
    gym.register(
        _task.env_id,
        entry_point="envs:TaskEnv",
        vector_entry_point="envs:TaskVectorEnv",
        max_episode_steps=_task.max_steps,
        kwargs={"task": _task.name},
    )


# --- data from the simulator ----------------------------------------------------------------------------------------


NOISE = {"eps1": 0.1, "eps3": 0.3, "gaussian1": 0.1, "gaussian3": 0.3}


def behavior(task, sample, noise):
    """The data strategies of Wu, Tucker & Nachum (arXiv:1911.11361, section 5) around a policy's `sample`.

    pure, random: one way to act.  eps1, eps3: 40 % pure, 40 % with a uniform random action in a tenth (three tenths)
    of the steps, 20 % random; gaussian1, gaussian3: the same with normal noise of 0.1 (0.3) act_limit on each action.
    -> ((share of the transitions, act(obs (B, S), rng) -> (B, A)), ...)
    """
    if noise in ("pure", "random"):
        return ((1.0, sample if noise == "pure" else task.random_action),)

    def noisy(obs, rng):
        """The policy's samples with the noise of this strategy.  obs (B, S) -> (B, A)"""
        act = sample(obs, rng)
        if noise.startswith("eps"):
            return np.where(rng.random((len(obs), 1)) < NOISE[noise], task.random_action(obs, rng), act)
        return act + NOISE[noise] * task.act_limit * rng.standard_normal(act.shape)

    return (0.4, sample), (0.4, noisy), (0.2, task.random_action)


def collect(task, acts, n, rng, **options):
    """n transitions of whole episodes, all in memory; see `collect_parts`.  -> Batch of n rows"""
    return join(collect_parts(task, acts, n, rng, **options))


def collect_parts(task, acts, n, rng, num_envs=64, threads=1, report=lambda rows: None):
    """n transitions of whole episodes (the last one cut, marked truncated).  acts: as `behavior` returns them

    Each episode is acted in one way, and the next to begin takes the way that is furthest behind its share of the rows
    collected.  Whole episodes go to the file, of each way in the order in which they *started* (as they finish would
    prefer short ones), and from the way furthest behind its share of the file: any first part is like the whole.
    `report` is called with the number of rows so far.  Generator of Batches, n rows together: memory stays flat
    """
    env, shares = TaskVectorEnv(task, num_envs, threads), np.array([share for share, _ in acts])
    obs, _ = env.reset(seed=[int(s) for s in rng.integers(2**31, size=num_envs)])
    way, collected, placed = np.zeros(num_envs, int), np.zeros(len(acts)), np.zeros(len(acts))  # the last two in rows

    def furthest_behind(rows):
        """Which way lacks most of its share, with one row more to come.  rows (ways,) -> index of acts"""
        return int(np.argmax(shares * (rows.sum() + 1) - rows))

    for i in range(num_envs):
        way[i] = furthest_behind(np.bincount(way[:i], minlength=len(acts)))
    episode, age, columns, given, t = np.arange(num_envs), np.zeros(num_envs, int), [], 0, 0
    queues = [list(episode[way == k]) for k in range(len(acts))]  # episodes without a place in the file, oldest first
    lengths, place = {}, {}  # of those in queues that have ended; of those that have got one, counted from this part's
    while placed.sum() < n:
        action = np.empty((num_envs, task.act_dim), np.float32)
        for k, (_, act) in enumerate(acts):
            action[way == k] = task.applied(act(obs[way == k], rng), np.count_nonzero(way == k))
        new_obs, rew, terminated, truncated, infos = env.step(action)
        next_obs = infos.get("final_obs", new_obs)
        columns.append((episode.copy(), obs, action, rew.astype(np.float32), next_obs, terminated, truncated))
        age, t, obs = age + 1, t + 1, new_obs
        collected += np.bincount(way, minlength=len(acts))
        for i in np.flatnonzero(terminated | truncated):
            lengths[episode[i]], age[i] = age[i], 0
            way[i], episode[i] = furthest_behind(collected), episode.max() + 1
            queues[way[i]].append(episode[i])
        while (queue := queues[k := furthest_behind(placed)]) and queue[0] in lengths:  # the one that is due has ended
            placed[k] += lengths.pop(queue[0])
            place[queue.pop(0)] = len(place)
        report(int(min(collected.sum(), n)))
        if t % task.max_steps == 0 and placed.sum() < n:
            part, columns = in_order(columns, place)
            given, place = given + len(part.rew), {}
            yield part
    batch = Batch(*(column[: n - given] for column in in_order(columns, place)[0]))
    batch.truncated[-1] |= not batch.terminated[-1]
    yield batch


def in_order(columns, place):
    """`columns`, tuples of arrays with numbers of episodes first, in the order of `place` {episode: its place}.

    -> Batch of the episodes that have a place, columns of the others
    """
    ids, *arrays = (np.concatenate(column) for column in zip(*columns))
    places = np.array([place.get(i, np.inf) for i in ids])
    order = np.argsort(places, kind="stable")  # columns are in the order of time, so this sorts by (place, time)
    cut = np.count_nonzero(places < np.inf)
    return Batch(*(a[order[:cut]] for a in arrays)), [tuple(a[order[cut:]] for a in (ids, *arrays))]


def evaluate(task, act, episodes, rng, threads=1):
    """Run `episodes` episodes to their end.  act(obs (B, S), rng) -> (B, A);  -> returns (E,), lengths (E,) [steps]"""
    sim = task.sim(threads)
    state = np.stack([sim.initial(rng) for _ in range(episodes)])
    returns, lengths = np.zeros(episodes), np.zeros(episodes, int)
    alive, obs = np.arange(episodes), sim.observe(state)
    for _ in range(task.max_steps):
        action = task.applied(act(obs, rng), len(obs))
        state = sim.advance(state, action)
        next_obs = sim.observe(state)
        returns[alive] += task.reward(obs, action, next_obs)
        lengths[alive] += 1
        on = task.healthy(next_obs)
        alive, state, obs = alive[on], state[on], next_obs[on]
        if len(alive) == 0:
            break
    return returns, lengths


# --- files: whole or not at all, through full disks, signals and power cuts -----------------------------------------


def write_whole(path, write):
    """Write a file whole or not at all: write(f) into a temporary file, which then takes its name."""
    path = Path(path)
    remove_abandoned(path.parent, path.name)
    temporary = temporary_name(path)
    try:
        with open(temporary, "wb") as f:
            lock(f)
            write(f)
            f.flush()
            os.fsync(f.fileno())  # what is in it must be on the disk before its name is
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as e:  # which names the temporary file, or none
        raise OSError(e.errno, e.strerror or str(e), str(path)) from e
    finally:
        with suppress(OSError):
            temporary.unlink()


def temporary_name(path):
    """A name for `path` until all is in it, which no other process takes, on this machine or another.  -> Path"""
    return path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")


def remove_abandoned(folder, name):
    """Remove what killed processes left in `folder` of what they wrote as `name`: files, and directories of runs, that
    nobody has locked, and that nobody may be about to lock."""
    for left in folder.glob(f"{glob.escape(name)}.[0-9]*.tmp"):
        with suppress(OSError), open(left / "config.json" if left.is_dir() else left, "r+b") as f:
            old = time.time() - left.stat().st_mtime > 10  # seconds; the lock comes with the first byte of a file
            if (old or left.is_file() and f.read(1)) and lock(f):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def lock(file):
    """Lock an open file until it is closed or its process dies, however it dies.

    -> True, or False where the system has no locks; BlockingIOError where another process has locked it
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return fcntl is not None


def sync(folder):
    """Put the names in a folder on the disk, where the system can (Windows cannot)."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def make_folder(path):
    """A folder with all those above it, their names on the disk."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


# --- dataset files --------------------------------------------------------------------------------------------------


class DataError(ValueError):
    """A file that cannot be used; the message says in one line what is wrong with it."""


def write_npz(path, **arrays):
    """Write an .npz, whole or not at all.  No pickles, unlike the original."""
    if objects := [name for name, value in arrays.items() if np.asarray(value).dtype.hasobject]:
        raise ValueError(f"{path}: {', '.join(objects)} could only be stored as pickles")
    write_whole(path, lambda f: np.savez(f, **arrays))


def read_npz(path):
    """All arrays of an .npz; DataError if it is missing, damaged, not an .npz, or holds pickles.  -> dict

    Takes little more memory than the file has bytes: a file that claims to unpack to much more is refused.
    """
    path, arrays = Path(path), {}
    if not path.is_file():
        raise DataError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        with open(path, "rb") as f:
            if f.read(2) != b"PK" or not zipfile.is_zipfile(f):
                raise ValueError("not an .npz file, or a truncated one")
        with zipfile.ZipFile(path) as z, warnings.catch_warnings():
            warnings.simplefilter("error")
            content = sum(entry.file_size for entry in z.infolist())
            if content > path.stat().st_size + 100e6:
                raise ValueError(f"unpacks to {content / 1e6:,.0f} MB: store it without compression")
            for entry in z.infolist():
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError("unusual compression")
                with z.open(entry) as f:
                    array = np.lib.format.read_array(f, allow_pickle=False)
                    if f.read(1) or not entry.filename.endswith(".npy"):
                        raise ValueError(f"{entry.filename!r} is not an array")
                arrays[entry.filename.removesuffix(".npy")] = array
    except Exception as e:  # damaged bytes fail in as many ways as there are bytes
        raise DataError(f"{path}: cannot be read ({' '.join(str(e).split()) or type(e).__name__})") from e
    return arrays


def sha256(path):
    """The SHA-256 of a file.  -> 64 hexadecimal digits"""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save_dataset(path, batches, meta):
    """Write Batches, one behind the other, as one dataset file, whole or not at all; memory is that of one Batch.

    meta: where the data come from, a dict that JSON can hold; how many there are and what they return is added.
    -> the whole meta
    """
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=Path(path).parent)) for _ in Batch._fields]
        n, returns, rest = 0, [], None
        for batch in batches:
            columns = [np.asarray(x, bool if x.dtype == bool else np.float32) for x in batch]
            for f, x in zip(files, columns):
                f.write(x.tobytes())
            narrow = Batch(*(x if x.ndim == 1 else np.zeros((len(x), 0)) for x in columns))
            narrow = join([rest, narrow]) if rest else narrow
            more, lengths = episode_returns(narrow)
            n, rest = n + len(batch.rew), Batch(*(x[lengths.sum() :] for x in narrow))
            returns.extend(more)
        numbers = {k: float(getattr(np, k)(returns)) if returns else None for k in ("mean", "std", "min", "max")}
        meta = {**meta, "transitions": n, "episodes": len(returns), **{f"return_{k}": x for k, x in numbers.items()}}
        maps = (Column(f, x.dtype, (n, *x.shape[1:])) for f, x in zip(files, columns))
        write_npz(path, **dict(zip(Batch._fields, maps)), meta=json.dumps(meta))
        return meta


class Column(NamedTuple):
    """An array on the disk, which takes memory only while somebody looks at it."""

    file: object
    dtype: np.dtype
    shape: tuple

    def __array__(self, dtype=None, copy=None):
        return np.memmap(self.file, self.dtype, "r", shape=self.shape)


def load_dataset(path, task=None):
    """Read and check a dataset of `task`, or of the one that it names: names, shapes, types, finite numbers.

    -> Batch, meta (dict); or DataError
    """
    arrays = read_npz(path)
    if missing := {*Batch._fields, "meta"} - arrays.keys():
        raise DataError(f"{path}: not a dataset, it lacks {', '.join(sorted(missing))}")
    meta = read_meta(path, arrays)
    tasks = {task.name: task} if task else TASKS
    if meta.get("env") not in tuple(tasks):  # a tuple, because anything may stand in a file
        raise DataError(f"{path}: holds data of {meta.get('env')!r}, not of {', '.join(tasks)}")
    bar, task = meta.get("policy_return", [0, 0]), tasks[meta["env"]]
    if not isinstance(bar, list) or [type(x) in (int, float) and abs(x) < 1e38 for x in bar] != [True, True]:
        raise DataError(f"{path}: the policy_return in its meta is not a mean and a standard deviation")
    if not isinstance(meta.get("notes", []), list):
        raise DataError(f"{path}: the notes in its meta are no list")
    n, S, A = arrays["rew"].size, task.obs_dim, task.act_dim
    for name, shape in zip(Batch._fields, ((n, S), (n, A), (n,), (n, S), (n,), (n,))):
        x, kind = arrays[name], "bool" if name in ("terminated", "truncated") else "float"
        if x.shape != shape or not x.dtype.name.startswith(kind) or n == 0:
            raise DataError(f"{path}: {name} is {x.dtype} {x.shape}, not {kind} {shape}, n > 0")
        if kind == "float":
            with np.errstate(over="ignore"):
                arrays[name] = np.ascontiguousarray(x, np.float32)
            if not np.isfinite(arrays[name]).all():
                raise DataError(f"{path}: {name} holds NaN or infinity (as float32)")
    return Batch(*(arrays[name] for name in Batch._fields)), meta


def read_meta(path, arrays):
    """The JSON object in the `meta` string of an .npz.  -> dict; or DataError"""
    with suppress(KeyError, ValueError, RecursionError):
        if isinstance(meta := json.loads(str(arrays["meta"])), dict):
            return meta
    raise DataError(f"{path}: its meta is not JSON, or not a JSON object")


def goes_on(next_obs, obs):
    """Where what came next is the observation of the row behind, but for rounding.  (N, S), (N, S) -> (N,) bool"""
    same = np.all(next_obs == obs, axis=1)
    other = np.flatnonzero(~same)
    a, b = np.float64(next_obs[other]), np.float64(obs[other])
    with np.errstate(invalid="ignore"):  # infinity goes on to nothing
        same[other] = np.all(np.abs(a - b) <= 1e-5 * (1 + np.abs(b)), axis=1)
    return same


def with_ends(batch, task):
    """A Batch in which an episode is truncated, too, where no flag says so but the next row does not go on.

    -> Batch; what is unlike this project's own data in it: list of texts
    """
    notes, ended = [], batch.terminated | batch.truncated
    silent = np.append(~goes_on(batch.next_obs[:-1], batch.obs[1:]) & ~ended[:-1], False)
    if broken := np.count_nonzero(silent):
        text = "do not go on in the next one although no flag says so: returns and lengths are of the pieces between"
        notes.append(f"{broken:,} of {len(ended):,} rows {text}")
    batch = batch._replace(truncated=batch.truncated | silent)
    starts = np.append(np.flatnonzero(batch.episode_starts()), len(ended))
    if (longest := np.diff(starts).max()) > task.max_steps:
        notes.append(f"an episode of {longest:,} steps: here they end after {task.max_steps:,}, and return less")
    return batch, notes + notes_on_ends(other_ends(batch, task), len(ended))


def other_ends(batch, task):
    """Rows that end an episode, or do not, against the rule of the task, and those in which a robot that has fallen
    goes on.  -> (2,) numbers"""
    fallen = ~task.healthy(batch.next_obs)
    return np.array([np.count_nonzero(fallen != batch.terminated), np.count_nonzero(fallen & ~batch.terminated)])


def notes_on_ends(counts, rows):
    """What `other_ends` of so many rows means for a run.  -> list of texts"""
    note = f"episodes end by another rule than this project's in {counts[0]:,} of {rows:,} rows"
    if counts[1]:
        note += f"; {counts[1]:,} go on where the robot has fallen: imagined paths from there have one or two steps"
        note += " (--start initial takes none of them)"
    return [note] if counts[0] else []
