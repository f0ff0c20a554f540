#!/usr/bin/env bash
# Sets up everything: a Python environment in .venv, the requirements in the versions that were tested together,
# BasicSR, and this package (editable). Quick when nothing has changed since the last time. May be called from any
# directory.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/setup.sh [--dev] [--no-venv] [--locked | --latest | --lowest]
  --dev      also install what the tests and checks need (scripts/requirements-dev.txt, scripts/requirements-export.txt)
  --no-venv  install into the virtual environment or conda environment that is active, instead of .venv; packages
             that it has already stay as they are if they fit requirements.txt
  --locked   the versions in scripts/constraints, which were tested together; default in a new environment
  --latest   the newest versions that requirements.txt allows
  --lowest   the lowest versions that it allows, as far as there are builds of them for this Python
Without one of the three, an environment keeps the choice it was made with. A torch built for another device
(its version ends in +cpu, +cu126, ...), installed before this is called, is never replaced.
environment:
  PYTHON     the Python to make .venv from (3.10 or newer); default: the first suitable one that is found
TEXT
}

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
step='read the arguments' remedy='see  bash scripts/setup.sh --help' ticker='' log='' folder=''

# Whatever fails, wherever: name the step and the remedy.
report() {
    local code=$?
    stop_ticker
    if [[ $code -eq 130 ]]; then
        printf 'setup: stopped while at this step: %s. Called again, it continues from here\n' "$step" >&2
    elif [[ $code -ne 0 ]]; then
        if [[ -s $log ]]; then
            { echo '--- the last lines of the output:'; tail -n 15 "$log"; echo '---'; } >&2
            explain
        fi
        printf 'setup: failed at this step: %s\n  what to do: %s\n' "$step" "$remedy" >&2
    fi
    [[ -z $folder ]] || rm -rf "$folder"
}
trap report EXIT
trap 'exit 130' INT TERM

# A better remedy than the step's own, if the output shows the cause.
explain() {
    local proxy=${HTTPS_PROXY:-${https_proxy:-${ALL_PROXY:-${all_proxy:-}}}}
    if grep -q 'No space left on device\|Disk quota exceeded' "$log"; then
        remedy="make room: some 10 GB in $root, and 4 GB in ${TMPDIR:-/tmp} (another folder:  TMPDIR=/path bash scripts/setup.sh); then call it again"
    elif grep -q 'ProxyError\|Cannot connect to proxy\|Missing dependencies for SOCKS' "$log"; then
        remedy="the proxy ${proxy:+$proxy }refuses or is not there: correct or unset HTTPS_PROXY (and pip's setting:  python3 -m pip config list), then call setup.sh again"
    elif grep -qi 'certificate verify failed\|SSLError' "$log"; then
        remedy='a certificate is not trusted: behind a proxy that has one of its own, set  PIP_CERT=/path/to/its/certificate.pem , then call setup.sh again'
    elif grep -qi 'NewConnectionError\|ConnectTimeout\|Failed to establish a new connection\|name resolution\|Read timed out\|Connection aborted\|Network is unreachable\|from versions: none' "$log"; then
        remedy='the package index cannot be reached: is there a network connection? Behind a proxy, set HTTPS_PROXY=http://HOST:PORT; with an index of your own, set PIP_INDEX_URL. Then call setup.sh again: it continues from here'
    elif grep -q 'Read-only file system\|Permission denied' "$log"; then
        remedy="a folder is not writable (see above): it must be possible to write to ${python%/bin/python} and ${TMPDIR:-/tmp}"
    elif grep -q 'DO NOT MATCH THE HASHES' "$log"; then
        remedy='another file is offered under the name of BasicSR than the one that was looked at: do not install it'
    elif grep -q 'ResolutionImpossible\|conflicting dependencies' "$log"; then
        remedy='the versions named above do not go together: does a constraint of your own (python3 -m pip config list) forbid one? Else try  bash scripts/setup.sh --latest'
    elif grep -q 'No matching distribution found' "$log"; then
        remedy="there is no build of that package for this Python ($("$python" -V 2>&1)) and machine ($(uname -sm)): take Python 3.10 to 3.14 (PYTHON=...), or try  bash scripts/setup.sh --latest"
    fi
}

