#!/usr/bin/env bash
# Sets up everything: a Python environment in .venv, the requirements, BasicSR, and this package (editable).
# Quick when nothing has changed since the last time. May be called from any directory.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/setup.sh [--dev] [--no-venv]
  --dev      also install what the tests and checks need (scripts/requirements-dev.txt)
  --no-venv  install into the virtual environment or conda environment that is active, instead of .venv
environment:
  PYTHON     the Python to make .venv from (3.10 or newer); default: the first suitable one that is found
TEXT
}

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
step='read the arguments' remedy='see  bash scripts/setup.sh --help' ticker='' log=''

# Whatever fails, wherever: name the step and the remedy.
report() {
    local code=$?
    stop_ticker
    if [[ $code -eq 130 ]]; then
        printf 'setup: stopped while at this step: %s. Called again, it goes on from here\n' "$step" >&2
    elif [[ $code -ne 0 ]]; then
        [[ -s $log ]] && { echo '--- the last lines of the output:'; tail -n 15 "$log"; echo '---'; } >&2
        printf 'setup: failed at this step: %s\n  what to do: %s\n' "$step" "$remedy" >&2
    fi
    [[ -z $log ]] || rm -f "$log"
}
trap report EXIT
trap 'exit 130' INT TERM

fail() {
    [[ $# -eq 0 ]] || printf 'setup: %s\n' "$1" >&2
    exit "${2:-1}"
}

# On a terminal: seconds passed and what pip says, renewed once a second on the same line.
start_ticker() {
    if [[ ! -t 1 ]]; then
        echo "setup: $step ..."
        return
    fi
    while :; do
        printf '\r\033[Ksetup: %s ... %d s  %.60s' "$step" "$SECONDS" "$(tail -n 1 "$log" 2>/dev/null)"
        sleep 1
    done &
    ticker=$!
}

stop_ticker() {
    [[ -n $ticker ]] || return 0
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    ticker=''
    printf '\r\033[K'
}

# install STEP REMEDY PIP_ARGUMENTS...
install() {
    step=$1 remedy=$2
    shift 2
    SECONDS=0
    start_ticker
    "$python" -m pip install --disable-pip-version-check --no-input "$@" >"$log" 2>&1
    stop_ticker
    echo "setup: $step: done in $SECONDS s"
    : >"$log"
}

# A name may stand on the PATH and still not run (pyenv's shims), or lack what makes environments: so try it.
suitable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

find_python() {
    step='find Python 3.10 or newer'
    remedy='install Python 3.10 or newer (on Debian and Ubuntu also the package python3-venv), or name one:  PYTHON=/path/to/python3 bash scripts/setup.sh'
    local name
    if [[ -n ${PYTHON:-} ]]; then
        suitable "$PYTHON" || fail "PYTHON=$PYTHON does not run, is older than 3.10, or cannot make environments (modules venv, ensurepip)"
        base=$PYTHON
        return
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if suitable "$name"; then
            base=$name
            return
        fi
    done
    fail 'none of python3, python3.13 ... python3.10, python is 3.10 or newer and can make environments'
}

make_environment() {
    python=$root/.venv/bin/python
    if "$python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
        return
    fi
    local base
    find_python
    step="make the environment .venv with $("$base" -V 2>&1)"
    remedy='look at the message above; is the disk full or the folder not writable? Then remove .venv and call setup.sh again'
    echo "setup: $step ..."
    "$base" -m venv --clear .venv
}

active_environment() {
    step='find the active environment (--no-venv)'
    remedy='activate a virtual environment (source PATH/bin/activate) or conda environment (conda activate NAME) with Python 3.10 or newer, or leave out --no-venv to have .venv made'
    local prefix=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
    [[ -n $prefix ]] || fail 'no virtual environment and no conda environment is active' 2
    python=$prefix/bin/python
    "$python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 ||
        fail "the environment in $prefix has no working Python 3.10 or newer with pip" 2
}

# unchanged RECORD FILE...: whether the environment still holds what the files ask for, as of the last time.
# With --write as the first argument: remember that it does.
unchanged() {
    "$python" - "$root" "$@" <<'PY'
import hashlib, re, sys
from importlib import metadata
from pathlib import Path

root, *rest = sys.argv[1:]
write = rest[0] == '--write'
record, *files = rest[1:] if write else rest
texts = [Path(name).read_text() for name in files]
state = hashlib.sha256('\0'.join([sys.version, root, *texts]).encode()).hexdigest()
stamp = Path(sys.prefix, record)
if write:
    stamp.write_text(state)
elif not stamp.is_file() or stamp.read_text() != state:
    sys.exit(1)
else:
    wanted = [m[0] for name, text in zip(files, texts) if name.endswith('.txt') for m in re.finditer(r'^[A-Za-z][\w-]*', text, re.M)]
    try:
        for name in wanted:
            metadata.version(name)
    except metadata.PackageNotFoundError:
        sys.exit(1)
PY
}

dev='' own=yes
for argument in "$@"; do
    case $argument in
        --dev) dev=yes ;;
        --no-venv) own='' ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument: $argument" 2 ;;
    esac
done

if [[ -n $own ]]; then make_environment; else active_environment; fi
log=$(mktemp "${TMPDIR:-/tmp}/iart-setup.XXXXXX")
network='is there a network connection (or, behind a proxy, are pip'\''s settings right), and some 10 GB of disk? Then call setup.sh again: it goes on from here'

run_files=(requirements.txt scripts/requirements-basicsr.txt pyproject.toml setup.py)
if ! unchanged iart-setup.stamp "${run_files[@]}"; then
    install 'install requirements.txt' "$network" -r requirements.txt
    install 'install BasicSR (scripts/requirements-basicsr.txt)' \
        "$network. A hash that does not match means that another file is offered under this name: do not install it" \
        --no-deps -r scripts/requirements-basicsr.txt
    install 'install this package (editable)' 'look at the message above; is pyproject.toml as it was delivered?' \
        --no-deps --no-build-isolation -e .
    unchanged --write iart-setup.stamp "${run_files[@]}"
fi
if [[ -n $dev ]] && ! unchanged iart-setup-dev.stamp scripts/requirements-dev.txt; then
    install 'install scripts/requirements-dev.txt' "$network" -r scripts/requirements-dev.txt
    unchanged --write iart-setup-dev.stamp scripts/requirements-dev.txt
fi

if [[ -n $own ]]; then
    echo 'setup: ready. To use it in this shell:  source .venv/bin/activate'
else
    echo "setup: ready in ${python%/bin/python}"
fi
