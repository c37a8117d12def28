#!/bin/sh
# As the real one: 1 where there is a newer boot loader, -a has it written at the next start.
echo "rpi-eeprom-update $*" >>/var/lib/eeprom.log
if [ "${1:-}" = -a ]; then
    cp /dev/null /boot/firmware/recovery.bin
    echo "Please reboot to apply the update."
elif [ -e /boot/firmware/recovery.000 ]; then
    echo "BOOTLOADER: up to date"
else
    echo "*** UPDATE AVAILABLE ***"
    echo "   CURRENT: Thu  8 May 15:21:35 UTC 2025 (1746717695)"
    echo "    LATEST: Wed 23 Sep 12:02:14 UTC 2026 (1790164934)"
    exit 1
fi
