"""A QEMU machine: its disk, its cloud-init seed, its command line, and how to talk to it."""

import contextlib
import hashlib
import json
import socket
import time
from pathlib import Path
from typing import Any, Final

from im_client.providers.base import MachineRequest
from im_client.providers.cloudinit import merged
from im_client.providers.local.qemu_image import DiskImage
from im_client.providers.local.records import Manifest, is_locked
from im_client.remote.access import HostKey
from infracore.errors import CommandFailed, InfraError
from infracore.process import run

__all__ = ["command_line", "kvm_problem", "launch", "power_button", "put_files", "quit_now", "reset"]

PROGRAM: Final = "qemu-system-x86_64"
_DISK_BYTES: Final = 8 * 1024**3
_MONITOR_S: Final = 5.0


def kvm_problem() -> str | None:
    """Say why KVM does not work; None where it does.

    /dev/kvm may exist without working (nested machines): only a machine that was made proves it. About 0.1 s.
    """
    if not Path("/dev/kvm").exists():
        return "/dev/kvm does not exist"
    words = ["-accel", "kvm", "-cpu", "host", "-machine", "q35", "-m", "16", "-nodefaults", "-display", "none", "-S"]
    try:
        run([PROGRAM, *words, "-monitor", "stdio"], stdin="quit\n", timeout_s=10)
    except InfraError as error:
        return error.message.strip().splitlines()[-1]
    return None


def _mac(manifest: Manifest, card: int) -> str:
    digest = hashlib.sha256(f"{manifest.token}{card}".encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def put_files(
    folder: Path, manifest: Manifest, request: MachineRequest, key: HostKey, *, image: DiskImage, proxy: str | None
) -> None:
    """Make disk and seed. May be repeated before the first start.

    The seed is a NoCloud data source (cloudinit.readthedocs.io, "NoCloud"), shown to the machine as a FAT disk.
    """
    disk = folder / "disk.qcow2"
    disk.unlink(missing_ok=True)
    size = str(max(manifest.disk_bytes or _DISK_BYTES, _DISK_BYTES))
    base = ["-b", str(image.disk), "-F", image.format]
    run(["qemu-img", "create", "-q", "-f", "qcow2", *base, disk, size], timeout_s=60)
    seed = folder / "seed"
    seed.mkdir(mode=0o700, exist_ok=True)
    config: dict[str, Any] = {
        "disable_root": False,
        "users": [{"name": "root", "ssh_authorized_keys": list(request.authorized_keys)}],
        "ssh_genkeytypes": ["ed25519"],
        "ssh_deletekeys": True,
        "manage_etc_hosts": "localhost",
        "apt": {"preserve_sources_list": True, **({"http_proxy": proxy} if proxy is not None else {})},
    }
    if key.private is not None:
        config["ssh_keys"] = {"ed25519_private": key.private.reveal(), "ed25519_public": key.public}
    own = f"#cloud-config\n{json.dumps(config)}\n"
    (seed / "user-data").write_text(merged(own, request.user_data), encoding="utf-8")
    names = {"instance-id": manifest.token, "local-hostname": manifest.name}
    (seed / "meta-data").write_text(json.dumps(names), encoding="utf-8")
    cards = {
        "out": {"match": {"macaddress": _mac(manifest, 0)}, "dhcp4": True},
        "peers": {"match": {"macaddress": _mac(manifest, 1)}, "addresses": [f"{manifest.address}/24"]},
    }
    (seed / "network-config").write_text(json.dumps({"version": 2, "ethernets": cards}), encoding="utf-8")


def command_line(
    folder: Path, manifest: Manifest, image: DiskImage, *, kvm: bool, group_port: int, memory: int
) -> list[str]:
    """Write QEMU's command line.

    The machine has two cards: one to the world by way of the user's own connections, with ssh forwarded from
    loopback, and one to the other machines, by multicast on loopback.
    """
    emulated = ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"]
    argv = [PROGRAM, *(["-accel", "kvm", "-cpu", "host"] if kvm else emulated)]
    argv += ["-machine", "q35", "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-name", manifest.name, "-m", f"{memory // 1024**2}M", "-smp", str(manifest.num_cpus or 1)]
    if image.kernel is not None and image.initrd is not None:
        append = "root=LABEL=root rw console=ttyS0 net.ifnames=0 mitigations=off ds=nocloud"
        argv += ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", append]
    argv += ["-drive", f"file={folder / 'disk.qcow2'},if=virtio,cache=unsafe,discard=unmap"]
    argv += ["-blockdev", f"driver=vvfat,node-name=seed,dir={folder / 'seed'},label=cidata,read-only=on"]
    argv += ["-device", "virtio-blk-pci,drive=seed"]
    argv += ["-netdev", f"user,id=out,hostfwd=tcp:{manifest.ssh_address}:{manifest.port}-:22"]
    argv += ["-device", f"virtio-net-pci,netdev=out,mac={_mac(manifest, 0)},romfile="]
    argv += ["-netdev", f"socket,id=peers,mcast=239.77.0.1:{group_port},localaddr=127.0.0.1"]
    argv += ["-device", f"virtio-net-pci,netdev=peers,mac={_mac(manifest, 1)},romfile="]
    argv += ["-device", "virtio-rng-pci", "-serial", f"file:{folder / 'console.log'}"]
    argv += ["-qmp", f"unix:{folder / 'qmp'},server=on,wait=off", "-pidfile", str(folder / "qemu.pid")]
    return argv


def launch(folder: Path, argv: list[str]) -> None:
    """Start QEMU in the background; it holds the machine's lock (through flock(1)) as long as it lives.

    Raises:
        CommandFailed: QEMU refuses; its words are in the message.
    """
    for name in ("qmp", "qemu.pid"):
        (folder / name).unlink(missing_ok=True)
    run(["flock", "--nonblock", "--no-fork", folder / "run.lock", *argv, "-daemonize"], timeout_s=30)
    if not is_locked(folder / "run.lock"):
        raise CommandFailed("QEMU ended at once", "its console says why; run: im doctor")


def _ask(folder: Path, command: str) -> bool:
    """Send one command over the QEMU Machine Protocol (qemu.org, "QMP Reference"); False where nobody answers."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_MONITOR_S)
        connection.connect(str(folder / "qmp"))
        with connection.makefile("rw", encoding="utf-8", newline="\n") as channel:
            channel.readline()
            for word in ("qmp_capabilities", command):
                channel.write(json.dumps({"execute": word}) + "\n")
                channel.flush()
                limit = time.monotonic() + _MONITOR_S
                while time.monotonic() < limit:
                    line = channel.readline()
                    if not line or "return" in json.loads(line):
                        break
        return True
    return False


def power_button(folder: Path) -> bool:
    """Press the power button: the machine's systemd shuts down."""
    return _ask(folder, "system_powerdown")


def reset(folder: Path) -> bool:
    """Press the reset button."""
    return _ask(folder, "system_reset")


def quit_now(folder: Path) -> bool:
    """Pull the plug."""
    return _ask(folder, "quit")
