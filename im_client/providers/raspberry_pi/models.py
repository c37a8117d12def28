"""The models of boards: how many processors and how much memory they have. Pure.

Source: the product pages of Raspberry Pi Ltd (raspberrypi.com/products), those with 64-bit processors.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from infracore.errors import Misconfigured
from infracore.units import format_bytes

__all__ = ["ARCHITECTURE", "Model", "parse_model"]

ARCHITECTURE: Final = "arm64"
_MIB: Final = 2**20
_GIB: Final = 2**30
_CPUS: Final = 4
"""All of these have four processors."""
_MEMORY: Final[Mapping[str, tuple[int, ...]]] = {
    "Zero 2 W": (512 * _MIB,),
    "3A+": (512 * _MIB,),
    "3B": (_GIB,),
    "3B+": (_GIB,),
    "CM3": (_GIB,),
    "CM3+": (_GIB,),
    "4B": (_GIB, 2 * _GIB, 4 * _GIB, 8 * _GIB),
    "400": (4 * _GIB,),
    "CM4": (_GIB, 2 * _GIB, 4 * _GIB, 8 * _GIB),
    "CM4S": (_GIB, 2 * _GIB, 4 * _GIB, 8 * _GIB),
    "5": (_GIB, 2 * _GIB, 4 * _GIB, 8 * _GIB, 16 * _GIB),
    "500": (8 * _GIB,),
    "500+": (16 * _GIB,),
    "CM5": (2 * _GIB, 4 * _GIB, 8 * _GIB, 16 * _GIB),
}
_ALIASES: Final = {"zero2": "Zero 2 W", "02w": "Zero 2 W", "02": "Zero 2 W", "4": "4B", "3": "3B", "5b": "5"}
_NOISE: Final = re.compile(r"raspberry ?pi|\bpi(?=[ \d])|\bmodel\b|\brev(ision)? ?[\d.]+|\bram\b")
_SIZE: Final = re.compile(r"(\d+) ?(g|m)i?b\b")


@dataclass(frozen=True, slots=True)
class Model:
    """A model. `mem_bytes` is None where there are boards of it with more and with less, and it was not said."""

    name: str
    mem_bytes: int | None = None
    cpus: int = _CPUS

    @property
    def least_bytes(self) -> int:
        """How much memory a board of it has at least."""
        return self.mem_bytes or min(_MEMORY[self.name])

    def refuses(self, asked: "Model") -> str:
        """Return why a board of this model is not one that was asked for, "" where it is."""
        if asked.name != self.name:
            return f"it is a {self.name}, not a {asked.name}"
        if asked.mem_bytes is not None and self.least_bytes < asked.mem_bytes:
            return f"it has {format_bytes(self.least_bytes)} memory of {format_bytes(asked.mem_bytes)}"
        return ""


def parse_model(text: str) -> Model:
    """Read a model as people and boards write it: `4B 8GB`, `Raspberry Pi 5 Model B Rev 1.0`, `CM4 4 GB`, `3B+`.

    Raises:
        Misconfigured: there is no such model, or none with so much memory.
    """
    low = " ".join(text.lower().split()).replace("compute module ", "cm").replace("plus", "+")
    size = _SIZE.search(low)
    if size is not None:
        low = low[: size.start()] + low[size.end() :]
    word = re.sub(r"[ ,()]+", "", _NOISE.sub(" ", low))
    known = {re.sub(" ", "", name).lower(): name for name in _MEMORY}
    name = known.get(word) or _ALIASES.get(word)
    if name is None:
        raise Misconfigured(f"{text!r} is no model that is known", f"known: {', '.join(_MEMORY)}; such as 4B 8GB")
    if size is None:
        sizes = _MEMORY[name]
        return Model(name, sizes[0] if len(sizes) == 1 else None)
    mem_bytes = int(size[1]) * (_GIB if size[2] == "g" else _MIB)
    if mem_bytes not in _MEMORY[name]:
        there = ", ".join(format_bytes(known_size) for known_size in _MEMORY[name])
        raise Misconfigured(f"there is no {name} with {format_bytes(mem_bytes)} of memory", f"there are: {there}")
    return Model(name, mem_bytes)
