"""How machines are turned on and off in a configuration of CLUES 2: of the power manager that it names, and no other.

CLUES loads one power manager (POWERMANAGER_CLASS), and files of others lie beside its own without meaning anything.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from clues.hostlist import expand
from clues.settings.clues2_files import Imported, Options, Stated, text_of

__all__ = ["import_power"]

_PREFIXES: Final[Mapping[str, str]] = {
    "im": "IM_VIRTUAL_CLUSTER_",
    "one": "ONE_VIRTUAL_CLUSTER_",
    "onetemplate": "ONE_VIRTUAL_CLUSTER_",
    "ipmi": "IPMI_",
    "wol": "WOL_",
    "commandline": "COMMANDLINE_",
    "command": "COMMANDLINE_",
}
"""How the options of each power manager begin (`etc/conf.d` of CLUES 2.3)."""
_BARE: Final = re.compile(r"(HOSTS_FILE|CMDLINE_POW(ER)?(ON|OFF))")
"""Options that say what they are for, and not whose they are: they belong to the section's."""
_SECTIONS: Final[Mapping[str, str]] = {kind: prefix.rstrip("_").replace("_", " ") for kind, prefix in _PREFIXES.items()}


def import_power(options: Options, found: Imported, folder: Path, cluster: str, limit: float | None) -> None:
    """Make the driver and its pool; `limit` is how long one of its commands may take."""
    named = options.find("POWERMANAGER_CLASS")
    kind = named.text.rpartition(".")[2].lower() if named is not None else ""
    _others(options, found, kind)
    if named is None:
        return
    driver: dict[str, Any]
    machines: list[dict[str, Any]] = []
    if kind == "im":
        driver = _im(options, found)
    elif kind in {"ipmi", "wol", "commandline", "command"}:
        mine = _Mine(options, kind)
        machines = _hosts(mine, found, folder)
        driver = _powered(mine, found, kind)
    elif kind in _PREFIXES:
        found.left.append(f"POWERMANAGER_CLASS {kind}: there is no such driver here; `command` runs any program")
        return
    else:
        found.left.append(f"POWERMANAGER_CLASS {kind}: it is not known")
        return
    if limit and driver["type"] == "command":
        driver["call_s"] = limit
        _origin(found, f"drivers.{kind}.call_s", options.find("TIMEOUT_COMMANDS"))
    found.settings["drivers"] = {kind: driver}
    found.taken.append(f"POWERMANAGER_CLASS: drivers.{kind}")
    pool: dict[str, Any] = {"name": "workers", "driver": kind}
    if kind != "im":
        pool |= {"powered": True, "machines": machines, "max": len(machines)}
        if not machines:
            found.left.append("the machines of the pool `workers` are not known: list them in `machines`")
    else:
        pool |= {"max": 10, "node_names": "wn*" if cluster == "slurm" else ""}
        found.left.append("how many nodes there may be, and their names: set max and node_names of the pool `workers`")
    if cluster == "kubernetes":
        found.left.append("what pods may ask of a fresh node: set allocatable of the pool `workers`")
    found.settings["pools"] = [pool]


def _origin(found: Imported, setting: str, stated: Stated | None) -> None:
    if stated is not None:
        found.origins[setting] = stated.place


def _owners(stated: Stated) -> set[str]:
    """Return the power managers that would read an option; none: it is no option of one."""
    by_name = {kind for kind, prefix in _PREFIXES.items() if stated.name.startswith(prefix)}
    if by_name or not _BARE.fullmatch(stated.name):
        return by_name
    return {kind for kind, section in _SECTIONS.items() if stated.section == section}


def _others(options: Options, found: Imported, kind: str) -> None:
    """Say in one sentence what there is of power managers that are not in use, and read none of it."""
    places: dict[str, set[str]] = {}
    for item in options.stated:
        owners = _owners(item)
        if item.text and owners and kind not in owners:
            options.used.add(item.name)
            places.setdefault(_PREFIXES[min(owners)].rstrip("_"), set()).add(str(item.path))
    if places:
        said = ", ".join(f"{name} ({', '.join(sorted(paths))})" for name, paths in sorted(places.items()))
        use = f"POWERMANAGER_CLASS is {kind}" if kind else "POWERMANAGER_CLASS names none"
        found.left.append(f"settings of power managers that are not in use, for {use}: {said}")


class _Mine:
    """The options of the power manager in use."""

    def __init__(self, options: Options, kind: str) -> None:
        self._options = options
        self._kind = kind

    def find(self, *names: str) -> Stated | None:
        """Return the first of these that is there: with the power manager's prefix, else bare in its section."""
        prefix, section = _PREFIXES[self._kind], _SECTIONS[self._kind]
        for name in names:
            stated = self._options.find(f"{prefix}{name}", section)
            if stated is not None:
                return stated
        for item in reversed(self._options.stated):
            if item.section == section and item.name in names and item.text:
                self._options.used.add(item.name)
                return item
        return None


