"""Just so much of the DNS message (RFC 1035) as a question of multicast DNS and its answers need."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

__all__ = ["PTR", "A", "Question", "Record", "decode_answers", "encode_query", "reverse_name"]

A: Final = 1
PTR: Final = 12
_IN: Final = 1
_CLASS_BITS: Final = 0x7FFF
"""The top bit of a class means something else in multicast DNS (RFC 6762, sections 5.4 and 10.2)."""
_RESPONSE: Final = 0x8000
_HEADER: Final = struct.Struct("!6H")
_QUESTION: Final = struct.Struct("!2H")
_RECORD: Final = struct.Struct("!2HLH")
_MOST_LABEL: Final = 63
_MOST_NAME: Final = 255
_MOST_RECORDS: Final = 200


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a name without its last dot, and the type of record."""

    name: str
    kind: int


@dataclass(frozen=True, slots=True)
class Record:
    """An answer: the address of a name (A), or the name that it points to (PTR)."""

    name: str
    kind: int
    value: str


def reverse_name(address: IPv4Address) -> str:
    """Return the name under which the name of an address is asked."""
    return address.reverse_pointer


def encode_query(number: int, questions: Sequence[Question]) -> bytes:
    """Return a message with these questions.

    Raises:
        ValueError: a name that DNS cannot say.
    """
    parts = [_HEADER.pack(number, 0, len(questions), 0, 0, 0)]
    for question in questions:
        parts += [_encode_name(question.name), _QUESTION.pack(question.kind, _IN)]
    return b"".join(parts)


def decode_answers(message: bytes) -> tuple[Record, ...]:
    """Return the A and PTR records of an answer; none where it is no answer or is broken."""
    try:
        return tuple(_decode(message))
    except (struct.error, IndexError, ValueError):
        return ()


def _decode(message: bytes) -> Iterator[Record]:
    _, flags, questions, *counts = _HEADER.unpack_from(message)
    if not flags & _RESPONSE or questions + sum(counts) > _MOST_RECORDS:
        return
    at = _HEADER.size
    for _ in range(questions):
        _, at = _decode_name(message, at)
        at += _QUESTION.size
    for _ in range(sum(counts)):
        name, at = _decode_name(message, at)
        kind, group, _, size = _RECORD.unpack_from(message, at)
        at += _RECORD.size
        if at + size > len(message):
            raise ValueError("a record that is longer than the message")
        if group & _CLASS_BITS == _IN and kind == A and size == 4:
            yield Record(name, A, str(IPv4Address(message[at : at + size])))
        elif group & _CLASS_BITS == _IN and kind == PTR:
            yield Record(name, PTR, _decode_name(message, at)[0])
        at += size


def _encode_name(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".")]
    if not all(0 < len(label) <= _MOST_LABEL for label in labels) or len(name) > _MOST_NAME:
        raise ValueError(f"{name!r} is no name of DNS")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _decode_name(message: bytes, at: int) -> tuple[str, int]:
    """Return a name, in small letters, and where the next field begins. A pointer may only lead back."""
    labels: list[str] = []
    end = None
    limit = at
    while True:
        size = message[at]
        if size & 0xC0 == 0xC0:
            end = at + 2 if end is None else end
            at = (size & 0x3F) << 8 | message[at + 1]
            if at >= limit:
                raise ValueError("a pointer that does not lead back")
            limit = at
        elif size > _MOST_LABEL or at + 1 + size > len(message):
            raise ValueError("a label that is too long")
        elif size == 0:
            return ".".join(labels).lower(), at + 1 if end is None else end
        else:
            labels.append(message[at + 1 : at + 1 + size].decode("utf-8", "replace"))
            at += 1 + size
            if sum(map(len, labels)) > _MOST_NAME:
                raise ValueError("a name that is too long")
