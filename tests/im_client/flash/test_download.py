"""Images fetched from a real server: broken off, gone on with, checked, kept."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.flash.download import fetch
from im_client.flash.model import BadImage, Phase, Progress, Source
from infracore.errors import Cancelled, Misconfigured, NoSpace, NotFound, Transient, Unauthorised
from tests.im_client.flash.image_server import Site, serve

CONTENT = os.urandom(3 << 20)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site({"/a.img.xz": CONTENT})) as found:
        yield found


def source(site: Site, sha256: str | None = SHA) -> Source:
    return Source(f"{site.url}/a.img.xz", sha256, name="an image")


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("images/*/*") if path.name != ".lock")


def test_an_image_is_fetched_once_and_told_about(site: Site, tmp_path: Path) -> None:
    seen: list[Progress] = []
    path = fetch(source(site), tmp_path, seen.append)
    assert path.read_bytes() == CONTENT
    assert path.name == "a.img.xz"
    assert (seen[-1].phase, seen[-1].name, seen[-1].done, seen[-1].total) == (
        Phase.DOWNLOAD,
        "an image",
        len(CONTENT),
        len(CONTENT),
    )
    assert fetch(source(site), tmp_path) == path
    assert len(site.asked) == 1


def test_what_broke_off_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    site.break_after, site.breaks = 1 << 20, 2
    assert fetch(source(site), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == ["", "bytes=1048576-", "bytes=2097152-"]


def test_a_copy_that_was_damaged_since_is_fetched_again(site: Site, tmp_path: Path) -> None:
    path = fetch(source(site), tmp_path)
    path.write_bytes(CONTENT[:-1])
    assert fetch(source(site), tmp_path) == path
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", [SHA, None], ids=["sum", "no-sum"])
def test_parts_that_are_smaller_than_asked_for_are_put_together(sha256: str | None, site: Site, tmp_path: Path) -> None:
    site.break_after, site.breaks, site.most = 1 << 20, 1, 1 << 20
    assert fetch(source(site, sha256), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in site.asked] == ["", "bytes=1048576-", "bytes=2097152-"]


@pytest.mark.timeout(60)
def test_a_server_that_has_no_part_of_the_whole_is_not_asked_for_ever(site: Site, tmp_path: Path) -> None:
    site.status = 416
    with pytest.raises(Transient, match="416"):
        fetch(source(site), tmp_path)
    assert len(site.asked) == 1


def test_a_later_run_goes_on(site: Site, tmp_path: Path) -> None:
    site.break_after, site.breaks = 1 << 20, 1
    cancel = threading.Event()
    with pytest.raises(Cancelled, match="cancelled"):
        fetch(source(site), tmp_path, lambda _: cancel.set(), cancel)
    assert not [name for name in left(tmp_path) if not name.startswith(".")]
    site.asked.clear()
    assert fetch(source(site), tmp_path).read_bytes() == CONTENT
    assert site.asked[0][1].startswith("bytes=")


def test_a_server_that_gives_no_parts_is_asked_for_all(site: Site, tmp_path: Path) -> None:
    site.ranges, site.break_after, site.breaks = False, 1 << 20, 1
    assert fetch(source(site), tmp_path).read_bytes() == CONTENT


def test_an_image_that_changed_in_between_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    site.break_after, site.breaks = 1 << 20, 1
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        fetch(source(site, None), tmp_path, lambda _: cancel.set(), cancel)
    other = os.urandom(2 << 20)
    site.files["/a.img.xz"], site.etag = other, '"two"'
    assert fetch(source(site, None), tmp_path).read_bytes() == other


def test_a_wrong_checksum_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=f"wrong checksum: .* has the SHA-256 {SHA}, not {'0' * 64}"):
        fetch(source(site, "0" * 64), tmp_path)
    assert left(tmp_path) == []


def test_a_part_that_is_whole_already_is_checked_and_taken(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "images" / SHA[:32]
    folder.mkdir(parents=True)
    (folder / ".a.img.xz.part").write_bytes(CONTENT)
    assert fetch(source(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == [("/a.img.xz", f"bytes={len(CONTENT)}-")]


def test_without_a_checksum_the_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    path = fetch(source(site, None), tmp_path)
    assert fetch(source(site, None), tmp_path) == path
    assert len(site.asked) == 2
    site.files["/a.img.xz"], site.etag = b"new" * 1000, '"two"'
    assert fetch(source(site, None), tmp_path).read_bytes() == b"new" * 1000
    site.status = 503
    assert fetch(source(site, None), tmp_path).read_bytes() == b"new" * 1000


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (410, NotFound), (403, Unauthorised), (401, Unauthorised), (500, Transient)]
)
def test_what_the_server_refuses_is_said(status: int, error: type[Exception], site: Site, tmp_path: Path) -> None:
    site.status = status
    with pytest.raises(error, match=str(status)):
        fetch(source(site), tmp_path)


def test_no_network_is_said_and_cancelled_in_between(tmp_path: Path) -> None:
    with serve(Site()) as gone:
        pass
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        fetch(source(gone), tmp_path, cancel=cancel)


def test_redirects_are_followed_but_not_to_files(site: Site, tmp_path: Path) -> None:
    site.redirects["/latest"] = f"{site.url}/a.img.xz"
    assert fetch(Source(f"{site.url}/latest", SHA), tmp_path).read_bytes() == CONTENT
    site.redirects["/evil"] = "file:///etc/passwd"
    with pytest.raises((Misconfigured, NotFound, Transient)):
        fetch(Source(f"{site.url}/evil", "0" * 64), tmp_path)


@pytest.mark.parametrize(
    ("path", "name"), [("/x/..", "image"), ("/", "image"), ("/.lock", "lock"), ("/a b?c=d", "a-b")]
)
def test_an_address_names_no_other_file_of_the_cache(path: str, name: str, site: Site, tmp_path: Path) -> None:
    site.files[path.replace(" ", "%20")] = CONTENT
    found = fetch(Source(site.url + path.replace(" ", "%20"), SHA), tmp_path)
    assert found.parent.parent == tmp_path / "images"
    assert found.read_bytes() == CONTENT
    assert found.name in {name, name.replace("-", "-20")}


def test_a_cache_that_is_no_folder_is_said(site: Site, tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file")
    with pytest.raises(Misconfigured, match="cannot be used"):
        fetch(source(site), tmp_path)


def test_a_local_file_is_itself_and_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert fetch(Source(str(tmp_path / "a"), SHA), tmp_path / "cache") == tmp_path / "a"
    assert not (tmp_path / "cache").exists()
    with pytest.raises(BadImage, match="wrong checksum"):
        fetch(Source(str(tmp_path / "a"), "0" * 64), tmp_path / "cache")
    with pytest.raises(NotFound):
        fetch(Source(str(tmp_path / "b"), SHA), tmp_path / "cache")


def test_of_two_processes_one_fetches_and_the_other_waits(site: Site, tmp_path: Path) -> None:
    site.held = threading.Event()
    code = (
        "import sys; from pathlib import Path; from im_client.flash.download import fetch; "
        "from im_client.flash.model import Source; "
        f"print(fetch(Source('{site.url}/a.img.xz', '{SHA}'), Path(sys.argv[1])))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    first = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert site.holding.wait(60)
    second = threading.Event()
    with pytest.raises(Cancelled, match="another process"):
        fetch(source(site), tmp_path, cancel=_set(second))
    site.held.set()
    path = fetch(source(site), tmp_path)
    assert first.communicate(timeout=60)[0].strip() == str(path)
    assert path.read_bytes() == CONTENT
    assert len(site.asked) == 1


def _set(event: threading.Event) -> threading.Event:
    event.set()
    return event


def test_an_image_larger_than_the_disk_is_refused_before_it_is_fetched(site: Site, tmp_path: Path) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 60

    site.files["/a.img.xz"] = Huge(b"x")
    with pytest.raises(NoSpace, match="no room"):
        fetch(source(site), tmp_path)
