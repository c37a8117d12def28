#!/bin/sh
# Says as JSON what this machine is and has. Changes nothing.
has() {
    if command -v "$1" >/dev/null 2>&1; then echo true; else echo false; fi
}
is() {
    if [ -e "$1" ]; then echo true; else echo false; fi
}
PATH=$PATH:/usr/sbin:/sbin
model=$({ tr -d '\000"\\' </proc/device-tree/model; } 2>/dev/null)
folder=
for one in /boot/firmware /boot; do
    if [ -z "$folder" ] && [ -e $one/cmdline.txt ]; then folder=$one; fi
done
cat <<END
{"model": "$model", "boot_folder": "$folder", "has_config": $(is "${folder:-/nowhere}/config.txt"),
 "has_eeprom_update": $(has rpi-eeprom-update), "has_vcgencmd": $(has vcgencmd), "has_watchdog": $(is /dev/watchdog),
 "has_dphys_swapfile": $(has dphys-swapfile), "has_rpi_swap": $(is /etc/rpi/swap.conf),
 "has_zram_settings": $(is /etc/systemd/zram-generator.conf), "has_fstab": $(is /etc/fstab),
 "has_k3s": $(is /usr/local/bin/k3s)}
END
