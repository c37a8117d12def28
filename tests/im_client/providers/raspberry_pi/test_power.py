"""The outlets of the inventory, switched for real: a port of a PoE switch, and plugs of each kind."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from im_client.providers.raspberry_pi.power import decode_power
from infracore.errors import CommandFailed, Misconfigured, Unauthorised
from tests.rigs.plug_server import PASSWORD, plug_server
from tests.rigs.poe_switch import COMMUNITY, poe_switch


def _secret(path: Path, text: str) -> dict[str, str]:
    path.touch(mode=0o600)
    path.write_text(text)
    return {"file": str(path)}


@pytest.mark.snmp
def test_a_port_of_a_switch_is_switched_and_read_back(tmp_path: Path) -> None:
    with poe_switch(tmp_path / "switch") as switch:
        text = {"kind": "poe", "switch": switch.address, "port": 2, "community": _secret(tmp_path / "c", COMMUNITY)}
        power = decode_power(text, "inventory: pi-1", {})
        assert power is not None
        power.switch(True)
        assert (power.is_on(), switch.is_on(1), switch.is_on(2)) == (True, False, True)
        assert power.where == f"port 2 of {switch.address}"
        gone = decode_power(text | {"port": 9}, "inventory: pi-1", {})
        assert gone is not None
        with pytest.raises(Misconfigured, match="has no"):
            gone.is_on()


@pytest.mark.parametrize("kind", ["shelly1", "shelly2", "tasmota"])
def test_an_outlet_of_a_plug_is_switched_and_read_back(kind: str, tmp_path: Path) -> None:
    with plug_server(kind) as plug:
        text = {"kind": "plug", "plug": kind, "address": plug.address, "outlet": 2}
        power = decode_power(text | {"password": _secret(tmp_path / "p", PASSWORD)}, "inventory: pi-1", {})
        assert power is not None
        power.switch(True)
        assert (power.is_on(), plug.outlets) == (True, {1: False, 2: True})
        plug.is_stuck = True
        with pytest.raises(CommandFailed, match="not switched"):
            power.switch(False)
        bare = decode_power(text, "inventory: pi-1", {})
        assert bare is not None
        with pytest.raises(Unauthorised):
            bare.is_on()


def test_a_command_that_does_nothing_or_fails_is_found_out() -> None:
    text = {"kind": "command", "on": ["true"], "off": ["true"], "status": ["false"]}
    power = decode_power(text, "inventory: pi-1", {})
    assert power is not None
    with pytest.raises(CommandFailed, match="not switched"):
        power.switch(True)
    broken = decode_power(text | {"status": ["sh", "-c", "echo broken >&2; exit 7"]}, "inventory: pi-1", {})
    assert broken is not None
    with pytest.raises(CommandFailed, match="status 7, neither 0 nor 1: broken"):
        broken.is_on()


def test_what_no_outlet_is_said_of_is_nobodys() -> None:
    assert decode_power({}, "inventory: pi-1", {}) is None
    assert decode_power({"kind": "none"}, "inventory: pi-1", {}) is None


@pytest.mark.parametrize("as_json", [False, True])
def test_on_and_off_are_what_the_documentation_writes_without_quotes(as_json: bool) -> None:
    text = yaml.safe_load('{kind: command, on: ["true", "{name}"], off: ["true"], status: ["false"]}')
    assert True in text  # YAML 1.1
    power = decode_power(json.loads(json.dumps(text)) if as_json else text, "inventory: pi-1", {"name": "pi-1"})
    assert power is not None
    assert power.where == "true pi-1"


@pytest.mark.parametrize(
    "keys", [{"switch": "-Dall"}, {"switch": "192.0.2.2 -x"}, {"version": "3", "user": "u\ndefVersion 1"}]
)
def test_a_switch_is_one_word_and_no_option(keys: dict[str, str], tmp_path: Path) -> None:
    text = {"kind": "poe", "switch": "192.0.2.2", "port": 2, "community": _secret(tmp_path / "c", COMMUNITY), **keys}
    power = decode_power(text, "inventory: pi-1", {})
    assert power is not None
    with pytest.raises(Misconfigured, match="is no one word"):
        power.is_on()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"kind": "plug", "plug": "shelly2", "address": "h"}, {"address": "http://H:80/"}),
        ({"kind": "poe", "switch": "H", "port": 4}, {"switch": "udp:h:161"}),
    ],
)
def test_an_outlet_is_the_same_however_its_address_is_written(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = decode_power(first, "a", {}), decode_power(first | second, "b", {})
    assert one is not None
    assert other is not None
    assert (one.place, one.where != other.where) == (other.place, True)


@pytest.mark.parametrize("request_s", [0, -1, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(request_s: float) -> None:
    with pytest.raises(Misconfigured, match=r"request_s: .* is no number of seconds"):
        decode_power({"kind": "plug", "plug": "shelly2", "address": "h", "request_s": request_s}, "a", {})
