"""What is PoE's own: the switch is net-snmp's snmpd, the machine a real sshd."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import CommandFailed, InfraError, Misconfigured, NoCapacity, NotFound, Unauthorised
from tests.rigs.poe_switch import COMMUNITY, PRIVACY_PASSWORD, READ_COMMUNITY, USER, Switch, poe_switch
from tests.rigs.ssh_machine import SshMachine, ssh_machine

pytestmark = pytest.mark.snmp
_Opener = Callable[..., PowerDriver]
_MACHINES = (MachineOption("m1", address="127.0.0.1", port=1), MachineOption("m2", address="127.0.0.1", port=2))


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Switch]:
    with poe_switch(tmp_path / "switch") as started:
        yield started


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SshMachine]:
    with ssh_machine(tmp_path) as started:
        yield started


@pytest.fixture
def opener(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Opener]:
    """Open a driver for the switch, with changed settings."""
    monkeypatch.setenv("COMMUNITY", COMMUNITY)
    with ExitStack() as stack:

        def opened(machines: tuple[MachineOption, ...] = _MACHINES, **changed: object) -> PowerDriver:
            text: dict[str, object] = {"type": "poe", "switch": switch.address, "community": {"env": "COMMUNITY"}}
            text |= {
                "timeout_s": 1,
                "retries": 1,
                "poll_s": 0.1,
                "grace_s": 10.0,
                "settle_s": 0.1,
                "halt_s": 0.1,
                **changed,
            }
            driver = load_drivers({"d": text}, [Pool("p", driver="d", machines=machines)])["d"]
            stack.callback(driver.close)
            return driver

        yield opened


def _on(driver: PowerDriver, number: int = 0) -> None:
    driver.on([Order(f"t{number}", "p", _MACHINES[number])])


@pytest.mark.sshd
def test_a_machine_is_shut_down_before_its_power_is_cut(switch: Switch, machine: SshMachine, opener: _Opener) -> None:
    switch.switch(1, on=True)
    begun = time.monotonic()
    opener(ssh=machine.settings, halt_s=1.0).off("p", ["m1"], token="x")
    assert time.monotonic() - begun >= 1.0
    assert (machine.is_on, switch.is_on(1)) == (False, False)


@pytest.mark.sshd
def test_power_stays_where_the_machine_was_asked_and_goes_on(
    switch: Switch, machine: SshMachine, opener: _Opener
) -> None:
    switch.switch(1, on=True)
    ssh = machine.settings | {"off_command": machine.log_and("true")}
    with pytest.raises(CommandFailed, match="m1 still answers ssh 1 s after it was asked to shut down") as raised:
        opener(ssh=ssh, grace_s=1.0).off("p", ["m1"], token="x")
    assert "cut_anyway" in raised.value.hint
    assert (machine.is_on, machine.asked, switch.is_on(1), switch.orders()) == (True, 1, True, [])


@pytest.mark.sshd
def test_a_machine_that_goes_on_is_cut_where_that_is_wanted(
    switch: Switch, machine: SshMachine, opener: _Opener
) -> None:
    switch.switch(1, on=True)
    ssh = machine.settings | {"off_command": machine.log_and("true")}
    opener(ssh=ssh, grace_s=1.0, cut_anyway=True).off("p", ["m1"], token="x")
    assert (machine.is_on, machine.asked, switch.is_on(1)) == (True, 1, False)


@pytest.mark.sshd
def test_power_stays_where_ssh_lets_us_not_in(switch: Switch, machine: SshMachine, opener: _Opener) -> None:
    switch.switch(1, on=True)
    machine.lock_out()
    with pytest.raises(Unauthorised):
        opener(ssh=machine.settings).off("p", ["m1"], token="x")
    assert (switch.is_on(1), switch.orders()) == (True, [])


@pytest.mark.sshd
def test_power_stays_where_the_host_key_is_another(
    switch: Switch, machine: SshMachine, opener: _Opener, tmp_path: Path
) -> None:
    switch.switch(1, on=True)
    nobody = tmp_path / "nobody"
    nobody.touch()
    with pytest.raises(Unauthorised, match=r"[Hh]ost key"):
        opener(ssh=machine.settings | {"known_hosts": str(nobody)}).off("p", ["m1"], token="x")
    assert switch.is_on(1)


@pytest.mark.sshd
def test_power_stays_where_the_shutdown_is_refused(switch: Switch, machine: SshMachine, opener: _Opener) -> None:
    switch.switch(1, on=True)
    ssh = machine.settings | {"off_command": ["echo no right to do that >&2; exit 1"]}
    with pytest.raises(CommandFailed, match="no right"):
        opener(ssh=ssh).off("p", ["m1"], token="x")
    assert switch.is_on(1)


@pytest.mark.sshd
def test_a_machine_that_lets_nobody_in_while_it_goes_down_is_waited_for(
    switch: Switch, machine: SshMachine, opener: _Opener
) -> None:
    switch.switch(1, on=True)
    keys = machine.folder / "server" / "home" / ".ssh" / "authorized_keys"
    ssh = machine.settings | {"off_command": machine.log_and(f": > {keys}")}
    with pytest.raises(CommandFailed, match=r"was asked to shut down.*[Pp]ermission denied"):
        opener(ssh=ssh, grace_s=1.0).off("p", ["m1"], token="x")
    assert (machine.asked, switch.is_on(1)) == (1, True)
    machine.stop()
    opener(ssh=ssh).off("p", ["m1"], token="x")
    assert not switch.is_on(1)


@pytest.mark.sshd
def test_power_is_cut_where_nothing_listens(switch: Switch, machine: SshMachine, opener: _Opener) -> None:
    switch.switch(1, on=True)
    machine.stop()
    opener(ssh=machine.settings).off("p", ["m1"], token="x")
    assert not switch.is_on(1)


def test_power_stays_where_the_host_has_no_address(switch: Switch, opener: _Opener) -> None:
    switch.switch(1, on=True)
    machines = (MachineOption("m1", address="no-such..host", port=1),)
    with pytest.raises(Misconfigured, match=r"no-such\.\.host"):
        opener(machines).off("p", ["m1"], token="x")
    assert switch.is_on(1)


def test_a_port_with_a_fault_is_a_failed_machine(switch: Switch, opener: _Opener) -> None:
    for port in (1, 2):
        switch.switch(port, on=True)
    switch.detect(2, 4)
    first, second = opener().list("p")
    assert (first.state, second.state, second.detail) == (PowerState.ON, PowerState.FAILED, "port 2: fault")


def test_a_switch_that_says_yes_and_does_nothing_is_found_out(switch: Switch, opener: _Opener) -> None:
    switch.stick()
    with pytest.raises(CommandFailed, match="not switched"):
        _on(opener())


def test_the_budget_of_the_switch_is_kept(switch: Switch, opener: _Opener) -> None:
    driver = opener(budget_watts=20.0)
    _on(driver, 0)
    _on(driver, 0)
    with pytest.raises(NoCapacity, match=r"30\.8 W of the budget's 20 W"):
        _on(driver, 1)
    assert (switch.is_on(1), switch.is_on(2)) == (True, False)


_V3 = {
    "version": "3",
    "user": USER,
    "auth": "SHA-256",
    "auth_password": {"env": "AUTH"},
    "privacy_password": {"env": "P"},
}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"community": {"env": "READ"}}, Unauthorised),
        ({"group": 2}, NotFound),
        ({"switch": "no-such..host"}, Misconfigured),
        (_V3, Unauthorised),
        (_V3 | {"user": "nobody"}, Unauthorised),
        (_V3 | {"auth_password": {"env": "SHORT"}}, Misconfigured),
    ],
    ids=["read-only", "group", "host", "v3-password", "v3-user", "v3-short-password"],
)
def test_why_it_failed_is_told(
    switch: Switch,
    opener: _Opener,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, object],
    error: type[InfraError],
) -> None:
    for name, value in {
        "READ": READ_COMMUNITY,
        "AUTH": "not-this-one",
        "SHORT": "short",
        "P": PRIVACY_PASSWORD,
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InfraError) as raised:
        _on(opener(**changed))
    assert (type(raised.value), switch.is_on(1)) == (error, False), raised.value.message


def test_two_machines_on_one_port_are_refused(opener: _Opener) -> None:
    with pytest.raises(Misconfigured, match=r"machine m2: port 1 of .* is m1's"):
        opener((MachineOption("m1", port=1), MachineOption("m2", port=1)))
