"""Contract: five flat modules that import only downwards, and load nothing graphical before it is needed."""

import ast
import os
import pstats
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {  # module: which modules of the project it may import
    "nets": set(),
    "envs": set(),
    "trpo": {"nets"},
    "bremen": {"nets", "trpo", "envs"},
    "run": {"bremen", "envs", "nets", "trpo", "run"},  # itself: where a profiler runs it as a file
}
LAZY = {"matplotlib", "glfw", "imageio"}  # for pictures only: imported inside the function that draws
RELATIVE = "(relative)"  # flat modules have no package to be relative to


def imports(nodes):
    """First component of the name of every module that these syntax nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield RELATIVE if node.level else node.module.split(".")[0]


def at_import_time(tree):
    """All nodes except those inside functions: what runs when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from at_import_time(node)


def violations(root):
    """What breaks the import graph of DESIGN in the modules under root: one sentence each."""
    for stem in sorted({p.stem for p in root.glob("*.py")} ^ set(ALLOWED)):
        yield f"{stem}.py: exactly {', '.join(ALLOWED)} stand at the top level"
    for name, below in ALLOWED.items():
        tree = ast.parse((root / f"{name}.py").read_text(encoding="utf-8"))
        for other in sorted(set(imports(ast.walk(tree))) & (set(ALLOWED) | {RELATIVE}) - below):
            yield f"{name}.py must not import {other}"
        for other in sorted(set(imports(at_import_time(tree))) & LAZY):
            yield f"{name}.py must import {other} inside the function that needs it"


def test_modules_import_only_downwards():
    assert not list(violations(ROOT))


PLANTED = {
    "upwards": ("trpo", "import bremen", "trpo.py must not import bremen"),
    "upwards, by name": ("nets", "from trpo import gae", "nets.py must not import trpo"),
    "upwards, inside a function": ("nets", "def f():\n    import bremen", "nets.py must not import bremen"),
    "sideways": ("envs", "import nets", "envs.py must not import nets"),
    "from the command line": ("bremen", "import run as r", "bremen.py must not import run"),
    "relative": ("bremen", "from . import run", "bremen.py must not import (relative)"),
    "pictures": (
        "run",
        "if True:\n    import matplotlib.pyplot as plt",
        "run.py must import matplotlib inside",
    ),
    "a sixth module": ("utils", "import numpy", "utils.py: exactly"),
}


def planted(tmp_path, module, code):
    """The violations of a copy of the project in which `code` stands at the end of `module`."""
    for name in ALLOWED:
        shutil.copy(ROOT / f"{name}.py", tmp_path)
    with open(tmp_path / f"{module}.py", "a", encoding="utf-8") as file:
        file.write(f"\n\n{code}\n")
    return list(violations(tmp_path))


