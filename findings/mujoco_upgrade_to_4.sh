#!/bin/sh
# One would guess: where `pip install -U` ends without a word, and `pip check` finds nothing, the package can be imported.
# What happens: upgrading MuJoCo from 3.x to 4.0.0 with pip leaves a package that cannot be imported.  4.0 has split it:
# nearly all files of the folder mujoco/ now belong to mujoco-core.  pip installs that first, into the folder of the old
# version, and then uninstalls the old version, by its list of files, the new ones among them.
# Where it matters: every environment that is upgraded in place instead of made anew (uv, which removes before it
# installs, is not concerned).  What mends it: the three packages in one version with --force-reinstall.  (The line that
# MuJoCo's own message proposes names no versions, and gets mujoco-core 4.0.1 beside mujoco 4.0.0, which is refused.)
# Source: measured below.  Needs Python 3.11 or newer.  Ends with 0 where this still holds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
pip() { "$folder/bin/python" -m pip "$@"; }
works() { "$folder/bin/python" -c "import mujoco; print('imported: MuJoCo', mujoco.__version__)" 2>"$folder/why"; }
pip install -q pip==26.0 numpy==2.4.6
pip install -q mujoco==3.17.0
works
pip install -q --upgrade mujoco==4.0.0
echo "upgraded: pip's status is 0, and it checks:" "$(pip check)"
if works; then
    echo "it can be imported"
    exit 1
fi
grep "^ModuleNotFoundError" "$folder/why"
pip install -q --force-reinstall --no-deps mujoco==4.0.0 mujoco-core==4.0.0 mujoco-studio==4.0.0
works
