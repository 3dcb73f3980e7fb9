"""--eval_model: how far imagined trajectories are from real ones, after each iteration."""

import numpy as np

import bremen
import envs
import run


def add_numbers(numbers, folder, cfg, state, rng):
    """Add the errors of the models to the numbers of `run.evaluation`, count the real steps, and draw model.png."""
    errors, paths = bremen.compare_paths(state, cfg, rng)
    plot_paths(folder / "model.png", cfg, state, paths)
    steps = numbers["evaluation_steps"] + errors["evaluation_steps"]
    numbers |= errors | {"evaluation_steps": steps}


def plot_paths(path, cfg, state, paths):
    """model.png: one real trajectory and what each member makes of it, for a few coordinates; the error over time."""
    shown, dt = envs.TASKS[cfg.env].shown, envs.TASKS[cfg.env].dt
    fig = run.page("picture").figure(figsize=(11, 6))
    axes = fig.subplots(2, 2)
    seconds = dt * np.arange(1, 1 + len(paths["real"]))
    for ax, (i, label) in zip(axes.flat, shown):  # the first 100 steps: later, gaits are out of phase in any case
        fan = ax.plot(seconds[:100], paths["imagined"][:, :100, 0, i].T, color="C1", alpha=0.6, lw=1)
        fan[0].set_label(f"imagined, each of {cfg.members} members")
        ax.plot(seconds[:100], paths["real"][:100, 0, i], color="C0", label="real")
        ax.set(xlabel="time [s]", ylabel=label)
    axes.flat[0].legend(frameon=False)
    axes.flat[3].plot(seconds, paths["error"], color="C3")
    axes.flat[3].set(xlabel="time [s]", ylabel="distance [std]", title="mean over paths and members, whole horizon")
    fig.suptitle(f"{cfg.env}, update {state.updates}: the same first state, the same action noise")
    run.page("picture").save_figure(fig, path)
