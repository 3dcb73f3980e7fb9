"""run.py: bad input in one line, what each mode leaves behind, the same bytes again, interrupted runs resumed.

Everything goes through `run.main`, on a pendulum with episodes of 25 steps and networks of 8 units: a whole offline
run takes about half a second.
"""

import ast
import contextlib
import csv
import dataclasses
import errno
import hashlib
import importlib.util
import io
import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safe_files
from matplotlib.figure import Figure
from PIL import Image
from test_envs import headless_gl  # noqa: F401 (a fixture)

import bremen
import envs
import nets
import run
import trpo

HERE = Path(__file__).parent
SMALL = "--preset smoke --n_train 300 --imagined_steps 100 --clone_steps 20 --model_epochs 2".split()
SMALL += "--model_hidden 8 --policy_hidden 8 --value_hidden 8 --model_noise 0.5".split()
PENDULUM = [*SMALL, "--env", "pendulum", "--noise", "random"]
COLLECT = "--mode collect --env pendulum --preset smoke --n_train 300 --noise random".split()
FIELDS = {f.name: f.default for f in dataclasses.fields(bremen.Config)}
PROMISED = ["checkpoint.npz", "checkpoint_before.npz", "config.json", "curves.png", "policy.npz", "progress.csv"]
PROMISED.append("run.json")


@pytest.fixture(scope="module", autouse=True)
def short_pendulum():
    """Episodes of 25 steps instead of 200, and no waiting for the disk: nobody cuts the power of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        patch.setitem(envs.TASKS, "pendulum", dataclasses.replace(envs.TASKS["pendulum"], max_steps=25))
        yield


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A folder with data/ and a finished run under log/; what the run said."""
    folder, out, err = tmp_path_factory.mktemp("reference"), io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        assert run.main(PENDULUM) == 0, err.getvalue()
    assert err.getvalue() == "", "no terminal: no progress bars"
    return folder, out.getvalue()


@pytest.fixture
def finished(reference):
    """The directory of the finished run."""
    return reference[0] / "log" / "pendulum" / "offline" / "bremen" / "bremen0"


@pytest.fixture
def dataset(reference):
    """The dataset that it was trained on."""
    (path,) = (reference[0] / "data").rglob("*.npz")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def go(*argv):
    """The command line `argv`, which must succeed."""
    assert run.main([str(a) for a in argv]) == 0


def rows_of(folder):
    """progress.csv as dicts of strings."""
    with open(folder / "progress.csv", newline="") as f:
        return list(csv.DictReader(f))


def untimed(folder):
    """progress.csv without its timings."""
    return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows_of(folder)]


def same_results(a, b):
    """Two run directories with the same bytes in what depends on the seed."""
    assert (a / "policy.npz").read_bytes() == (b / "policy.npz").read_bytes()
    assert untimed(a) == untimed(b)


def tree(folder):
    """Every path below a folder with the content of the files."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def random_policy(path, env):
    """A policy file of `env` with random weights."""
    cfg = bremen.Config(env=env, policy_hidden=(8,))
    theta = nets.init_mlp(np.random.default_rng(0), bremen.policy_net(cfg).sizes)
    theta = np.concatenate([theta, np.zeros(envs.TASKS[env].act_dim, np.float32)])
    norm = nets.Normalizer(np.zeros(envs.TASKS[env].obs_dim), np.ones(envs.TASKS[env].obs_dim))
    run.save_policy(path, nets.Policy(theta, norm, bremen.policy_net(cfg)), cfg)


def stderr_line(capsys):
    """The one line on stderr."""
    err = capsys.readouterr().err
    assert err.startswith("run.py: ") and err.endswith("\n") and err.count("\n") == 1, err
    return err


# --- bad input ------------------------------------------------------------------------------------------------------


def rewritten(path, new, **changes):
    """A copy of an .npz with some arrays replaced."""
    arrays = envs.read_npz(path)
    np.savez(new, **{**arrays, **changes})


@pytest.fixture(scope="module")
def collection(reference, tmp_path_factory):
    """A folder of things that cannot be used, beside a finished run in log/ and its dataset in data/."""
    folder = tmp_path_factory.mktemp("museum") / "m"
    shutil.copytree(reference[0], folder)
    (data,), finished = folder.glob("data/pendulum/*.npz"), folder / "log/pendulum/offline/bremen/bremen0"
    data.rename(folder / "data.npz")
    shutil.copy(folder / "data.npz", data)
    policy, obs = finished / "policy.npz", envs.read_npz(data)["obs"]
    (folder / "text.npz").write_text("obs, act, rew\n")
    (folder / "truncated.npz").write_bytes(data.read_bytes()[:-99])
    np.savez(folder / "pickled.npz", obs=np.array([{}], object))
    rewritten(data, folder / "narrow.npz", obs=obs[:, :2])
    rewritten(data, folder / "moon.npz", meta='{"env": "moon"}')
    rewritten(data, folder / "nan.npz", obs=np.where(obs > 0, np.nan, obs))
    rewritten(policy, folder / "nan_policy.npz", theta=np.full_like(envs.read_npz(policy)["theta"], np.nan))
    rewritten(policy, folder / "nan_norm.npz", norm_mean=np.full(3, np.nan))
    rewritten(policy, folder / "short_policy.npz", theta=np.zeros(3, np.float32))
    rewritten(policy, folder / "text_policy.npz", theta=envs.read_npz(policy)["theta"].astype(str))
    rewritten(policy, folder / "no_sizes.npz", meta='{"env": "pendulum", "sizes": []}')
    shutil.copy(data, folder / "taken.npz")
    (folder / "taken_described.png").mkdir()
    (folder / "bytes.json").write_bytes(b"\xff\xfe{}")
    for name, text in {"broken": '{"env": ', "list": "[1, 2]", "null": "null", "unknown": '{"gama": 0.9}'}.items():
        (folder / f"{name}.json").write_text(text)
    for name, value in WRONG_VALUES.items():
        (folder / f"wrong_{name}.json").write_text(json.dumps({name: value}))
    for name in ("no_config", "damaged", "not_a_checkpoint", "other_shapes", "no_rows"):
        shutil.copytree(finished, folder / name)
    (folder / "no_config" / "config.json").unlink()
    (folder / "damaged" / "checkpoint.npz").write_bytes(b"PK\3\4 and no more")
    shutil.copy(policy, folder / "not_a_checkpoint" / "checkpoint.npz")
    config = json.loads((finished / "config.json").read_text())
    (folder / "other_shapes" / "config.json").write_text(json.dumps({**config, "policy_hidden": [5]}))
    (folder / "no_rows" / "progress.csv").write_text("")
    return folder, tree(folder)


@pytest.fixture
def museum(collection, monkeypatch):
    """The same as working directory; whatever a test breaks is put back for the next one.  -> folder, its tree"""
    folder, before = collection
    monkeypatch.chdir(folder)
    yield collection
    if tree(folder) != before:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, content in before.items():  # folders come before what is in them
            (folder / name).mkdir() if content is None else (folder / name).write_bytes(content)


WRONG_VALUES = dict(  # JSON lets every type through
    gamma="high", lam=None, value_epochs=1.5, bc_init="yes", value_batch=[5], cg_iters=True, start=3, value_lr=[],
    iteration_updates=float("nan"), data=7, threads=2.5,
)  # fmt: skip
LOG = "log/pendulum/offline/bremen/bremen0"
PLAIN = [*PENDULUM, "--exp_name", "new"]
BAD = {  # what is wrong: the command line, words that the message must hold
    "unknown env": (["--env", "hoper"], "hoper"),
    "unknown mode": (["--mode", "ofline"], "ofline"),
    "unknown preset": (["--preset", "fast"], "fast"),
    "unknown flag": (["--learning_rate", "1"], "--learning_rate"),
    "models of no folder": (["--models", "absent"], "absent: no such folder"),
    "models from scratch": (["--models", "log", "--mode", "recursive"], "only with --mode offline"),
    "describe without its mode": (["--describe", "a.npz"], "only with --mode collect"),
    "out without its modes": (["--mode", "offline", "--out", "a.npz"], "--out"),
    "members of nothing": (["--mode", "evaluate", "--members", "9"], "--members"),
    "the clone's flag online": (["--mode", "online", "--no-bc_init"], "--no-bc_init"),
    "data online": (["--mode", "online", "--data", "a.npz"], "--data"),
    "deployments offline": (["--deployments", "1"], "--deployments: only with --mode recursive"),
    "abbreviated flag": (["--exp", "a"], "--exp"),
    "flag with a hyphen": (["--target-kl", "1"], "did you mean --target_kl?"),
    "flag with a hyphen and its value": (["--target-kl=1"], "did you mean --target_kl?"),
    "a part of a name": (["--epochs", "9"], "did you mean --model_epochs or --value_epochs?"),
    "no flag at all": (["hopper"], "hopper"),
    "flag without value": (["--env"], "--env"),
    "unknown start": (["--start", "anywhere"], "anywhere"),
    "two starts": (["--use_s_t", "--use_s_0"], "--use_s"),
    "constant and learnt": (["--learn_std", "--const_sampling"], "--const_sampling"),
    "restart_iter": (["--restart_iter", "5"], "--resume"),
    "interval offline": (["--interval", "5"], "--iteration_updates"),
    "interval 0": (["--mode", "recursive", "--interval", "0"], "--interval"),
    "interval that does not divide": (["--mode", "recursive", "--interval", "3", "--onpol_iters", "7"], "--interval"),
    "more deployments than iterations": (
        ["--mode", "recursive", "--deployments", "8", "--iterations", "7"],
        "--deployments",
    ),
    "recursive, but never deployed": (["--mode", "recursive", "--noise", "random"], "--noise random"),
    "deployments of nothing": (["--mode", "recursive", "--n_train", "5"], "--n_train"),
    "recursive run exists below a file": ([*SMALL, "--mode", "recursive", "--log_dir", "text.npz/x"], "text.npz"),
    "n_train 0": ([*PLAIN, "--n_train", "0"], "--n_train"),
    "n_train negative": ([*PLAIN, "--n_train", "-5"], "--n_train"),
    "n_train a fraction": ([*PLAIN, "--n_train", "1.5"], "--n_train"),
    "target_kl a word": ([*PLAIN, "--target_kl", "abc"], "--target_kl"),
    "target_kl NaN": ([*PLAIN, "--target_kl", "nan"], "--target_kl"),
    "target_kl infinite": ([*PLAIN, "--target_kl", "inf"], "--target_kl"),
    "target_kl negative": ([*PLAIN, "--target_kl", "-1"], "--target_kl"),
    "std 0": ([*PLAIN, "--gaussian", "0"], "--std"),
    "std infinite": ([*PLAIN, "--std", "inf"], "--std"),
    "alpha NaN": ([*PLAIN, "--alpha", "nan"], "--alpha"),
    "model_hidden a word": ([*PLAIN, "--model_hidden", "x"], "--model_hidden"),
    "model_hidden 0": ([*PLAIN, "--model_hidden", "8", "0"], "--model_hidden"),
    "model_hidden empty": ([*PLAIN, "--model_hidden"], "--model_hidden"),
    "gamma 2": ([*PLAIN, "--gamma", "2"], "--gamma"),
    "gamma 1, an infinite horizon": ([*PLAIN, "--gamma", "1"], "--gamma"),
    "validation 1": ([*PLAIN, "--validation", "1"], "--validation"),
    "seed negative": ([*PLAIN, "--seed", "-1"], "--seed"),
    "seeds negative": ([*PLAIN, "--random_seeds", "1", "-1"], "seed"),
    "seeds a word": ([*PLAIN, "--random_seeds", "x"], "--random_seeds"),
    "one seed twice": ([*PLAIN, "--random_seeds", "7", "7"], "7"),
    "data missing": ([*PLAIN, "--data", "absent.npz"], "absent.npz"),
    "data a folder": ([*PLAIN, "--data", "data"], "data"),
    "data truncated": ([*PLAIN, "--data", "truncated.npz"], "truncated.npz"),
    "data text": ([*PLAIN, "--data", "text.npz"], "text.npz"),
    "data pickled": ([*PLAIN, "--data", "pickled.npz"], "pickled.npz"),
    "data of wrong shape": ([*PLAIN, "--data", "narrow.npz"], "obs"),
    "data with NaN": ([*PLAIN, "--data", "nan.npz"], "NaN"),
    "data of another env": ([*PLAIN, "--env", "hopper", "--data", "data.npz"], "pendulum"),
    "data a policy": ([*PLAIN, "--data", f"{LOG}/policy.npz"], "policy.npz"),
    "one row, nothing to validate with": ([*PLAIN, "--data", "data.npz", "--n_train", "1"], "n"),
    "nothing left to train on": ([*PLAIN, "--data", "data.npz", "--validation", "0.999"], "validation"),
    "params missing": ([*PLAIN, "--param_path", "absent.json"], "absent.json"),
    "params a folder": ([*PLAIN, "--param_path", "data"], "data"),
    "params not JSON": ([*PLAIN, "--param_path", "broken.json"], "JSON"),
    "params not text": ([*PLAIN, "--param_path", "bytes.json"], "JSON"),
    "params a list": ([*PLAIN, "--param_path", "list.json"], "JSON object"),
    "params null": ([*PLAIN, "--param_path", "null.json"], "JSON object"),
    "params unknown": ([*PLAIN, "--param_path", "unknown.json"], "gama"),
    **{f"params {k} {v!r}": ([*PLAIN, "--param_path", f"wrong_{k}.json"], k) for k, v in WRONG_VALUES.items()},
    "run exists": (PENDULUM, "has ended"),
    "run exists, data missing": ([*PENDULUM, "--n_train", "299"], "exists"),
    "second run exists": ([*PENDULUM, "--random_seeds", "7", "0"], "bremen0"),
    "log_dir below a file": ([*PLAIN, "--log_dir", "text.npz/x"], "--log_dir names another place"),
    "log_dir below a file, data missing": ([*PLAIN, "--log_dir", "text.npz/x", "--n_train", "299"], "text.npz"),
    "log_dir a file": ([*PLAIN, "--log_dir", "text.npz"], "text.npz"),
    "log_dir in /proc": ([*PLAIN, "--log_dir", "/proc/log"], "/proc/log"),
    "data_dir below a file": ([*PLAIN, "--data_dir", "text.npz/x"], "--data_dir names another place"),
    "data_dir in /proc": ([*PLAIN, "--data_dir", "/proc/data"], "/proc/data"),
    "online, log_dir below a file": (["--mode", "online", "--log_dir", "text.npz/x"], "text.npz"),
    "resume missing": (["--resume", "absent"], "absent"),
    "resume a file": (["--resume", "text.npz"], "text.npz"),
    "resume without config": (["--resume", "no_config"], "config.json"),
    "resume damaged": (["--resume", "damaged"], "checkpoint.npz"),
    "exp_name leads elsewhere": ([*PLAIN[:-1], "../../elsewhere"], "exp_name"),
    "exp_name is the folder above": ([*PLAIN[:-1], ".."], "exp_name"),
    "sub_exp_name is empty": ([*PLAIN, "--sub_exp_name", ""], "sub_exp_name"),
    "resume a policy": (["--resume", "not_a_checkpoint"], "checkpoint"),
    "resume with other shapes": (["--resume", "other_shapes"], "checkpoint"),
    "resume with another seed": (["--resume", LOG, "--seed", "3"], "--seed"),
    "resume with data that are not there": (["--resume", LOG, "--data", "absent.npz"], "go on with --resume"),
    "resume with other data": (["--resume", LOG, "--data", "nan.npz"], "its SHA-256 is another"),
    "resume with a folder of data": (["--resume", LOG, "--data", "data"], "the SHA-256 of FILE is"),
    "resume in another place of data": (["--resume", LOG, "--data_dir", "data"], "leave --data_dir away"),
    "resume with many seeds": (["--resume", LOG, "--random_seeds", "3", "4"], "--random_seeds"),
    "resume in another env": (["--resume", LOG, "--env", "hopper"], "--env"),
    "resume with a picture": (["--resume", LOG, "--out", "x.png"], "--out"),
    "resume in another mode": (["--resume", LOG, "--mode", "online"], "--resume"),
    "resume with other deployments": (["--resume", LOG, "--interval", "2"], "leave --interval away"),
    "resume under another name": (["--resume", LOG, "--exp_name", "other"], "leave --exp_name away"),
    "resume with other models": (["--resume", LOG, "--models", "log"], "leave --models away"),
    "resume with other sizes": (["--resume", LOG, "--policy_hidden", "5"], "--policy_hidden"),
    "evaluate nothing": (["--mode", "evaluate", "--env", "pendulum"], "--policy"),
    "film nothing": (["--mode", "video", "--env", "pendulum"], "--policy"),
    **{
        f"evaluate {what}": (["--mode", "evaluate", "--env", "pendulum", "--policy", path], path)
        for what, path in {
            "what is missing": "absent.npz",
            "a folder": "data",
            "a dataset": "data.npz",
            "a checkpoint": f"{LOG}/checkpoint.npz",
            "text": "text.npz",
            "pickles": "pickled.npz",
            "NaN": "nan_policy.npz",
            "a normaliser with NaN": "nan_norm.npz",
            "too few parameters": "short_policy.npz",
            "parameters as text": "text_policy.npz",
            "a network without layers": "no_sizes.npz",
        }.items()
    },
    "evaluate in another env": (["--mode", "evaluate", "--env", "hopper", "--policy", f"{LOG}/policy.npz"], "pendulum"),
    "film in another env": (["--mode", "video", "--env", "hopper", "--policy", f"{LOG}/policy.npz"], "pendulum"),
    "film into a file": (
        ["--mode", "video", "--env", "pendulum", "--policy", f"{LOG}/policy.npz", "--video_dir", "text.npz/x"],
        "cannot write",
    ),
    "plot nothing": (["--mode", "plot"], "--runs"),
    "plot what is missing": (["--mode", "plot", "--runs", LOG, "absent"], "absent"),
    "plot no run": (["--mode", "plot", "--runs", "data"], "data"),
    "plot a file": (["--mode", "plot", "--runs", "text.npz"], "text.npz"),
    "plot a run without rows": (["--mode", "plot", "--runs", "no_rows"], "no_rows"),
    "plot below a file": (["--mode", "plot", "--runs", LOG, "--out", "text.npz/x.png"], "text.npz"),
    "plot in an unknown format": (["--mode", "plot", "--runs", LOG, "--out", "x.xyz"], "xyz"),
    "plot onto a folder": (["--mode", "plot", "--runs", LOG, "--out", "data"], "data"),
    "collect twice": ([*COLLECT], "exists"),
    "collect onto a file": ([*COLLECT, "--out", "text.npz"], "text.npz"),
    "collect onto a folder": ([*COLLECT, "--out", "data"], "data"),
    "collect below a file": ([*COLLECT, "--out", "text.npz/x.npz"], "--out names another place"),
    "describe and collect": (["--mode", "collect", "--describe", "text.npz", "--n_train", "9"], "leave --n_train away"),
    "random actions of a policy": (
        [*COLLECT, "--policy", f"{LOG}/policy.npz", "--out", "p.npz"],
        "leave --policy away",
    ),
    "describe what is missing": (["--mode", "collect", "--describe", "absent.npz"], "absent.npz"),
    "describe a policy": (["--mode", "collect", "--describe", f"{LOG}/policy.npz"], "policy.npz"),
    "describe text": (["--mode", "collect", "--describe", "text.npz"], "text.npz"),
    "describe an unknown env": (["--mode", "collect", "--describe", "moon.npz"], "moon"),
    "describe onto a folder": (["--mode", "collect", "--describe", "data.npz", "--out", "data"], "--out names another"),
    "describe where no picture can be": (["--mode", "collect", "--describe", "taken.npz"], "--out names another place"),
    "collect into /proc": ([*COLLECT, "--out", "/proc/data/x.npz"], "/proc/data"),
    "collect with a dataset": (
        [*COLLECT, "--noise", "pure", "--policy", "data.npz", "--out", "x.npz"],
        "data.npz",
    ),
    "collect with another env's policy": (
        [*COLLECT, "--noise", "pure", "--env", "hopper", "--policy", f"{LOG}/policy.npz", "--out", "x.npz"],
        "pendulum",
    ),
}


def test_flags_of_one_mode_exist():
    flags = {action.dest for action in run.parser(bremen.Config())._actions}
    assert {
        name for names in run.page("check_config").FLAGS_OF_ONE_MODE.values() for name in names
    } <= flags and run.page("check_config").FLAGS_OF_ONE_MODE.keys().isdisjoint(run.PAGES)
    assert {*run.page("check_config").FLAGS_OF_ONE_MODE, *run.PAGES} == set(run.MODES)


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_line_and_changes_nothing(what, museum, capsys):
    (argv, words), (folder, before) = BAD[what], museum
    assert run.main(argv) == 2
    assert words in stderr_line(capsys)
    assert tree(folder) == before


class Bomb:
    """Unpickling one creates a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_nothing_is_ever_unpickled(finished, here, capsys):
    """Datasets, policies and checkpoints that hold pickles, by themselves and within an .npz."""
    marker, run_copy = here / "marker", here / "copy"
    shutil.copytree(finished, run_copy)
    bomb = pickle.dumps(Bomb(marker))
    np.savez(here / "inside.npz", **dict.fromkeys(("obs", "theta", "phi", "meta"), np.array([Bomb(marker)], object)))
    (here / "bare.npz").write_bytes(bomb)
    for name in ("inside.npz", "bare.npz"):
        shutil.copy(here / name, run_copy / "checkpoint.npz")
        assert run.main([*PENDULUM, "--data", name]) == 2
        assert run.main(["--mode", "evaluate", "--env", "pendulum", "--policy", name]) == 2
        assert run.main(["--resume", str(run_copy)]) == 2
    assert not marker.exists()
    pickle.loads(bomb)
    assert marker.exists(), "the bomb is a dud and the test proves nothing"


