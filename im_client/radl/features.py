"""The features that RADL knows: of which kind each is, and what becomes of it here.

Source: the manual of the Infrastructure Manager (RADL), and what its server answers for a machine.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

__all__ = ["UNITS", "Effect", "FeatureType", "Known", "known_feature", "names_of", "size_of"]

UNITS: Final = {
    "": 1,
    "B": 1,
    "K": 1000,
    "KB": 1000,
    "KI": 1024,
    "KIB": 1024,
    "M": 1000**2,
    "MB": 1000**2,
    "MI": 1024**2,
    "MIB": 1024**2,
    "G": 1000**3,
    "GB": 1000**3,
    "GI": 1024**3,
    "GIB": 1024**3,
    "T": 1000**4,
    "TB": 1000**4,
    "TI": 1024**4,
    "TIB": 1024**4,
}
"""Units of sizes, in any case: powers of ten, those with an I powers of two, as RADL 1.3.5 reads them."""


class FeatureType(Enum):
    """What a value is."""

    TEXT = auto()
    TEXTS = auto()
    """A text or a list of texts."""
    WHOLE = auto()
    NUMBER = auto()
    SIZE = auto()
    FLAG = auto()
    """yes or no."""
    FEATURES = auto()
    """What stands behind `contains`."""


class Effect(Enum):
    """What becomes of a feature here."""

    USED = auto()
    IGNORED = auto()
    """Asked for by users, and of no effect: a warning says so."""
    REPORTED = auto()
    """Set by servers when they describe a machine; clients may send it back."""


@dataclass(frozen=True, slots=True)
class Known:
    """A feature that is known."""

    type: FeatureType
    effect: Effect = Effect.USED
    bounds: bool = False
    """Whether `>=` and its like mean something."""
    performance: bool = False
    """Whether a unit ECU or GCEU may follow."""


_T, _E = FeatureType, Effect
_USED: Final = Known(_T.TEXT)
_IGNORED: Final = Known(_T.TEXT, _E.IGNORED)
_REPORTED: Final = Known(_T.TEXT, _E.REPORTED)

_SYSTEM: Final = {
    "cpu.count": Known(_T.WHOLE, bounds=True),
    "cpu.arch": _USED,
    "cpu.performance": Known(_T.NUMBER, _E.IGNORED, bounds=True, performance=True),
    "memory.size": Known(_T.SIZE, bounds=True),
    "gpu.count": Known(_T.WHOLE, bounds=True),
    "gpu.vendor": _USED,
    "gpu.model": _USED,
    "sgx": _IGNORED,
    "sgx.epc_size": Known(_T.SIZE, _E.IGNORED, bounds=True),
    "price": Known(_T.NUMBER, _E.IGNORED, bounds=True),
    "spot": Known(_T.FLAG),
    "instance_type": _USED,
    "instance_name": _USED,
    "instance_tags": _USED,
    "availability_zone": _USED,
    "ansible_host": _IGNORED,
    "image_type": _IGNORED,
    "virtual_system_type": _IGNORED,
    "nat_instance": Known(_T.FLAG, _E.IGNORED),
    "rg_name": _IGNORED,
    "vault.password": _IGNORED,
    "tosca_id": _REPORTED,
    "tosca_name": _REPORTED,
    "instance_id": _REPORTED,
    "state": _REPORTED,
    "contextualization_output": _REPORTED,
    "launch_time": Known(_T.NUMBER, _E.REPORTED),
    "requested_radl": _REPORTED,
    "provider.#": _REPORTED,
    "hypervisor": _REPORTED,
    "disk.N.image.url": Known(_T.TEXTS),
    "disk.N.image.name": _IGNORED,
    "disk.N.size": Known(_T.SIZE, bounds=True),
    "disk.N.free_size": Known(_T.SIZE, bounds=True),
    "disk.N.type": _USED,
    "disk.N.device": _USED,
    "disk.N.mount_path": _USED,
    "disk.N.fstype": _USED,
    "disk.N.id": _REPORTED,
    "disk.N.provider_id": _REPORTED,
    "disk.N.applications": Known(_T.FEATURES),
    "disk.N.os.name": _USED,
    "disk.N.os.flavour": _USED,
    "disk.N.os.version": Known(_T.TEXT, bounds=True),
    "disk.N.os.credentials.username": _USED,
    "disk.N.os.credentials.password": _USED,
    "disk.N.os.credentials.private_key": _USED,
    "disk.N.os.credentials.public_key": _REPORTED,
    "disk.N.os.credentials.new.password": _IGNORED,
    "disk.N.os.credentials.new.private_key": _IGNORED,
    "disk.N.os.credentials.new.public_key": _IGNORED,
    "disk.N.os.credentials.new.username": _IGNORED,
    "net_interface.N.connection": _USED,
    "net_interface.N.ip": _USED,
    "net_interface.N.ipv6": _REPORTED,
    "net_interface.N.dns_name": _USED,
    "net_interface.N.additional_dns_names": Known(_T.TEXTS),
    "net_interface.N.dns.N.name": _USED,
    "net_interface.N.dns.N.tls": Known(_T.FLAG, _E.IGNORED),
    "net_interface.N.additional_ips": Known(_T.TEXTS, _E.IGNORED),
    "net_interface.N.provider_id": _REPORTED,
}
_NETWORK: Final = {
    "outbound": Known(_T.FLAG),
    "outports": _USED,
    "create": Known(_T.FLAG),
    "cidr": _USED,
    "provider_id": _USED,
    "sg_name": _IGNORED,
    "router": _IGNORED,
    "dnsserver": _IGNORED,
    "proxy_host": _IGNORED,
    "proxy_key": _IGNORED,
}
_ANSIBLE: Final = {
    "host": _IGNORED,
    "credentials.username": _IGNORED,
    "credentials.password": _IGNORED,
    "credentials.private_key": _IGNORED,
}
_APPLICATION: Final = {"name": _USED, "version": _USED, "path": _USED, "preinstalled": Known(_T.FLAG)}
_TABLES: Final = {"system": _SYSTEM, "network": _NETWORK, "ansible": _ANSIBLE, "application": _APPLICATION}
_NUMBERED: Final = re.compile(r"(?<=\.)\d{1,4}(?=\.|$)")


@lru_cache(maxsize=4096)
def known_feature(kind: str, name: str) -> Known | None:
    """Return what is known of a feature of a kind of section, None where nothing is."""
    table = _TABLES.get(kind)
    if table is None:  # a description says what it likes
        return _REPORTED
    if name.startswith("provider.") and kind == "system":
        name = "provider.#"
    if name.startswith(("net_interface.", "disk.")):
        name = _NUMBERED.sub("N", name)
    return table.get(name)


def names_of(kind: str, like: str) -> list[str]:
    """Return the features of a kind of section, with the numbers of `like` in place of N, for hints."""
    numbers = _NUMBERED.findall(like) or ["0"]
    found: list[str] = []
    for name in _TABLES.get(kind, {}):
        left = list(numbers)
        parts = [(left.pop(0) if left else "0") if part == "N" else part for part in name.split(".")]
        if "#" not in parts:
            found.append(".".join(parts))
    return found


def size_of(number: float, unit: str) -> int | None:
    """Return bytes; None where there is no such unit or the number is beyond all use."""
    factor = UNITS.get(unit.upper())
    if factor is None or not 0 <= number * factor < 2**62:
        return None
    return round(number * factor)
