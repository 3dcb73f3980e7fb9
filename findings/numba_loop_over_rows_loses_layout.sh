#!/bin/sh
# Numba 0.68.1: `for row in a` gives rows of unknown layout, `a[i]` gives contiguous ones, of the same array.
#
# One would guess: both are the same views, in Numba as in NumPy, so a loop over the parameters of several networks, one
#   per row, may be written either way.
# What happens: a row that comes from iterating over a C-contiguous 2-D array has layout A, "any", and Numba refuses to
#   reshape it ("reshape() supports contiguous array only") in a function that compiles with a[i].
# Where it matters: ensembles whose members are the rows of one array, as dynamics models are that share a kernel.
# Source: numba/numba, numba/core/types/iterators.py: ArrayIterator gives every row layout "A".
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q numba==0.68.1 numpy==2.4.6 scipy==1.17.1
"$dir/venv/bin/python" - <<'PYTHON'
import sys

import numba
import numpy as np

print("numba", numba.__version__, "numpy", np.__version__, "python", sys.version.split()[0])


@numba.njit
def by_index(a, x):
    return [np.dot(x, a[i].reshape((2, 3))) for i in range(len(a))]


@numba.njit
def by_iterating(a, x):
    return [np.dot(x, row.reshape((2, 3))) for row in a]


a, x = np.arange(24, dtype=np.float32).reshape(4, 6), np.ones((5, 2), np.float32)
print("a is", numba.typeof(a), "and NumPy's rows are contiguous:", all(row.flags.c_contiguous for row in a))
print("by index: compiles, result", by_index(a, x)[0].shape)
try:
    by_iterating(a, x)
    message = "compiles"
except numba.TypingError as e:
    message = str(e)
told = [line.strip() for line in message.splitlines() if "contiguous" in line or "1d, A" in line]
print("by iterating:", *told, sep="\n  ")
sys.exit(not ("contiguous array only" in message and "array(float32, 1d, A)" in message))
PYTHON
