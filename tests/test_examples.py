"""What stands in examples/: behaviour policies that say where they come from, and the table of results."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import envs
import run

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {  # returns wanted of the behaviour policies: good enough to learn from, bad enough to be beaten
    "ant": (1000, 2200),
    "half_cheetah": (3500, 4500),
    "cheetah_run": (250, 450),
    "hopper": (900, 1500),
    "walker2d": (1000, 1800),
    "pendulum": (-700, -400),
}


@pytest.mark.parametrize("env", envs.TASKS)
def test_behaviour_policy_says_where_it_comes_from(env):
    policy, meta = run.load_policy(ROOT / "examples" / "behavior" / f"{env}.npz", envs.TASKS[env])
    low, high = LEVELS[env]
    assert low <= meta["return_mean"] <= high and meta["return_std"] > 0 and meta["episodes"] == 100
    assert meta["command"].startswith(f"python run.py --mode online --env {env}")
    assert meta["real_steps"] > 0 and {"python", "numpy", "mujoco"} <= meta["versions"].keys()
    obs = np.zeros((2, envs.TASKS[env].obs_dim), np.float32)
    assert policy.mean(obs).shape == (2, envs.TASKS[env].act_dim)


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "pretrained").glob("*.npz")), ids=lambda p: p.stem)
def test_pretrained_policy_says_what_it_cost(path):
    """Made by the plain command of mode recursive: its deployments and transitions are those of the preset."""
    policy, meta = run.load_policy(path, envs.TASKS[path.stem])
    cfg = run.read_config(vars(run.parser().parse_args(meta["command"].split()[2:])))
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
        patch.chdir(folder)
        small = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --online_steps 4000"
        for words in ("--iterations 1 --random_seeds 3 4", "--mode recursive --random_seeds 3 4", "--mode online"):
            assert run.main(f"{small} {words}".split()) == 0
    return folder / "log" / "pendulum"


def report(*words):
    """What examples/report.py prints."""
    program = [sys.executable, str(ROOT / "examples" / "report.py"), *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


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


def test_report_refuses_what_is_no_run_or_not_finished(finished, tmp_path):
    assert report(tmp_path).stderr.count("\n") == 1
    shutil.copytree(finished / "offline/bremen/bremen3", tmp_path / "early")
    lines = (tmp_path / "early/progress.csv").read_text().splitlines(keepends=True)
    (tmp_path / "early/progress.csv").write_text("".join(lines[:-1]))
    done = report(tmp_path / "early")
    assert done.returncode != 0 and "not finished" in done.stderr


def sweep(*words):
    """What examples/sweep.py does with a command line."""
    program = [sys.executable, str(ROOT / "examples" / "sweep.py"), *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


SWEEP = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --noise random --iterations 1".split()


def test_a_sweep_finishes_what_is_not_finished(tmp_path):
    """Four runs; one is interrupted, one taken away: the same line again does these two and no other."""
    line = [tmp_path / "s", *SWEEP, "--bc_init", "yes", "no", "--random_seeds", "0", "1"]
    assert len(sweep(*line, "--dry_run").stdout.splitlines()) == 4 and not (tmp_path / "s").exists()
    done = sweep(*line)
    assert done.returncode == 0 and "4 runs, 0 of them finished before" in done.stdout, done.stderr
    folders = sorted(path.parent for path in tmp_path.rglob("policy.npz"))
    assert [folder.name for folder in folders] == ["bc_init-no0", "bc_init-no1", "bc_init-yes0", "bc_init-yes1"]
    before = [(folder / "policy.npz").read_bytes() for folder in folders]
    shutil.rmtree(folders[0])
    shutil.copy(folders[1] / "checkpoint_before.npz", folders[1] / "checkpoint.npz")
    lines = (folders[1] / "progress.csv").read_text().splitlines(keepends=True)
    (folders[1] / "progress.csv").write_text("".join(lines[:-1]))
    times = [(folder / "policy.npz").stat().st_mtime_ns for folder in folders[2:]]
    done = sweep(*line)
    assert done.returncode == 0 and "4 runs, 2 of them finished before" in done.stdout, done.stderr
    assert [(folder / "policy.npz").read_bytes() for folder in folders] == before
    assert [(folder / "policy.npz").stat().st_mtime_ns for folder in folders[2:]] == times
    tables = report(tmp_path / "s").stdout.split("###")[1:]
    assert len(tables) == 2 and all("| IQM [95 %] |" in table for table in tables)


def test_a_run_that_fails_is_reported_and_stops_no_other(tmp_path):
    done = sweep(tmp_path, *SWEEP, "--model_lr", "1e-3", "1e30", "--model_hidden", "8 8")
    assert done.returncode == 1 and done.stderr.count("failed: ") == 1 and "1e30" in done.stderr
    (folder,) = (path.parent for path in tmp_path.rglob("policy.npz"))
    assert "0.001" in str(folder) or "1e-3" in str(folder)
    (log,) = tmp_path.rglob("*1e30*.txt")
    assert "try a smaller model_lr" in log.read_text()


@pytest.mark.parametrize("words", ["--envi pendulum", "pendulum", "--env pendulum --threads 2", "--env moon",
                                   "--env pendulum --env hopper", "--env pendulum --gamma x"])  # fmt: skip
def test_a_sweep_that_makes_no_sense_is_refused_in_one_line(words, tmp_path):
    done = sweep(tmp_path / "s", *words.split())
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "s").exists()
