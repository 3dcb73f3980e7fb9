"""The real world: six tasks, their simulators, data collection and evaluation.

The paper's part ends at the ruled line.  A task is data: sizes, reward, healthy box, reset noise.  Its reward and its
box are used by the simulator here and by the imagined world in bremen.py.  What "the original" does differently:
examples/original.md.  Gymnasium's environments: examples/gym_envs.py.  Datasets are read by examples/read_files.py.

Letters in shapes: B batch, N samples, E episodes, S/A observation/action dimension, K strategies; `...` any leading
shape.
"""

import importlib.util
import itertools
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np


class Batch(NamedTuple):
    """Transitions.  obs, next_obs (N, S), act (N, A) as applied (clipped), rew (N,), terminated, truncated (N,) bool.

    next_obs is stored, not taken from obs[i + 1]: the row after an episode's last one belongs to another episode.
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
    """Several Batches, one after the other.  -> Batch"""
    return Batch(*map(np.concatenate, zip(*batches)))


def episode_returns(batch):
    """Undiscounted return and length of every complete episode in a batch.  -> (E,) reward, (E,) steps"""
    ends = np.flatnonzero(batch.terminated | batch.truncated) + 1  # the row after each episode
    totals = np.cumsum(batch.rew, dtype=np.float64)[ends - 1]  # of all rewards up to each end
    return np.diff(totals, prepend=0.0), np.diff(ends, prepend=0)  # differences are the episodes' own


# --- tasks: rewards, healthy boxes ----------------------------------------------------------------------------------
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


def hopper_reward(obs, act, next_obs):
    """hopper: forward velocity after the step [m/s] + 1 - 0.001 |a|^2.  -> (...)"""
    return next_obs[..., 5] + 1 - 1e-3 * np.sum(act * act, axis=-1)


def walker2d_reward(obs, act, next_obs):
    """walker2d: as the hopper's; its forward velocity is another entry.  -> (...)"""
    return next_obs[..., 8] + 1 - 1e-3 * np.sum(act * act, axis=-1)


def pendulum_reward(obs, act, next_obs):
    """pendulum: -(angle^2 + 0.1 speed^2 + 0.001 torque^2), before the step [rad, rad/s, N m]; upright: 0.  -> (...)"""
    angle = np.arctan2(obs[..., 1], obs[..., 0])
    return -(angle**2 + 0.1 * obs[..., 2] ** 2 + 1e-3 * np.sum(act * act, axis=-1))


