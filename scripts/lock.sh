#!/usr/bin/env bash
# Writes scripts/constraints/: which version of each package scripts/setup.sh installs, for each Python. Run it to
# take newer versions on purpose, then run scripts/test_matrix.sh and commit both results together.
#   py3XX.txt         the newest versions within the ranges of requirements.txt, but one torch for every Python
#   py3XX-lowest.txt  the lowest versions within these ranges, as far as there are builds for that Python
# No files are downloaded but uv, which finds the versions; the Pythons themselves need not be there.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
pythons=(3.10 3.11 3.12 3.13 3.14)
# The newest pair that has builds for all of them; tests, parity and measurements were made with it.
torch=2.14.1 torchvision=0.29.1
uv_version=0.13.9

folder=$(mktemp -d "${TMPDIR:-/tmp}/iart-lock.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
printf 'torch==%s\ntorchvision==%s\n' "$torch" "$torchvision" >"$folder/torch.txt"

# compile OUTPUT PYTHON ARGUMENTS... : resolve for one Python on Linux, whatever machine this runs on.
compile() {
    local output=$1 python=$2
    shift 2
    # Paths relative to here, no header, no comments: nothing in the file depends on the machine that made it.
    "$folder/venv/bin/uv" pip compile --quiet --no-config --upgrade --only-binary :all: --python-version "$python" \
        --python-platform x86_64-manylinux_2_28 --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --output-file "$folder/output.txt" "$@" >/dev/null
    {
        echo "# Written by scripts/lock.sh for Python $python; not edited by hand."
        cat "$folder/output.txt"
    } >"$output"
    echo "$output: $(grep -c == "$output") packages"
}

mkdir -p scripts/constraints
for python in "${pythons[@]}"; do
    name=scripts/constraints/py${python/./}
    compile "$name.txt" "$python" --constraint "$folder/torch.txt" requirements.txt \
        scripts/requirements-dev.txt scripts/requirements-export.txt
    compile "$name-lowest.txt" "$python" --resolution lowest-direct requirements.txt
done
