#!/bin/sh
# lock.sh PYTHON: compile requirements/*.in by uv, out of a virtual environment that is thrown away.
# One file serves Python 3.11 to 3.13 (--universal). No index is named: the machine's own setting holds.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check --quiet install uv
cd requirements
for name in run server clouds dev build controlplane im-server im-client sushy-tools; do
    with=""
    [ "$name" = server ] && with="--constraint run.txt"  # they are installed together
    [ "$name" = clouds ] && with="--constraint run.txt --constraint server.txt"
    # shellcheck disable=SC2086
    "$work/venv/bin/uv" --quiet pip compile --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header $with --output-file "$name.txt" "$name.in"
    echo "requirements/$name.txt"
done
