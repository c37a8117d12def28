"""The files and the command line of a QEMU machine."""

import email
import json
from pathlib import Path

import pytest

from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.local import qemu
from im_client.providers.local.hostkey import new_host_key
from im_client.providers.local.qemu_image import DiskImage
from im_client.providers.local.records import Manifest
from infracore.process import run

pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/qemu-img").exists(), reason="qemu-img is not installed: apt-get install qemu-utils"
)

MANIFEST = Manifest(
    token="ab12", infrastructure="i", name="front", kind="qemu", address="10.77.0.11", port=22100,
    ssh_address="127.0.0.1", num_cpus=2, disk_bytes=10 * 1024**3,
)  # fmt: skip


@pytest.fixture
def image(tmp_path: Path) -> DiskImage:
    disk = tmp_path / "base.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], timeout_s=20)
    return DiskImage.at(disk)


def _request(user_data: str = "") -> MachineRequest:
    return MachineRequest("i", "front", "ab12", Spec(), ("ssh-ed25519 AAAA me",), user_data=user_data)


def test_the_seed_holds_keys_name_and_address(tmp_path: Path, image: DiskImage) -> None:
    key = new_host_key()
    qemu.put_files(tmp_path, MANIFEST, _request(), key, image=image, proxy="http://10.0.2.2:3142")
    text = (tmp_path / "seed" / "user-data").read_text()
    assert text.startswith("#cloud-config\n")
    config = json.loads(text.partition("\n")[2])
    assert config["users"] == [{"name": "root", "ssh_authorized_keys": ["ssh-ed25519 AAAA me"]}]
    assert config["ssh_keys"]["ed25519_public"] == key.public
    assert config["apt"]["http_proxy"] == "http://10.0.2.2:3142"
    assert json.loads((tmp_path / "seed" / "meta-data").read_text())["local-hostname"] == "front"
    network = json.loads((tmp_path / "seed" / "network-config").read_text())
    assert network["ethernets"]["peers"]["addresses"] == ["10.77.0.11/24"]
    assert (tmp_path / "seed").stat().st_mode & 0o077 == 0


def test_the_user_data_of_a_template_is_added(tmp_path: Path, image: DiskImage) -> None:
    request = _request("#!/bin/sh\necho hello\n")
    qemu.put_files(tmp_path, MANIFEST, request, new_host_key(), image=image, proxy=None)
    archive = email.message_from_string((tmp_path / "seed" / "user-data").read_text())
    kinds = [part.get_content_type() for part in archive.walk() if not part.is_multipart()]
    assert kinds == ["text/cloud-config", "text/x-shellscript"]


def test_the_disk_has_the_size_that_is_asked_for(tmp_path: Path, image: DiskImage) -> None:
    qemu.put_files(tmp_path, MANIFEST, _request(), new_host_key(), image=image, proxy=None)
    shown = json.loads(run(["qemu-img", "info", "--output=json", tmp_path / "disk.qcow2"], timeout_s=20).stdout)
    assert shown["virtual-size"] == 10 * 1024**3
    assert shown["full-backing-filename"] == str(image.disk)


def test_ssh_is_forwarded_from_loopback_only(tmp_path: Path, image: DiskImage) -> None:
    argv = qemu.command_line(tmp_path, MANIFEST, image, kvm=False, group_port=20001, memory=2**29)
    assert "user,id=out,hostfwd=tcp:127.0.0.1:22100-:22" in argv
    assert "socket,id=peers,mcast=239.77.0.1:20001,localaddr=127.0.0.1" in argv
    assert argv[argv.index("-m") + 1] == "512M"
    assert argv[argv.index("-smp") + 1] == "2"


def test_kvm_is_used_only_when_told(tmp_path: Path, image: DiskImage) -> None:
    with_kvm, without = (
        qemu.command_line(tmp_path, MANIFEST, image, kvm=kvm, group_port=20001, memory=2**29) for kvm in (True, False)
    )
    assert "kvm" in with_kvm
    assert "kvm" not in without


def test_an_image_without_a_kernel_beside_it_boots_by_itself(tmp_path: Path, image: DiskImage) -> None:
    argv = qemu.command_line(tmp_path, MANIFEST, image, kvm=False, group_port=20001, memory=2**29)
    assert "-kernel" not in argv
    for name in ("vmlinuz", "initrd.img"):
        (image.disk.parent / name).touch()
    argv = qemu.command_line(tmp_path, MANIFEST, DiskImage.at(image.disk), kvm=False, group_port=1, memory=2**29)
    assert "-kernel" in argv


def test_nobody_answers_on_a_machine_that_does_not_run(tmp_path: Path) -> None:
    assert not qemu.power_button(tmp_path)
    assert not qemu.reset(tmp_path)
