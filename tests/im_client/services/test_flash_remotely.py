"""An image is made for its node here and sent to another machine's disk; what is known of the board stays true."""

import lzma
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from im_client.flash.customise import read_mark
from im_client.flash.known import KnownBoards
from im_client.flash.model import BadImage, Progress, State
from im_client.remote.hostkeys import public_of
from im_client.services.flash import FlashRequest
from im_client.services.flash_remotely import flash_remotely, is_remote, prepare_remotely
from im_client.settings import Settings
from infracore.errors import Conflict, InfraError, InvalidUsage, NotFound, Several
from tests.im_client.flash.customise.pi_images import KEY, make_disk
from tests.im_client.flash.loops import loop_device
from tests.im_client.remote.loopback import Loopback, serve
from tests.rigs.needs import need_programs, need_root

pytestmark = [pytest.mark.sshd, pytest.mark.mtools]
MIB = 1 << 20
NODES = {"pi-1": {"raspberry_pi_node": {"user": "ana", "authorized_keys": [KEY]}}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Loopback]:
    need_programs("sshd", "ssh")
    made = serve(tmp_path / "server")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def settings(tmp_path: Path, server: Loopback) -> Settings:
    """Of a computer that knows the running machine."""
    made = Settings(state_dir=tmp_path / "state", cache_dir=tmp_path / "cache")
    made.state_dir.mkdir()
    assert server.access.host_key is not None
    KnownBoards(made.state_dir).remember("127.0.0.1", server.access.host_key, ("127.0.0.1",))
    return made


def request(server: Loopback, image: Path, disk: Path) -> FlashRequest:
    device = f"ssh://root@127.0.0.1:{server.access.port}{disk}"
    return FlashRequest(image=str(image), device=device, node="pi-1", nodes=NODES)


def key_file(server: Loopback, folder: Path) -> str:
    path = folder / "door"
    path.touch(mode=0o600)
    assert server.access.private_key is not None
    path.write_text(server.access.private_key.reveal())
    return str(path)


def test_the_disk_becomes_the_nodes_and_the_machine_restarts(
    server: Loopback, settings: Settings, tmp_path: Path
) -> None:
    image, disk = make_disk(tmp_path).path, tmp_path / "nvme.img"
    plan = prepare_remotely(settings, request(server, image, disk), key_file=key_file(server, tmp_path))
    assert not disk.exists()
    result = flash_remotely(
        settings,
        plan,
        restart=True,
        on_progress=lambda _: None,
        on_step=lambda _name, _step: None,
        cancel=threading.Event(),
    )
    assert (result.state, result.verified, result.error) == (State.DONE, True, None)
    mark = read_mark(disk)
    assert mark is not None
    assert public_of(mark.host_key) == KnownBoards(settings.state_dir).host_key("pi-1")
    assert (server.home / "power.log").read_text() == "systemctl reboot\n"
    assert list((settings.cache_dir / "flash").iterdir()) == []


@pytest.mark.parametrize("before", [KEY, ""], ids=["known", "unknown"])
def test_a_board_whose_disk_was_not_written_is_known_as_before(
    server: Loopback, settings: Settings, tmp_path: Path, before: str
) -> None:
    image, disk = make_disk(tmp_path).path, tmp_path / "nvme.img"
    known = KnownBoards(settings.state_dir)
    if before:
        known.remember("pi-1", before, ("pi-1",))
    hosts = known.known_hosts.read_text()
    plan = prepare_remotely(settings, request(server, image, disk), key_file=key_file(server, tmp_path))
    server.stop()
    result = flash_remotely(
        settings,
        plan,
        restart=True,
        on_progress=lambda _: None,
        on_step=lambda _name, _step: None,
        cancel=threading.Event(),
    )
    assert result.state is State.FAILED
    assert known.host_key("pi-1") == (public_of(before) if before else None)
    assert known.known_hosts.read_text() == hosts
    assert not disk.exists()


def test_a_command_that_dies_has_not_changed_what_is_known(
    server: Loopback, settings: Settings, tmp_path: Path
) -> None:
    image, disk = make_disk(tmp_path).path, tmp_path / "nvme.img"
    plan = prepare_remotely(settings, request(server, image, disk), key_file=key_file(server, tmp_path))

    def die(_progress: Progress) -> None:
        if disk.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flash_remotely(
            settings,
            plan,
            restart=False,
            on_progress=die,
            on_step=lambda _name, _step: None,
            cancel=threading.Event(),
        )
    assert KnownBoards(settings.state_dir).host_key("pi-1") is None


