"""What the inventory says of boards, and which of them a request may have."""

from pathlib import Path
from typing import Any

import pytest

from im_client.flash.fleet import decode_fleet
from im_client.plan.model import Spec
from im_client.providers.raspberry_pi.asks import board_refusal, in_our_words
from im_client.providers.raspberry_pi.boards import ClaimableBoard, make_board, stamp_of
from im_client.remote.hostkeys import new_host_key
from infracore.errors import Misconfigured

_KEY = new_host_key().public


def board(folder: Path, **variables: Any) -> ClaimableBoard:
    given = {"raspberry_pi_model": "4B 8GB", "im_host_key": _KEY, **variables}
    (one,) = decode_fleet({"pi-1": given}, "inventory").boards
    return make_board(one, given, "inventory", folder)


def test_a_board_is_a_host_with_what_its_model_has(tmp_path: Path) -> None:
    made = board(
        tmp_path,
        ansible_host="10.0.0.11",
        raspberry_pi_node={"user": "pi", "authorized_keys": [_KEY]},
        ansible_ssh_private_key_file="/k",
        ansible_port="2222",
    )
    host, access = made.host, made.host.access
    assert (host.cpus, host.mem_bytes, host.architecture, host.fault) == (4, 8 * 2**30, "arm64", "")
    assert (access.address, access.port, access.user, access.become) == ("10.0.0.11", 2222, "pi", True)
    assert (access.private_key_file, access.host_key) == ("/k", _KEY)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({"ansible_host": "h"}, "h"),
        ({"raspberry_pi_node": {"interfaces": [{"name": "eth0", "address": "10.0.0.7/24"}]}}, "10.0.0.7"),
        ({}, "pi-1"),
    ],
)
def test_its_address_is_that_of_ansible_else_its_own(tmp_path: Path, variables: dict[str, Any], address: str) -> None:
    assert board(tmp_path, **variables).host.access.address == address


def test_an_image_of_32_bits_makes_a_board_of_32_bits(tmp_path: Path) -> None:
    made = board(tmp_path, raspberry_pi_image="https://example.org/2025-05-13-raspios-bookworm-armhf-lite.img.xz")
    assert made.host.architecture == "armhf"


def test_the_host_key_is_what_flashing_recorded_else_a_line_of_known_hosts(tmp_path: Path) -> None:
    def key(**variables: Any) -> str | None:
        return board(tmp_path, im_host_key="", ansible_host="10.0.0.11", **variables).host.access.host_key

    first, second = new_host_key().public, new_host_key().public
    (tmp_path / "known_hosts").write_text(f"10.0.0.11 {first}\n")
    assert key() == first
    (tmp_path / "known_hosts").write_text(f"pi-1 {first}\n")
    assert key() == first
    (tmp_path / "pi-1").mkdir()
    (tmp_path / "pi-1" / "host_key.pub").write_text(f"{second} root@pi-1\n")
    assert key() == second


def test_a_board_whose_host_key_nobody_knows_cannot_be_used_and_says_why(tmp_path: Path) -> None:
    fault = board(tmp_path, im_host_key="").host.fault
    assert "not known" in fault
    assert "im flash" in fault


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"raspberry_pi_model": "6"}, "raspberry_pi_model"),
        ({"ansible_port": "x"}, "no port"),
        ({"ansible_port": 70000}, "no port"),
        ({"raspberry_pi_power": {"kind": "sun"}}, "sun"),
        ({"raspberry_pi_power": {"port": 3}}, "kind"),
        ({"raspberry_pi_power": {"kind": "poe", "port": 3}}, "switch"),
        ({"raspberry_pi_power": {"kind": "poe", "switch": "s", "port": 0}}, "from 1"),
        ({"raspberry_pi_power": {"kind": "poe", "switch": "s", "port": 3, "watts": 4}}, "watts"),
        ({"raspberry_pi_power": {"kind": "plug", "plug": "hue", "address": "h"}}, "hue"),
        ({"raspberry_pi_power": {"kind": "plug", "plug": "tasmota", "address": "ftp://h"}}, "no http"),
        ({"raspberry_pi_power": {"kind": "plug", "plug": "tasmota", "address": "h", "outlet": 0}}, "no outlet"),
        ({"raspberry_pi_power": {"kind": "plug", "plug": "tasmota", "address": "h", "password": "x"}}, "password"),
        ({"raspberry_pi_power": {"kind": "command", "on": ["a"], "off": ["b"]}}, "status"),
        ({"raspberry_pi_power": {"kind": "command", "on": [], "off": ["b"], "status": ["c"]}}, "programs"),
    ],
)
def test_what_cannot_be_is_refused_with_the_board_and_the_variable(
    tmp_path: Path, variables: dict[str, Any], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said) as raised:
        board(tmp_path, **variables)
    assert raised.value.message.startswith("inventory: pi-1: ")


