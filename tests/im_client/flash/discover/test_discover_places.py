"""What is read where machines are looked for, and what broken or hostile text does there: nothing."""

import json
import os
import threading
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from im_client.flash.discover.dns_message import PTR, A, Question, Record, decode_answers, encode_query
from im_client.flash.discover.leases import parse_leases, read_leases
from im_client.flash.discover.mdns import ask, questions_for, sightings_of
from im_client.flash.discover.model import Sighting
from im_client.flash.discover.neighbours import parse_neighbours
from im_client.flash.discover.sweep import parse_network, sweep
from infracore.clock import SystemClock
from infracore.errors import Cancelled, CommandFailed, InvalidUsage, Misconfigured

NOW = 1_700_000_000.0
MAC = "dc:a6:32:00:00:01"
LAN = IPv4Interface("10.0.0.1/24")


def test_neighbours_that_did_not_answer_are_left_out() -> None:
    text = json.dumps(
        [
            {"dst": "10.0.0.2", "dev": "eth0", "lladdr": "DC:A6:32:00:00:01", "state": ["STALE"]},
            {"dst": "fe80::2", "dev": "eth0", "lladdr": MAC, "state": ["REACHABLE"]},
            {"dst": "10.0.0.3", "dev": "eth0", "state": ["FAILED"]},
            {"dst": "10.0.0.4", "dev": "eth0", "lladdr": MAC, "state": ["FAILED"]},
            {"dst": "10.0.0.5", "dev": "eth0", "lladdr": "00:00", "state": ["STALE"]},
            {"dst": "no address", "dev": "eth0", "lladdr": MAC, "state": ["STALE"]},
        ]
    )
    assert parse_neighbours(text) == (
        Sighting("10.0.0.2", MAC, source="neighbours"),
        Sighting("fe80::2%eth0", MAC, source="neighbours"),
    )


def test_no_neighbours_are_none_and_another_language_is_an_error() -> None:
    assert parse_neighbours("") == ()
    with pytest.raises(CommandFailed):
        parse_neighbours("10.0.0.2 dev eth0")


DNSMASQ = f"""{NOW + 60:.0f} {MAC} 10.0.0.2 pi-1 01:{MAC}
0 dc:a6:32:00:00:02 10.0.0.3 * *
{NOW - 60:.0f} dc:a6:32:00:00:03 10.0.0.4 old *
duid 00:01
1 2
"""
ISC = """# a comment
lease 10.0.0.2 {
  starts 4 2026/11/26 10:00:00;
  binding state free;
  hardware ethernet dc:a6:32:00:00:09;
}
lease 10.0.0.2 {
  binding state active;
  hardware ethernet DC:A6:32:00:00:01;
  client-hostname "pi-1.lan";
}
lease 10.0.0.3 {
  binding state free;
  hardware ethernet dc:a6:32:00:00:02;
}
"""
NETWORKD = json.dumps(
    {
        "BootID": "x",
        "Leases": [
            {"Address": [10, 0, 0, 2], "HardwareAddress": [0xDC, 0xA6, 0x32, 0, 0, 1], "Hostname": "pi-1"},
            {"AddressString": "10.0.0.3", "HardwareAddress": [1, 2], "Hostname": "odd"},
            {
                "Address": [10, 0, 0, 4],
                "HardwareAddress": [0xDC, 0xA6, 0x32, 0, 0, 3],
                "ExpirationRealtimeUSec": int((NOW - 1) * 1e6),
            },
        ],
    }
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DNSMASQ, [("10.0.0.2", MAC, "pi-1"), ("10.0.0.3", "dc:a6:32:00:00:02", "")]),
        (ISC, [("10.0.0.2", MAC, "pi-1")]),
        (NETWORKD, [("10.0.0.2", MAC, "pi-1")]),
        ('{"Leases": 3}', []),
        ("", []),
    ],
    ids=["dnsmasq", "isc", "networkd", "broken", "empty"],
)
def test_leases_of_every_server_are_read(text: str, found: list[tuple[str, str, str]]) -> None:
    assert [(one.address, one.mac, one.hostname) for one in parse_leases(text, NOW)] == found


@given(st.text())
def test_no_text_of_leases_is_an_error(text: str) -> None:
    parse_leases(text, NOW)


def test_lease_files_are_found_and_a_named_one_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "var/lib/NetworkManager/dnsmasq-eth0.leases"
    path.parent.mkdir(parents=True)
    path.write_text(DNSMASQ)
    assert [one.address for one in read_leases(tmp_path, NOW)] == ["10.0.0.2", "10.0.0.3"]
    with pytest.raises(Misconfigured, match="absent"):
        read_leases(tmp_path, NOW, (tmp_path / "absent",))


