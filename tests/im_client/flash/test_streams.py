"""Images as they come: packed, in several streams, cut off, changed."""

import gzip
import hashlib
import io
import lzma
import os
import random
import shutil
import subprocess
import threading
import zipfile
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from im_client.flash.model import BadImage
from im_client.flash.streams import open_stream
from im_client.flash.xz_blocks import XzBlocks
from im_client.flash.xz_index import dictionary_bytes, read_index
from infracore.errors import NotFound

RAW = random.Random(6).randbytes(300_000) + bytes(200_000) + b"\x55\xaa" * 1000


def _zip(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda raw: raw,
    "xz": lambda raw: lzma.compress(raw, preset=1),
    "zst": zstandard.compress,
    "gz": lambda raw: gzip.compress(raw, 1),
    "zip": lambda raw: _zip(("a.img", raw)),
}


def _all(path: Path, step: int = 100_000, **known: object) -> bytes:
    block = memoryview(bytearray(step))
    parts = []
    with open_stream(path, **known) as stream:  # type: ignore[arg-type]
        while count := stream.read_into(block):
            parts.append(bytes(block[:count]))
            if count < step:
                break
    return b"".join(parts)


@pytest.mark.parametrize("kind", PACKERS)
def test_an_image_is_read_whatever_packs_it_and_whatever_it_is_called(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image.txt"
    path.write_bytes(PACKERS[kind](RAW))
    with open_stream(path) as stream:
        assert stream.kind == kind
        assert stream.size == (None if kind == "gz" else len(RAW))
    assert _all(path) == RAW
    assert _all(path, step=len(RAW)) == RAW


@pytest.mark.parametrize("kind", ["xz", "zst", "gz"])
def test_several_streams_are_one_image(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(PACKERS[kind](RAW[:250_000]) + PACKERS[kind](RAW[250_000:]))
    with open_stream(path) as stream:
        assert stream.size in {None, len(RAW)}
    assert _all(path) == RAW


def test_padding_and_skippable_frames_are_no_part_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "xz").write_bytes(lzma.compress(RAW) + bytes(8) + lzma.compress(RAW) + bytes(512 * 1024))
    assert _all(tmp_path / "xz") == RAW + RAW
    (tmp_path / "gz").write_bytes(gzip.compress(RAW) + bytes(1000))
    assert _all(tmp_path / "gz") == RAW
    skippable = b"\x50\x2a\x4d\x18\x05\0\0\0hello"
    (tmp_path / "zst").write_bytes(skippable + zstandard.compress(RAW) + skippable)
    assert _all(tmp_path / "zst") == RAW


@pytest.mark.parametrize("kind", ["xz", "zst", "zip"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.999])
def test_a_truncated_file_is_refused_before_anything_is_unpacked(kind: str, share: float, tmp_path: Path) -> None:
    packed = PACKERS[kind](RAW)
    path = tmp_path / "image"
    path.write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(BadImage, match=f"truncated {kind}"):
        open_stream(path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9999])
def test_a_truncated_gz_is_told_where_it_ends(share: float, tmp_path: Path) -> None:
    packed = gzip.compress(RAW)
    (tmp_path / "image").write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(BadImage, match="truncated gz"):
        _all(tmp_path / "image")


def test_a_gz_says_at_least_what_its_last_member_has(tmp_path: Path) -> None:
    path = tmp_path / "gz"
    for content, least in (
        (gzip.compress(RAW), len(RAW)),
        (gzip.compress(RAW) + gzip.compress(RAW[:1000]), 1000),
        (gzip.compress(RAW) + bytes(600), 0),
    ):
        path.write_bytes(content)
        with open_stream(path) as stream:
            assert (stream.size, stream.least) == (None, least)
    path.write_bytes(gzip.compress(b"")[:-3])
    with pytest.raises(BadImage, match="truncated gz"):
        open_stream(path)


