#!/bin/sh
# safetensors 0.8.0: with two or more entries of metadata the same call writes other bytes each time.
#
# One would guess: the same arrays and the same metadata are the same file, as the tensors are sorted.
# What happens: the header's metadata are written in the random order of a hash map.  With one entry, or none, the bytes
#   are always the same.
# Where it matters: checksums of a model that is exported twice differ, caches and repositories store it again, a build
#   cannot be repeated byte by byte.  One entry that holds all as JSON is enough to be safe.
# Source: huggingface/safetensors, the HashMap of metadata in safetensors/src/tensor.rs; issue 584.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.4.6
"$dir/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import save

print("safetensors", version("safetensors"), "numpy", np.__version__)
arrays = {name: np.zeros(3, np.float32) for name in ("bias", "scale", "weight")}
different = {}
for n in 0, 1, 2, 4:
    metadata = {f"key{i}": f"value{i}" for i in range(n)} or None
    different[n] = len({save(arrays, metadata) for _ in range(50)})
    print(f"50 files with {n} entries of metadata: {different[n]} different one{'s' * (different[n] > 1)}")
sys.exit(not (different[0] == different[1] == 1 and different[2] > 1 and different[4] > 2))
PYTHON
