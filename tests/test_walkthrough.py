"""The notebook: kept without outputs, in short cells; it runs from top to bottom in silence and labels every axis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import numba
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = nbformat.read(ROOT / "examples" / "walkthrough.ipynb", as_version=4)
LINES = 12  # of a code cell, without empty ones
NO_UNIT = ("TRPO updates", "epoch", "episode", "coordinate", "iterations of", "return", "mean return", "reward",
           "validation loss", "residual", "cos(", "sin(")  # fmt: skip


# --- as it is kept ---------------------------------------------------------------------------------------------------


def untidy(notebook):
    """What is wrong with a notebook as a file: one sentence each."""
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            if cell.outputs or cell.execution_count is not None:
                yield f"cell {i} has outputs: clear them"
            lines = [line for line in cell.source.splitlines() if line.strip()]
            if len(lines) > LINES:
                yield f"cell {i} has {len(lines)} lines: at most {LINES}"
            if i == 0 or (i > 1 and {c.cell_type for c in notebook.cells[i - 2 : i]} == {"code"}):
                yield f"cell {i} stands without prose"


def test_kept_without_outputs_in_short_cells():
    nbformat.validate(NOTEBOOK)
    assert len(NOTEBOOK.cells) > 20 and not list(untidy(NOTEBOOK))


def test_an_untidy_notebook_is_refused():
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    shown = nbformat.v4.new_output("stream", text="1")
    cells = [text("a"), code("1", outputs=[shown]), code("1\n\n" * LINES), code("1\n" * (LINES + 1)), text("b")]
    notebook = nbformat.v4.new_notebook(cells=[*cells, code("1", execution_count=1)])
    faults = [sentence.split(":")[0] for sentence in untidy(notebook)]
    assert faults == ["cell 1 has outputs", "cell 3 has 13 lines", "cell 3 stands without prose", "cell 5 has outputs"]


@pytest.mark.parametrize("place", [".", "examples"])
def test_the_project_is_found_from_its_root_and_from_examples(place, tmp_path):
    """The imports of the first code cell, by a Python that knows of no installed package, beside empty modules."""
    first = next(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "code")
    (tmp_path / "examples").mkdir()
    for name in ("bremen", "envs", "nets", "run", "trpo"):
        (tmp_path / f"{name}.py").touch()
    lines = [line for line in first.splitlines() if "numpy" not in line and "matplotlib" not in line]
    program = "\n".join([*lines, "print(bremen.__file__, run.__file__)"])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=tmp_path / place, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert [Path(tmp_path, place, file).resolve() for file in done.stdout.split()] == [
        tmp_path / "bremen.py",
        tmp_path / "run.py",
    ]


# --- as it runs ------------------------------------------------------------------------------------------------------

WATCH = """
import matplotlib.figure

_figures, _make = [], matplotlib.figure.Figure.__init__


def _watched(self, *args, **kwargs):
    _figures.append(self)  # closing a figure does not take its axes away
    _make(self, *args, **kwargs)


matplotlib.figure.Figure.__init__ = _watched
"""
TELL = """
import json

print(json.dumps([
    [dict(x=ax.get_xlabel(), y=ax.get_ylabel(), title=ax.get_title() or f.get_suptitle(), drawn=ax.has_data(),
          bar=ax.get_label() == "<colorbar>") for ax in f.axes] for f in _figures
]))
"""


def execute(cells, folder, patch):
    """Run cells in a kernel of their own that works in `folder`.  -> cells with outputs, its figures' axes"""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        patch.setenv(name, str(folder / name.lower()))  # nothing outside `folder` is read or written
    patch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # where Jupyter will look in the future; else it warns
    patch.setenv("BREMEN_SMOKE", "1")
    patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    watch, tell = map(nbformat.v4.new_code_cell, (WATCH, TELL))
    notebook = nbformat.v4.new_notebook(cells=[watch, *cells, tell])
    (folder / "work").mkdir()
    client = nbclient.NotebookClient(notebook, timeout=600, startup_timeout=300, kernel_name="python3",
                                     resources={"metadata": {"path": str(folder / "work")}})  # fmt: skip
    client.execute()
    return notebook.cells[1:-1], json.loads(notebook.cells[-1].outputs[0].text)


def unlabelled(figures):
    """Axes without data, title, label or unit: one sentence each."""
    for i, axes in enumerate(figures):
        for ax in axes:
            wanted = [ax["x"] or ax["y"]] if ax["bar"] else [ax["x"], ax["y"]]  # a colour bar has one scale
            if not ax["drawn"]:
                yield f"figure {i}: an axis is empty"
            if not (ax["title"] or ax["bar"]):
                yield f"figure {i}: an axis has no title"
            for label in wanted:
                if not label:
                    yield f"figure {i}: an axis has no label"
                elif "[" not in label and not label.startswith(NO_UNIT):
                    yield f"figure {i}: {label!r} has no unit"


def noises(cells):
    """What cells have written to standard error (warnings, for instance)."""
    return [out.text for cell in cells for out in cell.get("outputs", ()) if out.get("name") == "stderr"]


@pytest.mark.whole
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="learning takes minutes without the compiler")
def test_runs_from_top_to_bottom_and_labels_every_axis(tmp_path, monkeypatch):
    cells, figures = execute(NOTEBOOK.cells, tmp_path, monkeypatch)
    assert not noises(cells)
    assert len(figures) >= 10 and not list(unlabelled(figures))
    pictures = [out for cell in cells for out in cell.get("outputs", ()) if "image/png" in out.get("data", {})]
    assert len(pictures) == len(figures), "every figure is shown once"
    assert not list((tmp_path / "work").iterdir()), "the notebook has left a file behind"


def test_a_bare_axis_and_a_warning_are_refused(tmp_path, monkeypatch):
    sources = (
        "import matplotlib.pyplot as plt\nimport warnings\nfig, ax = plt.subplots()\nax.plot([1, 2])",
        "fig, ax = plt.subplots()\nax.plot([1, 2])\nax.set(xlabel='time', ylabel='speed [m/s]', title='t');",
        "fig, axes = plt.subplots(1, 2)\naxes[0].plot([1])\n"
        "for ax in axes:\n    ax.set(xlabel='epoch', ylabel='x [m]', title='t')",
        "fig, ax = plt.subplots()\nfig.colorbar(ax.scatter([1], [1], c=[1]), label='reward')\n"
        "ax.set(xlabel='epoch', ylabel='return', title='t')\nwarnings.warn('mind the gap')",
    )
    cells, figures = execute(map(nbformat.v4.new_code_cell, sources), tmp_path, monkeypatch)
    assert list(unlabelled(figures)) == [
        "figure 0: an axis has no title",
        "figure 0: an axis has no label",
        "figure 0: an axis has no label",
        "figure 1: 'time' has no unit",
        "figure 2: an axis is empty",
    ]
    assert len(noises(cells)) == 1 and "mind the gap" in noises(cells)[0]
