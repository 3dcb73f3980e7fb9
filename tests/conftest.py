"""What pytest prints beside its own lines."""

import sys


def pytest_terminal_summary(terminalreporter):
    """The counts of test_exercises.py, where its tests have run."""
    counts = getattr(sys.modules.get("test_exercises"), "COUNTS", {})
    if len(counts) > 1:
        terminalreporter.write_line(", ".join(f"{name}: {n}" for name, n in counts.items()))