def _hosts(mine: _Mine, found: Imported, folder: Path) -> list[dict[str, Any]]:
    """Read `ADDRESS NAME` lines; a bare name of one word is a machine without an address."""
    stated = mine.find("HOSTS_FILE")
    if stated is None:
        return []
    path = Path(stated.text) if stated.text.startswith("/") else folder / stated.text
    if not path.is_file():
        path = folder / Path(stated.text).name
    if not path.is_file():
        found.left.append(f"{stated.name}: there is no file {stated.text}: list the machines in the pool")
        return []
    machines: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            names = expand(words[-1])
        except ValueError as error:
            found.wrong.append(f"{path}:{number}: {error}")
            continue
        for host in names:
            if host in machines:
                found.left.append(f"{path}:{number}: {host} stands there twice; this line counts")
            machines[host] = {"name": host, **({"address": words[0]} if len(words) > 1 else {})}
            found.origins[f"machine {host}"] = f"{path}:{number}"
    found.taken.append(f"{stated.name}: {len(machines)} machines")
    return list(machines.values())


def _im(options: Options, found: Imported) -> dict[str, Any]:
    prefix = "IM_VIRTUAL_CLUSTER_"
    driver = {
        "type": "im",
        "url": options.take(f"{prefix}REST_API") or "http://localhost:8800",
        "auth": {"file": options.take(f"{prefix}AUTH_DATA_FILE") or "/usr/local/ec3/auth.dat"},
        "state_file": "/var/lib/clues/im.json",
        "language": "tosca" if options.take(f"{prefix}TOSCA").lower() in {"true", "1", "yes"} else "radl",
        "infrastructure": options.take(f"{prefix}INF_ID") or "SET-ME",
    }
    for key, option in (("url", "REST_API"), ("infrastructure", "INF_ID"), ("ca_file", "REST_SSL_CA_CERTS")):
        _origin(found, f"drivers.im.{key}", options.find(f"{prefix}{option}"))
    certificates = options.take(f"{prefix}REST_SSL_CA_CERTS")
    if certificates:
        driver["ca_file"] = certificates
    if driver["infrastructure"] == "SET-ME":
        found.left.append("IM_VIRTUAL_CLUSTER_INF_ID: it is not set; name the infrastructure (im list)")
    for name in ("DROP_FAILING_VMS", "FORGET_MISSING_VMS"):
        if options.take(f"{prefix}{name}"):
            found.left.append(f"{prefix}{name}: a machine that never becomes a node goes after policy.max_provision_s")
    options.take(f"{prefix}REST_SSL")
    options.take(f"{prefix}DB_CONNECTION_STRING")
    return driver


def _powered(mine: _Mine, found: Imported, kind: str) -> dict[str, Any]:
    on = mine.find("CMDLINE_POWON", "CMDLINE_POWERON")
    off = mine.find("CMDLINE_POWOFF", "CMDLINE_POWEROFF")
    if kind == "ipmi":
        words = on.text if on is not None else ""
        user, interface = re.search(r"-U\s+(\S+)", words), re.search(r"-I\s+(\S+)", words)
        found.left.append("the password of the BMCs: put it into IPMI_PASSWORD, or name a file (drivers.ipmi.password)")
        driver: dict[str, Any] = {"type": "ipmi", "password": {"env": "IPMI_PASSWORD"}}
        driver |= {"interface": interface[1]} if interface else {}
        return driver | ({"user": user[1]} if user else {})
    if kind == "wol":
        found.left.append("how machines are turned off: cluesd does it over ssh; see drivers.wol.ssh")
        return {"type": "wol"}
    driver = {"type": "command"}
    for key, stated in (("on", on), ("off", off)):
        try:
            driver[key] = _words(stated.text) if stated is not None else []
        except ValueError as error:
            found.wrong.append(f"{stated.place if stated is not None else key}: the command cannot be read: {error}")
        if stated is None:
            found.left.append(f"the command that turns machines {key} is missing: set drivers.{kind}.{key}")
        _origin(found, f"drivers.{kind}.{key}", stated)
    driver["status"] = ["ping", "-c", "1", "-W", "2", "{machine}"]
    found.left.append(f"whether a machine is on: drivers.{kind}.status asks by ping; say how it is known")
    return driver


def _words(text: str) -> list[str]:
    """Return a command's words with CLUES's `%%a` (address) and `%%h` (host) in our form."""
    return [re.sub(r"%{1,4}h", "{machine}", re.sub(r"%{1,4}a", "{address}", word)) for word in shlex.split(text)]
