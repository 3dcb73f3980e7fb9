"""Versions: what pyproject.toml promises, packages that are missing or broken, returns with another MuJoCo."""

import ast
import csv
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import envs
import run

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text()
RESULTS = ROOT / "examples" / "results"
BOUND = re.compile(r'"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)')  # "name[extra]>=1.2
RUN_TIME = dict(BOUND.findall(re.search(r"^dependencies = \[(.*?)^\]", PROJECT, re.M | re.S)[1]))


# --- what is declared -----------------------------------------------------------------------------------------------


@functools.cache
def imported(folder):
    """The top names of all that the files of the tests, or all others, import, without what need not be declared."""
    paths = [path for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    compared = {"torch", "d3rlpy", "stable_baselines3", "sb3_contrib", "tensorflow"}  # with, where they are installed
    names = set()
    for path in paths:
        if (path.parent.name == "tests") == (folder == "tests"):
            for node in ast.walk(ast.parse(path.read_text())):
                names |= {a.name for a in node.names} if isinstance(node, ast.Import) else set()
                names |= {node.module} if isinstance(node, ast.ImportFrom) else set()
    return {name.split(".")[0] for name in names} - {p.stem for p in paths} - sys.stdlib_module_names - compared


def undeclared(text, names):
    """Those of the modules `names` of which `text`, a pyproject.toml, does not say which versions will do."""
    declared = {name.lower() for name, _ in BOUND.findall(text)}
    return {name for name in names if {"PIL": "pillow"}.get(name, name.lower()) not in declared}


EXTRAS = PROJECT.replace(re.search(r"^test = \[.*?^\]", PROJECT, re.M | re.S)[0], "")


def test_every_package_that_is_imported_is_declared_with_its_lowest_version():
    """Another package may bring it, but in any version; and what only tests need is not there for a user."""
    assert RUN_TIME.keys() <= imported("all others")  # nor is anything declared for nothing
    assert not undeclared(EXTRAS, imported("all others"))
    assert not undeclared(PROJECT, imported("tests"))
    for name in ("imageio", "distributed", "h5py"):
        assert undeclared(EXTRAS.replace(f'"{name}>=', '"other>='), imported("all others")) == {name}


def test_every_lowest_version_was_tried():
    """The page of what came out tells of the bounds as they are: one that is changed is to be tried again."""
    table = re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|", (RESULTS / "versions.md").read_text(), re.M)
    assert len(table) > 20 and dict(table) == dict(BOUND.findall(PROJECT))


def made_with(page):
    """The versions of each run behind a page: the column `versions`, or what the policies of its runs say."""
    for path in sorted((RESULTS / page).glob("*.csv")):
        with open(path, newline="") as f:
            found = [row["versions"] for row in csv.DictReader(f) if "versions" in row]
        yield from (set(re.findall(r"(\w+)[= ](\d[\w.+]*)", text)) for text in found)
    if page == "recursive_classroom":
        for path in (ROOT / "examples" / "pretrained").glob("*.npz"):
            yield set(run.load_policy(path, envs.TASKS[path.stem])[1]["versions"].items())


@pytest.mark.parametrize("page", ["offline", "ablations", "strategies", "recursive_classroom"])
def test_a_page_of_results_states_the_versions_of_its_runs(page):
    told = set(re.findall(r"(\w+) (\d[\w.+]*\w)", " ".join((RESULTS / f"{page}.md").read_text().split())))
    assert list(made_with(page))
    for made in made_with(page):
        assert len(made) >= 7 and made <= told, made - told


# --- packages that are missing or broken ------------------------------------------------------------------------------

TRAINING = "--env hopper --mode offline --preset smoke --noise random"
VIDEO = f"--env hopper --mode video --policy {ROOT}/examples/pretrained/hopper.npz"
BROKEN = {name: "raise ImportError('planted')" for name in RUN_TIME}
BROKEN |= {f"{name}, empty": "" for name in ("numba", "mujoco", "matplotlib")}  # as with versions that do not fit


@pytest.mark.parametrize("name", BROKEN)
def test_a_missing_or_broken_package_is_one_line(name, tmp_path):
    """Whatever run.py needs at any time, and before anything is begun."""
    module, content = name.split(",")[0], BROKEN[name]
    (tmp_path / f"{module}.py").write_text(content)
    line = [sys.executable, ROOT / "run.py", *(VIDEO if name == "imageio" else TRAINING).split()]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "pip install --force-reinstall -e ." in done.stderr and (module if not content else "planted") in done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {f"{module}.py", "__pycache__"}


# --- other versions of MuJoCo -----------------------------------------------------------------------------------------

EPISODES = 100
RETURNS = f"""
import json, sys
import numpy as np
import envs, nets, run

found, share, threads = {{}}, float(sys.argv[1]), nets.use_threads(1)
for path in sorted([*run.HERE.glob("examples/behavior/**/*.npz"), *run.HERE.glob("examples/pretrained/*.npz")]):
    task, rng = envs.TASKS[path.stem], np.random.default_rng(0)
    policy, _ = run.load_policy(path, task)
    act = lambda obs, rng: share * policy.mean(obs)
    returns, _ = envs.evaluate(task, act, {EPISODES}, rng, threads)
    found[f"{{path.parent.name}}/{{path.stem}}"] = returns.tolist()
print(json.dumps([run.page("provenance").versions(), found]))
"""


def returns(python, share=1.0):
    """Returns of all shipped policies with the packages of an interpreter, their actions times `share`.

    -> versions, {policy: (E,)}
    """
    line = [python, "-c", RETURNS, str(share)]
    versions, found = json.loads(subprocess.run(line, cwd=ROOT, capture_output=True, check=True).stdout)
    return versions, {name: np.array(x) for name, x in found.items()}


def apart(x, y):
    """How far the means of two samples are apart, in standard errors of their difference."""
    return abs(x.mean() - y.mean()) / np.sqrt(x.var(ddof=1) / len(x) + y.var(ddof=1) / len(y))


@functools.cache
def measured(python, share=1.0):
    """As `returns`, once; and a line for each policy, to be read with `-s`."""
    versions, found = returns(python, share)
    print(
        f"\nMuJoCo {versions['mujoco']}, Python {versions['python']}, actions times {share}: mean ± std of {EPISODES}"
    )
    for name, x in found.items():
        print(f"{name}: {x.mean():,.0f} ± {x.std():,.0f}")
    return found


def test_distance_by_hand():
    """Means 2 and 5, variances 1 and 4, three numbers each: 3 / sqrt(5/3)."""
    assert apart(np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0])) == pytest.approx(3 / np.sqrt(5 / 3))


