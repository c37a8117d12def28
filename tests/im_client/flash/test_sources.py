"""What a person names: files, addresses, names of rpi-imager's list; lists that are none."""

import json
import os
from pathlib import Path

import pytest

from im_client.flash.bmap import BlockMap
from im_client.flash.model import InitFormat, Source
from im_client.flash.oslist import parse_list
from im_client.flash.sources import block_map, find
from infracore.errors import InfraError, InvalidUsage, Misconfigured, NotFound, Transient
from tests.im_client.flash.image_server import Site, serve
from tests.im_client.flash.test_bmap import RANGE, written

A, B = "a" * 64, "b" * 64
LITE = {
    "name": "Raspberry Pi OS Lite (64-bit)",
    "description": "no desktop",
    "icon": "https://example.org/icon.png",
    "url": "https://example.org/lite.img.xz",
    "extract_size": 2_977_955_840,
    "extract_sha256": A,
    "image_download_size": 500_000_000,
    "image_download_sha256": B.upper(),
    "release_date": "2026-10-01",
    "devices": ["pi5-64bit", "pi4-64bit"],
    "init_format": "cloudinit-rpi",
}
LIST = {
    "imager": {"latest_version": "2.0"},
    "os_list": [
        {"name": "Raspberry Pi OS (other)", "subitems": [{"name": "older", "subitems": [LITE]}]},
        {"name": "Debian", "url": "https://example.org/debian.img.zst", "init_format": "something-new"},
        {"name": "Erase", "url": "internal://format", "extract_size": 0, "extract_sha256": "", "subitems_url": ""},
    ],
}


@pytest.fixture
def os_list(tmp_path: Path) -> str:
    (tmp_path / "list.json").write_text(json.dumps(LIST))
    return str(tmp_path / "list.json")


def test_a_name_is_found_in_submenus_whatever_its_case(os_list: str, tmp_path: Path) -> None:
    assert find("raspberry pi os LITE (64-bit)", cache=tmp_path, os_list=os_list) == Source(
        "https://example.org/lite.img.xz", B, A, 2_977_955_840, InitFormat.CLOUDINIT_RPI, LITE["name"]
    )
    assert find("Debian", cache=tmp_path, os_list=os_list).init_format is None


def test_a_name_that_is_none_brings_one_that_is_near(os_list: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as found:
        find("raspberry pi os lite 64-bit", cache=tmp_path, os_list=os_list)
    assert "Raspberry Pi OS Lite (64-bit)" in found.value.hint
    with pytest.raises(NotFound) as found:
        find("windows", cache=tmp_path, os_list=os_list)
    assert "Debian" in found.value.hint


def test_a_file_and_an_address_need_no_list(tmp_path: Path) -> None:
    (tmp_path / "a.img").write_bytes(b"x")
    path = str(tmp_path / "a.img")
    assert find(path, cache=tmp_path, os_list="/none", sha256=A.upper()) == Source(path, A, name="a.img")
    assert find("https://example.org/x/b.img.xz", cache=tmp_path) == Source(
        "https://example.org/x/b.img.xz", name="b.img.xz"
    )
    assert find("http://example.org/b.img", cache=tmp_path, sha256=B).sha256 == B


@pytest.mark.parametrize(
    ("address", "sha256", "error", "said"),
    [
        ("http://example.org/b.img", None, InvalidUsage, "can change an image"),
        ("https://user:secret@example.org/b.img", None, InvalidUsage, "no user"),
        ("ftp://example.org/b.img", None, InvalidUsage, "no http"),
        ("file:///etc/passwd", None, InvalidUsage, "no http"),
        ("https://", None, InvalidUsage, "no http"),
        ("/none/of/these.img", None, NotFound, "no image"),
        ("/usr", None, InvalidUsage, "a folder"),
        ("Debian", "12", InvalidUsage, "no SHA-256"),
        ("Raspberry Pi OS Lite (64-bit)", "c" * 64, InvalidUsage, "the list says"),
    ],
)
def test_what_cannot_be_is_refused(
    address: str, sha256: str | None, error: type[InfraError], said: str, os_list: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said) as found:
        find(address, cache=tmp_path, os_list=os_list, sha256=sha256)
    assert "secret" not in str(found.value)


def _deep(levels: int) -> str:
    return '{"os_list": ' + '[{"name": "x", "subitems": ' * levels + "[]" + "}]" * levels + "}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "<html>",
        "{}",
        '{"os_list": {}}',
        '{"os_list": [1]}',
        '{"os_list": [{"name": 1}]}',
        '{"os_list": [{"url": "https://example.org/a"}]}',
        '{"os_list": [{"name": "a", "url": "file:///etc/shadow"}]}',
        '{"os_list": [{"name": "a\\u001b[2J", "url": "https://example.org/a"}]}',
        '{"os_list": [{"name": "a", "url": "https://example.org/a", "extract_size": -1}]}',
        '{"os_list": [{"name": "a", "url": "https://example.org/a", "extract_size": 1e400}]}',
        '{"os_list": [{"name": "a", "url": "https://example.org/a", "extract_sha256": "zz"}]}',
        '{"os_list": [{"name": "a", "url": "https://exa\\nmple.org/a"}]}',
        '{"os_list": [{"name": "a", "subitems_url": "http://"}]}',
        _deep(30),
        _deep(50_000),
        '{"os_list": [' + ",".join(['{"name": "a"}'] * 10_001) + "]}",
        '{"os_list": [{"name": "\ud800"}]}',
    ],
    ids=range(19),
)
def test_a_list_that_is_none_gives_one_clear_error(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"list\.json is no list of images") as found:
        parse_list(text.encode(errors="surrogatepass"), "https://example.org/list.json")
    assert len(str(found.value)) < 500


