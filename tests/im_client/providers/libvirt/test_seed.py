"""The seed: a FAT file system that holds what cloud-init reads, and gives its secret away again."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from im_client.plan.model import Spec, SpecVolume
from im_client.providers.base import MachineRequest
from im_client.providers.libvirt.fat import SIZE_BYTES, fat_image
from im_client.providers.libvirt.marks import Card
from im_client.providers.libvirt.seed import has_read_seed, seed_image, without_secret
from im_client.remote.hostkeys import new_host_key
from infracore.errors import InvalidUsage

CARDS = (Card("52:54:00:00:00:01", "network", "a", "10.0.0.5"), Card("52:54:00:00:00:02", "network", "b"))


def read_fat(image: bytes) -> dict[str, bytes]:
    """Read the files of a FAT12 file system's root, as a machine would: by the boot sector's numbers."""
    sector, cluster, reserved, fats, entries, _, _, per_fat = struct.unpack_from("<HBHBHHBH", image, 11)
    root = (reserved + fats * per_fat) * sector
    first_data = root + entries * 32
    table = image[reserved * sector :]
    assert table[: per_fat * sector] == image[(reserved + per_fat) * sector :][: per_fat * sector]
    found, name = {}, b""
    for at in range(root, first_data, 32):
        entry = image[at : at + 32]
        if entry[0] == 0:
            break
        if entry[11] == 0x0F:
            name = entry[1:11] + entry[14:26] + entry[28:32] + name
            continue
        if entry[11] & 0x08:
            found["LABEL"] = entry[:11].rstrip()
            continue
        number, size = struct.unpack_from("<HI", entry, 26)
        data = b""
        while 2 <= number < 0xFF8:
            start = first_data + (number - 2) * cluster * sector
            data += image[start : start + cluster * sector]
            pair = struct.unpack_from("<H", table, number * 3 // 2)[0]
            number = pair >> 4 if number % 2 else pair & 0xFFF
        found[name.decode("utf-16-le").partition("\0")[0].rstrip("￿")] = data[:size]
        name = b""
    return found


@given(
    st.dictionaries(
        st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=40), st.binary(max_size=3000), max_size=8
    )
)
def test_every_file_is_read_again(files: dict[str, bytes]) -> None:
    image = fat_image("cidata", files)
    assert len(image) == SIZE_BYTES
    assert read_fat(image) == {"LABEL": b"CIDATA", **files}


def test_files_of_any_size_are_read_again_and_too_much_is_refused() -> None:
    for size in (0, 1, 511, 512, 513, 1_400_000):
        files = {"user-data": b"x" * size, "z": b"end"}
        assert read_fat(fat_image("cidata", files)) == {"LABEL": b"CIDATA", **files}
    with pytest.raises(InvalidUsage, match="has room for"):
        fat_image("cidata", {"user-data": b"x" * 1_500_000})


def _request(user_data: str = "") -> MachineRequest:
    volumes = (SpecVolume("a", 1, mount_path="/data"), SpecVolume("b", 1), SpecVolume("c", 1, "/more", fs_type="xfs"))
    return MachineRequest("inf", "web-1", "tok", Spec(volumes=volumes), ("ssh-ed25519 KEY",), user_data=user_data)


def test_the_seed_names_the_machine_its_keys_its_cards_and_its_disks() -> None:
    key = new_host_key()
    files = read_fat(seed_image(_request(), "debian", key, CARDS))
    assert json.loads(files["meta-data"]) == {"instance-id": "tok", "local-hostname": "web-1"}
    config = json.loads(files["user-data"].partition(b"\n")[2])
    assert config["users"][1]["ssh_authorized_keys"] == ["ssh-ed25519 KEY"]
    assert key.private is not None
    assert config["ssh_keys"] == {"ed25519_private": key.private.reveal(), "ed25519_public": key.public}
    assert config["mounts"] == [
        ["/dev/disk/by-id/virtio-data-0", "/data", "ext4", "defaults,nofail"],
        ["/dev/disk/by-id/virtio-data-2", "/more", "xfs", "defaults,nofail"],
    ]
    assert [one["overwrite"] for one in config["fs_setup"]] == [False, False]
    cards = json.loads(files["network-config"])["ethernets"]
    assert cards["card0"] == {"match": {"macaddress": CARDS[0].mac}, "dhcp4": True}
    assert cards["card1"]["dhcp4-overrides"] == {"use-routes": False}


@pytest.mark.parametrize("user_data", ["", "#cloud-config\n{packages: [é]}\n", "#!/bin/sh\necho a\n"])
def test_the_secret_can_be_taken_out_and_all_else_stays(user_data: str) -> None:
    key = new_host_key()
    assert key.private is not None
    image = seed_image(_request(user_data), "debian", key, CARDS)
    body = key.private.reveal().splitlines()[1].encode()
    assert body in image
    blank = without_secret(image)
    assert body not in blank
    assert b"PRIVATE KEY" not in blank
    assert len(blank) == len(image)
    before, after = read_fat(image), read_fat(blank)
    assert before.keys() == after.keys()
    assert before["meta-data"] == after["meta-data"]
    if not user_data:
        kept = json.loads(after["user-data"].partition(b"\n")[2])
        assert kept["ssh_keys"]["ed25519_private"].strip() == ""
        assert kept["ssh_keys"]["ed25519_public"] == key.public


@pytest.mark.parametrize(
    ("console", "is_past"),
    [
        ("", False),
        ("cloud-init[413]: Cloud-init v. 22.4.2 running 'init-local' at Mon", False),
        ("cloud-init[413]: Cloud-init v. 22.4.2 running 'init' at Mon", False),
        ("cloud-init[479]: Cloud-init v. 22.4.2 running 'modules:config' at Mon", True),
        ("Cloud-init v. 25.1.4-0ubuntu1 finished at Mon", True),
        ("-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAAthis root@web", True),
    ],
)
def test_the_console_shows_when_the_seed_was_read(console: str, is_past: bool) -> None:
    assert has_read_seed(console, "ssh-ed25519 AAAAthis") is is_past
    assert has_read_seed(console, "") is (is_past and "AAAA" not in console)
