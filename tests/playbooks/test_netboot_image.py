"""A board boots from the network by the image that `im flash` made for it, with its name, account and host key."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from im_client.flash.card import Outcome
from im_client.services.flash import FlashReport, FlashRequest, flash, prepare_flash
from im_client.settings import load_settings
from tests.im_client.flash.customise.pi_images import BOOKWORM, FIRSTBOOT, HASH, KEY, SEED, TRIXIE, Disk, make_disk
from tests.rigs.lan import lan
from tests.rigs.needs import need_programs, need_root
from tests.rigs.netboot import ROLES, SERVER, render, run_role, serving
from tests.rigs.pi_boot import PI_4, Client, TftpError, fetch

pytestmark = [pytest.mark.mtools, pytest.mark.loop]
UNPACK = ROLES / "raspberry_pi_netboot" / "files" / "unpack.sh"
LINK = ROLES / "raspberry_pi_netboot" / "files" / "link.sh"
BOOT = {**SEED, "start4.elf": "firmware", "kernel8.img": "kernel", "initramfs8": "memory"}
FSTAB = """proc            /proc           proc    defaults          0       0
PARTUUID=4e639091-01  /boot/firmware  vfat    defaults          0       2
PARTUUID=4e639091-02  /               ext4    defaults,noatime  0       1
/var/swap none swap sw 0 0
# /dev/sda1 / is only a comment
10.0.0.5:/home /home nfs defaults 0 0
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that dnsmasq can read when it is no longer root."""
    need_root()
    with tempfile.TemporaryDirectory(prefix="im-netboot-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def stock(folder: Path, root: tuple[str, ...] = TRIXIE, boot: dict[str, str] | None = None) -> Disk:
    """Make the image that all boards get; the file sudo in it has another owner's rights."""
    disk = make_disk(folder, (*root, "/usr/bin/sudo"), boot or BOOT, {"/etc/fstab": FSTAB})
    words = ["debugfs", "-w", "-R", "sif /usr/bin/sudo mode 0104755", f"{disk.path}?offset={disk.root_offset}"]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    return disk


def im_flash(folder: Path, disk: Disk, hostname: str = "pi-1") -> tuple[Path, FlashReport]:
    """Do what `im flash IMAGE pi-1.img --node pi-1` does."""
    overrides = {"state_dir": str(folder / "state"), "cache_dir": str(folder / "cache")}
    settings = load_settings(overrides=overrides, environ={"HOME": str(folder)}, cwd=folder).value
    node = {"user": "ada", "password_hash": HASH, "authorized_keys": [KEY], "k3s_cgroups": True}
    own = folder / f"{hostname}.img"
    request = FlashRequest(
        image=str(disk.path), device=str(own), node=hostname, nodes={hostname: {"raspberry_pi_node": node}}
    )
    plan = prepare_flash(settings, request)
    report = flash(settings, plan, on_progress=lambda _: None, on_step=lambda *_: None, cancel=Event())
    assert [made.outcome for made in report.made] == [Outcome.DONE]
    return own, report


def unpack(image: Path, root: Path) -> "subprocess.CompletedProcess[str]":
    words = ["sh", str(UNPACK), str(image), str(root)]
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)


def mounts() -> str:
    return Path("/proc/mounts").read_text()


@pytest.mark.netns
@pytest.mark.ansible
@pytest.mark.slow
@pytest.mark.xdist_group("servers")
def test_a_board_boots_by_its_own_image_with_its_options_and_its_host_key_and_keeps_what_it_wrote(folder: Path) -> None:
    need_programs("dnsmasq", "ip")
    image, report = im_flash(folder, stock(folder))
    root = folder / "nfs" / "pi-1"
    root.mkdir(parents=True)  # as the role nfs leaves it
    node = {"name": "pi-1", "serial": "10000000abcdef04", "image": str(image), "nfs_path": str(root)}
    given = {
        "raspberry_pi_netboot_bootcode": "",
        "raspberry_pi_netboot_mode": "server",
        "raspberry_pi_netboot_range": ["10.77.0.60", "10.77.0.90"],
        "raspberry_pi_netboot_nodes": [{**node, "config": ["dtparam=poe_fan_temp0=65000"], "cmdline": "quiet"}],
    }
    with lan(f"{SERVER}/24") as net:
        config = render(folder, **given)
        with serving(config, folder):
            client = Client(net.join("88:a2:9e:00:00:04"), "88:a2:9e:00:00:04", "abcdef04")
            files = client.boot(PI_4).files
            client.close()
            for name in ("user-data", "network-config", "meta-data", "im-clues.json", "ssh"):
                with pytest.raises(TftpError):
                    fetch(SERVER, f"abcdef04/{name}")
    words = files["abcdef04/cmdline.txt"].decode().split()
    assert [word for word in words if word.startswith("console=")] == ["console=serial0,115200", "console=tty1"]
    assert {"cgroup_memory=1", "cgroup_enable=memory", "quiet", "rw", "ip=dhcp", "rootwait"} <= set(words)
    assert [word for word in words if word.startswith(("root", "nfsroot", "fsck"))] == [
        *("root=/dev/nfs", f"nfsroot={SERVER}:{root},vers=3,tcp,hard", "rootwait")
    ]
    settings = files["abcdef04/config.txt"].decode()
    assert settings.startswith("# For more options see the documentation\ndtparam=audio=on\n")
    assert "[all]\ndtparam=poe_fan_temp0=65000\n" in settings
    assert files["abcdef04/kernel8.img"] == b"kernel"
    shown = (root / "etc" / "ssh" / "im_host_ed25519_key.pub").read_text().split()[:2]
    assert shown == report.made[0].host_key.split()[:2]  # what `im nodes discover` and ssh hold it against
    assert f"pi-1 {report.made[0].host_key}" in report.known_hosts.read_text()
    (root / "home-of-ada").write_text("kept")
    (root / "boot" / "firmware" / "cmdline.txt").write_text(" ".join([*words, "written_by=the_board"]) + "\n")
    again = run_role(folder, **given)
    assert again.returncode == 0, again.stdout[-3000:]
    assert "changed=0 " in again.stdout, again.stdout[-3000:]
    assert (root / "home-of-ada").read_text() == "kept"