def test_no_module_could_unpickle():
    for path in (*HERE.parent.glob("*.py"), *(HERE.parent / "examples").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle" and node.value.value), path
            assert not (isinstance(node, ast.Name) and node.id in ("eval", "exec", "compile")), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {a.name for a in node.names} | {getattr(node, "module", None)}
                assert not {"pickle", "joblib", "dill", "marshal", "shelve"} & names, path


# --- datasets -------------------------------------------------------------------------------------------------------


def test_describe_a_dataset(dataset, here, capsys):
    go("--mode", "collect", "--describe", dataset, "--out", "d.png")
    out, batch = capsys.readouterr().out, envs.load_dataset(dataset)[0]
    table = dict(line.split(maxsplit=1) for line in out.splitlines() if line[0] != " ")
    returns, lengths = envs.episode_returns(batch)
    assert (table["env"], table["noise"], table["transitions"]) == ("pendulum", "random", "300")
    assert table["return"] == f"{returns.mean():,.0f} ± {returns.std():,.0f} over {len(returns)} episodes"
    assert f"from {returns.min():,.0f} to {returns.max():,.0f}" in out
    assert table["episodes"] == "25 steps on average, from 25 to 25" and len(lengths) == 12
    assert table["SHA-256"] == hashlib.sha256(dataset.read_bytes()).hexdigest()
    assert f"numpy {np.__version__}" in table["versions"]
    with Image.open("d.png") as picture:
        assert picture.size[0] > 1000
    assert run.page("describe").main([str(dataset), "--out", "again.png"]) == 0
    assert capsys.readouterr().out == out.replace("d.png", "again.png")
    assert Path("again.png").read_bytes() == Path("d.png").read_bytes()


def test_a_run_names_its_data_and_refuses_others_when_it_goes_on(finished, dataset, here, no_pictures, capsys):
    known = json.loads((finished / "run.json").read_text())
    assert known["data"]["sha256"] == hashlib.sha256(dataset.read_bytes()).hexdigest()
    assert known["command"].startswith("python run.py --mode offline --env pendulum") and "numpy" in known["versions"]
    assert known["versions"]["blas"]  # the kernels that it found for this processor
    texts = [{k: "" if v is None else str(v) for k, v in row.items()} for row in known["rows"]]
    assert texts == [{k: v for k, v in row.items() if v} for row in rows_of(finished)]
    (here / "data.npz").write_bytes(dataset.read_bytes())
    go(*PENDULUM, "--data", "data.npz")
    rewritten(dataset, here / "data.npz", rew=np.zeros(300, np.float32))
    capsys.readouterr()
    assert run.main(["--resume", LOG]) == 2
    assert "data.npz" in (line := stderr_line(capsys)) and "SHA-256" in line


def test_a_large_collection_takes_little_memory(here):
    """300,000 transitions of the pendulum are 10 MB on the disk; tracemalloc counts NumPy's arrays."""
    tracemalloc.start()
    go(*COLLECT, "--n_train", "300000", "--out", "d.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (here / "d.npz").stat().st_size > 9e6 and peak < 6e6


def test_what_a_file_does_not_follow_is_said(here, dataset, no_pictures, capsys):
    line = [*PENDULUM, "--data", dataset, "--iterations", "1", "--n_train", "100000", "--noise", "eps1"]
    go(*line)
    said = capsys.readouterr().out
    assert "note: there are fewer than the 100,000 of --n_train\nnote: --noise eps1 changes nothing" in said


def test_a_policy_whose_return_is_no_number_is_refused(here, capsys):
    random_policy(here / "policy.npz", "pendulum")
    whole = envs.read_npz(here / "policy.npz")
    bars = ({"mean_action_return": bar} for bar in (5, [1], [1, "high"]))
    for odd in ({"return_mean": "high"}, {"return_mean": 1}, {"return_mean": [1], "return_std": 2}, *bars):
        meta = json.loads(str(whole["meta"])) | odd
        safe_files.write_npz(here / "policy.npz", **whole | {"meta": json.dumps(meta)})
        line = "--env pendulum --mode collect --n_train 300 --policy policy.npz --out new.npz"
        assert run.main(line.split()) == 2 and "policy.npz" in stderr_line(capsys) and not (here / "new.npz").exists()


# --- what an offline run leaves -------------------------------------------------------------------------------------


def test_offline_leaves_the_promised_files(reference, finished):
    assert sorted(p.name for p in finished.iterdir()) == PROMISED
    files = [path for path, content in tree(reference[0]).items() if content is not None]
    assert len(files) == len(PROMISED) + 1, "and a dataset"


def test_progress_has_a_row_per_iteration_and_one_for_the_clone(finished):
    rows, config = rows_of(finished), json.loads((finished / "config.json").read_text())
    assert len(rows) == config["iterations"] + 1
    assert [int(row["updates"]) for row in rows] == [config["iteration_updates"] * i for i in range(len(rows))]
    always = {"imagined_return", "imagined_return_std", "real_return", "real_return_std", "model_loss"}
    always |= {"evaluation_steps", "evaluate_seconds"}
    later = {"kl", "cg_residual", "backtracks", "imagine_seconds", "improve_seconds"}
    for i, row in enumerate(rows):
        assert all(np.isfinite(float(row[k])) for k in (always | later if i else always))
        assert all(np.isfinite(float(v)) for v in row.values() if v)
        assert not any(row[k] for k in later) or i > 0
    assert float(rows[0]["fit_seconds"]) > 0 and float(rows[0]["clone_seconds"]) > 0
    assert all(float(row["kl"]) <= config["target_kl"] for row in rows[1:])


def test_real_steps_of_evaluation_are_counted(finished):
    """Pendulum episodes all last 25 steps; the first and the last evaluation are longer, for the closing table."""
    config = json.loads((finished / "config.json").read_text())
    ends, between = 25 * config["eval_episodes"], 25 * config["eval_interval_episodes"]
    assert ends != between
    assert [int(row["evaluation_steps"]) for row in rows_of(finished)] == np.cumsum([ends, between, ends]).tolist()


def test_config_holds_every_field(finished):
    config = json.loads((finished / "config.json").read_text())
    assert config.keys() == FIELDS.keys()
    given = dict(mode="offline", env="pendulum", preset="smoke", seed=0, n_train=300, model_hidden=[8], noise="random")
    assert config.items() >= given.items()


def test_curves_are_a_picture(finished):
    with Image.open(finished / "curves.png") as picture:
        assert picture.format == "PNG" and min(picture.size) >= 400 and max(picture.size) <= 3000
        assert len(set(picture.convert("RGB").resize((100, 50)).get_flattened_data())) > 20


def number(text):
    """'-1,234' -> -1234.0"""
    return float(text.replace(",", ""))


def test_closing_table(reference, finished, dataset):
    """Dataset, clone and BREMEN: real and imagined returns, mean ± std, as in the files; the steps evaluation took."""
    out, rows = reference[1], rows_of(finished)
    pair = r"(-?[\d,]+) ±\s+([\d,]+)"
    table = re.search(rf"^dataset +{pair}\s*\nclone +{pair} +{pair}\nBREMEN.*? {pair} +{pair}\n", out, re.M)
    assert table, out
    batch, _ = envs.load_dataset(dataset, envs.TASKS["pendulum"])
    returns, expected = envs.episode_returns(batch)[0], []
    expected += [returns.mean(), returns.std()]
    for row in (rows[0], rows[-1]):
        expected += [float(row[f"{kind}_return{end}"]) for kind in ("real", "imagined") for end in ("", "_std")]
    np.testing.assert_allclose([number(text) for text in table.groups()], expected, atol=0.51)
    assert f"for training: 300, for evaluation: {int(rows[-1]['evaluation_steps']):,})" in out


def test_closing_table_and_data_name_the_policy_behind_them(here, no_pictures, monkeypatch, capsys):
    """As its file says: sampled, and by its mean action, which is harder to beat."""
    random_policy(here / "policy.npz", "pendulum")
    rewritten(here / "policy.npz", here / "p.npz", meta=json.dumps({
        **envs.read_meta("policy.npz", envs.read_npz(here / "policy.npz")), "return_mean": -123.0, "return_std": 45.0,
        "mean_action_return": [-100.0, 44.0],
    }))  # fmt: skip
    for noise in ("gaussian1", "pure"):
        go(*COLLECT, "--noise", noise, "--policy", "p.npz", "--out", f"{noise}.npz")
        _, meta = envs.load_dataset(here / f"{noise}.npz", envs.TASKS["pendulum"])
        assert (meta["policy_return"], meta["mean_action_return"]) == ([-123.0, 45.0], [-100.0, 44.0])
        go(*SMALL, "--env", "pendulum", "--data", f"{noise}.npz", "--exp_name", noise, "--iterations", "0")
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        first = lines.index("behaviour policy -123 ± 45")
        assert lines[first + 1] == "its mean action -100 ± 44" and lines[first + 2].startswith("dataset ")


def test_data_of_a_policy_with_another_sigma(here, capsys):
    """--std N: the same mean action, so far from it as asked; its sampled return is no longer the one in its file."""
    random_policy(here / "policy.npz", "pendulum")
    policy, _ = run.load_policy("policy.npz", envs.TASKS["pendulum"])
    file = envs.read_npz(here / "policy.npz")
    about = {"return_mean": -123.0, "return_std": 45.0, "mean_action_return": [-100.0, 44.0]}
    rewritten(here / "policy.npz", here / "p.npz", meta=json.dumps(envs.read_meta("policy.npz", file) | about))
    for std in (0.02, 0.2):
        go(*COLLECT, "--noise", "pure", "--policy", "p.npz", "--std", str(std), "--out", f"{std}.npz")
        data, meta = envs.load_dataset(here / f"{std}.npz", envs.TASKS["pendulum"])
        away = data.act - policy.mean(data.obs)
        inside = np.abs(data.act[:, 0]) < 2  # actions are clipped
        np.testing.assert_allclose(away[inside].std(), 2 * std, rtol=0.2)
        assert meta["std"] == pytest.approx([std]) and meta["mean_action_return"] == [-100.0, 44.0]
        assert "policy_return" not in meta
    pure = [word for word in COLLECT if word not in ("--noise", "random")]
    for line, text in ((pure, "makes a dataset of its own"), ([*COLLECT, "--out", "r.npz"], "asks no policy")):
        assert run.main([*line, "--std", "0.2"]) == 2
        assert text in capsys.readouterr().err
    assert not (here / "r.npz").exists() and not (here / "data").exists()


def test_mode_online_begins_with_a_policy(here, no_pictures, capsys):
    """The policy of the file, with the run's sigma; a file that does not fit leaves no directory."""
    random_policy(here / "p.npz", "pendulum")
    policy, _ = run.load_policy("p.npz", envs.TASKS["pendulum"])
    hidden = [str(n) for n in policy.net.sizes[1:-1]]
    line = ["--mode", "online", "--env", "pendulum", "--preset", "smoke", "--online_steps", "400", "--online_horizon"]
    line += ["50", "--no-learn_std", "--target_kl", "1e-9", "--policy", "p.npz"]
    assert run.main([*line, "--policy_hidden", "3"]) == 2
    assert "p.npz: its network is" in capsys.readouterr().err and not (here / "log").exists()
    go(*line, "--policy_hidden", *hidden)
    learnt, meta = run.load_policy("log/pendulum/online/bremen/bremen0/policy.npz", envs.TASKS["pendulum"])
    np.testing.assert_allclose(learnt.theta[:-1], policy.theta[:-1], atol=1e-3)  # tiny steps; without its sigma
    np.testing.assert_allclose(learnt.std, 1.0, rtol=1e-5)
    assert meta["command"].endswith("--policy p.npz") and {"fall", "mean_action_return"} <= meta.keys()
    about = json.loads((here / "log/pendulum/online/bremen/bremen0/run.json").read_text())
    assert about["command"] == meta["command"], "whoever repeats the run must know it, too"
    (here / "p.npz").rename(here / "a policy.npz")
    go(*line[:-1], "a policy.npz", "--policy_hidden", *hidden, "--density_std", "original", "--exp_name", "original")
    learnt, meta = run.load_policy("log/pendulum/online/original/original0/policy.npz", envs.TASKS["pendulum"])
    assert meta["command"].endswith("--policy 'a policy.npz'")
    cfg = bremen.configured(run.page("online").OnlineConfig, env="pendulum", density_std="original",
                            policy="a policy.npz", policy_hidden=policy.net.sizes[1:-1])  # fmt: skip
    assert run.page("online").begin_with_policy(cfg).theta[-1] == -5, "sigma for log-probabilities is the original's"


def test_a_policy_of_another_task_of_the_same_robot(here):
    """Taken, as the robot is the same; that of another robot is refused."""
    random_policy(here / "p.npz", "half_cheetah")
    run.load_policy("p.npz", envs.TASKS["cheetah_run"])
    with pytest.raises(envs.DataError, match="a policy of half_cheetah, not of walker2d"):
        run.load_policy("p.npz", envs.TASKS["walker2d"])


@pytest.mark.parametrize("env", ["ant", "half_cheetah", "cheetah_run", "hopper"])
def test_evaluate_counts_falls(env):
    """Robots that begin on their backs and cannot move, and hoppers that tip over; upright ones are not counted."""
    task = envs.TASKS[env]
    short, evaluate = dataclasses.replace(task, max_steps=30), run.page("evaluate")
    still = lambda obs, rng: np.zeros((len(obs), task.act_dim), np.float32)
    rng = np.random.default_rng(0)
    assert evaluate.tested(short, still, 4, rng, 1)[2] == 0

    class Turned(envs.MujocoSim):
        """Every robot begins upside down."""

        def initial(self, rng):
            """Half a turn, about the forward axis (ant) or in the plane.  -> (n,)"""
            state = super().initial(rng)
            if env == "ant":
                state[2:7] = 0.4, 0, 1, 0, 0
            else:
                state[2] = np.pi
            return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envs, "MujocoSim", Turned)
        assert evaluate.tested(short, still, 4, rng, 1)[2] == 4


def test_policy_file_holds_the_last_policy_and_its_normaliser(finished, dataset):
    task = envs.TASKS["pendulum"]
    policy, meta = run.load_policy(finished / "policy.npz", task)
    batch, _ = envs.load_dataset(dataset, task)
    np.testing.assert_allclose(policy.norm.mean, batch.obs.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(policy.norm.std, batch.obs.std(axis=0), atol=1e-4)
    assert meta["env"] == "pendulum" and f"{meta['real_return']}" == rows_of(finished)[-1]["real_return"]
    act = policy.mean(batch.obs)
    assert act.shape == batch.act.shape and np.ptp(act) > 0 and np.abs(act).max() <= task.act_limit


def test_evaluate_a_saved_policy(finished, here, capsys):
    """The numbers on the screen are those of envs.evaluate with the run's own stream, of a run's and a wild policy."""
    task = envs.TASKS["pendulum"]
    random_policy(here / "wild.npz", "pendulum")
    for path in (finished / "policy.npz", here / "wild.npz"):
        go("--mode", "evaluate", "--env", "pendulum", "--policy", path, "--eval_episodes", "7")
        out, rng = capsys.readouterr().out, bremen.streams(0)["evaluate"]
        shown = re.findall(r"^(mean|sampled) .*?: return (\S+) ± (\S+) over 7", out, re.M)
        policy, _ = run.load_policy(path, task)
        for name, act in {"mean": policy.mean, "sampled": policy.sample}.items():
            returns, _ = envs.evaluate(task, act, 7, rng)
            assert shown[0][0] == name
            np.testing.assert_allclose(
                [number(x) for x in shown.pop(0)[1:]], [returns.mean(), returns.std()], atol=0.51
            )


def test_evaluate_takes_a_hundred_episodes(finished, here, capsys):
    go("--mode", "evaluate", "--env", "pendulum", "--policy", finished / "policy.npz")
    assert len(re.findall(r"return \S+ ± +\S+ over 100 episodes", capsys.readouterr().out)) == 2


class Terminal(io.StringIO):
    """A stream that shows progress bars."""

    def isatty(self):
        return True


def test_progress_bars_on_a_terminal(here, no_pictures, monkeypatch):
    """A bar per stage; the same bytes come out."""
    monkeypatch.setattr("sys.stderr", Terminal())
    go(*PENDULUM, "--iterations", "1")
    bars = run.sys.stderr.getvalue()
    for stage in ("collecting", "models", "cloning", "imagining"):
        assert stage in bars, bars
    assert "2/2" in bars, "updates done of all updates"


@pytest.mark.slow
def test_smoke_preset_of_the_hopper_takes_less_than_half_a_minute(here):
    """As promised: the behaviour policy ships, everything at its preset's size."""
    began = run.time.perf_counter()
    go("--env", "hopper", "--preset", "smoke")
    assert run.time.perf_counter() - began < 30
    assert len(rows_of(here / "log/hopper/offline/bremen/bremen0")) == 3


def test_hopper_with_the_shipped_behaviour_policy(here, no_pictures, monkeypatch):
    """A robot, a policy from examples/behavior/, episodes that end by falling."""
    monkeypatch.setitem(envs.TASKS, "hopper", dataclasses.replace(envs.TASKS["hopper"], max_steps=60))
    go(*SMALL, "--env", "hopper")
    (data,) = here.glob("data/hopper/pure*.npz")
    _, meta = envs.load_dataset(data, envs.TASKS["hopper"])
    assert meta["noise"] == "pure" and meta["policy"] == "hopper.npz" and meta["seed"] == 0
    rows = rows_of(here / "log/hopper/offline/bremen/bremen0")
    assert len(rows) == 3 and float(rows[0]["real_length"]) <= 60


# --- the same bytes again -------------------------------------------------------------------------------------------


def test_same_seed_same_bytes(reference, finished, dataset, here, no_pictures):
    """In another folder, the dataset collected anew; another seed is another run."""
    go(*PENDULUM, "--random_seeds", "0", "1")
    twin, other = (here / "log/pendulum/offline/bremen" / f"bremen{seed}" for seed in (0, 1))
    same_results(finished, twin)
    assert (here / dataset.relative_to(reference[0])).read_bytes() == dataset.read_bytes()
    elsewhere = json.loads((twin / "config.json").read_text()) | {"data_dir": str(reference[0] / "data")}
    assert elsewhere == json.loads((finished / "config.json").read_text())
    with pytest.raises(AssertionError):
        same_results(twin, other)
    assert untimed(twin) != untimed(other)


def test_evaluation_never_influences_training(finished, dataset, here, no_pictures):
    """More episodes in one place, fewer in the other: another progress.csv, the same policy."""
    go(*PENDULUM, "--data", dataset, "--eval_episodes", "9", "--eval_interval_episodes", "1")
    folder = here / "log/pendulum/offline/bremen/bremen0"
    assert untimed(folder) != untimed(finished)
    theta, same = (envs.read_npz(d / "policy.npz")["theta"] for d in (folder, finished))
    assert theta.tobytes() == same.tobytes()


def test_config_reproduces_the_run(finished, dataset, here, no_pictures):
    """Nothing but config.json, under another name; --data because the cached dataset is elsewhere."""
    go("--param_path", finished / "config.json", "--exp_name", "again", "--data", dataset)
    same_results(finished, here / "log/pendulum/offline/again/again0")


def test_models_of_another_run_give_the_same_bytes(finished, dataset, here, no_pictures, monkeypatch, capsys):
    """And only of one that fitted them alike; a folder without any is said, and costs the time of fitting."""
    fits, fit = [], bremen.fit_member
    monkeypatch.setattr(bremen, "fit_member", lambda *args: fits.append(1) or fit(*args))
    line = *PENDULUM, "--data", dataset, "--models", finished.parents[3]
    go(*line)
    same_results(finished, folder := here / "log/pendulum/offline/bremen/bremen0")
    out = capsys.readouterr().out
    assert not fits and f"models of {finished}" in out and "has lent its models" in out
    assert json.loads((folder / "run.json").read_text())["models_from"] == str(finished)
    assert rows_of(folder)[0]["fit_seconds"] == rows_of(finished)[0]["fit_seconds"]
    imagined_otherwise = "--no-bc_init", "--model_noise", 0.5
    go(*PENDULUM, "--data", dataset, *imagined_otherwise, "--exp_name", "fitted")
    fits.clear()
    go(*line, *imagined_otherwise, "--exp_name", "taken")
    same_results(*(here / f"log/pendulum/offline/{name}/{name}0" for name in ("fitted", "taken")))
    assert not fits
    others = ["--seed", 1], ["--model_lr", 1e-3], ["--validation", 0.5], ["--n_train", 150], ["--gradients", "autograd"]
    for i, other in enumerate(others):
        go(*line, *other, "--exp_name", f"other{i}")
        assert len(fits) == 2 * (i + 1) and "has fitted the same models" in capsys.readouterr().out
    monkeypatch.setattr(run.page("provenance"), "blas", lambda: "of another processor")
    go(*line, "--exp_name", "elsewhere")
    assert len(fits) == 12


def test_models_of_a_run_that_was_interrupted(finished, dataset, here, no_pictures, monkeypatch, capsys):
    """Killed between its models and its clone, and resumed, it still knows how long the models took; killed once more
    before it has a row in its checkpoint, it lends nothing."""
    folder = here / "log/pendulum/offline/bremen/bremen0"
    with monkeypatch.context() as patch:
        trip(patch, (bremen, "clone_behavior"), 1, Killed())
        with pytest.raises(Killed):
            run.main([*PENDULUM, "--data", str(dataset)])
    with monkeypatch.context() as patch:  # results are written, the checkpoint is not
        trip(patch, (os, "replace"), 1, Killed(), "checkpoint.npz")
        with pytest.raises(Killed):
            run.main(["--resume", str(folder)])
    go(*PENDULUM, "--data", dataset, "--models", folder, "--exp_name", "early")
    assert "has fitted the same models" in capsys.readouterr().out
    go("--resume", folder)
    assert float(rows_of(folder)[0]["fit_seconds"]) > 0
    go(*PENDULUM, "--data", dataset, "--models", folder, "--exp_name", "late")
    assert f"models of {folder}" in capsys.readouterr().out
    late = here / "log/pendulum/offline/late/late0"
    same_results(finished, late)
    assert rows_of(late)[0]["fit_seconds"] == rows_of(folder)[0]["fit_seconds"]


def test_actions_that_no_policy_has_are_said(dataset, here, no_pictures, capsys):
    """Within 2, the pendulum's limit, nothing is said; a single action beyond it is."""
    data, meta = envs.load_dataset(dataset)
    for name, last in (("within", 2.0), ("beyond", 2.1)):
        data.act[-1] = last
        safe_files.save_dataset(here / f"{name}.npz", [data], meta)
        go(*PENDULUM[:-2], "--data", here / f"{name}.npz", "--exp_name", name)
        assert ("actions beyond 2 in it" in capsys.readouterr().out) == (name == "beyond")


def test_models_are_those_of_the_same_data(finished, here, no_pictures, capsys):
    go("--mode", "collect", "--env", "pendulum", "--noise", "random", "--n_train", 200, "--seed", 5, "--out", "d.npz")
    go(*PENDULUM, "--data", "d.npz", "--models", finished)
    assert "has fitted the same models" in capsys.readouterr().out


# --- interrupted, diverged, resumed ---------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a power cut: nobody catches it."""


def trip(monkeypatch, place, call, error, about=""):
    """Make the `call`-th call of the function at `place`, a (module, name), raise `error` instead.

    Only calls count whose last positional argument ends in `about`: the name of a file.
    """
    original, calls = getattr(*place), []

    def f(*args, **kwargs):
        if str(args[-1]).endswith(about):
            calls.append(1)
        if len(calls) == call:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(*place, f)


def killed(here, dataset, monkeypatch, place, call, *about):
    """A run that a power cut ends at a call of the function at `place`, see `trip`.  -> its folder"""
    with monkeypatch.context() as patch:
        trip(patch, place, call, Killed(), *about)
        with pytest.raises(Killed):
            run.main([*PENDULUM, "--data", str(dataset)])
    return here / "log/pendulum/offline/bremen/bremen0"


MOMENTS = {  # four calls of imagine_paths in all, three evaluations, four checkpoints
    "before the clone": ((bremen, "clone_behavior"), 1),
    "in the first update": ((bremen, "imagine_paths"), 1),
    "in the last update": ((bremen, "imagine_paths"), 4),
    "in an evaluation": ((envs, "evaluate"), 2),
    "between progress.csv and policy.npz": ((os, "replace"), 1, "policy.npz"),
    "just before a checkpoint is in its place": ((os, "replace"), 3, "checkpoint.npz"),
    "between the last checkpoint but one and the last": ((os, "replace"), 4, "checkpoint.npz"),
    "before the last checkpoint but one is copied": ((os, "replace"), 3, "checkpoint_before.npz"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_and_resumed_gives_the_same_bytes(moment, finished, dataset, here, no_pictures, monkeypatch):
    place, call, *about = MOMENTS[moment]
    folder = killed(here, dataset, monkeypatch, place, call, *about)
    go("--resume", folder)
    same_results(finished, folder)
    assert sorted(p.name for p in folder.iterdir()) == PROMISED


def test_resuming_a_finished_run_changes_no_result(reference, finished, tmp_path, no_pictures, monkeypatch, capsys):
    """The closing table again, no further update, and it says so; the default dataset is found where it was."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(reference[0])
    go("--resume", tmp_path / "copy")
    same_results(finished, tmp_path / "copy")
    assert "nothing is left to do" in capsys.readouterr().out


def test_restore_path_goes_on_with_a_run(finished, dataset, here, no_pictures, monkeypatch):
    """The original's name for --resume."""
    folder = killed(here, dataset, monkeypatch, (bremen, "imagine_paths"), 3)
    go("--restore_path", folder)
    same_results(finished, folder)


def interrupted(*argv):
    """Exit status of a run that Ctrl-C ends."""
    try:
        return run.main([str(a) for a in argv])
    except KeyboardInterrupt:
        return pytest.fail("Ctrl-C ends in a traceback", pytrace=False)


def test_ctrl_c_says_how_to_resume(finished, dataset, here, no_pictures, monkeypatch, capsys):
    """The command in the message, taken literally, completes the run."""
    with monkeypatch.context() as patch:
        trip(patch, (bremen, "imagine_paths"), 3, KeyboardInterrupt())
        assert interrupted(*PENDULUM, "--data", dataset) not in (0, None)
    command = re.search(r"--resume [\w./]*\w", stderr_line(capsys))
    go(*command[0].split())
    same_results(finished, here / "log/pendulum/offline/bremen/bremen0")
    assert "nothing is left to do" not in capsys.readouterr().out


def test_ctrl_c_before_the_first_checkpoint_can_be_resumed_too(
    finished, dataset, here, no_pictures, monkeypatch, capsys
):
    """From the beginning, with the numbers in config.json."""
    with monkeypatch.context() as patch:
        trip(patch, (bremen, "fit_dynamics"), 1, KeyboardInterrupt())
        assert interrupted(*PENDULUM, "--data", dataset) not in (0, None)
    folder = here / "log/pendulum/offline/bremen/bremen0"
    assert "no checkpoint yet" in stderr_line(capsys)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "run.json"]
    go("--resume", folder)
    same_results(finished, folder)


def test_ctrl_c_while_collecting_leaves_no_half_dataset(here, monkeypatch, capsys):
    trip(monkeypatch, (envs, "join"), 1, KeyboardInterrupt())
    assert interrupted(*COLLECT, "--out", "new.npz") not in (0, None)
    assert "--resume" not in stderr_line(capsys)
    assert tree(here) == {}


@pytest.mark.parametrize(
    "place, error",
    [
        ((bremen, "imagine_paths"), FloatingPointError("numbers are not finite")),
        ((trpo, "improve"), FloatingPointError("numbers are not finite")),
    ],
    ids=["models", "policy"],
)
def test_divergence_keeps_the_last_good_checkpoint(
    place, error, finished, dataset, here, no_pictures, monkeypatch, capsys
):
    """Status 1 and one line, which does not send anybody into the same trouble again; the checkpoint is that of the
    first iteration and good enough to finish the run, had it been something else."""
    with monkeypatch.context() as patch:
        trip(patch, place, 4, error)
        assert run.main([*PENDULUM, "--data", str(dataset)]) == 1
    line = stderr_line(capsys)
    folder = here / "log/pendulum/offline/bremen/bremen0"
    assert "numbers are not finite" in line and str(folder.relative_to(here)) in line and "--resume" not in line
    assert [row["updates"] for row in rows_of(folder)] == ["0", "2"]
    policy, _ = run.load_policy(folder / "policy.npz", envs.TASKS["pendulum"])
    assert np.isfinite(policy.theta).all()
    go("--resume", folder)
    same_results(finished, folder)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_model_that_really_diverges_stops_the_run(dataset, here, capsys):
    assert run.main([*PENDULUM, "--data", str(dataset), "--model_lr", "1e30"]) == 1
    assert "model_lr" in stderr_line(capsys)
    assert not list(here.rglob("checkpoint.npz"))


def test_other_seeds_run_after_one_that_diverges(finished, dataset, here, no_pictures, monkeypatch, capsys):
    trip(monkeypatch, (bremen, "imagine_paths"), 3, FloatingPointError("numbers are not finite"))
    assert run.main([*PENDULUM, "--data", str(dataset), "--random_seeds", "4", "0"]) == 1
    assert "bremen4" in stderr_line(capsys)
    same_results(finished, here / "log/pendulum/offline/bremen/bremen0")


# --- mode recursive -------------------------------------------------------------------------------------------------

AGAIN = [*SMALL, "--env", "pendulum", "--mode", "recursive"]


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """A folder with a finished recursive run under log/; what it said."""
    folder, out = tmp_path_factory.mktemp("again"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.chdir(folder)
        go(*AGAIN, "--eval_model", "--keep_policies")
    return folder / "log/pendulum/recursive/bremen/bremen0", out.getvalue()


def test_recursive_leaves_the_promised_files(again):
    names = {str(p.relative_to(again[0])) for p in again[0].rglob("*") if p.is_file()}
    policies = {f"policies/{i:04d}.npz" for i in range(4)}
    assert names == {*PROMISED, *policies, "model.png", "deployment_1.npz", "deployment_2.npz"}
    last = again[0] / "policies" / "0003.npz"
    assert last.read_bytes() == (again[0] / "policy.npz").read_bytes()


def test_recursive_counts_deployments_transitions_and_steps_apart(again):
    """By hand: 2 deployments of 150, an update each; 25-step episodes, and 20 trajectories of 25 for the models."""
    rows, evaluation = rows_of(again[0]), 25 * 4 + 20 * 25
    count = lambda name: [int(row[name]) for row in rows]
    assert count("iteration") == [0, 1, 2, 3] and count("deployment") == [1, 1, 2, 2]
    assert count("updates") == [0, 2, 2, 4] and count("real_transitions") == [150, 150, 300, 300]
    assert count("evaluation_steps") == [evaluation * (i + 1) for i in range(4)]
    assert "for training: 300, for evaluation: 2,400)" in again[1]
    table = again[1].split("imagined return")[1]
    assert [line.split(":")[0] for line in table.splitlines() if "transitions" in line][:2] == [
        "deployment 1", "deployment 2",
    ]  # fmt: skip


def test_eval_model_leaves_numbers_and_a_picture(again):
    for row in rows_of(again[0]):
        numbers = [float(row[k]) for k in row if k.startswith(("one_step", "path_error", "energy"))]
        assert len(numbers) == 3 + 2 + 1 and np.isfinite(numbers).all()
    with Image.open(again[0] / "model.png") as picture:
        assert picture.format == "PNG" and len(set(picture.convert("RGB").resize((100, 50)).get_flattened_data())) > 20


def test_model_error_of_a_finished_run(again, here, capsys):
    """The last policy of a run directory: its numbers are printed, and nothing but model.png changes."""
    shutil.copytree(again[0], here / "copy")
    (here / "copy" / "model.png").unlink()
    before = tree(here)
    assert run.page("model_error").main(["copy"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    numbers = {name: float(text) for name, text in map(str.split, lines)}
    assert numbers.keys() <= rows_of(again[0])[0].keys() and np.isfinite(list(numbers.values())).all()
    assert numbers["evaluation_steps"] == 20 * 25 and last == "look at copy/model.png"
    after = tree(here)
    assert after.pop("copy/model.png")[1:4] == b"PNG" and after == before
    shutil.copy(again[0] / "config.json", here)
    for words, why in ((["absent"], "not the directory of a run"), (["."], "no checkpoint.npz")):
        assert run.page("model_error").main(words) == 2
        err = capsys.readouterr().err
        assert err.startswith("model_error.py: ") and why in err and err.count("\n") == 1


def test_eval_model_and_kept_policies_never_influence_training(again, here, no_pictures):
    go(*AGAIN)
    theta, plain = (
        envs.read_npz(d / "policy.npz")["theta"] for d in (again[0], here / again[0].relative_to(again[0].parents[4]))
    )
    assert theta.tobytes() == plain.tobytes()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_the_columns_of_progress(finished, dataset, here, no_pictures):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    go(*PENDULUM, "--data", dataset, "--tensorboard")
    folder = here / "log/pendulum/offline/bremen/bremen0"
    events = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    for name in ("real_return", "imagined_return", "kl"):
        rows = [(int(row["updates"]), float(row[name])) for row in rows_of(folder) if row[name]]
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        np.testing.assert_allclose(shown, rows, rtol=1e-6)
    assert untimed(folder) == untimed(finished)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_from_the_csv_of_a_run(finished, here, capsys):
    """The same events as the run itself would write; once more, and they are not written twice."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    shutil.copytree(finished, here / "copy")
    assert run.page("to_tensorboard").main(["copy"]) == 0 and "3 rows" in capsys.readouterr().out
    events = accumulator.EventAccumulator(str(here / "copy" / "tensorboard")).Reload()
    assert {*events.Tags()["scalars"]} == {*rows_of(finished)[0]}
    rows = [(int(row["updates"]), float(row["real_return"])) for row in rows_of(finished)]
    np.testing.assert_allclose([(e.step, e.value) for e in events.Scalars("real_return")], rows, rtol=1e-6)
    before = tree(here)
    for words in (["copy"], ["absent"]):
        assert run.page("to_tensorboard").main(words) == 2
        assert capsys.readouterr().err.startswith(f"to_tensorboard.py: {words[0]}/")
    assert tree(here) == before


def test_tensorboard_without_its_extra(dataset, here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert run.main([*PENDULUM, "--data", str(dataset), "--tensorboard"]) == 2
    assert "[tensorboard]" in stderr_line(capsys) and tree(here) == {}


def test_deployments_are_datasets(again):
    for i in (1, 2):
        batch, meta = envs.load_dataset(again[0] / f"deployment_{i}.npz", envs.TASKS["pendulum"])
        assert len(batch.rew) == 150 and meta["deployment"] == i


DEPLOYED = {  # a run has two deployments of two updates each
    "before anything": ((bremen, "collect_batch"), 1),
    "between the first data and their checkpoint": ((os, "replace"), 1, "checkpoint.npz"),
    "in the first clone": ((bremen, "clone_behavior"), 1),
    "in the second deployment": ((bremen, "collect_batch"), 2),
    "in the second models": ((bremen, "fit_dynamics"), 2),
    "between the second data and their checkpoint": ((os, "replace"), 5, "checkpoint.npz"),
    "in the last update": ((trpo, "improve"), 4),
}


@pytest.mark.parametrize("moment", DEPLOYED)
def test_a_recursive_run_killed_and_resumed_gives_the_same_bytes(moment, again, here, no_pictures, monkeypatch):
    with monkeypatch.context() as patch:
        place, call, *about = DEPLOYED[moment]
        trip(patch, place, call, Killed(), *about)
        with pytest.raises(Killed):
            run.main([*AGAIN, "--eval_model", "--keep_policies"])
    (folder,) = here.glob("log/pendulum/recursive/bremen/bremen0")
    go("--resume", folder)
    same_results(again[0], folder)
    for i in (1, 2):
        name = f"deployment_{i}.npz"
        assert (folder / name).read_bytes() == (again[0] / name).read_bytes()


def test_a_full_disk_leaves_the_previous_checkpoint(again, here, no_pictures, monkeypatch, capsys):
    """Status 2 and one line; once there is room again the run goes on."""
    full = OSError(errno.ENOSPC, "No space left on device")
    for call, place in ((6, (np, "savez")), (5, (np, "savez")), (2, (np, "savez"))):
        shutil.rmtree(here / "log", ignore_errors=True)
        with monkeypatch.context() as patch:
            trip(patch, place, call, full)
            assert run.main([*AGAIN, "--eval_model", "--keep_policies"]) == 2
        line = stderr_line(capsys)
        (folder,) = here.glob("log/pendulum/recursive/bremen/bremen0")
        assert "No space left" in line and not list(here.rglob("*.tmp"))
        go(*line.split("go on with: python run.py ")[1].split())
        same_results(again[0], folder)


def test_the_checkpoint_before_a_damaged_one_is_usable(finished, dataset, here, no_pictures, monkeypatch, capsys):
    """The message names it; put in its place, it completes the run to the same bytes."""
    folder = killed(here, dataset, monkeypatch, (bremen, "imagine_paths"), 4)
    (folder / "checkpoint.npz").write_bytes((folder / "checkpoint.npz").read_bytes()[:-20])
    before = tree(here)
    assert run.main(["--resume", str(folder)]) == 2
    assert "checkpoint_before.npz" in stderr_line(capsys) and tree(here) == before
    (folder / "checkpoint_before.npz").rename(folder / "checkpoint.npz")
    go("--resume", folder)
    same_results(finished, folder)


def test_a_run_of_a_version_without_later_fields_goes_on(finished, dataset, here, no_pictures, monkeypatch):
    folder = killed(here, dataset, monkeypatch, (bremen, "imagine_paths"), 4)
    path = folder / "checkpoint.npz"
    meta = envs.read_meta(path, envs.read_npz(path))
    whole = json.loads((folder / "config.json").read_text())
    later = [name for name, value in whole.items() if FIELDS[name] == value]  # any that has its default
    assert {"target_kl_end", "clip_margin"} <= {*later}
    for config in meta["config"], whole:
        for name in later:
            del config[name]
    (folder / "config.json").write_text(json.dumps(whole))
    rewritten(path, path, meta=json.dumps(meta))
    go("--resume", folder)
    same_results(finished, folder)


@pytest.mark.parametrize("model_noise", ["1", "0"])
def test_models_of_an_earlier_version_are_refused(model_noise, here, no_pictures, capsys):
    """Their residuals had another unit, and ants saw the world's axes: nothing else in them would look wrong."""
    go("--env", "ant", "--mode", "offline", "--preset", "smoke", "--n_train", "500", "--model_noise", model_noise)
    path = here / "log/ant/offline/bremen/bremen0/checkpoint.npz"
    meta = envs.read_meta(path, envs.read_npz(path))
    assert meta.pop("residuals") == "of the members' spread"
    rewritten(path, path, meta=json.dumps(meta))
    path.with_name("checkpoint_before.npz").write_bytes(path.read_bytes())
    before = tree(here)
    assert run.main(["--resume", str(path.parent)]) == 2
    said = stderr_line(capsys)
    assert "fit them anew" in said and "rename" not in said and tree(here) == before
    go("--env", "ant", "--mode", "offline", "--preset", "smoke", "--n_train", "500", "--model_noise", "1", "--models",
       "log", "--exp_name", "other")  # fmt: skip
    assert "no run under log has fitted the same models" in capsys.readouterr().out


@pytest.mark.parametrize("column", ["obs", "next_obs"])
def test_ants_without_a_direction_are_refused(column, here, capsys):
    """In one line, before anything is fitted: no rotation belongs to a quaternion of zeros."""
    go("--mode", "collect", "--env", "ant", "--n_train", "50", "--out", "sound.npz")
    rows = envs.read_npz(here / "sound.npz")[column]
    rows[7, 1:5] = 0
    rewritten(here / "sound.npz", here / "data.npz", **{column: rows})
    before = tree(here)
    assert run.main("--env ant --mode offline --preset smoke --data data.npz".split()) == 2
    assert "quaternion" in stderr_line(capsys) and tree(here) == before


HISTORIES = {  # what is wrong: the history -> its wrong part
    "a row without numbers": lambda history: {"rows": [{"updates": 0}]},
    "a row with text": lambda history: {"rows": [history["rows"][0] | {"kl": "small"}]},
    "rows that are none": lambda history: {"rows": 7},
    "a curve of texts": lambda history: {"models": [{"model_loss": 1.0, "model_curve": [["low"]]}]},
    "a loss that is none": lambda history: {"models": [{"model_loss": "low", "model_curve": [[1.0]]}]},
    "transitions that are none": lambda history: {"batches": [{"transitions": "many", "mean": None, "std": None}]},
    "seconds that are none": lambda history: {"seconds": {"fit": "long"}},
    "data without a name": lambda history: {"data": {"sha256": "0"}},
    "half a return": lambda history: {"policy": [1.0]},
    "half a return of the mean action": lambda history: {"mean_action": [1.0]},
    "more than a history has": lambda history: {"future": 1},
}


@pytest.mark.parametrize("what", HISTORIES)
def test_a_damaged_history_is_one_line(what, finished, here, capsys):
    shutil.copytree(finished, here / "copy")
    whole = envs.read_npz(finished / "checkpoint.npz")
    meta = envs.read_meta("", whole)
    meta["history"] |= HISTORIES[what](meta["history"])
    safe_files.write_npz(here / "copy" / "checkpoint.npz", **whole | {"meta": json.dumps(meta)})
    before = tree(here)
    assert run.main(["--resume", "copy"]) == 2
    assert "not a checkpoint" in stderr_line(capsys) and tree(here) == before


def test_a_deployment_that_was_damaged_is_named(again, here, capsys):
    shutil.copytree(again[0], here / "copy")
    (here / "copy" / "deployment_1.npz").write_bytes(b"PK")
    before = tree(here)
    assert run.main(["--resume", "copy"]) == 2
    assert "deployment_1.npz" in stderr_line(capsys) and tree(here) == before


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["offline", "recursive"])
def test_twenty_kills_at_random_moments(mode, tmp_path):
    """SIGKILL, then --resume DIR and nothing else (or the first command again where no directory stood yet)."""
    program = [sys.executable, str(HERE.parent / "run.py")]
    start = [*program, "--env", "pendulum", "--preset", "smoke", "--mode", mode, "--iterations", "8", "--threads", "1"]
    place, quiet = Path("log/pendulum") / mode / "bremen/bremen0", {"stdout": subprocess.DEVNULL}
    for name in ("whole", "timed"):  # the first compiles and collects
        (tmp_path / name).mkdir()
        began = time.perf_counter()
        subprocess.run(start, cwd=tmp_path / name, check=True, **quiet)
        seconds = time.perf_counter() - began
    moments, killed = np.random.default_rng(0).uniform(0.2, 1.0, 20) * seconds, 0
    for i, moment in enumerate(moments):
        folder = tmp_path / str(i)
        shutil.copytree(tmp_path / "whole", folder, ignore=shutil.ignore_patterns("log"))
        process = subprocess.Popen(start, cwd=folder, **quiet)
        time.sleep(moment)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        resume = [*program, "--resume", str(place)]
        subprocess.run(resume if (folder / place).exists() else start, cwd=folder, check=True, **quiet)
        same_results(tmp_path / "whole" / place, folder / place)
    assert killed >= 15, "most of them while it ran"


# --- data and runs that move, powers that end a run ------------------------------------------------------------------


def stopped(monkeypatch, *argv, place=(bremen, "imagine_paths"), call=3):
    """A run that Ctrl-C ends at the `call`-th call of the function at `place`.  -> its directory, whole path"""
    with monkeypatch.context() as patch:
        trip(patch, place, call, KeyboardInterrupt())
        assert interrupted(*argv) == 130
    (config,) = Path().glob("log/**/config.json")
    return config.parent.resolve()


BEGUN = {"with a checkpoint": {}, "without a checkpoint": {"place": (bremen, "fit_dynamics"), "call": 1}}


@pytest.mark.parametrize("begun", BEGUN)
def test_a_run_goes_on_from_another_folder(begun, finished, here, no_pictures, monkeypatch, capsys):
    """With its default data, which are not collected again, wherever the run's directory itself is by then."""
    (here / "home").mkdir()
    monkeypatch.chdir(here / "home")
    folder = stopped(monkeypatch, *PENDULUM, "--log_dir", "./log", **BEGUN[begun]).rename(here / "moved")
    monkeypatch.chdir(here)
    capsys.readouterr()
    go("--resume", "moved")
    assert "collecting" not in capsys.readouterr().out
    same_results(finished, folder)
    assert sorted(p.name for p in here.iterdir()) == ["home", "moved"]


@pytest.mark.parametrize("begun", BEGUN)
@pytest.mark.parametrize("given", [True, False], ids=["--data", "default"])
def test_data_that_moved_are_named_with_data(begun, given, finished, dataset, here, no_pictures, monkeypatch, capsys):
    """Refused in one line that says where they were, and how to go on; other data are refused in the same way.  Taken
    at its word, the line completes the run, which then knows where its data are."""
    shutil.copytree(dataset.parents[1], here / "data")
    old = (here / "data" / "pendulum" / dataset.name).rename(here / dataset.name) if given else None
    folder = stopped(monkeypatch, *PENDULUM, *(("--data", f"./{dataset.name}") if given else ()), **BEGUN[begun])
    old, new = old or here / "data" / "pendulum" / dataset.name, here / "new place" / "new.npz"
    new.parent.mkdir()
    old.rename(new)
    rewritten(dataset, here / "other.npz", rew=np.zeros(300, np.float32))
    capsys.readouterr()
    before = tree(here)
    assert run.main(["--resume", str(folder), "--data", "other.npz"]) == 2
    assert "other.npz" in (line := stderr_line(capsys)) and safe_files.sha256(dataset) in line
    assert run.main(["--resume", str(folder)]) == 2
    assert str(old) in (line := stderr_line(capsys)) and safe_files.sha256(dataset) in line and tree(here) == before
    assert ("--mode collect" in line) == (not given)
    words = re.search(r"go on with (--resume \S+ --data) FILE", line)[1].split()
    with monkeypatch.context() as patch:  # interrupted once more: this line, too, can be taken at its word
        trip(patch, (bremen, "fit_dynamics" if "without" in begun else "imagine_paths"), 1, KeyboardInterrupt())
        assert interrupted(*words, new) == 130
    go(*shlex.split(stderr_line(capsys).split("go on with: python run.py ")[1]))
    same_results(finished, folder)
    go("--resume", folder)
    assert json.loads((folder / "run.json").read_text())["data"]["file"] == str(new)


def test_collected_again_as_the_message_says_the_data_are_the_same(finished, here, no_pictures, monkeypatch, capsys):
    folder = stopped(monkeypatch, *PENDULUM)
    shutil.rmtree("data")
    capsys.readouterr()
    assert run.main(["--resume", str(folder)]) == 2
    line = stderr_line(capsys)
    go(*re.search(r"python run.py (--mode collect .*) FILE makes it again", line)[1].split(), "again.npz")
    go("--resume", folder, "--data", "again.npz")
    same_results(finished, folder)


def test_places_are_kept_whole(dataset, finished, here, no_pictures, monkeypatch):
    """In config.json and run.json, whatever was typed; the run is the same experiment still."""
    shutil.copy(dataset, here / "d.npz")
    os.symlink(finished, here / "lent")
    (here / "sub").mkdir()
    monkeypatch.chdir("sub")
    go(*PENDULUM, "--data", "../d.npz", "--data_dir", "./e/../f", "--models", "../lent")
    folder = here / "sub/log/pendulum/offline/bremen/bremen0"
    config, about = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "run"))
    assert (config["data"], config["data_dir"]) == (str(here / "d.npz"), str(here / "sub" / "f"))
    assert (about["data"]["file"], about["models_from"]) == (str(here / "d.npz"), str(finished))
    same_results(finished, folder)


def old_fashioned(folder, checkpoint):
    """Make a run directory what it was before places were kept whole, and before run.json was there from the start."""
    config = json.loads((folder / "config.json").read_text()) | {"data_dir": "data"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "run.json").unlink(missing_ok=True)
    if checkpoint:
        arrays = envs.read_npz(folder / "checkpoint.npz")
        meta = envs.read_meta("", arrays)
        meta["config"]["data_dir"] = "data"
        meta["history"]["data"]["file"] = os.path.relpath(meta["history"]["data"]["file"])
        safe_files.write_npz(folder / "checkpoint.npz", **arrays | {"meta": json.dumps(meta)})


@pytest.mark.parametrize("begun", BEGUN)
def test_an_old_run_goes_on_in_its_own_folder(begun, finished, here, no_pictures, monkeypatch, capsys):
    """From elsewhere it is refused, and nothing is collected; without a checkpoint nobody knows what its data were."""
    (here / "home").mkdir()
    monkeypatch.chdir(here / "home")
    folder = stopped(monkeypatch, *PENDULUM, **BEGUN[begun])
    old_fashioned(folder, checkpoint=begun == "with a checkpoint")
    before, (data,) = tree(here), (here / "home").glob("data/pendulum/*.npz")
    monkeypatch.chdir(here)
    for line in (["--resume", str(folder)], ["--resume", str(folder), "--data", str(data)])[: 2 - (not BEGUN[begun])]:
        capsys.readouterr()
        assert run.main(line) == 2
        assert ("SHA-256" if not BEGUN[begun] else "which data") in stderr_line(capsys) and tree(here) == before
    monkeypatch.chdir(here / "home")
    go("--resume", folder)
    same_results(finished, folder)


def test_a_run_json_that_was_damaged_is_said(dataset, here, no_pictures, monkeypatch, capsys):
    folder = stopped(monkeypatch, *PENDULUM, "--data", dataset, **BEGUN["without a checkpoint"])
    for text, words in {"{": "JSON", "{}": "which data", '{"data": [7]}': "which data"}.items():
        (folder / "run.json").write_text(text)
        capsys.readouterr()
        status = run.main(["--resume", str(folder), "--data", str(dataset)])
        assert status == 2 and words in stderr_line(capsys)


def test_a_recursive_run_has_no_data_to_name(here, no_pictures, monkeypatch, capsys):
    folder = stopped(monkeypatch, *AGAIN)
    capsys.readouterr()
    assert run.main(["--resume", str(folder), "--data", "x.npz"]) == 2
    assert "--data: only with --mode offline" in stderr_line(capsys)


def test_one_process_at_a_time_works_on_a_run(finished, dataset, here, no_pictures, monkeypatch, capsys):
    """Whether the one in there began the run or resumed it; killed, however it was, it is no more in the way."""

    def try_lock(*args):
        with open(Path(LOG) / "config.json", "rb") as f, pytest.raises(BlockingIOError):
            safe_files.lock(f)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bremen, "fit_dynamics", try_lock)
        assert interrupted(*PENDULUM, "--data", dataset) == interrupted("--resume", LOG) == 130
    code = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX)"
    line = [sys.executable, "-c", f"{code}; print(flush=True); time.sleep(99)", f"{LOG}/config.json"]
    other = subprocess.Popen(line, stdout=subprocess.PIPE)
    other.stdout.readline()
    before = tree(here)
    capsys.readouterr()
    assert run.main(["--resume", LOG]) == 2
    assert "another process is working on this run" in stderr_line(capsys) and tree(here) == before
    other.kill()
    other.communicate()
    go("--resume", LOG)
    same_results(finished, here / LOG)


def test_what_is_written_is_on_the_disk_before_and_after_it_gets_its_name(here, no_pictures, monkeypatch):
    """Of every renaming of a run: what is renamed was synced before it (a directory: all that is in it), and the folder
    of its new name after it, before anything else is renamed."""
    synced, renamed = set(), []  # numbers of files and folders whose present content is on the disk; new names

    def fsync(file):
        synced.add(os.fstat(file).st_ino)

    def rename(old, new, original=os.replace):
        old, new = Path(old), Path(new).absolute()
        assert {p.parent.stat().st_ino for p in renamed[-1:]} <= synced, f"the folder of {renamed[-1]}"
        assert {p.stat().st_ino for p in (old, *old.glob("*"))} <= synced, old
        synced.difference_update(p.stat().st_ino for p in (new, new.parent) if p.exists())
        original(old, new)
        renamed.append(new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", rename)
    monkeypatch.setattr(Path, "rename", lambda self, new: rename(self, new))
    go(*AGAIN, "--keep_policies", "--log_dir", "new/log")
    assert renamed[-1].parent.stat().st_ino in synced
    names = [path.name for path in renamed]
    assert {"bremen0", "deployment_2.npz", "0003.npz", *PROMISED} <= set(names)
    assert names.count("checkpoint.npz") == names.count("checkpoint_before.npz") + 1 == 8


def test_folders_that_a_run_makes_are_on_the_disk(here, monkeypatch):
    """Each of them is a name in the folder above it."""
    synced = set()
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino))
    safe_files.make_folder(here / "a" / "b" / "c")
    assert {p.stat().st_ino for p in (here, here / "a", here / "a" / "b")} == synced and (here / "a/b/c").is_dir()
    synced.clear()
    safe_files.make_folder(here / "a" / "b")
    assert not synced


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs limits on the size of files")
def test_a_disk_that_is_really_full_says_how_to_go_on(finished, dataset, here, no_pictures, capsys):
    """A limit on the size of files stands for the disk's: too small for a checkpoint, for a dataset."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    smallest = min(p.stat().st_size for p in finished.glob("checkpoint*"))
    try:
        limit(smallest - 1000)
        assert run.main([*PENDULUM, "--data", str(dataset)]) == 2
        line = stderr_line(capsys)
        limit(1000)
        assert run.main([*COLLECT, "--out", "c.npz"]) == run.main([*PENDULUM, "--exp_name", "other"]) == 2
    finally:
        limit(before[0])
    collected = capsys.readouterr().err.splitlines()
    assert [re.search("--\\w+ names another place", text)[0].split()[0] for text in collected] == [
        "--out",
        "--data_dir",
    ]
    assert "checkpoint" in line and not list(here.rglob("*.tmp"))
    go(*line.split("go on with: python run.py ")[1].split())
    same_results(finished, here / LOG)


SIGNALS = {"SIGTERM": 143, "SIGHUP": 129}


@pytest.mark.parametrize("name, place, call", [
    ("SIGTERM", (bremen, "imagine_paths"), 3), ("SIGTERM", (np, "savez"), 5), ("SIGHUP", (np, "savez"), 6),
])  # fmt: skip
def test_a_signal_ends_a_run_as_ctrl_c_does(
    name, place, call, finished, dataset, here, no_pictures, monkeypatch, capsys
):
    """In the middle of an update, or of a file; the status is that of a process that died of the signal."""
    number, calls, original = getattr(signal, name), [], getattr(*place)

    def f(*args, **kwargs):
        calls.append(1)
        result = original(*args, **kwargs)
        if len(calls) == call:
            assert signal.getsignal(number) != signal.SIG_DFL, "or these tests would end here"
            os.kill(os.getpid(), number)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(*place, f)
        assert interrupted(*PENDULUM, "--data", dataset) == SIGNALS[name]
    line = stderr_line(capsys)
    assert len(calls) == call and not list(here.rglob("*.tmp")) and signal.getsignal(number) == signal.SIG_DFL
    go(*line.split("go on with: python run.py ")[1].split())
    same_results(finished, here / LOG)


def test_a_signal_ends_other_programs_too(capsys):
    kill = lambda name: os.kill(os.getpid(), getattr(signal, name))
    for name, status in SIGNALS.items():
        assert run.guarded("p.py", lambda name=name: kill(name), lambda: "the same line goes on") == status
        assert capsys.readouterr().err == "p.py: interrupted; the same line goes on\n"
    full = lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device", "x.csv"))
    assert run.guarded("p.py", lambda: next(full()), lambda: "the same line goes on") == 2
    assert capsys.readouterr().err == "p.py: [Errno 28] No space left on device: 'x.csv'; the same line goes on\n"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run.guarded("p.py", lambda: kill("SIGHUP")) is None, "as under nohup"
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_killed_process_left_is_removed(finished, dataset, here, no_pictures):
    """Whatever is in the run's directory; elsewhere what has the name of what is written, unless somebody writes it."""
    shutil.copytree(finished, here / "run")
    (here / "data" / "pendulum").mkdir(parents=True)
    (here / "log/pendulum/offline/bremen").mkdir(parents=True)
    data = Path("data/pendulum") / dataset.name
    gone = [Path("run/checkpoint.npz.12.tmp"), Path("run/curves.png.3-ab.tmp"), data.with_name(f"{data.name}.7-cd.tmp")]
    kept = [data.with_name(f"{data.name}.{name}") for name in ("8.tmp", "9.tmp", "tmp", "mine.tmp")]
    for path in gone + kept:
        path.write_bytes(b"" if path in (gone[1], kept[1]) else b"PK")  # an empty one may have begun just now
    begun = [Path("log/pendulum/offline/bremen") / f".bremen0.{i}-ef.tmp" for i in (1, 2)]
    for path, age in zip(begun, (60, 0)):
        path.mkdir()
        (path / "config.json").write_text("{}")
        os.utime(path, (time.time() - age,) * 2)
    with open(kept[0], "rb") as f:
        safe_files.lock(f)
        go("--resume", "run")
        go(*PENDULUM)
    assert not any(path.exists() for path in (*gone, begun[0])) and all(path.exists() for path in (*kept, begun[1]))
    same_results(finished, here / LOG)


