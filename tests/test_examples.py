"""What stands in examples/: behaviour policies that say where they come from, and the table of results."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import compare_d3rlpy
import numpy as np
import pytest
import repeat
import report as tables
import safe_files
import step_signal
import sweep
from conftest import draw_nothing
from PIL import Image

import envs
import run

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {  # returns wanted of the behaviour policies: good enough to learn from, bad enough to be beaten
    "ant": (1000, 2400),
    "half_cheetah": (3000, 4000),
    "cheetah_run": (250, 450),
    "hopper": (750, 1500),
    "walker2d": (800, 1800),
    "pendulum": (-800, -500),
}


def row_of(env, policy, meta):
    """The row about a behaviour policy in the table of their page.  -> text"""
    (mean, std), sigma = meta["mean_action_return"], policy.std[0] / envs.TASKS[env].act_limit
    sampled = f"{meta['return_mean']:,.0f} ± {meta['return_std']:,.0f} | {meta['fall']}"
    by_mean = f"{mean:,.0f} ± {std:,.0f} | {meta['mean_action_fall']}"
    return f"| {env} | {sigma:.1f} | {meta['real_steps']:,} | {sampled} | {by_mean} |"


@pytest.mark.parametrize("env", envs.TASKS)
def test_behaviour_policy_says_where_it_comes_from(env):
    policy, meta = run.load_policy(ROOT / "examples" / "behavior" / f"{env}.npz", envs.TASKS[env])
    low, high = LEVELS[env]
    assert low <= meta["return_mean"] <= high and meta["return_std"] > 0 and meta["episodes"] == 100
    assert meta["command"].startswith(f"python run.py --mode online --env {env}")
    assert meta["real_steps"] > 0 and {"python", "numpy", "mujoco"} <= meta["versions"].keys()
    assert f"\n{row_of(env, policy, meta)}\n" in (ROOT / "examples" / "behavior" / "README.md").read_text()
    assert np.ptp(policy.std) == 0, "its sigma stays as it is: data are wide"
    obs = np.zeros((2, envs.TASKS[env].obs_dim), np.float32)
    assert policy.mean(obs).shape == (2, envs.TASKS[env].act_dim)


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "pretrained").glob("*.npz")), ids=lambda p: p.stem)
def test_pretrained_policy_says_what_it_cost(path):
    """Made by the plain command of mode recursive: its deployments and transitions are those of the preset."""
    policy, meta = run.load_policy(path, envs.TASKS[path.stem])
    cfg = run.read_config(run.read_flags(meta["command"].split()[2:]))
    assert (cfg.mode, cfg.env) == ("recursive", path.stem)
    assert (meta["deployment"], meta["real_transitions"]) == (cfg.deployments, cfg.n_train)
    assert meta["evaluation_steps"] > 0 and {"real_return", "real_return_std"} <= meta.keys()
    assert np.isfinite(policy.mean(np.zeros((2, envs.TASKS[path.stem].obs_dim), np.float32))).all()


def test_behaviour_policy_does_what_it_says():
    task = envs.TASKS["pendulum"]
    policy, meta = run.load_policy(ROOT / "examples" / "behavior" / "pendulum.npz", task)
    returns, _ = envs.evaluate(task, policy.sample, 200, np.random.default_rng(0))
    error = meta["return_std"] * np.sqrt(1 / 100 + 1 / 200)
    assert abs(returns.mean() - meta["return_mean"]) < 4 * error


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with small runs of the pendulum: two seeds offline, two seeds recursive, one online.  -> Path"""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        patch.chdir(folder)
        small = "--n_train 600 --clone_steps 50 --random_seeds 3 4"
        for words in (f"{small} --iterations 1", f"{small} --mode recursive", "--mode online --online_steps 4000"):
            assert run.main(f"--env pendulum --preset smoke {words}".split()) == 0
    return folder / "log" / "pendulum"


def report(*words):
    """What examples/report.py prints."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        returncode = tables.main(list(map(str, words)))
    return subprocess.CompletedProcess(words, returncode, out.getvalue(), err.getvalue())


def last_row(folder):
    """The last row of a run's progress.csv."""
    with open(folder / "progress.csv", newline="") as f:
        return list(csv.DictReader(f))[-1]


def test_table_of_an_offline_experiment(finished):
    """A row per seed in order; the cells are what progress.csv says; config.json and progress.csv are enough."""
    folders = [finished / "offline/bremen" / f"bremen{seed}" for seed in (4, 3)]
    text = report(*folders).stdout
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert [row[0].strip() for row in rows] == ["seed", "---", "3", "4", "IQM [95 %]"]
    last = last_row(folders[1])
    assert rows[2][3].split() == [f"{float(last['real_return']):,.0f}", "±", f"{float(last['real_return_std']):,.0f}"]
    assert "(best on the way)" in rows[0][5]
    assert "--mode offline" in text and text.count("###") == 1


