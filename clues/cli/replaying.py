"""Repeating a recorded decision, and what differs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from clues.decision import Decision
from clues.history import Recording, read_recording
from infracore.errors import InfraError

__all__ = ["Replayed", "differences", "repeat", "replayed"]

_MOST: Final = 20
_MOST_TEXT: Final = 160


@dataclass(frozen=True, slots=True)
class Replayed:
    """How the repetition of one file came out."""

    path: Path
    at: float = 0.0
    program: str = ""
    differences: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether the same was decided again."""
        return not (self.differences or self.error)

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.error:
            return f"cannot be repeated: {self.error}"
        count = len(self.differences)
        return "equal" if not count else f"differs in {count} place{'s' if count > 1 else ''}"

    def as_shape(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "file": str(self.path),
            "at": self.at,
            "decided_by": self.program,
            "equal": self.is_equal,
            "differences": list(self.differences),
            "error": self.error,
        }


def replayed(path: Path) -> Replayed:
    """Repeat a recording's decision; a file that cannot be read is an answer too, so that the others are repeated."""
    try:
        recording = read_recording(path)
    except InfraError as error:
        return Replayed(path, error=error.message)
    found = differences(recording.decision, repeat(recording))
    return Replayed(path, recording.decision.at, recording.program, found)


def repeat(recording: Recording) -> Decision:
    """Decide again from all that was decided from then."""
    from clues.decide import decide  # late: it brings numpy

    return decide(recording.snapshot, recording.pools, recording.policy, recording.memory)


def differences(before: Decision, after: Decision) -> tuple[str, ...]:
    """Return where two decisions differ, at most twenty places: `remove[0].node: 'a' then, 'b' now`."""
    found = []
    for place, old, new in _walk("", msgspec.to_builtins(before), msgspec.to_builtins(after)):
        found.append(f"{place}: {_short(old)} then, {_short(new)} now")
        if len(found) == _MOST:
            break
    return tuple(found)


def _walk(place: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _walk(f"{place}.{key}" if place else str(key), old.get(key), new.get(key))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for n, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{place}[{n}]", one, other)
    elif old != new and not (old != old and new != new):  # noqa: PLR0124 - NaN equals NaN here
        yield place, old, new


def _short(value: Any) -> str:
    if isinstance(value, list | tuple) and len(value) > 3:
        return f"{len(value)} entries"
    text = repr(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
