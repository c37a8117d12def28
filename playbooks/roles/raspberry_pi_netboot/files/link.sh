#!/bin/sh
# link.sh SOURCE FOLDER [NAME ...]: FOLDER gets a link to each entry of SOURCE, and loses those that SOURCE no longer has.
# NAMEs are left alone: the board's own cmdline.txt and config.txt. What the boot loader does not need and may be secret
# is not linked: everybody can fetch by TFTP. Each change is printed.
set -eu
source=$1
folder=$2
shift 2
kept=" $* "

is_private() {
    case $1 in
    user-data | meta-data | network-config | vendor-data | custom.toml | firstrun.sh | userconf* | sysconf.txt | \
        wpa_supplicant.conf | ssh | ssh.txt | im-clues.json) true ;;
    *) false ;;
    esac
}

for entry in "$source"/*; do
    name=${entry##*/}
    case $kept in *" $name "*) continue ;; esac
    [ -e "$entry" ] && ! is_private "$name" || continue
    if [ "$(readlink "$folder/$name" || true)" != "$entry" ]; then
        ln -sfn "$entry" "$folder/$name"
        echo "linked $name"
    fi
done
for entry in "$folder"/*; do
    name=${entry##*/}
    [ -L "$entry" ] || continue
    case $kept in *" $name "*) ;; *) [ ! -e "$source/$name" ] || is_private "$name" || continue ;; esac
    rm "$entry"
    echo "removed $name"
done