def test_report_of_recursive_and_online_runs(finished, tmp_path):
    """Two experiments, two tables, one picture; a column per deployment."""
    picture = tmp_path / "learning.png"
    done = report(
        *(finished / "recursive/bremen").iterdir(), *(finished / "online/bremen").iterdir(), "--figure", picture
    )
    assert done.returncode == 0, done.stderr
    tables = done.stdout.split("###")[1:]
    assert len(tables) == 2 and "| seed | 1 | 2 | minutes |" in tables[0] and "sampled actions" in tables[1]
    last = last_row(finished / "recursive/bremen/bremen3")
    assert f"{float(last['real_return']):,.0f} ± " in tables[0].split("| 3 |")[1].split("|")[1]
    with Image.open(picture) as image:
        assert image.format == "PNG" and len(set(image.convert("RGB").resize((100, 50)).get_flattened_data())) > 20


def test_methods_side_by_side_their_picture_and_their_rows(finished, tmp_path):
    """Two methods, one environment: a table of both, a picture, and a CSV with what each run came from."""
    words = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --iterations 1".split()
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        patch.chdir(finished.parent.parent)
        assert run.main([*words, "--no-bc_init", "--exp_name", "none", "--random_seeds", "3", "4"]) == 0
    picture, beside, curves, rows = (tmp_path / name for name in ("profile.png", "beside.png", "c.png", "rows.csv"))
    figures = "--profile", picture, "--beside", beside, "--curves", curves
    done = report(finished / "offline", *figures, "--csv", rows)
    assert done.returncode == 0, done.stderr
    *_, text = done.stdout.split("###")
    assert "| dataset | clone | BREMEN | without the clone (ME-TRPO style) |" in text and "normalised" not in text
    with open(rows, newline="") as f:
        table = list(csv.DictReader(f))
    assert [(row["seed"], row["clone_return"] != "") for row in table] == [
        ("3", True), ("4", True), ("3", False), ("4", False)
    ]  # fmt: skip
    for row in table:
        folder = finished / "offline" / ("bremen" if row["clone_return"] else "none")
        (folder,) = folder.glob(f"*{row['seed']}")
        assert float(row["last_return"]) == float(last_row(folder)["real_return"])
        data = finished.parent.parent / "data/pendulum" / f"pure_600_seed{row['seed']}.npz"
        assert row["sha256"] == safe_files.sha256(data) and "numpy=" in row["versions"] and row["commit"]
        assert f"--seed {row['seed']}" in row["command"]
    for drawn in picture, beside, curves:
        with Image.open(drawn) as image:
            assert image.format == "PNG" and len(set(image.convert("RGB").resize((100, 50)).get_flattened_data())) > 20
    for flag in "--profile", "--beside", "--curves":
        assert report(finished / "recursive", flag, picture).returncode == 2


def test_curves_are_the_rows_of_progress_csv(finished):
    """A thin line per seed, their mean, and the mean of what the models promise."""
    (runs,), _ = tables.directories.collected([finished / "offline/bremen"])
    ax = tables.picture.figure().subplots()
    tables.plot_seeds(ax, runs, "BREMEN", "C0")
    *seeds, mean, promised = (line.get_xydata() for line in ax.get_lines())
    for r, line in zip(runs, seeds, strict=True):
        np.testing.assert_array_equal(line, [(row["updates"], row["real_return"]) for row in r.rows])
    np.testing.assert_allclose(mean, np.mean(seeds, axis=0))
    np.testing.assert_allclose(promised[-1, 1], np.mean([r.rows[-1]["imagined_return"] for r in runs]))


def test_curves_of_another_library_alone_are_levels(tmp_path):
    """It counts in other steps; without a run of ours there is still a panel."""
    config = dict(mode="offline", env="pendulum", method="bc", steps=5, n_train=600, noise="pure", data="")
    row = dict(real_return=-300.0, real_return_std=9.0, data_return=-500.0, real_transitions=600.0)
    peer = tables.directories.Peer(config | {"bc_init": False, "seed": 0}, [row], {})
    tables.plot_curves([[peer]], tmp_path / "levels.png")
    with Image.open(tmp_path / "levels.png") as image:
        assert len(set(image.convert("RGB").resize((100, 50)).get_flattened_data())) > 20