@pytest.mark.parametrize("module, code, complaint", PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_refused(tmp_path, module, code, complaint):
    assert any(sentence.startswith(complaint) for sentence in planted(tmp_path, module, code))


def test_a_picture_library_inside_a_function_is_allowed(tmp_path):
    code = "def draw():\n    import matplotlib"
    assert not any("matplotlib" in sentence for sentence in planted(tmp_path, "run", code))


def test_importing_bremen_needs_no_display():
    code = "import sys, bremen; print(*sys.modules)"
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "nets" in loaded  # the list is not empty
    assert not loaded & {"matplotlib", "glfw"}


# --- modules of the same name that somebody else has ------------------------------------------------------------------

INSTALLED = """
import importlib.machinery as m, runpy, sys
find = lambda name, path=None, target=None: m.PathFinder.find_spec(name, [{root!r}]) if path is None else None
installed = type("Installed", (), {{"find_spec": staticmethod(find)}})  # as pip install -e does it
sys.meta_path.insert(1 + sys.meta_path.index(m.PathFinder), installed)
"""
FIRST = {  # what comes first: what is imported, the module that says so (run.py says it in one line, and ends)
    "envs/": ("import bremen", "bremen.py"),
    "nets/": ("import trpo", "trpo.py"),
    "trpo.py": ("import run", "run.py: bremen.py"),
    "bremen/": ("import run", "run.py: run.py"),
    "nets.py": ("runpy.run_module('run', run_name='__main__')", "run.py: trpo.py"),
    "envs/__init__.py": ("runpy.run_module('run', run_name='__main__')", "run.py: bremen.py"),
}


@pytest.mark.parametrize("first", FIRST)
def test_another_module_that_is_found_first_is_named(first, tmp_path):
    """One sentence: an ImportError or, from the command line, all that is printed, and status 2."""
    path, (code, speaker) = tmp_path / first, FIRST[first]
    path.mkdir() if first.endswith("/") else (path.parent.mkdir(exist_ok=True), path.touch())
    line = [sys.executable, "-c", INSTALLED.format(root=str(ROOT)) + code]
    done = subprocess.run(line, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
    said = done.stderr.splitlines()
    assert said[-1].removeprefix("ImportError: ").startswith(f"{speaker} needs its own") and str(path) in said[-1]
    assert (done.returncode, len(said)) == (2, 1) if speaker.startswith("run.py: ") else done.returncode == 1


def test_the_command_line_under_a_profiler(tmp_path):
    """`python -m cProfile run.py` runs the file in a dictionary that is no module (Python 3.10 to 3.12)."""
    line = [sys.executable, "-m", "cProfile", "-o", tmp_path / "seen", "run.py", "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("usage: python run.py")
    assert any(name == "read_config" for _, _, name in pstats.Stats(str(tmp_path / "seen")).stats)


# --- docstrings and sizes --------------------------------------------------------------------------------------------


def own_nodes(function):
    """The nodes of a function, without those of functions inside it."""
    left = list(function.body)
    while left:
        node = left.pop()
        yield node
        left += [] if isinstance(node, (ast.FunctionDef, ast.Lambda)) else ast.iter_child_nodes(node)


def public(tree):
    """The public functions of a module, and of its classes."""
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return [f for body in bodies for f in body if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")]


def silent(source):
    """Public functions without a docstring, or whose docstring does not say what they return or yield."""
    for f in public(ast.parse(source)):
        text, nodes = ast.get_docstring(f) or "", list(own_nodes(f))
        returns = any(isinstance(node, ast.Return) and node.value is not None for node in nodes)
        yields = any(isinstance(node, ast.Yield) for node in nodes)
        if not text or (returns and "->" not in text) or (yields and not re.search("[Yy]ields|Generator|clock", text)):
            yield f.name


@pytest.mark.parametrize("module", ALLOWED)
def test_public_functions_say_what_they_return(module):
    assert list(silent((ROOT / f"{module}.py").read_text())) == []


def test_a_silent_function_is_found():
    source = (
        'def f(x):\n    """Twice x."""\n    return 2 * x\n\n\ndef g():\n    pass\n\n\ndef h():\n    """Nothing."""\n'
    )
    assert list(silent(source)) == ["f", "g"]


def test_functions_are_short():
    lines = [
        f.end_lineno - f.lineno + 1
        for module in ALLOWED
        for f in public(ast.parse((ROOT / f"{module}.py").read_text()))
    ]
    assert max(lines) <= 46 and sorted(lines)[len(lines) // 2] <= 15


EDITS = {  # a function below a cached kernel, how a student might edit it, and what shows that
    "bias": ("nets", "h[r, j] += b[j]", "h[r, j] += 3 * b[j]", "print(nets.mlp_tape(theta, x, (2, 3, 1))[-1].sum())"),
    "bias, seen from a fit": ("nets", "h[r, j] += b[j]", "h[r, j] += 3 * b[j]", "fit(); print(theta.sum())"),
    "Adam, seen from a fit": ("nets", "eps=1e-8", "eps=1.0", "fit(); print(theta.sum())"),
    "advantages": ("trpo", "adv[t, b] += decay", "adv[t, b] -= decay", "print(gae().sum())"),
}
WORK = """
import numpy as np, nets, trpo
theta, x, y = np.full(13, 0.1, np.float32), np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
fit = lambda: nets.adam_epoch_fast(theta, nets.adam_init(theta), x, y, np.arange(4), 2, 0.1, (2, 3, 1))
r, no = np.ones((5, 1)), np.zeros((5, 1), bool)
gae = lambda: trpo.gae(r, r, r, no, no, 0.9, 0.9)
"""


@pytest.mark.whole
@pytest.mark.parametrize("module, old, new, shown", EDITS.values(), ids=EDITS)
def test_an_edit_is_never_ignored_by_a_cached_kernel(module, old, new, shown, tmp_path):
    """A copy of the modules is run, run again from the cache, edited, and run once more."""
    for name in ALLOWED:
        shutil.copy(ROOT / f"{name}.py", tmp_path)
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def result():
        line = [sys.executable, "-c", WORK + shown]
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    before = result()
    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0":
        assert list((tmp_path / "cache").rglob("*.nbi")), "without a cache this proves nothing"
    assert result() == before
    source = (tmp_path / f"{module}.py").read_text()
    assert source.count(old) == 1
    (tmp_path / f"{module}.py").write_text(source.replace(old, new))
    assert result() != before
