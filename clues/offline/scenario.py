"""Reading scenarios and lines of verdicts: what is wrong with one is said with its id, and hides no other.

What a scenario expects is not looked at: decisions are made without it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from clues.offline.format import Duration, FitCase, PodText, Scenario, SlurmText, Word
from clues.offline.reading import Unreadable, documents, read_bytes
from infracore.decoding import fit, shown
from infracore.errors import InfraError, Misconfigured

__all__ = [
    "ScenarioFile",
    "duration_s",
    "expanded_names",
    "long_key",
    "read_scenarios",
    "to_fit_case",
    "word",
]

_T = TypeVar("_T")
_FORM: Final = "the format stands under `conventions` of a scenario file"
_MOST_TOLD: Final = 10
_MOST_PODS: Final = 200_000
_KEYS: Final = {"zone": "topology.kubernetes.io/zone", "host": "kubernetes.io/hostname", "arch": "kubernetes.io/arch"}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """What could be read of a file, and what could not."""

    scenarios: tuple[Scenario, ...]
    errors: tuple[InfraError, ...]


def read_scenarios(path: Path) -> ScenarioFile:
    """Read every scenario of a file; one that is wrong does not hide the others.

    Raises:
        Misconfigured, NotFound: the file as a whole cannot be read.
    """
    found = list(documents(read_bytes(path), str(path), apart="scenarios"))
    if not found:
        raise Misconfigured(f"{path} is empty", _FORM)
    if isinstance(found[0], Unreadable):
        raise found[0].error
    if len(found) != 1 or not isinstance(found[0], dict) or not isinstance(found[0].get("scenarios"), list):
        raise Misconfigured(f"{path} is no scenario file: it needs one mapping with the key `scenarios`, a list")
    if not found[0]["scenarios"]:
        raise Misconfigured(f"{path} holds no scenario", _FORM)
    if found[0].get("version", 1) != 1:
        raise Misconfigured(f"{path}: version {found[0]['version']!r} of the format is not known; 1 is")
    scenarios: dict[str, Scenario] = {}
    errors: list[InfraError] = []
    for number, item in enumerate(found[0]["scenarios"], 1):
        fields = item.fields if isinstance(item, Unreadable) else item
        name = fields.get("id") if isinstance(fields, dict) else None
        where = f"{path}: scenario {name if isinstance(name, str) else f'number {number}'}"
        try:
            if isinstance(item, Unreadable):
                raise Misconfigured(f"{where}: line {item.error.message.removeprefix(f'{path}:').strip()}")
            scenario = _converted(item, Scenario, where)
            if scenario.id in scenarios:
                raise Misconfigured(f"{where}: there is another one with this id")
            _check(scenario, where)
            scenarios[scenario.id] = scenario
        except InfraError as error:
            errors.append(error)
    return ScenarioFile(tuple(scenarios.values()), tuple(errors))


def to_fit_case(item: object, where: str) -> FitCase:
    """Read a line of verdicts that was parsed as JSON. Raises Misconfigured."""
    case = _converted(item, FitCase, where)
    _check_unique(where, "node", [node.name for node in case.nodes])
    _check_counts(case.pods, where)
    _check_unique(where, "pod", [f"{pod.namespace}/{name}" for pod in case.pods for name in expanded_names(pod)])
    known = {node.name for node in case.nodes}
    for pod in case.pods:
        if pod.node and pod.node not in known:
            raise Misconfigured(f"{where}: pod {pod.name} stands on {pod.node!r}, which is no node of it")
    return case


def _converted(item: object, form: type[_T], where: str) -> _T:
    item = _cleaned(item)
    try:
        return msgspec.convert(item, form, strict=False)
    except RecursionError as error:
        raise Misconfigured(f"{where} is nested too deeply") from error
    except msgspec.ValidationError as error:
        found = fit(item, form)
        if not found.misfits:
            return msgspec.convert(found.value, form, strict=False)
        told = [": ".join(filter(None, (shown(m.steps), m.said))) for m in found.misfits]
        more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
        raise Misconfigured(f"{where}: {'; '.join(told[:_MOST_TOLD])}{more}", found.misfits[0].hint or _FORM) from error


def _cleaned(item: object) -> object:
    """`budgets: none` is said in words; a section without anything in it is as good as none."""
    if isinstance(item, dict):
        item = {key: part for key, part in item.items() if part is not None}
    if isinstance(item, dict) and isinstance(item.get("settings"), dict):
        settings = {k: (None if v == "none" else v) for k, v in item["settings"].items()}
        return {**item, "settings": settings}
    return item


def duration_s(value: Duration, where: str) -> float:
    """Read `10m`, `1h30m` or a number of seconds. Raises Misconfigured."""
    if isinstance(value, bool):
        raise Misconfigured(f"{where}: {value!r} is no time such as 10m")
    if isinstance(value, int | float):
        seconds = float(value)
    elif value == "0":
        seconds = 0.0
    elif len(value) <= 40 and _DURATION.fullmatch(value):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
    else:
        raise Misconfigured(f"{where}: {value[:40]!r} is no time such as 10m, 1h30m or 45s")
    if not 0 <= seconds <= 1e9:
        raise Misconfigured(f"{where}: {value!r} is negative or longer than thirty years")
    return seconds


def long_key(key: str) -> str:
    """Return the label key that `zone`, `host` or `arch` stands for; every other key stands for itself."""
    return _KEYS.get(key, key)


def word(value: Word) -> str:
    """Return a label's value as Kubernetes has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def expanded_names(pod: PodText) -> Sequence[str]:
    """Return the names of the pods that an entry stands for."""
    return [pod.name] if pod.count is None else [f"{pod.name}-{number}" for number in range(pod.count)]