@pytest.mark.parametrize("words", [1, 8, 40])
def test_a_legend_is_no_wider_than_its_figure(words):
    """Unless a single label is: then there is one column."""
    fig = tables.picture.figure(figsize=(9, 4))
    ax = fig.subplots()
    for i in range(9):
        ax.plot([0, 1], label=f"{i}" + " label" * words)
    tables.picture.legend_below(fig, [ax], 4)
    fig.draw_without_rendering()
    (legend,) = fig.legends
    columns = len({round(text.get_window_extent().x0) for text in legend.get_texts()})
    assert len(legend.get_texts()) == 9 and columns == {1: 4, 8: 2, 40: 1}[words]
    assert legend.get_window_extent().width <= fig.bbox.width or columns == 1


def test_an_environment_with_two_sizes_of_data_has_two_tables(finished, tmp_path):
    """Scores after few and after many transitions are not averaged; without a second size there is one table."""
    for env, n in (("pendulum", 300), ("hopper", 600)):
        folder = shutil.copytree(finished / "offline/bremen/bremen3", tmp_path / f"{env}{n}")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"env": env, "n_train": n}))
        rows = (folder / "progress.csv").read_text()
        (folder / "progress.csv").write_text(rows.replace(",600,", f",{n},"))

    def tables_of(*folders):
        """The last tables: their titles, and the first cell of each row."""
        _, *parts = report(*folders).stdout.split("### Side by side")
        return [(text.split("\n")[0], re.findall(r"^\| (\w+, .*?) \|", text, re.M)) for text in parts]

    first, hopper = finished / "offline/bremen", tmp_path / "hopper600"
    one = ["hopper, 600 pure", "pendulum, 600 pure", "normalised, 2 environments"]
    assert tables_of(first, hopper) == [("", one)]
    small = (", 300 transitions", ["pendulum, 300 pure"])
    assert tables_of(first, hopper, tmp_path / "pendulum300") == [(", 600 transitions", one), small]
    picture = tmp_path / "profile.png"
    assert report(first, tmp_path / "pendulum300", "--profile", picture).returncode == 0
    with Image.open(picture) as image:
        assert image.height > image.width * 0.8  # a row of panels for each


def test_a_picture_side_by_side_where_an_environment_lacks_a_method(tmp_path, monkeypatch):
    returns = np.array([1.0, 2.0, 4.0])
    cells = {"hopper, 10 pure": {"BREMEN": returns}, "pendulum, 10 pure": {"BREMEN": -returns, "iql": -2 * returns}}
    monkeypatch.setattr(tables, "outcomes", lambda experiments: cells)
    tables.plot_beside([], tmp_path / "beside.png")
    with Image.open(tmp_path / "beside.png") as image:
        assert image.format == "PNG" and len(set(image.convert("RGB").resize((100, 50)).get_flattened_data())) > 20


def test_runs_on_a_file_are_named_after_it(finished, tmp_path, monkeypatch):
    """Two files, a run each: two tables, the commands that made them, and no word of a noise nobody knows."""
    draw_nothing(monkeypatch)
    monkeypatch.chdir(tmp_path)
    small = "--env pendulum --preset smoke --clone_steps 50 --iterations 1 --n_train 500".split()
    for seed in (3, 4):
        name = f"given{seed}.npz"
        shutil.copy(finished.parent.parent / f"data/pendulum/pure_600_seed{seed}.npz", name)
        assert run.main([*small, "--data", name, "--exp_name", f"of{seed}", "--seed", str(seed)]) == 0
    done = report("log", "--csv", "rows.csv")
    assert "| pendulum, 500 of given3.npz |" in done.stdout and "| pendulum, 500 of given4.npz |" in done.stdout
    assert done.stdout.count("| seed |") == 2 and "--data given3.npz --random_seeds 3`" in done.stdout
    with open("rows.csv", newline="") as f:
        assert [(row["noise"], "--data given" in row["command"]) for row in csv.DictReader(f)] == [("", True)] * 2


