"""What several test files use, and what pytest prints beside its own lines."""

from collections import Counter
from pathlib import Path

import pytest
from matplotlib.figure import Figure


def draw_nothing(patch):
    """Let figures be saved as empty files: drawing is two thirds of the time of a small run.  patch: MonkeyPatch"""
    empty = lambda self, file, **options: None if hasattr(file, "write") else Path(file).touch()
    patch.setattr(Figure, "savefig", empty)


@pytest.fixture
def no_pictures(monkeypatch):
    """`draw_nothing` for one test."""
    draw_nothing(monkeypatch)


def pytest_terminal_summary(terminalreporter):
    """The counts of test_exercises.py, where its tests have run, in whatever process."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    counts = Counter()
    for name, n in (pair for r in reports for pair in r.user_properties):
        counts[name] += n
    if counts:
        terminalreporter.write_line(", ".join(f"{name}: {n}" for name, n in sorted(counts.items())))
