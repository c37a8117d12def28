#!/bin/sh
# Print the newest Python from 3.11 to 3.13 that can make virtual environments, else any newer one.
# On Debian and Ubuntu, as root, installs what is missing; otherwise says what to install and ends with 2.
# Candidates are run, not only looked up: a pyenv shim exists for versions that are not there.
set -eu

fits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for name in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        if fits "$name"; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

if find_python; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    echo "installing Python from the distribution" >&2
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends python3 python3-venv >&2
    if find_python; then exit 0; fi
    for version in 3.13 3.12 3.11; do  # a distribution whose own python3 is older
        apt-get install -y -qq --no-install-recommends "python$version" "python$version-venv" >&2 || continue
        if find_python; then exit 0; fi
    done
fi

echo "im-clues needs Python 3.11 or newer with its venv module, and found none." >&2
echo "Debian, Ubuntu: sudo apt-get install python3 python3-venv    (or: make PYTHON=/path/to/python3)" >&2
exit 2