def test_two_images_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    twice = {"os_list": [LITE, {**LITE, "url": "https://example.org/other.img.xz"}]}
    (tmp_path / "list.json").write_text(json.dumps(twice))
    with pytest.raises(InvalidUsage, match="several images"):
        find(LITE["name"], cache=tmp_path, os_list=str(tmp_path / "list.json"))  # type: ignore[arg-type]


def test_lists_elsewhere_are_read_where_that_is_needed_and_a_copy_serves_without_network(tmp_path: Path) -> None:
    with serve(Site()) as site:
        site.files["/list.json"] = json.dumps(
            {"os_list": [{"name": "Others", "subitems_url": "others.json"}, LIST["os_list"][1]]}
        ).encode()
        site.files["/others.json"] = json.dumps(
            {"os_list": [LITE, {"name": "x", "subitems_url": "list.json"}]}
        ).encode()
        url = f"{site.url}/list.json"
        assert find("Debian", cache=tmp_path, os_list=url).address == "https://example.org/debian.img.zst"
        assert [path for path, _ in site.asked] == ["/list.json"]
        assert find(str(LITE["name"]), cache=tmp_path, os_list=url).sha256 == B
        with pytest.raises(NotFound):
            find("nothing", cache=tmp_path, os_list=url)
    assert find(str(LITE["name"]), cache=tmp_path, os_list=url).sha256 == B
    with pytest.raises(Transient):
        find("Debian", cache=tmp_path / "empty", os_list=url)


def test_lists_that_lead_on_without_end_are_refused(tmp_path: Path) -> None:
    with serve(Site()) as site:
        for n in range(50):
            site.files[f"/{n}"] = json.dumps({"os_list": [{"name": "x", "subitems_url": f"/{n + 1}"}]}).encode()
        with pytest.raises(Misconfigured, match="more than 32 lists"):
            find("nothing", cache=tmp_path, os_list=f"{site.url}/0")


def test_a_block_map_is_named_or_lies_beside_the_image(tmp_path: Path) -> None:
    image = tmp_path / "a.img.xz"
    assert block_map(Source(str(image)), image) is None
    (tmp_path / "a.img.bmap").write_bytes(written(RANGE))
    assert isinstance(block_map(Source(str(image)), image), BlockMap)
    with pytest.raises(NotFound):
        block_map(Source(str(image), bmap="/none"), image)
    with serve(Site({"/m.bmap": written(RANGE)})) as site:
        found = block_map(Source(str(image), bmap=f"{site.url}/m.bmap"), image)
    assert found == block_map(Source(str(image)), image)


@pytest.mark.parametrize(
    "address", ["a" * 300, "https://[::1/pi.img", "~nobody-of-that-name/pi.img", "https://example.org/\ud800"]
)
def test_what_can_be_no_path_and_no_address_is_one_error(tmp_path: Path, os_list: str, address: str) -> None:
    with pytest.raises(InfraError) as caught:
        find(address, cache=tmp_path, os_list=os_list)
    assert caught.value.message


def test_homes_that_are_none_are_said_for_lists_and_maps_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidUsage, match="no such home folder"):
        find("Debian", cache=tmp_path, os_list="~nobody-of-that-name/list.json")
    with pytest.raises(InvalidUsage, match="no such home folder"):
        block_map(Source("pi.img", bmap="~nobody-of-that-name/pi.bmap"), tmp_path / "pi.img")


def test_a_file_that_is_missing_is_said_where_the_list_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(Transient, match=r"'raspios\.img\.xz' is no file here, and the list of names cannot be had"):
        find("raspios.img.xz", cache=tmp_path, os_list="http://127.0.0.1:1/list.json")


def test_what_is_neither_file_nor_disk_is_no_image(tmp_path: Path, os_list: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidUsage, match="neither a file nor a disk"):
        find(str(tmp_path / "pipe"), cache=tmp_path, os_list=os_list)


@pytest.mark.parametrize("url", ["https://[::1", "https://user:hunter2@example.org/a.img"])
def test_a_list_with_an_address_that_nobody_can_fetch_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        parse_list(json.dumps({"os_list": [{"name": "x", "url": url}]}).encode(), "list.json")