def test_where_the_system_has_neither_locks_nor_synced_folders(finished, dataset, here, no_pictures, monkeypatch):
    """Windows, and a file system that refuses both: the run is the same."""

    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    folders = lambda path, *args, original=os.open: refuse() if os.path.isdir(path) else original(path, *args)
    monkeypatch.setattr(os, "open", folders)
    for name, fcntl in (("windows", None), ("network", SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_NB=4))):
        monkeypatch.setattr(safe_files, "fcntl", fcntl)
        go(*PENDULUM, "--data", dataset, "--exp_name", name)
        folder = here / f"log/pendulum/offline/{name}/{name}0"
        (folder / "policy.npz.1.tmp").write_text("perhaps somebody writes it")
        go("--resume", folder)
        same_results(finished, folder)
        assert (folder / "policy.npz.1.tmp").exists()


# --- terminals, pipes, read-only places ------------------------------------------------------------------------------


def ascii_stream():
    """What stdout is in an ASCII locale.  -> text stream"""
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


def test_an_ascii_terminal_shows_what_it_can(dataset, here, monkeypatch):
    """±, names with bytes that are no letters, and error lines; dollars in a name are no formula."""
    name = os.fsdecode(b"d\xc3\xa4t\xff $x_{^$.npz")
    shutil.copy(dataset, here / name)
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, ascii_stream())
    go("--mode", "collect", "--describe", name)
    assert run.main(["--mode", "collect", "--describe", name + "ö"]) == 2
    assert run.guarded("p.py", lambda: print("±")) is None
    out, err = (stream.buffer.getvalue().decode("ascii") for stream in (sys.stdout, sys.stderr) if not stream.flush())
    assert re.search(r"return +-\d+ \? \d+ over 12 episodes", out) and out.endswith("?\n")
    assert err.startswith("run.py: d?t? ") and err.count("\n") == 1
    assert (here / name.replace(".npz", "_described.png")).stat().st_size > 1000


