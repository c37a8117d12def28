"""Reading a configuration folder of CLUES 2 (`/etc/clues2`), and what it comes to in our settings.

Sections are those of CLUES's files; an option counts wherever it stands, for sites moved them. Nothing is guessed: what
cannot be taken over is said, with what to do in its place.
"""

import configparser
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from clues.hostlist import expand
from clues.settings.model import HOOKS
from infracore.errors import Misconfigured, NotFound

__all__ = ["Imported", "import_folder"]

_MOST_BYTES: Final = 4 << 20
_CLUSTERS: Final = {"slurm": "slurm", "kubernetes": "kubernetes"}
_DRIVERS: Final = ("im", "wol", "ipmi", "commandline", "command", "one", "onetemplate")
_LEVELS: Final = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "error"}
_NUMBERS: Final[Mapping[str, tuple[tuple[str, str], str]]] = {
    "IDLE_TIME": (("policy", "unneeded_s"), ""),
    "MAX_WAIT_POWERON": (("policy", "max_provision_s"), ""),
    "MAX_WAIT_POWEROFF": (("actions", "off_s"), ""),
    "PERIOD_MONITORING_NODES": (("slurm", "poll_s"), "slurm"),
}
"""Option -> setting, and the cluster for which alone it means something."""
_NEEDLESS: Final[Mapping[str, str]] = {
    "RECONSIDER_JOB_TIME": "pending jobs are looked at at once",
    "PERIOD_SCHEDULE": "a decision is made when something changes (loop.tick_s at the latest)",
    "PERIOD_LIFECYCLE": "there is no such round",
    "PERIOD_MONITORING_JOBS": "jobs and nodes are looked at together",
    "PERIOD_RECOVERY_NODES": "machines that failed rest by policy.backoff",
    "DELAY_POWON": "the state of a machine under order is not taken from a poll",
    "DELAY_POWOFF": "the state of a machine under order is not taken from a poll",
    "TIME_OFF_GLITCH_DETECTION": "timers do not begin anew after a glitch",
    "COOLDOWN_SERVED_REQUESTS": "work is counted by what it is, not by requests",
    "COOLDOWN_SERVED_JOBS": "work is counted by what it is, not by requests",
    "NEGATIVE_RESOURCES_MEANS_INFINITE": "it is always so for the cluster `command`",
    "LOGGER_MARK": "there is a watchdog and /metrics",
    "CLUES_SECRET_TOKEN": "the socket asks for the user, not for a secret (daemon.socket_group)",
    "CLUES_XMLRPC": "`clues` asks by daemon.socket",
    "CLUES_PORT": "there is no XML-RPC server; see daemon.socket and daemon.metrics_listen",
    "CLUES_HOST": "there is no XML-RPC server; see daemon.socket and daemon.metrics_listen",
    "CLUES_REQUEST_WAIT_TIMEOUT": "sbatch is not wrapped and does not wait",
    "DB_CONNECTION_STRING": "history is kept in daemon.state_dir; the old one is not read",
    "LOG_FILE": "the log goes to the journal: journalctl -u cluesd",
    "PATH_REPORTS_WEB": "`clues report` draws",
    "SCHEDULER_CLASSES": "what its parts did is in the policy",
    "EXTRA_NODES_PERIOD": "headroom is kept all the time",
    "MAX_WAIT_POWERON_RETRIES": "see actions.attempts",
}


@dataclass(slots=True)
class Imported:
    """Our settings as they go into clues.yaml, and what was and was not taken over, a sentence each."""

    settings: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Options:
    """All options of all files, by name; the last file wins."""

    values: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    files: list[Path] = field(default_factory=list)

    def take(self, name: str) -> str:
        """Return the value without quotes, and remember that it was asked for; "" where there is none."""
        self.used.add(name)
        text = self.values.get(name, "").strip()
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]
        return text[1:-1] if quoted else text

    def ending(self, *suffixes: str) -> tuple[str, str]:
        """Return the first option with such an ending, and its value."""
        for name in self.values:
            if name.endswith(suffixes) and self.take(name):
                return name, self.take(name)
        return "", ""


def import_folder(folder: Path) -> Imported:
    """Read the folder.

    Raises:
        NotFound: there is no clues2.cfg in it. Misconfigured: a file cannot be read.
    """
    options = _read(folder)
    found = Imported()
    cluster = _cluster(options, found)
    _policy(options, found, cluster)
    _hooks(options, found)
    machines = _hosts(options, found, folder)
    _pools(options, found, machines, cluster)
    _virtual_nodes(folder, found)
    disabled = options.take("DISABLED_HOSTS").split()
    if disabled:
        found.left.append(f"DISABLED_HOSTS: run once: clues disable {' '.join(disabled)}")
    found.settings.setdefault("daemon", {})["dry_run"] = True
    for name in sorted(set(options.values) - options.used):
        if options.values[name].strip():
            found.left.append(f"{name}: {_NEEDLESS.get(name, 'there is no such setting here')}")
    return found


