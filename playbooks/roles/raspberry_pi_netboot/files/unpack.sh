#!/bin/sh
# unpack.sh IMAGE FOLDER: FOLDER becomes the root of one board, from an image file that `im flash --node` made for it.
# The boot partition's files lie in boot/firmware, as if it were mounted there. It is done once: what the board writes
# stays. "unpacked" is printed where it was done. Needs root, mtools and util-linux.
set -eu
image=$1
folder=$2
stamp=$folder/etc/raspberry_pi_netboot.image
unfinished=$folder/.raspberry_pi_netboot.unfinished
export MTOOLSRC=/dev/null MTOOLS_SKIP_CHECK=1 LC_ALL=C.UTF-8

refuse() {
    echo "$1" >&2
    exit 3
}

# Root of the board writes there; the server's root must not be led out of it by a link.
check_links() {
    real=$(realpath "$folder")
    for path in etc/fstab etc/raspberry_pi_netboot.image var/lib/cloud/seed/nocloud boot/firmware/cmdline.txt \
        boot/firmware/config.txt boot/firmware/current/cmdline.txt; do
        [ "$(realpath -m "$real/$path")" = "$real/$path" ] || refuse "$folder/$path is, or is below, a symbolic link"
    done
}

# A name space of mounts of its own: whatever ends this, nothing stays mounted.
if [ -z "${RASPBERRY_PI_NETBOOT_UNPACKS:-}" ]; then
    exec env RASPBERRY_PI_NETBOOT_UNPACKS=1 unshare --mount --propagation private sh "$0" "$@"
fi

if [ -e "$folder" ] && [ ! -e "$unfinished" ]; then check_links; fi
if [ ! -e "$image" ]; then
    [ ! -e "$stamp" ] || exit 0 # it was needed once
    refuse "there is no image $image: im flash IMAGE $image --node NAME --inventory DIR makes it"
fi

boot_at= root_at= root_bytes=
parts=$(partx --show --noheadings --bytes --output START,SIZE "$image") || refuse "$image has no partitions"
while read -r start bytes; do
    at=$((start * 512))
    case $(blkid --probe --offset "$at" --size "$bytes" --match-tag TYPE --output value "$image" || true) in
    vfat) [ -n "$boot_at" ] || boot_at=$at ;;
    ext4) [ -n "$root_at" ] || { root_at=$at && root_bytes=$bytes; } ;;
    esac
done <<END
$parts
END
[ -n "$boot_at" ] && [ -n "$root_at" ] || refuse "$image has not the partitions of a Raspberry Pi: FAT and ext4"
disk=$image@@$boot_at

mark=$(mtype -i "$disk" ::/im-clues.json 2>/dev/null) ||
    refuse "$image is no board's own: im flash IMAGE $image --node NAME --inventory DIR makes it so"
mark=$(printf %s "$mark" | sha256sum)
if [ -e "$stamp" ]; then
    [ "$(cat "$stamp")" != "$mark" ] || exit 0
    refuse "$folder is of another image than $image now is; empty it to make it anew, without what the board wrote"
fi
for name in custom.toml firstrun.sh; do
    ! mdir -b -i "$disk" "::/$name" >/dev/null 2>&1 ||
        refuse "$image has $name, which only a board that boots from a card runs; take an image with cloud-init"
done
if [ -e "$unfinished" ]; then
    find "$folder" -mindepth 1 -delete
elif [ -d "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
    refuse "$folder is not empty, and not from an image; empty it"
fi

mkdir -p "$folder"
: >"$unfinished"
from=$(mktemp -d)
trap 'umount "$from" 2>/dev/null || true; rmdir "$from"' EXIT
mount -t ext4 -o "ro,loop,offset=$root_at,sizelimit=$root_bytes" "$image" "$from"
cp -a "$from/." "$folder/"
check_links
[ ! -d "$folder/lost+found" ] || rmdir "$folder/lost+found"

boot=$folder/boot/firmware
mkdir -p "$boot"
mcopy -s -n -i "$disk" "::/*" "$boot/"
chown -R root:root "$boot"
chmod -R u=rwX,go=rX "$boot"
# What tells the system about itself may be secret. It is not served by TFTP, either: see link.sh.
seed=$folder/var/lib/cloud/seed/nocloud
for name in user-data meta-data network-config vendor-data userconf.txt wpa_supplicant.conf; do
    [ ! -e "$boot/$name" ] || chmod 600 "$boot/$name"
done
# cloud-init of Ubuntu looks for a partition with the name system-boot; a folder of this name any of them reads.
if [ -e "$folder/usr/bin/cloud-init" ] && [ -e "$boot/user-data" ] && [ ! -e "$seed/user-data" ]; then
    mkdir -p "$seed"
    for name in user-data meta-data network-config vendor-data; do
        [ ! -e "$boot/$name" ] || cp -p "$boot/$name" "$seed/$name"
    done
fi
# The partitions of the card are not there.
if [ -e "$folder/etc/fstab" ]; then
    sed -i -E '/^[^#[:space:]]+[[:space:]]+(\/|\/boot|\/boot\/firmware)[[:space:]]/d
        /^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]/d' "$folder/etc/fstab"
fi
sync -f "$folder"
printf '%s\n' "$mark" >"$stamp"
rm "$unfinished"
echo unpacked
