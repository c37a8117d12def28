"""`im serve` as a service of a real systemd, installed as docs/howto/serve.md says, on a machine of its own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pip
import pytest

from tests.e2e.machine import Machine, machine
from tests.e2e.wheels import make_wheels
from tests.im_client.api.templates import tosca

pytestmark = [pytest.mark.machines, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
WORST_EXPOSURE = 2.0
AUTH = "Authorization: type = InfrastructureManager; username = ana; password = correct horse"
ADD_USER = (
    "systemd-run --pipe --wait -q -p DynamicUser=yes -p User=im -p StateDirectory=im -E IM_STATE_DIR=/var/lib/im "
    "-E HOME=/var/lib/im /opt/im-clues/bin/im user add ana --password-stdin"
)
ASK = """
import sys, urllib.request
method, path, auth = sys.argv[1:4]
body = sys.stdin.buffer.read() or None
headers = {"Authorization": auth.split(": ", 1)[1], "Content-Type": "text/yaml"}
request = urllib.request.Request("http://127.0.0.1:8800" + path, body, headers, method=method)
sys.stdout.write(urllib.request.urlopen(request, timeout=30).read().decode())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the package and the unit, which runs."""
    folder = tmp_path_factory.mktemp("im")
    wheels = make_wheels(folder, ("run", "server"))
    with machine(folder, "front") as made:
        made.copy(wheels, "/root/wheels")
        made.copy(Path(pip.__file__).parent, "/root/pip/pip")
        made("python3 -m venv --without-pip /opt/im-clues")
        install = "/opt/im-clues/bin/python -m pip install --no-index --no-deps --quiet /root/wheels/*.whl"
        made(f"PYTHONPATH=/root/pip {install}", timeout_s=240)
        for name in ("tosca_templates", "playbooks"):
            made.copy(ROOT / name, f"/opt/im-clues/share/im-clues/{name}")
        made.write("/etc/systemd/system/im.service", (ROOT / "systemd" / "im.service").read_text())
        made.write("/etc/im/im.yaml", "provider: fake\n")
        made.write("/root/ask.py", ASK)
        made("systemctl daemon-reload && systemctl start im", timeout_s=90)
        made(ADD_USER, stdin="correct horse\n")
        yield made


def ask(site: Machine, method: str, path: str, body: str = "") -> str:
    """Ask the service from its own machine."""
    return site(f"python3 /root/ask.py {method} '{path}' '{AUTH}'", stdin=body)


def is_configured(site: Machine, infra: str) -> bool:
    return '{"state": {"state": "configured"' in ask(site, "GET", f"{infra}/state")


def shown(site: Machine, name: str) -> str:
    return site(f"systemctl show --value --property={name} im").strip()


def test_the_unit_is_well_and_little_exposed(site: Machine) -> None:
    verified = site.tell("systemd-analyze verify im.service")
    assert (verified.status, verified.stdout + verified.stderr) == (0, "")
    found = re.search(
        r"exposure level for im.service: ([0-9.]+)", site("systemd-analyze security --no-pager im.service")
    )
    assert found is not None
    assert float(found[1]) <= WORST_EXPOSURE


def test_it_is_ready_when_it_answers_and_is_nobody_in_particular(site: Machine) -> None:
    assert shown(site, "ActiveState") == "active"
    assert shown(site, "StatusText") == "listening on 127.0.0.1:8800"
    process = shown(site, "MainPID")
    assert site(f"stat -c %u /proc/{process}").strip() != "0"
    assert site(f"grep ^CapEff /proc/{process}/status").split()[1].strip("0") == ""


def test_it_makes_and_destroys_also_from_a_large_template(site: Machine) -> None:
    large = tosca(2) + "#" * 40_000  # read by a child process
    infra = ask(site, "POST", "/infrastructures", large).split("8800", 1)[1]
    site.until(
        "configured", lambda: '{"state": {"state": "configured"' in ask(site, "GET", f"{infra}/state"), unit="im"
    )
    assert "worker-1" in ask(site, "GET", f"{infra}/vms/1")
    ask(site, "DELETE", infra)
    assert ask(site, "GET", "/infrastructures") == ""


def test_killed_it_comes_back_with_what_it_knew(site: Machine) -> None:
    infra = ask(site, "POST", "/infrastructures", tosca(5)).split("8800", 1)[1]
    process = shown(site, "MainPID")
    site("systemctl kill -s KILL im")
    site.until(
        "another process serves",
        lambda: shown(site, "MainPID") not in {process, "0"} and shown(site, "ActiveState") == "active",
        60,
        unit="im",
    )
    site.until(
        "configured", lambda: '{"state": {"state": "configured"' in ask(site, "GET", f"{infra}/state"), unit="im"
    )
    site("systemctl stop im", timeout_s=20)
    assert shown(site, "Result") == "success"
