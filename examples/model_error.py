"""How far imagined trajectories are from real ones: `--eval_model` of a run, or this program with a finished run.

python run.py --env hopper --eval_model       # after each iteration: columns of progress.csv, and model.png
python examples/model_error.py RUN            # the last policy of the run directory RUN; model.png goes there

The policy acts in the simulator.  From the same first states and with the same noise on its actions it also acts in
each member of the ensemble.  examples/run_directory.md says what the columns mean.  "The original" is the authors'
program: examples/original.md.

Letters in shapes: T time, B trajectories side by side, K members, S observation dimension.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

import bremen
import envs
import nets
import run

# --- the numbers ----------------------------------------------------------------------------------------------------


def compare_paths(s, cfg, rng, n_paths=20):
    """The policy's real trajectories beside imagined ones from the same first states with the same action noise.

    s: a bremen.State with a policy and its models.  Trajectories go on for `horizon` steps (an episode at most), and
    stand still once their episode has ended.  Distances are root mean squares of normalised trajectories over time and
    coordinates [std]; this is also the distance in `energy_distance` (the original: the mean over time of roots).
    one_step_error_0, ... are root mean squares of one coordinate each [its unit], over all time.
    -> numbers, {"real": (T, B, S) and "imagined": (K, T, B, S) as observed, "error": (T,) distance after each step}
    """
    paths = real_paths(s, cfg, rng, n_paths)
    K, T = len(s.dynamics.phi), len(paths.rew)
    real = freeze_at_end(paths.next_obs, paths.terminated | paths.truncated)  # (time, path, coordinate)
    imagined = np.stack([imagined_paths(s, cfg, paths, k) for k in range(K)])  # (member, time, path, coordinate)
    distances = (s.norm(imagined) - s.norm(real)) ** 2  # (member, time, path, coordinate): `real` for each member
    error = np.sqrt(np.mean(distances, axis=(0, 2, 3), dtype=np.float64))  # (time,)

    members = rng.integers(K, size=n_paths)  # (path,): a member for each path
    drawn = [imagined[members[b], :, b] for b in range(n_paths)]  # a list over paths of (time, coordinate)
    drawn = np.stack(drawn, axis=1)  # (time, path, coordinate), as `real`
    numbers = {"evaluation_steps": T * n_paths, "energy_distance": energy_distance(s.norm(real), s.norm(drawn))}
    numbers |= {"path_error": float(np.mean(error)), "path_error_last": float(error[-1])}
    for i, e in enumerate(one_step_errors(s, cfg, paths)):
        numbers[f"one_step_error_{i}"] = float(e)
    return numbers, {"real": real, "imagined": imagined, "error": error}


def real_paths(s, cfg, rng, n_paths):
    """Sampled actions in the simulator, from resets; the robots restart after the end of an episode.  -> trpo.Paths"""
    T = min(cfg.horizon, envs.TASKS[cfg.env].max_steps)
    env = envs.TaskVectorEnv(cfg.env, n_paths, nets.workers())
    env.reset(seed=[int(i) for i in rng.integers(2**31, size=n_paths)])
    paths, _ = run.page("online").sample_paths(env, bremen.policy_of(s, cfg), T, rng)
    return paths


def imagined_paths(s, cfg, paths, member):
    """What a member makes of the real `paths`: the same first states, and the same noise on the actions.

    -> next observations (T, B, S), which stand still after the end of the episode
    """
    T = len(paths.rew)
    noise = paths.act - bremen.policy_of(s, cfg).mean(paths.obs)  # (time, path, coordinate of the action)
    pool = np.repeat(paths.obs[:1], T, axis=0)  # (time, path, coordinate): the first states, for each time
    members = np.full(T, member)  # (time,): the same member predicts all steps
    _, _, next_obs, terminated = bremen.parallel_rollout(s, cfg, pool, noise, [members])
    return freeze_at_end(next_obs, terminated)


def one_step_errors(s, cfg, paths):
    """Root mean square, over all members, of the errors of single predictions from real states of the first episodes.

    -> (S,), each in the unit of its coordinate
    """
    steps = np.arange(len(paths.rew))[:, None]  # (time, 1)
    first = bremen.time_of(paths.terminated | paths.truncated) == steps  # (time, path): True in the first episode
    obs, act, next_obs = paths.obs[first], paths.act[first], paths.next_obs[first]  # (transition, coordinate)
    act = envs.TASKS[cfg.env].clip(act)
    members = range(len(s.dynamics.phi))
    errors = [bremen.predict(s.dynamics, obs, act, k, cfg) - next_obs for k in members]
    return np.sqrt(np.mean(np.square(errors), axis=(0, 1)))  # over members and transitions


def freeze_at_end(next_obs, ended):
    """Each path up to the end of its first episode, and that last state ever after.  (T, B, S), (T, B) -> (T, B, S)"""
    T = len(ended)
    end = np.where(ended.any(axis=0), np.argmax(ended, axis=0), T - 1)  # (path,): time of the first end
    rows = np.minimum(np.arange(T)[:, None], end)  # (time, path): which time is shown
    return np.take_along_axis(next_obs, rows[:, :, None], axis=0)


def energy_distance(x, y):
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of trajectories (Szekely & Rizzo 2013).  x, y (T, B, S) -> scalar

    |.| is the root of the mean square over time and coordinates.
    """
    return float(2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y))


