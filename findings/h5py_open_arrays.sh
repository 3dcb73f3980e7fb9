#!/usr/bin/env bash
# An open chunked array costs 63 kB more memory with h5py 3.16 than with h5py 3.15, though nobody has read it.
#
# One would guess: an h5py.Dataset that is open but not read is a handle, a few kilobytes, whatever the version; so
# thousands of them (five for each episode of a Minari file) can be kept and read later.
# What happens: h5py 3.16.0 brings HDF5 2.0, whose chunk cache has 8,191 places instead of 521 by default, and their
# table (8 bytes each) is made for each array when it is opened. 3,000 arrays of 22 numbers, each in a group: 260 MB instead
# of 72 MB. Arrays without chunks cost as much as before.
# Where it matters: programs that walk through files of many small arrays under a memory limit, in a container say, and
# keep references. Reading one episode at a time costs nothing; or give h5py.File(..., rdcc_nslots=521).
# Source: measured; the numbers of places are those that h5py's get_cache() of a new file access list says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > measure.py <<'PY'
import json, sys
import h5py, numpy as np

resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
with h5py.File("many.h5", "w") as file:
    for i in range(3000):
        file.create_dataset(f"episode_{i}/rewards", data=np.zeros(22), chunks=True)
file, before = h5py.File("many.h5", "r"), resident()
arrays = [file[f"episode_{i}/rewards"] for i in range(3000)]
each = (resident() - before) / 3000 / 1000
places = h5py.h5p.create(h5py.h5p.FILE_ACCESS).get_cache()[1]
print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}: {places} places, {each:.0f} kB for each open array")
json.dump([places, each], open(sys.argv[1], "w"))
PY
for version in 3.15.1 3.16.0; do
    python3 -m venv "$version"
    "$version/bin/pip" install -q "h5py==$version" "numpy==2.3.5"
    "$version/bin/python" measure.py "$version.json"
done
# Seen: h5py 3.15.1, HDF5 1.14.6: 521 places, 24 kB for each open array
#       h5py 3.16.0, HDF5 2.0.0: 8191 places, 87 kB for each open array
3.16.0/bin/python - <<'PY'
import json

(old, small), (new, large) = (json.load(open(f"{version}.json")) for version in ("3.15.1", "3.16.0"))
assert (old, new) == (521, 8191) and large - small > 50, "the behaviour has changed"
PY
