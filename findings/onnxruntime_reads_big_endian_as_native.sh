#!/bin/sh
# onnxruntime 1.32.0: an input array of the other byte order is taken for one of this machine's, and no error says so.
#
# One would guess: np.array([0.5, 1, 2], ">f4"), which NumPy computes with as with any other, is converted or refused.
# What happens: its bytes are read as they lie, so 0.5 becomes 8.8e-44.  ONNX's own reference evaluator,
#   PyTorch's from_numpy and onnx.numpy_helper.from_array refuse it.
# Where it matters: observations that come from HDF5, FITS or network formats keep their byte order in NumPy; a policy in
#   onnxruntime then sees zeros and acts, always, as in the state of zeros.
# Source: microsoft/onnxruntime, onnxruntime/python/onnxruntime_pybind_mlvalue.cc, which looks at the type number alone.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__, "numpy", np.__version__)
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
native = np.array([0.5, 1, 2], np.float32)
other = native.astype(native.dtype.newbyteorder())
seen = {x.dtype.str: session.run(["y"], {"x": x})[0].tolist() for x in (native, other)}
for kind, y in seen.items():
    print(f"Identity of [0.5, 1.0, 2.0] as {kind}: {y}")
as_they_lie = other.view(native.dtype).tolist()
sys.exit(not (seen[native.dtype.str] == native.tolist() and seen[other.dtype.str] == as_they_lie))
PYTHON
