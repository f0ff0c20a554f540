#!/usr/bin/env bash
# Runs the test command in fresh environments: every Python from 3.10 to 3.14 that is here, each with the locked, the
# newest and the lowest versions of the dependencies. Each cell is a clone of the last commit, removed when its tests
# have ended; its result is kept, so that a matrix that was stopped continues. Ends with a table.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bash scripts/test_matrix.sh [--python 3.X]... [--versions locked,latest,lowest] [--table] [arguments of pytest]
  --python    only this Python; may be given several times
  --versions  only these, in this order; default: locked,latest,lowest
  --table     run nothing, print the table of the results of the last commit
Results: build/matrix/COMMIT/. Remove a file there to have its cell run again.
TEXT
}

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
all=(3.10 3.11 3.12 3.13 3.14)
pythons=() versions=locked,latest,lowest only_table=''
while [[ $# -gt 0 ]]; do
    case $1 in
        --python) pythons+=("${2:?--python: expected a version such as 3.12}"); shift 2 ;;
        --versions) versions=${2:?--versions: expected some of locked,latest,lowest}; shift 2 ;;
        --table) only_table=yes; shift ;;
        -h | --help) usage; exit 0 ;;
        *) break ;;
    esac
done
for version in ${pythons[@]+"${pythons[@]}"}; do
    [[ " ${all[*]} " == *" $version "* ]] || { echo "--python: got $version, expected one of ${all[*]}" >&2; exit 2; }
done
IFS=, read -ra versions <<<"$versions"
for choice in "${versions[@]}"; do
    [[ $choice =~ ^(locked|latest|lowest)$ ]] || { echo "--versions: got $choice, expected locked, latest, lowest" >&2; exit 2; }
done
[[ ${#pythons[@]} -gt 0 ]] || pythons=("${all[@]}")
commit=$(git rev-parse --short=12 HEAD)
results=$root/build/matrix/$commit
folder=''
trap '[[ -z $folder ]] || rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

# A Python of this version that can make environments: from the PATH, or the newest of pyenv's.
find_python() {
    local candidate
    for candidate in "python$1" $(printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python | sort -rV); do
        if "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}

# run_cell PYTHON_VERSION CHOICE PYTEST_ARGUMENTS... : leaves a result, one line, in $results/PYTHON-CHOICE.
run_cell() {
    local cell=$1-$2 python choice=$2 code=0 begin=$SECONDS closing minutes
    python=$(find_python "$1")
    if [[ -z $python ]]; then
        echo "$cell: there is no Python $1 here"
        return
    fi
    [[ ! -e $results/$cell ]] || { echo "$cell: $(<"$results/$cell") (kept)"; return; }
    shift 2
    folder=$(mktemp -d "${TMPDIR:-/tmp}/iart-matrix.XXXXXX")
    local free=$(($(df -Pk "$folder" | awk 'NR == 2 { print $4 }') / 1048576))
    ((free >= 12)) || { echo "$cell: $free GB are free in ${TMPDIR:-/tmp}, expected 12 GB; another folder:  TMPDIR=/path" >&2; exit 1; }
    git clone --quiet --shared "$root" "$folder/iart"
    git -C "$folder/iart" checkout --quiet --detach "$commit"
    [[ ! -d $root/../shared ]] || ln -s "$(cd "$root/../shared" && pwd)" "$folder/shared"
    echo "$cell: running; its output goes to $results/$cell.log"
    env -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV -u CONDA_PREFIX PYTHON="$python" \
        bash "$folder/iart/scripts/test.sh" "--$choice" "$@" >"$results/$cell.log" 2>&1 </dev/null || code=$?
    [[ $code -lt 129 ]] || exit "$code"  # stopped by a signal: no result
    minutes=$(awk -v seconds=$((SECONDS - begin)) 'BEGIN { printf "%.1f", seconds / 60 }')
    closing=$(grep -oE '[0-9]+ (passed|failed|error).* in [0-9.]+s' "$results/$cell.log" | tail -n 1 | sed 's/ in [0-9.]*s.*//') || true
    "$folder/iart/.venv/bin/python" -m pip freeze --exclude-editable 2>/dev/null >"$results/$cell.versions" || true
    echo "${closing:-$(grep -m 1 '^setup: failed' "$results/$cell.log" || echo "ended with exit status $code")}, $minutes min" >"$results/$cell"
    [[ $code -eq 0 ]] || touch "$results/$cell.failed"
    rm -rf "$folder"
    folder=''
    echo "$cell: $(<"$results/$cell")"
}

print_table() {
    local version choice
    printf '\n%s, %s\n\n| Python |' "$commit" "$(date -u +%F)"
    printf ' %s |' "${versions[@]}"
    printf '\n|---|'
    printf '%0.s---|' "${versions[@]}"
    for version in "${all[@]}"; do
        printf '\n| %s |' "$version"
        for choice in "${versions[@]}"; do
            if [[ -e $results/$version-$choice ]]; then
                printf ' %s |' "$(<"$results/$version-$choice")"
            elif [[ -z $(find_python "$version") ]]; then
                printf ' no such Python here |'
            else
                printf ' not run |'
            fi
        done
    done
    printf '\n'
}

mkdir -p "$results"
[[ -z $(git status --porcelain --untracked-files=no) ]] || echo 'note: changes that are not committed are not tested'
if [[ -z $only_table ]]; then
    for choice in "${versions[@]}"; do
        for version in "${pythons[@]}"; do
            run_cell "$version" "$choice" "$@"
        done
    done
fi
print_table
! compgen -G "$results/*.failed" >/dev/null
