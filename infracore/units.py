"""Quantities as TOSCA and people write them. TOSCA Simple Profile 1.3, section 3.3.6 (scalar-unit types)."""

import re
from typing import Final

__all__ = ["duration_s", "format_bytes", "format_duration", "frequency_hz", "size_bytes"]

_NUMBER: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]+)\s*")
_SIZES: Final = {
    "b": 1,
    **{f"{p}b": 1000**n for n, p in enumerate("kmgt", 1)},
    **{f"{p}ib": 1024**n for n, p in enumerate("kmgt", 1)},
}
_TIMES: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_FREQUENCIES: Final = {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9}


def _split(text: str, units: "dict[str, int] | dict[str, float]", example: str) -> tuple[float, float]:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a number with a unit, such as {example}")
    factor = units.get(found[2].lower())
    if factor is None:
        raise ValueError(f"{text!r} has the unknown unit {found[2]!r}; known: {', '.join(units)}")
    return float(found[1]), factor


def size_bytes(text: str) -> int:
    """Read `4 GiB`; units B, kB, KiB, MB, MiB, GB, GiB, TB, TiB in any case.

    Raises:
        ValueError: no number, no unit, or an unknown one.
    """
    number, factor = _split(text, _SIZES, "4 GiB")
    return round(number * factor)


def duration_s(text: str) -> float:
    """Read `10 m` as seconds; units d, h, m, s, ms, us, ns. Raises ValueError."""
    number, factor = _split(text, _TIMES, "10 m")
    return number * factor


def frequency_hz(text: str) -> float:
    """Read `2.4 GHz` as hertz; units Hz, kHz, MHz, GHz. Raises ValueError."""
    number, factor = _split(text, _FREQUENCIES, "2.4 GHz")
    return number * factor


def format_bytes(count: int) -> str:
    """Write a size to one decimal of the largest binary unit that it fills: `1.5 GiB`."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if round(count / 1024**power, 1) >= 1:
            return f"{count / 1024**power:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count} B"


def format_duration(seconds: float) -> str:
    """Write seconds as people say them: `850 ms`, `12.3 s`, `4 m 05 s`, `2 h 10 m`, `3 d 04 h`."""
    if seconds < 0.9995:  # what rounds to 1000 ms is a second
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} m"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d} h"
