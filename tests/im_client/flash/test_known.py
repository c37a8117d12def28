"""Host keys of boards are kept here, and the newest card of a name wins."""

import threading
from pathlib import Path

import pytest

from im_client.flash.known import KnownBoards, names_of
from im_client.flash.node import decode_node
from im_client.remote.hostkeys import find_known_host, new_host_key
from infracore.errors import Misconfigured


def test_a_key_is_found_by_every_name_and_address_of_the_board(tmp_path: Path) -> None:
    node = decode_node({"hostname": "web", "interfaces": [{"name": "eth0", "address": "10.0.0.11/24"}]}, "hosts.yml")
    boards = KnownBoards(tmp_path)
    assert boards.host_key("web") is None
    public = new_host_key().public
    names = names_of(node, "pi.example.org")
    assert names == ("web", "web.local", "10.0.0.11", "pi.example.org")
    boards.remember("web", public, names)
    text = boards.known_hosts.read_text()
    assert {find_known_host(text, name, 22) for name in names} == {public}
    assert boards.host_key("web") == public


def test_a_new_card_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path)
    old, new, other = (new_host_key().public for _ in range(3))
    boards.remember("web", old, ["web", "10.0.0.11"])
    boards.remember("db", other, ["db"])
    boards.remember("web", new, ["web", "10.0.0.12"])
    text = boards.known_hosts.read_text()
    assert find_known_host(text, "web", 22) == new
    assert find_known_host(text, "db", 22) == other
    assert find_known_host(text, "10.0.0.11", 22) is None
    assert text.count("\nweb ") + text.startswith("web ") == 1


def test_nobody_else_may_read_the_folder_and_no_private_half_is_in_it(tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path)
    key = new_host_key()
    boards.remember("web", key.public, ["web"])
    assert boards.folder.stat().st_mode & 0o077 == 0
    assert all(b"PRIVATE" not in path.read_bytes() for path in boards.folder.rglob("*") if path.is_file())


def test_boards_that_are_remembered_at_once_are_all_there(tmp_path: Path) -> None:
    publics = {f"pi-{n}": new_host_key().public for n in range(8)}
    threads = [
        threading.Thread(target=KnownBoards(tmp_path).remember, args=(name, public, [name]))
        for name, public in publics.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    text = KnownBoards(tmp_path).known_hosts.read_text()
    assert {name: find_known_host(text, name, 22) for name in publics} == publics


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Misconfigured, match="cannot keep host keys in"):
        KnownBoards(tmp_path / "state").remember("web", new_host_key().public, ["web"])


def test_what_is_no_text_in_the_folder_stays_and_harms_nothing(tmp_path: Path) -> None:
    boards = KnownBoards(tmp_path)
    public = new_host_key().public
    boards.remember("web", public, ["web"])
    boards.known_hosts.write_bytes(b"# caf\xe9\n")
    (boards.folder / "web" / "host_key.pub").write_bytes(b"\xff\xfe")
    assert boards.host_key("web") != public
    boards.remember("web", public, ["web"])
    assert boards.known_hosts.read_bytes() == f"# caf\xe9\nweb {public}\n".encode("latin-1")


def test_a_folder_that_cannot_be_used_is_said_before_a_card_is_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Misconfigured, match="cannot keep host keys in"):
        KnownBoards(tmp_path / "state").check()
    with pytest.raises(Misconfigured, match="cannot keep host keys in"):
        KnownBoards(tmp_path / "state").host_key("web")
