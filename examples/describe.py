"""What is in a dataset file and where it comes from, as a table and a picture.

python examples/describe.py FILE.npz [--out PNG]
python run.py --mode collect --describe FILE.npz [--out PNG]
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import envs
import run

safe_files = run.page("safe_files")


def describe(path, picture):
    """Print the table of the dataset `path`, and draw its picture into the file `picture`."""
    data, meta = run.page("foreign_data").load_rows(path)
    returns, lengths = envs.episode_returns(data)
    table = origin(meta) | contents(data, returns, lengths) | {"SHA-256": safe_files.sha256(path)}
    for name, value in table.items():
        run.say(f"{name:12} {value}")
    for note in meta.get("notes", ()):
        run.say(f"{'note':12} {note}")
    with run.writing(picture, "--out names another place"):
        plot_dataset(picture, path.name, data, returns)
    run.say(f"look at {picture}")


def origin(meta):
    """What a dataset says about how it was made.  -> {name: text}"""
    table = {name: meta[name] for name in ("env", "noise", "policy", "seed", "source", "versions") if name in meta}
    if isinstance(table.get("versions"), dict):
        table["versions"] = ", ".join(f"{name} {version}" for name, version in table["versions"].items())
    return table


def contents(data, returns, lengths):
    """What a dataset holds.  data: Batch; returns, lengths (E,) of its whole episodes.  -> {name: text}"""
    table = {"transitions": f"{len(data.rew):,}", "return": run.summary(returns)["text"]}
    if len(returns):
        table[""] = f"from {returns.min():,.0f} to {returns.max():,.0f}"  # a second line of the return
        steps = f"{lengths.mean():,.0f} steps on average"
        table["episodes"] = f"{steps}, from {lengths.min():,} to {lengths.max():,}"
    cut = np.count_nonzero(data.truncated & ~data.terminated)
    table["their ends"] = f"{np.count_nonzero(data.terminated):,} terminated, {cut:,} truncated"
    return table


def plot_dataset(path, name, data, returns):
    """What episodes return, and in which range each coordinate of observation and action lies."""
    pictures = run.page("picture")
    fig = pictures.figure(figsize=(11, 5))
    grid = fig.add_gridspec(1, 3, width_ratios=(2, 2 + data.obs.shape[1] / 6, 1 + data.act.shape[1] / 6))
    hist, obs_ax, act_ax = (fig.add_subplot(cell) for cell in grid)
    hist.hist(returns, bins=50)
    hist.set(xlabel="return per episode", ylabel="episodes")
    hist.set_title(name, parse_math=False)  # a name may hold dollars
    hist.yaxis.get_major_locator().set_params(integer=True)
    plot_ranges(obs_ax, data.obs, "observations")
    plot_ranges(act_ax, data.act, "actions")
    obs_ax.set(yscale="symlog", ylabel="value")
    fig.supxlabel("lines: the whole range; boxes: the middle 90 %; orange: the median", fontsize=9)
    pictures.save_figure(fig, path)


def plot_ranges(ax, x, title):
    """A line, a box and a median for each column of x (N, D)."""
    names = ("whislo", "q1", "med", "q3", "whishi")
    columns = np.percentile(x, (0, 5, 50, 95, 100), axis=0).T
    marks = [dict(zip(names, map(float, column))) for column in columns]
    ax.bxp(marks, positions=range(x.shape[1]), showfliers=False)
    ax.set(xlabel="coordinate", title=title)


def read_flags(argv):
    """The two files of a command line.  -> dataset, picture: Paths; or UsageError"""
    p = run.Parser(
        prog="describe.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    p.add_argument("file", metavar="FILE", nargs="?", help="the dataset")
    p.add_argument("--mode", help=argparse.SUPPRESS)
    p.add_argument("--describe", help=argparse.SUPPRESS)
    p.add_argument("--out", metavar="PNG", help="the picture to draw (beside FILE: its name with _described.png)")
    opts, others = p.parse_known_args(argv)
    if opts.describe and opts.mode != "collect":
        raise run.UsageError("--describe: only with --mode collect")
    if others:
        raise run.UsageError(f"--describe tells what is in a file, and nothing else: leave {others[0]} away")
    if bool(opts.file) == bool(opts.describe):
        raise run.UsageError("one FILE to describe, please (see --help)")
    path = Path(opts.file or opts.describe)
    return path, Path(opts.out or path.with_name(f"{path.stem}_described.png"))


def main(argv=None):
    """Run the command line.  -> exit status, as run.guarded says"""
    argv = sys.argv[1:] if argv is None else argv

    def work():
        describe(*read_flags(argv))
        return 0

    return run.guarded("run.py", work)


if __name__ == "__main__":
    sys.exit(main())
