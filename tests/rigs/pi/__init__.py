"""A Raspberry Pi without a Raspberry Pi: an arm64 image like its own, and a board that boots from a card.

The image is laid out as Raspberry Pi OS is (MBR, vfat `bootfs` with an empty seed of cloud-init, ext4 `rootfs`), made
of Debian's packages. The board is QEMU's, emulated: it reads kernel, RAM disk and kernel options from the card at every
power on and reboot, as the firmware does, names itself a Raspberry Pi 4, and has a network card with a Pi's MAC on a
wire with a DHCP server. What it has not: the VideoCore, its EEPROM and `vcgencmd`, the GPIO, wifi, PoE.
"""