fail() {
    [[ $# -eq 0 ]] || printf 'setup: %s\n' "$1" >&2
    exit "${2:-1}"
}

# On a terminal: elapsed seconds and pip's last line, updated once a second on the same line.
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

# A name may be on the PATH and still not run (pyenv's shims), or be unable to create environments: so try it.
# Prints what is wrong with it, nothing if it is suitable.
unsuitable() {
    local version
    if ! version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 10))' 2>/dev/null); then
        [[ -n $version ]] && echo "is Python $version, older than 3.10" || echo 'does not run'
    elif ! "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        echo "is Python $version, but cannot make environments (modules venv, ensurepip)"
    fi
}

tested() {
    [[ -e scripts/constraints/py$("$1" -c 'import sys; print("%d%d" % sys.version_info[:2])').txt ]]
}

find_python() {
    step='find Python 3.10 or newer'
    remedy='install Python 3.10 or newer (on Debian and Ubuntu also the package python3-venv), or name one:  PYTHON=/path/to/python3 bash scripts/setup.sh'
    local name reason reasons='' newer=''
    if [[ -n ${PYTHON:-} ]]; then
        reason=$(unsuitable "$PYTHON")
        [[ -z $reason ]] || cannot_make "PYTHON=$PYTHON $reason"
        base=$PYTHON
        return
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        command -v "$name" >/dev/null || continue
        reason=$(unsuitable "$name")
        if [[ -n $reason ]]; then
            reasons+="${reasons:+; }$name $reason"
        elif tested "$name"; then
            base=$name
            return
        else
            newer=${newer:-$name}
        fi
    done
    base=$newer  # newer than all that were tested
    [[ -n $base ]] || cannot_make "${reasons:-there is no python3, python3.10 ... python3.14 or python on the PATH}"
}

cannot_make() {
    if [[ $1 == *ensurepip* ]]; then
        remedy='install what makes environments (on Debian and Ubuntu:  apt-get install python3-venv ), or name another Python:  PYTHON=/path/to/python3 bash scripts/setup.sh'
    fi
    fail "$1"
}

make_environment() {
    python=$root/.venv/bin/python
    if "$python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
        return
    fi
    local base
    find_python
    step="make the environment .venv with $("$base" -V 2>&1)"
    remedy="look at the message above; is the disk full, or the folder $root not writable? Then remove .venv and call setup.sh again"
    echo "setup: $step ..."
    "$base" -m venv --clear .venv
}

active_environment() {
    step='find the active environment (--no-venv)'
    remedy='activate a virtual environment (source PATH/bin/activate) or conda environment (conda activate NAME) with Python 3.10 or newer, or leave out --no-venv to have .venv made'
    local prefix=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
    [[ -n $prefix ]] || fail 'no virtual environment and no conda environment is active' 2
    python=$prefix/bin/python
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 ||
        fail "the environment in $prefix has no working Python 3.10 or newer" 2
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        remedy="put pip into it:  $python -m ensurepip  (conda:  conda install pip ; uv:  uv pip install pip )"
        fail "the environment in $prefix has no pip" 2
    fi
}

# The constraints for pip: the chosen versions, less what the environment has and may keep.
constrain() {
    "$python" - "$1" "$own" >"$folder/constraints.txt" <<'PY'
import re, sys
from importlib import metadata

file, own = sys.argv[1:]
installed = {re.sub('[-_.]+', '-', d.metadata['Name']).lower(): d.version for d in metadata.distributions() if d.metadata['Name']}
torch = installed.get('torch', '')
keeps_torch = bool(torch) and (not own or '+' in torch)
if keeps_torch:  # and then the torchvision and libraries that go with it
    print(*(f'{name}=={installed[name]}' for name in ('torch', 'torchvision') if name in installed), sep='\n')
for line in open(file) if file else ():
    name = line.partition('==')[0]
    with_torch = re.fullmatch('torch|torchvision|triton|sympy|nvidia-.*|cuda-.*', name)
    if '==' in line and not (with_torch and keeps_torch) and not (name in installed and not own):
        print(line, end='')
PY
}

