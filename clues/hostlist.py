"""Slurm's short form of host names (`wn[1-4,06-08],gpu[0-1]n[1-2]`), read and written. Pure.

The form is that of scontrol(1), `show hostnames`: a bracket holds numbers and ranges, the width of a range is that of
its first number, and several brackets are every combination, the last one changing quickest.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, product
from typing import Final

__all__ = ["MOST_HOSTS", "compress", "expand"]

MOST_HOSTS: Final = 100_000
"""More names in one list are refused: a few letters could ask for billions."""
_NAME: Final = re.compile(r"[A-Za-z0-9._-]*")
_RANGE: Final = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_NUMBERED: Final = re.compile(r"(.*?)([0-9]{1,18})")
_NONE: Final = frozenset({"", "(null)", "None", "N/A", "n/a"})


def expand(text: str) -> tuple[str, ...]:
    """Return the names of a host list, in its order; () for an empty one and for Slurm's words for none.

    Raises:
        ValueError: it is no host list, or one of more than MOST_HOSTS names.
    """
    text = text.strip()
    if text in _NONE:
        return ()
    if "[" not in text and "]" not in text:
        names = tuple(text.split(","))
        for name in names:
            _checked(name, text)
    else:
        names = ()
        for part in _split(text):
            names += _expand_one(part, text, MOST_HOSTS - len(names))
    if len(names) > MOST_HOSTS:
        raise ValueError(f"host list {text[:60]!r} has more than {MOST_HOSTS} names")
    if not all(names):
        raise ValueError(f"host list {text[:60]!r} has an empty name")
    return names


def compress(names: Iterable[str]) -> str:
    """Return a host list of these names, sorted; ranges over the last number of a name."""
    split: list[tuple[str, int, int]] = []  # prefix, width (0: not padded), number
    plain: list[str] = []
    for name in set(names):
        found = _NUMBERED.fullmatch(name)
        if found is None:
            plain.append(name)
        else:
            padded = len(found[2]) if found[2].startswith("0") else 0
            split.append((found[1], padded, int(found[2])))
    parts = sorted(plain)
    for (prefix, width), group in groupby(sorted(split), key=lambda item: item[:2]):
        spans = _spans([number for _, _, number in group])
        texts = [
            f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}" for first, last in spans
        ]
        alone = len(texts) == 1 and spans[0][0] == spans[0][1]
        parts.append(f"{prefix}{texts[0]}" if alone else f"{prefix}[{','.join(texts)}]")
    return ",".join(parts)


def _spans(numbers: Sequence[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return spans


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        if letter == "[":
            depth += 1
        elif letter == "]":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
        if depth not in {0, 1}:
            raise ValueError(f"host list {text[:60]!r}: its brackets do not match")
    if depth:
        raise ValueError(f"host list {text[:60]!r}: its brackets do not match")
    return [*parts, text[start:]]


def _expand_one(part: str, whole: str, most: int) -> tuple[str, ...]:
    pieces: list[list[str]] = []
    count, rest = 1, part
    while rest:
        head, bracket, tail = rest.partition("[")
        pieces.append([_checked(head, whole)])
        if not bracket:
            break
        inside, _, rest = tail.partition("]")
        numbers = _numbers(inside, whole, most)
        count *= len(numbers)
        if count > most:
            raise ValueError(f"host list {whole[:60]!r} has more than {MOST_HOSTS} names")
        pieces.append(numbers)
    return tuple("".join(words) for words in product(*pieces)) if pieces else ("",)


def _numbers(inside: str, whole: str, most: int) -> list[str]:
    numbers: list[str] = []
    for span in inside.split(","):
        found = _RANGE.fullmatch(span.strip())
        if found is None:
            raise ValueError(f"host list {whole[:60]!r}: {span[:30]!r} is neither a number nor a range")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ValueError(f"host list {whole[:60]!r}: the range {span[:30]!r} runs backwards")
        if last - first >= most - len(numbers):
            raise ValueError(f"host list {whole[:60]!r} has more than {MOST_HOSTS} names")
        numbers += [f"{number:0{len(found[1])}d}" for number in range(first, last + 1)]
    return numbers


def _checked(name: str, whole: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"host list {whole[:60]!r}: {name[:30]!r} is no part of a host name")
    return name
