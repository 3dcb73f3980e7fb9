#!/bin/sh
# All tests but the slow ones, in an environment of their own with the lowest versions that pyproject.toml allows, or
# the newest: `sh tests/versions.sh lowest-direct python3.10` or `sh tests/versions.sh highest python3.13`
#
# lowest-direct: of every package that pyproject.toml names, whatever the extra, the lowest version that is allowed and
# has a wheel for this Python, setuptools for the build among them; the packages that these bring along are the newest
# that fit.  Further words go to pytest.  Prints what was installed, and ends with pytest's exit status.
set -eu
usage="usage: sh tests/versions.sh lowest-direct|highest PYTHON [words for pytest]"
how=${1:?$usage} python=$(command -v "${2:?$usage}")
shift 2
cd "$(dirname "$0")/.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
cd "$copy"
"$python" -m venv .venv/installer
.venv/installer/bin/pip install -q uv
uv="$PWD/.venv/installer/bin/uv"
$uv venv -q --allow-existing --python "$python" .venv
build=/dev/null
if [ "$how" = lowest-direct ]; then # uv takes the newest for the build whatever is asked for
    build="$PWD/.venv/build.txt"
    sed -n 's/^requires = \["\(setuptools\)>=\(.*\)"\]/\1==\2.*/p' pyproject.toml > "$build"
fi
$uv pip install -q --python .venv --resolution "$how" --only-binary :all: --all-extras -b "$build" -r pyproject.toml -e .
echo "$how, $(.venv/bin/python -V):" $($uv pip freeze --python .venv --exclude-editable)
.venv/bin/python -m pytest -q -n auto -m "not slow" "$@"
