#!/bin/sh
# onnxruntime 1.32.0, on a CPU: Tanh gives 1.0000001 for some inputs, more than 1.
#
# One would guess: tanh lies between -1 and 1, as NumPy's and PyTorch's do in float32.
# What happens: onnxruntime approximates it by a quotient of polynomials, whose last bit may lie beyond 1.
# Where it matters: a policy that squashes its actions by tanh leaves its action space: Box.contains is false, arctanh and
#   log(1 - a^2) of such an action are not finite.  A Clip behind the Tanh keeps it inside.
# Source: microsoft/onnxruntime, onnxruntime/core/mlas/lib/tanh.cpp.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import platform
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__, "numpy", np.__version__, platform.machine())
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "tanh", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
x = np.linspace(-12, 12, 2_400_001, dtype=np.float32)
(y,) = session.run(["y"], {"x": x})
beyond = np.abs(y) > 1
print(f"of {len(x):,} inputs from -12 to 12: {beyond.sum():,} beyond 1, by at most {np.abs(y).max() - np.float32(1):.1e}, "
      f"|x| from {np.abs(x[beyond]).min():.3f} to {np.abs(x[beyond]).max():.3f}")
print(f"NumPy: {np.count_nonzero(np.abs(np.tanh(x)) > 1)} beyond 1; farthest of the two apart {np.abs(y - np.tanh(x)).max():.1e}")
sys.exit(not (beyond.any() and not np.any(np.abs(np.tanh(x)) > 1)))
PYTHON
