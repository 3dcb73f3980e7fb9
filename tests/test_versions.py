"""Versions: what pyproject.toml promises, packages that are missing or broken, returns with another MuJoCo."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text()
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

found, share = {{}}, float(sys.argv[1])
for path in sorted([*run.HERE.glob("examples/behavior/*.npz"), *run.HERE.glob("examples/pretrained/*.npz")]):
    task, rng = envs.TASKS[path.stem], np.random.default_rng(0)
    policy, _ = run.load_policy(path, task)
    act = lambda obs, rng: share * policy.mean(obs)
    returns, _ = envs.evaluate(task, act, {EPISODES}, rng, nets.workers())
    found[f"{{path.parent.name}}/{{path.stem}}"] = returns.tolist()
print(json.dumps([run.versions(), found]))
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


@pytest.mark.slow
def test_shipped_policies_return_the_same_with_other_versions():
    """BREMEN_PYTHONS="a/bin/python b/bin/python" pytest -m slow -s -k other_versions: with other MuJoCos in them."""
    if not (pythons := os.environ.get("BREMEN_PYTHONS", "").split()):
        pytest.skip("BREMEN_PYTHONS names no interpreters with other versions")
    measured = [returns(python) for python in [sys.executable, *pythons]]
    names = list(measured[0][1])
    assert len(names) == len(list(ROOT.glob("examples/[bp]*/*.npz"))) >= 10
    print("\n| mean action, mean ± std | " + " | ".join(versions["mujoco"] for versions, _ in measured) + " |")
    for name in names:
        print(f"| {name} | " + " | ".join(f"{x[name].mean():,.0f} ± {x[name].std():,.0f}" for _, x in measured) + " |")
    for versions, found in measured[1:]:
        far = {name: apart(found[name], measured[0][1][name]) for name in names}
        print(versions, f"{max(far.values()):.1f} standard errors apart at most")
        assert max(far.values()) < 4, {name: round(x, 1) for name, x in far.items()}
    weaker = returns(sys.executable, share=0.8)[1]
    assert all(apart(weaker[name], measured[0][1][name]) > 4 for name in names), "the test cannot tell policies apart"
