"""The comparison with d3rlpy: what it refuses, what it leaves behind, and that it measures as the project does.

All but the last two tests stand a fake in for the library, which the suite does not install.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import compare_d3rlpy as compare
import numpy as np
import pytest
import safe_files

import bremen
import envs
import run

ROOT = Path(__file__).resolve().parent.parent
SMALL = "--env pendulum --preset smoke --noise random --n_train 600 --steps 7".split()


class Fake:
    """A configuration and an algorithm of d3rlpy in one: it acts as the actions that it saw did on average."""

    batch_size = 16

    def __init__(self, name, **numbers):
        self.config, self.name, self.numbers, self.batches = self, name, numbers, []

    def create(self):
        return self

    def create_impl(self, *shapes):
        self.shapes = shapes

    def serialize_to_dict(self):
        return {"type": self.name}

    def update(self, batch):
        self.batches.append(batch)

    def predict(self, obs):
        return np.tile(np.mean([b.actions for b in self.batches], axis=(0, 1)), (len(obs), 1))


@pytest.fixture
def made(monkeypatch):
    """Fakes of d3rlpy and PyTorch.  -> the list of Fakes that were made"""
    made = []
    config = lambda name: lambda **numbers: made.append(Fake(name, **numbers)) or made[-1]
    plain = SimpleNamespace(**{name: dict for name in ("MinMaxActionScaler", "StandardObservationScaler", "AdamFactory",
            "ReturnBasedRewardScaler", "CosineAnnealingLRFactory")}, VectorEncoderFactory=list)  # fmt: skip
    library = SimpleNamespace(__version__="1.2", seed=np.random.default_rng, preprocessing=plain, optimizers=plain,
            models=plain, dataset=SimpleNamespace(TransitionMiniBatch=SimpleNamespace),
            algos=SimpleNamespace(**{name: config(name) for name in compare.METHODS.values()}))  # fmt: skip
    monkeypatch.setitem(sys.modules, "d3rlpy", library)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="3.4", set_num_threads=lambda n: None))
    return made


def line(tmp_path, *words):
    """A small command line, its datasets and runs in tmp_path."""
    return [*SMALL, "--data_dir", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *map(str, words)]


def result(folder):
    """The only row of a run's result.csv."""
    with open(folder / "result.csv", newline="") as f:
        (row,) = csv.DictReader(f)
    return row


BAD = ["--env moon", "--env pendulum --methods ppo", "--envi pendulum", "--env pendulum --steps 0", "--preset smoke",
       "--env pendulum --preset tiny", "--env pendulum --n_train 0", "--env pendulum --random_seeds -1",
       "--env pendulum --noise loud", "--env pendulum --data missing.npz", "--env pendulum --steps many"]  # fmt: skip


