#!/bin/sh
# check.sh FOLDER true|false ARCHITECTURE...: says what the release of K3s in FOLDER lacks for these architectures: a program,
# with `true` the images too, or a sum that is right. Says nothing where all is there. Reads only.
set -u
folder=$1 with_images=$2
shift 2
cd "$folder" 2>/dev/null || { echo "$folder: there is no such folder"; exit 0; }
for architecture in "$@"; do
    case $architecture in
    amd64) program=k3s ;;
    arm64) program=k3s-arm64 ;;
    arm) program=k3s-armhf ;;
    *) echo "K3s is not made for $architecture"; continue ;;
    esac
    list=sha256sum-$architecture.txt
    [ -e "$list" ] || { echo "$folder/$list is missing"; continue; }
    wanted=$program
    [ "$with_images" = true ] && wanted="$wanted k3s-airgap-images-$architecture.tar.zst"
    for name in $wanted; do
        sum=$(awk -v name="$name" '$2 == name || $2 == "*" name {print $1}' "$list")
        if [ ! -e "$name" ]; then
            echo "$folder/$name is missing"
        elif [ -z "$sum" ]; then
            echo "$folder/$list has no sum of $name"
        elif [ "$(sha256sum "$name" | cut -d ' ' -f 1)" != "$sum" ]; then
            echo "$folder/$name: the sum is not that of $list"
        fi
    done
done
exit 0
