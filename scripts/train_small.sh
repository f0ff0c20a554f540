#!/usr/bin/env bash
# Trains the small network that comes with the package, from its material to the weight file. Every part continues where it was stopped.
#   bash scripts/train_small.sh FOLDER     FOLDER: what scripts/training_frames.json lists, with its sources and hashes
set -euo pipefail

[[ $# -eq 1 && -d $1 ]] || { echo "usage: bash scripts/train_small.sh FOLDER (what scripts/training_frames.json lists)" >&2; exit 2; }
material=$(CDPATH='' cd -- "$1" && pwd)
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
[[ -x $python ]] || python=python3

[[ -d datasets/shipped_model/train ]] || "$python" scripts/prepare_training_frames.py --data "$material"
"$python" -m iart weights spynet

"$python" train.py -opt options/small/IART_small.yml --auto_resume
# The second part begins with a state of the first one; afterwards it has states of its own.
if compgen -G 'experiments/IART_small_long/training_states/*.state' >/dev/null; then how=--auto_resume; else how=--force_resume; fi
"$python" train.py -opt options/small/IART_small_long.yml "$how"
for part in IART_small_final IART_small_natural IART_small_natural_long; do
    "$python" train.py -opt "options/small/$part.yml" --auto_resume
done

"$python" -m iart convert experiments/IART_small_natural_long/models/net_g_1900.pth results/IART_small.safetensors \
    --key params_ema -opt options/small/IART_small_natural_long.yml --half
echo 'written to results/IART_small.safetensors'
