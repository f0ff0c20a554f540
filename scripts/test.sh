#!/usr/bin/env bash
# Sets everything up and runs the tests:
#   bash scripts/test.sh [--no-venv] [--locked | --latest | --lowest] [--long] [arguments of pytest]
# The first four are those of scripts/setup.sh; --long runs the slow tests, too.
# Tests run side by side, on at most four cores; `-n 0` as an argument runs them one after the other.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
setup=(--dev)
while [[ ${1:-} =~ ^--(no-venv|locked|latest|lowest)$ ]]; do
    setup+=("$1")
    [[ $1 != --no-venv ]] || python=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}/bin/python
    shift
done
bash scripts/setup.sh "${setup[@]}"

# Each worker computes small tensors: more threads would only be in each other's way.
export OMP_NUM_THREADS=1
exec "$python" -m pytest -n auto --maxprocesses 4 --dist worksteal "$@"
