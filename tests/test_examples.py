"""What stands in examples/: behaviour policies that say where they come from, and the table of results."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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


def test_behaviour_policy_does_what_it_says():
    task = envs.TASKS["pendulum"]
    policy, meta = run.load_policy(ROOT / "examples" / "behavior" / "pendulum.npz", task)
    returns, _ = envs.evaluate(task, policy.sample, 200, np.random.default_rng(0))
    error = meta["return_std"] * np.sqrt(1 / 100 + 1 / 200)
    assert abs(returns.mean() - meta["return_mean"]) < 4 * error


def test_table_of_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = "--env pendulum --preset smoke --n_train 600 --clone_steps 50 --iterations 1 --random_seeds 3 4"
    assert run.main(small.split()) == 0
    folders = [f"log/pendulum/offline/bremen/bremen{seed}" for seed in (4, 3)]
    table = [sys.executable, str(ROOT / "examples" / "table.py"), *folders]
    text = subprocess.run(table, capture_output=True, text=True, check=True).stdout
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert [row[0].strip() for row in rows] == ["seed", "---", "3", "4", "IQM [95 %]"]
    history = json.loads(str(envs.read_npz(f"{folders[1]}/checkpoint.npz")["meta"]))["history"]
    last = history["rows"][-1]
    assert rows[2][3].split() == [f"{last['real_return']:,.0f}", "±", f"{last['real_return_std']:,.0f}"]
