"""Slurm's small languages: node states, times, sizes, generic resources, arrays. Pure; ValueError for what is none."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from clues.slurm_model import Gres

__all__ = [
    "NOTHING",
    "added",
    "array_tasks",
    "base_of",
    "gres_of",
    "memory_mb",
    "minutes",
    "node_words",
    "number",
    "per_node",
]

NOTHING: Final = frozenset({"", "(null)", "N/A", "n/a", "None", "NONE", "none", "Unknown", "n/s"})
_FLAGS: Final = {
    "*": "NOT_RESPONDING",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "!": "POWER_DOWN",
    "%": "POWERING_DOWN",
    "$": "MAINTENANCE",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "-": "PLANNED",
    "&": "BLOCKED",
}
"""Suffixes of sinfo(1), NODE STATE CODES."""
_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "ALLOC": ("ALLOCATED",),
    "ALLOCATED+": ("ALLOCATED", "COMPLETING"),
    "MIX": ("MIXED",),
    "COMP": ("ALLOCATED", "COMPLETING"),
    "DRAINED": ("IDLE", "DRAIN"),
    "DRAINING": ("ALLOCATED", "DRAIN"),
    "DRNG": ("ALLOCATED", "DRAIN"),
    "DRAIN": ("DRAIN",),
    "UNK": ("UNKNOWN",),
    "FUTR": ("FUTURE",),
    "ERR": ("ERROR",),
    "INVAL": ("INVALID_REG",),
    "INVALID": ("UNKNOWN",),
    "MAINT": ("MAINTENANCE",),
    "RESV": ("RESERVED",),
    "PLND": ("PLANNED",),
    "FAILG": ("FAIL", "ALLOCATED"),
    "FAILING": ("FAIL", "ALLOCATED"),
    "BOOT": ("REBOOT_ISSUED",),
    "REBOOT": ("REBOOT_REQUESTED",),
    "REBOOT^": ("REBOOT_ISSUED",),
    "NO_RESPOND": ("NOT_RESPONDING",),
    "POWER_UP": ("POWERING_UP",),
    "POW_UP": ("POWERING_UP",),
    "POW_DN": ("POWERING_DOWN",),
    "POWERED_DOWN": ("POWERED_DOWN",),
    "POWERDOWN": ("POWERED_DOWN",),
    "POWER_DRAIN": ("POWER_DOWN", "DRAIN"),
}
_BASES: Final = frozenset({"UNKNOWN", "DOWN", "IDLE", "ALLOCATED", "MIXED", "ERROR", "FUTURE"})
_TIME: Final = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,6})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?")
_UNITS: Final = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGTP]?)[Bcn]?")
_GRES_LEAST: Final = re.compile(r"[A-Za-z0-9_.-]+")
_MOST_TASKS: Final = 4_000_000
"""slurm.conf(5), MaxArraySize: at most 4000001."""


def node_words(text: str | Iterable[str]) -> frozenset[str]:
    """Return base state and flags of a node by Slurm's long names: `IDLE*`, `mix-`, `DOWN+DRAIN`, `["IDLE", "CLOUD"]`.

    A state without a base (`drain`) has none here; an unknown word is kept as it is.
    """
    found: set[str] = set()
    for word in text.split("+") if isinstance(text, str) else text:
        bare = word.strip().upper()
        while bare and bare[-1] in _FLAGS:
            found.add(_FLAGS[bare[-1]])
            bare = bare[:-1]
        if bare:
            found.update(_WORDS.get(bare, (bare,)))
    if found & {"ALLOCATED", "MIXED"} and "IDLE" in found:
        found.discard("IDLE")
    return frozenset(found)


def base_of(words: frozenset[str]) -> str:
    """Return the base state; "" where there is none."""
    return next((word for word in sorted(words & _BASES)), "")


def number(text: str, *, default: int = 0) -> int:
    """Return a whole number; `default` for Slurm's words for none. `4-8` is 4, `1.5K` is 1536 (squeue shortens)."""
    if text.isascii() and text.isdigit() and len(text) < 19:  # nearly all
        return int(text)
    text = text.strip()
    if text in NOTHING or text.upper() in {"UNLIMITED", "INFINITE", "NO_VAL"}:
        return default
    head = text.partition("-")[0].rstrip("+")
    if head.isascii() and head.isdigit() and len(head) < 19:
        return int(head)
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([KMG])", head)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no number")
    return int(float(found[1]) * {"K": 1024, "M": 1024**2, "G": 1024**3}[found[2]])


