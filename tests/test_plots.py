"""`run.py --mode plot` on run directories of all kinds: of different lengths, just begun, cut, named twice."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import bremen
import run

HEAD = "iteration,updates,real_return,evaluate_seconds\n"


def make(folder, seed, returns=None, **numbers):
    """A run directory with these real returns, one per iteration; without progress.csv for None.  -> folder"""
    folder.mkdir(parents=True)
    cfg = bremen.configured(env="pendulum", mode="offline", preset="smoke", seed=seed, **numbers)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(cfg)))
    if returns is not None:
        rows = (f"{i},{25 * i},{y},0.5\n" for i, y in enumerate(returns))
        (folder / "progress.csv").write_text(HEAD + "".join(rows))
    return folder


@pytest.fixture
def plot(tmp_path, monkeypatch, capsys):
    """A function: `--mode plot` of these folders.  -> its axes, what was said; or exit status, the line on stderr"""
    monkeypatch.chdir(tmp_path)
    figures = []
    monkeypatch.setattr(run.page("picture"), "save_figure", lambda fig, path: figures.append(fig))

    def plotted(*folders):
        status, said = run.main(["--mode", "plot", "--runs", *map(str, folders)]), capsys.readouterr()
        return (figures[-1].axes[0], said.out) if status == 0 else (status, said.err)

    return plotted


def labels(ax):
    """The texts of the legend."""
    return [text.get_text() for text in ax.figure.legends[0].get_texts()]


def test_each_point_is_the_mean_of_the_runs_that_have_it(plot, tmp_path):
    """Three seeds with 4, 3 and 1 iterations, on paper; an interval wherever there are two: t(1) = 12.706."""
    for seed, returns in enumerate(([0, 1, 2, 10], [6, 5, 4], [3])):
        make(tmp_path / f"kind/x{seed}", seed, returns)
    ax, _ = plot("kind")
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xydata(), [[0, 3], [25, 3], [50, 3], [75, 10]])
    assert labels(ax) == ["pendulum, offline, kind (n = 1 to 3)"]
    band = ax.collections[0].get_paths()[0].vertices
    assert set(band[:, 0]) == {0, 25, 50}, "one run alone has no interval"
    half = 12.706 * 2  # at 25: s = 4 / sqrt(2), divided by sqrt(2)
    np.testing.assert_allclose(sorted(set(band[band[:, 0] == 25][:, 1])), [3 - half, 3 + half], rtol=1e-4)


def test_a_single_point_is_seen(plot, tmp_path):
    """One iteration, one run: a marker.  One iteration, two runs: a marker with its interval.  A line has none."""
    make(tmp_path / "one/x0", 0, [1])
    for seed in 0, 1:
        make(tmp_path / f"two/x{seed}", seed, [seed])
    make(tmp_path / "long/x0", 0, [1, 2, 3])
    seen = {}
    for name in "one", "two", "long":
        ax, _ = plot(name)
        line, *_ = ax.lines
        seen[name] = (line.get_marker(), line.get_markevery(), len(ax.containers))
    assert seen == {"one": ("o", [0], 0), "two": ("o", [0], 1), "long": ("", [], 0)}


def test_an_interval_at_a_single_point_is_seen(plot, tmp_path):
    """The second seed has only just begun."""
    make(tmp_path / "kind/x0", 0, [1, 2, 3])
    make(tmp_path / "kind/x1", 1, [2])
    ax, _ = plot("kind")
    (bar,) = ax.containers
    (_, ends, _) = bar
    np.testing.assert_allclose(sorted(cap.get_ydata()[0] for cap in ends), [1.5 - 6.353, 1.5 + 6.353], atol=1e-3)


def test_a_run_is_one_run_whatever_it_is_called(plot, tmp_path):
    """Named twice, by its parent, by a link, by a way around; a copy with its seed is left out, and that is said."""
    first = make(tmp_path / "kind/x0", 0, [1, 2])
    (tmp_path / "link").symlink_to(first)
    ax, said = plot(first, "kind", "link", "kind/../kind/x0", tmp_path / "kind", "kind/x0/")
    assert labels(ax) == ["pendulum, offline, kind (n = 1)"] and said.endswith("curves.png: 1 run\n")
    shutil.copytree(first, tmp_path / "kind/copy")
    ax, said = plot("kind")
    assert labels(ax) == ["pendulum, offline, kind (n = 1)"] and said.count("left out") == 1


def test_what_has_only_begun_is_left_out(plot, tmp_path):
    """Without a row, with half a row, without progress.csv, with one of another program: one note each."""
    make(tmp_path / "kind/whole", 0, [1, 2])
    make(tmp_path / "kind/nothing", 1)
    make(tmp_path / "kind/head", 2, [])
    for name, seed, text in ("half", 3, HEAD + "0,0,-12"), ("empty", 4, ""), ("other", 5, "a,b\n1,2\n"):
        (make(tmp_path / "kind" / name, seed) / "progress.csv").write_text(text)
    (make(tmp_path / "kind/bytes", 6) / "progress.csv").write_bytes(b"\x00\xff,\n\x00")
    make(tmp_path / "kind/.x7.1.tmp", 7, [5, 5])  # what a process leaves that is killed while it makes a directory
    ax, said = plot("kind")
    assert labels(ax) == ["pendulum, offline, kind (n = 1)"]
    assert sorted(line.split()[1] for line in said.splitlines()[:-1]) == sorted(
        f"kind/{name}" for name in ("nothing", "head", "half", "empty", "other", "bytes")
    )
    status, line = plot("kind/nothing", "kind/head")
    assert status == 2 and line.count("\n") == 1 and "none has an iteration yet" in line


def test_a_row_that_is_cut_is_no_point(plot, tmp_path):
    """-1234.5 of which only -12 was written, say, is another number."""
    path = make(tmp_path / "kind/x0", 0, [-100, -200]) / "progress.csv"
    path.write_text(path.read_text() + "2,50,-12")
    ax, _ = plot("kind")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [-100, -200])


def test_a_folder_without_a_run_is_refused(plot, tmp_path):
    make(tmp_path / "kind/x0", 0, [1, 2])
    (tmp_path / "no_run").mkdir()
    for wrong in "absent", "no_run":
        status, line = plot("kind", wrong)
        assert status == 2 and line.count("\n") == 1 and wrong in line


def test_seeds_of_an_earlier_version_are_the_same_experiment(plot, tmp_path):
    """It wrote the numbers of mode online into every config.json; in mode online they are numbers of the run."""
    for seed in 0, 1:
        path = make(tmp_path / f"kind/x{seed}", seed, [1, 2]) / "config.json"
        config = {k: v for k, v in json.loads(path.read_text()).items() if not k.startswith("online_")}
        path.write_text(json.dumps(config | ({"online_steps": 9, "online_envs": 8} if seed else {})))
    ax, _ = plot("kind")
    assert labels(ax) == ["pendulum, offline, kind (n = 2)"]
    experiment_of = run.page("run_directory").experiment_of
    assert experiment_of({"mode": "online", "online_steps": 9}) != experiment_of({"mode": "online", "online_steps": 8})


@pytest.mark.parametrize("known, label", [
    ({}, None),
    ({"policy": [3.0, 1.0]}, "behaviour policy: 3"),
    ({"policy": [3.0, 1.0], "mean_action": [5.0, 1.0]}, "behaviour policy, mean action: 5"),
])  # fmt: skip
def test_line_of_the_behaviour_policy(known, label):
    """What is harder to beat, if the data know it: files of earlier versions know the sampled return only."""
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    run.page("picture").plot_levels(ax, bremen.Config(), run.History(**known))
    assert [line.get_label() for line in ax.lines] == [label] * bool(known)
