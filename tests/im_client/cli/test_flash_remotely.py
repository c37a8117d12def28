"""What is shown of a disk that is flashed over ssh."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.cli.flash_remotely import flash_over_ssh
from im_client.flash.known import KnownBoards
from im_client.services.flash import FlashRequest
from im_client.settings import Settings
from infracore.errors import InvalidUsage
from tests.im_client.remote.loopback import Loopback, serve
from tests.rigs.needs import need_programs

pytestmark = pytest.mark.sshd


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Loopback]:
    need_programs("sshd", "ssh")
    made = serve(tmp_path / "server")
    try:
        yield made
    finally:
        made.stop()


def test_a_disk_is_shown_asked_for_and_written(
    server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(state_dir=tmp_path / "state", cache_dir=tmp_path / "cache")
    settings.state_dir.mkdir()
    assert server.access.host_key is not None
    KnownBoards(settings.state_dir).remember("127.0.0.1", server.access.host_key, ("127.0.0.1",))
    door, image, disk = tmp_path / "door", tmp_path / "image", tmp_path / "disk.img"
    door.touch(mode=0o600)
    assert server.access.private_key is not None
    door.write_text(server.access.private_key.reveal())
    image.write_bytes(b"image" * 400_000)
    device = f"ssh://root@127.0.0.1:{server.access.port}{disk}"
    request = FlashRequest(image=str(image), device=device)

    assert flash_over_ssh(settings, request, key_file=str(door), dry_run=True, yes=False, as_json=False) == 0
    shown = capsys.readouterr().err
    assert "image is written to\n" in shown
    assert f"127.0.0.1: {disk} of 127.0.0.1: a file  as the image is" in shown
    assert not disk.exists()
    with pytest.raises(InvalidUsage, match="no terminal"):
        flash_over_ssh(settings, request, key_file=str(door), dry_run=False, yes=False, as_json=False)
    assert not disk.exists()
    capsys.readouterr()
    assert flash_over_ssh(settings, request, key_file=str(door), dry_run=False, yes=True, as_json=True) == 0
    assert disk.read_bytes() == image.read_bytes()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] | {"type": "plan", "image": str(image), "hostname": None, "is_device": False} == lines[0]
    assert (lines[-1]["type"], lines[-1]["state"], lines[-1]["verified"]) == ("report", "done", True)
