"""The command line of scp: which words are files of a machine, and names that look like something else."""

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.remote.access import Access
from im_client.remote.options import Files
from im_client.remote.private import private_folder
from im_client.remote.scp import Place, read_place, scp_argv
from infracore.errors import InvalidUsage, Misconfigured
from tests.im_client.remote.loopback import Loopback, serve

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHostile"


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("job.sh", Place(None, "job.sh")),
        ("front:", Place("front", "")),
        ("front:/a b", Place("front", "/a b")),
        ("worker-2:x:y", Place("worker-2", "x:y")),
        ("./a:b", Place(None, "./a:b")),
        ("/tmp/a:b", Place(None, "/tmp/a:b")),
        ("-r:x", Place("-r", "x")),
        ("-oProxyCommand=touch x", Place(None, "-oProxyCommand=touch x")),
    ],
)
def test_a_colon_before_any_slash_names_a_machine(word: str, place: Place) -> None:
    assert read_place(word) == place


@pytest.mark.parametrize("word", ["", ":", ":/etc/passwd", "a\0b"])
def test_a_word_that_is_neither_is_refused(word: str) -> None:
    with pytest.raises(InvalidUsage):
        read_place(word)


def test_no_name_becomes_an_option_or_another_host(tmp_path: Path) -> None:
    access = Access("10.0.0.2", host_key=KEY)
    sources = [Place(None, "-r"), Place(None, "a:b"), Place(None, "/etc/passwd")]
    files = Files(tmp_path)
    argv = scp_argv(access, files, sources, Place("front", "-x y"))
    assert argv[argv.index("--") + 1 :] == ("./-r", "./a:b", "/etc/passwd", "root@10.0.0.2:-x y")
    assert "-r" not in argv[: argv.index("--")]
    assert scp_argv(access, files, sources, Place("front", ""), recursive=True)[2] == "-r"


def test_an_address_of_ipv6_stands_in_brackets(tmp_path: Path) -> None:
    argv = scp_argv(Access("fd00::2", host_key=KEY), Files(tmp_path), [Place("front", "a")], Place(None, "b"))
    assert argv[-2:] == ("root@[fd00::2]:a", "./b")


def test_an_address_that_scp_could_take_for_an_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        scp_argv(Access("-oProxyCommand=x", host_key=KEY), Files(tmp_path), [Place("m", "a")], Place(None, "b"))


def test_the_host_key_is_pinned_and_the_way_leads_through_the_jump_host(tmp_path: Path) -> None:
    access = Access("10.0.0.2", host_key=KEY, jump=Access("192.0.2.1", host_key=KEY))
    argv = scp_argv(access, Files(tmp_path), [Place(None, "a")], Place("m", ""))
    assert "StrictHostKeyChecking=yes" in argv
    proxy = next(word for word in argv if word.startswith("ProxyCommand="))
    assert "root@192.0.2.1" in proxy
    assert "StrictHostKeyChecking=yes" in proxy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    started = serve(tmp_path_factory.mktemp("sshd"))
    yield started
    started.stop()


def _copy(access: Access, sources: list[Place], target: Place, cwd: Path, *, recursive: bool = False) -> int:
    with private_folder() as folder:
        argv = scp_argv(access, Files(folder), sources, target, recursive=recursive)
        return subprocess.run(
            argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        ).returncode


@pytest.mark.sshd
def test_files_with_hostile_names_arrive_as_they_are_and_come_back(server: Loopback, tmp_path: Path) -> None:
    names = ["-rf", "a;touch b", "$(touch c)", "d\ne", "f:g", "h'i\"j"]
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.mkdir()
    back.mkdir()
    for name in names:
        (sent / name).write_text(name)
    there = server.home / "inbox"
    there.mkdir()
    access = dataclasses.replace(server.access, jump=server.access)
    assert _copy(access, [Place(None, name) for name in names], Place("m", f"{there}/"), sent) == 0
    assert sorted(path.name for path in there.iterdir()) == sorted(names)
    assert _copy(access, [Place("m", str(there))], Place(None, str(back)), tmp_path, recursive=True) == 0
    assert {path.name: path.read_text() for path in (back / "inbox").iterdir()} == {name: name for name in names}


@pytest.mark.sshd
def test_a_machine_that_shows_another_host_key_gets_nothing(server: Loopback, tmp_path: Path) -> None:
    from im_client.remote.hostkeys import new_key_pair

    (tmp_path / "x").write_text("x")
    access = dataclasses.replace(server.access, host_key=new_key_pair()[0])
    assert _copy(access, [Place(None, "x")], Place("m", f"{server.home}/x"), tmp_path) != 0
    assert not (server.home / "x").exists()
