"""A QEMU machine for real: minutes under emulation, and minutes more for the image the first time."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.plan.model import Phase, Spec
from im_client.providers.base import MachineRequest
from im_client.providers.local.qemu_provider import QemuProvider
from im_client.providers.local.settings import LocalSettings, default_state_dir
from infracore.ids import new_token
from infracore.process import run
from tests.contracts.harness import new_key_pair

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: QEMU's sockets lie below it, and such a path has less than 108 bytes."""
    return tmp_path_factory.mktemp("vm")


@pytest.fixture
def provider(state: Path) -> Iterator[QemuProvider]:
    images = str(default_state_dir() / "images")
    opened = QemuProvider(LocalSettings(kind="qemu", state_dir=str(state), image_dir=images))
    opened.prepare(lambda text: sys.stderr.write(f"{text}\n") and None)
    yield opened
    for machine in opened.list_machines():
        opened.delete(machine.provider_id)


def test_machines_boot_see_each_other_stop_and_start(provider: QemuProvider, state: Path, tmp_path: Path) -> None:
    keys = new_key_pair()
    identity = tmp_path / "id"
    identity.write_text(keys.private)
    identity.chmod(0o600)
    made = [
        provider.create(MachineRequest("vm", name, new_token(), Spec(), (keys.public,), new_key_pair().host_key))
        for name in ("a", "b")
    ]
    known = tmp_path / "known_hosts"
    entries = [(m.access.port, m.access.host_key) for m in made if m.access is not None]
    known.write_text("".join(f"[127.0.0.1]:{port} {key}\n" for port, key in entries))

    def shell(number: int, command: str) -> subprocess.CompletedProcess[str]:
        options = ["-F", "/dev/null", "-i", str(identity), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        options += ["-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20", "-p", str(entries[number][0])]
        # QEMU accepts connections before the machine listens: ssh itself does not repeat those
        limit, pause = time.monotonic() + 1200, threading.Event()
        while True:
            done = subprocess.run(
                ["ssh", *options, "root@127.0.0.1", command], capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode != 255 or time.monotonic() > limit:
                return done
            pause.wait(1)

    assert [shell(number, "hostname").stdout.strip() for number in (0, 1)] == ["a", "b"]
    greet = f"exec 3<>/dev/tcp/{made[1].private_address}/22; head -c 4 <&3"
    assert shell(0, f"bash -c '{greet}'").stdout == "SSH-"
    provider.stop(made[0].provider_id)
    run(["flock", "--timeout", "120", state / "machines" / made[0].token / "run.lock", "true"], timeout_s=150)
    assert provider.get(made[0].provider_id).phase is Phase.STOPPED
    provider.start(made[0].provider_id)
    assert provider.get(made[0].provider_id).phase is Phase.RUNNING
    provider.delete(made[0].provider_id)
    assert [machine.name for machine in provider.list_machines()] == ["b"]