@dataclass(frozen=True)
class Task:
    """One environment as data.  low, high (S,): the open healthy box."""

    name: str
    env_id: str
    obs_dim: int
    act_dim: int
    reward: Callable  # (obs (..., S), act (..., A) as applied, next_obs (..., S)) -> rew (...)
    low: np.ndarray
    high: np.ndarray
    act_limit: float = 1.0  # actions are in [-act_limit, act_limit]
    max_steps: int = 1000  # time limit of an episode [steps]
    xml: str | None = None  # one of Gymnasium's MuJoCo files, or another one (with its whole path)
    physics: Callable | None = None  # without xml: physics(task) makes something with the methods of PendulumSim
    frame_skip: int = 1  # simulator steps per action
    dt: float = 0.05  # time between two observations [s]; MuJoCo itself takes it from the xml
    hidden: int = 1  # how many entries of the state, the position in the plane, the observation leaves out
    free_joint: int | None = None  # where the velocity of a free joint begins in obs, whose quaternion is obs[1:5]
    uniform_reset: float | None = None  # reset noise of `MujocoSim.initial` [m, rad and m/s, rad/s]
    shown: tuple = ((0, "height [m]"), (1, "angle [rad]"), (8, "forward speed [m/s]"))  # what model.png shows of obs
    obs_limit: float | tuple = np.inf  # Gymnasium is told that observations are in [-obs_limit, obs_limit]

    def healthy(self, obs):
        """True where every entry of obs (..., S) lies strictly inside the box; NaN and infinity never do.  -> (...)"""
        return np.all((self.low < obs) & (obs < self.high), axis=-1)

    def clip(self, act):
        """The action as applied, float32, as datasets hold it (the original's: as sampled).  (..., A) -> (..., A)"""
        return np.clip(np.asarray(act), -self.act_limit, self.act_limit).astype(np.float32, copy=False)

    def applied(self, act, *lead):
        """`clip` after two checks: ValueError for another shape than (*lead, A), FloatingPointError for NaN.

        MuJoCo would take NaN for 0.  -> (*lead, A) float32
        """
        if np.shape(act) != (*lead, self.act_dim):
            raise ValueError(f"{self.name}: actions must have shape {(*lead, self.act_dim)}, not {np.shape(act)}")
        act = self.clip(act)
        if np.isnan(act).any():
            raise FloatingPointError(f"{self.name}: an action is not a number (NaN)")
        return act

    def random_action(self, obs, rng):
        """Uniform random actions.  obs (B, S) -> (B, A)"""
        return rng.uniform(-self.act_limit, self.act_limit, (len(obs), self.act_dim))

    def sim(self, threads=1):
        """The physics of this task for many robots at once, on `threads` threads.  -> MujocoSim or the like"""
        return self.physics(self) if self.xml is None else MujocoSim(self, threads)


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
        """A random initial state: the model's own with noise from `rng` (a numpy Generator).  -> (n,)

        Positions and velocities are uniform in +-uniform_reset; without it positions in +-0.1, velocities 0.1 normal.
        """
        nq, nv, width = self.model.nq, self.model.nv, self.task.uniform_reset
        if width is None:
            qpos, qvel = rng.uniform(-0.1, 0.1, nq), 0.1 * rng.standard_normal(nv)
        else:
            qpos, qvel = rng.uniform(-width, width, nq), rng.uniform(-width, width, nv)
        return np.concatenate([self.model.qpos0 + qpos, qvel])

    def advance(self, state, act):
        """The states after holding act (B, A), clipped, for `frame_skip` simulator steps.  state (B, n) -> (B, n)"""
        if self.pool is None:
            import mujoco.rollout

            threads = len(self.datas)
            self.pool = mujoco.rollout.Rollout(nthread=threads if threads > 1 else 0)  # 0: in this thread
        full = np.pad(state, ((0, 0), (1, 0)))  # MuJoCo's full physics state begins with the time
        control = np.repeat(np.asarray(act, np.float64)[:, None], self.task.frame_skip, axis=1)  # (B, frame_skip, A)
        warmstart = np.zeros((len(state), self.model.nv))  # no hidden memory from one step to the next
        after, _ = self.pool.rollout(self.model, self.datas, full, control, initial_warmstart=warmstart)
        return after[:, -1, 1:]  # after (B, frame_skip, 1 + n): the last simulator step, without its time

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


# --- the six tasks --------------------------------------------------------------------------------------------------


def _box(obs_dim, *bounds):
    """Healthy box from (first, last + 1, low, high) bounds; all else is unbounded.  -> low, high (S,) float32"""
    low, high = np.full(obs_dim, -np.inf, np.float32), np.full(obs_dim, np.inf, np.float32)
    for first, last, lowest, highest in bounds:
        low[first:last], high[first:last] = lowest, highest
    return low, high


_HOPPER = _box(11, (0, 1, 0.7, np.inf), (1, 2, -0.2, 0.2), (2, 11, -100, 100))
_WALKER = _box(17, (0, 1, 0.8, 2.0), (1, 2, -1.0, 1.0))
_CHEETAH = dict(xml="half_cheetah.xml", frame_skip=5, dt=0.05)
_LEGGED = dict(frame_skip=4, dt=0.008, uniform_reset=0.005)
_ANT = dict(free_joint=13, shown=((0, "height [m]"), (13, "forward speed [m/s]"), (14, "sideways speed [m/s]")))
_HOPS = ((0, "height [m]"), (1, "angle [rad]"), (5, "forward speed [m/s]"))
_SWINGS = ((0, "cos(angle)"), (1, "sin(angle)"), (2, "speed [rad/s]"))
TASKS = {
    task.name: task
    for task in (
        Task("ant", "bremen/Ant-v0", 27, 8, ant_reward, *_box(27), xml="ant.xml", frame_skip=5, hidden=2, **_ANT),
        Task("half_cheetah", "bremen/HalfCheetah-v0", 17, 6, run_reward, *_box(17), **_CHEETAH),
        Task("cheetah_run", "bremen/CheetahRun-v0", 17, 6, clipped_run_reward, *_box(17), **_CHEETAH),
        Task("hopper", "bremen/Hopper-v0", 11, 3, hopper_reward, *_HOPPER, xml="hopper.xml", shown=_HOPS, **_LEGGED),
        Task("walker2d", "bremen/Walker2d-v0", 17, 6, walker2d_reward, *_WALKER, xml="walker2d.xml", **_LEGGED),
        Task("pendulum", "bremen/Pendulum-v0", 3, 1, pendulum_reward, *_box(3), act_limit=2.0, max_steps=200,
             physics=PendulumSim, shown=_SWINGS, obs_limit=(1, 1, 8)),
    )
}  # fmt: skip