def test_rows_of_other_programs_join_the_table(finished, tmp_path):
    """A run as compare_d3rlpy.py leaves it, on the same data: a column more, beside BREMEN's."""
    line = {"env": ["pendulum"], "methods": ["td3_bc"], "random_seeds": [3, 4], "steps": 7, "preset": "smoke"}
    line |= {"n_train": 600, "noise": None, "data": None, "data_dir": None, "out": tmp_path}
    for folder, (asked, _) in compare_d3rlpy.plan(Namespace(**line)).items():
        folder.mkdir(parents=True)
        seed = asked["seed"]
        (folder / "config.json").write_text(json.dumps(asked | {"versions": {"d3rlpy": "1"}}))
        row = {k: asked[k] for k in ("env", "method", "seed", "steps")} | {"data_return": -9, "data_return_std": 1}
        row |= {"real_return": -100 * seed, "real_return_std": 5}
        row |= {"real_transitions": 600, "fit_seconds": 60, "commit": "abc", "sha256": "0f"}
        safe_files.write_csv(folder / "result.csv", [row | {"command": f"python x.py --random_seeds {seed} --steps 7"}])
    done = report(
        finished / "offline/bremen", tmp_path, "--profile", tmp_path / "p.png", "--csv", tmp_path / "rows.csv"
    )
    assert done.returncode == 0, done.stderr
    assert (
        "`python x.py --steps 7 --random_seeds 3 4`" in done.stdout and "| 3 | -9 ± 1 | -300 ± 5 | 1.0 |" in done.stdout
    )
    *_, beside = done.stdout.split("###")
    assert "| dataset | clone | BREMEN | td3_bc (d3rlpy, 7 steps) |" in beside
    assert re.search(r"^\| pendulum, 600 pure \| .* -350 \[-400, -300\] \|$", beside, re.M)
    with open(tmp_path / "rows.csv", newline="") as f:
        rows = [row for row in csv.DictReader(f) if "td3_bc" in row["method"]]
    assert [(row["last_return"], row["commit"], row["versions"]) for row in rows] == [
        ("-300.0", "abc", "d3rlpy=1"), ("-400.0", "abc", "d3rlpy=1")
    ]  # fmt: skip


def test_a_row_is_made_again_and_compared(tmp_path, monkeypatch, capsys):
    """Equal to the last digit, or it is said what is other; what is no such CSV is refused in one line."""
    with monkeypatch.context() as patch:
        draw_nothing(patch)
        patch.chdir(tmp_path)
        small = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --iterations 1 --model_hidden 8 8"
        assert run.main([*small.split(), "--noise", "random", "--threads", "1"]) == 0
    rows, again = tmp_path / "rows.csv", [str(tmp_path / "again"), "--rows", "1"]
    assert report(tmp_path / "log", "--csv", rows).returncode == 0
    with open(rows, newline="") as f:
        (row,) = csv.DictReader(f)
    safe_files.write_csv(rows, [row | {"command": "python compare_d3rlpy.py FILE"}, row])  # the first is not run.py's
    assert repeat.main([str(rows), *again]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 rows repeat\n")
    safe_files.write_csv(rows, [row | {"last_return": row["last_return"] + "1", "versions": "numpy=1"}])
    assert repeat.main([str(rows), *again]) == 1
    said = capsys.readouterr().out
    assert "other last_return\n" in said and "it was numpy=1" in said
    monkeypatch.setattr(run.page("provenance"), "commit", lambda: "another")
    assert repeat.main([str(rows), *again]) == 2 and "this is another: choose another DIR" in capsys.readouterr().err
    for words in ([str(rows), *again[:1], "--rows", "2"], [str(tmp_path), *again], [str(ROOT / "run.py"), *again]):
        assert repeat.main(words) == 2 and capsys.readouterr().err.count("\n") == 1


# What the rliable package (1.2.0, its authors' own) says about these scores, five runs of four tasks: interquartile
# mean with stratified bootstrap interval (50,000 resamples), shares above 0, 0.5, ... with theirs (20,000).
SCORES = np.array([[1.0, 1.18, 0.84, 0.47], [0.73, 0.41, 1.04, 1.8], [0.7, 0.63, 1.29, 1.21],
                   [1.06, 0.44, 0.98, 1.42], [0.19, 0.73, -0.14, 0.23]])  # fmt: skip
RLIABLE_IQM = 0.818, 0.592, 1.018
RLIABLE_PROFILE = [0.95, 0.7, 0.35, 0.05, 0.0], [0.85, 0.5, 0.15, 0.0, 0.0], [1.0, 0.9, 0.55, 0.15, 0.0]


def test_statistics_are_those_of_rliable():
    ours = tables.interquartile_mean(*SCORES.T)
    assert ours[0] == pytest.approx(RLIABLE_IQM[0]) and ours == pytest.approx(RLIABLE_IQM, abs=0.015)
    share, low, high = tables.profile(list(SCORES.T), np.array([0.0, 0.5, 1.0, 1.5, 2.0]))
    np.testing.assert_allclose(share, RLIABLE_PROFILE[0])
    np.testing.assert_allclose((low, high), RLIABLE_PROFILE[1:], atol=0.051)  # one run in twenty more or less
    apart = np.array([[0.0, 0.1, 0.2], [5.0, 5.1, 5.2]])  # resampling across tasks would be something else
    (_, low, high), (_, lower, higher) = tables.interquartile_mean(*apart), tables.interquartile_mean(apart.ravel())
    assert high - low < 0.3 and higher - lower > 3


def test_scores_are_zero_for_random_actions_and_one_for_the_behaviour_policy():
    zero, one = tables.scale("pendulum")
    assert -1500 < zero < -1000 and one == pytest.approx(-550, abs=150)
    np.testing.assert_allclose(tables.score("pendulum", [zero, one, 2 * one - zero]), [0, 1, 2], atol=1e-12)


def changed(folder, place, **numbers):
    """A copy of a run with other numbers in its config.json.  -> its folder"""
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text()) | numbers
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_report_refuses_what_is_no_run_or_not_finished(finished, tmp_path):
    nothing = report(tmp_path)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    nowhere = report(finished / "recursive", "--csv", tmp_path / "absent" / "runs.csv")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 1)
    shutil.copytree(finished / "offline/bremen/bremen3", tmp_path / "early")
    lines = (tmp_path / "early/progress.csv").read_text().splitlines(keepends=True)
    (tmp_path / "early/progress.csv").write_text("".join(lines[:-1]))
    done = report(tmp_path / "early")
    assert done.returncode == 2 and "not finished" in done.stderr and done.stderr.count("\n") == 1


