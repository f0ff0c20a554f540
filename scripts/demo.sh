#!/usr/bin/env bash
# Sets everything up, then runs iart demo:  bash scripts/demo.sh [--no-venv] [arguments of iart demo]
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
setup=()
if [[ ${1:-} == --no-venv ]]; then
    shift
    setup=(--no-venv)
    python=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}/bin/python
fi
bash scripts/setup.sh ${setup[@]+"${setup[@]}"}
exec "$python" -m iart demo "$@"
