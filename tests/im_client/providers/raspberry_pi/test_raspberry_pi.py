"""The provider on a shelf of boards: who is switched on, who is cut off and when, and what the plan says beforehand."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from im_client.plan.model import Action, Phase, Spec
from im_client.providers.base import Instance, MachineRequest, Severity
from im_client.providers.foretelling import Foretells
from im_client.providers.hosts.reservations import slot_of
from im_client.providers.raspberry_pi import RaspberryPiProvider, open_provider
from im_client.providers.settling import Settles
from im_client.remote.hostkeys import new_host_key
from infracore.errors import Conflict, Misconfigured, NoCapacity, NotFound, Unauthorised, Unsupported
from tests.contracts.harness import new_key_pair
from tests.rigs.pi_boards import Shelf, shelf
from tests.rigs.process import wait_until

pytestmark = [pytest.mark.sshd, pytest.mark.ansible]
_KEY = new_key_pair().public
_NO_POWER: dict[str, Any] = {"raspberry_pi_power": {"kind": "none"}}


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Shelf]:
    with shelf(tmp_path, 2) as made:
        yield made


def _request(name: str = "wn-1", spec: Spec | None = None) -> MachineRequest:
    return MachineRequest("i", name, f"token-{name}", spec or Spec(), authorized_keys=(_KEY,))


def _up(provider: RaspberryPiProvider, request: MachineRequest) -> Instance:
    made = provider.create(request)
    seen: list[Instance] = [made]

    def runs() -> bool:
        seen.append(provider.settle(made.provider_id, request))
        return seen[-1].phase is Phase.RUNNING

    wait_until(runs, "it runs")
    return seen[-1]


def _is_gone(provider: RaspberryPiProvider, machine: Instance) -> bool:
    try:
        provider.get(machine.provider_id)
    except NotFound:
        return True
    return False


def test_a_board_that_is_off_is_switched_on_and_let_in_when_it_answers(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    assert isinstance(provider, Settles)
    request = _request()
    made = _up(provider, request)
    assert made.access is not None
    assert made.access.host_key == boards.boards[0].host_key.public
    assert (boards.plug.orders, boards.boards[1].has_power) == ([(1, True)], False)
    assert f"{_KEY} im-clues:token-wn-1" in boards.boards[0].authorized
    assert boards.boards[0].authorized.count("im-clues") == 1


def test_a_board_is_down_before_its_power_is_cut(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    board = boards.boards[0]
    provider.delete(machine.provider_id)
    wait_until(lambda: _is_gone(provider, machine), "it is let go of")
    assert (board.log, board.authorized, board.has_power, board.died_by_power) == (["poweroff"], "", False, False)


def test_a_board_that_does_not_go_down_keeps_its_power(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    boards.boards[0].ignore_poweroff()
    provider.stop(machine.provider_id)
    looks = [provider.get(machine.provider_id).phase for _ in range(20)]
    assert set(looks) == {Phase.RUNNING}
    assert boards.boards[0].has_power


def test_a_board_that_lets_us_not_in_keeps_its_power_and_its_claim(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    boards.boards[0].lock_out()
    with pytest.raises(Unauthorised):
        provider.delete(machine.provider_id)
    assert boards.boards[0].has_power
    assert [one.token for one in provider.list_machines("i")] == [machine.token]


def test_a_board_with_another_host_key_is_not_trusted(boards: Shelf) -> None:
    boards.boards[0].host_key = new_host_key()
    boards.boards[1].host_key = new_host_key()
    provider = open_provider(boards.settings())
    request = _request()
    made = provider.create(request)
    with pytest.raises(Conflict):
        wait_until(lambda: provider.settle(made.provider_id, request).phase is Phase.RUNNING, "it runs")
    assert boards.boards[0].authorized == ""


def test_a_shutdown_that_a_killed_process_began_is_gone_on_with(boards: Shelf) -> None:
    machine = _up(open_provider(boards.settings()), _request())
    open_provider(boards.settings()).delete(machine.provider_id)
    other = open_provider(boards.settings())
    wait_until(lambda: not other.list_machines(), "it is let go of")
    assert not boards.boards[0].has_power


def test_boards_that_are_being_let_go_of_are_free_for_the_next(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machines = [_up(provider, _request(name)) for name in ("a", "b")]
    with pytest.raises(NoCapacity, match="pi-1: it is reserved; pi-2: it is reserved"):
        provider.create(_request("c"))
    provider.delete(machines[1].provider_id)
    again: list[Instance] = []

    def is_had() -> bool:
        try:
            again.append(provider.create(_request("c")))
        except NoCapacity:
            return False
        return True

    wait_until(is_had, "the second board is free")
    assert again[0].provider_id == "pi-2:token-c"


def test_a_board_that_never_comes_up_is_a_failed_machine(boards: Shelf) -> None:
    boards.boards[0].is_dead = True
    provider = open_provider(boards.settings(boot_s=0.3))
    made = provider.create(_request())
    assert made.phase is Phase.PENDING
    wait_until(lambda: provider.get(made.provider_id).phase is Phase.FAILED, "it is given up")
    assert "after it was switched on" in provider.get(made.provider_id).fault


def test_a_plug_that_does_not_answer_makes_the_next_board_serve(boards: Shelf) -> None:
    dead = {"kind": "plug", "plug": "shelly2", "address": "127.0.0.1:1"}
    boards.write({"pi-1": {"raspberry_pi_power": dead}})
    provider = open_provider(boards.settings())
    assert provider.create(_request()).provider_id == "pi-2:token-wn-1"


def test_what_is_asked_for_chooses_the_board_and_the_smallest_that_fits_is_taken(boards: Shelf) -> None:
    boards.write({"pi-1": {"raspberry_pi_model": "5 16GB"}, "pi-2": {"raspberry_pi_serial": "10000000abcdef02"}})
    provider = open_provider(boards.settings())
    assert provider.foretell({"a": Spec(num_cpus=4)}) == ["a gets the board pi-2, whose power is switched by plug"]
    assert provider.foretell({"a": Spec(mem_bytes=4 * 2**30)}) == [
        "a gets the board pi-1, whose power is switched by plug"
    ]
    assert "pi-1" in provider.foretell({"a": Spec(board={"model": "5"})})[0]
    assert "pi-2" in provider.foretell({"a": Spec(board={"serial": "abcdef02"})})[0]
    with pytest.raises(NoCapacity, match=r"its architecture is arm64, not x86_64"):
        provider.foretell({"a": Spec(architecture="x86_64")})
    with pytest.raises(NoCapacity, match="a2"):
        provider.foretell({f"a{n}": Spec() for n in range(3)})
    assert boards.plug.orders == []


def test_a_board_without_power_control_is_claimed_while_it_runs_and_left_on(boards: Shelf) -> None:
    boards.write({"pi-1": _NO_POWER, "pi-2": _NO_POWER})
    provider = open_provider(boards.settings())
    for ask in (lambda: provider.create(_request()), lambda: provider.foretell({"a": Spec()})):
        with pytest.raises(NoCapacity, match="nobody can switch its power"):
            ask()
    boards.plug.switch(2, on=True)
    machine = provider.create(_request())
    assert (machine.provider_id, machine.phase) == ("pi-2:token-wn-1", Phase.RUNNING)
    assert isinstance(provider, Foretells)
    assert "raspberry_pi_power" in provider.refusal(machine.provider_id, Action.STOP)
    assert provider.refusal(machine.provider_id, Action.REBOOT) == ""
    with pytest.raises(Unsupported):
        provider.stop(machine.provider_id)
    provider.start(machine.provider_id)
    provider.delete(machine.provider_id)
    assert _is_gone(provider, machine)
    assert (boards.boards[1].has_power, boards.boards[1].log, boards.boards[1].authorized) == (True, [], "")


def test_a_board_that_somebody_shut_down_is_started_by_its_power(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    boards.plug.switch(1, on=False)
    wait_until(lambda: provider.get(machine.provider_id).phase is Phase.STOPPED, "its last connections end too")
    provider.start(machine.provider_id)
    wait_until(lambda: provider.get(machine.provider_id).phase is Phase.RUNNING, "it runs")


def test_boards_start_in_turn_where_so_many_may_at_once(boards: Shelf) -> None:
    provider = open_provider(boards.settings(starting=1))
    boards.boards[0].is_dead = True  # it gets power, and its start takes long
    first, second = provider.create(_request("a")), provider.create(_request("b"))
    assert [provider.get(one.provider_id).phase for one in (first, second)] == [Phase.PENDING, Phase.PENDING]
    assert [board.has_power for board in boards.boards] == [True, False]
    boards.boards[0].is_dead = False
    boards.boards[0].power(True)
    for one in (first, second):
        wait_until(lambda one=one: provider.get(one.provider_id).phase is Phase.RUNNING, "it runs")
    assert boards.plug.orders == [(1, True), (2, True)]


@pytest.mark.parametrize(("changed", "on"), [({}, 4), ({"starting": 0}, 6)])
def test_four_boards_behind_plugs_start_at_once_unless_it_is_not_wanted(
    tmp_path: Path, changed: dict[str, int], on: int
) -> None:
    with shelf(tmp_path / "six", count=6) as boards:
        provider = open_provider(boards.settings(**changed))
        for board in boards.boards:
            board.is_dead = True  # it gets power, and its start takes long
        for name in "abcdef":
            provider.create(_request(name))
        assert sum(board.has_power for board in boards.boards) == on


def test_an_outlet_that_is_not_there_does_not_make_a_machine_be_gone(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    del boards.plug.outlets[1]
    with pytest.raises(Misconfigured, match="no outlet 1"):
        provider.stop(machine.provider_id)
    with pytest.raises(Misconfigured, match="no outlet 1"):
        provider.get(machine.provider_id)
    (listed,) = provider.list_machines()
    assert (listed.phase, "no outlet 1" in listed.fault) == (Phase.UNKNOWN, True)


def test_the_room_is_the_boards(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    provider.create(_request())
    room = provider.quotas()
    assert (room.machines.used, room.machines.limit, room.cpus.left) == (1, 2, 4)
    assert room.memory_bytes.left == 2 * 2**30
    boards.write({"pi-1": {"raspberry_pi_model": ""}})
    assert open_provider(boards.settings()).quotas().memory_bytes.limit is None


def test_the_check_tells_of_each_board(boards: Shelf) -> None:
    dead = {"kind": "plug", "plug": "shelly2", "address": "127.0.0.1:1"}
    provider = open_provider(boards.settings())
    boards.plug.switch(1, on=True)
    told = {one.check: one for one in provider.check()}
    assert {one.severity for one in told.values()} == {Severity.OK}
    assert "answers, its host key is known; outlet 1" in told["pi-1"].text
    assert told["pi-2"].text.endswith("is off")
    (boards.folder / "flash" / "pi-1" / "host_key.pub").unlink()
    boards.write({"pi-2": {"raspberry_pi_power": dead}})
    told = {one.check: one for one in provider.check()}
    assert (told["pi-1"].severity, told["pi-2"].severity) == (Severity.ERROR, Severity.ERROR)
    assert "not known" in told["pi-1"].text
    boards.inventory.write_text("all: [")
    assert [one.severity for one in provider.check()] == [Severity.ERROR]


def test_a_board_that_left_the_inventory_is_unknown_and_can_be_released(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    boards.inventory.write_text(boards.inventory.read_text().replace("pi-1", "pi-9"))
    assert provider.get(machine.provider_id).phase is Phase.UNKNOWN
    provider.delete(machine.provider_id)
    assert _is_gone(provider, machine)


@pytest.mark.parametrize("field", ["inventory", "state_dir", "flash_dir", "ansible_inventory"])
def test_settings_that_are_missing_are_told(boards: Shelf, field: str) -> None:
    with pytest.raises(Misconfigured, match=field):
        open_provider(boards.settings(**{field: ""}))


def test_two_boards_on_one_outlet_are_refused(boards: Shelf) -> None:
    boards.plug.outlets[3] = False
    same = {"kind": "plug", "plug": "shelly2", "address": boards.plug.address, "outlet": 1}
    boards.write({"pi-2": {"raspberry_pi_power": same}})
    with pytest.raises(Misconfigured, match="is also that of pi-1"):
        open_provider(boards.settings()).prepare(lambda _text: None)


def test_many_are_asked_for_at_once_and_each_gets_its_own(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    made: list[Instance] = []
    threads = [threading.Thread(target=lambda n=name: made.append(provider.create(_request(n)))) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.provider_id.partition(":")[0] for one in made}) == 2


def test_a_claimed_board_whose_address_changes_is_claimed_once_and_goes_down(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    boards.write({"pi-1": {"ansible_host": "localhost"}})
    provider.stop(machine.provider_id)
    assert [one.provider_id for one in provider.list_machines()] == [machine.provider_id]
    assert provider.create(_request("wn-2")).provider_id.startswith("pi-2:")
    provider.delete(machine.provider_id)
    wait_until(lambda: _is_gone(provider, machine), "it is let go of")
    assert (boards.boards[0].log, boards.boards[0].died_by_power) == (["poweroff"], False)


def test_boards_that_have_swapped_their_addresses_keep_their_claims(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    requests = [_request("wn-1"), _request("wn-2")]
    known = [_up(provider, request).provider_id for request in requests]
    first, second = boards.boards
    boards.write({"pi-1": {"ansible_port": second.port}, "pi-2": {"ansible_port": first.port}})
    for provider_id in known:
        with pytest.raises(Conflict, match="another SSH host key"):
            provider.stop(provider_id)
    assert [one.provider_id for one in provider.list_machines()] == known


def test_the_old_address_of_a_claimed_board_is_free_for_another(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    known = provider.create(_request()).provider_id
    first, second = boards.boards
    boards.write({"pi-1": {"ansible_port": second.port}, "pi-2": {"ansible_port": first.port}})
    other = provider.create(_request("wn-2")).provider_id
    assert [one.provider_id for one in provider.list_machines()] == [known, other]


@pytest.mark.parametrize(
    ("field", "value"), [("settle_s", -1), ("halt_s", "nan"), ("boot_s", "inf"), ("connect_timeout_s", 0)]
)
def test_times_that_cannot_be_are_refused(boards: Shelf, field: str, value: object) -> None:
    with pytest.raises(Misconfigured, match=f"{field} of the provider"):
        open_provider(boards.settings(**{field: value}))


def test_a_board_of_another_fleet_that_has_the_name_of_one_that_goes_down_is_left_alone(
    boards: Shelf, tmp_path: Path
) -> None:
    provider = open_provider(boards.settings())
    machine = _up(provider, _request())
    boards.boards[0].ignore_poweroff()
    provider.delete(machine.provider_id)
    with shelf(tmp_path / "other", 1) as others:
        others.boards[0].power(True)
        other = open_provider(others.settings(state_dir=str(tmp_path / "state")))
        used = other.quotas().machines.used
        assert (used, others.boards[0].log, others.boards[0].runs) == (0, [], True)
    assert provider.get(machine.provider_id).phase is Phase.DELETING


def test_no_board_gets_power_where_its_claim_cannot_be_written(boards: Shelf) -> None:
    provider = open_provider(boards.settings())
    fresh = f".{slot_of(provider.boards()[0].host)}.json.{os.getpid()}"
    (boards.folder / "state" / "reservations" / fresh).mkdir(parents=True)
    with pytest.raises(Misconfigured, match=r"cannot write .*json: Is a directory"):
        provider.create(_request())
    assert (boards.plug.orders, provider.list_machines()) == ([], [])


@pytest.mark.parametrize("damage", [b"{", b"[" * 20_000])
def test_a_damaged_claim_is_one_error(boards: Shelf, damage: bytes) -> None:
    provider = open_provider(boards.settings())
    provider.create(_request())
    (path,) = (boards.folder / "state" / "reservations").glob("*.json")
    path.write_bytes(damage)
    with pytest.raises(Misconfigured, match="is damaged"):
        provider.list_machines()