def test_report_leaves_out_what_is_not_finished(finished, tmp_path):
    """Cut rows, no rows, no progress.csv, damaged files: a note each, and the table says how many seeds it has."""
    three = finished / "offline/bremen/bremen3"
    whole = changed(three, tmp_path / "log/whole")
    text = (three / "progress.csv").read_text()
    cut = {"early": text.rsplit("\n", 2)[0] + "\n", "half": text[:-9], "head": text.split("\n")[0] + "\n", "empty": ""}
    for i, (name, rows) in enumerate(cut.items()):
        (changed(three, tmp_path / "log" / name, seed=10 + i) / "progress.csv").write_text(rows)
    (changed(three, tmp_path / "log/begun", seed=20) / "progress.csv").unlink()
    (changed(three, tmp_path / "log/another", seed=21, gamma=0.5) / "progress.csv").unlink()
    (changed(three, tmp_path / "log/damaged", seed=22) / "run.json").write_bytes(b"\x00{")
    (changed(three, tmp_path / "log/bytes", seed=23) / "progress.csv").write_bytes(b"\xff,b\n1,2\n")
    (tmp_path / "log/foreign").mkdir()
    (tmp_path / "log/foreign/config.json").write_text("[1]")
    (tmp_path / "link").symlink_to(whole)
    done = report(tmp_path / "log", tmp_path / "link", tmp_path / "log/../log/whole")
    assert done.returncode == 0, done.stderr
    notes = [line.split()[1].rsplit("/", 1)[1] for line in done.stderr.splitlines()]
    assert notes == sorted((*cut, "begun", "another", "damaged", "bytes", "foreign"))
    assert "\n1 of 6 seeds; not finished: 10, 11, 12, 13, 20.\n" in done.stdout and done.stdout.count("###") == 1
    plain = report(whole)
    assert plain.stderr == "" and "seeds:" not in plain.stdout
    alone = report(tmp_path / "log/early", tmp_path / "log/begun")
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1) and "not finished" in alone.stderr
    assert report(whole, tmp_path / "absent").returncode == 2


def test_a_run_counts_once(finished, tmp_path):
    """However often it is named, and where a copy of it lies beside it, too: which is said."""
    folders = [finished / "offline/bremen" / f"bremen{seed}" for seed in (3, 4)]
    want, twice = report(*folders), report(*folders, folders[0].parent)
    assert (twice.stdout, twice.stderr) == (want.stdout, "")
    shutil.copytree(folders[0], tmp_path / "copy")
    copied = report(*folders, tmp_path / "copy")
    assert copied.stdout == want.stdout and f"copy is left out, {folders[0]} has" in copied.stderr


def test_no_run_is_lost_side_by_side(finished, tmp_path):
    """Kept policies make no other experiment, another preset does, and clone and dataset are those of most seeds."""
    three, four = (finished / "offline/bremen" / f"bremen{seed}" for seed in (3, 4))
    kept = changed(four, tmp_path / "kept", keep_policies=True, tensorboard=True)
    assert report(three, kept).stdout == report(three, four).stdout
    other = changed(three, tmp_path / "other", preset="paper", gamma=0.5)
    lines = report(three, four, other).stdout.split("### Side by side")[1].splitlines()
    assert lines[2].count("BREMEN, ") == 2 and "preset" in lines[2]
    plain = report(three, four, changed(three, tmp_path / "std", std=0.2)).stdout.split("### Side by side")[1]
    returns = [float(last_row(folder)["data_return"]) for folder in (three, four)]
    assert tables.interval_text(tables.interquartile_mean(returns)) in plain


def test_two_experiments_of_one_name_are_refused(finished, tmp_path):
    three = finished / "offline/bremen/bremen3"
    for name in "ab":
        changed(three, tmp_path / name, data=f"{name}/d.npz")
        about = json.loads((three / "run.json").read_text()) | {"data": {"file": f"{name}/d.npz", "sha256": name}}
        (tmp_path / name / "run.json").write_text(json.dumps(about))
    done = report(tmp_path / "a", tmp_path / "b")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and "d.npz" in done.stderr


