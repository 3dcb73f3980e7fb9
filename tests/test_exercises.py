"""The exercises: solutions pass, holes are holes, wrong answers are refused, texts and tables say what is there."""

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nets

ROOT = Path(__file__).resolve().parent.parent
EXERCISES = ROOT / "examples" / "exercises"
sys.path.insert(0, str(EXERCISES))
import judge  # noqa: E402  (it stands beside the exercises, so that a copy of them is complete)

FOLDERS = sorted(path.name for path in EXERCISES.glob("ex*") if path.is_dir())
README = (EXERCISES / "README.md").read_text()
FILES = {"README.md", "todo.py", "check.py", "solution.py", "wrong.py"}


def each_folder(test):
    """The proofs, a test for every folder: `pytest -m exercises`."""
    return pytest.mark.exercises(pytest.mark.parametrize("name", FOLDERS)(test))


@cache
def load(name, file):
    return judge.load(EXERCISES / name, file)


def kind(name):
    return re.search(r"\*\*Kind\*\* (\w+)", (EXERCISES / name / "README.md").read_text())[1]


SWAPS = [name for name in FOLDERS if kind(name) == "swap"]


@pytest.fixture(autouse=True)
def as_many_threads_as_before():
    before = nets.workers()
    yield
    nets.use_threads(before)


def answers(name, file):
    """The functions that a folder's check asks for, as its `file` has them.  -> {name: function}"""
    return judge.answers(load(name, file), load(name, "check").check)


# --- every folder ----------------------------------------------------------------------------------------------------


def test_there_are_exercises_of_every_kind():
    assert len(FOLDERS) >= 20 and {kind(name) for name in FOLDERS} == {"fill", "find", "swap"}
    assert [name[:4] for name in FOLDERS] == [f"ex{i:02}" for i in range(1, len(FOLDERS) + 1)]


@each_folder
def test_solution_is_right(name, monkeypatch, record_property):
    record_property("exercises", 1)  # conftest.py prints the sums
    monkeypatch.setitem(sys.modules, "mujoco", None)  # importing it now is an error: no check may need it
    load(name, "check").check(**answers(name, "solution"))
    record_property("solutions passed", 1)


@each_folder
def test_every_hole_is_still_a_hole(name, record_property):
    """One hole at a time among right answers: `check` must come to it, and it must say which one it is."""
    for function, hole in answers(name, "todo").items():
        with pytest.raises(NotImplementedError, match=f"^{name[:4]}: .* still to be written$"):
            load(name, "check").check(**{**answers(name, "solution"), function: hole})
        record_property("holes named", 1)


@each_folder
def test_a_hole_holds_a_docstring_and_nothing_else(name):
    tree = ast.parse((EXERCISES / name / "todo.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert {f.name for f in functions} == set(answers(name, "todo"))
    for f in functions:
        assert len(f.body) == 2 and isinstance(f.body[1], ast.Raise), f"{name}: {f.name} does something already"
        assert "->" in ast.get_docstring(f) and "(" in ast.get_docstring(f), f"{name}: {f.name} gives no shapes"


@each_folder
def test_wrong_answers_are_refused(name, record_property):
    wrong = load(name, "wrong").WRONG
    assert len(wrong) >= 2
    (first, *_), right = answers(name, "todo"), answers(name, "solution")
    for words, answer in wrong.items():
        replaced = answer if isinstance(answer, dict) else {first: answer}
        assert replaced.keys() <= right.keys()
        with pytest.raises(AssertionError) as e:
            load(name, "check").check(**{**right, **replaced})
        record_property("wrong answers refused", 1)
        assert len(str(e.value).split()) >= 4, f"{name}, {words}: refused without a sentence"
        if kind(name) == "find":  # their words say which way they are wrong
            assert str(e.value).startswith(words.split(":")[0]), (words, str(e.value))


@each_folder
def test_a_folder_has_all_files_and_its_text_all_parts(name):
    files = {path.name for path in (EXERCISES / name).iterdir() if path.suffix in (".py", ".md")}
    wanted = FILES | {"find": {"suspect.py"}, "swap": {"compare.py"}, "fill": set()}[kind(name)]
    assert wanted <= files, f"{name} lacks {wanted - files}"
    text = (EXERCISES / name / "README.md").read_text()
    assert text.startswith(f"# {name[:4]} · ")
    assert re.findall(r"<details><summary>Hint (\d): ", text) == ["1", "2", "3"], f"{name}: three hints"
    assert text.count("<details>") == text.count("</details>")
    for part in ("**Goal.**", "**Time**", "**Source**", "## Equation", "## Question"):
        assert part in text, f"{name}/README.md lacks {part}"
    assert text.rsplit("## Question", 1)[1].count("?") >= 1
    assert re.search(r"\nAnswer: \S+ \S+ \S+", load(name, "solution").__doc__), f"{name}: no answer to its question"


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.exercises
def test_table_lists_every_folder_with_what_its_text_says():
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)/README\.md\) \| (.*) \|$", README, re.M)
    assert [name for name, _, _ in rows] == FOLDERS
    for name, link, rest in rows:
        topic, source, lines, minutes, what, explain = (cell.strip() for cell in rest.split("|"))
        text = (EXERCISES / name / "README.md").read_text()
        assert link == name and topic and source and explain
        assert f"**Kind** {what} " in text and f"**Time** {minutes} minutes" in text, name
        assert f"about {lines} lines" in text, name


