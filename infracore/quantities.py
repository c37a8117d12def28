"""Quantities as Kubernetes writes them: `500m`, `4`, `8Gi`, `1e3` (API reference, "Quantity").

Read exactly: 0.1 is a tenth, and what is no whole number of units is rounded up, as Kubernetes does.
"""

import re
from decimal import ROUND_CEILING, Context, Decimal, DecimalException
from typing import Final

__all__ = ["quantity", "quantity_milli", "quantity_units"]

_WRITTEN: Final = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)"
)
_SUFFIXES: Final = {
    "n": Decimal(1).scaleb(-9),
    "u": Decimal(1).scaleb(-6),
    "m": Decimal(1).scaleb(-3),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
_LONGEST: Final = 64
"""Characters; the longest that means anything has about 30."""
_MOST: Final = Decimal(2**63 - 1)
_CONTEXT: Final = Context(prec=100, Emin=-2000, Emax=2000)


def quantity(text: object) -> Decimal:
    """Read a quantity; a YAML number is one too.

    Raises:
        ValueError: it is none, or is larger than 2^63 - 1 (which Kubernetes cannot hold either).
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{text!r} is not a quantity such as 500m, 4 or 8Gi")  # noqa: TRY004 (one error for callers)
    if isinstance(text, int):
        value = Decimal(text) if abs(text) <= 2**63 else _MOST + 1
    else:
        word = repr(text) if isinstance(text, float) else text
        found = _WRITTEN.fullmatch(word) if len(word) <= _LONGEST else None
        if found is None:
            raise ValueError(f"{word[:_LONGEST]!r} is not a quantity such as 500m, 4 or 8Gi")
        try:
            value = _CONTEXT.multiply(
                Decimal(found[1] + (found[2] or "")), _SUFFIXES[found[3]] if found[3] else Decimal(1)
            )
        except DecimalException as error:
            raise ValueError(f"{word!r} is not a quantity such as 500m, 4 or 8Gi") from error
    if abs(value) > _MOST:
        raise ValueError(f"{str(text)[:_LONGEST]!r} is larger than 2^63 - 1")
    return value


def quantity_units(text: object) -> int:
    """Read a quantity as whole units (bytes, devices), rounded up. Raises ValueError."""
    return int(quantity(text).to_integral_value(ROUND_CEILING))


def quantity_milli(text: object) -> int:
    """Read a quantity as thousandths (millicores), rounded up. Raises ValueError."""
    return int(_CONTEXT.multiply(quantity(text), Decimal(1000)).to_integral_value(ROUND_CEILING))