def test_a_dataset_without_a_whole_episode_has_an_unknown_return(finished, tmp_path):
    shutil.copytree(finished / "offline/bremen/bremen3", tmp_path / "run")
    with open(tmp_path / "run/progress.csv", newline="") as f:
        rows = [{k: v for k, v in row.items() if not k.startswith("data_return")} for row in csv.DictReader(f)]
    safe_files.write_csv(tmp_path / "run/progress.csv", rows)
    assert "| 3 | unknown |" in report(tmp_path / "run", "--csv", tmp_path / "rows.csv").stdout


# --- the tables of the pages are those of the stored runs ------------------------------------------------------------

OFFLINE = ROOT / "examples" / "results" / "offline"


def stored(path):
    """The rows of a CSV file.  -> [dict]"""
    with open(path, encoding="utf-8") as f:
        return list(csv.DictReader(f))


def test_the_table_in_the_readme_is_that_of_the_stored_runs():
    """Last policies of five seeds with 100,000 rows and the presets."""
    readme = (ROOT / "README.md").read_text()
    head = re.search(r"^\| \| (hopper .*) \|$", readme, re.M)[1].split(" | ")
    runs = [r for r in stored(OFFLINE / "runs.csv") if r["method"] == "BREMEN" and float(r["transitions"] or 0) == 1e5]
    runs = [r for r in runs if re.fullmatch(r"python run.py --mode offline --env \w+ --seed [0-4]", r["command"])]
    assert {*head} == {*envs.TASKS} and len(runs) == 30
    for name, column in ("dataset", "dataset_return"), ("clone", "clone_return"), ("**BREMEN**", "last_return"):
        cells = []
        for env in head:
            returns = np.array([float(r[column]) for r in runs if r["env"] == env])
            cells.append(tables.interval_text(tables.interquartile_mean(returns)))
        assert f"\n| {name} | {' | '.join(cells)} |\n" in readme


@pytest.mark.parametrize("env", envs.TASKS)
def test_the_page_of_offline_runs_has_the_numbers_of_its_curves(env):
    page, ends = (OFFLINE.parent / "offline.md").read_text(), {}
    for path in OFFLINE.glob(f"{env}_*seed*.csv"):
        first, *_, last = stored(path)
        cell = lambda row, name: f"{float(row[name]):,.0f} ± {float(row[f'{name}_std']):,.0f}"
        size, seed = re.fullmatch(rf"{env}_(.*)seed(\d+)", path.stem).groups()
        ends.setdefault(size, {})[int(seed)] = f"{float(last['real_return']):,.0f}"
        if size in ("", "1000000_") and env != "pendulum":  # which has no table
            numbers = (first, "data_return"), (first, "real_return"), (last, "real_return"), (last, "imagined_return")
            assert f"\n| {seed} | {' | '.join(cell(*number) for number in numbers)} |\n" in page
        if size == "1000000_margin_":
            assert f"{last['updates']}: {cell(last, 'real_return')}" in page
    assert len(ends[""]) == 5
    for size in {"20000_", "twice_", "without_clone_"} & {*ends} - ({"twice_"} if env == "pendulum" else set()):  # anew
        assert ", ".join(ends[size][seed] for seed in range(5)) in page, size


def test_the_page_of_ablations_has_the_numbers_of_its_curves():
    """In each table, seed by seed: return of the last policy, in brackets the imagined one; and their mean."""
    folder, ends = OFFLINE.parent / "ablations", {}
    for path in folder.glob("*_seed*.csv"):
        setting, seed = path.stem.rsplit("_seed", 1)
        last = stored(path)[-1]
        ends.setdefault(setting, {})[int(seed)] = float(last["real_return"]), float(last["imagined_return"])
    page = (OFFLINE.parent / "ablations.md").read_text()
    for setting, by_seed in ends.items():
        real, imagined = np.array([by_seed[seed] for seed in range(3)]).T
        cells = ", ".join(f"{x:,.0f} ({y:,.0f})" for x, y in zip(real, imagined))
        assert f"| {cells} | {tables.interval_text(tables.interquartile_mean(real))} |" in page, setting
    assert 3 * len(ends) == len(stored(folder / "runs.csv"))


