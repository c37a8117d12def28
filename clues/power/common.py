"""Settings that every driver has, and how they are read."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from clues.options import Pool
from clues.power.base import Limits
from infracore.decoding import fit, shown
from infracore.errors import InfraError, Misconfigured, Several

__all__ = ["DriverSettings", "gather", "own", "parse"]

_S = TypeVar("_S", bound="DriverSettings")


class DriverSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits; each driver adds its own."""

    call_s: float = 60.0
    parallel: int = 8
    booting: int | None = None
    """Machines that boot at once; None, 0: any number."""

    def limits(self) -> Limits:
        """Return them as the daemon reads them."""
        return Limits(self.call_s, self.parallel, self.booting or None)


def parse(kind: type[_S], name: str, text: Mapping[str, Any]) -> _S:
    """Read one driver's settings.

    Raises:
        Misconfigured, Several: unknown keys, wrong types, a limit out of its range; with the driver and the key.
    """
    found = fit(dict(text), kind)
    if found.misfits:
        wrong = [
            Misconfigured(
                f"drivers.{shown((name, *misfit.steps))}: {misfit.said}",
                misfit.hint or "see: docs/reference/power-drivers.md",
            )
            for misfit in found.misfits
        ]
        raise wrong[0] if len(wrong) == 1 else Several(wrong)
    settings = msgspec.convert(found.value, kind, strict=False)
    if not (math.isfinite(settings.call_s) and 0 < settings.call_s <= 3600):
        raise Misconfigured(f"drivers.{name}.call_s: {settings.call_s} is not between 0 and 3600 seconds")
    if not 1 <= settings.parallel <= 256:
        raise Misconfigured(f"drivers.{name}.parallel: {settings.parallel} is not between 1 and 256")
    if settings.booting is not None and settings.booting < 0:
        raise Misconfigured(f"drivers.{name}.booting: {settings.booting} is no number of machines", "0: any number")
    return settings


def gather(errors: Sequence[InfraError]) -> InfraError:
    """Return one error for several of one call: the first, which decides what is done next, told with the others."""
    first = errors[0]
    others = [error.message for error in errors[1:] if error.message != first.message]
    if others:
        first.message = "; ".join([first.message, *others[:4]]) + (" ..." if len(others) > 4 else "")
        first.args = (first.message,)
    return first


def own(pools: Sequence[Pool], driver: str) -> dict[str, Pool]:
    """Return the pools that a driver serves, by name."""
    return {pool.name: pool for pool in pools if pool.driver == driver}
