"""Plain values that people wrote, held against a type: all that does not fit, not the first only, and the rest."""

import dataclasses
import difflib
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

__all__ = ["Fitted", "Misfit", "Steps", "fit", "fits_nearly", "shown"]

Steps: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys, and numbers in lists."""
Hook: TypeAlias = Callable[[type, Any], Any]
_DROPPED: Final = object()
_MOST_CHARACTERS: Final = 80


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not fit, where."""

    steps: Steps
    said: str
    hint: str = ""
    owner: str = ""
    """`name` of the innermost thing of a list in which it stands."""
    meant: str = ""
    """The key that a key that does not exist stands for, probably."""


@dataclass(slots=True)
class Fitted:
    """What is left of a value, and what was taken out."""

    value: Any = None
    misfits: list[Misfit] = field(default_factory=list)
    kept: dict[Steps, tuple[int, ...]] = field(default_factory=dict)
    """List out of which things were taken -> the numbers that the others had."""

    def original(self, steps: Steps) -> Steps:
        """Return the way that led to a value before things were taken out."""
        way: Steps = ()
        for step in steps:
            numbers = self.kept.get(way)
            way += (numbers[step],) if isinstance(step, int) and numbers and step < len(numbers) else (step,)
        return way


def shown(steps: Steps) -> str:
    """Return the way as text: `pools[2].max`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def fit(value: Any, kind: Any, hook: Hook | None = None) -> Fitted:
    """Hold a value against a type as `msgspec.convert(strict=False)` would; returns what fits, still plain.

    So `1e3`, which YAML 1.1 takes for text, is a number where one is wanted, as in YAML 1.2.

    A value of the wrong type is taken out, and a thing in a list with it where it cannot be without.
    """
    found = Fitted()
    left = _Fitter(hook, found).fit(value, kind, (), "")
    found.value = None if left is _DROPPED else left
    return found


def fits_nearly(name: str, known: Sequence[str]) -> str:
    """Return the name that was probably meant; "" if none is near."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), "")


class _Fitter:
    def __init__(self, hook: Hook | None, found: Fitted) -> None:
        self._hook = hook
        self._found = found

    def fit(self, value: Any, kind: Any, way: Steps, owner: str) -> Any:
        try:
            msgspec.convert(value, kind, strict=False, dec_hook=self._hook)
        except msgspec.ValidationError as error:
            before = len(self._found.misfits)
            left = self._parts(value, kind, way, owner)
            if len(self._found.misfits) == before:  # it is the value itself
                said = str(error).partition(" - at `")[0]
                self._found.misfits.append(Misfit(way, said, _choices(kind), owner))
                return _DROPPED
            return left
        return value

    def _parts(self, value: Any, kind: Any, way: Steps, owner: str) -> Any:
        """Fit what a list, a mapping or a structure is made of; says nothing of other values."""
        for member in _members(kind):
            origin, inner = typing.get_origin(member), typing.get_args(member)
            if origin in {tuple, list} and isinstance(value, list) and inner:
                left = [self.fit(item, inner[0], (*way, n), _name(item, owner)) for n, item in enumerate(value)]
                if any(item is _DROPPED for item in left):
                    self._found.kept[way] = tuple(n for n, item in enumerate(left) if item is not _DROPPED)
                return [item for item in left if item is not _DROPPED]
            if origin in {dict, Mapping} and isinstance(value, Mapping):
                entries = {key: self.fit(item, inner[1], (*way, key), owner) for key, item in value.items()}
                return {key: item for key, item in entries.items() if item is not _DROPPED}
            if _is_structure(member) and isinstance(value, Mapping):
                return self._structure(value, member, way, owner)
        return _DROPPED

    def _structure(self, value: Mapping[Any, Any], kind: Any, way: Steps, owner: str) -> Any:
        kinds = typing.get_type_hints(kind)
        needed = _needed(kind)
        left: dict[str, Any] = {}
        for key, item in value.items():
            if key in kinds:
                part = self.fit(item, kinds[key], (*way, key), owner)
                if part is not _DROPPED:
                    left[key] = part
            else:
                near = fits_nearly(str(key), list(kinds))
                hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(kinds)}"
                said = f"there is no key {str(key)[:_MOST_CHARACTERS]!r}"
                self._found.misfits.append(Misfit((*way, key), said, hint, owner, near))
        for name in needed:
            if name not in value:
                self._found.misfits.append(Misfit(way, f"{name} is missing", "", owner))
        return left if all(name in left for name in needed) else _DROPPED


def _members(kind: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(kind)
    if origin is None or (isinstance(origin, type) and origin in {tuple, list, dict, Mapping}):
        return (kind,)
    return typing.get_args(kind)


def _is_structure(kind: Any) -> bool:
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct))


def _needed(kind: Any) -> list[str]:
    if issubclass(kind, msgspec.Struct):
        return [f.name for f in msgspec.structs.fields(kind) if f.required]
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing]


def _choices(kind: Any) -> str:
    for member in _members(kind):
        if isinstance(member, type) and issubclass(member, Enum):
            return f"there are: {', '.join(str(item.value) for item in member)}"
    return ""


def _name(item: Any, owner: str) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name[:_MOST_CHARACTERS] if isinstance(name, str) else owner
