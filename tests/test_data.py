"""Datasets that this program did not make: which of their rows a run takes, and what is said of odd ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safe_files
import step_signal

import bremen
import envs
import nets
import run
from envs import Batch

PENDULUM, HOPPER = envs.TASKS["pendulum"], envs.TASKS["hopper"]
CFG = run.read_config({"env": "pendulum", "preset": "smoke"})
SHORT = """--mode offline --env pendulum --preset smoke --threads 1 --iterations 1 --iteration_updates 1 --clone_steps 5
           --model_epochs 1 --imagined_steps 100 --eval_episodes 2 --eval_interval_episodes 2""".split()


def chained(lengths, task=PENDULUM, seed=0):
    """Episodes of these lengths, one behind the other, each truncated; rew counts the rows of the file.  -> Batch"""
    rng, parts = np.random.default_rng(seed), []
    for n in lengths:
        obs = rng.uniform(-1, 1, (n + 1, task.obs_dim)).astype(np.float32)
        obs[:, 0] = 1.0  # every robot stands
        act = rng.uniform(-1, 1, (n, task.act_dim)).astype(np.float32)
        no = np.zeros(n, bool)
        parts.append(Batch(obs[:-1], act, np.zeros(n, np.float32), obs[1:], no, np.arange(n) == n - 1))
    batch = envs.join(parts)
    return batch._replace(rew=np.arange(len(batch.rew), dtype=np.float32))


def taken(batch, n, seed=0, meta=None):
    """What `run.page("foreign_data").some_rows` takes, its rows in the file, and how it says so."""
    some, text = run.page("foreign_data").some_rows(batch, meta or {}, replace(CFG, n_train=n, seed=seed))
    rows = some.rew.astype(int)
    for name in ("obs", "act", "next_obs", "terminated"):
        np.testing.assert_array_equal(getattr(some, name), getattr(batch, name)[rows], name)
    return some, rows, text


OURS = {"seed": 0, "versions": {}, "noise": "pure"}


@pytest.mark.parametrize("meta", [OURS, {"seed": 0, "versions": {}, "deployment": 3}])
def test_of_its_own_files_it_takes_the_first_rows(meta):
    batch = chained([50] * 20)
    some, rows, text = taken(batch, 333, meta=meta)
    assert rows.tolist() == list(range(333)) and text == "the first 333 of 1,000 rows"
    assert some.truncated.tolist() == batch.truncated[:333].tolist()
    assert taken(batch, 1000, meta=meta)[2] == "" and taken(batch, 2000, meta=meta)[2] == ""


@pytest.mark.parametrize("meta", [{}, OURS | {"source": "brac, pure"}, {"noise": "medium"}])
@pytest.mark.parametrize("lengths", [[50] * 200, [200] * 10 + [20] * 400, list(range(1, 151))], ids=str)
def test_of_other_files_it_takes_whole_episodes_from_all_over(meta, lengths):
    """Exactly n rows; all episodes but one whole; every tenth of the file has its share, to within two episodes."""
    batch = chained(lengths)
    begins, every = np.cumsum([0, *lengths]), len(batch.rew)
    for n in (1, 199, every // 10, every // 2, every - 1):
        some, rows, text = taken(batch, n, meta=meta)
        assert len(rows) == n == len(set(rows)) and (np.diff(rows) > 0).all()
        assert text == f"{n:,} of {every:,} rows: whole episodes from all over the file, drawn with seed 0"
        counts, _ = np.histogram(rows, begins)
        parts = counts[(counts > 0) & (counts < lengths)]
        assert len(parts) <= 1
        ends = np.flatnonzero(some.truncated)
        assert len(ends) == np.count_nonzero(counts) and ends[-1] == n - 1
        assert not np.any(np.diff(rows)[~some.truncated[:-1]] != 1), "no two pieces are taken for one episode"
        tenths = np.add.reduceat(counts, np.arange(0, len(lengths), -(-len(lengths) // 10)))
        wanted = np.add.reduceat(lengths, np.arange(0, len(lengths), -(-len(lengths) // 10))) * n / every
        assert np.all(np.abs(tenths - wanted) <= 2 * max(lengths))


def test_good_data_behind_bad_ones_have_their_share():
    """As of D4RL's medium-expert files: the former rule took none of the second half."""
    batch = chained([200] * 1000)
    for seed in range(5):
        _, rows, _ = taken(batch, 100_000, seed)
        assert abs(np.mean(rows >= 100_000) - 0.5) < 0.01
    assert not np.array_equal(taken(batch, 5000, 0)[1], taken(batch, 5000, 1)[1])
    np.testing.assert_array_equal(taken(batch, 5000, 1)[1], taken(batch, 5000, 1)[1])