def test_output_that_nobody_reads_ends_a_run_in_one_line(finished, dataset, here, no_pictures, monkeypatch, capfd):
    """As of `run.py ... | head -1`; the line says how to go on.  What comes at the end of all work may be lost."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert run.main([*PENDULUM, "--data", str(dataset)]) == 141
    line = capfd.readouterr().err
    assert line.count("\n") == 1 and f"go on with: python run.py --resume {LOG}\n" in line
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert run.guarded("p.py", lambda: print("the last words")) is None
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(sys, "stdout", None)  # closed by the shell
    go("--resume", LOG)
    sys.stdout.close()
    same_results(finished, here / LOG)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_onto_a_full_disk_is_no_success(capfd, monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run.guarded("p.py", lambda: print("a table")) == 2
    assert capfd.readouterr().err == "p.py: [Errno 28] No space left on device\n"


def test_the_originals_data_where_nothing_can_be_written(here, capsys):
    """Found beside the file that is to be imported; the message says how to import it elsewhere."""
    (here / "data/Pendulum/random").mkdir(parents=True)
    (here / "data/Pendulum/random/data.index").write_bytes(b"x")
    (here / "data/pendulum").touch()
    assert run.main(PENDULUM) == 2
    assert "import_dataset.py brac" in (line := stderr_line(capsys)) and line.endswith("for --data FILE\n")


def test_no_place_for_compiled_kernels_is_one_line(here):
    """Neither beside the modules nor at home, as in a read-only checkout: a notebook and --help work, each start
    compiles anew; a folder of NUMBA_CACHE_DIR is taken, and nothing is said."""
    for name in ("bremen", "envs", "nets", "trpo", "run"):
        shutil.copy(HERE.parent / f"{name}.py", here)
    shutil.copytree(
        HERE.parent / "examples",
        here / "examples",
        ignore=lambda folder, names: {name for name in names if not name.endswith(".py")},
    )
    for name in ("__pycache__", "home"):
        (here / name).touch()  # a file: not even root can write below it
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")}
    env |= {"HOME": str(here / "home"), "XDG_CACHE_HOME": str(here / "home"), "MPLCONFIGDIR": str(here)}
    work = "import numpy as np, nets, trpo; h = np.ones((2, 2)); print(nets._add_bias(h, np.ones(2), True).sum())"
    for more, lines in ({}, 1), ({"NUMBA_CACHE_DIR": str(here / "cache")}, 0):
        for words, out in (["-c", work], "8.0"), (["run.py", "--help"], "--help"):
            line = [sys.executable, *words]
            done = subprocess.run(line, cwd=here, env=env | more, capture_output=True, text=True)
            assert done.returncode == 0 and out in done.stdout, done.stderr
            assert done.stderr.count("\n") == lines == done.stderr.count("NUMBA_CACHE_DIR names one"), done.stderr
    assert list((here / "cache").rglob("nets._add_bias*.nbi")), "with a place there is a cache"


@pytest.mark.parametrize("env", ["hopper", "ant"])
def test_the_clones_second_core_compiles_what_imagination_calls(env, here):
    """Once, for the types that a run has; a kernel for other types would be compiled for nobody.  The ant has a
    free joint."""
    code = f"""if True:
        import numpy as np, bremen, envs, nets, run
        rng, task = np.random.default_rng(0), envs.TASKS["{env}"]
        cfg = bremen.configured(env="{env}", preset="smoke", threads=2, clone_steps=2, model_noise=1.0, alpha=0.1)
        data = envs.collect(task, envs.behavior(task, None, "random"), 300, rng)
        for record in bremen.train_offline(cfg, data, **run.page("progress").Progress().parts()):
            print(record["stage"], len(nets.rollout_fast.signatures))
            if record["stage"] == "update":
                break
        bremen.imagined_returns(record["state"], data.obs, cfg, rng)
        print("return", len(nets.rollout_fast.signatures))"""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"} | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == "model 0 clone 1 update 1 return 1".split(), done.stderr


# --- flags ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def config_of(dataset, here, monkeypatch):
    """argv -> the config.json that it leaves; training itself is stopped."""

    def diverge(*args, **kwargs):
        raise FloatingPointError("enough")

    def f(*argv):
        shutil.rmtree(here / "log", ignore_errors=True)
        assert run.main(["--env", "pendulum", "--data", str(dataset), *argv]) == 1
        (path,) = here.rglob("config.json")
        return json.loads(path.read_text())

    monkeypatch.setattr(bremen, "train_offline", diverge)
    return f


def test_presets(config_of):
    """classroom is the default; smoke is smaller, paper larger; the paper's numbers for all environments."""
    classroom, smoke, paper = config_of(), config_of("--preset", "smoke"), config_of("--preset", "paper")
    assert [c["preset"] for c in (classroom, smoke, paper)] == ["classroom", "smoke", "paper"]
    for name in ("imagined_steps", "clone_steps", "model_epochs", "members"):
        assert smoke[name] < classroom[name] <= paper[name], name
    table = dict(members=5, model_hidden=[1024, 1024], model_lr=1e-3, model_batch=1000, model_epochs=200)
    table |= dict(model_patience=20, validation=0.15, clone_lr=5e-4, clone_batch=256, clone_steps=300_000, gamma=0.99)
    table |= dict(policy_hidden=[200, 200], imagined_steps=50_000, cg_iters=10, cg_damping=0.1, accept_ratio=0.1)
    table |= dict(lam=0.95, value="linear", start="initial", iterations=250, iteration_updates=25, alpha=0.0, std=0.1)
    assert paper.items() >= table.items()


