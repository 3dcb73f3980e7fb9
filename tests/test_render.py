"""examples/walkthrough.md: the notebook as a page, with what it prints and draws."""

import base64
import copy
import io
import re
from pathlib import Path

import nbformat
import numba
import pytest
import render_walkthrough as render
from PIL import Image

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOK = nbformat.read(EXAMPLES / "walkthrough.ipynb", as_version=4)
PAGE = (EXAMPLES / "walkthrough.md").read_text()
LINK = re.compile(r"^!\[[^\]]+\]\(walkthrough/(.*?)\)$", re.M)
NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?(e-?\d+)?")


def png(size=(40, 30)):
    """A picture as a notebook keeps it.  -> base64 text"""
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def missing(notebook, text):
    """The cells of the notebook that a page lacks, or has in another order: their numbers."""
    place = 0
    for number, cell in enumerate(notebook.cells):
        block = cell.source.rstrip() if cell.cell_type == "markdown" else render.fenced(cell.source, "python")
        found = text.find(block, place)
        if found < 0:
            yield number
        else:
            place = found + len(block)


def test_the_page_has_every_cell_in_order():
    assert len(NOTEBOOK.cells) > 20 and not list(missing(NOTEBOOK, PAGE)), "run examples/render_walkthrough.py again"


def test_a_stale_page_is_refused():
    changed = copy.deepcopy(NOTEBOOK)
    changed.cells[5].source += "\nprint(1)"
    assert list(missing(changed, PAGE)) == [5]
    swapped = copy.deepcopy(NOTEBOOK)
    swapped.cells[5], swapped.cells[7] = swapped.cells[7], swapped.cells[5]
    assert list(missing(swapped, PAGE))


def test_every_picture_is_on_the_page_and_all_are_small():
    files = sorted((EXAMPLES / "walkthrough").glob("*"))
    assert [path.name for path in files] == LINK.findall(PAGE), "each picture once, and no other file"
    assert len(files) > 10 and sum(path.stat().st_size for path in files) < 1_000_000
    for path in files:
        with Image.open(path) as picture:
            assert picture.format == "PNG" and picture.width > 400


def test_what_cells_show_becomes_text_and_pictures():
    code, text, output = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell, nbformat.v4.new_output
    stream = lambda words, name="stdout": output("stream", text=words, name=name)
    drawn = output("display_data", data={"image/png": png(), "text/plain": "<Figure>"})
    cells = [
        text("# Title\n"),
        code("print(1)", outputs=[stream("1\n"), stream("2\n"), drawn, stream("3\n")]),
        code("x", outputs=[output("execute_result", data={"text/plain": "{'a': 1}"})]),
        code("y = 2"),
    ]
    before = copy.deepcopy(cells)
    page, pictures = render.page(cells)
    assert cells == before, "the notebook is left as it is"
    assert list(pictures) == ["cell01.png"] and Image.open(io.BytesIO(pictures["cell01.png"])).size == (40, 30)
    link = "![what cell 1 draws](walkthrough/cell01.png)"
    first = ["# Title", "```python\nprint(1)\n```", "```text\n1\n2\n```", link, "```text\n3\n```"]
    rest = ["```python\nx\n```", "```text\n{'a': 1}\n```", "```python\ny = 2\n```"]
    assert page == render.HEAD + "\n" + "\n\n".join(first + rest) + "\n"


def test_a_warning_is_no_page():
    noisy = nbformat.v4.new_output("stream", text="mind the gap", name="stderr")
    with pytest.raises(ValueError, match="cell 0 .*mind the gap"):
        render.page([nbformat.v4.new_code_cell("x", outputs=[noisy])])


def test_old_pictures_go_away(tmp_path):
    render.write("old", {"cell01.png": b"1", "cell02.png": b"2"}, tmp_path)
    render.write("new", {"cell02.png": b"3"}, tmp_path)
    assert [path.name for path in (tmp_path / "walkthrough").iterdir()] == ["cell02.png"]
    assert (tmp_path / "walkthrough.md").read_text() == "new"


@pytest.mark.slow
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="learning takes minutes without the compiler")
def test_rendering_again_makes_the_same_page(tmp_path, monkeypatch, capsys):
    """All but numbers is the same on any processor, and every picture has the size that it had."""
    monkeypatch.delenv("BREMEN_SMOKE", raising=False)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))  # nothing outside is read or written
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # where Jupyter will look in the future; else it warns
    assert render.main(["--out", str(tmp_path)]) == 0
    again = (tmp_path / "walkthrough.md").read_text()
    without_numbers = lambda text: re.sub(r" +", " ", NUMBER.sub("0", text))
    assert without_numbers(again) == without_numbers(PAGE)
    assert LINK.findall(again) == LINK.findall(PAGE)
    for name in LINK.findall(again):
        with Image.open(tmp_path / "walkthrough" / name) as new, Image.open(EXAMPLES / "walkthrough" / name) as old:
            assert new.size == old.size, name