def test_an_image_is_unpacked_with_owners_and_rights_and_what_is_secret_is_for_root_alone(folder: Path) -> None:
    image, _ = im_flash(folder, stock(folder))
    root = folder / "root"
    before = mounts()
    done = unpack(image, root)
    assert (done.returncode, done.stdout) == (0, "unpacked\n"), done.stderr
    assert mounts() == before
    assert (root / "usr" / "bin" / "sudo").stat().st_mode & 0o7777 == 0o4755
    assert (root / "etc" / "ssh" / "im_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    assert (root / "etc" / "fstab").read_text() == "".join(
        line + "\n" for line in FSTAB.splitlines() if line.startswith(("proc", "#", "10.0.0.5"))
    )
    boot, seed = root / "boot" / "firmware", root / "var" / "lib" / "cloud" / "seed" / "nocloud"
    for name in ("user-data", "meta-data", "network-config"):
        assert (boot / name).stat().st_mode & 0o777 == (seed / name).stat().st_mode & 0o777 == 0o600
        assert (boot / name).read_bytes() == (seed / name).read_bytes()
    assert "hostname: pi-1" in (seed / "user-data").read_text()
    assert (boot / "kernel8.img").stat().st_mode & 0o777 == 0o644
    assert not (root / "lost+found").exists()
    served = folder / "served"
    served.mkdir()
    (served / "user-data").symlink_to(boot / "user-data")  # an older link.sh made it
    subprocess.run(["sh", str(LINK), str(boot), str(served)], check=True, capture_output=True, timeout=60)
    assert {p.name for p in served.iterdir()} == {
        *("cmdline.txt", "config.txt", "start4.elf", "kernel8.img", "initramfs8")
    }


def test_an_image_is_needed_once_and_another_one_does_not_take_the_place_of_what_the_board_wrote(folder: Path) -> None:
    disk = stock(folder)
    image, _ = im_flash(folder, disk)
    root = folder / "root"
    assert unpack(image, root).stdout == "unpacked\n"
    (root / "mine").write_text("")
    assert (unpack(image, root).returncode, unpack(image, root).stdout) == (0, "")
    im_flash(folder, disk)  # another host key
    refused = unpack(image, root)
    assert refused.returncode == 3
    assert "is of another image" in refused.stderr
    image.unlink()
    assert unpack(image, root).returncode == 0
    assert (root / "mine").exists()


def test_what_was_broken_off_is_begun_again(folder: Path) -> None:
    image, _ = im_flash(folder, stock(folder))
    root = folder / "root"
    root.mkdir()
    (root / ".raspberry_pi_netboot.unfinished").write_text("")
    (root / "half").write_text("")
    assert unpack(image, root).stdout == "unpacked\n"
    assert not (root / "half").exists()
    assert not (root / ".raspberry_pi_netboot.unfinished").exists()


def test_nothing_is_written_where_the_image_or_the_folder_is_not_a_boards(folder: Path) -> None:
    disk = stock(folder)
    root = folder / "root"
    for image, why in (
        (folder / "none.img", "there is no image"),
        (disk.path, "is no board's own"),
        (UNPACK, "no partitions"),
    ):
        refused = unpack(image, root)
        assert refused.returncode == 3, refused.stderr
        assert why in refused.stderr
        assert not root.exists()
    image, _ = im_flash(folder, disk)
    root.mkdir()
    (root / "photos").write_text("")
    refused = unpack(image, root)
    assert refused.returncode == 3
    assert "is not empty, and not from an image" in refused.stderr
    assert os.listdir(root) == ["photos"]


def test_an_image_whose_first_boot_needs_a_card_is_refused(folder: Path) -> None:
    disk = stock(folder, BOOKWORM, {"start4.elf": "firmware", "cmdline.txt": FIRSTBOOT})
    image, _ = im_flash(folder, disk)
    refused = unpack(image, folder / "root")
    assert refused.returncode == 3
    assert "custom.toml" in refused.stderr
    assert not (folder / "root").exists()


def test_a_link_of_the_board_does_not_lead_out_of_its_root(folder: Path) -> None:
    image, _ = im_flash(folder, stock(folder))
    root = folder / "root"
    assert unpack(image, root).returncode == 0
    (root / "boot" / "firmware" / "cmdline.txt").unlink()
    (root / "boot" / "firmware" / "cmdline.txt").symlink_to("/etc/hostname")
    refused = unpack(image, root)
    assert refused.returncode == 3
    assert "symbolic link" in refused.stderr
