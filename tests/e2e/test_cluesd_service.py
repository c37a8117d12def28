"""cluesd as a service of a real systemd: installed as docs/howto/cluesd-service.md says, on a machine of its own."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pip
import pytest

from tests.e2e.machine import Machine, machine
from tests.e2e.wheels import make_wheels

pytestmark = [pytest.mark.machines, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SERVICE = Path(__file__).parent / "service"
DROP_IN = "/etc/systemd/system/cluesd.service.d/override.conf"
CREDENTIAL = "[Service]\nLoadCredential=kube:/etc/kubernetes/clues.conf\n"
SECONDS_TO_STOP = 10.0
WORST_EXPOSURE = 3.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the package, the unit, the example's settings and an API server; cluesd does not run yet."""
    folder = tmp_path_factory.mktemp("cluesd")
    wheels = make_wheels(folder)
    with machine(folder, "front") as made:
        made.copy(wheels, "/root/wheels")
        # the machine's Python has no pip, as on a Debian without python3-venv
        made.copy(Path(pip.__file__).parent, "/root/pip/pip")
        made("python3 -m venv --without-pip /opt/im-clues")
        install = "/opt/im-clues/bin/python -m pip install --no-index --no-deps --quiet /root/wheels/*.whl"
        made(f"PYTHONPATH=/root/pip {install}", timeout_s=240)
        made("ln -s /opt/im-clues/bin/clues /usr/local/bin/")
        made.copy(SERVICE, "/root/service")
        made("install -m 755 /root/service/node-power /usr/local/sbin/")
        made("install -D -m 600 /root/service/clues.conf /etc/kubernetes/clues.conf")
        made("systemd-run --unit=api --quiet python3 /root/service/api_server.py 8001 open-sesame")
        made.write("/etc/systemd/system/cluesd.service", (ROOT / "systemd" / "cluesd.service").read_text())
        yield made


@pytest.fixture
def service(site: Machine) -> Machine:
    """The machine with the service running, as a fresh installation: in a dry run, with no history."""
    site("systemctl stop cluesd; systemctl reset-failed cluesd || true; rm -rf /var/lib/private/clues")
    site.write("/etc/clues/clues.yaml", _settings())
    site.write(DROP_IN, CREDENTIAL)
    site("systemctl daemon-reload && systemctl start cluesd")
    return site


def _settings(*, dry_run: bool = True, more: str = "") -> str:
    text = (ROOT / "systemd" / "clues.yaml").read_text()
    text = text.replace("/etc/kubernetes/clues.conf", "credential:kube")
    return text.replace("dry_run: true", f"dry_run: {str(dry_run).lower()}") + more


def _shown(machine: Machine, name: str) -> str:
    return machine(f"systemctl show --value --property={name} cluesd").strip()


def _status(machine: Machine) -> Any:
    return json.loads(machine("clues status --json"))


def test_the_unit_is_well_and_little_exposed(site: Machine) -> None:
    verified = site.tell("systemd-analyze verify cluesd.service")
    assert (verified.status, verified.stdout + verified.stderr) == (0, "")
    said = site("systemd-analyze security --no-pager cluesd.service")
    found = re.search(r"Overall exposure level for cluesd.service: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= WORST_EXPOSURE, said


def test_it_starts_with_a_credential_of_root_and_tells_its_status(service: Machine) -> None:
    assert _shown(service, "ActiveState") == "active"
    line = "1 nodes, 1 pods pending, dry run"
    service.until("the status line shows the cluster", lambda: _shown(service, "StatusText") == line)
    process = _shown(service, "MainPID")
    assert service(f"stat -c %u /proc/{process}").strip() != "0"
    assert service(f"grep ^CapEff /proc/{process}/status").split()[1].strip("0") == ""
    assert service("stat -c %a /etc/kubernetes/clues.conf").strip() == "600"


def test_people_of_the_machine_can_ask_it(service: Machine) -> None:
    service.until("the cluster is seen", lambda: "1 pods" in _shown(service, "StatusText"))
    assert "well" in service("clues config check")
    assert "front" in service("clues nodes")
    assert "front" in service("runuser -u nobody clues nodes")
    refused = service.tell("runuser -u nobody clues hold front")
    assert refused.status != 0
    assert "sudo" in refused.stderr
    service("clues hold wn-1")
    found = json.loads(service.tell("clues doctor --json").stdout)
    wrong = [finding for finding in found if finding["area"] in {"settings", "drivers", "daemon", "state"}]
    assert [finding for finding in wrong if finding["severity"] == "error"] == []


def test_a_process_that_hangs_is_killed_and_started_again(service: Machine) -> None:
    service.write(DROP_IN, CREDENTIAL + "WatchdogSec=3\nRestartSec=1\n")
    service("systemctl daemon-reload && systemctl restart cluesd")
    process = _shown(service, "MainPID")
    service(f"kill -STOP {process}")

    def is_back() -> bool:
        return _shown(service, "MainPID") not in {process, "0"} and _shown(service, "ActiveState") == "active"

    service.until("another process serves", is_back, 60)
    assert _shown(service, "NRestarts") == "1"
    assert "Watchdog timeout" in service("journalctl --no-pager -u cluesd")
    line = "1 nodes, 1 pods pending, dry run"
    service.until("it sees the cluster again", lambda: _shown(service, "StatusText") == line)


def test_a_reload_takes_settings_that_are_well_and_only_those(service: Machine) -> None:
    line = "1 nodes, 1 pods pending"
    service.until("it sees the cluster", lambda: _shown(service, "StatusText") == f"{line}, dry run")
    process = _shown(service, "MainPID")

    service.write("/etc/clues/clues.yaml", _settings(dry_run=False, more="\nnonsense: 1\n"))
    refused = service.tell("systemctl reload cluesd")
    assert refused.status != 0
    assert "nonsense" in service("journalctl --no-pager -u cluesd")
    service("systemctl kill --kill-who=main --signal=HUP cluesd")
    wrong = "problem: the settings file is wrong and not in force"
    service.until("the status line says so", lambda: _shown(service, "StatusText").startswith(wrong))
    assert _status(service)["dry_run"]
    assert service.tell("cat /var/lib/clues/orders").stdout == ""

    service.write("/etc/clues/clues.yaml", _settings(dry_run=False))
    service("systemctl reload cluesd")
    service.until("it acts", lambda: service.tell("cat /var/lib/clues/orders").stdout.startswith("on wn-"))
    assert not _status(service)["dry_run"]
    assert (_shown(service, "MainPID"), _shown(service, "ActiveState")) == (process, "active")


@pytest.mark.parametrize("api", ["answers", "is silent"])
def test_it_stops_within_its_time(service: Machine, api: str) -> None:
    service.until("the cluster is seen", lambda: "1 pods" in _shown(service, "StatusText"))
    if api == "is silent":
        service("systemctl kill --signal=STOP api")
    try:
        began = time.monotonic()
        service("systemctl stop cluesd")
        assert time.monotonic() - began < SECONDS_TO_STOP
    finally:
        service("systemctl kill --signal=CONT api")
    assert _shown(service, "ActiveState") == "inactive"
    assert _shown(service, "Result") == "success"
    assert service("ls /run/clues 2>/dev/null || true") == ""