# unchanged RECORD FILE...: whether the environment still holds what the files ask for, as of the last time.
# With --write as the first argument: remember that it does.
unchanged() {
    "$python" - "$root" "$versions" "$@" <<'PY'
import hashlib, re, sys
from importlib import metadata
from pathlib import Path

root, versions, *rest = sys.argv[1:]
write = rest[0] == '--write'
record, *files = rest[1:] if write else rest
texts = [Path(name).read_text() for name in files]
state = hashlib.sha256('\0'.join([sys.version, root, versions, *texts]).encode()).hexdigest()
stamp = Path(sys.prefix, record)
if write:
    stamp.write_text(state)
elif not stamp.is_file() or stamp.read_text() != state:
    sys.exit(1)
else:
    asked = [m[0] for name, text in zip(files, texts) if 'requirements' in name for m in re.finditer(r'^[A-Za-z][\w-]*', text, re.M)]
    try:
        for name in asked:
            metadata.version(name)
    except metadata.PackageNotFoundError:
        sys.exit(1)
PY
}

dev='' own=yes versions=''
for argument in "$@"; do
    case $argument in
        --dev) dev=yes ;;
        --no-venv) own='' ;;
        --locked | --latest | --lowest) versions=${argument#--} ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument: $argument" 2 ;;
    esac
done

if [[ -n $own ]]; then make_environment; else active_environment; fi
step='prepare the installation' remedy="is there room in ${TMPDIR:-/tmp}, and can it be written to? Another folder:  TMPDIR=/path bash scripts/setup.sh"
folder=$(mktemp -d "${TMPDIR:-/tmp}/iart-setup.XXXXXX")
log=$folder/log

chosen=${python%/bin/python}/iart-setup.versions
[[ -n $versions || ! -e $chosen ]] || versions=$(<"$chosen")
versions=${versions:-locked}
name=scripts/constraints/py$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
case $versions in
    locked) constraints=$name.txt ;;
    lowest) constraints=$name-lowest.txt ;;
    latest) constraints='' ;;
esac
if [[ -n $constraints && ! -e $constraints ]]; then
    echo "setup: nothing was tested with $("$python" -V 2>&1) (Python 3.10 to 3.13 were): taking the newest versions that requirements.txt allows"
    versions=latest constraints=''
fi
network='is there a network connection (or, behind a proxy, are pip'\''s settings right), and some 10 GB of disk? Then call setup.sh again: it continues from here'

run_files=(requirements.txt scripts/requirements-basicsr.txt pyproject.toml setup.py ${constraints:+"$constraints"})
dev_files=(scripts/requirements-dev.txt scripts/requirements-export.txt ${constraints:+"$constraints"})
pip_options=(--constraint "$folder/constraints.txt")
[[ $versions != latest || -z $own ]] || pip_options+=(--upgrade --upgrade-strategy eager)
if ! unchanged iart-setup.stamp "${run_files[@]}"; then
    constrain "$constraints"
    install "install requirements.txt ($versions versions)" "$network" "${pip_options[@]}" -r requirements.txt
    install 'install BasicSR (scripts/requirements-basicsr.txt)' "$network" --no-deps -r scripts/requirements-basicsr.txt
    install 'install this package (editable)' 'look at the message above; is pyproject.toml as it was delivered?' \
        --no-deps --no-build-isolation -e .
    echo "$versions" >"$chosen"
    unchanged --write iart-setup.stamp "${run_files[@]}"
fi
if [[ -n $dev ]] && ! unchanged iart-setup-dev.stamp "${dev_files[@]}"; then
    constrain "$constraints"
    install "install scripts/requirements-dev.txt ($versions versions)" "$network" "${pip_options[@]}" \
        -r scripts/requirements-export.txt -r scripts/requirements-dev.txt
    unchanged --write iart-setup-dev.stamp "${dev_files[@]}"
fi

if [[ -n $own ]]; then
    echo 'setup: ready. To use it in this shell:  source .venv/bin/activate'
else
    echo "setup: ready in ${python%/bin/python}"
fi
