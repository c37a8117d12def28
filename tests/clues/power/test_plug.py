"""What is a plug driver's own: the machine behind it is a real sshd."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from clues.options import MachineOption, Pool
from clues.power.base import PowerDriver
from clues.power.registry import load_drivers
from clues.power.secure_shell import SshSettings, ask
from infracore.deadline import Deadline
from infracore.errors import CommandFailed, Misconfigured, Transient, Unauthorised
from infracore.outlets.halting import Answer
from infracore.process import Completed
from tests.im_client.remote.loopback import free_port
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
            text |= {"poll_s": 0.1, "grace_s": 10.0, "settle_s": 0.1, "halt_s": 0.1, **changed}
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


def _ssh_saying(machine: SshMachine, folder: Path, words: str) -> tuple[dict[str, object], Path]:
    """Return `ssh` of a driver that fails with a word per look, the last ever after ("": as ssh does), and its log."""
    log, program = folder / "looks", folder / "ssh"
    said = "".join(f"{number}) said={word!r} ;;\n" for number, word in enumerate(words.split("|"), 1))
    program.write_text(
        f"""#!/bin/sh
echo look >> {log}
said={words.rpartition("|")[2]!r}
case $(wc -l < {log}) in
{said}esac
[ -n "$said" ] || exec ssh "$@"
echo "ssh: connect to host 127.0.0.1 port 22: $said" >&2
exit 255
"""
    )
    program.chmod(0o755)
    return machine.settings | {"program": [str(program)], "off_command": machine.log_and("true")}, log


@pytest.mark.sshd
def test_a_machine_that_answers_again_is_not_down(
    server: PlugServer, machine: SshMachine, opener: _Opener, tmp_path: Path
) -> None:
    server.switch(1, on=True)
    ssh, log = _ssh_saying(machine, tmp_path, "|No route to host||No route to host|")
    with pytest.raises(CommandFailed, match="still answers"):
        opener(ssh=ssh, grace_s=2.0, settle_s=1.0).off("p", ["m1"], token="x")
    assert len(log.read_text().split()) > 4
    assert (machine.asked, server.outlets[1], server.orders) == (1, True, [])


@pytest.mark.sshd
def test_a_machine_that_refuses_ssh_is_still_going_down(
    server: PlugServer, machine: SshMachine, opener: _Opener, tmp_path: Path
) -> None:
    """Its sshd has ended, its kernel answers: containers are ended then, and logs saved."""
    server.switch(1, on=True)
    refusals = "|".join(["Connection refused"] * 8)
    ssh, log = _ssh_saying(machine, tmp_path, f"|{refusals}|No route to host")
    looks: list[int] = []
    server.on_switch = lambda _outlet, _on: looks.append(len(log.read_text().split()))
    opener(ssh=ssh, settle_s=0.3, halt_s=60.0).off("p", ["m1"], token="x")
    assert looks[0] > 1 + 8 + 1
    assert (machine.asked, server.outlets[1]) == (1, False)


@pytest.mark.sshd
def test_a_shutdown_that_hangs_behind_the_end_of_sshd_is_cut(
    server: PlugServer, machine: SshMachine, opener: _Opener, tmp_path: Path
) -> None:
    server.switch(1, on=True)
    ssh, log = _ssh_saying(machine, tmp_path, "|Connection refused")
    begun = time.monotonic()
    opener(ssh=ssh, settle_s=0.0, halt_s=1.0).off("p", ["m1"], token="x")
    assert time.monotonic() - begun >= 1.0
    assert (len(log.read_text().split()) > 3, server.outlets[1]) == (True, False)


@pytest.mark.sshd
def test_power_stays_where_it_cannot_be_told_whether_the_machine_is_down(
    server: PlugServer, machine: SshMachine, opener: _Opener, tmp_path: Path
) -> None:
    server.switch(1, on=True)
    ssh, _ = _ssh_saying(machine, tmp_path, "|Network is unreachable")
    with pytest.raises(Transient, match=r"cannot be told.*Network is unreachable"):
        opener(ssh=ssh, grace_s=1.0, cut_anyway=True).off("p", ["m1"], token="x")
    assert server.outlets[1]


@pytest.mark.sshd
def test_an_order_that_broke_off_is_given_again(
    server: PlugServer, machine: SshMachine, opener: _Opener, tmp_path: Path
) -> None:
    server.switch(1, on=True)
    ssh, _ = _ssh_saying(machine, tmp_path, "Connection reset by peer||No route to host")
    opener(ssh=ssh).off("p", ["m1"], token="x")
    assert (machine.asked, server.outlets[1]) == (1, False)


@pytest.mark.sshd
def test_behind_a_jump_host_a_refusal_is_the_machines_and_not_the_jump_hosts(
    machine: SshMachine, tmp_path: Path
) -> None:
    text = machine.settings
    jump = f"ssh -i {text['key']} -o IdentitiesOnly=yes -o UserKnownHostsFile={text['known_hosts']} -o BatchMode=yes"

    def asked(jump_port: int) -> Completed | Answer:
        proxy = f"ProxyCommand={jump} -p {jump_port} -l {text['user']} -W %h:%p 127.0.0.1"
        settings = msgspec.convert(text | {"options": [proxy], "port": free_port()}, SshSettings)
        return ask(settings, "127.0.0.1", ["true"], Deadline("ssh", 20.0, threading.Event()))

    assert asked(text["port"]) is Answer.REFUSED
    with pytest.raises(Transient, match="nothing leads to it"):
        asked(free_port())


@pytest.mark.parametrize(
    ("machines", "changed", "said"),
    [
        ((MachineOption("m2"),), {}, "plugs does not name it"),
        ((MachineOption("m1"),), {"plugs": {"m1": "ftp://x"}}, "no http"),
        ((MachineOption("m1", port=-2),), {}, "no outlet"),
        ((MachineOption("m1"), MachineOption("m2", port=1)), {"plugs": {"m1": "h", "m2": "h"}}, "m1's"),
        ((MachineOption("m1"), MachineOption("m2")), {"plugs": {"m1": "h", "m2": "http://H:80/"}}, "m1's"),
        ((), {"kind": "hue"}, "kind"),
        ((), {"grace_s": 600.0}, "shorter than call_s"),
        ((), {"halt_s": 590.0}, "shorter than call_s"),
        ((), {"request_s": 0.0}, "request_s"),
        ((), {"settle_s": -1.0}, r"settle_s: -1\.0 is no number"),
        ((), {"halt_s": float("nan")}, "halt_s: nan is no number"),
        ((), {"booting": -1}, "booting"),
        ((), {"password": {"env": "A", "file": "b"}}, "more than one"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    opener: _Opener, machines: tuple[MachineOption, ...], changed: dict[str, object], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        opener(machines, **changed)


@pytest.mark.parametrize(("changed", "most"), [({}, 4), ({"booting": 2}, 2), ({"booting": 0}, None)])
def test_so_many_boards_boot_at_once(opener: _Opener, changed: dict[str, object], most: int | None) -> None:
    assert opener(**changed).limits.booting == most


def test_a_password_that_cannot_be_read_is_told_by_the_check(opener: _Opener, tmp_path: Path) -> None:
    (fault,) = opener(password={"file": str(tmp_path / "none")}).check()
    assert "cannot read" in fault
