"""The picture of a run, curves.png; and how all pictures of this project look and are written."""

import numpy as np

import bremen
import run

safe_files = run.page("safe_files")


def plot_run(path, cfg, history):
    """curves.png: imagined against real return over updates, with data and clone; model loss; trust region."""
    fig = figure(figsize=(11, 5.6))
    grid = fig.add_gridspec(2, 2, width_ratios=(2, 1))
    plot_returns(fig.add_subplot(grid[:, 0]), cfg, history)
    plot_models(fig.add_subplot(grid[0, 1]), cfg, history)
    plot_kl(fig.add_subplot(grid[1, 1]), cfg, history)
    save_figure(fig, path)


def plot_returns(ax, cfg, history):
    """Real and imagined return over updates, each with a band of one standard deviation."""
    x = [row["updates"] for row in history.rows]
    for name, color, style, place in (("real", "C0", "-", "simulator"), ("imagined", "C1", "--", "models")):
        mean, std = (np.array([row[f"{name}_return{end}"] for row in history.rows]) for end in ("", "_std"))
        ax.plot(x, mean, style, color=color, marker="o", ms=4, label=f"{name}: in the {place}")
        ax.fill_between(x, mean - std, mean + std, color=color, alpha=0.15, lw=0)
    plot_levels(ax, cfg, history)
    ax.set(xlabel="TRPO updates", ylabel="return per episode (mean ± std)")
    ax.set_title(f"BREMEN {cfg.mode}: {cfg.env}, seed {cfg.seed}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize=9)  # below: bands are everywhere


def plot_levels(ax, cfg, history):
    """Horizontal lines for what the policy is measured against, a piece for each deployment."""
    bar, name = history.policy, "behaviour policy"
    if history.mean_action:  # harder to beat
        bar, name = history.mean_action, "behaviour policy, mean action"
    if bar:
        ax.axhline(bar[0], color="C4", ls=":", label=f"{name}: {bar[0]:,.0f}")
    for i, batch in enumerate(history.batches):
        begin, end = cfg.updates_by(i), cfg.updates_by(i + 1)
        if i > 0:
            ax.axvline(begin, color="0.85", lw=1, zorder=0)
        data, start = "data of the deployment", "clone" if cfg.bc_init else "start"
        levels = [("dataset" if cfg.mode == "offline" else data, batch["mean"], "0.35", ":")]
        rows = [row for row in history.rows if row["deployment"] == i + 1]
        if rows:
            levels.append((start, rows[0]["real_return"], "C2", "-."))
        for name, value, color, style in levels:
            if value is None:
                continue
            label = f"{name}: {value:,.0f}" if cfg.mode == "offline" else name
            ax.plot((begin, end), (value, value), color=color, ls=style, label=label if i == 0 else None)


def plot_models(ax, cfg, history):
    """Validation losses of the ensemble over epochs, in one colour for each deployment."""
    for i, model in enumerate(history.models):
        curve, color = np.array(model["model_curve"]), f"C{i}" if cfg.mode == "recursive" else None
        lines = ax.plot(range(1, len(curve) + 1), curve, lw=1.2, color=color, marker="o" if len(curve) == 1 else "")
        lines[0].set_label(f"deployment {i + 1}")
    if cfg.mode == "recursive":
        ax.legend(frameon=False, fontsize=8, ncols=2)
    ax.set(xlabel="epoch", ylabel="validation loss", yscale="log", title=f"the {cfg.members} dynamics models")
    ax.xaxis.get_major_locator().set_params(integer=True)


def plot_kl(ax, cfg, history):
    """Size of the updates, beside the trust region."""
    x, kl = ([row.get(name, np.nan) for row in history.rows] for name in ("updates", "kl"))
    ax.plot(x, kl, color="C3", marker="o", ms=3)
    if cfg.target_kl_end < 1:
        radius = [bremen.target_kl_after(cfg, row["updates"] - 1, row["deployment"]) for row in history.rows[1:]]
        ax.plot(x, [cfg.target_kl, *radius], color="0.35", ls=":", label="trust region")
    else:
        ax.axhline(cfg.target_kl, color="0.35", ls=":", label="trust region")
    ax.set(xlabel="TRPO updates", ylabel="KL [nats]", title="size of one update", ylim=(0, 1.15 * cfg.target_kl))
    ax.legend(frameon=False, loc="lower left" if cfg.target_kl_end < 1 else "lower right")


def figure(**options):
    """A figure in the project's style; without pyplot, it needs no screen and need not be closed.  -> Figure"""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"font.size": 11, "axes.grid": True, "grid.alpha": 0.25, "lines.linewidth": 2}
    style |= {"legend.edgecolor": "none", "legend.framealpha": 0.85}  # lines shine through a legend, faintly
    matplotlib.rcParams.update(style | {"axes.spines.top": False, "axes.spines.right": False})
    return Figure(layout="constrained", **options)


def legend_below(fig, axes, columns):
    """One legend for all axes, whichever of them show a line, in at most so many columns as the figure is wide."""
    lines = {label: line for ax in axes for line, label in zip(*ax.get_legend_handles_labels())}
    show = lambda n: fig.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=n, frameon=False)
    for n in range(columns, 0, -1):
        legend = show(n)
        if n == 1 or legend.get_window_extent().width <= fig.bbox.width:
            return
        legend.remove()


def save_figure(fig, path):
    """Write a picture whole or not at all."""
    from matplotlib.text import Text

    safe_files.make_folder(path.parent)
    for text in fig.findobj(Text):  # names of files may hold bytes that are no letters
        text.set_text(text.get_text().encode(errors="replace").decode())
    try:
        safe_files.write_whole(path, lambda f: fig.savefig(f, dpi=130, format=path.suffix[1:] or "png"))
    except ValueError as e:  # a format that matplotlib does not know
        raise run.UsageError(f"cannot write {path}: {e}") from e