def test_flags_override_the_preset_wherever_they_stand(config_of):
    flags, preset = ["--iterations", "7", "--model_hidden", "9", "3"], ["--preset", "smoke"]
    before, after, plain = config_of(*flags, *preset), config_of(*preset, *flags), config_of(*preset)
    assert before == after == {**plain, "iterations": 7, "model_hidden": [9, 3]}
    assert plain["iterations"] != 7


def test_a_flag_equal_to_the_default_overrides_the_preset_too(config_of):
    """smoke asks for fewer members than the default: not when the default's number is said."""
    assert config_of("--preset", "smoke")["members"] < FIELDS["members"]
    assert config_of("--preset", "smoke", "--members", str(FIELDS["members"]))["members"] == FIELDS["members"]


def test_flags_override_the_file(config_of, finished, here):
    """A file of a few values, on top of the preset and below the flags."""
    (here / "few.json").write_text('{"iterations": 3, "gamma": 0.9, "value_hidden": [5]}')
    config = config_of("--gamma", "0.8", "--param_path", "few.json", "--preset", "smoke")
    assert (config["iterations"], config["gamma"], config["value_hidden"]) == (3, 0.8, [5])
    assert config == {**config_of("--preset", "smoke"), "iterations": 3, "gamma": 0.8, "value_hidden": [5]}
    again = config_of("--param_path", str(finished / "config.json"))
    assert {**again, "data": ""} == json.loads((finished / "config.json").read_text())