def mean_distance(x, y):
    """E|X - Y| over all pairs of trajectories but those of one column, which share their noise.

    x, y (T, B, S) -> scalar
    """
    distances = cdist(one_row_each(x), one_row_each(y))  # (path of x, path of y)
    other_column = ~np.eye(len(distances), dtype=bool)
    return np.mean(distances[other_column])


def one_row_each(x):
    """Trajectories as rows, so scaled that a Euclidean distance is a root mean square.  x (T, B, S) -> (B, T * S)"""
    T, B, S = x.shape
    path_first = x.swapaxes(0, 1)  # (path, time, coordinate)
    return path_first.reshape(B, T * S) / np.sqrt(T * S)


# --- the picture ----------------------------------------------------------------------------------------------------


def plot_paths(path, cfg, state, paths):
    """model.png: one real trajectory and what each member makes of it, for a few coordinates; the error over time."""
    picture, task = run.page("picture"), envs.TASKS[cfg.env]
    fig = picture.figure(figsize=(11, 6))
    axes = fig.subplots(2, 2).ravel()
    seconds = task.dt * np.arange(1, 1 + len(paths["real"]))
    shown = slice(100)  # the first 100 steps: later, gaits are out of phase in any case
    for ax, (i, label) in zip(axes, task.shown):
        imagined = paths["imagined"][:, shown, 0, i]  # of the first path: (member, time)
        fan = ax.plot(seconds[shown], imagined.T, color="C1", alpha=0.6, lw=1)
        fan[0].set_label(f"imagined, each of {cfg.members} members")
        ax.plot(seconds[shown], paths["real"][shown, 0, i], color="C0", label="real")
        ax.set(xlabel="time [s]", ylabel=label)
    axes[0].legend(frameon=False)
    axes[3].plot(seconds, paths["error"], color="C3")
    axes[3].set(xlabel="time [s]", ylabel="distance [std]", title="mean over paths and members, whole horizon")
    fig.suptitle(f"{cfg.env}, update {state.updates}: the same first state, the same action noise")
    picture.save_figure(fig, path)


# --- of a run, and of a finished one --------------------------------------------------------------------------------


def add_numbers(numbers, folder, cfg, state, rng):
    """Add the numbers of `measure` to those of run.evaluation; real steps are counted together."""
    errors = measure(folder, cfg, state, rng)
    numbers |= errors | {"evaluation_steps": numbers["evaluation_steps"] + errors["evaluation_steps"]}


def measure(folder, cfg, state, rng):
    """The numbers of `compare_paths`; its picture becomes `folder`/model.png.  -> {column: number}"""
    numbers, paths = compare_paths(state, cfg, rng)
    plot_paths(folder / "model.png", cfg, state, paths)
    return numbers


def measure_run(folder):
    """Measure the last policy of a run directory, and print the numbers.  run.UsageError for one that has none"""
    if not (folder / "config.json").exists():
        raise run.UsageError(f"{folder}: not the directory of a run, there is no config.json in it")
    cfg = run.read_config({}, folder / "config.json")
    if not (folder / "checkpoint.npz").exists():
        raise run.UsageError(f"{folder}: no checkpoint.npz in it, and only this file has the models")
    state, _ = run.page("resume").last_checkpoint(folder, cfg)
    if state.theta is None or state.dynamics is None:
        raise run.UsageError(f"{folder}: its checkpoint is of a stage at which it has no policy with models of its own")
    nets.use_threads(cfg.threads)
    picture = folder / "model.png"
    with run.writing(picture, "the directory of the run must be one that can be written to"):
        numbers = measure(folder, cfg, state, state.rng["evaluate"])
    for name, value in numbers.items():
        run.say(f"{name:18} {value:.6g}")
    run.say(f"look at {picture}")


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""

    def work():
        p = run.Parser(
            prog="model_error.py",
            description=__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        p.add_argument("run", metavar="RUN", type=Path, help="directory of a run of mode offline or recursive")
        measure_run(p.parse_args(argv).run)
        return 0

    return run.guarded("model_error.py", work)


if __name__ == "__main__":
    sys.exit(main())