@pytest.mark.slow
@pytest.mark.parametrize("python", os.environ.get("BREMEN_PYTHONS", "").split())
def test_shipped_policies_return_the_same_with_other_versions(python):
    """BREMEN_PYTHONS="a/bin/python b/bin/python" pytest -m slow -s tests/test_versions.py: other MuJoCos in them."""
    ours, theirs = measured(sys.executable), measured(python)
    assert len(ours) == len(list(ROOT.glob("examples/[bp]*/**/*.npz"))) >= 18
    assert not (far := {name: x for name in ours if (x := apart(ours[name], theirs[name])) > 4}), far


SPREAD = {"behavior/hopper", "pretrained/half_cheetah", "pretrained/pendulum"}  # too wide for 100 episodes


@pytest.mark.slow
@pytest.mark.parametrize("share, too_near", [(0.8, SPREAD), (0.5, set())])
@pytest.mark.skipif("BREMEN_PYTHONS" not in os.environ, reason="BREMEN_PYTHONS names no interpreters")
def test_other_policies_do_not_return_the_same(share, too_near):
    """Four fifths of each action, or half of it, are another policy, and told apart."""
    ours, weaker = measured(sys.executable), measured(sys.executable, share)
    near = {name: x for name in ours.keys() - too_near if (x := apart(ours[name], weaker[name])) < 4}
    assert not near, near
