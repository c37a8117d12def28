"""Golden images on disk, without a machine: whole or not at all, and never away from under somebody."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from im_client.providers.images import ImageRequest
from im_client.providers.local import golden
from im_client.providers.local.golden import GoldenImages
from im_client.providers.local.records import Manifest
from infracore.errors import CommandFailed, Conflict, NoCapacity, NotFound
from infracore.process import run


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    place = tmp_path / "upper"
    (place / "etc" / "ssh").mkdir(parents=True)
    (place / "usr").mkdir()
    (place / "etc" / "ssh" / "ssh_host_ed25519_key").write_text("secret")
    (place / "usr" / "tool").write_text("tool")
    (place / "usr" / "tool").chmod(0o755)
    return place


@pytest.fixture
def images(tmp_path: Path) -> GoldenImages:
    (tmp_path / "base").mkdir()
    (tmp_path / "state").mkdir()
    return GoldenImages(tmp_path / "state")


def _request(name: str = "wn", now: float = 1.0) -> ImageRequest:
    return ImageRequest(name, "token", "infra", "worker-1", "worker", now)


def _machine(images: GoldenImages, tmp_path: Path, parent: str = "") -> Manifest:
    base = images.layers(images.load(parent)) if parent else str(tmp_path / "base")
    return Manifest("token", "infra", "worker-1", "nspawn", base=base, golden=parent, image="debian bookworm")


def test_a_saved_image_has_what_was_installed_and_not_who_the_machine_was(
    images: GoldenImages, upper: Path, tmp_path: Path
) -> None:
    image = images.save(_request(), _machine(images, tmp_path), upper)
    layer = Path(images.layers(image).split(":")[0])
    assert (layer / "usr" / "tool").stat().st_mode & 0o777 == 0o755
    assert not (layer / "etc" / "ssh" / "ssh_host_ed25519_key").exists()
    assert (upper / "etc" / "ssh" / "ssh_host_ed25519_key").exists()
    assert images.layers(image).endswith(f":{tmp_path / 'base'}")
    assert [one.name for one in images.all()] == ["wn"]
    assert (image.system, image.group, image.removed) == ("debian bookworm", "worker", 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: (layer / "usr" / "tool").write_text("loot"),
        lambda layer: (layer / "usr" / "tool").chmod(0o4755),
        lambda layer: (layer / "usr" / "more").write_text(""),
        lambda layer: (layer / "usr" / "tool").rename(layer / "usr" / "took"),
    ],
)
def test_a_changed_file_is_found(images: GoldenImages, upper: Path, tmp_path: Path, change) -> None:
    image = images.save(_request(), _machine(images, tmp_path), upper)
    assert images.check("wn") == ""
    change(Path(images.layers(image).split(":")[0]))
    assert "have changed" in images.check("wn")


def test_a_name_is_given_once(images: GoldenImages, upper: Path, tmp_path: Path) -> None:
    images.save(_request(), _machine(images, tmp_path), upper)
    with pytest.raises(Conflict, match="already"):
        images.save(_request(), _machine(images, tmp_path), upper)


def test_room_is_looked_for_before_anything_is_copied(
    images: GoldenImages, upper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "_MARGIN_BYTES", 2**60)
    with pytest.raises(NoCapacity, match="are free"):
        images.save(_request(), _machine(images, tmp_path), upper)
    assert images.all() == []


def test_names_that_are_no_text_and_folders_without_end_are_no_defect(
    images: GoldenImages, upper: Path, tmp_path: Path
) -> None:
    odd = os.fsencode(upper / "etc") + b"/\xff\x1b.key"
    with open(os.open(odd, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write("x")
    image = images.save(_request(), _machine(images, tmp_path), upper)
    assert image.private == ("/etc/?\x1b.key",)
    assert images.all() == [image]
    deep = upper / "usr"
    at = os.open(deep, os.O_DIRECTORY)
    for _ in range(300):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 200)  # cp takes seconds for a depth of 1,000
    try:
        with pytest.raises(CommandFailed, match="cannot be looked through"):
            images.save(_request("deep"), _machine(images, tmp_path), upper)
    finally:
        sys.setrecursionlimit(limit)
    left = sorted(path.name for path in (tmp_path / "state" / "golden").iterdir() if path.is_dir())
    assert left == ["wn"]
    run(["rm", "-rf", deep], timeout_s=60)
    with (upper / "sparse").open("wb") as file:
        file.truncate(2**43)
    with pytest.raises(CommandFailed, match="larger than the disk"):
        images.save(_request("sparse"), _machine(images, tmp_path), upper)


def test_a_copy_that_fails_leaves_nothing(images: GoldenImages, upper: Path, tmp_path: Path) -> None:
    machine = _machine(images, tmp_path)
    shutil.rmtree(upper)
    with pytest.raises(CommandFailed):
        images.save(_request(), machine, upper)
    assert [path.name for path in (tmp_path / "state" / "golden").iterdir() if path.is_dir()] == []


_SAVE = """
import sys
from pathlib import Path
from im_client.providers.images import ImageRequest
from im_client.providers.local import golden
from im_client.providers.local.records import Manifest
def stop(*words):
    print("copied", flush=True)
    sys.stdin.read()
