"""One machine of the provider `local`, and ssh to it."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from im_client.plan.model import Spec
from im_client.providers.base import Instance, MachineRequest
from im_client.providers.local.nspawn_provider import NspawnProvider
from im_client.providers.local.settings import LocalSettings, default_state_dir
from infracore.ids import new_token
from infracore.process import Completed, run
from tests.contracts.harness import new_key_pair


class Machine:
    """A running machine. What is run on it is run by root's shell."""

    def __init__(self, instance: Instance, folder: Path, private_key: str) -> None:
        assert instance.access is not None
        self._address = instance.access.address
        identity, known = folder / "id", folder / "known_hosts"
        identity.touch(0o600)
        identity.write_text(private_key)
        known.write_text(f"{self._address} {instance.access.host_key}\n")
        self._ssh: Sequence[str] = (
            *("ssh", "-F", "/dev/null", "-i", str(identity), "-o", f"UserKnownHostsFile={known}"),
            *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"),
            *("-o", "ConnectionAttempts=30", "-o", "ConnectTimeout=2", f"root@{self._address}"),
        )

    def tell(self, command: str, *, stdin: str = "", timeout_s: float = 60.0) -> Completed:
        """Run a command, whatever its status is."""
        return run([*self._ssh, command], timeout_s=timeout_s, stdin=stdin, check=False)

    def __call__(self, command: str, *, stdin: str = "", timeout_s: float = 60.0) -> str:
        """Run a command that succeeds, and return what it printed."""
        done = self.tell(command, stdin=stdin, timeout_s=timeout_s)
        assert done.status == 0, f"{command}: {done.status}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str, mode: str = "644") -> None:
        self(f"install -D -m {mode} /dev/stdin {path}", stdin=text)

    def copy(self, folder: Path, target: str) -> None:
        """Copy what is in a folder into a folder of the machine."""
        with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as tar:
            unpack = f"mkdir -p {target} && tar -C {target} -x --no-same-owner"
            subprocess.run([*self._ssh, unpack], stdin=tar.stdout, check=True, timeout=120)

    def until(self, what: str, holds: Callable[[], object], timeout_s: float = 40.0, *, unit: str = "cluesd") -> None:
        """Wait until it holds; fail with the journal of the unit."""
        ends = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > ends:
                story = self.tell(f"systemctl status {unit}; journalctl --no-pager -n 60 -u {unit}").stdout
                raise AssertionError(f"not within {timeout_s:g} s: {what}\n{story}")
            time.sleep(0.2)


@contextlib.contextmanager
def machine(folder: Path, name: str) -> Iterator[Machine]:
    """Make one, with a bridge of its own, and take both away."""
    settings = LocalSettings(
        kind="nspawn",
        state_dir=str(folder / "state"),
        image_dir=str(default_state_dir() / "images"),
        bridge=f"imce{os.getpid() % 100000}",
        stop_timeout_s=20.0,
    )
    provider, keys = NspawnProvider(settings), new_key_pair()
    provider.prepare(lambda _text: None)
    try:
        request = MachineRequest("e2e", name, new_token(), Spec(mem_bytes=768 << 20), (keys.public,), keys.host_key)
        made = Machine(provider.create(request), folder, keys.private)
        made("systemctl is-system-running --wait")
        yield made
    finally:
        for instance in provider.list_machines():
            provider.delete(instance.provider_id)
