"""What is wake-on-LAN's own: real frames in a network namespace, real sshd."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import Misconfigured, Transient
from tests.rigs.needs import need_programs
from tests.rigs.process import wait_until
from tests.rigs.wol_machines import BROADCAST, INTERFACE, Machine, Network, wol_machines

pytestmark = [pytest.mark.netns, pytest.mark.sshd]
_Opener = Callable[..., PowerDriver]
_NOBODY = "192.0.2.99"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with wol_machines(tmp_path, 1) as made:
        yield made


@pytest.fixture
def machine(network: Network) -> Machine:
    return network.machines[0]


@pytest.fixture
def opener(network: Network, machine: Machine) -> Iterator[_Opener]:
    """Open a driver for the machine, with changed settings."""
    with ExitStack() as stack:

        def opened(host: str = machine.address, **changed: object) -> PowerDriver:
            if changed.get("status") == "ping":
                need_programs("ping")
            text: dict[str, object] = {"type": "wol", "broadcast": BROADCAST, "hosts": {"m1": host}}
            text |= {"ssh": network.ssh, "status_s": 1.0, **changed}
            pool = Pool("p", driver="d", machines=(MachineOption("m1", address=machine.mac),))
            driver = load_drivers({"d": text}, [pool])["d"]
            stack.callback(driver.close)
            return driver

        yield opened


_ORDER = Order("t", "p", MachineOption("m1"))


def _state(driver: PowerDriver) -> PowerState:
    (report,) = driver.list("p")
    return report.state


def test_as_many_packets_as_are_wanted_reach_the_card(machine: Machine, opener: _Opener) -> None:
    opener(packets=4, pause_s=0.01).on([_ORDER])
    wait_until(lambda: machine.woken == 4, "four packets came")


def test_a_packet_leaves_by_the_interface_that_is_named_without_any_route(machine: Machine, opener: _Opener) -> None:
    with pytest.raises(Transient, match="unreachable"):
        opener(broadcast="255.255.255.255").on([_ORDER])
    opener(broadcast="255.255.255.255", interface=INTERFACE).on([_ORDER])
    wait_until(lambda: machine.is_on, "it is on")


def test_an_interface_that_is_not_there_is_misconfigured(opener: _Opener) -> None:
    with pytest.raises(Misconfigured, match="No such device"):
        opener(interface="no0").on([_ORDER])


@pytest.mark.parametrize("password", ["0a:0b:0c:0d:0e:0f", "0a0b0c0d"])
def test_a_card_with_a_secure_on_password_wakes_by_it(
    machine: Machine, opener: _Opener, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.secure_on = bytes.fromhex(password.replace(":", ""))
    monkeypatch.setenv("SECURE_ON", password)
    opener(password={"env": "SECURE_ON"}).on([_ORDER])
    wait_until(lambda: machine.is_on, "it is on")


@pytest.mark.parametrize("status", ["ssh", "tcp", "ping"])
def test_a_host_that_has_no_address_is_misconfigured(opener: _Opener, status: str) -> None:
    driver = opener("no-such..host", status=status)
    for call in (lambda: driver.off("p", ["m1"], token="x"), lambda: driver.list("p")):
        with pytest.raises(Misconfigured, match=r"no-such\.\.host"):
            call()


@pytest.mark.parametrize("status", ["ssh", "tcp", "ping"])
def test_a_machine_that_is_silent_is_off(opener: _Opener, status: str) -> None:
    driver = opener(_NOBODY, status=status)
    assert _state(driver) is PowerState.OFF
    driver.off("p", ["m1"], token="x")


@pytest.mark.parametrize("status", ["ssh", "tcp", "ping"])
def test_a_machine_that_runs_is_on(network: Network, machine: Machine, opener: _Opener, status: str) -> None:
    network.turn_on(machine)
    assert _state(opener(status=status)) is PowerState.ON


def test_a_machine_whose_ssh_is_stuck_is_neither_on_nor_off(
    network: Network, machine: Machine, opener: _Opener
) -> None:
    network.turn_on(machine)
    machine.hang()
    driver = opener(ssh={**network.ssh, "connect_s": 1})
    assert _state(driver) is PowerState.UNKNOWN
    with pytest.raises(Transient):
        driver.off("p", ["m1"], token="x")


def test_off_fails_where_the_machine_answers_and_its_ssh_does_not(machine: Machine, opener: _Opener) -> None:
    driver = opener(status="ping")  # the card answers pings, and sshd does not run
    with pytest.raises(Transient, match="is on, and its ssh"):
        driver.off("p", ["m1"], token="x")


def test_a_call_ends_in_time_where_ssh_is_stuck(network: Network, machine: Machine, opener: _Opener) -> None:
    network.turn_on(machine)
    machine.hang()
    begun = time.monotonic()
    assert _state(opener(call_s=1.0)) is PowerState.UNKNOWN
    assert time.monotonic() - begun < 4.0


def test_one_host_without_an_address_hides_no_other(network: Network, machine: Machine) -> None:
    network.turn_on(machine)
    machines = (MachineOption("m1", address=machine.mac), MachineOption("m2", address="52:54:00:12:34:99"))
    hosts = {"m1": machine.address, "m2": "no-such..host"}
    text = {"type": "wol", "broadcast": BROADCAST, "hosts": hosts, "ssh": network.ssh}
    driver = load_drivers({"d": text}, [Pool("p", driver="d", machines=machines)])["d"]
    try:
        first, second = driver.list("p")
        assert (first.state, second.state) == (PowerState.ON, PowerState.UNKNOWN)
        assert "no-such..host" in second.detail
    finally:
        driver.close()
