"""What all exercises share: loading the files of a folder, comparing numbers, and `python check.py`.

Every folder has files of the same names, so they are loaded by their path, under a name of their own.
"""

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

import numpy as np


def load(folder, name):
    """The module `name`.py of an exercise's folder."""
    path = Path(folder).resolve() / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answers(module, check):
    """The functions that `check` asks for, by the names of its parameters.  -> {name: function}"""
    return {name: getattr(module, name) for name in inspect.signature(check).parameters}


def close(got, wanted, sentence, rtol=1e-6, atol=1e-9):
    """AssertionError with this sentence, unless both arrays have one shape and, within rtol and atol, one content."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape, f"{sentence} (shape {got.shape}, not {wanted.shape})"
    if not np.allclose(got, wanted, rtol, atol):
        if wanted.size == 1:
            raise AssertionError(f"{sentence} (got {got.item():.6g}, not {wanted.item():.6g})")
        raise AssertionError(f"{sentence} (largest difference {np.max(np.abs(got - wanted)):.3g})")


def exposes(test, right, wrong):
    """AssertionError if `test` accuses a right implementation or lets a wrong one pass.

    right, wrong: {"what it does in words": implementation}
    """
    for words, implementation in right.items():
        try:
            test(implementation)
        except AssertionError as e:
            reason = " ".join(str(e).split()) or "an assert without a sentence"
            raise AssertionError(f"too strict: your test refuses a right implementation, {words}: {reason}") from None
    for words, implementation in wrong.items():
        try:
            test(implementation)
        except AssertionError:
            continue
        raise AssertionError(f"too weak: your test does not notice {words}")


def fault(check, module):
    """What `check` finds wrong with the answers in a module, in one line; empty when they are right.

    An error inside the answers is raised, so that its traceback leads there.
    """
    try:
        check(**answers(module, check))
    except (AssertionError, NotImplementedError) as e:
        return " ".join(str(e).split()) or f"{module.__name__}: an assert of its own failed, and says nothing"
    except (TypeError, ValueError, LookupError, AttributeError) as e:  # None, say, where a pair is expected
        if any(frame.filename == module.__file__ for frame in traceback.extract_tb(e.__traceback__)):
            raise
        return f"what was returned is not what the docstring promises ({type(e).__name__}: {' '.join(str(e).split())})"
    return ""


def main(check, file):
    """Check todo.py beside `file`: one line, and exit status 1 if something is wrong or still to be written."""
    folder = Path(file).resolve().parent
    if wrong := fault(check, load(folder, "todo")):
        sys.exit(wrong)
    print(f"{folder.name}: right")