def test_what_must_not_be_written_is_refused_before_anything_is_made(
    server: Loopback, settings: Settings, tmp_path: Path
) -> None:
    door = key_file(server, tmp_path)
    asked = request(server, make_disk(tmp_path).path, Path("/dev/im-no-such"))
    with pytest.raises(InvalidUsage, match="no such device"):
        prepare_remotely(settings, asked, key_file=door)
    KnownBoards(settings.state_dir).remember("127.0.0.1", KEY, ("127.0.0.1",))
    with pytest.raises(Conflict):
        prepare_remotely(settings, asked, key_file=door)
    assert is_remote(asked.device)
    assert not is_remote("/dev/sda")


def test_image_and_node_are_looked_at_before_the_question(server: Loopback, settings: Settings, tmp_path: Path) -> None:
    door, disk = key_file(server, tmp_path), tmp_path / "nvme.img"
    good = request(server, make_disk(tmp_path).path, disk)
    cut = tmp_path / "image.xz"
    cut.write_bytes(lzma.compress(bytes(MIB))[:-8])
    ways: dict[type[InfraError], FlashRequest] = {
        NotFound: replace(good, image=str(tmp_path / "none.img")),
        BadImage: replace(good, image=str(cut)),
        Several: replace(good, nodes={"pi-1": {"raspberry_pi_node": {"user": "not a name"}}}),
    }
    for kind, asked in ways.items():
        with pytest.raises(kind):
            prepare_remotely(settings, asked, key_file=door)
    with pytest.raises(NotFound, match="no board 'pi-2'"):
        prepare_remotely(settings, replace(good, node="pi-2"), key_file=door)
    plan = prepare_remotely(settings, good, key_file=door)
    assert plan.node is not None
    assert (plan.node.hostname, plan.batch.source.address) == ("pi-1", good.image)
    assert not disk.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"if_needed": True}, "--if-needed: not with ssh://"),
        ({"eject": True}, "--eject: not with ssh://"),
        ({"every": True}, "--all and --to: not with ssh://"),
        ({"forced": ("/dev/sda",)}, "--force-device /dev/sda names another disk"),
    ],
)
def test_an_option_that_is_of_no_use_there_is_refused(
    server: Loopback, settings: Settings, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    asked = replace(request(server, tmp_path / "image", tmp_path / "disk.img"), **change)
    with pytest.raises(InvalidUsage, match=said):
        prepare_remotely(settings, asked)


@pytest.mark.loop
def test_a_disk_that_is_larger_than_cards_are_is_written_when_it_is_forced(
    server: Loopback, settings: Settings, tmp_path: Path
) -> None:
    need_root()
    file, door = tmp_path / "backup.img", key_file(server, tmp_path)
    with file.open("wb") as out:
        out.truncate(600 * 10**9)
    with loop_device(file) as device:
        asked = request(server, make_disk(tmp_path).path, device)
        with pytest.raises(InvalidUsage, match="larger than cards are") as caught:
            prepare_remotely(settings, asked, key_file=door)
        assert caught.value.hint.endswith(f"--force-device {asked.device}")
        plan = prepare_remotely(settings, replace(asked, forced=(asked.device,)), key_file=door)
        assert plan.facts.size == 600 * 10**9


def test_without_a_node_nothing_is_unpacked_here(server: Loopback, settings: Settings, tmp_path: Path) -> None:
    image, disk = tmp_path / "image.xz", tmp_path / "nvme.img"
    whole = random.Random(3).randbytes(2 * MIB)
    image.write_bytes(lzma.compress(whole, preset=0))
    asked = replace(request(server, image, disk), node="", nodes=None)
    plan = prepare_remotely(settings, asked, key_file=key_file(server, tmp_path))

    def told(_progress: Progress) -> None:
        assert not list(tmp_path.rglob(".remote-*"))

    result = flash_remotely(
        settings,
        plan,
        restart=False,
        on_progress=told,
        on_step=lambda _name, _step: None,
        cancel=threading.Event(),
    )
    assert (result.state, result.error) == (State.DONE, None)
    assert disk.read_bytes() == whole
