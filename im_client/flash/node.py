"""What one board becomes: its name, account, networks and options, as people wrote it and checked."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from im_client.flash import node_rules as rules
from im_client.remote.access import HostKey
from infracore.decoding import fit, shown
from infracore.errors import InfraError, Misconfigured, Several
from infracore.secrets import Secret

__all__ = ["Interface", "Node", "Security", "Wifi", "decode_node", "decode_nodes"]


class Security(StrEnum):
    """How a wireless network is protected."""

    WPA2 = "wpa2"
    WPA3 = "wpa3"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Wifi:
    """A wireless network. Its interface is `wlan0`."""

    ssid: str
    country: str
    """Two capital letters (ISO 3166-1): which channels are lawful; without it the radio stays off."""
    passphrase: Secret | None = None
    """None for an open network. Of WPA2 it may be the 64 hexadecimal digits of the key itself."""
    security: Security = Security.WPA2
    hidden: bool = False


class Interface(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An interface with a fixed address, as people write it."""

    name: str
    address: str
    """With its prefix: `10.0.0.11/24`."""
    gateway: str = ""
    """"" where it leads to no other network."""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """What one board becomes. Made by `decode_node`, which checks it; "" and () leave as it is what the image has."""

    hostname: str
    user: str = ""
    """An account that may become root by sudo."""
    password: Secret | None = None
    """In clear: hashed before it comes near a card. At most one of this and `password_hash` is given."""
    password_hash: str = ""
    """As crypt(5) has it; without either nobody logs in by password."""
    authorized_keys: tuple[str, ...] = ()
    wifi: Wifi | None = None
    interfaces: tuple[Interface, ...] = ()
    locale: str = ""
    keyboard: str = ""
    timezone: str = ""
    cmdline: tuple[str, ...] = ()
    """Further options of the kernel."""
    k3s_cgroups: bool = False
    """Whether the kernel counts memory by cgroups, which K3s needs."""
    config: tuple[str, ...] = ()
    """Lines of config.txt; a filter such as `[pi5]` is for those that follow it."""
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    """Shell commands that root runs once, at the first boot."""
    ssh: bool = True
    password_login: bool = False
    """Whether ssh takes passwords."""
    host_key: HostKey | None = None
    """What its sshd will show; None: the machine makes its own. Not read from text."""


class _Wifi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ssid: str
    country: str = ""
    passphrase: str = ""
    security: Security = Security.WPA2
    hidden: bool = False


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hostname: str
    user: str = ""
    password: str = ""
    password_hash: str = ""
    authorized_keys: tuple[str, ...] = ()
    wifi: _Wifi | None = None
    interfaces: tuple[Interface, ...] = ()
    locale: str = ""
    keyboard: str = ""
    timezone: str = ""
    cmdline: tuple[str, ...] = ()
    k3s_cgroups: bool = False
    config: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    ssh: bool = True
    password_login: bool | None = None


def decode_node(mapping: Mapping[str, Any], where: str) -> Node:
    """Read one board's keys. `where` begins the messages: the file, or the host in it.

    Raises:
        Misconfigured, Several: unknown keys, wrong types, values that cannot be; all that is wrong is said, and no
            secret is.
    """
    fitted = fit(dict(mapping), _Node)
    wrong = [_misfit(where, shown(m.steps), m.said, m.hint) for m in fitted.misfits]
    if wrong:
        raise _all(wrong)
    raw = msgspec.convert(fitted.value, _Node, strict=False)
    try:
        msgspec.json.encode(raw)
    except UnicodeEncodeError as error:  # JSON and YAML can write halves of letters
        raise _misfit(where, "", "there is text in it that is no Unicode", r"such as \ud800: take it out") from error
    wrong = [_misfit(where, key, said, hint) for key, said, hint in _problems(raw)]
    if wrong:
        raise _all(wrong)
    wifi = raw.wifi and Wifi(
        raw.wifi.ssid,
        raw.wifi.country,
        Secret(raw.wifi.passphrase) if raw.wifi.passphrase else None,
        raw.wifi.security,
        raw.wifi.hidden,
    )
    plain = {name: getattr(raw, name) for name in _Node.__struct_fields__}
    return Node(
        **plain
        | {
            "password": Secret(raw.password) if raw.password else None,
            "authorized_keys": tuple(key.strip() for key in raw.authorized_keys),
            "password_login": _password_login(raw),
            "wifi": wifi,
        }
    )


def decode_nodes(mappings: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Node]:
    """Read the keys of several boards, by name.

    Raises:
        Misconfigured, Several: as `decode_node`; or two boards have one hostname or one address.
    """
    nodes: dict[str, Node] = {}
    wrong: list[InfraError] = []
    for name, mapping in mappings.items():
        try:
            nodes[name] = decode_node(mapping, f"{where}: {name}")
        except Several as several:
            wrong += several.errors
        except Misconfigured as error:
            wrong.append(error)
    wrong += _shared(nodes, where, "hostname", lambda node: [node.hostname.lower()])
    wrong += _shared(nodes, where, "address", lambda node: [rules.bare(i.address) for i in node.interfaces])
    if wrong:
        raise _all(wrong)
    return nodes


def _shared(
    nodes: Mapping[str, Node], where: str, what: str, values: Callable[[Node], Iterable[str]]
) -> list[InfraError]:
    """Return an error for each value that several boards have."""
    owners: dict[str, list[str]] = {}
    for name, node in nodes.items():
        for value in set(values(node)):
            owners.setdefault(value, []).append(name)
    return [
        Misconfigured(f"{where}: {', '.join(names)} have the same {what} {value}", "give each board one of its own")
        for value, names in owners.items()
        if len(names) > 1
    ]


def _problems(node: _Node) -> list[rules.Problem]:
    found = [
        *rules.hostname(node.hostname),
        *rules.account(node.user, node.password, node.password_hash, node.authorized_keys, node.password_login is True),
        *rules.place(node.locale, node.keyboard, node.timezone),
        *rules.boot(node.cmdline, node.config),
        *rules.first_boot(node.packages, node.commands),
    ]
    if node.wifi:
        wifi = node.wifi
        found += rules.wifi(wifi.ssid, wifi.country, wifi.passphrase, str(wifi.security))
    names: set[str] = set()
    for n, one in enumerate(node.interfaces):
        found += rules.interface(f"interfaces[{n}]", one.name, one.address, one.gateway, one.dns)
        if one.name in names:
            found.append((f"interfaces[{n}].name", f"{one.name} is there twice", "give each interface once"))
        names.add(one.name)
    if "wlan0" in names and not node.wifi:
        found.append(("wifi", "it is missing, and wlan0 is given an address", "name the network that wlan0 joins"))
    return found


def _password_login(raw: _Node) -> bool:
    """Return what is said; by default ssh takes the password of somebody who has no key, or he could not come in."""
    if raw.password_login is not None:
        return raw.password_login
    return bool(raw.password or raw.password_hash) and not raw.authorized_keys


def _misfit(where: str, key: str, said: str, hint: str) -> Misconfigured:
    place = f"{where}: {key}" if key else where
    return Misconfigured(f"{place}: {said}", hint or "see: docs/reference/raspberry-pi-node.md")


def _all(wrong: list[Any]) -> InfraError:
    first: InfraError = wrong[0]
    return first if len(wrong) == 1 else Several(wrong)