@lru_cache(maxsize=4096)
def memory_mb(text: str) -> int:
    """Return a memory size in MiB: `100M`, `1.50G`, `4000`; 0 for none."""
    text = text.strip()
    if text in NOTHING or text.upper() == "UNLIMITED":
        return 0
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no memory size")
    return int(float(found[1]) * _UNITS[found[2] or "M"])


@lru_cache(maxsize=4096)
def minutes(text: str) -> int | None:
    """Return a time limit in minutes, rounded up: `30`, `30:00`, `1-12:00:00`; None for none.

    Like Slurm prints it: two fields are minutes and seconds, after days hours and minutes.
    """
    text = text.strip()
    if text in NOTHING or text.upper() in {"UNLIMITED", "INFINITE", "NOT_SET", "PARTITION_LIMIT", "INVALID"}:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time limit")
    days, first, second, third = (int(part) if part is not None else None for part in found.groups())
    if days is not None:
        hours, mins, secs = first or 0, second or 0, third or 0
    elif third is not None:
        hours, mins, secs = first or 0, second or 0, third
    else:
        hours, mins, secs = 0, first or 0, second or 0
    return (days or 0) * 1440 + hours * 60 + mins + (1 if secs else 0)


@lru_cache(maxsize=4096)
def gres_of(text: str, *, times: int = 1) -> Gres:
    """Return generic resources: `gpu:2`, `gres:gpu:tesla:1(S:0-1)`, `gres/gpu:a100=2`; () for none.

    Each name stands with its sum, and each name with a type (`gpu:tesla`) too. A name without a number is one.
    """
    sums: dict[str, int] = {}
    text = re.sub(r"\([^)]*\)", "", text.strip())
    if text in NOTHING:
        return ()
    for item in text.split(","):
        words = re.split(r"[:=]", item.strip().removeprefix("gres:").removeprefix("gres/"))
        if words == [""]:
            continue
        last = words[-1]
        amount = 1
        if len(words) > 1 and re.fullmatch(r"[0-9]{1,9}[KMG]?", last):
            amount, words = number(last), words[:-1]
        if len(words) > 2 or not all(_GRES_LEAST.fullmatch(word) for word in words):
            raise ValueError(f"{item[:40]!r} is no generic resource")
        sums[words[0]] = sums.get(words[0], 0) + amount * times
        if len(words) == 2:
            name = ":".join(words)
            sums[name] = sums.get(name, 0) + amount * times
    return tuple(sorted(sums.items()))


def per_node(whole: Gres, nodes: int) -> Gres:
    """Return what each of some nodes gives of what a job asks for in all, rounded up."""
    return tuple((name, -(-amount // max(1, nodes))) for name, amount in whole)


def added(one: Gres, other: Gres) -> Gres:
    """Return the sum of generic resources."""
    sums = dict(one)
    for name, amount in other:
        sums[name] = sums.get(name, 0) + amount
    return tuple(sorted(sums.items()))


def array_tasks(text: str) -> tuple[int, int]:
    """Return how many tasks `1-50,60,70-90:5%4` stands for, and how many may run at once (0: no limit).

    Slurm cuts long lists off with `...`: what is there counts.
    """
    body, percent, most = text.strip().strip("[]").partition("%")
    tasks = 0
    for span in body.split(","):
        if span in {"", "..."}:
            continue
        found = re.fullmatch(r"([0-9]{1,8})(?:-([0-9]{1,8})(?::([0-9]{1,8}))?)?(?:\.\.\.)?", span)
        if found is None:
            raise ValueError(f"{text[:40]!r} is no list of array tasks")
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        if last < first or step < 1:
            raise ValueError(f"{text[:40]!r} is no list of array tasks")
        tasks += (last - first) // step + 1
        if tasks > _MOST_TASKS:
            raise ValueError(f"{text[:40]!r} has more than {_MOST_TASKS} tasks")
    return tasks, number(most) if percent else 0
