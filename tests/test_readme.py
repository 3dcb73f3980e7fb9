"""The README is held to what exists: its map from paper to code, its flags, its files, its set-up commands."""

import importlib
import re
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def section(title):
    """The text below a heading."""
    return re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.M | re.S)[1]


def check_map(text):
    """Each row's label stands in the docstring of the function that the row names."""
    rows = re.findall(r"^\| ((?:Algorithm|Eq\.|arXiv)[^|]*?) \| `(\w+)\.(\w+)`", text, re.M)
    assert len(rows) >= 10, "an empty table proves nothing"
    for label, module, name in rows:
        doc = " ".join((getattr(importlib.import_module(module), name).__doc__ or "").split())
        assert label in doc, f"{module}.{name} does not say {label!r}"


def test_map_from_paper_to_code():
    check_map(section("Paper and code"))


@pytest.mark.parametrize("wrong", [("`trpo.gae`", "`trpo.value`"), ("Eq. (16)", "Eq. (17)")], ids=str)
def test_a_wrong_map_is_refused(wrong):
    with pytest.raises(AssertionError):
        check_map(section("Paper and code").replace(*wrong))


def test_quick_start_is_two_whole_commands():
    (block,) = re.findall(r"```sh\n(.*?)```", section("Quick start"), re.S)
    first, second = block.splitlines()
    assert first.startswith("(python3 -m venv .venv") and first.endswith("run.py --env hopper --mode offline")
    assert second.startswith("(python3 -m venv .venv") and second.endswith("-m pytest")


def test_every_flag_in_the_readme_exists():
    flags = set(re.findall(r"(?<![\w-])--([a-z]\w*(?:-\w+)?)", README)) - {"help"}
    known = {name.lstrip("-") for action in run.parser()._actions for name in action.option_strings}
    assert flags <= known, flags - known
    assert len(flags) > 15


def test_every_command_in_the_readme_is_understood():
    commands = re.findall(r"^python run\.py (.*?)(?:  +#.*)?$", README, re.M)
    assert len(commands) >= 5
    for command in commands:
        if command != "--help":
            opts = vars(run.parser().parse_args(command.split()))
            assert isinstance(run.read_config(opts).mode, str)


def test_every_file_that_the_readme_shows_exists():
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