def test_the_hours_of_all_pages_are_the_sum_of_their_minutes():
    """And of offline runs there are as many minutes as they took: 107 are of two that runs.csv has not."""
    page = (OFFLINE.parent / "README.md").read_text()
    minutes = {name: int(m) for name, m in re.findall(r"^\| (.*?) \|.*\| (\d+) \|$", page, re.M)}
    every = [int(m) for m in re.findall(r"^\|.*\| (\d+) \|$", page, re.M)]
    one, two = map(int, re.search(r"^Together (\d+) hours of one core, which is (\d+) of", page, re.M).groups())
    assert len(every) == 6 and (one, two) == (round(sum(every) / 60), round(sum(every) / 120))
    runs = [r for r in stored(OFFLINE / "runs.csv") if "d3rlpy" not in r["method"]]
    assert round(sum(float(r["wall_seconds"]) for r in runs) / 60) + 107 == minutes["[offline](offline.md)"]
    assert f"| {len(runs) + 2} | {minutes['[offline](offline.md)']} |" in page


# --- how much of a step is signal ------------------------------------------------------------------------------------


def test_signal_of_a_step(finished, tmp_path, monkeypatch, capsys):
    """A line per choice, a picture; and rows judged by themselves keep the whole promise."""
    monkeypatch.chdir(finished.parent.parent)
    monkeypatch.setattr(step_signal, "JUDGES", 2000)
    words = "--imagined_steps 100 400 --lam 0.9 --repeats 2 --out".split()
    assert step_signal.main([str(finished / "offline/bremen/bremen3"), *words, str(tmp_path / "s.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines if line.startswith("| 0.9")] == ["100", "400"]
    with Image.open(tmp_path / "s.png") as image:
        assert image.format == "PNG"
    cfg, s, data = step_signal.read(finished / "offline/bremen/bremen3")
    rows, std = step_signal.imagined_rows(s, data.obs, cfg, np.random.default_rng(0))
    monkeypatch.setattr(step_signal, "imagined_rows", lambda *given: (rows, std))
    own, fresh = step_signal.gains(s, data.obs, cfg, rows, std, 2, np.random.default_rng(0))
    assert own.min() > 0
    np.testing.assert_allclose(fresh, own, rtol=1e-3)


def test_signal_of_what_is_no_offline_run_is_refused(finished, tmp_path, capsys, monkeypatch):
    """Nor is one whose data are others by now."""
    monkeypatch.chdir(finished.parent.parent)
    run_3 = finished / "offline/bremen/bremen3"
    monkeypatch.setattr(step_signal.safe_files, "sha256", lambda path: "another")
    for folder in finished / "recursive/bremen/bremen3", tmp_path, run_3:
        assert step_signal.main([str(folder)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


# --- sweeps ----------------------------------------------------------------------------------------------------------


def sweep_runs(*words):
    """What examples/sweep.py does with a command line."""
    program = [sys.executable, str(ROOT / "examples" / "sweep.py"), *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


SWEEP = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --noise random --iterations 1".split()


@pytest.mark.whole
def test_a_sweep_finishes_what_is_not_finished(tmp_path):
    """Four runs; one is interrupted, one taken away: the same line again does these two and no other."""
    line = [tmp_path / "s", *SWEEP, "--bc_init", "yes", "no", "--random_seeds", "0", "1"]
    assert len(sweep_runs(*line, "--dry_run").stdout.splitlines()) == 4 and not (tmp_path / "s").exists()
    done = sweep_runs(*line)
    assert done.returncode == 0 and "4 runs, 0 of them finished before" in done.stdout, done.stderr
    folders = sorted(path.parent for path in tmp_path.rglob("policy.npz"))
    assert [folder.name for folder in folders] == ["bc_init-no0", "bc_init-no1", "bc_init-yes0", "bc_init-yes1"]
    before = [(folder / "policy.npz").read_bytes() for folder in folders]
    shutil.rmtree(folders[0])
    shutil.copy(folders[1] / "checkpoint_before.npz", folders[1] / "checkpoint.npz")
    lines = (folders[1] / "progress.csv").read_text().splitlines(keepends=True)
    (folders[1] / "progress.csv").write_text("".join(lines[:-1]))
    times = [(folder / "policy.npz").stat().st_mtime_ns for folder in folders[2:]]
    done = sweep_runs(*line)
    assert done.returncode == 0 and "4 runs, 2 of them finished before" in done.stdout, done.stderr
    assert [(folder / "policy.npz").read_bytes() for folder in folders] == before
    assert [(folder / "policy.npz").stat().st_mtime_ns for folder in folders[2:]] == times
    tables = report(tmp_path / "s").stdout.split("###")[1:]
    assert len(tables) == 3 and all("| IQM [95 %] |" in table for table in tables[:2]) and "Side by side" in tables[2]


@pytest.mark.whole
def test_a_run_that_fails_is_reported_and_stops_no_other(tmp_path):
    done = sweep_runs(tmp_path, *SWEEP, "--model_lr", "1e-3", "1e30", "--model_hidden", "8 8")
    assert done.returncode == 1 and done.stderr.count("failed: ") == 1 and "1e30" in done.stderr
    (folder,) = (path.parent for path in tmp_path.rglob("policy.npz"))
    assert "0.001" in str(folder) or "1e-3" in str(folder)
    (log,) = tmp_path.rglob("*1e30*.txt")
    assert "try a smaller model_lr" in log.read_text()


@pytest.mark.parametrize("words", ["--envi pendulum", "pendulum", "--env pendulum --threads 2", "--env moon",
                                   "--env pendulum --env hopper", "--env pendulum --gamma x",
                                   "--env pendulum --random_seeds 0 0",
                                   "--env pendulum --random_seeds '0 1'"])  # fmt: skip
def test_a_sweep_that_makes_no_sense_is_refused_in_one_line(words, tmp_path, capsys):
    assert sweep.main([str(tmp_path / "s"), *shlex.split(words)]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "s").exists()


@pytest.mark.parametrize("words", ["--mode offline --data a/x.npz b/x.npz", "--mode offline --bc_init yes no",
                                   "--mode recursive --std 0.2 0.3", "--mode online"])  # fmt: skip
def test_run_py_takes_the_lines_of_a_sweep_in_every_mode(words, tmp_path):
    """And each run has a folder of its own."""
    runs = sweep.plan(tmp_path, f"--env pendulum --random_seeds 0 1 {words}".split())
    assert len({folder for _, folder in runs}) == len(runs) >= 2
    for line, folder in runs:
        opts = run.read_flags(line)
        assert [run.page("resume").run_folder(cfg, opts) for cfg in run.configs_of(opts)] == [folder]


def test_a_sweep_does_not_take_a_run_with_other_numbers_for_its_own(finished, tmp_path, capsys):
    """The numbers, whatever their files are called; finished or not."""
    for seed in 3, 4:
        name = f"offline/bremen/bremen{seed}"
        changed(finished / name, tmp_path / "log" / "pendulum" / name, threads=1)
    same = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --iterations 1 --random_seeds 3 4".split()
    for line, folder in sweep.plan(tmp_path, [*same, "--keep_policies", "yes"]):
        assert not sweep.unfinished(folder) and line[-2:] == ["--data_dir", str(tmp_path / "data")]
    assert sweep.main([str(tmp_path), *same, "--gamma", "0.9"]) == 2
    assert "gamma 0.99, not 0.9" in capsys.readouterr().err


# --- as people start them --------------------------------------------------------------------------------------------


PROGRAMS = sorted((ROOT / "examples").glob("*.py")) + sorted((ROOT / "examples/parts").glob("*.py"))
IMPORT = """
import runpy, sys
for path in sys.argv[1:]:  # each as if it were the first
    before, path_before = set(sys.modules), list(sys.path)
    runpy.run_path(path, run_name="imported")
    sys.path[:] = path_before
    for name in set(sys.modules) - before & {"report", "sweep", "trial", "run", "bremen", "envs", "nets", "trpo"}:
        del sys.modules[name]
"""


def test_programs_find_their_modules_wherever_they_are_started(tmp_path):
    """With PYTHONSAFEPATH, or `python -P`, the folder of a program is not on the path."""
    line = [sys.executable, "-c", IMPORT, *map(str, PROGRAMS)]
    done = subprocess.run(line, cwd=tmp_path, env=os.environ | {"PYTHONSAFEPATH": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextmanager
def ascii_terminal():
    """A terminal that knows no other letters.  -> a function: what stdout has shown"""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        yield lambda: out.buffer.getvalue().decode()


def test_no_letter_of_a_report_ends_it_on_an_ascii_terminal(finished, tmp_path):
    shutil.copytree(finished / "offline/bremen/bremen3", tmp_path / "dé/bremen3")
    shutil.copytree(finished / "offline/bremen/bremen3", tmp_path / "dé/zwölf")
    with ascii_terminal() as shown:
        assert tables.main([str(tmp_path / "dé"), "--csv", str(tmp_path / "é.csv")]) == 0
        assert repeat.main([str(tmp_path / "nö.csv"), str(tmp_path)]) == 2
        assert sweep.main([str(tmp_path / "nö"), "--env", "pendulum", "--noise", "rosé"]) == 2
        assert re.search(r"\d \? \d", shown())


def test_no_letter_of_a_comparison_ends_it_on_an_ascii_terminal(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples/parts"))
    import trial

    tiny = dict(model_epochs=1, clone_steps=10, n_train=300, imagined_steps=200, horizon=20, iterations=1)
    monkeypatch.setattr(trial, "SMALL", trial.SMALL | tiny)
    with ascii_terminal() as shown:
        trial.compare()
        assert re.search(r"last policy: \S+ \? \d", shown())
