#!/bin/sh
# install.sh FOLDER STAGING PACKAGE WHEELS: a virtual environment with the package and exactly what requirements name.
# WHEELS is an archive of wheels to take them from, or empty for the package index of this machine. Says on stdout that
# it installed something; does nothing where these files are installed already.
set -eu
folder=$1 staging=$2 package=$3 wheels=$4
mark=$folder/.installed

wanted=$(sha256sum "$staging/run.txt" "$staging/build.txt" "$package")
if [ -f "$mark" ] && [ "$(cat "$mark")" = "$wanted" ]; then
    exit 0
fi
rm -f "$mark"
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"

if [ -n "$wheels" ]; then
    mkdir -p "$staging/wheels"
    tar --extract --directory="$staging/wheels" --file="$wheels"
    set -- --no-index --find-links "$staging/wheels"
else
    set --
fi
set -- "$folder/bin/python" -m pip --disable-pip-version-check --quiet install --no-compile "$@"
"$@" --require-hashes --no-deps -r "$staging/run.txt" >&2
case $package in
*.whl) ;;
*) "$@" --require-hashes --no-deps -r "$staging/build.txt" >&2 ;;
esac
"$@" --no-deps --no-build-isolation --force-reinstall "$package" >&2
rm -rf "$staging/wheels"
# Bytecode takes as long to make as all the rest, and the first start does without: beside it, when nobody else computes.
systemd-run --quiet --collect --nice=19 --property=CPUSchedulingPolicy=idle \
    "$folder/bin/python" -m compileall -q "$folder/lib" >&2
printf '%s\n' "$wanted" >"$mark"
echo "installed $package"