def test_passes_over_the_data_that_are_asked_for_are_not_raised(config_of, here):
    """Neither by a preset nor by the config.json of a run of that preset; both together are as given."""
    (here / "old.json").write_text(json.dumps(config_of()))
    for file in ((), ("--param_path", "old.json")):
        assert config_of("--gamma", "0.5", *file)["model_steps"] == 30_000
        assert config_of("--model_epochs", "4", *file)["model_steps"] == 0
        assert config_of("--model_epochs", "4", "--model_steps", "9", *file)["model_steps"] == 9


def test_a_preset_does_not_silently_lose_against_a_file(finished, capsys):
    """config.json holds every number: another preset beside it would change nothing."""
    assert run.main(["--param_path", str(finished / "config.json"), "--preset", "paper", "--exp_name", "other"]) == 2
    assert "leave --preset paper away" in capsys.readouterr().err


def test_an_interrupted_online_run_is_not_told_to_resume(here, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.page("online"), "follow", interrupt)
    assert run.main("--env pendulum --mode online --preset smoke".split()) == 130
    err = capsys.readouterr().err
    assert "resume" not in err and "another --exp_name" in err


ORIGINAL = {
    "--max_path_length 33": ("horizon", 33),
    "--gaussian 0.25": ("std", 0.25),
    "--onpol_iters 4": ("iterations", 4),
    "--trpo_batch_size 123": ("imagined_steps", 123),
    "--ensemble_model_count 3": ("members", 3),
    "--use_s_t": ("start", "dataset"),
    "--use_s_0": ("start", "initial"),
    "--target_kl 0.05": ("target_kl", 0.05),
    "--alpha 0.5": ("alpha", 0.5),
    "--n_train 77": ("n_train", 77),
    "--bc_init": ("bc_init", True),
    "--no-bc_init": ("bc_init", False),
    "--random_seeds 5": ("seed", 5),
    "--noise eps3": ("noise", "eps3"),
    "--param_value": ("value", "mlp"),
    "--pretrain_value": ("pretrain_value", True),
    "--eval_model": ("eval_model", True),
    "--save_variables": ("keep_policies", True),
    "--const_sampling": ("learn_std", False),
}


