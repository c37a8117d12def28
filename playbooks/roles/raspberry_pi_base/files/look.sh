#!/bin/sh
# look.sh [ROOT]: says as JSON what this machine is and has. Changes nothing.
root=${1:-}
has() {
    if command -v "$1" >/dev/null 2>&1; then echo true; else echo false; fi
}
is() {
    if [ -e "$root$1" ]; then echo true; else echo false; fi
}
PATH=$PATH:/usr/sbin:/sbin
model=$({ tr -d '\000"\\' <"$root/proc/device-tree/model"; } 2>/dev/null)
# Ubuntu from 25.10 on keeps two sets of boot files beside config.txt, and starts from current/.
folder=
cmdline=
for one in /boot/firmware/current /boot/firmware /boot; do
    if [ -z "$cmdline" ] && [ -e "$root$one/cmdline.txt" ]; then
        cmdline=$one/cmdline.txt
        folder=${one%/current}
    fi
done
cat <<END
{"model": "$model", "boot_folder": "$folder", "cmdline": "$cmdline",
 "has_config": $(is "${folder:-/nowhere}/config.txt"),
 "has_eeprom_update": $(has rpi-eeprom-update), "has_vcgencmd": $(has vcgencmd), "has_watchdog": $(is /dev/watchdog),
 "has_dphys_swapfile": $(has dphys-swapfile), "has_rpi_swap": $(is /etc/rpi/swap.conf),
 "has_zram_settings": $(is /etc/systemd/zram-generator.conf), "has_fstab": $(is /etc/fstab),
 "has_k3s": $(is /usr/local/bin/k3s)}
END