# --- data from the simulator ----------------------------------------------------------------------------------------


NOISE = {"eps1": 0.1, "eps3": 0.3, "gaussian1": 0.1, "gaussian3": 0.3}


def behavior(task, sample, noise):
    """How to act while collecting: -> ((share of the transitions, act(obs (B, S), rng) -> (B, A)), ...)

    The strategies of Wu, Tucker & Nachum (arXiv:1911.11361, section 5) around a policy's `sample`.  pure, random: one.
    The others are mixtures: 40 % pure, 20 % random, and 40 % `noisy`, which has for eps1 (eps3) a uniform random action
    in a tenth (three tenths) of the steps, for gaussian1 (gaussian3) normal noise of 0.1 (0.3) act_limit on actions.
    """
    if noise == "pure":
        return ((1.0, sample),)
    if noise == "random":
        return ((1.0, task.random_action),)

    def noisy(obs, rng):
        """The policy's samples with the noise of this mixture.  obs (B, S) -> (B, A)"""
        act = sample(obs, rng)
        if noise.startswith("eps"):
            return np.where(rng.random((len(obs), 1)) < NOISE[noise], task.random_action(obs, rng), act)
        return act + NOISE[noise] * task.act_limit * rng.standard_normal(act.shape)

    return (0.4, sample), (0.4, noisy), (0.2, task.random_action)


def collect(task, acts, n, rng, **options):
    """n transitions, all in memory; arguments as of `collect_parts`.  -> Batch of n rows"""
    return join(collect_parts(task, acts, n, rng, **options))


def collect_parts(task, acts, n, rng, num_envs=64, threads=1, report=lambda rows: None):
    """n transitions of whole episodes (the last one is cut); acts: as `behavior` returns them.  Generator of Batches

    `episodes` that have ended, put in order by `in_shares`, cut by `first_rows`: every first part of the rows has about
    the same mixture of strategies.  A Batch has what was given out within max_steps steps of the simulator, so memory
    does not grow with n.  `report` is called with the number of rows so far.
    """
    shares = np.array([share for share, _ in acts])
    ended = episodes(task, acts, rng, num_envs, threads, lambda rows: report(min(rows, n)))
    chosen = first_rows(in_shares(ended, shares), n)
    block = lambda step_and_batch: step_and_batch[0] // task.max_steps
    for _, together in itertools.groupby(chosen, block):
        yield join(batch for _, batch in together)


def lacking(rows, shares):
    """The strategy that lacks most rows of its share, if one row more is to come.  rows, shares (K,) -> index

    With rows [4, 3, 2] and shares [.4, .4, .2] the first strategy has its 4 of 10, the second lacks one: -> 1
    """
    return int(np.argmax(shares * (rows.sum() + 1) - rows))


def episodes(task, acts, rng, num_envs, threads, report):
    """Robots act without end, each episode in one strategy: in the one that lacks rows when the episode begins.

    Generator; when an episode ends: number of the step, strategy, number of the episode within the strategy, Batch
    """
    sim = task.sim(threads)
    rngs = [np.random.default_rng(seed) for seed in rng.integers(2**31, size=num_envs)]  # of each robot, for its resets
    shares = np.array([share for share, _ in acts])
    strategy_rows, strategy_begun = np.zeros((2, len(acts)), int)  # of each strategy: rows, episodes that have begun
    strategy, number, age = np.zeros((3, num_envs), int)  # of each robot's present episode
    so_far = _empty_episodes(task, num_envs)  # the rows of each robot's present episode

    def begin(robot, k):
        """Note that a robot begins an episode in strategy k, and draw its first state.  -> state (n,)"""
        strategy[robot], number[robot], age[robot] = k, strategy_begun[k], 0
        strategy_begun[k] += 1
        return sim.initial(rngs[robot])

    # there are no rows yet: at first the episodes that have begun are counted
    state = np.stack([begin(robot, lacking(strategy_begun, shares)) for robot in range(num_envs)])
    for step in itertools.count():
        obs = sim.observe(state)
        act = _act(task, acts, strategy, obs, rng)
        state = sim.advance(state, act)
        next_obs = sim.observe(state)
        terminated, truncated = ~task.healthy(next_obs), age + 1 == task.max_steps
        transition = obs, act, task.reward(obs, act, next_obs), next_obs, terminated, truncated
        for column, values in zip(so_far, transition):
            column[np.arange(num_envs), age] = values
        age += 1
        strategy_rows += np.bincount(strategy, minlength=len(acts))
        report(int(strategy_rows.sum()))
        for i in np.flatnonzero(terminated | truncated):
            episode = Batch(*(column[i, : age[i]].copy() for column in so_far))
            yield step, strategy[i], number[i], episode
            state[i] = begin(i, lacking(strategy_rows, shares))


