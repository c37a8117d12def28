"""A systemd-nspawn machine: its files, and its supervisor."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from im_client.providers.base import MachineRequest
from im_client.providers.local import supervisor
from im_client.providers.local.cgroups import GroupTree
from im_client.providers.local.outbound import WayOut
from im_client.providers.local.process import detach, signal_holder
from im_client.providers.local.records import Manifest
from im_client.remote.access import HostKey
from infracore.errors import Transient
from infracore.process import run

__all__ = ["fault_of", "kill", "launch", "put_connections", "put_files"]


def put_files(folder: Path, manifest: Manifest, request: MachineRequest, host_key: HostKey) -> None:
    """Make the machine's own layer: name, log-in keys, host key and disks. May be repeated before the first start.

    The folders that it makes in the layer hide the mode of the base's, so they have the same.
    """
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(mode=0o755, exist_ok=True)
    upper = folder / "upper"
    _put(upper, "etc/hostname", f"{manifest.name}\n")
    _put(upper, "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{manifest.address} {manifest.name}\n")
    if host_key.private is not None:
        _put(upper, "etc/ssh/ssh_host_ed25519_key", host_key.private.reveal().rstrip("\n") + "\n", mode=0o600)
    _put(upper, "etc/ssh/ssh_host_ed25519_key.pub", f"{host_key.public}\n")
    keys = "".join(f"{key}\n" for key in request.authorized_keys)
    _put(upper, "root/.ssh/authorized_keys", keys, mode=0o600, folder_mode=0o700)
    for volume in manifest.volumes:
        place = folder / "volumes" / f"{volume.name}.img"
        place.parent.mkdir(mode=0o700, exist_ok=True)
        (folder / "mounts" / volume.name).mkdir(mode=0o755, parents=True, exist_ok=True)
        with place.open("wb") as image:
            image.truncate(volume.size_bytes)
        options = ["-F", "-m", "0"] if volume.fs_type.startswith("ext") else []
        run([f"mkfs.{volume.fs_type}", "-q", *options, place], timeout_s=60)


def put_connections(folder: Path, way_out: WayOut) -> None:
    """Write how the machine reaches packages and names; while it is not running."""
    upper = folder / "upper"
    servers = "".join(f"nameserver {server}\n" for server in way_out.name_servers)
    _put(upper, "etc/resolv.conf", servers)
    proxy = f'Acquire::http::Proxy "{way_out.apt_proxy}";\n' if way_out.apt_proxy is not None else ""
    _put(upper, "etc/apt/apt.conf.d/00im-clues", proxy)


def _put(root: Path, name: str, text: str, *, mode: int = 0o644, folder_mode: int = 0o755) -> None:
    path = root / name
    missing = [above for above in path.parents if above.is_relative_to(root) and not above.exists()]
    for above in reversed(missing):
        above.mkdir()
        above.chmod(folder_mode)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), mode)
        out.write(text)
    fresh.replace(path)


def fault_of(folder: Path) -> str | None:
    """Return why the last run ended: "" for a clean end, None where no end was recorded (killed, power cut)."""
    try:
        outcome: Mapping[str, object] = json.loads((folder / "exit.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return str(outcome.get("fault", ""))


def launch(folder: Path, manifest: Manifest, tree: GroupTree, *, durable: bool, stop_timeout_s: float) -> None:
    """Start the supervisor, in a session and mount namespace of its own, and wait until it holds its lock.

    Raises:
        CommandFailed, Transient: see `detach`.
    """
    binds = [f"--bind={folder / 'mounts' / volume.name}:{volume.mount_path}" for volume in manifest.volumes]
    job: supervisor.Job = {
        "folder": str(folder),
        "base": manifest.base,
        "durable": durable,
        "argv": [
            "systemd-nspawn",
            "--quiet",
            f"--directory={folder / 'root'}",
            f"--machine={manifest.link}",
            f"--hostname={manifest.name}",
            "--boot",
            "--register=no",
            "--keep-unit",
            f"--network-namespace-path=/run/netns/{manifest.link}",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=pipe",
            "--kill-signal=SIGRTMIN+4",
            "--capability=CAP_NET_ADMIN",
            *binds,
            "--",
            "--show-status=true",
        ],
        "env": {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
        "volumes": [
            {"name": volume.name, "file": str(folder / "volumes" / f"{volume.name}.img")} for volume in manifest.volumes
        ],
        "unified": tree.is_pure,
        "cgroups": [str(path) for path in tree.v1_folders(manifest.link)],
        "group": tree.group(manifest.link),
        "stop_timeout_s": stop_timeout_s,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    # the mark that a volatile overlay leaves, which forbids to mount it again: see LocalSettings.durable
    shutil.rmtree(folder / "work" / "work" / "incompat", ignore_errors=True)
    program = ["unshare", "--mount", "--propagation", "private"]
    program += [sys.executable, "-I", "-S", str(Path(supervisor.__file__)), str(folder / "job.json")]
    detach(program, folder / "console.log", manifest.name)


def kill(folder: Path, manifest: Manifest, tree: GroupTree) -> None:
    """Kill supervisor and machine and remove its control groups. Absent: succeeds. Blocks for a second or two.

    Raises:
        Transient: something does not end (a process in uninterruptible sleep).
    """
    limit = time.monotonic() + 20.0
    pause = 0.01
    while signal_holder(folder, signal.SIGKILL) or tree.kill(manifest.link) or not tree.remove(manifest.link):
        if time.monotonic() > limit:
            raise Transient(f"the processes of {manifest.name} do not end", "try again", retry_after_s=10)
        time.sleep(pause)
        pause = min(pause * 2, 0.2)
