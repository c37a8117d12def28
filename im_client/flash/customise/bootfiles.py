"""cmdline.txt and config.txt, edited: what stands in them stays, and a second time changes nothing."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["K3S", "edit_cmdline", "edit_config", "instance_of", "with_instance"]

K3S: Final = ("cgroup_memory=1", "cgroup_enable=memory")
"""K3s's documentation, "Raspberry Pi": without them it ends at once on Raspberry Pi OS."""
_BEGIN: Final = "# im flash: what stands until the end mark is replaced when the card is customised again"
_END: Final = "# im flash: end"
_WORD: Final = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def edit_cmdline(text: str, add: Iterable[str], drop: Iterable[str] = (), one_of: Sequence[str] = ()) -> str:
    """Return the kernel's options with more of them, in one line.

    Options that are there are not added. `drop` are options or, with `=` at their end, names of options that are taken
    out first; options that begin with one of `one_of` stand once: a new one replaces the old one. What follows the
    first line, which the firmware does not read, stays.
    """
    first, line_end, rest = text.partition("\n")
    words = _WORD.findall(first)
    gone = tuple(drop)
    kept = [word for word in words if not any(word == d or (d.endswith("=") and word.startswith(d)) for d in gone)]
    for option in add:
        same = next((prefix for prefix in one_of if option.startswith(prefix)), None)
        if same is not None and option not in kept:
            kept = [word for word in kept if not word.startswith(same)]
        if option not in kept:
            kept.append(option)
    if kept == words:
        return text
    return " ".join(kept) + (line_end or "\n") + rest


def instance_of(cmdline: str) -> str | None:
    """Return the option that tells cloud-init an instance id, which meta-data cannot overrule; None without one."""
    first = cmdline.partition("\n")[0]
    return next((w for w in _WORD.findall(first) if w.startswith("ds=nocloud") and ";i=" in w), None)


def with_instance(option: str, instance: str) -> str:
    """Return such an option (`ds=nocloud;i=...`) with another instance id."""
    parts = [f"i={instance}" if part.startswith("i=") else part for part in option.split(";")]
    return ";".join(parts)


def edit_config(text: str, lines: Sequence[str]) -> str:
    """Return config.txt with a part of ours at its end; lines that are there already, for the same boards, stay out.

    It begins and ends for all boards (`[all]`), whatever filter stands before it.
    """
    before = _without_ours(text)
    there = set(_by_filter(before.splitlines()))
    ours: list[str] = []
    shown: tuple[str, ...] = ()
    for filters, line in _by_filter(lines):
        if (filters, line) in there:
            continue
        if filters != shown:
            ours += ["[all]", *filters] if shown else list(filters)
            shown = filters
        ours.append(line)
    if not ours:
        return before
    own = "\n".join([_BEGIN, "[all]", *ours, *(["[all]"] if shown else []), _END])
    return f"{before}{'' if not before or before.endswith(chr(10)) else chr(10)}{own}\n"


def _by_filter(lines: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """Return each line with the filters that it is under: those since the last `[all]`."""
    filters: tuple[str, ...] = ()
    found: list[tuple[tuple[str, ...], str]] = []
    for raw in lines:
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            filters = () if line == "[all]" else (*filters, line)
        elif line and not line.startswith("#"):
            found.append((filters, line))
    return found


def _without_ours(text: str) -> str:
    head, begin, tail = text.partition(_BEGIN)
    _, end, after = tail.partition(_END)
    if not begin or not end:  # a part without an end was changed by somebody: it is theirs now
        return text
    return head + after.removeprefix("\r").removeprefix("\n")
