#!/usr/bin/env bash
# Trains with one process per GPU through torchrun. Without a GPU: that many CPU processes (gloo).
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: bash dist_train.sh NUM_GPU options/X.yml [arguments of train.py]
  NUM_GPU  processes on this machine, one per GPU
several machines: call it on each, with these variables set
  NNODES       how many machines (default 1)
  NODE_RANK    number of this machine, from 0
  MASTER_ADDR  address of machine 0
  MASTER_PORT  a free port there (default 29500; on one machine: any free port)
when a process dies, all of them end and start again from the newest training state
  MAX_RESTARTS  how often (default 3; 0: never)
example: bash dist_train.sh 8 options/IART_REDS_N6_300K.yml --auto_resume
TEXT
    [[ $# -eq 0 ]] || echo "dist_train.sh: $1" >&2
    exit 2
}

[[ $# -ge 2 ]] || usage 'expected the number of GPUs and an options file'
processes=$1 options=$2
shift 2
[[ $processes =~ ^[1-9][0-9]*$ ]] || usage "NUM_GPU: got '$processes', expected a whole number from 1 up"
[[ -f $options ]] || usage "options file not found: $options"

# The environment that is active; else the one that scripts/setup.sh made. conda's base counts as none:
# many shells start in it.
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
python=python3
if [[ -n ${PYTHON:-} ]]; then
    python=$PYTHON
elif [[ -n ${VIRTUAL_ENV:-} ]] || [[ -n ${CONDA_PREFIX:-} && ${CONDA_DEFAULT_ENV:-} != base ]]; then
    python=python
elif [[ -x $root/.venv/bin/python ]]; then
    python=$root/.venv/bin/python
fi

nodes=${NNODES:-1} restarts=${MAX_RESTARTS:-3}
[[ $restarts =~ ^[0-9]+$ ]] || usage "MAX_RESTARTS: got '$restarts', expected a whole number from 0 up"
if [[ $nodes == 1 && -z ${MASTER_PORT:-} ]]; then
    meeting=(--standalone)
else
    [[ $nodes == 1 || (-n ${NODE_RANK:-} && -n ${MASTER_ADDR:-}) ]] || usage "NNODES=$nodes needs NODE_RANK and MASTER_ADDR"
    meeting=(--nnodes "$nodes" --node_rank "${NODE_RANK:-0}" --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-29500}")
fi

# Share the cores out, so that the processes' threads do not fight for them.
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo "$processes")
share=$((cores / processes))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((share > 0 ? share : 1))}

exec "$python" -m torch.distributed.run --nproc_per_node "$processes" --max_restarts "$restarts" "${meeting[@]}" \
    "$root/train.py" -opt "$options" --launcher pytorch "$@"