def _read(folder: Path) -> _Options:
    first = folder / "clues2.cfg"
    if not first.is_file():
        raise NotFound(f"there is no {first}", "name the configuration folder of CLUES: clues import /etc/clues2")
    options = _Options()
    _read_file(first, options)
    more = folder / (options.take("CONFIG_DIR") or "conf.d")
    for path in sorted(more.glob("*.cfg")) if more.is_dir() else ():
        _read_file(path, options)
    return options


def _read_file(path: Path, options: _Options) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str.upper  # type: ignore[assignment,method-assign]
    try:
        text = _text(path)
        parser.read_string(text, str(path))
    except configparser.Error as error:
        raise Misconfigured(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    options.files.append(path)
    for section in parser.sections():
        options.values.update({name.upper(): value or "" for name, value in parser.items(section)})


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


def _cluster(options: _Options, found: Imported) -> str:
    name = options.take("LRMS_CLASS").rpartition(".")[2].lower()
    if name in _CLUSTERS:
        found.settings["cluster"] = _CLUSTERS[name]
        found.taken.append(f"LRMS_CLASS: cluster: {_CLUSTERS[name]}")
    elif name:
        found.settings["cluster"] = "command"
        found.settings["command"] = {"nodes": [], "jobs": []}
        found.left.append(
            f"LRMS_CLASS {name}: there is no reader of it here; let programs print its nodes and jobs "
            "(command.nodes, command.jobs)"
        )
    for option in ("SLURM_SERVER", "SLURM_PARTITION_COMMAND", "SLURM_NODES_COMMAND", "SLURM_JOBS_COMMAND"):
        if options.take(option):
            found.left.append(f"{option}: Slurm's own commands are run; see slurm.folder and slurm.config")
    if options.take("KUBERNETES_SERVER"):
        found.settings["kubernetes"] = {"kubeconfig": "/etc/kubernetes/clues.conf"}
        found.left.append("KUBERNETES_SERVER, KUBERNETES_TOKEN: put them into a kubeconfig file, and name that")
        options.take("KUBERNETES_TOKEN")
    return str(found.settings.get("cluster", ""))


def _number(options: _Options, name: str, found: Imported) -> float | None:
    text = options.take(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        found.left.append(f"{name}: {text[:40]!r} is no number")
        return None
    if not 0 <= value < 1e9:
        found.left.append(f"{name}: {text[:40]!r} is out of range")
        return None
    return int(value) if value == int(value) else value


def _policy(options: _Options, found: Imported, cluster: str) -> None:
    def put(section: str, key: str, value: Any, option: str) -> None:
        found.settings.setdefault(section, {})[key] = value
        found.taken.append(f"{option}: {section}.{key}: {value}")

    for option, ((section, key), only) in _NUMBERS.items():
        value = _number(options, option, found)
        if value and (not only or only == cluster):
            put(section, key, value, option)
    booting = _number(options, "MAX_BOOTING_NODES", found)
    if booting:
        put("policy", "max_booting", booting, "MAX_BOOTING_NODES")
    retries = _number(options, "RETRIES_POWER_ON", found)
    if retries is not None:
        put("actions", "attempts", int(retries) + 1, "RETRIES_POWER_ON")
    options.take("RETRIES_POWER_OFF")
    headroom = {}
    nodes, slots = _number(options, "EXTRA_NODES_FREE", found), _number(options, "EXTRA_SLOTS_FREE", found)
    if nodes:
        headroom["nodes"] = int(nodes)
    if slots and cluster == "kubernetes":
        headroom |= {"pods": int(slots), "cpu_m": 1000}
    elif slots:
        found.left.append(f"EXTRA_SLOTS_FREE {slots:g}: outside Kubernetes only whole nodes are kept free")
    if headroom:
        put("policy", "headroom", headroom, "EXTRA_NODES_FREE, EXTRA_SLOTS_FREE")
    level = options.take("LOG_LEVEL").lower()
    if level in _LEVELS:
        put("daemon", "log_level", _LEVELS[level], "LOG_LEVEL")


def _hooks(options: _Options, found: Imported) -> None:
    hooks: dict[str, Any] = {}
    limit = _number(options, "TIMEOUT_COMMAND", found)
    for name in HOOKS:
        text = options.take(name.upper())
        if not text:
            continue
        try:
            words = shlex.split(text)
        except ValueError as error:
            found.left.append(f"hook {name.upper()}: {error}")
            continue
        hooks[name] = {"command": words, **({"timeout_s": limit} if limit else {})}
        found.taken.append(f"hook {name.upper()}: its arguments are others here: POOL NAME")
        if "kubectl drain" in text or "kubectl delete" in text:
            del hooks[name]
            found.taken.pop()
            found.left.append(f"hook {name.upper()}: cluesd drains and deletes nodes itself")
    folder = options.take("WORKING_FOLDER")
    if hooks and folder:
        hooks["working_folder"] = folder
    if hooks:
        found.settings["hooks"] = hooks


def _hosts(options: _Options, found: Imported, folder: Path) -> list[dict[str, Any]]:
    """Read `ADDRESS NAME` lines; a bare name of one word is a machine without an address."""
    option, name = options.ending("HOSTS_FILE")
    if not name:
        return []
    path = Path(name) if name.startswith("/") else folder / name
    if not path.is_file():
        path = folder / Path(name).name
    if not path.is_file():
        found.left.append(f"{option}: there is no file {name}: list the machines in the pool")
        return []
    machines: dict[str, dict[str, Any]] = {}
    for line in _text(path).splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            names = expand(words[-1])
        except ValueError as error:
            found.left.append(f"{path.name}: {error}")
            continue
        for host in names:
            machines[host] = {"name": host, **({"address": words[0]} if len(words) > 1 else {})}
    found.taken.append(f"{option}: {len(machines)} machines")
    return list(machines.values())


def _pools(options: _Options, found: Imported, machines: list[dict[str, Any]], cluster: str) -> None:
    kind = options.take("POWERMANAGER_CLASS").rpartition(".")[2].lower()
    limit = _number(options, "TIMEOUT_COMMANDS", found)
    driver: dict[str, Any] | None = None
    if kind == "im":
        driver = _im(options, found)
    elif kind in {"wol", "ipmi", "commandline", "command"}:
        driver = _powered(options, found, kind)
    elif kind in _DRIVERS:
        found.left.append(f"POWERMANAGER_CLASS {kind}: there is no such driver here; `command` runs any program")
    elif kind:
        found.left.append(f"POWERMANAGER_CLASS {kind}: it is not known")
    if driver is None:
        return
    if limit and driver["type"] == "command":
        driver["call_s"] = limit
    found.settings["drivers"] = {kind: driver}
    found.taken.append(f"POWERMANAGER_CLASS: drivers.{kind}")
    pool: dict[str, Any] = {"name": "workers", "driver": kind}
    cooldown = _number(options, "COOLDOWN_NODES", found)
    if cooldown:
        pool["min_on_s"] = cooldown
        found.taken.append(f"COOLDOWN_NODES: pools.min_on_s: {cooldown:g}")
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


def _im(options: _Options, found: Imported) -> dict[str, Any]:
    prefix = "IM_VIRTUAL_CLUSTER_"
    driver = {
        "type": "im",
        "url": options.take(f"{prefix}REST_API") or "http://localhost:8800",
        "auth": {"file": options.take(f"{prefix}AUTH_DATA_FILE") or "/usr/local/ec3/auth.dat"},
        "state_file": "/var/lib/clues/im.json",
        "language": "tosca" if options.take(f"{prefix}TOSCA").lower() in {"true", "1", "yes"} else "radl",
        "infrastructure": options.take(f"{prefix}INF_ID") or "SET-ME",
    }
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


def _powered(options: _Options, found: Imported, kind: str) -> dict[str, Any]:
    name_on, on = options.ending("CMDLINE_POWON", "CMDLINE_POWERON")
    name_off, off = options.ending("CMDLINE_POWOFF", "CMDLINE_POWEROFF")
    if kind == "ipmi":
        user = re.search(r"-U\s+(\S+)", on)
        found.left.append("the password of the BMCs: put it into IPMI_PASSWORD, or name a file (drivers.ipmi.password)")
        driver: dict[str, Any] = {"type": "ipmi", "password": {"env": "IPMI_PASSWORD"}}
        return driver | ({"user": user[1]} if user else {})
    if kind == "wol":
        found.left.append("how machines are turned off: cluesd does it over ssh; see drivers.wol.ssh")
        return {"type": "wol"}
    driver = {"type": "command"}
    for key, name, text in (("on", name_on, on), ("off", name_off, off)):
        words = _words(text)
        driver[key] = words
        if not words:
            found.left.append(f"{name or f'the command that turns {key}'}: it is missing: set drivers.{kind}.{key}")
    driver["status"] = ["ping", "-c", "1", "-W", "2", "{machine}"]
    found.left.append(f"whether a machine is on: drivers.{kind}.status asks by ping; say how it is known")
    return driver


def _words(text: str) -> list[str]:
    """Return a command's words with CLUES's `%%a` (address) and `%%h` (host) in our form."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    return [re.sub(r"%{1,4}h", "{machine}", re.sub(r"%{1,4}a", "{address}", word)) for word in words]


def _virtual_nodes(folder: Path, found: Imported) -> None:
    """Say what the list of nodes that may be created holds, as sizes: pools are made of sizes here."""
    for path in sorted(folder.glob("*vnodes*.info")):
        try:
            nodes = json.loads(_text(path))
            sizes = sorted(_sizes(nodes))
        except (ValueError, TypeError, AttributeError) as error:
            found.left.append(f"{path.name}: it cannot be read: {error}")
            continue
        for text, count in sizes:
            found.left.append(f"{path.name}: {count} nodes of {text}: set max and allocatable of a pool so")


def _sizes(nodes: Any) -> Iterator[tuple[str, int]]:
    counts: dict[str, int] = {}
    for node in nodes:
        text = f"cpu {node.get('cpu')}, memory {node.get('memory')}"
        counts[text] = counts.get(text, 0) + 1
    yield from counts.items()
