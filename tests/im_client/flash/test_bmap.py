"""Block maps: as bmap-tools writes them, hostile ones, and those made of a file's holes."""

import hashlib
import os
from pathlib import Path

import pytest

from im_client.flash.bmap import BlockMap, Range, map_file, parse_bmap, read_bmap
from im_client.flash.model import BadImage
from infracore.errors import NotFound

BLOCK = 4096


def written(
    ranges: str,
    *,
    version: str = "2.0",
    size: int = 10 * BLOCK - 100,
    count: int = 10,
    mapped: int = 4,
    kind: str = "sha256",
) -> bytes:
    """A bmap file with its own checksum right."""
    zeros = "0" * hashlib.new(kind).digest_size * 2
    text = f"""<?xml version="1.0" ?>
<!-- a comment with 0-3 -->
<bmap version="{version}">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {BLOCK} </BlockSize>
    <BlocksCount> {count} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> {kind} </ChecksumType>
    <BmapFileChecksum> {zeros} </BmapFileChecksum>
    <BlockMap>
        {ranges}
    </BlockMap>
</bmap>
"""
    return text.replace(zeros, hashlib.new(kind, text.encode()).hexdigest()).encode()


A, B = "a" * 64, "B" * 64


@pytest.mark.parametrize("version", ["1.4", "2.0"])
def test_ranges_are_bytes_and_the_last_ends_with_the_image(version: str) -> None:
    text = written(f'<Range chksum="{A}"> 0-2 </Range><Range chksum="{B}"> 9 </Range>', version=version)
    found = parse_bmap(text, "a.bmap")
    assert found == BlockMap(
        10 * BLOCK - 100, (Range(0, 3 * BLOCK, A), Range(9 * BLOCK, BLOCK - 100, B.lower())), "sha256"
    )
    assert found.mapped == 4 * BLOCK - 100
    assert not found.holes_are_zero


def test_the_older_form_with_sha1_is_read() -> None:
    digest = "c" * 40
    zeros = "0" * 40
    text = f"""<bmap version="1.3"><ImageSize> 8192 </ImageSize><BlockSize> 4096 </BlockSize>
<BlocksCount> 2 </BlocksCount><MappedBlocksCount> 1 </MappedBlocksCount><BmapFileSHA1> {zeros} </BmapFileSHA1>
<BlockMap><Range sha1="{digest}"> 1 </Range></BlockMap></bmap>"""
    text = text.replace(zeros, hashlib.sha1(text.encode()).hexdigest())
    assert parse_bmap(text.encode(), "x") == BlockMap(8192, (Range(4096, 4096, digest),), "sha1")


RANGE = f'<Range chksum="{A}"> 0-3 </Range>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no block map"),
        (b"<html></html>", "root is <html>"),
        (b'<?xml version="1.0" encoding="soup"?><bmap version="2.0"></bmap>', "unknown encoding"),
        (written("", mapped=0), "it maps nothing"),
        (b"<bmap version='2.0'>", "no block map"),
        (b'<!DOCTYPE bmap [<!ENTITY a "aaaa">]><bmap version="2.0">&a;</bmap>', "document type"),
        (b'<bmap version="3.0"></bmap>', "version '3.0' is not known"),
        (b'<bmap version="2.0"></bmap>', "ImageSize"),
        (written(RANGE).replace(b"0-3", b"0-2"), "own checksum"),
        (written(RANGE, mapped=5), "4 blocks are mapped, 5 should be"),
        (written(RANGE, count=11), "no image of"),
        (written(RANGE, size=2**52, count=2**40), "no image of"),
        (written("<Range> 0-99 </Range>"), "outside the image"),
        (written("<Range> 3-0 </Range>"), "out of order"),
        (written("<Range> 0-3 </Range><Range> 3 </Range>"), "out of order"),
        (written("<Range> -1 </Range>"), "no range"),
        (written('<Range chksum="zz"> 0-3 </Range>'), "no checksum"),
        (written("<Range> 99999999999999999999 </Range>"), "no range"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_map_that_is_none_is_refused_with_a_reason(text: bytes, said: str) -> None:
    with pytest.raises(BadImage, match=said):
        parse_bmap(text, "a.bmap")


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_bmap(tmp_path / "none.bmap")


def test_the_holes_of_a_file_are_its_map(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(10 << 20)
        for at in (1 << 20, 6 << 20):
            file.seek(at)
            file.write(b"x" * 10_000)
        file.flush()
        os.fsync(file.fileno())
    with path.open("rb") as file:
        found = map_file(file.fileno(), 10 << 20)
    assert found.holes_are_zero
    assert 20_000 <= found.mapped < 5 << 20
    assert all(any(one.start <= at < one.end for one in found.ranges) for at in (1 << 20, 6 << 20))


def test_a_file_without_bytes_maps_nothing(tmp_path: Path) -> None:
    with (tmp_path / "empty").open("w+b") as file:
        file.truncate(1 << 20)
        assert map_file(file.fileno(), 1 << 20) == BlockMap(1 << 20, (), holes_are_zero=True)
