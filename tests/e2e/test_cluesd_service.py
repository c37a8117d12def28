"""cluesd as its unit runs it, under the systemd of a machine: start, watchdog, reload, stop."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import SITE, Im

pytestmark = [pytest.mark.machines, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
_SETTINGS = "/etc/clues/clues.yaml"
_NOT_NEEDED = ("ansible", "ansible_*", "libcloud", "mypy", "mypyc", "ruff*", "molecule", "hypothesis", "__pycache__")
_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:8001"}}],
    "users": [{"name": "u", "user": {"token": "not-a-real-one"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
}
_DROP_IN = """
[Service]
LoadCredential=kube:/etc/kubernetes/clues.conf
WatchdogSec=3
RestartSec=1
TimeoutAbortSec=2
"""
_STUB = """#!/usr/bin/python3
import sys
sys.path[:0] = ["/opt/im-clues/lib"]
from clues.cli.main import {0}
sys.exit({0}())
"""


class Head:
    """A machine with cluesd installed."""

    def __init__(self, im: Im) -> None:
        self._im = im

    def run(self, line: str, *, status: int | None = 0, data: bytes | None = None) -> str:
        """Run a line of shell on the machine, with these bytes as its input."""
        done = subprocess.run(
            self._im.argv("ssh", "site", "head", "--", line),
            env=self._im.env,
            input=data or b"",
            capture_output=True,
            timeout=120,
            check=False,
        )
        said = done.stdout.decode()
        assert status is None or done.returncode == status, f"{line}: {done.returncode}\n{said}{done.stderr.decode()}"
        return said

    def write(self, path: str, text: str, mode: str = "644") -> None:
        self.run(f"install -D -m {mode} /dev/stdin {path}", data=text.encode())

    def copy(self, folder: Path, *names: str) -> None:
        """Copy names of a folder of this computer into the machine's library."""
        words = ["tar", "-C", str(folder), *(f"--exclude={name}" for name in _NOT_NEEDED), "-cf", "-", *names]
        packed = subprocess.run(words, capture_output=True, check=True, timeout=120).stdout
        self.run("mkdir -p /opt/im-clues/lib && tar -C /opt/im-clues/lib --no-same-owner -xf -", data=packed)

    def shown(self, name: str) -> str:
        return self.run(f"systemctl show -P {name} cluesd").strip()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("/opt/im-clues/bin/clues status --json", status=None))
        return found

    def story(self) -> str:
        return self.run("systemctl status cluesd; journalctl -u cluesd --no-pager | tail -40", status=None)

    def until(self, what: str, holds: Callable[[], bool], within_s: float = 40) -> None:
        ends = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < ends, f"not within {within_s:g} s: {what}\n{self.story()}"
            time.sleep(0.3)


def settings(**policy: Any) -> str:
    """Return the example's settings, with the credential of the drop-in and programs that are there."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "systemd" / "clues.yaml").read_text())
    found["kubernetes"]["kubeconfig"] = "credential:kube"
    found["drivers"]["rack"] |= {"on": ["/bin/true"], "off": ["/bin/true"], "status": ["/bin/echo", "off"]}
    found["policy"] |= policy
    return yaml.safe_dump(found)


@pytest.fixture
def head(im: Im) -> Head:
    im("deploy", str(SITE / "machine.yaml"), "-y", "--name", "site")
    made = Head(im)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    theirs = made.run("python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'").strip()
    if theirs != version:
        pytest.skip(f"the machine has Python {theirs}, and the libraries here are for {version}")
    made.copy(Path(yaml.__file__).parents[1], ".")
    made.copy(ROOT, "clues", "infracore")
    for command, name in (("cluesd", "daemon"), ("clues", "main")):
        made.write(f"/opt/im-clues/bin/{command}", _STUB.format(name), "755")
    made.write("/etc/systemd/system/cluesd.service", (ROOT / "systemd" / "cluesd.service").read_text())
    made.write("/etc/systemd/system/cluesd.service.d/test.conf", _DROP_IN)
    made.write("/etc/kubernetes/clues.conf", json.dumps(_KUBECONFIG), "600")
    made.write(_SETTINGS, settings())
    made.write("/root/api_server.py", (SITE / "api_server.py").read_text())
    made.run("systemctl daemon-reload && systemd-run --unit=api --quiet python3 /root/api_server.py")
    return made


def test_it_starts_is_restarted_reloads_and_stops(head: Head) -> None:
    assert "no problem" in head.run(f"/opt/im-clues/bin/clues config check {_SETTINGS}; echo no problem")
    head.run("systemctl start cluesd", status=None)
    assert head.shown("ActiveState") == "active", head.story()
    head.until("it knows the cluster", lambda: "dry run" in head.shown("StatusText"))
    assert head.status()["dry_run"] is True
    assert head.run("stat -c %U:%a /etc/kubernetes/clues.conf").strip() == "root:600"
    first = head.shown("MainPID")
    assert first != "0", head.story()
    assert 61184 <= int(head.run(f"stat -c %u /proc/{first}")) <= 65519  # systemd's range of dynamic users

    head.run("systemctl kill -s STOP --kill-whom=main cluesd")  # it hangs: the watchdog ends it
    head.until("it was restarted", lambda: head.shown("MainPID") not in {first, "0"} and head.shown("NRestarts") == "1")
    head.until("it is active again", lambda: head.shown("ActiveState") == "active")
    assert "atchdog" in head.run("journalctl -u cluesd --no-pager")

    second = head.shown("MainPID")
    head.write(_SETTINGS, settings(unneeded_s="soon"))
    head.run("systemctl reload cluesd", status=None)
    head.until("it says what is wrong", lambda: "unneeded_s" in head.run("/opt/im-clues/bin/clues status", status=None))
    assert head.shown("MainPID") == second
    head.write(_SETTINGS, settings(unneeded_s=77).replace("dry_run: true", "dry_run: false"))
    head.run("systemctl reload cluesd")
    head.until("the new settings hold", lambda: head.status()["dry_run"] is False)
    assert "unneeded_s" not in head.run("/opt/im-clues/bin/clues status", status=None)
    assert head.shown("MainPID") == second

    began = time.monotonic()
    head.run("systemctl stop cluesd")
    assert time.monotonic() - began < 10
    assert head.shown("Result") == "success", head.story()
    exposure = head.run("systemd-analyze security cluesd --no-pager").strip().splitlines()[-1]
    assert float(exposure.split("cluesd.service:")[1].split()[0]) <= 3.0
