#!/bin/sh
# log-in-memory load|save: keeps /var/log in memory, so that a card is not worn by what is written to it all the time.
# `load` lays a memory disk over /var/log and fills it; what was there is seen in /var/log.disk from then on. `save`
# brings that up to date, at shutdown and once a day. Where the logs do not fit they stay on the disk.
# Written by the role raspberry_pi_base. Settings: /etc/log-in-memory.conf.
set -eu
size_mb=64
on_disk=
. /etc/log-in-memory.conf
disk=/var/log.disk

without= # folders that stay on the disk, as rsync wants them
for name in $on_disk; do
    without="$without --exclude=/$name"
done

case ${1:-} in
load)
    if mountpoint -q $disk; then exit 0; fi
    # Half of it for what is there, half for what comes.
    used_kb=$(rsync -a --dry-run --stats $without /var/log/ /nonexistent/ |
        awk '/^Total file size/ {gsub(/[^0-9]/, "", $4); print int($4 / 1024)}')
    if [ "$used_kb" -gt $((size_mb * 512)) ]; then
        echo "/var/log holds $used_kb KB, more than half of $size_mb MB: it stays on the disk" >&2
        exit 1
    fi
    mkdir -p $disk
    mount --bind /var/log $disk
    mount --make-private $disk
    mount -t tmpfs -o "size=${size_mb}m,mode=0755,nosuid,nodev,noexec" log-in-memory /var/log
    rsync -aX $without $disk/ /var/log/
    for name in $on_disk; do
        mkdir -p "$disk/$name" "/var/log/$name"
        mount --bind "$disk/$name" "/var/log/$name"
    done
    ;;
save)
    mountpoint -q $disk || exit 0
    # In place and only what changed: fewer writes, which is what all this is for.
    rsync -aX --delete --inplace --no-whole-file $without /var/log/ $disk/
    ;;
*)
    echo "usage: log-in-memory load|save" >&2
    exit 2
    ;;
esac
