"""Which drivers there are, and how the settings' `drivers` become them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from clues.options import Pool
from clues.power.base import PowerDriver
from clues.power.command import CommandDriver, CommandSettings
from clues.power.common import parse
from clues.power.fake import FakeDriver, FakeSettings
from clues.power.im import ImDriver, ImSettings
from clues.power.ipmi import IpmiDriver, IpmiSettings
from clues.power.plug import PlugDriver, PlugSettings
from clues.power.poe import PoeDriver, PoeSettings
from clues.power.redfish import RedfishDriver, RedfishSettings
from clues.power.wol import WolDriver, WolSettings
from infracore.errors import InfraError, Misconfigured, Several
from infracore.structs import make_ready

__all__ = ["TYPES", "driver_problems", "load_drivers"]

_Maker = Callable[[str, Mapping[str, Any], Sequence[Pool]], PowerDriver]

TYPES: Final[Mapping[str, _Maker]] = {
    "command": lambda name, text, pools: CommandDriver(name, parse(CommandSettings, name, text), pools),
    "fake": lambda name, text, pools: FakeDriver(name, parse(FakeSettings, name, text), pools),
    "im": lambda name, text, pools: ImDriver(name, parse(ImSettings, name, text), pools),
    "ipmi": lambda name, text, pools: IpmiDriver(name, parse(IpmiSettings, name, text), pools),
    "plug": lambda name, text, pools: PlugDriver(name, parse(PlugSettings, name, text), pools),
    "poe": lambda name, text, pools: PoeDriver(name, parse(PoeSettings, name, text), pools),
    "redfish": lambda name, text, pools: RedfishDriver(name, parse(RedfishSettings, name, text), pools),
    "wol": lambda name, text, pools: WolDriver(name, parse(WolSettings, name, text), pools),
}


def load_drivers(settings: Mapping[str, Mapping[str, Any]], pools: Sequence[Pool]) -> dict[str, PowerDriver]:
    """Make the drivers; nothing is connected to yet.

    Raises:
        Misconfigured, Several: settings that cannot be; all of them are told at once.
    """
    make_ready("clues", "infracore")  # drivers have threads of their own
    drivers: dict[str, PowerDriver] = {}
    errors: list[InfraError] = []
    for name, text in settings.items():
        try:
            drivers[name] = _load(name, text, pools)
        except InfraError as error:
            errors += error.errors if isinstance(error, Several) else [error]
    errors += [
        Misconfigured(
            f"pool {pool.name}: there is no driver {pool.driver!r}", f"known: {', '.join(settings) or 'none'}"
        )
        for pool in pools
        if pool.driver and pool.driver not in settings
    ]
    if errors:
        for driver in drivers.values():
            driver.close()
        raise errors[0] if len(errors) == 1 else Several(errors)
    return drivers


def driver_problems(settings: Mapping[str, object], pools: Sequence[Pool]) -> list[InfraError]:
    """Return what `load_drivers` would find wrong with each driver; pools without one are not its business."""
    make_ready("clues", "infracore")
    errors: list[InfraError] = []
    for name, text in settings.items():
        try:
            _load(name, text, pools).close()
        except InfraError as error:
            errors += error.errors if isinstance(error, Several) else [error]
    return errors


def _load(name: str, text: object, pools: Sequence[Pool]) -> PowerDriver:
    if not isinstance(text, Mapping):
        raise Misconfigured(f"drivers.{name}: not a mapping", "see: docs/reference/power-drivers.md")
    kind = text.get("type")
    maker = TYPES.get(kind) if isinstance(kind, str) else None
    if maker is None:
        raise Misconfigured(f"drivers.{name}.type: {kind!r} is none of {', '.join(TYPES)}")
    return maker(name, {key: value for key, value in text.items() if key != "type"}, pools)
