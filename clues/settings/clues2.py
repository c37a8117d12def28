"""Reading a configuration folder of CLUES 2 (`/etc/clues2`), and what it comes to in our settings.

An option counts in whichever section it stands, for sites moved them; of power managers only the one in use is read.
Nothing is guessed: what cannot be taken over is said, with what to do in its place.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from clues.settings.clues2_files import Imported, Options, read_options, text_of
from clues.settings.clues2_power import import_power
from clues.settings.model import HOOKS

__all__ = ["Imported", "import_folder"]

_CLUSTERS: Final = {"slurm": "slurm", "kubernetes": "kubernetes"}
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


def import_folder(folder: Path) -> Imported:
    """Read the folder.

    Raises:
        NotFound: there is no clues2.cfg in it. Misconfigured: a file cannot be read.
    """
    options = read_options(folder)
    found = Imported()
    cluster = _cluster(options, found)
    _policy(options, found, cluster)
    _hooks(options, found)
    import_power(options, found, folder, cluster, _number(options, "TIMEOUT_COMMANDS", found))
    _pool(options, found)
    _virtual_nodes(folder, found)
    disabled = options.take("DISABLED_HOSTS").split()
    if disabled:
        found.left.append(f"DISABLED_HOSTS: run once: clues disable {' '.join(disabled)}")
    found.settings.setdefault("daemon", {})["dry_run"] = True
    found.left += [f"{name}: {_NEEDLESS.get(name, 'there is no such setting here')}" for name in options.rest()]
    return found


def _cluster(options: Options, found: Imported) -> str:
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


def _number(options: Options, name: str, found: Imported) -> float | None:
    stated = options.find(name)
    if stated is None:
        return None
    try:
        value = float(stated.text)
    except ValueError:
        found.left.append(f"{name}: {stated.text[:40]!r} is no number ({stated.place})")
        return None
    if not 0 <= value < 1e9:
        found.left.append(f"{name}: {stated.text[:40]!r} is out of range ({stated.place})")
        return None
    return int(value) if value == int(value) else value


def _policy(options: Options, found: Imported, cluster: str) -> None:
    def put(section: str, key: str, value: Any, option: str) -> None:
        found.settings.setdefault(section, {})[key] = value
        found.origins.update(
            {f"{section}.{key}": item.place for name in option.split(", ") if (item := options.find(name))}
        )
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


def _hooks(options: Options, found: Imported) -> None:
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


def _pool(options: Options, found: Imported) -> None:
    """Put what stands elsewhere about the pool into it."""
    cooldown = _number(options, "COOLDOWN_NODES", found)
    for pool in found.settings.get("pools", ()) if cooldown else ():
        pool["min_on_s"] = cooldown
        found.taken.append(f"COOLDOWN_NODES: pools.min_on_s: {cooldown:g}")


def _virtual_nodes(folder: Path, found: Imported) -> None:
    """Say what the list of nodes that may be created holds, as sizes: pools are made of sizes here."""
    for path in sorted(folder.glob("*vnodes*.info")):
        try:
            nodes = json.loads(text_of(path))
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