def test_rows_without_any_end_are_taken_in_pieces():
    """One long episode: pieces of the time limit, from all over it."""
    batch = chained([20_000])
    some, rows, _ = taken(batch, 2000)
    assert np.count_nonzero(some.truncated) == 10 and np.count_nonzero(rows >= 10_000) in (800, 1000, 1200)


def test_a_run_says_which_rows_it_takes(tmp_path, monkeypatch, capsys, no_pictures):
    """On the screen and in run.json; what looks at the same data later takes the same rows."""
    monkeypatch.chdir(tmp_path)
    own = {"env": "pendulum", **OURS}
    for name, meta in (("ours.npz", own), ("theirs.npz", {"env": "pendulum"})):
        safe_files.save_dataset(tmp_path / name, [chained([100] * 10)], meta)
        assert run.main([*SHORT, "--data", name, "--n_train", "350", "--exp_name", Path(name).stem]) == 0
        text = "the first 350 of 1,000 rows" if meta is own else "350 of 1,000 rows: whole episodes from all over"
        assert f"note: {text}" in capsys.readouterr().out
        folder = Path("log/pendulum/offline", Path(name).stem, f"{Path(name).stem}0")
        about = json.loads((folder / "run.json").read_text())
        assert about["data"]["rows"].startswith(text)
        _, _, data = step_signal.read(folder)
        seen, _, _ = run.read_dataset(replace(CFG, n_train=350, data=name), {})
        assert [c.tobytes() for c in data] == [c.tobytes() for c in seen]


def test_a_run_that_began_with_other_rows_is_not_silently_gone_on_with(tmp_path, monkeypatch, capsys, no_pictures):
    """A checkpoint from before rows of foreign files were taken from all over them."""
    monkeypatch.chdir(tmp_path)
    safe_files.save_dataset(tmp_path / "theirs.npz", [chained([100] * 10)], {"env": "pendulum"})
    line = [*SHORT, "--data", "theirs.npz", "--n_train", "350"]
    assert run.main(line) == 0
    folder = Path("log/pendulum/offline/bremen/bremen0")
    cfg = run.read_config({}, folder / "config.json")
    state, history = run.page("resume").load_checkpoint(folder / "checkpoint.npz", cfg)
    del history.data["rows"]
    run.page("resume").save_checkpoint(folder / "checkpoint.npz", cfg, state, history)
    capsys.readouterr()
    assert run.main(["--resume", str(folder)]) == 2
    err = capsys.readouterr().err
    assert "began with its first rows" in err and err.count("\n") == 1


