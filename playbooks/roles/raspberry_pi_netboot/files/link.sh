#!/bin/sh
# link.sh SOURCE FOLDER: FOLDER gets a link to each entry of SOURCE, and loses those that SOURCE no longer has.
# A board's own cmdline.txt and config.txt are left alone. Each change is printed.
set -eu
source=$1
folder=$2
for entry in "$source"/*; do
    name=${entry##*/}
    case $name in cmdline.txt | config.txt) continue ;; esac
    [ -e "$entry" ] || continue
    if [ "$(readlink "$folder/$name" || true)" != "$entry" ]; then
        ln -sfn "$entry" "$folder/$name"
        echo "linked $name"
    fi
done
for entry in "$folder"/*; do
    name=${entry##*/}
    case $name in cmdline.txt | config.txt) continue ;; esac
    if [ -L "$entry" ] && [ ! -e "$source/$name" ]; then
        rm "$entry"
        echo "removed $name"
    fi
done
