"""Raspberry Pis boot by what the role raspberry_pi_netboot writes: a real dnsmasq, in namespaces of its own."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.lan import Lan, lan
from tests.rigs.namespace import inside
from tests.rigs.needs import need_programs
from tests.rigs.netboot import SERVER, render, serving
from tests.rigs.pi_boot import PI_3, PI_4, PI_5, Client, TftpError, fetch
from tests.rigs.process import daemon

pytestmark = [pytest.mark.netns, pytest.mark.ansible, pytest.mark.slow, pytest.mark.xdist_group("servers")]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that dnsmasq can read when it is no longer root."""
    with tempfile.TemporaryDirectory(prefix="im-netboot-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def net() -> Iterator[Lan]:
    need_programs("dnsmasq", "ip")
    with lan(f"{SERVER}/24") as made:
        yield made


def images(folder: Path) -> Path:
    boot = folder / "image"
    (boot / "overlays").mkdir(parents=True)
    for name in ("bootcode.bin", "start.elf", "start4.elf", "kernel8.img", "kernel_2712.img", "overlays/vc4.dtbo"):
        (boot / name).write_bytes(name.encode() * 300)
    (boot / "cmdline.txt").write_text("root=PARTUUID=1234-02\n")
    (boot / "config.txt").write_text("arm_64bit=1\n")
    return boot


@contextlib.contextmanager
def router(net: Lan, folder: Path) -> Iterator[None]:
    """The DHCP server of the house, which knows nothing of booting."""
    box = net.join("02:00:00:00:00:fe", "10.77.0.254/24")
    (folder / "router").mkdir()
    words = ["--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping", "--user=root", "--pid-file="]
    words += ["--dhcp-range=10.77.0.100,10.77.0.150,1h", f"--dhcp-leasefile={folder}/router/leases", "--conf-file="]
    with inside(box):
        started = daemon(["dnsmasq", "--keep-in-foreground", "--log-facility=-", *words], folder / "router")
        server = started.__enter__()
    try:
        server.wait_for(lambda: "DHCP" in server.said())
        yield
    finally:
        started.__exit__(None, None, None)


@pytest.fixture
def client(net: Lan) -> Iterator[Callable[..., Client]]:
    with ExitStack() as stack:

        def make(mac: str, serial: str = "00000000") -> Client:
            made = Client(net.join(mac), mac, serial)
            stack.callback(made.close)
            return made

        yield make


def nodes(boot: Path) -> list[dict[str, Any]]:
    return [
        {"name": "pi-3", "serial": "00000000abcdef03", "boot_files": str(boot), "nfs_path": "/srv/nfs/pi-3"},
        {"name": "pi-4", "serial": "10000000ABCDEF04", "boot_files": str(boot), "nfs_path": "/srv/nfs/pi-4"},
        {
            "name": "pi-5",
            "mac": "2C:CF:67:00:00:05",
            "boot_files": str(boot),
            "root": "ramdisk",
            "initramfs": "all.img",
            "cmdline": "cgroup_memory=1 cgroup_enable=memory",
        },
    ]


def test_each_model_boots_from_its_own_folder_beside_the_dhcp_server_of_the_house(
    net: Lan, folder: Path, client: Callable[..., Client]
) -> None:
    boot = images(folder)
    config = render(folder, raspberry_pi_netboot_nodes=nodes(boot))
    with router(net, folder), serving(config, folder):
        three = client("b8:27:eb:cd:ef:03", "abcdef03").boot(PI_3)
        four = client("dc:a6:32:00:00:04", "abcdef04").boot(PI_4)
        five = client("2c:cf:67:00:00:05", "abcdef05").boot(PI_5, prefix="2c-cf-67-00-00-05")
    assert three.server == four.server == five.server == SERVER
    assert set(three.files) == {"bootcode.bin", *(f"abcdef03/{n}" for n in ("start.elf", *PI_3.files))}
    assert set(four.files) == {f"abcdef04/{n}" for n in ("start4.elf", *PI_4.files)}
    assert four.files["abcdef04/start4.elf"] == b"start4.elf" * 300
    assert f"nfsroot={SERVER}:/srv/nfs/pi-4,vers=3,tcp,hard rw ip=dhcp" in four.files["abcdef04/cmdline.txt"].decode()
    assert b"PARTUUID" not in four.files["abcdef04/cmdline.txt"]
    assert four.files["abcdef04/cmdline.txt"].count(b"\n") == 1
    own = five.files["2c-cf-67-00-00-05/cmdline.txt"].decode()
    assert "rdinit=/init cgroup_memory=1 cgroup_enable=memory" in own
    settings = five.files["2c-cf-67-00-00-05/config.txt"].decode()
    assert settings.startswith("arm_64bit=1\n")
    assert "[all]\ninitramfs all.img followkernel\n" in settings
    assert all(one.address.startswith("10.77.0.1") for one in (three, four, five))


def test_a_machine_that_is_no_raspberry_pi_gets_nothing(net: Lan, folder: Path, client: Callable[..., Client]) -> None:
    config = render(folder, raspberry_pi_netboot_nodes=nodes(images(folder)))
    pc = client("52:54:00:00:00:01")
    with router(net, folder), serving(config, folder):
        pc.discover()
        offer = next(pc.offers())
        assert offer.options[54] == bytes([10, 77, 0, 254])
        client("dc:a6:32:00:00:04", "abcdef04").boot(PI_4)  # asked later, answered: the PC's question has been read
        assert [one for one in pc.pending() if one.options[54] != bytes([10, 77, 0, 254])] == []


def test_as_the_only_server_it_gives_addresses_to_boards_alone_and_a_fixed_one_to_a_listed_board(
    net: Lan, folder: Path, client: Callable[..., Client]
) -> None:
    boot = images(folder)
    listed = {"name": "pi-4", "serial": "abcdef04", "mac": "dc:a6:32:00:00:04", "address": "10.77.0.44"}
    config = render(
        folder,
        raspberry_pi_netboot_mode="server",
        raspberry_pi_netboot_range=["10.77.0.60", "10.77.0.90"],
        raspberry_pi_netboot_nodes=[{**listed, "boot_files": str(boot), "root": "overlay", "nfs_path": "/srv/nfs/all"}],
    )
    pc = client("52:54:00:00:00:01")
    running = client("88:a2:9e:00:00:07")
    with serving(config, folder):
        pc.discover()
        pc.discover(pxe=False)
        booted = client("dc:a6:32:00:00:04", "abcdef04").boot(PI_4)
        running.discover(pxe=False)  # Linux on a board, later
        later = next(running.offers())
        assert pc.pending() == []
    assert booted.address == "10.77.0.44"
    cmdline = booted.files["abcdef04/cmdline.txt"].decode()
    assert f"nfsroot={SERVER}:/srv/nfs/all,vers=3,tcp,hard ro ip=dhcp rootwait overlayroot=tmpfs" in cmdline
    assert later.address.startswith("10.77.0.")
    assert 3 not in later.options  # no router, for none was named


def test_only_listed_boards_are_answered_where_that_is_asked_for_and_others_find_no_folder(
    net: Lan, folder: Path, client: Callable[..., Client]
) -> None:
    boot = images(folder)
    listed = {"name": "pi-4", "serial": "abcdef04", "mac": "dc:a6:32:00:00:04", "nfs_path": "/srv/nfs/pi-4"}
    config = render(
        folder,
        raspberry_pi_netboot_only_nodes=True,
        raspberry_pi_netboot_nodes=[{**listed, "boot_files": str(boot)}],
    )
    stranger = client("d8:3a:dd:00:00:09", "abcdef09")
    with router(net, folder), serving(config, folder):
        stranger.discover(guid=b"RPi4")
        assert not next(stranger.offers()).boots
        booted = client("dc:a6:32:00:00:04", "abcdef04").boot(PI_4, prefix="dc-a6-32-00-00-04")
        assert not any(one.boots for one in stranger.pending())
        assert "dc-a6-32-00-00-04/start4.elf" in booted.files
        for path in ("abcdef09/start4.elf", "../image/cmdline.txt", "/etc/passwd", "start4.elf"):
            with pytest.raises(TftpError):
                fetch(SERVER, path)


@pytest.mark.parametrize("options", ["vers=4.1", "vers=3,proto=tcp", "nfsvers=4"])
def test_nfs_options_that_the_initramfs_of_an_image_cannot_mount_by_are_refused_unless_it_is_left_out(
    folder: Path, options: str
) -> None:
    node = {"name": "x", "serial": "abcdef01", "boot_files": str(images(folder)), "nfs_path": "/srv/nfs/x"}
    with pytest.raises(AssertionError, match="mounts NFS 3 only"):
        render(folder, raspberry_pi_netboot_nodes=[{**node, "nfs_options": options}])
    bare = {**node, "nfs_options": options, "config": ["auto_initramfs=0"]}
    render(folder, raspberry_pi_netboot_nodes=[bare])
    assert f":/srv/nfs/x,{options} rw" in (folder / "served" / "tftp" / "abcdef01" / "cmdline.txt").read_text()


@pytest.mark.parametrize("said", [{}, {"serial": 12345678}, {"serial": "1234567"}, {"mac": 10}])
def test_a_node_that_cannot_be_found_is_refused(folder: Path, said: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="it needs `serial`"):
        render(folder, raspberry_pi_netboot_nodes=[{"name": "x", "boot_files": "/srv", "nfs_path": "/srv", **said}])
