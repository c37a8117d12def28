"""Workloads: traces in the Standard Workload Format, and pod arrivals in YAML.

The Standard Workload Format (Feitelson, Parallel Workloads Archive, version 2.2) has a line of 18 numbers a job, -1
where one is unknown, and header lines that begin with `;`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from clues.model import Toleration
from clues.offline.format import Duration, Quantity, TolerationText, Word
from clues.offline.reading import documents, read_bytes
from clues.offline.scenario import duration_s, long_key, word
from infracore.errors import Misconfigured
from infracore.quantities import quantity_milli, quantity_units

__all__ = ["Job", "Workload", "read_workload"]

_FIELDS: Final = 18
_KIB: Final = 1024
_MOST_JOBS: Final = 2_000_000
_MOST_CORES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """Work that arrives, runs on `tasks` pods at once for `run_s`, and ends."""

    name: str
    at_s: float
    """After the beginning of the workload."""
    run_s: float
    cpu_m: int
    """Of one task, as is `memory_bytes`."""
    memory_bytes: int = 0
    gpus: int = 0
    tasks: int = 1
    joinable: bool = False
    """Tasks are processes that may share pods (SWF): as many as fit on a node become one pod."""
    evictable: bool = False
    """A drain may end it; it begins anew then."""
    priority: int = 0
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs in the order of their arrival."""

    name: str
    jobs: tuple[Job, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Why lines of a trace are no jobs -> how many."""


def read_workload(path: Path, *, most: int | None = None, memory_per_cpu_bytes: int = 0) -> Workload:
    """Read a workload: YAML where the name ends so, else SWF (gzip or plain).

    Raises:
        NotFound, Misconfigured: it cannot be read, or a line is wrong: with the line.
    """
    content = read_bytes(path)
    if path.suffix in {".yaml", ".yml", ".json"}:
        jobs, skipped = list(_yaml_jobs(content, str(path))), Counter[str]()
    else:
        skipped = Counter()
        jobs = list(_swf_jobs(content, str(path), memory_per_cpu_bytes, skipped))
    if not jobs:
        raise Misconfigured(f"{path} holds no job that could run")
    jobs.sort(key=lambda job: job.at_s)
    first = jobs[0].at_s if path.suffix not in {".yaml", ".yml", ".json"} else 0.0
    return Workload(path.name, tuple(replace(job, at_s=job.at_s - first) for job in jobs[:most]), dict(skipped))


def _swf_jobs(content: bytes, where: str, memory_per_cpu_bytes: int, skipped: Counter[str]) -> Iterator[Job]:
    count = 0
    for number, line in enumerate(content.splitlines(), 1):
        text = line.strip()
        if not text or text.startswith(b";"):
            continue
        words = text.split()
        if len(words) != _FIELDS:
            raise Misconfigured(
                f"{where}:{number}: {len(words)} numbers where the Standard Workload Format has {_FIELDS}",
                "a workload in YAML needs a name that ends in .yaml",
            )
        try:
            values = [float(item) for item in words]
        except ValueError as error:
            raise Misconfigured(f"{where}:{number}: {error}") from error
        if not all(math.isfinite(value) and abs(value) < 1e15 for value in values):
            raise Misconfigured(f"{where}:{number}: a number is not finite, or has no meaning")
        count += 1
        if count > _MOST_JOBS:
            raise Misconfigured(f"{where} has more than {_MOST_JOBS} jobs")
        ident, submit, _, run, allocated, _, used, asked, _, asked_memory = values[:10]
        cores = int(asked if asked > 0 else allocated)
        memory = next((m * _KIB for m in (asked_memory, used) if m > 0), memory_per_cpu_bytes)
        if run < 0:
            skipped["its run time is not known"] += 1
        elif cores <= 0:
            skipped["its processors are not known"] += 1
        elif submit < 0:
            skipped["when it was submitted is not known"] += 1
        elif cores > _MOST_CORES:
            skipped["it asks for more than a million processors"] += 1
        else:
            yield Job(
                f"job-{int(ident)}-{number}", submit, max(1.0, run), 1000, int(memory), tasks=cores, joinable=True
            )


class _Arrivals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pods that arrive together, perhaps again and again."""

    name: str
    at: Duration = 0
    run: Duration = "10m"
    count: int = 1
    every: Duration | None = None
    times: int = 1
    cpu: Quantity = 0
    memory: Quantity = 0
    gpu: int = 0
    gang: bool = False
    """All of them or none: they run at once."""
    evictable: bool = False
    priority: int = 0
    selector: Mapping[str, Word] = {}
    tolerations: tuple[TolerationText, ...] = ()


class _Yaml(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jobs: tuple[_Arrivals, ...]


def _yaml_jobs(content: bytes, where: str) -> Iterator[Job]:
    found = list(documents(content, where))
    if len(found) != 1:
        raise Misconfigured(f"{where} is no workload: it needs one mapping with the key `jobs`, a list")
    try:
        given = msgspec.convert(found[0], _Yaml)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{where}: {error}") from error
    count = 0
    for item in given.jobs:
        place = f"{where}: {item.name}"
        if min(item.count, item.times) < 1 or item.gpu < 0:
            raise Misconfigured(f"{place}: count and times begin at 1, gpu at 0")
        if item.times > 1 and item.every is None:
            raise Misconfigured(f"{place}: times without every")
        count += item.count * item.times
        if count > _MOST_JOBS:
            raise Misconfigured(f"{where} has more than {_MOST_JOBS} pods")
        try:
            cpu_m, memory = quantity_milli(item.cpu), quantity_units(item.memory)
        except ValueError as error:
            raise Misconfigured(f"{place}: {error}") from error
        if min(cpu_m, memory) < 0:
            raise Misconfigured(f"{place}: a request is negative")
        every = duration_s(item.every, place) if item.every is not None else 0.0
        common: dict[str, Any] = {
            "run_s": max(1.0, duration_s(item.run, place)),
            "cpu_m": cpu_m,
            "memory_bytes": memory,
            "gpus": item.gpu,
            "evictable": item.evictable,
            "priority": item.priority,
            "selector": tuple(sorted((long_key(key), word(value)) for key, value in item.selector.items())),
            "tolerations": tuple(Toleration(t.key, t.operator, word(t.value), t.effect) for t in item.tolerations),
        }
        begin = duration_s(item.at, place)
        for turn in range(item.times):
            at = begin + turn * every
            if item.gang:
                yield Job(f"{item.name}-{turn}", at, tasks=item.count, **common)
            else:
                for number in range(item.count):
                    yield Job(f"{item.name}-{turn}-{number}", at, **common)