def test_a_command_gets_the_boards_words_and_is_read_back(tmp_path: Path) -> None:
    state = tmp_path / "state-pi-1"
    power = {
        "kind": "command",
        "on": ["touch", f"{tmp_path}/state-{{name}}"],
        "off": ["rm", "-f", f"{tmp_path}/state-{{hostname}}"],
        "status": ["test", "-e", str(state)],
    }
    made = board(tmp_path, raspberry_pi_power=power)
    assert made.power is not None
    assert not made.power.is_on()
    made.power.switch(True)
    assert state.exists()
    made.power.switch(False)
    assert not made.power.is_on()


_PLUG = {"kind": "plug", "plug": "shelly2", "address": "h"}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, ""),
        ({"model": "4B"}, ""),
        ({"model": "4B 8GB", "storage": "nvme", "power": "plug"}, ""),
        ({"serial": "10000000ABCDEF01"}, ""),
        ({"serial": "abcdef01"}, ""),
        ({"mac": "DC-A6-32-01-02-03"}, ""),
        ({"power": "any"}, ""),
        ({"model": "5"}, "it is a 4B, not a 5"),
        ({"model": "nonsense"}, "no model"),
        ({"serial": "10000000abcdef02"}, "its serial is"),
        ({"mac": "dc:a6:32:01:02:04"}, "its mac is"),
        ({"storage": "card"}, "it boots from nvme, not from card"),
        ({"power": "poe"}, "switched by plug, not by poe"),
        ({"power": "none"}, "switched by plug, not by none"),
    ],
)
def test_what_is_asked_for_is_compared(tmp_path: Path, asked: dict[str, str], why: str) -> None:
    made = board(
        tmp_path,
        raspberry_pi_serial="10000000abcdef01",
        raspberry_pi_mac="dc:a6:32:01:02:03",
        raspberry_pi_storage="nvme",
        raspberry_pi_power=_PLUG,
    )
    said = board_refusal(made, asked)
    assert (why in said) if why else not said


def test_a_board_that_tells_less_than_is_asked_for_is_refused(tmp_path: Path) -> None:
    bare = board(tmp_path, raspberry_pi_model="", raspberry_pi_storage="card")
    assert "model is not in the inventory" in board_refusal(bare, {"model": "4B"})
    assert "serial is not in the inventory" in board_refusal(bare, {"serial": "abcdef01"})
    assert board_refusal(bare, {"power": "any"}) == "nobody can switch its power"
    assert board_refusal(bare, {"power": "none"}) == ""


@pytest.mark.parametrize(
    ("word", "ours"), [("aarch64", "arm64"), ("ARM64", "arm64"), ("armv7l", "armhf"), (None, None)]
)
def test_architectures_are_called_as_the_boards_are(word: str | None, ours: str | None) -> None:
    assert in_our_words(Spec(architecture=word)).architecture == ours


def test_the_inventory_is_read_anew_when_one_of_its_files_changes(tmp_path: Path) -> None:
    inventory, variables = tmp_path / "hosts.yaml", tmp_path / "group_vars" / "all.yaml"
    inventory.write_text("a")
    (tmp_path / "other").write_text("x")
    first = stamp_of(inventory)
    (tmp_path / "other").write_text("xy")
    assert stamp_of(inventory) == first
    variables.parent.mkdir()
    variables.write_text("b")
    second = stamp_of(inventory)
    assert second != first
    assert stamp_of(tmp_path) != second