# --- python check.py --------------------------------------------------------------------------------------------------


def run_check(folder):
    """What `python check.py` does in a folder."""
    return subprocess.run([sys.executable, "check.py"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["ex06_cg", "ex10_healthy_box"])
def test_an_unsolved_exercise_is_named_in_one_line(name):
    done = run_check(EXERCISES / name)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"{name[:4]}: ")


def test_check_of_a_copy_says_what_is_wrong_or_that_nothing_is(tmp_path):
    """A student's copy of the whole folder, elsewhere: first wrong, then right."""
    for name in ("judge.py", "ex06_cg"):
        (shutil.copytree if name == "ex06_cg" else shutil.copy)(EXERCISES / name, tmp_path / name)
    folder = tmp_path / "ex06_cg"
    answer = 'import wrong\n\nconjugate_gradient = wrong.WRONG["steepest descent"]\n'
    (folder / "todo.py").write_text(answer)
    done = run_check(folder)
    assert done.returncode == 1 and done.stderr.startswith("the directions p must") and done.stderr.count("\n") == 1
    (folder / "todo.py").write_text((folder / "solution.py").read_text())
    done = run_check(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ex06_cg: right\n", "")


@pytest.mark.parametrize(
    "answer, words",
    [
        ("return None", "what was returned is not what the docstring promises (TypeError: "),
        ("return b", "what was returned is not what the docstring promises (ValueError: too many values"),
        ("return b / {}", TypeError),
    ],
)
def test_an_answer_of_another_kind_is_told_apart_from_one_that_crashes(answer, words, tmp_path):
    """A result that check.py cannot unpack: a sentence.  An error in the student's own lines: their traceback."""
    (tmp_path / "todo.py").write_text(f"def conjugate_gradient(product, b, iters=10, tol=1e-10):\n    {answer}\n")
    check, module = load("ex06_cg", "check").check, judge.load(tmp_path, "todo")
    if isinstance(words, str):
        assert judge.fault(check, module).startswith(words)
    else:
        with pytest.raises(words):
            judge.fault(check, module)


def test_close_says_what_differs():
    judge.close([1.0, 2.0], [1.0, 2.0 + 1e-9], "fine")
    for got, wanted, words in (
        ([1.0], [1.0, 2.0], "a sentence (shape (1,), not (2,))"),
        ([1.0, 2.0], [1.0, 2.5], "a sentence (largest difference 0.5)"),
        (3.0, 4.0, "a sentence (got 3, not 4)"),
        ([np.nan, 2.0], [1.0, 2.0], "a sentence (largest difference nan)"),
    ):
        with pytest.raises(AssertionError) as e:
            judge.close(got, wanted, "a sentence")
        assert str(e.value) == words


# --- python compare.py ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SWAPS)
def test_compare_runs_end_to_end(name, tmp_path, capsys):
    picture = tmp_path / "curves.png"
    seeds = "2" if name == SWAPS[0] else "1"
    load(name, "compare").main(["--solution", "--tiny", "--seeds", seeds, "--out", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    names = load(name, "compare").variants(load(name, "solution"))
    assert len(names) >= 2 and all(line.startswith(variant) for line, variant in zip(lines[1:], names))
    assert "±" in lines[1] and lines[-1] == f"picture: {picture}"
    with Image.open(picture) as image:
        assert image.format == "PNG" and len(set(image.convert("RGB").resize((100, 50)).get_flattened_data())) > 20


def test_compare_refuses_an_exercise_that_is_not_solved():
    with pytest.raises(SystemExit) as e:
        load("ex16_member_per_path", "compare").main(["--tiny"])
    assert str(e.value) == "ex16: imagine is still to be written"


@pytest.mark.slow
def test_a_single_model_is_exploited(tmp_path, capsys):
    """The lesson of ex19 at full size: one model promises more than five, and the pendulum pays less."""
    import curves

    compare = load("ex19_one_member", "compare")
    variants = compare.variants(load("ex19_one_member", "solution"))
    results = curves.learn_all(variants, range(10), curves.IMAGINED_RETURN, compare.COMMON)
    last = lambda x: x[:, -5:].mean()
    (real, promised), (one_real, one_promised) = ((last(r), last(w)) for _, r, w, _ in results.values())
    assert one_promised > promised + 30
    assert one_real < real - 50
    assert one_promised - one_real > promised - real + 100, "the gap is what gives it away"


@pytest.mark.slow
def test_precise_data_are_the_worse_teacher():
    """The lesson of ex21 at full size: sigma 0.5 instead of 0.05 makes data and clone worse, the end better."""
    import curves

    compare = load("ex21_wide_data", "compare")
    variants = compare.variants(load("ex21_wide_data", "solution"))
    results = curves.learn_all(variants, range(5), curves.IMAGINED_RETURN, compare.COMMON)
    clone, end = lambda x: x[:, 0].mean(), lambda x: x[:, -5:].mean()
    _, narrow, narrow_promise, _ = results["sigma of the data 0.05"]
    _, wide, wide_promise, _ = results["sigma of the data 0.5"]
    assert clone(wide) < clone(narrow) - 50
    assert end(wide) > end(narrow) + 200
    assert end(narrow_promise) - end(narrow) > 200, "the models promise what the pendulum does not pay"
    assert abs(end(wide_promise) - end(wide)) < 60
