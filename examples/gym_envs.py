"""The six tasks as Gymnasium environments: one robot (TaskEnv), or many at once (TaskVectorEnv).

    env = gymnasium.make("bremen/Hopper-v0", render_mode="rgb_array")           # after import envs
    envs = gymnasium.make_vec("bremen/Hopper-v0", num_envs=8, vectorization_mode="vector_entry_point")

envs.TaskEnv and envs.TaskVectorEnv are these classes.  BREMEN itself does not use them: `envs.collect` and
`envs.evaluate` step the simulators.  Letters in shapes: B robots, S/A observation/action dimension.
"""

import operator
from contextlib import suppress

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv

from envs import TASKS, page


def _spaces(task):
    """Observation and action space of a single environment."""
    high = np.full(task.obs_dim, task.obs_limit, np.float32)
    action = gym.spaces.Box(-task.act_limit, task.act_limit, (task.act_dim,), np.float32)
    return gym.spaces.Box(-high, high, dtype=np.float32), action


def _after_reset(x):
    """x, which is None before the first reset.  -> x"""
    if x is None:
        raise gym.error.ResetNeeded("call reset() before step() and render()")
    return x


class TaskVectorEnv(VectorEnv):
    """`num_envs` robots stepped together by mujoco.rollout on `threads` threads, same-step autoreset.

    Robot i is seeded with seed + i, as Gymnasium's SyncVectorEnv does.  When an episode ends, `obs` is already the
    new episode's first observation and infos["final_obs"] (B, S) holds the last one where infos["_final_obs"] (B,);
    infos["episode_returns"] (B,) are the returns of the episodes that ended, where infos["_episode_returns"] (B,).
    max_episode_steps: None is the task's own limit, -1 none.  Actions and copies: as those of TaskEnv.
    """

    __module__ = "envs"  # as which it is pickled: other processes find it there
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
            if seed[i] is not None:
                pairs[i] = np_random(operator.index(seed[i]))
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


class TaskEnv(gym.Env):
    """One robot with Gymnasium's interface; MuJoCo is stepped directly, by mj_step.

    The time limit is added by `gymnasium.make` (TimeLimit).  Actions: `Task.applied`.  Render modes: "rgb_array" and
    "human" (which needs pygame for the pendulum); width and height are in pixels.  A copy, by copy.deepcopy or pickle,
    goes on as the original would, with a renderer of its own.
    """

    __module__ = "envs"
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
        return self._arrive(self.sim.initial(self.np_random)), {}

    def step(self, action):
        """Apply the clipped action (A,).  -> obs (S,), reward, terminated, truncated (always False), {}"""
        act, state = self.task.applied(action), _after_reset(self.state)
        before = self.obs
        obs = self._arrive(self._advance(state, act))
        rew = float(self.task.reward(before, act, obs))
        return obs, rew, not self.task.healthy(obs), False, {}

    def _arrive(self, state):
        """Take this state, and show it in a window.  -> obs (S,), a copy for the caller"""
        self.state, self.obs = state, self.sim.observe(state[None])[0]
        if self.render_mode == "human":
            self.render()
        return self.obs.copy()

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
        return None if self.render_mode is None else page("render").draw(self, _after_reset(self.state))

    def close(self):
        """Free the window or the drawing context, and nothing of another environment's."""
        renderer, self.renderer = self.renderer, None
        if renderer is not None:
            page("render").close(renderer)

    def __del__(self):
        with suppress(Exception):  # at the end of the program half of it may be gone
            self.close()

    def __getstate__(self):
        return {**vars(self), "renderer": None}
