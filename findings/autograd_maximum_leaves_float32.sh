#!/bin/sh
# autograd 1.9.1: behind np.maximum, np.minimum, np.where, np.mean, np.std, np.max the way back of a float32 function
#   is in float64, although the gradient that comes out of a network is float32.
#
# One would guess: a ReLU network of float32 weights is differentiated in float32, for its gradient is float32, and
#   autograd has a test that gradients keep the type of what they belong to.
# What happens: the derivative of maximum is multiplied by a quotient of comparisons, which is float64; mean, std and
#   max divide by an integer of NumPy, which makes float64, too; where fills in zeros of float64.  The next product on
#   the way back is then made in float64, of a weight matrix that is converted first, and cast to float32 afterwards,
#   so nothing tells.  Written as h * (h > 0) the same network stays in float32.
# Where it matters: float32 networks with ReLU, losses that end in np.mean: with thousands of rows a gradient takes
#   about twice as long.  (At h = 0 the derivatives differ: 1/2 for maximum, 0 for the product.)
# Source: HIPS/autograd, autograd/numpy/numpy_vjps.py: balanced_eq, grad_np_mean, grad_chooser, the vjp of where, and
#   dot_adjoint_0, which casts.  Pull request 199 (2017, open) describes it for max.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q autograd==1.9.1 numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import sys
import time
from importlib.metadata import version

import autograd
import autograd.numpy as np
import numpy
from autograd.extend import defvjp, primitive

print("autograd", version("autograd"), "numpy", numpy.__version__, "python", sys.version.split()[0])
x = numpy.arange(1, 6, dtype=numpy.float32)
functions = {
    "maximum": lambda x: np.sum(np.maximum(x, 2)),
    "minimum": lambda x: np.sum(np.minimum(x, 2)),
    "where": lambda x: np.sum(np.where(x > 2, x, x * x)),
    "mean": np.mean,
    "std": np.std,
    "max": np.max,
    "x * (x > 2)": lambda x: np.sum(x * (x > 2)),
    "sum": np.sum,
    "exp": lambda x: np.sum(np.exp(x)),
    "clip": lambda x: np.sum(np.clip(x, 0, 2)),
}
types = {}
for name, f in functions.items():
    value, gradient = f(x), autograd.grad(f)(x)
    types[name] = gradient.dtype.name
    print(f"{name:12} value {value.dtype}, gradient {types[name]}")

met = []
watched = primitive(lambda h: h)  # the identity, which notes what comes back to it
defvjp(watched, lambda ans, h: lambda g: met.append(g.dtype.name) or g)


def loss(weights, x, relu):
    for W in weights[:-1]:
        x = relu(watched(np.dot(x, W)))
    return np.sum(np.dot(x, weights[-1]) ** 2)


rng = numpy.random.default_rng(0)
weights = [rng.standard_normal(shape, numpy.float32) / 16 for shape in ((20, 256), (256, 256), (256, 17))]
rows, seconds, inside = rng.standard_normal((20000, 20), numpy.float32), {}, {}
for name, relu in ("maximum(h, 0)", lambda h: np.maximum(h, 0)), ("h * (h > 0)", lambda h: h * (h > 0)):
    met.clear()
    gradient = autograd.grad(loss)(weights, rows, relu)
    inside[name] = [*met]
    begin = time.perf_counter()
    for _ in range(3):
        autograd.grad(loss)(weights, rows, relu)
    seconds[name] = (time.perf_counter() - begin) / 3
    print(f"{name:13} gradient {gradient[0].dtype}, inside {inside[name]}, {seconds[name]:.3f} s")
print(f"ratio of times (it is not checked): {seconds['maximum(h, 0)'] / seconds['h * (h > 0)']:.1f}")
wide = [name for name, kind in types.items() if kind == "float64"]
same = wide == ["maximum", "minimum", "where", "mean", "std", "max"]
same &= inside == {"maximum(h, 0)": ["float64"] * 2, "h * (h > 0)": ["float32"] * 2}
sys.exit(not (same and gradient[0].dtype == numpy.float32))
PYTHON