_NODE_STATES: Final = ("ready", "booting", "unready", "deleting")
_MACHINE_STATES: Final = ("powered_off", "powered_on", "booting", "failed", "stopping")
_SLURM_STATES: Final = ("idle", "alloc", "down", "powered_down", "powering_up", "powering_down")
_OWNERS: Final = ("ReplicaSet", "StatefulSet", "Job", "DaemonSet", "Static", "none")
_PHASES: Final = ("", "Pending", "Running", "Succeeded", "Failed", "Unknown")
_EVENTS: Final = ("scale_up_failed", "scale_down_failed", "scale_up")


def _check(scenario: Scenario, where: str) -> None:
    """Refuse names that stand twice or for nothing, and words that are none of the format."""
    pools = {pool.name for pool in scenario.pools}
    _check_unique(where, "pool", [pool.name for pool in scenario.pools])
    _check_unique(where, "node", [node.name for node in scenario.nodes])
    _check_unique(where, "machine", [machine.name for machine in scenario.machines])
    _check_unique(where, "DaemonSet", [f"{item.namespace}/{item.name}" for item in scenario.daemonsets])
    _check_unique(where, "PodDisruptionBudget", [f"{item.namespace}/{item.name}" for item in scenario.pdbs])
    _check_counts(scenario.pods, where)
    _check_unique(where, "pod", [f"{pod.namespace}/{name}" for pod in scenario.pods for name in expanded_names(pod)])
    numbers = {f"pool {pool.name}: price": pool.price for pool in scenario.pools}
    for name in ("utilization_threshold", "max_unready_percent"):
        numbers[f"settings.{name}"] = getattr(scenario.settings, name)
    for what, number in numbers.items():
        if not math.isfinite(number):
            raise Misconfigured(f"{where}: {what} is {number}, which is not a finite number")
    for pool in scenario.pools:
        if not 0 <= pool.min <= pool.max:
            raise Misconfigured(f"{where}: pool {pool.name}: min {pool.min}, max {pool.max}: not 0 <= min <= max")
    nodes = {node.name for node in scenario.nodes} | {machine.name for machine in scenario.machines}
    for node in scenario.nodes:
        _known(node.state, _NODE_STATES, f"{where}: node {node.name}: state")
        if node.pool:
            _known(node.pool, pools, f"{where}: node {node.name}: pool")
        elif node.cpu is None and node.memory is None:
            raise Misconfigured(f"{where}: node {node.name} is of no pool and has neither cpu nor memory")
    for machine in scenario.machines:
        _known(machine.state, _MACHINE_STATES, f"{where}: machine {machine.name}: state")
        _known(machine.pool, pools, f"{where}: machine {machine.name}: pool")
    for pod in scenario.pods:
        _known(pod.owner, _OWNERS, f"{where}: pod {pod.name}: owner")
        _known(pod.phase, _PHASES, f"{where}: pod {pod.name}: phase")
        if pod.node:
            _known(pod.node, nodes, f"{where}: pod {pod.name}: node")
    for event in scenario.history:
        _known(event.event, _EVENTS, f"{where}: history: event")
        if event.pool:
            _known(event.pool, pools, f"{where}: history: pool")
    if scenario.slurm is not None:
        _check_slurm(scenario.slurm, where)


def _check_counts(pods: Sequence[PodText], where: str) -> None:
    count = 0
    for pod in pods:
        if pod.count is not None and pod.count < 0:
            raise Misconfigured(f"{where}: pod {pod.name}: count {pod.count} is negative")
        count += 1 if pod.count is None else pod.count
        if count > _MOST_PODS:
            raise Misconfigured(f"{where}: more than {_MOST_PODS} pods")


def _check_slurm(slurm: SlurmText, where: str) -> None:
    names = {node.name for node in slurm.nodes}
    _check_unique(where, "Slurm node", [node.name for node in slurm.nodes])
    for node in slurm.nodes:
        _known(node.state, _SLURM_STATES, f"{where}: Slurm node {node.name}: state")
    for partition in slurm.partitions:
        for name in partition.nodes:
            _known(name, names, f"{where}: partition {partition.name}: node")
    for job in slurm.jobs:
        _known(job.state, ("pending", "running"), f"{where}: job {job.id}: state")
        _known(job.partition, {p.name for p in slurm.partitions}, f"{where}: job {job.id}: partition")


def _check_unique(where: str, what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Misconfigured(f"{where}: the {what} {name} stands twice")
        seen.add(name)


def _known(value: str, known: Any, where: str) -> None:
    if value not in known:
        listed = ", ".join(sorted(item for item in known if item)) or "none"
        raise Misconfigured(f"{where}: {value[:80]!r} is not known; there are: {listed[:300]}")