def test_the_originals_flags_arrive(config_of):
    plain = config_of("--preset", "paper")
    for flag, (field, value) in ORIGINAL.items():
        assert config_of("--preset", "paper", *flag.split()) == {**plain, field: value}, flag
    assert run.read_config(run.read_flags("--mode recursive --all_bc".split())).all_bc


def test_const_sampling_overrides_a_file(config_of, here):
    (here / "learnt.json").write_text('{"learn_std": true}')
    assert config_of("--param_path", "learnt.json")["learn_std"] is True
    assert config_of("--param_path", "learnt.json", "--const_sampling")["learn_std"] is False


KL = {"ant": 0.05, "half_cheetah": 0.1, "cheetah_run": 0.1, "hopper": 0.05, "walker2d": 0.05}
PATH = {"ant": 250, "half_cheetah": 250, "cheetah_run": 250, "hopper": 1000, "walker2d": 1000}
LONG = {
    "hopper": "--n_train 2000000 --onpol_iters 2400 --interval 240",
    "walker2d": "--n_train 2000000 --onpol_iters 800",
}
NAMED = "--exp_name theirs --sub_exp_name readme --param_path params.json --bc_init --random_seeds 0"
NUMBERS = "--target_kl {} --max_path_length {} --gaussian 0.1 --const_sampling"
THEIRS = {env: f"--env {env} {NAMED} {NUMBERS.format(KL[env], PATH[env])}" for env in KL}
COMMANDS = {  # the example commands of the original's README, its script's name replaced
    **{f"recursive {env}": f"--mode recursive {THEIRS[env]} {LONG.get(env, '')}" for env in KL},
    **{
        f"offline {env} {noise}": f"--mode offline {THEIRS[env]} --onpol_iters 250 --noise {noise}"
        for env in KL
        for noise in bremen.CHOICES["noise"]
    },
}
DIVIDED = {"n_train": 1000, "onpol_iters": 40, "interval": 40, "max_path_length": 10}  # by these, to be quick


SOME = [what for what in COMMANDS if what.startswith("offline hopper") or what.endswith("gaussian3")]


