#!/usr/bin/env bash
# Sets everything up, then trains a small IART for a short while on the bundled clip, scores it against bicubic
# and writes pictures:  bash scripts/demo.sh [--no-venv] [arguments of scripts/demo.py]
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
exec "$python" scripts/demo.py "$@"