setattr(golden, sys.argv[2], stop)
tmp = Path(sys.argv[1])
machine = Manifest("token", "infra", "worker-1", "nspawn", base=str(tmp / "base"), image="x")
golden.GoldenImages(tmp / "state").save(ImageRequest("wn", "token", "i", "w", "g", 1.0), machine, tmp / "upper")
"""


@pytest.mark.parametrize("moment", ["scrub", "_digest", "write_durably"])
def test_a_killed_process_leaves_nothing_that_is_listed_and_the_next_one_tidies_up(
    images: GoldenImages, upper: Path, tmp_path: Path, moment: str
) -> None:
    words = [sys.executable, "-c", _SAVE, str(tmp_path), moment]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"copied\n"
        with pytest.raises(Conflict, match="being saved"):
            images.save(_request("other"), _machine(images, tmp_path), upper)
        child.send_signal(signal.SIGKILL)
    assert images.all() == []
    images.save(_request(), _machine(images, tmp_path), upper)
    left = sorted(path.name for path in (tmp_path / "state" / "golden").iterdir() if path.is_dir())
    assert left == ["wn"]


def test_an_image_that_is_stood_on_is_not_deleted(images: GoldenImages, upper: Path, tmp_path: Path) -> None:
    images.save(_request("first"), _machine(images, tmp_path), upper)
    second = images.save(_request("second", 2.0), _machine(images, tmp_path, "first"), upper)
    assert images.layers(second).count(":") == 2
    assert [one.name for one in images.all()] == ["second", "first"]
    with images.lock():
        with pytest.raises(Conflict, match="the image second"):
            images.delete("first", [])
        with pytest.raises(Conflict, match="worker-7"):
            images.delete("second", ["worker-7"])
        for name in ("second", "first", "first", "../upper"):
            images.delete(name, [])
    assert images.all() == []
    assert upper.exists()
    with pytest.raises(NotFound):
        images.load("first")


def test_an_image_whose_base_is_gone_says_so(images: GoldenImages, upper: Path, tmp_path: Path) -> None:
    images.save(_request(), _machine(images, tmp_path), upper)
    (tmp_path / "base").rmdir()
    with pytest.raises(NotFound, match="which is gone"):
        images.load("wn")


def test_images_do_not_stand_on_each_other_without_end(images: GoldenImages, upper: Path, tmp_path: Path) -> None:
    parent = ""
    for number in range(7):
        images.save(_request(f"i{number}"), _machine(images, tmp_path, parent), upper)
        parent = f"i{number}"
    with pytest.raises(Conflict, match="stand on each other"):
        images.save(_request("last"), _machine(images, tmp_path, parent), upper)
