"""What a machine needs to run from its memory: counted and written here, booted in test_from_ram.py."""

import ast
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from im_client.flash import ram_system, remote_receiver
from im_client.flash.ram_scripts import OWN, RamFacts, init_script, network_script, ram_files
from im_client.flash.ram_system import Refused, enough, held_by_volumes, libraries, wire

MARK = "im flash: unfinished"
ADDRESSES: list[dict[str, Any]] = [
    {"family": "inet", "local": "10.0.2.15", "prefixlen": 24, "broadcast": "10.0.2.255", "scope": "global"},
    {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
]
ROUTES: list[dict[str, Any]] = [
    {"dst": "default", "gateway": "10.0.2.2", "protocol": "dhcp", "prefsrc": "10.0.2.15", "metric": 100, "flags": []},
    {"dst": "10.0.2.0/24", "protocol": "kernel", "scope": "link", "flags": []},
    {"dst": "10.0.2.2", "protocol": "dhcp", "scope": "link", "flags": []},
    {"dst": "default", "gateway": "fe80::2", "protocol": "ra", "metric": 1024, "flags": ["onlink"]},
    {"dst": "10.9.0.0/16", "type": "blackhole", "protocol": "static"},
]
FACTS = RamFacts(
    "eth0", ADDRESSES, ROUTES, 2222, ("ssh_host_ed25519_key",), "ana", "/usr/sbin/sshd", "/usr/bin/python3"
)


def test_the_libraries_of_programs_are_those_that_ldd_names() -> None:
    text = """/usr/bin/dash:
\tlinux-vdso.so.1 (0x0000ffff9a4b0000)
\tlibc.so.6 => /lib/aarch64-linux-gnu/libc.so.6 (0x0000ffff9a250000)
\t/lib/ld-linux-aarch64.so.1 (0x0000ffff9a473000)
/usr/bin/static:
\tnot a dynamic executable
/usr/sbin/sshd:
\tlibcrypt.so.1 => /lib/aarch64-linux-gnu/libcrypt.so.1 (0x00)
"""
    folder = "/lib/aarch64-linux-gnu"
    assert libraries(text) == {f"{folder}/libc.so.6", f"{folder}/libcrypt.so.1", "/lib/ld-linux-aarch64.so.1"}
    with pytest.raises(Refused, match=r"libpam\.so\.0 is not found"):
        libraries("\tlibpam.so.0 => not found\n")


@pytest.mark.parametrize(
    ("free_mib", "why"),
    [(200, ""), (196, ""), (195, "its memory is too small: 196 MiB are needed, 195 MiB are free")],
)
def test_memory_is_counted_before_anything_is_made(free_mib: int, why: str) -> None:
    assert enough(f"MemTotal: 9999999 kB\nMemAvailable:  {free_mib * 1024} kB\n", 100 << 20) == why


def test_memory_that_is_not_known_is_not_enough() -> None:
    assert "0 MiB are free" in enough("", 1)


def test_a_network_card_gets_what_it_had_gateways_last() -> None:
    assert network_script("eth0", ADDRESSES, ROUTES) == [
        "ip link set dev eth0 up",
        "ip address replace 10.0.2.15/24 dev eth0 broadcast 10.0.2.255",
        "ip address replace fe80::1/64 dev eth0 nodad",
        "ip route replace 10.0.2.2 dev eth0",
        "ip route replace default via 10.0.2.2 dev eth0 src 10.0.2.15 metric 100",
        "ip -6 route replace default via fe80::2 dev eth0 metric 1024 onlink",
    ]


def test_the_other_end_of_a_line_and_a_gateway_of_another_family_are_kept() -> None:
    line = [{"family": "inet", "local": "10.1.0.1", "address": "10.1.0.2", "prefixlen": 32}]
    way = [{"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}}]
    assert network_script("eth0", line, way)[1:] == [
        "ip address replace 10.1.0.1 peer 10.1.0.2/32 dev eth0",
        "ip route replace default via inet6 fe80::1 dev eth0",
    ]


def test_whatever_a_machine_calls_its_things_is_one_word_for_the_shell() -> None:
    odd = replace(FACTS, sshd="/opt/a b/sshd", card="e'; reboot; '")
    script = init_script(odd, disk="/dev/a b", mark=MARK)
    assert "'/opt/a b/sshd' -D" in script
    assert "'/dev/a b'" in script
    for text in (script, *ram_files(odd, token="t", disk="/dev/a b", mark=MARK).values()):
        if text.startswith("#!/bin/sh"):
            assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    words = subprocess.run(
        ["sh", "-c", 'ip() { printf "%s|" "$@"; }\n' + network_script(odd.card, [], [])[0]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert words.stdout == "link|set|dev|e'; reboot; '|up|"


def test_who_comes_in_is_root_under_the_same_name_and_by_key_alone() -> None:
    files = ram_files(FACTS, token="t0", disk="/dev/mmcblk0", mark=MARK)
    names = [line.split(":") for line in files["/etc/passwd"].splitlines()]
    assert [(name[0], name[2]) for name in names] == [("root", "0"), ("ana", "0"), ("sshd", "74")]
    config = files[f"{OWN}/sshd_config"].splitlines()
    assert {"Port 2222", "AllowUsers ana", "PasswordAuthentication no", "UsePAM no"} <= set(config)
    assert f"HostKey {OWN}/ssh_host_ed25519_key" in config
    assert files[f"{OWN}/token"] == "t0"


def test_root_is_one_account() -> None:
    files = ram_files(replace(FACTS, user="root"), token="t0", disk="/dev/mmcblk0", mark=MARK)
    assert files["/etc/passwd"].count("root:*:0:") == 1


def test_what_the_receiver_imports_is_taken_along() -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(Path(remote_receiver.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    also = ast.parse(Path(ram_system.__file__).read_text(encoding="utf-8"))
    own = {name.name for node in ast.walk(also) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= {module.__name__ for module in ram_system.MODULES} | own | {"__future__", "typing"}
    assert ram_system.OWN == OWN


def test_it_needs_no_newer_python_than_it_says() -> None:
    ast.parse(Path(ram_system.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))


def test_a_machine_that_does_not_say_how_it_is_reached_is_refused() -> None:
    with pytest.raises(Refused, match="how it is reached"):
        wire("")


def test_no_volume_stands_on_a_disk_that_is_not_there() -> None:
    assert not held_by_volumes("/dev/nothing")