UNFIT = {  # what is wrong in meta: the words that its refusal must hold
    "notes that are none": ({"notes": 5}, "notes"),
    "a bar of one number": ({"policy_return": [1]}, "policy_return"),
    "a bar of text": ({"policy_return": ["y", "n"]}, "policy_return"),
    "a bar too high": ({"policy_return": [10**400, 1]}, "policy_return"),
    "a bar that is a number": ({"policy_return": 5}, "policy_return"),
    "a mean action's bar of text": ({"mean_action_return": ["y", "n"]}, "mean_action_return"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_meta_may_not_say_is_refused_in_one_line(what, tmp_path):
    meta, words = UNFIT[what]
    path = tmp_path / "own.npz"
    safe_files.write_npz(path, **chained([10])._asdict(), meta=json.dumps({"env": "pendulum", **meta}))
    with pytest.raises(envs.DataError, match=words) as caught:
        run.page("foreign_data").load_rows(path, PENDULUM)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_file_that_claims_to_unpack_to_much_more_is_refused_in_one_line(tmp_path):
    path = tmp_path / "packed.npz"
    np.savez_compressed(path, **chained([10])._asdict(), meta="{}", more=np.zeros(120_000_000, bool))
    with pytest.raises(envs.DataError, match="unpacks to 120 MB: store it without compression"):
        run.page("foreign_data").load_rows(path, PENDULUM)


# --- rows in no order -----------------------------------------------------------------------------------------------


def notes_of(tmp_path, batch, task=PENDULUM, **meta):
    """Batch and notes of a user's own file."""
    path = tmp_path / "own.npz"
    safe_files.write_npz(path, **batch._asdict(), meta=json.dumps({"env": task.name, **meta}))
    loaded, about = run.page("foreign_data").load_rows(path, task)
    return loaded, about["notes"]


def interleaved(batch, robots):
    """Rows of so many episodes of one length, step by step, as a vector environment gives them."""
    return Batch(*(c.reshape(robots, -1, *c.shape[1:]).swapaxes(0, 1).reshape(c.shape) for c in batch))


def test_rows_that_go_on_get_no_note(tmp_path):
    batch = chained([150, 30, 200])
    loaded, notes = notes_of(tmp_path, batch)
    assert notes == [] and loaded.truncated.tolist() == batch.truncated.tolist()
    close = batch._replace(next_obs=batch.next_obs.astype(np.float64) * (1 + 2e-7))  # rounding is no gap
    assert notes_of(tmp_path, close)[1] == []
    ours = envs.collect(HOPPER, envs.behavior(HOPPER, None, "random"), 2000, np.random.default_rng(0))
    assert notes_of(tmp_path, ours, HOPPER, noise="random")[1] == []


@pytest.mark.parametrize("seen", ["shuffled", "interleaved", "two gaps"])
def test_rows_in_another_order_are_counted_and_end_an_episode(seen, tmp_path):
    batch = chained([100] * 4)
    if seen == "shuffled":
        order = np.random.default_rng(1).permutation(400)
        batch = Batch(*(column[order] for column in batch))
        where = np.flatnonzero(~batch.truncated[:-1] & (np.diff(order) != 1))
    elif seen == "interleaved":
        batch = interleaved(batch, 4)
        where = np.arange(396)
    else:
        where = np.array([13, 250])
        batch.next_obs[where] += np.float32(0.01)
    loaded, notes = notes_of(tmp_path, batch)
    assert len(notes) == 1 and notes[0].startswith(f"{len(where):,} of 400 rows do not go on in the next one")
    assert loaded.truncated[where].all()
    np.testing.assert_array_equal(loaded.truncated, batch.truncated | np.isin(np.arange(400), where))


def test_episodes_longer_than_the_task_allows_are_said(tmp_path):
    _, notes = notes_of(tmp_path, chained([150, 201, 999]))
    assert notes == ["an episode of 999 steps: here they end after 200, and return less"]
    endless = chained([150, 201])  # the last one has no end, and is an episode all the same
    endless.truncated[-1] = False
    assert notes_of(tmp_path, endless)[1] == ["an episode of 201 steps: here they end after 200, and return less"]


def test_data_recorded_without_termination_say_what_follows(tmp_path):
    """A hopper of a user's own file that lies from its third row on."""
    batch = chained([10], HOPPER)
    batch.obs[2:, 0] = batch.next_obs[1:, 0] = 0.1
    batch.obs[:, 1] = batch.next_obs[:, 1] = 0
    _, notes = notes_of(tmp_path, batch, HOPPER)
    assert len(notes) == 1 and "in 9 of 10 rows; 9 go on where the robot has fallen: imagined paths" in notes[0]
    ended = batch._replace(terminated=np.arange(10) == 9, truncated=np.zeros(10, bool))
    ended.obs[2:, 0] = ended.next_obs[1:, 0] = 1.2
    _, notes = notes_of(tmp_path, ended, HOPPER)
    assert notes == ["episodes end by another rule than this project's in 1 of 10 rows"]


def test_imagined_paths_from_a_fall_are_as_short_as_the_note_says():
    """Models that leave everything where it is: from a row that lies, one step; from one that stands, all of them."""
    cfg = run.read_config({"env": "hopper", "preset": "smoke"})
    batch = envs.collect(HOPPER, envs.behavior(HOPPER, None, "random"), 400, np.random.default_rng(0))
    state = next(r["state"] for r in bremen.train_offline(cfg, batch) if r["stage"] == "clone")
    still = nets.Normalizer(np.zeros(11), np.ones(11))
    changes = dict(phi=np.zeros_like(state.dynamics.phi), delta=still, lowest=np.full(11, -9), highest=np.full(11, 9))
    dtypes = {k: np.float32 for k in ("phi", "lowest", "highest")}
    changes = {k: x.astype(dtypes[k]) if k in dtypes else x for k, x in changes.items()}
    state = state._replace(dynamics=state.dynamics._replace(**changes))
    ends = []
    for height in (1.2, 0.2):
        start = np.float32(height) * (np.arange(11) == 0)[None].astype(np.float32)
        paths, _ = bremen.imagine_paths(state, start, cfg, np.random.default_rng(0))
        ends.append(np.mean(paths.terminated))
    assert ends == [0.0, 1.0]