@pytest.mark.parametrize("kind", ["xz", "zst", "gz", "zip"])
def test_no_changed_byte_goes_through_unnoticed(kind: str, tmp_path: Path) -> None:
    checked = zstandard.ZstdCompressor(write_checksum=True)
    packed = checked.compress(RAW) if kind == "zst" else PACKERS[kind](RAW)
    chance = random.Random(4)
    path = tmp_path / "image"
    for _ in range(25):
        at = chance.randrange(40, len(packed) - 100)
        path.write_bytes(packed[:at] + bytes([packed[at] ^ 0x10]) + packed[at + 1 :])
        try:
            read = _all(path)
        except BadImage:
            continue
        assert read == RAW  # a byte that means nothing, such as a time in a zip's directory


@pytest.mark.parametrize("kind", ["xz", "zst", "gz"])
def test_something_behind_the_end_is_no_image(kind: str, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(PACKERS[kind](RAW) + b"more of something else")
    with pytest.raises(BadImage):
        _all(tmp_path / "image")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_zip(("a.img", RAW), ("b.img", RAW)), "holds 2 files"),
        (_zip(), "holds 0 files"),
        (b"BZh91AY" + bytes(1000), "bzip2"),
        (b"<!DOCTYPE html><html>" + bytes(1000), "a web page"),
        (b"QFI\xfb" + bytes(1000), "qcow2"),
        (b"", "too small"),
        (bytes(100), "too small"),
        (lzma.compress(b"a note"), "too small"),
        (zstandard.compress(b""), "too small"),
        (_zip(("a.txt", b"a note")), "too small"),
        (b"\xfd7zXZ\0", "truncated xz"),
        (b"\x28\xb5\x2f\xfd", "truncated zst"),
        (b"\xfd7zXZ\0" + bytes(2**16 - 6), "truncated xz"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_image_is_refused_with_a_reason(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(content)
    with pytest.raises(BadImage, match=said):
        open_stream(tmp_path / "image").close()


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_stream(tmp_path / "none")
    with pytest.raises((BadImage, NotFound)):
        open_stream(tmp_path)


def test_an_image_that_wants_a_gigabyte_to_be_unpacked_is_refused(tmp_path: Path) -> None:
    packed = bytearray(lzma.compress(RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    at = 12 + 4  # block header: size, flags, the filter's id and size of properties, its dictionary's size
    assert packed[14:16] == b"\x21\x01"
    packed[at] = 36  # 1 GiB; section 5.3.1
    header = bytes(packed[12 : 12 + (packed[12] + 1) * 4 - 4])
    packed[12 + len(header) : 12 + len(header) + 4] = zlib.crc32(header).to_bytes(4, "little")
    (tmp_path / "image").write_bytes(packed)
    with pytest.raises(BadImage, match="memory"):
        _all(tmp_path / "image")


def test_what_the_list_says_of_the_raw_image_is_held_against_it(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(lzma.compress(RAW))
    digest = hashlib.sha256(RAW).hexdigest()
    assert _all(path, size=len(RAW), sha256=digest.upper()) == RAW
    with pytest.raises(BadImage, match="has the SHA-256"):
        _all(path, sha256="0" * 64)
    with pytest.raises(BadImage, match=f"holds {len(RAW)} bytes, not 5"):
        open_stream(path, size=5)
    (tmp_path / "gz").write_bytes(gzip.compress(RAW))
    with pytest.raises(BadImage, match="holds more than the 400000"):
        _all(tmp_path / "gz", size=400_000)


def _blocks(content: bytes, path: Path, *words: str) -> Path:
    """Pack by the program, in several blocks, as `xz -T0` does."""
    argv = ["xz", "-0", "--block-size=64KiB", *words]
    path.write_bytes(subprocess.run(argv, input=content, stdout=subprocess.PIPE, check=True).stdout)
    return path


needs_xz = pytest.mark.skipif(shutil.which("xz") is None, reason="not installed: xz")
several = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")


@needs_xz
@several
@pytest.mark.parametrize("check", ["none", "crc32", "crc64", "sha256"])
@pytest.mark.parametrize("words", [(), ("-T2",)])
def test_an_xz_of_several_blocks_is_unpacked_on_all_cores(check: str, words: tuple[str, ...], tmp_path: Path) -> None:
    path = _blocks(RAW, tmp_path / "image", f"--check={check}", *words)
    path.write_bytes(path.read_bytes() + bytes(8) + lzma.compress(RAW[:1000]) + path.read_bytes())
    whole = RAW + RAW[:1000] + RAW
    with open_stream(path) as stream:
        assert isinstance(stream, XzBlocks)
        assert (stream.kind, stream.size) == ("xz", len(whole))
    assert _all(path) == whole
    assert _all(path, step=len(whole), sha256=hashlib.sha256(whole).hexdigest()) == whole


@needs_xz
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_changed_byte_of_several_blocks_is_found(share: float, tmp_path: Path) -> None:
    packed = bytearray(_blocks(RAW, tmp_path / "image").read_bytes())
    packed[int(len(packed) * share)] ^= 1
    (tmp_path / "image").write_bytes(packed)
    with pytest.raises(BadImage, match="corrupt xz: "):
        _all(tmp_path / "image")
    (tmp_path / "image").write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(BadImage, match="truncated xz"):
        open_stream(tmp_path / "image")


@needs_xz
@several
@pytest.mark.timeout(60)
def test_a_block_that_wants_more_bytes_than_it_has_is_corrupt(tmp_path: Path) -> None:
    path = _blocks(os.urandom(100_000), tmp_path / "image", "--block-size=10000")
    packed = bytearray(path.read_bytes())
    chunk = 12 + (packed[12] + 1) * 4  # behind the stream's header and the block's own
    assert packed[chunk : chunk + 3] == b"\x01" + (9999).to_bytes(2, "big")  # an LZMA2 chunk that is not packed
    packed[chunk + 1 : chunk + 3] = b"\xff\xff"
    path.write_bytes(packed)
    with pytest.raises(BadImage, match=r"corrupt xz: .* wants more"):
        _all(path)


@needs_xz
@several
def test_a_file_that_is_cut_while_it_is_read_is_truncated(tmp_path: Path) -> None:
    path = _blocks(RAW * 8, tmp_path / "image")
    block = memoryview(bytearray(100_000))
    with open_stream(path) as stream:
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(BadImage, match="truncated xz"):
            deque(iter(lambda: stream.read_into(block), 0), maxlen=0)


@needs_xz
@several
def test_a_stream_that_is_left_early_leaves_no_thread(tmp_path: Path) -> None:
    path = _blocks(RAW * 8, tmp_path / "image")
    with open_stream(path) as stream:
        stream.read_into(memoryview(bytearray(1000)))
    with pytest.raises(BadImage, match="not 5"):
        open_stream(path, size=5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("xz")]


@needs_xz
@pytest.mark.parametrize(("words", "mebibytes"), [(("-0",), 0.25), (("-6",), 8), (("-9", "--arm64"), 64)])
def test_a_block_tells_how_large_a_dictionary_it_needs(
    words: tuple[str, ...], mebibytes: float, tmp_path: Path
) -> None:
    argv = ["xz", *words] if "--arm64" not in words else ["xz", "--arm64", "--lzma2=preset=9"]
    (tmp_path / "image").write_bytes(subprocess.run(argv, input=RAW, stdout=subprocess.PIPE, check=True).stdout)
    with (tmp_path / "image").open("rb") as file:
        (block,) = read_index(file.fileno(), "image").blocks
        assert dictionary_bytes(os.pread(file.fileno(), 1024, block.offset)) == mebibytes * 2**20
    assert dictionary_bytes(b"") == dictionary_bytes(b"\0") == dictionary_bytes(b"\x01\xff\xff\xff\xff\xff") == 0


def test_a_zip_with_a_name_that_is_empty_is_read(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(_zip(("aimg", RAW)).replace(b"aimg", b"\0img"))  # it ends at the zero
    assert _all(tmp_path / "image") == RAW


def test_a_zip_with_a_name_that_is_no_unicode_is_corrupt(tmp_path: Path) -> None:
    packed = _zip(("\u00fc.img", RAW)).replace("\u00fc".encode(), b"\xe2\x28")
    (tmp_path / "zip").write_bytes(packed)
    with pytest.raises(BadImage):
        open_stream(tmp_path / "zip")
