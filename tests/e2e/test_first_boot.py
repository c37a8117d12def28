"""firstrun.sh and the first-boot unit, run by a Debian that boots: the account, its keys, the names, the commands."""

import dataclasses
from pathlib import Path

import pytest

from im_client.flash.customise import rootfiles, rpios
from im_client.flash.node import decode_node
from tests.e2e.machine import Machine, machine

pytestmark = pytest.mark.machines
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEmqnULRDmx5BYmhfrqrfOxFTR2Fp1MMXNfWBvLSbmQG it's ada's"
HASH = "$6$Yb1/xXvPvD2w$" + "a" * 86
NODE = decode_node(
    {
        "hostname": "pi1",
        "user": "ada",
        "password_hash": HASH,
        "authorized_keys": [KEY],
        "timezone": "Europe/Madrid",
        "commands": ["printf '%s' \"it's $((40 + 2))\" >/root/said", "exit 3", "echo after >/root/after"],
    },
    "test",
)


def test_a_system_becomes_what_the_node_says(tmp_path: Path) -> None:
    with machine(tmp_path, "first") as there:
        check_firstrun(there)
        check_rename(there)
        check_first_boot(there)


def check_firstrun(there: Machine) -> None:
    options = " ".join(rpios.firstrun_options("/boot/firmware"))
    there.write("/boot/firmware/firstrun.sh", rpios.firstrun(NODE, HASH, "/boot/firmware"))
    there.write("/boot/firmware/cmdline.txt", f"console=tty1 {options} rootwait\n")
    there.write("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n")
    # twice: as after a loss of power
    there("cp /boot/firmware/firstrun.sh /root/again; sh /boot/firmware/firstrun.sh; sh /root/again")
    assert there("cat /etc/hostname /etc/hosts") == "pi1\n127.0.0.1\tlocalhost\n127.0.1.1\tpi1\n"
    assert there("getent shadow ada").split(":")[1] == HASH
    assert there("id -u ada; stat -c %a:%U ~ada/.ssh ~ada/.ssh/authorized_keys") == "1000\n700:ada\n600:ada\n"
    assert there("cat ~ada/.ssh/authorized_keys") == f"{KEY}\n"
    assert "sudo" in there("id -nG ada").split()
    assert there("runuser -u ada -- sudo -n id -u") == "0\n"
    assert there("readlink /etc/localtime; cat /etc/timezone") == "/usr/share/zoneinfo/Europe/Madrid\nEurope/Madrid\n"
    assert there("cat /boot/firmware/cmdline.txt") == "console=tty1 rootwait\n"
    assert there("ls /boot/firmware") == "cmdline.txt\n"


def check_rename(there: Machine) -> None:
    """The account of number 1000 gets the name of the next node, as `pi` of an older image does."""
    script = rpios.firstrun(dataclasses.replace(NODE, user="bob"), "", "/boot/firmware")
    there("sh", stdin=script)
    assert there("getent passwd 1000").split(":")[0::5] == ["bob", "/home/bob"]
    assert there("getent shadow bob").split(":")[1] == "!"
    assert there("runuser -u bob -- sudo -n id -u") == "0\n"
    assert there("stat -c %U ~bob/.ssh/authorized_keys") == "bob\n"


def check_first_boot(there: Machine) -> None:
    there.write(rootfiles.FIRST_BOOT, rootfiles.first_boot_script(NODE, by_cloudinit=False), "700")
    there.write(rootfiles.UNIT, rootfiles.first_boot_unit())
    there("systemctl daemon-reload; systemctl enable im-first-boot.service")
    # one of the commands fails: that is said, and the others are run
    assert there.tell("systemctl start im-first-boot.service").status != 0
    assert there("cat /root/said /root/after") == "it's 42after\n"
    assert there.tell(f"ls {rootfiles.FIRST_BOOT} {rootfiles.UNIT}").stdout == ""
    wanted = "/etc/systemd/system/multi-user.target.wants/im-first-boot.service"
    assert there.tell(f"ls {wanted}").stdout == ""