@pytest.mark.parametrize("what", [w if w in SOME else pytest.param(w, marks=pytest.mark.whole) for w in COMMANDS])
def test_the_originals_commands_run(what, here, no_pictures, monkeypatch):
    """Each with its sizes cut down; every value arrives in config.json."""
    mode, env, *noise = what.split()
    monkeypatch.setitem(envs.TASKS, env, dataclasses.replace(envs.TASKS[env], max_steps=20))
    small = dict(n_train=300, members=2, model_hidden=[4], model_epochs=1, model_steps=0, policy_hidden=[4])
    small |= dict(clone_steps=5, seed=9)
    small |= dict(imagined_steps=50, iteration_updates=1, value_hidden=[4], eval_episodes=1, eval_interval_episodes=1)
    (here / "params.json").write_text(json.dumps(small | {"iterations": 10, "bc_init": False, "learn_std": True}))
    cut = lambda m: f"--{m[1]} {max(1, int(m[2]) // DIVIDED[m[1]])}"
    words = re.sub(rf"--({'|'.join(DIVIDED)}) (\d+)", cut, COMMANDS[what])
    go(*words.split())
    config = json.loads((here / f"log/{env}/readme/theirs/theirs0/config.json").read_text())
    wanted = small | dict(mode=mode, env=env, target_kl=KL[env], horizon=PATH[env] // 10, std=0.1, seed=0, bc_init=True)
    wanted |= {"learn_std": False, "iterations": 6 if mode == "offline" else 10}
    if mode == "offline":
        wanted["noise"] = noise[0]
    elif env in LONG:
        wanted |= {"n_train": 2000} | ({"iterations": 60, "deployments": 10} if env == "hopper" else {"iterations": 20})
    assert {k: config[k] for k in wanted} == wanted


def test_the_hoppers_command_at_full_size():
    words = COMMANDS["recursive hopper"].replace("--param_path params.json", "").split()
    cfg = run.read_config(run.read_flags(words))
    assert (cfg.deployments, cfg.iterations, cfg.n_train, cfg.horizon) == (10, 2400, 2_000_000, 1000)
    assert cfg.updates_by(1) == 240 * cfg.iteration_updates
    assert cfg.updates_by(10) == 2400 * cfg.iteration_updates


def test_names_and_places_of_runs(config_of, here):
    config_of("--exp_name", "kl", "--sub_exp_name", "week2", "--log_dir", "l/og", "--seed", "4")
    assert [str(p.parent.relative_to(here)) for p in here.rglob("config.json")] == ["l/og/pendulum/week2/kl/kl4"]


def help_entries(text):
    """The output of --help.  -> {flag: its whole entry}, {flag: its explanation}"""
    entries, texts = {}, {}
    for entry in re.findall(r"^  -.*(?:\n {4,}.*)*", text, re.M):
        names, *words = re.split(r"\s{2,}", entry.strip(), maxsplit=1)
        for flag in re.findall(r"--[a-z][\w-]*", names):
            entries[flag], texts[flag] = entry, " ".join("".join(words).split())
    return entries, texts


def test_help_entries_by_hand():
    text = "  -h, --help  show\n        help\n  --a N, --bc [N ...]\n        both\n        of them\n  --empty\n"
    shown = {"--help": "show help", "--a": "both of them", "--bc": "both of them", "--empty": ""}
    assert help_entries(text)[1] == shown


def test_every_flag_has_a_help_text(capsys):
    """Fields of Config, the original's names, the files' flags; all modes, environments and presets are named."""
    with pytest.raises(SystemExit) as caught:
        run.main(["--help"])
    assert caught.value.code == 0
    entries, texts = help_entries(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        run.main(["--mode", "collect", "--help"])
    collect = help_entries(capsys.readouterr().out)[1]
    with pytest.raises(SystemExit):
        run.page("original").main(["--help"])
    texts = help_entries(capsys.readouterr().out)[1] | collect | texts
    wanted = {f"--{name}" for name in FIELDS} | {flag.split()[0] for flag in ORIGINAL} | {"--resume", "--policy"}
    wanted |= {"--exp_name", "--sub_exp_name", "--param_path", "--log_dir", "--data_dir", "--interval"}
    for flag in sorted(wanted):
        words = re.sub(r"\[.*?\]", "", texts.get(flag, ""))
        assert len(words) > 5 and "%(" not in words and "None" not in words, flag
    named = {"--mode": ("offline", "online", "collect", "evaluate", "video", "plot"), "--env": envs.TASKS}
    for flag, names in (named | {"--preset": ("smoke", "classroom", "paper")}).items():
        assert all(name in entries[flag] for name in names), flag


def test_help_shows_the_numbers_of_the_preset(capsys):
    for line in ("--env ant", "--env pendulum --mode recursive", "--preset paper"):
        with pytest.raises(SystemExit):
            run.main([*line.split(), "--help"])
        texts, cfg = help_entries(capsys.readouterr().out)[1], run.read_config(run.look_ahead(line.split())[0])
        for name in ("n_train", "target_kl", "model_epochs", "horizon"):
            assert texts[f"--{name}"].endswith(f"[{getattr(cfg, name)}]"), (line, name)


def test_the_page_that_resumes_runs_has_help(capsys):
    """Of the whole command line: it used to ask for the argument of --resume."""
    for word in "-h", "--help":
        with pytest.raises(SystemExit) as caught:
            run.page("resume").main([word])
        assert caught.value.code == 0 and "--resume DIR" in capsys.readouterr().out


def test_a_line_of_the_original_is_translated(capsys):
    line = "--env hopper --mode recursive --onpol_iters 2400 --interval 240 --gaussian 0.1 --const_sampling --use_s_0"
    assert run.page("original").main(line.split()) == 0
    words = capsys.readouterr().out.split()
    assert words[:2] == ["python", "run.py"] and not {"--gaussian", "--onpol_iters", "--interval"} & set(words)
    assert run.read_flags(words[2:]) == run.read_flags(line.split())
    assert run.page("original").main(["--gaussian", "0.1", "--std", "0.2"]) == 2
    assert "--gaussian: not allowed with argument --std" in capsys.readouterr().err


EVERYTHING = dict(
    mode="offline", env="pendulum", preset="paper", seed=3, threads=1, gradients="autograd", n_train=222,
    noise="random", data_dir="elsewhere", deployments=7, deployed_steps=77, all_bc=True, density_std="original",
    pretrain_value=True, eval_model=True, keep_policies=True, tensorboard=True,
    members=3, model_hidden=[6, 5], model_lr=3e-3, model_lr_last=7e-4, model_batch=99,
    model_epochs=3, model_steps=20, model_patience=2, validation=0.2, policy_hidden=[7], clone_lr=3e-3,
    clone_batch=33, clone_steps=9,
    bc_init=False, std=0.3, learn_std=True, iterations=1, iteration_updates=3, imagined_steps=90, horizon=30,
    start="reset", clip_states=False, clip_margin=0.5,
    member_per="path", model_noise=0.5, alpha=0.25, target_kl=0.02, target_kl_end=0.5,
    gamma=0.9, lam=0.8, cg_iters=4,
    cg_damping=0.2, fisher_rows=0.5, backtrack=0.7, max_backtracks=5, accept_ratio=0.05, value="linear",
    value_hidden=[4], value_epochs=2, value_batch=45, value_lr=3e-3, eval_episodes=3, eval_interval_episodes=2,
)  # fmt: skip


def test_every_field_can_be_changed_from_the_command_line(dataset, here, no_pictures, capsys):
    """A run with no field at its default; a field that is new in Config belongs in EVERYTHING.  Those of other modes
    come from a file: on the line they would be refused."""
    other = set(run.page("check_config").FLAGS_OF_ONE_MODE["recursive"])
    lines = {}
    for name, value in EVERYTHING.items():
        words = value if isinstance(value, list) else [value]
        lines[name] = [f"--{'' if value else 'no-'}{name}", *(() if isinstance(value, bool) else map(str, words))]
        read = run.read_flags(lines[name])[name]
        assert read == value or list(read) == value, name
    (here / "other.json").write_text(json.dumps({k: v for k, v in EVERYTHING.items() if k in other}))
    own = (word for name, line in lines.items() if name not in other for word in line)
    go("--param_path", "other.json", "--data", dataset, *own)
    folder = here / "log/pendulum/offline/bremen/bremen3"
    wanted = {**EVERYTHING, "data": str(dataset), "data_dir": str(here / "elsewhere")}
    assert json.loads((folder / "config.json").read_text()) == wanted
    for name, default in FIELDS.items():
        if name != "mode":
            assert wanted[name] != (list(default) if isinstance(default, tuple) else default), name
    assert "\nstart " in capsys.readouterr().out and len(rows_of(folder)) == 2


# --- datasets -------------------------------------------------------------------------------------------------------


def collected(argv, path):
    """`--mode collect` into `path`.  -> Batch, meta"""
    go(*COLLECT, "--noise", "pure", "--out", path, *argv)
    return envs.load_dataset(path, envs.TASKS["pendulum"])


def test_collect_random_actions(here, capsys):
    batch, meta = collected(["--noise", "random"], here / "r.npz")
    assert list(tree(here)) == ["r.npz"] and "300 transitions" in capsys.readouterr().out
    assert len(batch.rew) == 300 and 1.9 < np.abs(batch.act).max() <= 2 and abs(batch.act.mean()) < 0.3
    assert meta["env"] == "pendulum" and meta["noise"] == "random" and meta["seed"] == 0
    returns, _ = envs.episode_returns(batch)
    assert (meta["return_mean"], meta["return_std"]) == (returns.mean(), returns.std())


def test_collect_with_a_policy(finished, here):
    """pure: samples of the policy, clipped: its mean action plus noise of its own standard deviation."""
    argv = ["--noise", "pure", "--policy", str(finished / "policy.npz"), "--n_train", "2000"]
    batch, meta = collected(argv, here / "p.npz")
    policy, _ = run.load_policy(finished / "policy.npz", envs.TASKS["pendulum"])
    noise = batch.act - policy.mean(batch.obs)
    assert meta["noise"] == "pure" and meta["policy"] == "policy.npz"
    log_std = nets.split(policy.theta, policy.net.sizes)[1]
    np.testing.assert_allclose(noise.std(), np.exp(log_std[0]), rtol=0.1)
    assert abs(noise.mean()) < 0.02


def test_seeds_of_collection(here):
    a, b, c = (collected(["--noise", "random", "--seed", s], here / f"{i}.npz")[0] for i, s in enumerate("001"))
    assert [x.tobytes() for x in a] == [x.tobytes() for x in b]
    assert a.obs.tobytes() != c.obs.tobytes()


def test_default_dataset_is_collected_once(here, no_pictures, monkeypatch, capsys):
    """Where --data_dir says; the second run finds it."""
    argv = [*PENDULUM, "--iterations", "0", "--data_dir", "d"]
    go(*argv, "--exp_name", "first")
    assert "collecting" in capsys.readouterr().out
    before = tree(here / "d")
    monkeypatch.setattr(envs, "collect", None)
    go(*argv, "--exp_name", "second")
    assert "collecting" not in capsys.readouterr().out and tree(here / "d") == before
    assert (here / "log/pendulum/offline/first/first0/policy.npz").read_bytes() == (
        here / "log/pendulum/offline/second/second0/policy.npz"
    ).read_bytes()


def test_default_dataset_of_another_version_is_not_taken(here, no_pictures, monkeypatch, capsys):
    """Its file has the same name and was made by another behaviour policy; --data takes it all the same."""
    line = ["--env", "pendulum", "--preset", "smoke", "--n_train", "300"]
    go(*line, "--exp_name", "first")
    random_policy(here / "p.npz", "pendulum")
    monkeypatch.setattr(run.page("collect"), "behavior_file", lambda env: here / "p.npz")
    capsys.readouterr()
    assert run.main([*line, "--exp_name", "second"]) == 2
    assert "pure_300_seed0.npz: of another behaviour policy" in stderr_line(capsys)
    go(*line, "--exp_name", "third", "--data", "data/pendulum/pure_300_seed0.npz")
    assert sorted(path.name for path in (here / "log/pendulum/offline").iterdir()) == ["first", "third"]


def test_default_dataset_of_one_policy_is_not_taken_for_anothers(finished, here, no_pictures, capsys):
    """Two policies, no --out: separate datasets, or a refusal; never the one for the other."""
    arrays = envs.read_npz(finished / "policy.npz")
    rewritten(finished / "policy.npz", here / "other.npz", theta=arrays["theta"] + np.float32(0.5))
    argv = [*PENDULUM, "--noise", "pure", "--iterations", "0"]
    for name, path in {"first": finished / "policy.npz", "second": here / "other.npz"}.items():
        status = run.main([*argv, "--exp_name", name, "--policy", str(path)])
        assert status in (0, 2)
    datasets = [path.read_bytes() for path in here.glob("data/pendulum/*.npz")]
    assert len(set(datasets)) == (2 if status == 0 else 0)


def test_n_train_is_honoured(dataset, here, no_pictures, monkeypatch, capsys):
    """The first n_train rows of --data, in the order of the file."""
    seen, fit = [], bremen.fit_dynamics
    monkeypatch.setattr(bremen, "fit_dynamics", lambda data, *rest: (seen.append(data), fit(data, *rest))[1])
    go(*PENDULUM, "--iterations", "0", "--data", dataset, "--n_train", "110")
    assert "110 transitions" in capsys.readouterr().out
    full, _ = envs.load_dataset(dataset, envs.TASKS["pendulum"])
    for got, column in zip(seen[0], full, strict=True):
        np.testing.assert_array_equal(got, column[:110])


# --- online, plots, video -------------------------------------------------------------------------------------------

ONLINE = "--mode online --env pendulum --preset smoke --policy_hidden 8 --value_hidden 8 --iteration_updates 2".split()
ONLINE += "--online_steps 400 --online_envs 2 --online_horizon 50".split()


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """Run directories of two seeds of model-free TRPO on the pendulum."""
    folder = tmp_path_factory.mktemp("online")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(folder)
        go(*ONLINE, "--random_seeds", "0", "1")
    return [folder / "log/pendulum/online/bremen" / f"bremen{seed}" for seed in (0, 1)]


def test_online_leaves_a_run_directory(online):
    rows, config = rows_of(online[0]), json.loads((online[0] / "config.json").read_text())
    assert {"config.json", "curves.png", "policy.npz", "progress.csv"} <= {p.name for p in online[0].iterdir()}
    assert config["mode"] == "online" and [int(row["real_steps"]) for row in rows] == [200, 400]
    assert all(
        np.isfinite(float(row[k])) for row in rows for k in ("sampled_return", "kl", "cg_residual", "backtracks")
    )
    assert any(k.endswith("_seconds") for k in rows[0])
    policy, meta = run.load_policy(online[0] / "policy.npz", envs.TASKS["pendulum"])
    assert meta["real_steps"] == 400 and np.isfinite(policy.theta).all()
    with Image.open(online[0] / "curves.png") as picture:
        assert picture.format == "PNG" and min(picture.size) >= 400


def test_fields_of_mode_online_in_older_runs(reference, finished, online, here, monkeypatch, capsys):
    """Older versions wrote these fields into the config.json of every run; it is used all the same."""
    old = here / "log/pendulum/offline/bremen/bremen0"
    shutil.copytree(finished, old)
    config = json.loads((old / "config.json").read_text())
    old_config = config | {"online_steps": 16_000, "online_envs": 8, "online_horizon": 250}
    (old / "config.json").write_text(json.dumps(old_config))
    monkeypatch.chdir(reference[0])
    go("--resume", old)
    assert "nothing is left to do" in capsys.readouterr().out
    assert run.read_config({}, old / "config.json") == run.read_config({}, finished / "config.json")
    assert run.read_config({}, online[0] / "config.json").online_steps == 400
    (old / "config.json").write_text(json.dumps(old_config | {"online_step": 1}))
    with pytest.raises(run.UsageError, match="unknown online_step$"):
        run.read_config({}, old / "config.json")
    assert run.main(["--resume", str(online[0])]) == 2
    assert "only --mode offline and recursive can be resumed" in stderr_line(capsys)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_online_keeps_policies_and_events(online, here, no_pictures):
    """By a line in the words of the original, too; steps of events are real transitions."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    go(*ONLINE, "--save_variables", "--tensorboard")
    folder = here / "log/pendulum/online/bremen/bremen0"
    assert untimed(folder) == untimed(online[0])
    assert sorted(p.name for p in (folder / "policies").iterdir()) == ["0000.npz", "0001.npz"]
    events = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("sampled_return")] == [200, 400]


def test_online_help_names_its_flags(capsys):
    with pytest.raises(SystemExit):
        run.main(["--mode", "online", "--env", "ant", "--help"])
    texts = help_entries(capsys.readouterr().out)[1]
    assert texts["--online_steps"] == "real transitions in total [1000000]" and texts["--std"].endswith("[0.3]")
    assert "--members" not in texts and all(texts[f"--{name}"] for name in run.page("online").FLAGS)


def test_online_same_seed_same_bytes(online, here, no_pictures):
    go("--param_path", online[1] / "config.json", "--exp_name", "again")
    same_results(online[1], here / "log/pendulum/online/again/again1")
    assert untimed(online[0]) != untimed(online[1])


def test_an_online_run_is_not_overwritten(online, monkeypatch, capsys):
    monkeypatch.chdir(online[0].parents[4])
    before = tree(online[0])
    assert run.main(ONLINE) == 2
    assert "exists" in stderr_line(capsys) and tree(online[0]) == before


@pytest.mark.parametrize(
    "left, way",
    [("all", "its run has ended, so look at it or choose another"), ("a start", "go on with --resume"),
     ("another's", "exists: choose another --exp_name")],
)  # fmt: skip
def test_a_directory_that_exists_says_what_can_be_done(left, way, reference, finished, here, capsys):
    folder = here / "log" / finished.relative_to(reference[0] / "log")
    shutil.copytree(finished, folder)
    if left != "all":
        for file in folder.iterdir():
            if left == "another's" or file.name != "config.json":
                file.unlink()
    before = tree(here)
    assert run.main([*PENDULUM, "--data_dir", str(reference[0] / "data")]) == 2
    assert way in stderr_line(capsys) and tree(here) == before


def test_an_online_policy_can_collect(online, here):
    batch, _ = collected(["--noise", "pure", "--policy", str(online[0] / "policy.npz")], here / "c.npz")
    assert len(batch.rew) == 300


def plotted(monkeypatch, *argv):
    """`--mode plot` with these arguments.  -> its axes, before the figure is closed"""
    axes, save = [], Figure.savefig

    def savefig(self, *args, **kwargs):
        axes.extend(self.axes)
        save(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        go("--mode", "plot", *argv)
    return axes


def test_plot_one_run(finished, here, monkeypatch):
    (ax,) = plotted(monkeypatch, "--runs", finished)
    assert list(tree(here)) == ["curves.png"]
    (line,), rows = ax.lines, rows_of(finished)
    np.testing.assert_allclose(line.get_xdata(), [float(row["updates"]) for row in rows])
    np.testing.assert_allclose(line.get_ydata(), [float(row["real_return"]) for row in rows])
    assert not ax.collections, "one run has no confidence interval"


def test_plot_several_runs(online, finished, here, monkeypatch):
    """Two seeds become their mean with its 95 % interval: t(1 degree of freedom) = 12.706; a third run stands apart.

    It has an axis of its own, because updates are no real steps.
    """
    ax, other = plotted(monkeypatch, "--runs", *online, finished, "--out", "p/all.png")
    assert list(tree(here)) == ["p", "p/all.png"] and len(ax.lines) == len(other.lines) == len(ax.collections) == 1
    assert (ax.get_xlabel(), other.get_xlabel()) == ("real_steps", "updates")
    a, b = (np.array([float(row["sampled_return"]) for row in rows_of(folder)]) for folder in online)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), (a + b) / 2)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [200, 400])
    band = ax.collections[0].get_paths()[0].vertices
    x0 = band[band[:, 0] == 200][:, 1]
    half = 12.706 * abs(a[0] - b[0]) / 2  # s / sqrt(2), s = |a - b| / sqrt(2)
    np.testing.assert_allclose([x0.min(), x0.max()], [(a + b)[0] / 2 - half, (a + b)[0] / 2 + half], rtol=1e-3)
    assert {text.get_text().split(" (n = ")[1] for text in ax.figure.legends[0].get_texts()} == {"1)", "2)"}


def test_plot_keeps_deployments_apart(again, here, monkeypatch):
    """The clone of a deployment stands where the policy before it ended, and is no second seed."""
    (ax,) = plotted(monkeypatch, "--runs", again[0])
    rows = rows_of(again[0])
    assert len({row["updates"] for row in rows}) < len(rows)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [float(row["updates"]) for row in rows])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [float(row["real_return"]) for row in rows])
    assert not ax.collections and ax.figure.legends[0].get_texts()[0].get_text().endswith("(n = 1)")


def test_plot_averages_only_what_differs_in_the_seed(finished, here, monkeypatch):
    """Runs of one name, but in other places or with other numbers, are lines of their own, and told apart."""
    places = [here / "a" / "bremen" / "bremen0", here / "b" / "bremen" / "bremen0", here / "b" / "bremen" / "bremen1"]
    for i, place in enumerate(places):
        shutil.copytree(finished, place)
        config = json.loads((finished / "config.json").read_text()) | {"seed": i, "threads": 1, "data": f"{i}.npz"}
        (place / "config.json").write_text(json.dumps(config))
    (ax,) = plotted(monkeypatch, "--runs", *places)
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels == [f"pendulum, offline, bremen, {place}/bremen (n = {n})" for place, n in (("a", 1), ("b", 2))]
    (places[2] / "config.json").write_text(json.dumps(config | {"gamma": 0.5}))
    (ax,) = plotted(monkeypatch, "--runs", *places, "--out", "again.png")
    assert len(ax.lines) == 3
    names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert names[2] == "pendulum, offline, bremen, b/bremen, gamma 0.5 (n = 1)"


def test_plot_and_end_of_an_online_run_in_which_no_episode_ended(here, monkeypatch):
    """20 steps of an episode of 25: no return is known, and that is no error."""
    small = "--preset smoke --policy_hidden 8 --value_hidden 8 --online_steps 160 --online_horizon 10".split()
    go("--mode", "online", "--env", "pendulum", *small)
    folder = here / "log/pendulum/online/bremen/bremen0"
    assert "return_mean" in run.load_policy(folder / "policy.npz", envs.TASKS["pendulum"])[1]
    (ax,) = plotted(monkeypatch, "--runs", folder)
    assert np.isnan(ax.lines[0].get_ydata()).all() and len(ax.lines[0].get_xdata()) == 1


def test_plot_leaves_out_what_has_only_begun(finished, here, monkeypatch, capsys):
    (here / "begun").mkdir()
    shutil.copy(finished / "config.json", here / "begun")
    (ax,) = plotted(monkeypatch, "--runs", "begun", finished, "--out", "p.png")
    said = capsys.readouterr().out
    assert len(ax.lines) == 1 and "note: begun is left out" in said and "p.png: 1 run" in said
    assert run.main(["--mode", "plot", "--runs", "begun"]) == 2
    assert "none has an iteration yet" in stderr_line(capsys)


def test_plot_draws_the_same_picture_for_the_same_runs(finished, here):
    """A picture may be drawn again; nothing else is written."""
    for _ in range(2):
        go("--mode", "plot", "--runs", finished, "--out", "again.png")
    assert list(tree(here)) == ["again.png"]


def test_video(here, request, monkeypatch, capsys):
    """A GIF in which something moves; once more, and it is not overwritten."""
    request.getfixturevalue("headless_gl")
    monkeypatch.setitem(envs.TASKS, "half_cheetah", dataclasses.replace(envs.TASKS["half_cheetah"], max_steps=4))
    random_policy(here / "policy.npz", "half_cheetah")
    argv = ["--mode", "video", "--env", "half_cheetah", "--policy", "policy.npz", "--video_dir", "v"]
    go(*argv)
    (path,) = (here / "v").iterdir()
    with Image.open(path) as gif:
        assert gif.format == "GIF" and min(gif.size) >= 100 and gif.n_frames > 2
        assert gif.info["duration"] == 50  # milliseconds, as in the simulator
        frames = [np.array(gif.convert("RGB")) for i in range(gif.n_frames) if gif.seek(i) is None]
    assert all(frame.std() > 5 for frame in frames), "all one colour"
    assert np.any(frames[0] != frames[-1]), "nothing moves"
    before = tree(here)
    assert run.main(argv) == 2
    assert "exists" in stderr_line(capsys).splitlines()[-1] and tree(here) == before


def test_mp4(here):
    """An MP4 of as many seconds as the episode; imageio reads it again."""
    pytest.importorskip("imageio_ffmpeg")
    import imageio.v3

    random_policy(here / "policy.npz", "pendulum")
    go("--mode", "video", "--env", "pendulum", "--policy", "policy.npz", "--video_format", "mp4", "--video_dir", "v")
    (path,) = (here / "v").iterdir()
    about = imageio.v3.immeta(path, plugin="FFMPEG")
    seconds = 0.05 * envs.TASKS["pendulum"].max_steps
    assert about["fps"] == 20 and about["duration"] == pytest.approx(seconds, abs=0.1)


def test_mp4_without_its_extra_explains_itself(here, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imageio_ffmpeg" else find(name))
    random_policy(here / "policy.npz", "pendulum")
    assert run.main("--mode video --env pendulum --policy policy.npz --video_format mp4".split()) == 2
    assert "pip install -e '.[video]'" in stderr_line(capsys) and not (here / "videos").exists()


def test_video_without_a_screen_explains_itself(here, monkeypatch, capsys):
    """Whatever drawing raises becomes one line."""

    def no_screen(*args, **kwargs):
        raise RuntimeError("no OpenGL context\nand a second line")

    monkeypatch.setattr(envs.TaskEnv, "render", no_screen)
    random_policy(here / "policy.npz", "pendulum")
    assert run.main(["--mode", "video", "--env", "pendulum", "--policy", "policy.npz"]) == 2
    assert "no OpenGL context (examples/commands.md says what drawing needs)" in stderr_line(capsys)


def test_command_repeats_the_numbers():
    given = dict(
        mode="online", env="hopper", seed=3, preset="smoke", policy_hidden=(8, 9), learn_std=False, online_envs=3
    )
    cfg = run.read_config(given)
    for files in ({}, {"data": "x.npz", "data_dir": "d", "keep_policies": True, "tensorboard": True}):
        words = run.page("provenance").command(dataclasses.replace(cfg, **files)).split()[2:]
        assert run.read_config(run.read_flags(words)) == cfg
    assert (
        run.page("provenance").command(run.read_config({"env": "hopper"}))
        == "python run.py --mode offline --env hopper"
    )
    for given in ({"model_epochs": 4}, {"model_epochs": 4, "model_steps": 30_000}, {"model_steps": 7}):
        cfg = run.read_config({"env": "hopper", **given})
        assert run.read_config(run.read_flags(run.page("provenance").command(cfg).split()[2:])) == cfg, given


STORED = sorted((HERE.parent / "examples" / "results").rglob("*0/config.json"))  # of each experiment the first seed


@pytest.mark.parametrize("path", STORED, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_command_of_a_stored_run_is_taken_by_its_mode(path):
    """A stored run has the numbers of all modes, whose presets have changed since: its own flags are its own."""
    cfg = run.read_config({}, path)
    words, online = shlex.split(run.page("provenance").command(cfg)), run.page("online")
    assert words[:4] == ["python", "run.py", "--mode", cfg.mode]
    flags = run.read_flags(words[4:], online.parser(words[4:])) if cfg.mode == "online" else run.read_flags(words[2:])
    again = run.read_config({"mode": cfg.mode} | flags)
    for name in online.FLAGS if cfg.mode == "online" else dataclasses.asdict(cfg):
        if name not in (*run.FILE_FIELDS, "threads"):
            assert getattr(again, name) == getattr(cfg, name), name


def test_without_the_folder_examples_run_says_so_in_one_line(tmp_path):
    for name in ("bremen", "envs", "nets", "trpo", "run"):
        shutil.copy(HERE.parent / f"{name}.py", tmp_path)
    done = subprocess.run([sys.executable, "run.py", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert str(tmp_path / "examples" / "safe_files.py") in done.stderr
