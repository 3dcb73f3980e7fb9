#!/bin/sh
# safetensors 0.8.0: an array that is a transposed view is saved with its numbers in the wrong places, without a word.
#
# One would guess: load(save({"w": W.T}))["w"] equals W.T, as it did in 0.7.0.
# What happens: the shape is that of W.T, the bytes are those of W.  Of a square array it is the same as saving W; of
#   another one the numbers stand in other rows.  Other views that are not contiguous fare alike.
# Where it matters: weights kept as (in, out) are transposed for a file in PyTorch's order, (out, in): the policy that
#   somebody else loads has the right shapes and acts at random.  np.ascontiguousarray(W.T) is saved right.
# Source: huggingface/safetensors, safetensors.numpy.save; issue 825.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for version in 0.7.0 0.8.0; do
    python3 -m venv "$dir/$version"
    "$dir/$version/bin/pip" install -q "safetensors==$version" numpy==2.4.6
    "$dir/$version/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

W = np.arange(6, dtype=np.float32).reshape(2, 3)
print("safetensors", version("safetensors"), "numpy", np.__version__)
right = {}
for name, x in {"W": W, "W.T": W.T, "ascontiguousarray(W.T)": np.ascontiguousarray(W.T)}.items():
    back = load(save({"w": x}))["w"]
    right[name] = back.shape == x.shape and np.array_equal(back, x)
    print(f"  {name:24} saved {x.tolist()}, loaded {back.tolist()}")
wanted = [True, version("safetensors") == "0.7.0", True]
sys.exit(list(right.values()) != wanted)
PYTHON
done
