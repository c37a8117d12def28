"""A machine's own disk is flashed for real, from its memory: an emulated machine, half an hour at the most.

It is QEMU's, with a whole Debian; no real board.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from im_client.flash.known import KnownBoards
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.local.qemu_image import DiskImage
from im_client.providers.local.qemu_provider import QemuProvider
from im_client.providers.local.settings import LocalSettings, default_state_dir
from infracore.ids import new_token
from infracore.process import run
from tests.contracts.harness import new_key_pair
from tests.rigs.needs import need_programs

pytestmark = [pytest.mark.vm, pytest.mark.long, pytest.mark.timeout(3600)]
DISK = "/dev/vdb"
TOOLS = {"PATH": f"{os.environ['PATH']}:/sbin:/usr/sbin"}
PREPARE = """
useradd -m -s /bin/bash ana
install -d -m 700 -o ana ~ana/.ssh && install -m 600 -o ana ~/.ssh/authorized_keys ~ana/.ssh/authorized_keys
echo 'ana ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ana
printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=true\\n%s\\n' \
  'ExecStop=mount -t tmpfs rival /run/initramfs' >/run/systemd/system/finalrd.service
mkdir -p /run/systemd/system.conf.d && modprobe softdog
printf '[Manager]\\nRebootWatchdogSec=60s\\n' >/run/systemd/system.conf.d/dog.conf
systemctl daemon-reexec && systemctl start finalrd.service
"""
"""An account that becomes root by sudo; a program that wants the same folder as Ubuntu's finalrd does; and a watchdog
that would restart the machine in the middle of all if nobody fed it."""


@dataclass(slots=True)
class Board:
    """The machine, and this computer that knows it."""

    folder: Path
    port: int
    base: DiskImage

    def ssh(self, command: str, user: str = "root") -> "subprocess.CompletedProcess[str]":
        options = ["-F", "/dev/null", "-i", str(self.folder / "id"), "-o", f"UserKnownHostsFile={self.folder}/known"]
        options += ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20"]
        argv = ["ssh", *options, "-p", str(self.port), f"{user}@127.0.0.1", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)

    def wait_for(self, command: str, limit_s: float = 1200) -> str:
        """Return what a command prints that succeeds at last."""
        limit, pause = time.monotonic() + limit_s, threading.Event()
        while (done := self.ssh(command)).returncode != 0:
            assert time.monotonic() < limit, done.stderr
            pause.wait(2)
        return done.stdout.strip()

    def flash(self, image: Path, *options: str) -> "subprocess.Popen[str]":
        device = f"ssh://ana@127.0.0.1:{self.port}{DISK}"
        argv = [
            sys.executable,
            "-m",
            "im_client.cli.main",
            "flash",
            str(image),
            device,
            "--key",
            str(self.folder / "id"),
        ]
        argv += ["--force-device", device, "--json", "-y", *options]  # a virtual disk is neither card nor NVMe
        environ = {**os.environ, "IM_STATE_DIR": str(self.folder / "state")}
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    need_programs("ssh", "debugfs", "resize2fs", "e2fsck")
    folder = tmp_path_factory.mktemp("ram")  # short: QEMU's sockets lie below it
    images = str(default_state_dir() / "images")
    provider = QemuProvider(LocalSettings(kind="qemu", state_dir=str(folder / "vm"), image_dir=images))
    provider.prepare(print)
    keys = new_key_pair()
    (folder / "id").touch(mode=0o600)
    (folder / "id").write_text(keys.private)
    made = provider.create(MachineRequest("ram", "pi", new_token(), Spec(), (keys.public,), new_key_pair().host_key))
    try:
        assert made.access is not None
        assert made.access.host_key is not None
        (folder / "known").write_text(f"[127.0.0.1]:{made.access.port} {made.access.host_key}\n")
        (folder / "state").mkdir()
        KnownBoards(folder / "state").remember("127.0.0.1", made.access.host_key, ("127.0.0.1",))
        manifest = json.loads((folder / "vm" / "machines" / made.token / "machine.json").read_text())
        yield Board(folder, made.access.port, DiskImage.at(Path(manifest["base"])))
    finally:
        provider.delete(made.provider_id)


def marked_image(base: Path, folder: Path) -> Path:
    """Return another Debian, as small as it can be, that says what it is."""
    image, note = folder / "new.img", folder / "note"
    note.write_text("flashed\n")
    run(["qemu-img", "convert", "-O", "raw", base, image], timeout_s=300)
    run(["debugfs", "-w", "-R", f"write {note} /etc/im-flashed", image], timeout_s=60, env=TOOLS)
    run(["e2fsck", "-fy", image], timeout_s=300, check=False, env=TOOLS)
    run(["resize2fs", "-M", image], timeout_s=600, env=TOOLS)
    about = run(["dumpe2fs", "-h", image], timeout_s=60, env=TOOLS).stdout.splitlines()
    words = dict(line.split(":", 1) for line in about if ":" in line)
    os.truncate(image, int(words["Block count"]) * int(words["Block size"]))
    return image


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=1500)
    return process.returncode, out, errors


def test_the_disk_that_a_machine_runs_from_is_flashed_cut_and_flashed_again(board: Board, tmp_path: Path) -> None:
    image = marked_image(board.base.disk, tmp_path)
    board.wait_for("cloud-init status --wait >/dev/null; true")
    board.wait_for(PREPARE)
    boot = board.wait_for("cat /proc/sys/kernel/random/boot_id")

    code, _, errors = ended(board.flash(image))
    assert (code, "this machine runs from it" in errors, "--from-ram" in errors) == (2, True, True), errors
    code, out, errors = ended(board.flash(image, "--from-ram", "--dry-run"))
    assert (code, json.loads(out)["enters_ram"]) == (0, True), errors
    assert board.wait_for("ls -A /run/initramfs; cat /proc/sys/kernel/random/boot_id") == boot  # all is as it was

    process = board.flash(image, "--from-ram")
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("phase") == "write":
            process.send_signal(signal.SIGINT)
            break
    code, _, errors = ended(process)
    assert (code, "marked unfinished" in errors) == (130, True), errors
    # it stays in its memory, whose kernel is the same, behind the same host key
    asked = board.ssh("read -r token </im-flash/token; echo $token", user="ana")
    assert len(asked.stdout.strip()) == 16, asked.stderr
    watched = board.ssh("read -r state </sys/class/watchdog/watchdog0/state; echo $state", user="ana")
    assert watched.stdout.strip() == "active", watched.stderr
    assert board.ssh(f"read -r boot </proc/sys/kernel/random/boot_id; [ $boot = {boot} ]", user="ana").returncode == 0

    code, out, errors = ended(board.flash(image, "--from-ram"))
    report = json.loads(out.splitlines()[-1])
    assert (code, report["state"], report["verified"], report["error"]) == (0, "done", True, None), errors
    assert board.wait_for("cat /etc/im-flashed") == "flashed"
    assert board.wait_for("cat /proc/sys/kernel/random/boot_id") != boot
    assert board.ssh("true", user="ana").returncode != 0  # nothing of the old system is left
