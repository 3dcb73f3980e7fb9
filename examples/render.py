"""Pictures of a robot in a Gymnasium environment: MuJoCo's by OpenGL, the pendulum's by matplotlib.

envs.TaskEnv loads this page for its first picture.  examples/film.py makes videos.
"""

import importlib
import os
import warnings

import gymnasium as gym
import numpy as np


def draw(env, state):
    """Draw a TaskEnv in this state (n,).  -> RGB array (height, width, 3), or None where it is drawn in a window"""
    if env.task.xml is None and env.render_mode == "rgb_array":
        return draw_pendulum(state[0], *env.size)
    if env.renderer is None:
        env.renderer = make_renderer(env)
    if env.task.xml is None:
        env.renderer.state, env.renderer.last_u = state, None
        return env.renderer.render()
    import mujoco

    model, data = env.sim.model, env.sim.datas[0]
    data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
    mujoco.mj_forward(model, data)
    if env.renderer.viewer is not None:
        env.renderer.viewer.make_context_current()  # the context of another environment may be the current one
    return env.renderer.render(env.render_mode)


def make_renderer(env):
    """What draws a TaskEnv.  -> Gymnasium's MujocoRenderer, or its own pendulum for a window"""
    if env.task.xml is None:
        return gym.make("Pendulum-v1", render_mode=env.render_mode).unwrapped
    choose_gl(env.render_mode)
    from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

    model, (width, height) = env.sim.model, env.size
    floor = model.geom("floor")
    floor.size[:2] = 0  # drawn without end: robots run beyond the 40 m of the file
    model.mat_texuniform[floor.matid] = True  # squares of a fixed size show how fast the robot runs
    model.mat_texrepeat[floor.matid] = 0.5
    screen = model.vis.global_  # MuJoCo's own off-screen buffer is 640 x 480
    screen.offwidth, screen.offheight = max(width, screen.offwidth), max(height, screen.offheight)
    return MujocoRenderer(model, env.sim.datas[0], width=width, height=height, camera_name="track")


def close(renderer):
    """Free the window or the drawing context of a renderer, and nothing of another environment's."""
    viewer = getattr(renderer, "viewer", None)
    if viewer is None:
        renderer.close()
    else:  # its own close() would close all windows of this process
        viewer.make_context_current()
        viewer.con.free()
        viewer.free()


def choose_gl(render_mode):
    """Let MuJoCo draw by a screen if there is one, else by EGL, unless the user has set MUJOCO_GL.

    Gymnasium reads MUJOCO_GL whenever a renderer opens, and expects a screen if it is not set: it is set here.
    RuntimeError, in one line, where nothing can draw.
    """
    wish, why = "glfw" if render_mode == "human" else os.environ.get("MUJOCO_GL"), []
    for backend in [wish] if wish else ["glfw", "egl"]:
        try:
            try_gl(backend)
        except Exception as e:  # each driver fails in its own way
            why.append(f"{backend}: {(str(e) or type(e).__name__).splitlines()[0]}")
        else:
            os.environ["MUJOCO_GL"] = os.environ.get("MUJOCO_GL") or backend
            return
    others = "" if render_mode == "human" else ", or EGL (libegl1 on Debian and Ubuntu), or another MUJOCO_GL"
    raise RuntimeError(f"MuJoCo cannot draw ({'; '.join(why)}): render mode {render_mode} needs a screen{others}")


def try_gl(backend):
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
