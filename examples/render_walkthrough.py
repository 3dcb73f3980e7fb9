"""The notebook as a page that can be read without running it.  `python examples/render_walkthrough.py`

Runs walkthrough.ipynb from top to bottom (about two minutes on two cores) and writes what it shows: walkthrough.md,
and its pictures in walkthrough/.  Do this again after every change of the notebook.  Needs the extra `notebook`.
"""

import argparse
import base64
import io
import os
import sys
from pathlib import Path

import nbclient
import nbformat
from PIL import Image

HERE = Path(__file__).resolve().parent
HEAD = """<!-- Made by `python examples/render_walkthrough.py` from walkthrough.ipynb: change that, not this page. -->

> This page is the notebook [walkthrough.ipynb](walkthrough.ipynb), with what it printed and drew on two cores of an
> x86 processor. Another processor rounds differently, so your digits will differ; what is said about them should not.
"""
COLOURS = 128  # of a picture: drawings need few, and their files get smaller


def run_notebook(path, folder):
    """Run the notebook in a kernel of its own that works in `folder`.  -> its cells, with outputs"""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=resources)
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])})
    return notebook.cells


def small_png(data):
    """A PNG with COLOURS colours instead of millions.  bytes -> bytes"""
    picture = Image.open(io.BytesIO(data)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def fenced(text, language=""):
    """Text as a block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def joined(outputs):
    """Outputs with pieces of standard output in a row made one: where they are cut depends on the clock."""
    whole = []
    for output in outputs:
        if whole and output.get("name") == whole[-1].get("name") == "stdout":
            whole[-1]["text"] += output["text"]
        else:
            whole.append(dict(output))
    return whole


def described(cell, number):
    """What a code cell shows.  -> page text, {name of a picture: bytes}; ValueError if it wrote to standard error"""
    texts, pictures = [], {}
    for output in joined(cell.outputs):
        if output.get("name") == "stderr":
            raise ValueError(f"cell {number} wrote to standard error: {output['text']}")
        shown = output.get("data", {})
        if "image/png" in shown:
            name = f"cell{number:02d}{'abc'[len(pictures)] if pictures else ''}.png"
            pictures[name] = small_png(base64.b64decode(shown["image/png"]))
            texts.append(f"![what cell {number} draws](walkthrough/{name})\n")
        else:
            texts.append(fenced(output.get("text") or shown["text/plain"], "text"))
    return "\n".join(texts), pictures


def page(cells):
    """The page of a notebook that has run.  -> Markdown, {name of a picture: bytes}"""
    texts, pictures = [HEAD], {}
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            texts.append(cell.source.rstrip() + "\n")
            continue
        text, drawn = described(cell, number)
        texts += [fenced(cell.source, "python"), *([text] if text else [])]
        pictures.update(drawn)
    return "\n".join(texts), pictures


def write(text, pictures, folder):
    """walkthrough.md and walkthrough/*.png in `folder`; pictures of an older page go away."""
    (folder / "walkthrough").mkdir(parents=True, exist_ok=True)
    for old in (folder / "walkthrough").glob("*.png"):
        old.unlink()
    for name, data in pictures.items():
        (folder / "walkthrough" / name).write_bytes(data)
    (folder / "walkthrough.md").write_text(text, encoding="utf-8")


def main(argv=None):
    """Run the command line.  -> exit status"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR", help="where to write (examples/)")
    folder = parser.parse_args(argv).out
    folder.mkdir(parents=True, exist_ok=True)
    text, pictures = page(run_notebook(HERE / "walkthrough.ipynb", folder))
    write(text, pictures, folder)
    size = sum(map(len, pictures.values()))
    print(f"{folder / 'walkthrough.md'}: {len(text.splitlines())} lines, {len(pictures)} pictures, {size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
