"""What is a plug driver's own: the machine behind it is a real sshd."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import PowerDriver
from clues.power.registry import load_drivers
from infracore.errors import Misconfigured, Unauthorised
from tests.rigs.plug_server import PlugServer, plug_server
from tests.rigs.ssh_machine import SshMachine, ssh_machine

_Opener = Callable[..., PowerDriver]


@pytest.fixture
def server() -> Iterator[PlugServer]:
    with plug_server("shelly2", password="") as started:
        yield started


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SshMachine]:
    with ssh_machine(tmp_path) as started:
        yield started


@pytest.fixture
def opener(server: PlugServer) -> Iterator[_Opener]:
    """Open a driver for the plug, with changed settings."""
    with ExitStack() as stack:

        def opened(machines: tuple[MachineOption, ...] = (), **changed: object) -> PowerDriver:
            text: dict[str, object] = {"type": "plug", "kind": "shelly2", "plugs": {"m1": server.address}}
            text |= {"poll_s": 0.1, "grace_s": 10.0, "settle_s": 0.1, **changed}
            machines = machines or (MachineOption("m1", address="127.0.0.1"),)
            driver = load_drivers({"d": text}, [Pool("p", driver="d", machines=machines)])["d"]
            stack.callback(driver.close)
            return driver

        yield opened


@pytest.mark.sshd
def test_power_goes_only_after_the_machine_is_down(server: PlugServer, machine: SshMachine, opener: _Opener) -> None:
    server.switch(1, on=True)
    seen: list[bool] = []
    server.on_switch = lambda _outlet, _on: seen.append(machine.is_on)
    opener(ssh=machine.settings).off("p", ["m1"], token="x")
    assert (seen, server.outlets[1]) == ([False], False)


@pytest.mark.sshd
def test_power_stays_where_ssh_lets_us_not_in(server: PlugServer, machine: SshMachine, opener: _Opener) -> None:
    server.switch(1, on=True)
    machine.lock_out()
    with pytest.raises(Unauthorised):
        opener(ssh=machine.settings).off("p", ["m1"], token="x")
    assert (server.outlets[1], server.orders) == (True, [])


@pytest.mark.sshd
def test_a_machine_that_answers_again_is_not_down(
    server: PlugServer, machine: SshMachine, opener: _Opener, tmp_path: Path
) -> None:
    """It is silent once only: the first look after the order, which alone would do, is told that nobody is there."""
    server.switch(1, on=True)
    log = tmp_path / "looks"
    program = tmp_path / "ssh"
    program.write_text(
        f"""#!/bin/sh
echo look >> {log}
case $(wc -l < {log}) in
    2|4) echo 'Connection refused' >&2; exit 255 ;;
esac
exec ssh "$@"
"""
    )
    program.chmod(0o755)
    ssh = machine.settings | {"program": [str(program)], "off_command": machine.log_and("true")}
    opener(ssh=ssh, grace_s=3.0, settle_s=1.0).off("p", ["m1"], token="x")
    assert len(log.read_text().split()) > 2
    assert (machine.asked, server.outlets[1]) == (1, False)


@pytest.mark.parametrize(
    ("machines", "changed", "said"),
    [
        ((MachineOption("m2"),), {}, "plugs does not name it"),
        ((MachineOption("m1"),), {"plugs": {"m1": "ftp://x"}}, "no http"),
        ((MachineOption("m1", port=-2),), {}, "no outlet"),
        ((MachineOption("m1"), MachineOption("m2", port=1)), {"plugs": {"m1": "h", "m2": "h"}}, "m1's"),
        ((), {"kind": "hue"}, "kind"),
        ((), {"grace_s": 200.0}, "shorter than call_s"),
        ((), {"request_s": 0.0}, "request_s"),
        ((), {"password": {"env": "A", "file": "b"}}, "more than one"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    opener: _Opener, machines: tuple[MachineOption, ...], changed: dict[str, object], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        opener(machines, **changed)


def test_a_password_that_cannot_be_read_is_told_by_the_check(opener: _Opener, tmp_path: Path) -> None:
    (fault,) = opener(password={"file": str(tmp_path / "none")}).check()
    assert "cannot read" in fault
