#!/bin/sh
# Numba 0.68.1: np.mean of a million float32 numbers is 1 % wrong, and np.var of them 80 instead of 1.
#
# One would guess: a compiled np.mean or np.var of a float32 array is NumPy's, up to the last digits.
# What happens: NumPy adds pieces in pairs, Numba one number after the other in float32.  A sum of 1e9 grows in steps
#   of 64, so each further 1,000 is added as 1,024, or as 960.  np.var and np.std take that mean, so its error squared
#   joins the variance.  fastmath=True or parallel=True hide some of it, for they add in several parts.
# Where it matters: kernels that normalise observations, returns or advantages in float32.
#   np.mean(x.astype(np.float64)) in the kernel, or NumPy outside of it, is right.
# Source: numba/numba, numba/np/arraymath.py (array_sum, array_mean, array_var); issues 2855 (2018) and 3702, both
#   open.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q numba==0.68.1 numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import sys

import numba
import numpy as np

print("numba", numba.__version__, "numpy", np.__version__, "python", sys.version.split()[0])
statistics = {
    "mean": lambda x: np.mean(x),
    "var": lambda x: np.var(x),
    "var, float64": lambda x: np.var(x.astype(np.float64)),
}
seen = {}
for rows in 20_000, 100_000, 1_000_000:
    x = 1000 + np.random.default_rng(0).standard_normal(rows, np.float32)  # a mean of 1,000, a variance of 1
    for name, f in statistics.items():
        seen[rows, name] = float(numba.njit(f)(x)), float(f(x))
        print(f"{rows:9,} numbers, {name:12}  numba {seen[rows, name][0]:12.6f}   numpy {seen[rows, name][1]:12.6f}")
(mean, right), (var, one) = seen[1_000_000, "mean"], seen[1_000_000, "var"]
exact = np.isclose(*seen[1_000_000, "var, float64"], rtol=1e-9)
sys.exit(not (mean - right > 5 and abs(right - 1000) < 0.1 and var > 50 and abs(one - 1) < 0.01 and exact))
PYTHON