def _act(task, acts, strategy, obs, rng):
    """Actions as applied, each robot's by its strategy.  strategy (B,), obs (B, S) -> (B, A) float32"""
    act = np.empty((len(obs), task.act_dim), np.float32)
    for k, (_, choose) in enumerate(acts):
        mine = strategy == k
        act[mine] = task.applied(choose(obs[mine], rng), np.count_nonzero(mine))
    return act


def _empty_episodes(task, num_envs):
    """Room for an episode of each robot.  -> Batch of arrays (num_envs, max_steps, ...)"""
    empty = lambda *shape, kind=np.float32: np.empty((num_envs, task.max_steps, *shape), kind)
    obs, next_obs, act = empty(task.obs_dim), empty(task.obs_dim), empty(task.act_dim)
    return Batch(obs, act, empty(), next_obs, terminated=empty(kind=bool), truncated=empty(kind=bool))


def in_shares(ended, shares):
    """Put episodes into an order in which each strategy has its share of the rows, at any point of the order.

    The next episode is always of the strategy that lacks rows; of each strategy they are given out as they began, and
    one that has not ended yet holds up all others.  (In the order of their ends short episodes would come first.)
    ended: as `episodes` yields them.  Generator of: number of the step at which it is given out, Batch
    """
    rows, next_number = np.zeros(len(shares)), np.zeros(len(shares), int)  # of each strategy: given out so far
    finished = {}  # episodes that wait for their turn, by (strategy, number)
    for step, strategy, number, episode in ended:
        finished[strategy, number] = episode
        due = lacking(rows, shares)
        while (due, next_number[due]) in finished:  # give out all that are due and finished
            batch = finished.pop((due, next_number[due]))
            rows[due] += len(batch.rew)
            next_number[due] += 1
            yield step, batch
            due = lacking(rows, shares)


def first_rows(episodes, n):
    """Generator of episodes, (step, Batch) each, until they have n rows; the last one is cut, and marked truncated."""
    for step, batch in episodes:
        batch = Batch(*(column[:n] for column in batch))
        n -= len(batch.rew)
        if n == 0 and not batch.terminated[-1]:
            batch.truncated[-1] = True  # the cut
        yield step, batch
        if n == 0:
            return


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
        healthy = task.healthy(next_obs)
        alive, state, obs = alive[healthy], state[healthy], next_obs[healthy]
        if len(alive) == 0:
            break
    return returns, lengths


# === pages, Gymnasium: a reader of the algorithm may stop here ================================================


_LOADING = threading.RLock()  # a page may load another one


def page(name):
    """Load examples/NAME.py, once.  Pages hold what a reader of the algorithm does not need.  -> module"""
    path = Path(__file__).resolve().parent / "examples" / f"{name}.py"
    with _LOADING:
        other = sys.modules.get(name)
        if other and Path(getattr(other, "__file__", None) or "").resolve() != path:  # a user's module has this name
            name = f"bremen's {name}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, path)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(sys.modules[name])
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]


# gymnasium.make("bremen/Hopper-v0"); in a process that has not imported this module yet, "envs:bremen/Hopper-v0".
for _task in TASKS.values():
    gym.register(
        _task.env_id,
        entry_point="envs:TaskEnv",
        vector_entry_point="envs:TaskVectorEnv",
        max_episode_steps=_task.max_steps,
        kwargs={"task": _task.name},
    )


def __getattr__(name):
    """What other pages have, which are loaded when it is asked for: envs.TaskEnv is that of examples/gym_envs.py."""
    for other, names in PAGES.items():
        if name in names:
            return getattr(page(other), name)
    raise AttributeError(f"module 'envs' has no attribute {name!r}")


PAGES = {"gym_envs": ("TaskEnv", "TaskVectorEnv"), "read_files": ("read_npz", "read_meta", "load_dataset")}


class DataError(ValueError):
    """A file that cannot be used; the message says in one line what is wrong with it."""