def answer(*records: bytes) -> bytes:
    return b"\0\0\x84\0\0\0" + len(records).to_bytes(2, "big") + b"\0\0\0\0" + b"".join(records)


def record(name: bytes, kind: int, data: bytes) -> bytes:
    return name + kind.to_bytes(2, "big") + b"\x80\x01" + b"\0\0\0\x78" + len(data).to_bytes(2, "big") + data


PI_1 = b"\x04pi-1\x05local\0"


def test_an_answer_is_read_with_pointers() -> None:
    pointer = b"\xc0\x0c"
    message = answer(record(PI_1, A, b"\x0a\0\0\x02"), record(b"\x01x\x05local\0", PTR, pointer))
    assert decode_answers(message) == (Record("pi-1.local", A, "10.0.0.2"), Record("x.local", PTR, "pi-1.local"))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0" * 12,
        answer(record(b"\xc0\x0c", A, b"\x0a\0\0\x02")),  # a name that points to itself
        answer(record(b"\xc0\xff", A, b"\x0a\0\0\x02")),
        answer(record(PI_1, A, b"\x0a\0\0\x02"))[:-1],
        b"\0\0\x84\0\0\0\xff\xff\0\0\0\0",
        answer(record(b"\x80" + b"a" * 128 + b"\0", A, b"\x0a\0\0\x02")),
    ],
)
def test_a_broken_answer_is_none(message: bytes) -> None:
    assert decode_answers(message) == ()


@given(st.binary(max_size=300))
def test_no_bytes_of_an_answer_are_an_error(body: bytes) -> None:
    decode_answers(b"\0\0\x84\0" + body)


@given(st.lists(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), min_size=1, max_size=5))
def test_a_query_asks_what_it_shall(names: list[str]) -> None:
    message = encode_query(7, [Question(f"{name}.local", A) for name in names])
    assert message[:12] == b"\0\7\0\0" + len(names).to_bytes(2, "big") + b"\0" * 6
    for name in names:
        assert bytes([len(name)]) + name.encode() + b"\5local\0\0\1\0\1" in message


def test_a_name_that_dns_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="no name of DNS"):
        encode_query(1, [Question("a" * 64 + ".local", A)])


def test_only_addresses_of_the_link_are_believed() -> None:
    records = (
        Record("pi-1.local", A, "10.0.0.2"),
        Record("bank.local", A, "8.8.8.8"),
        Record("example.org", A, "10.0.0.3"),
        Record("3.0.0.10.in-addr.arpa", PTR, "pi-2.local"),
        Record("x.0.0.10.in-addr.arpa", PTR, "pi-3.local"),
        Record("_ssh._tcp.local", PTR, "pi-4._ssh._tcp.local"),
    )
    assert [(one.address, one.hostname) for one in sightings_of(records, LAN)] == [
        ("10.0.0.2", "pi-1"),
        ("10.0.0.3", "pi-2"),
    ]


def test_boards_are_asked_for_by_name_and_addresses_by_number() -> None:
    asked = questions_for(["Pi-1", "pi-1.lan", ""], ["10.0.0.2", "fe80::1%eth0"])
    assert Question("pi-1.local", A) in asked
    assert Question("2.0.0.10.in-addr.arpa", PTR) in asked
    assert len([one for one in asked if one.kind == A]) == 1


@pytest.mark.parametrize("text", ["10.0.0.0/21", "::/64", "10.0.0", "", "10.0.0.0/24/3", "x/24"])
def test_a_network_that_is_too_large_or_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidUsage):
        parse_network(text)


def test_a_sweep_finds_loopback_and_stays_within() -> None:
    steps: list[tuple[int, int]] = []
    found = sweep(
        parse_network("127.0.0.0/30"),
        port=1,
        clock=SystemClock(),
        cancel=threading.Event(),
        on_progress=lambda done, of: steps.append((done, of)),
    )
    assert {one.address for one in found} == {"127.0.0.1", "127.0.0.2"}
    assert steps == [(2, 2)]


def test_an_interrupted_search_ends() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        ask(
            questions_for(["pi-1"], ()),
            [("lo", IPv4Interface("127.0.0.1/8"))],
            listen_s=60,
            clock=SystemClock(),
            cancel=cancel,
        )


@pytest.mark.parametrize("end", ["\u00b2", "9" * 5000, "-1", "1e9"])
def test_a_lease_that_ends_at_no_time_is_passed_over(end: str) -> None:
    good = "0 dc:a6:32:00:00:02 10.0.0.2 pi-2 *"
    found = parse_leases(f"{end} dc:a6:32:00:00:01 10.0.0.1 pi-1 *\n{good}\n", 0.0)
    assert [one.hostname for one in found] == ["pi-2"]


def test_a_named_pipe_is_no_lease_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Misconfigured, match="it is no file"):
        read_leases(tmp_path, 0.0, (tmp_path / "pipe",))
