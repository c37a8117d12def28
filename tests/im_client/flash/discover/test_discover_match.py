"""Which board a machine seems to be, and which one is trusted."""

from pathlib import Path

import pytest

from im_client.flash.discover.keys import read_recorded
from im_client.flash.discover.match import machines_of, matched, serial_fits, usable
from im_client.flash.discover.model import Finding, KeyState, Sighting, Wanted, is_raspberry_pi, plain_mac
from infracore.errors import Misconfigured

BOARDS = (
    Wanted("pi-1", "pi-1", mac="dc:a6:32:00:00:01"),
    Wanted("pi-2", "rack-2", serial="10000000abcdef02"),
    Wanted("pi-3", "pi-3", address="10.0.0.33"),
)


def test_what_places_tell_of_one_address_is_joined_and_the_neighbour_table_wins() -> None:
    found = machines_of(
        [
            Sighting("10.0.0.20", "dc:a6:32:00:00:09", "old", "leases"),
            Sighting("10.0.0.20", "dc:a6:32:00:00:01", "", "neighbours"),
            Sighting("10.0.0.3", hostname="Pi-3", source="mdns"),
            Sighting("fe80::1%eth0", "dc:a6:32:00:00:01", source="neighbours"),
            Sighting("fe80::2%eth0", "dc:a6:32:00:00:02", source="neighbours"),
        ]
    )
    assert [(one.address, one.mac, one.hostname, one.sources) for one in found] == [
        ("10.0.0.3", "", "pi-3", ("mdns",)),
        ("10.0.0.20", "dc:a6:32:00:00:01", "old", ("neighbours", "leases")),
        ("fe80::2%eth0", "dc:a6:32:00:00:02", "", ("neighbours",)),
    ]


@pytest.mark.parametrize(
    ("finding", "board", "by"),
    [
        (Finding("10.0.0.2", mac="dc:a6:32:00:00:01", hostname="pi-3"), "pi-1", "mac"),
        (Finding("10.0.0.2", mac="b8:27:eb:cd:ef:02"), "pi-2", "serial"),
        (Finding("10.0.0.2", mac="dc:a6:32:cd:ef:02"), "", ""),  # from the Pi 4 on the MAC tells no serial number
        (Finding("10.0.0.2", hostname="rack-2"), "pi-2", "hostname"),
        (Finding("10.0.0.33"), "pi-3", "address"),
        (Finding("10.0.0.2", mac="52:54:00:00:00:01", hostname="printer"), "", ""),
    ],
)
def test_a_machine_is_matched_by_mac_serial_name_or_address(finding: Finding, board: str, by: str) -> None:
    one = matched(finding, BOARDS)
    assert (one.board, one.by) == (board, by)


def test_a_board_by_name_with_another_mac_is_said() -> None:
    assert (
        "is not dc:a6:32:00:00:01"
        in matched(Finding("10.0.0.2", mac="dc:a6:32:00:00:09", hostname="pi-1"), BOARDS).note
    )


def test_only_machines_that_have_proved_their_key_are_usable_and_the_cable_comes_first() -> None:
    found = (
        Finding("10.0.0.2", board="pi-1", by="hostname", key=KeyState.KNOWN),
        Finding("10.0.0.9", board="pi-1", by="mac", key=KeyState.KNOWN),
        Finding("10.0.0.1", board="pi-1", by="mac", key=KeyState.CHANGED),
        Finding("10.0.0.4", board="pi-2", by="mac", key=KeyState.UNKNOWN),
        Finding("10.0.0.5", key=KeyState.KNOWN),
    )
    assert {name: one.address for name, one in usable(found).items()} == {"pi-1": "10.0.0.9"}


def test_serial_numbers_may_be_without_their_first_digits() -> None:
    assert serial_fits("10000000abcdef01", "ABCDEF01")
    assert serial_fits("00000000abcdef01", "abcdef01")
    assert not serial_fits("10000000abcdef01", "abcdef02")


def test_macs_are_written_in_one_way_and_known_by_their_prefix() -> None:
    assert plain_mac(" DC-A6-32-00-00-01 ") == "dc:a6:32:00:00:01"
    assert plain_mac("dc:a6:32:00:00") == ""
    assert is_raspberry_pi("2c:cf:67:00:00:01")
    assert is_raspberry_pi("88:a2:9e:00:00:01")
    assert not is_raspberry_pi("52:54:00:00:00:01")
    assert is_raspberry_pi("52:54:00:00:00:01", ("52:54:00",))


def test_recorded_keys_are_read_and_a_broken_one_stops(tmp_path: Path) -> None:
    assert read_recorded(tmp_path / "none").keys == {}
    (tmp_path / "pi-1").mkdir()
    (tmp_path / "pi-1" / "host_key.pub").write_text("ssh-ed25519 AAAAone pi-1\n")
    (tmp_path / "known_hosts").write_text("pi-2,10.0.0.2 ssh-ed25519 AAAAtwo\npi-3.local ssh-ed25519 AAAAthree\n")
    recorded = read_recorded(tmp_path)
    assert recorded.key_of("pi-1") == "ssh-ed25519 AAAAone"
    assert recorded.key_of("pi-2") == "ssh-ed25519 AAAAtwo"
    assert recorded.key_of("other", "10.0.0.2") == "ssh-ed25519 AAAAtwo"
    assert recorded.key_of("pi-3") == "ssh-ed25519 AAAAthree"
    assert recorded.key_of("pi-4") == ""
    assert recorded.owner_of("ssh-ed25519 AAAAone") == "pi-1"
    (tmp_path / "pi-1" / "host_key.pub").write_text("nonsense\n")
    with pytest.raises(Misconfigured, match=r"pi-1/host_key\.pub"):
        read_recorded(tmp_path)