@pytest.mark.parametrize("words", BAD)
def test_a_line_that_makes_no_sense_is_refused_in_one_line(words, made, tmp_path, capsys):
    assert compare.main([*words.split(), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("compare_d3rlpy.py: ") and told.err.count("\n") == 1
    assert not list(tmp_path.iterdir()) and not made


def test_data_of_another_environment_are_refused_before_any_run(made, tmp_path, capsys):
    assert compare.main(line(tmp_path, "--methods", "bc")) == 0
    (data,) = tmp_path.rglob("*.npz")
    words = ["--env", "pendulum", "hopper", "--data", str(data), "--out", str(tmp_path / "other")]
    assert compare.main(words) == 2 and "not of hopper" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_without_d3rlpy_one_line_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "d3rlpy", None)  # what an import of a missing module comes to
    assert compare.main(line(tmp_path)) == 2
    told = capsys.readouterr().err
    assert "d3rlpy" in told and "--help" in told and told.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_run_as_a_process_of_its_own_refuses_without_traceback(tmp_path):
    words = [sys.executable, str(ROOT / "examples/compare_d3rlpy.py"), "--env", "moon", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not done.stdout


def test_the_row_and_the_config_say_what_was_done(made, tmp_path):
    """Same rows as run.py --mode offline, same simulator and stream as envs.evaluate: the numbers are those."""
    assert compare.main(line(tmp_path, "--methods", "bc", "--random_seeds", 3)) == 0
    folder, task = tmp_path / "out/pendulum/bc/bc3", envs.TASKS["pendulum"]
    row, config = result(folder), json.loads((folder / "config.json").read_text())
    given = {"env": "pendulum", "preset": "smoke", "noise": "random", "n_train": 600, "seed": 3}
    cfg = run.read_config(given | {"data_dir": str(tmp_path / "data")})
    data, _, path = run.read_dataset(cfg, {})
    returns, lengths = envs.evaluate(
        task, lambda obs, rng: made[0].predict(obs), cfg.eval_episodes, bremen.streams(3)["evaluate"]
    )
    assert (float(row["real_return"]), float(row["real_return_std"])) == (returns.mean(), returns.std())
    assert (float(row["real_length"]), int(row["episodes"])) == (lengths.mean(), cfg.eval_episodes)
    logged, _ = envs.episode_returns(data)
    assert (float(row["data_return"]), float(row["data_return_std"])) == (logged.mean(), logged.std())
    assert (row["env"], row["method"], row["seed"], row["steps"]) == ("pendulum", "bc", "3", "7")
    assert row["real_transitions"] == "600" and row["sha256"] == config["sha256"] == safe_files.sha256(path)
    assert "d3rlpy 1.2, torch 3.4" in row["versions"] and config["versions"]["torch"] == "3.4"
    assert config["d3rlpy"] == {"type": "BCConfig"} and config["steps"] == 7 and config["file"] == path.name
    assert all(float(row[f"{part}_seconds"]) >= 0 for part in ("data", "fit", "evaluate"))
    again = row["command"].split()[2:]  # the line in the row is the same run
    again[again.index("DIR")] = str(tmp_path / "again")
    assert compare.main([*again, "--data_dir", str(tmp_path / "data")]) == 0
    assert result(tmp_path / "again/pendulum/bc/bc3")["real_return"] == row["real_return"]


def test_minibatches_are_rows_of_the_data(made, tmp_path):
    assert compare.main(line(tmp_path, "--methods", "bc")) == 0
    (path,) = tmp_path.rglob("*.npz")
    data, _ = envs.load_dataset(path)
    logged = {(*o, *a, r, *n) for o, a, r, n in zip(*(x.tolist() for x in data[:2]), data.rew.tolist(),
              data.next_obs.tolist())}  # fmt: skip
    assert len(made[0].batches) == 7 and made[0].shapes == ((3,), 1)
    for b in made[0].batches:
        for o, a, r, n in zip(b.observations, b.actions, b.rewards, b.next_observations):
            assert (*o.tolist(), *a.tolist(), *r.tolist(), *n.tolist()) in logged


def test_only_termination_ends_the_future(made):
    """Three episodes of two steps: terminated, truncated, and cut by --n_train without any flag."""
    obs, nothing = np.arange(6, dtype=np.float32)[:, None], np.zeros(6, bool)
    terminated, truncated = nothing.copy(), nothing.copy()
    terminated[1], truncated[3] = True, True
    batch = envs.Batch(obs, 10 + obs, 20 + obs[:, 0], 30 + obs, terminated, truncated)
    b = compare.minibatch(batch, np.array([3, 1, 5]))
    assert b.terminals.tolist() == [[0], [1], [0]] and b.rewards.tolist() == [[23], [21], [25]]
    assert b.next_observations.tolist() == [[33], [31], [35]] and b.actions.tolist() == [[13], [11], [15]]
    assert {x.dtype for x in vars(b).values() if len(x)} == {np.dtype(np.float32)}


def test_the_numbers_that_depend_on_data_and_task(made, tmp_path):
    assert compare.main(line(tmp_path)) == 0
    (path,) = tmp_path.rglob("*.npz")
    data, returns = envs.load_dataset(path)[0], envs.episode_returns(envs.load_dataset(path)[0])[0]
    td3_bc, iql, cql, bc = (fake.numbers for fake in made)
    assert all(numbers["action_scaler"] == {"minimum": [-2], "maximum": [2]} for numbers in (td3_bc, iql, cql, bc))
    np.testing.assert_allclose(td3_bc["observation_scaler"]["mean"], data.obs.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(td3_bc["observation_scaler"]["std"], data.obs.std(axis=0), rtol=1e-4)
    assert iql["reward_scaler"] == {"multiplier": 1000, "return_max": returns.max(), "return_min": returns.min()}
    assert iql["actor_optim_factory"] == {"lr_scheduler_factory": {"T_max": 7}}
    assert cql["actor_encoder_factory"] == [256, 256, 256] and len(bc) == 1


def test_the_same_line_does_what_is_not_finished(made, tmp_path, capsys):
    words = line(tmp_path, "--methods", "bc", "cql", "--random_seeds", 0, 1, 1)
    assert compare.main(words) == 0 and "4 runs, 0 of them finished before" in capsys.readouterr().out
    folder, plain = tmp_path / "out/pendulum/cql/cql1", lambda row: {k: v for k, v in row.items() if "seconds" not in k}
    before = plain(result(folder))
    (folder / "result.csv").unlink()  # as if interrupted
    assert compare.main(words) == 0 and "4 runs, 3 of them finished before" in capsys.readouterr().out
    assert len(made) == 5 and plain(result(folder)) == before
    assert compare.main(words) == 0 and len(made) == 5


def test_runs_with_other_numbers_are_not_taken_for_finished(made, tmp_path, capsys):
    assert compare.main(line(tmp_path, "--methods", "bc")) == 0
    assert compare.main([*line(tmp_path, "--methods", "bc"), "--steps", "8"]) == 2
    assert "steps 7, not 8" in capsys.readouterr().err and len(made) == 1


def no_luck(self, batch):
    raise RuntimeError("no\nluck")


def not_a_number(self, obs):
    return np.full((len(obs), 1), np.nan)


@pytest.mark.parametrize(
    "part, broken, why", [("update", no_luck, "no luck"), ("predict", not_a_number, "not a number")]
)
def test_a_run_that_fails_is_reported_and_stops_no_other(part, broken, why, made, tmp_path, monkeypatch, capsys):
    usual = getattr(Fake, part)
    with monkeypatch.context() as patch:
        patch.setattr(Fake, part, lambda self, x: (broken if self.name == "IQLConfig" else usual)(self, x))
        assert compare.main(line(tmp_path)) == 1
    told, folder = capsys.readouterr().err, tmp_path / "out/pendulum/iql/iql0"
    assert told.count("failed: ") == 1 and why in told and str(folder / "failed.txt") in told
    assert "Traceback" in (folder / "failed.txt").read_text()
    assert {path.parent.name for path in tmp_path.rglob("result.csv")} == {"td3_bc0", "cql0", "bc0"}
    assert compare.main(line(tmp_path)) == 0 and (folder / "result.csv").exists()
    assert not (folder / "failed.txt").exists()


def test_d3rlpy_sees_the_transitions_that_it_would_have_made_itself_and_the_ones_it_loses():
    """Its MDPDataset agrees row by row, but has no last row of a truncated episode and no episode without an end."""
    d3rlpy = pytest.importorskip("d3rlpy")
    policy = envs.TASKS["hopper"].random_action
    data = envs.collect(envs.TASKS["hopper"], ((1.0, policy),), 300, np.random.default_rng(0), num_envs=4)
    ends = np.flatnonzero(data.terminated)
    data.terminated[ends[0]], data.truncated[ends[0]] = False, True
    theirs = d3rlpy.dataset.MDPDataset(*data[:3], data.terminated.astype(float), data.truncated.astype(float))
    kept = np.delete(np.arange(300), [ends[0], *([299] if data.truncated[-1] else [])])
    assert theirs.transition_count == len(kept)
    ours = compare.minibatch(data, kept)
    for i in range(len(kept)):
        t = theirs.transition_picker(*theirs.buffer[i])
        assert (t.observation == ours.observations[i]).all() and (t.action == ours.actions[i]).all()
        assert t.reward == ours.rewards[i] and t.terminal == ours.terminals[i]
        assert t.terminal or (t.next_observation == ours.next_observations[i]).all()


def test_d3rlpy_runs(tmp_path):
    """The real library, 200 steps on the pendulum (CQL is slow: two), and the same bytes a second time."""
    pytest.importorskip("d3rlpy")
    rows = []
    for out in ("a", "b"):
        words = line(tmp_path, "--methods", "td3_bc", "iql", "bc", "--steps", 200, "--out", tmp_path / out)
        slow = line(tmp_path, "--methods", "cql", "--steps", 2, "--out", tmp_path / out)
        for some in (words, slow):
            program = [sys.executable, str(ROOT / "examples/compare_d3rlpy.py"), *some]
            done = subprocess.run(program, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and "failed" not in done.stderr, done.stderr
        rows.append([result(path.parent) for path in sorted((tmp_path / out).rglob("result.csv"))])
    assert [row["method"] for row in rows[0]] == ["bc", "cql", "iql", "td3_bc"]
    assert all(-2000 < float(row["real_return"]) < 0 for row in rows[0])
    assert [row["real_return"] for row in rows[0]] == [row["real_return"] for row in rows[1]]
