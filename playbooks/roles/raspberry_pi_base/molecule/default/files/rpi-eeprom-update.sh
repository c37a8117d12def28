#!/bin/sh
# As the real one: 1 where there is a newer boot loader, -a has it written at the next start.
echo "rpi-eeprom-update $*" >>/var/lib/eeprom.log
case ${1:-} in
-a) cp /dev/null /boot/firmware/recovery.bin && echo "Please reboot to apply the update." ;;
*) if [ -e /boot/firmware/recovery.000 ]; then echo "BOOTLOADER: up to date"; else echo "*** UPDATE AVAILABLE ***"; exit 1; fi ;;
esac
