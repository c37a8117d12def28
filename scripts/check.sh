#!/bin/sh
# check.sh BIN: all that is checked without running the program. Goes on after a failure, so that one run shows all.
set -u
bin=$1
failed=""
step() {
    name=$1
    shift
    printf '== %s\n' "$name"
    "$@" || failed="$failed $name"
}
PATH=$(cd "$bin" && pwd):$PATH  # ansible-lint starts ansible-playbook by name
export PATH ANSIBLE_NOCOLOR=1 NO_COLOR=1

# ansible-lint takes as long as all others together: beside them, told last
said=$(mktemp)
trap 'rm -f "$said"' EXIT
ansible-lint --offline --strict >"$said" 2>&1 &
ansible=$!

step ruff ruff check .
step ruff-format ruff format --check .
step mypy mypy
step import-linter lint-imports
step yamllint yamllint --strict .
printf '== ansible-lint\n'
wait "$ansible" || failed="$failed ansible-lint"
cat "$said"

if [ -n "$failed" ]; then
    printf 'failed:%s\n' "$failed"
    exit 1
fi
printf 'all checks passed\n'
