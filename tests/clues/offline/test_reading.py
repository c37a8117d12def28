"""Hostile and broken files are refused with one clear error."""

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clues.offline.reading import documents, json_line, read_bytes
from infracore.errors import InfraError, Misconfigured, NotFound


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: 1\na: 2\n", "'a' stands twice"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b"a: &x [*x]\n", "inside of itself"),
        (
            b"a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9)),
            "stand for more than",
        ),
        (b"a: !!python/object:os.system {}\n", "tag"),
        (b"a: !!binary aGVsbG8=\n", "tag"),
        (b"a: .nan\n", "not a finite number"),
        (b"a: .inf\n", "not a finite number"),
        (b"? [a, b]\n: 1\n", "one word"),
        (b"a: [1\n", "not YAML"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 5000, "nested"),
        (b"a: " + b"[" * 300 + b"]" * 300, "nested"),
        (b"a: 12:99:99:99\x00", "not YAML"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        list(documents(content, "FILE"))


def test_streams_of_documents_are_taken_apart() -> None:
    assert list(documents(b"a: 1\n---\n---\nb: 2020-01-01\n", "FILE")) == [{"a": 1}, {"b": "2020-01-01"}]
    assert list(documents(b'{"a": 1}\n{"b": [1.5, null, true]}', "FILE")) == [{"a": 1}, {"b": [1.5, None, True]}]
    assert list(documents(b"{a: 1, b: [x]}", "FILE")) == [{"a": 1, "b": ["x"]}]
    assert list(documents(b" \n", "FILE")) == []
    assert list(documents(b"a: &x [1]\nb: *x\n", "FILE")) == [{"a": [1], "b": [1]}]


def test_a_line_is_one_value() -> None:
    assert json_line(b'{"a": 1}', "LINE") == {"a": 1}
    for line in (b"", b"{} {}", b"{a: 1}", b'{"a": NaN}', b"\xff"):
        with pytest.raises(Misconfigured):
            json_line(line, "LINE")


def test_gzip_and_plain_are_read_alike_and_damage_is_told(tmp_path: Path) -> None:
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(b"a: 1"))
    assert read_bytes(packed) == b"a: 1"
    packed.write_bytes(gzip.compress(b"a: 1")[:-6])
    with pytest.raises(Misconfigured, match="damaged"):
        read_bytes(packed)
    with pytest.raises(NotFound):
        read_bytes(tmp_path / "missing")
    with pytest.raises(Misconfigured):
        read_bytes(tmp_path)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_nothing_but_our_own_errors_leaves(content: bytes) -> None:
    with suppress(InfraError):
        list(documents(content, "FILE"))
