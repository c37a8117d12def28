"""The features of one section by name: what is asked for, as one value a name."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from im_client.radl.features import size_of
from im_client.radl.model import Feature, Operator, Unknown

__all__ = ["Wanted", "amount", "wanted"]


def amount(feature: Feature) -> float | None:
    """Return a number, a size in bytes; None where the feature has none."""
    value = feature.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(size_of(value, feature.unit) or 0) if feature.unit else value


@dataclass(frozen=True, slots=True)
class Wanted:
    """Features by name. With several bounds of one name the narrowest count."""

    features: Mapping[str, tuple[Feature, ...]] = field(default_factory=dict)

    def first(self, name: str) -> Feature | None:
        """Return the first feature of a name."""
        found = self.features.get(name)
        return found[0] if found else None

    def text(self, name: str) -> str | None:
        """Return a text, a number as text; None where nothing is said."""
        feature = self.first(name)
        if feature is None or isinstance(feature.value, tuple | Unknown):
            return None
        return str(feature.value) or None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list, or the one text, also where it joins several by commas."""
        feature = self.first(name)
        if feature is None:
            return ()
        if isinstance(feature.value, tuple):
            return tuple(v for v in feature.value if isinstance(v, str))
        return tuple(v.strip() for v in feature.value.split(",") if v.strip()) if isinstance(feature.value, str) else ()

    def flag(self, name: str) -> bool:
        """Say whether a feature says yes."""
        said = self.text(name)
        return said is not None and said.lower() == "yes"

    def least(self, name: str) -> int | None:
        """Return the least whole number that is enough, None where there is no lower bound."""
        low: float | None = None
        for feature in self.features.get(name, ()):
            number = amount(feature)
            if (
                number is None
                or not math.isfinite(number)
                or feature.operator in {Operator.LE, Operator.LT, Operator.CONTAINS}
            ):
                continue
            least = math.floor(number) + 1 if feature.operator is Operator.GT else math.ceil(number)
            low = least if low is None else max(low, least)
        return None if low is None else int(low)

    def numbers(self, prefix: str) -> list[int]:
        """Return the N of all features `prefix.N...`, in their order."""
        found: set[int] = set()
        for name in self.features:
            parts = name.split(".")
            if parts[0] == prefix and len(parts) > 2 and re.fullmatch(r"[0-9]{1,4}", parts[1]):
                found.add(int(parts[1]))
        return sorted(found)


def wanted(features: Iterable[Feature]) -> Wanted:
    """Sort features by their names."""
    found: dict[str, list[Feature]] = {}
    for feature in features:
        found.setdefault(feature.name, []).append(feature)
    return Wanted({name: tuple(of_name) for name, of_name in found.items()})
