"""Reading nodes and jobs of another batch system: a line each of `key=value;` pairs, in CLUES's words. Pure.

The keys of a node are those of `clues nodeinfo` of CLUES 2 (name, state, slots_count, slots_free, memory_total,
memory_free, keywords), those of a job are CLUES's of a request (jobid, slots, memory, taskcount, maxtaskspernode,
nodes) with `state`, `queue`, `priority` and `reason`. Memory is in bytes, or has a unit (`8GB`, `512M`).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from clues.hostlist import expand
from clues.slurm_model import Gres, SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition
from clues.slurmapi.listing import ListedJob, ListedNode, Listing

__all__ = ["ANY_QUEUE", "UNTOLD", "partitions_of", "read_job_lines", "read_node_lines"]

ANY_QUEUE: Final = "all"
"""Queue of jobs and nodes that name none."""
UNTOLD: Final = 1.0
"""When a node started: these systems do not say when that was."""
_T = TypeVar("_T")
_ENDLESS: Final = 1_000_000
"""CLUES's -1: as many as are asked for."""
_SIZE: Final = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,6})?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_UNITS: Final = {"": 1.0, "k": 2.0**10, "m": 2.0**20, "g": 2.0**30, "t": 2.0**40, "p": 2.0**50}
_STATES: Final = {
    "idle": (SlurmNodeState.IDLE, True),
    "used": (SlurmNodeState.ALLOCATED, True),
    "off": (SlurmNodeState.DOWN, False),
    "powon": (SlurmNodeState.DOWN, False),
    "powoff": (SlurmNodeState.DOWN, False),
    "unk": (SlurmNodeState.DOWN, False),
    "unknown": (SlurmNodeState.DOWN, False),
    "error": (SlurmNodeState.DOWN, False),
    "err": (SlurmNodeState.DOWN, False),
    "down": (SlurmNodeState.DOWN, False),
    "drained": (SlurmNodeState.IDLE, True),
    "draining": (SlurmNodeState.ALLOCATED, True),
}
"""State -> ours, and whether the node answers."""
_KEYWORD: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(\[[^\]]*\]|'[^']*'|\"[^\"]*\"|[^,]*)\s*(?:,|$)")


def read_node_lines(text: str) -> Listing:
    """Read the nodes; a line that is none is set aside with a sentence."""
    nodes, problems = _each(text, "node", _node)
    return Listing(nodes=nodes, problems=problems)


def read_job_lines(text: str) -> Listing:
    """Read the jobs that are `pending`, `held` or `running`; others are left out."""
    jobs, problems = _each(text, "job", _job)
    return Listing(jobs=jobs, problems=problems)


def partitions_of(nodes: tuple[ListedNode, ...], jobs: tuple[ListedJob, ...]) -> tuple[SlurmPartition, ...]:
    """Return the queues that nodes name; a node that names none is in all of them."""
    names = {name for item in nodes for name in item.partitions}
    names |= {item.job.partition for item in jobs} if any(not item.partitions for item in nodes) else set()
    return tuple(
        SlurmPartition(name, tuple(i.node.name for i in nodes if not i.partitions or name in i.partitions))
        for name in sorted(names | {ANY_QUEUE})
    )


def _each(
    text: str, what: str, read: Callable[[Mapping[str, str]], _T | None]
) -> tuple[tuple[_T, ...], tuple[str, ...]]:
    found: list[_T] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        try:
            value = read(_fields(bare))
        except ValueError as error:
            problems.append(f"line {number} of the {what}s was set aside: {error}")
        else:
            if value is not None:
                found.append(value)
    return tuple(found), tuple(problems)


def _fields(line: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in line.split(";"):
        if not pair.strip():
            continue
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair.strip()[:40]!r} is no key=value")
        fields.setdefault(key.strip().lower(), value.strip())
    return fields


def _amount(text: str, *, default: int) -> int:
    if not text:
        return default
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no amount")
    value = float(found[1]) * _UNITS[found[2].lower()]
    return -1 if value < 0 else int(value)


def _node(fields: Mapping[str, str]) -> ListedNode:
    name, word = fields.get("name", ""), fields.get("state", "").lower()
    if len(expand(name)) != 1:
        raise ValueError(f"{name[:40]!r} is no name of a node")
    if word not in _STATES:
        raise ValueError(f"node {name}: there is no state {word[:20]!r}")
    state, answers = _STATES[word]
    drained = word in {"drained", "draining"}
    slots = _amount(fields.get("slots_count", ""), default=1)
    free = _amount(fields.get("slots_free", ""), default=slots if state is SlurmNodeState.IDLE else 0)
    memory = max(0, _amount(fields.get("memory_total", ""), default=0)) >> 20
    free_memory = _amount(fields.get("memory_free", ""), default=memory << 20)
    keywords = _keywords(fields.get("keywords", ""))
    queues = _list(keywords.get("queues", keywords.get("queue", "")))
    node = SlurmNode(
        name=name,
        cpus=slots if slots >= 0 else _ENDLESS,
        memory_mb=memory,
        features=frozenset({*keywords, *(f"{key}={value}" for key, value in keywords.items())}) - {"queues", "queue"},
        state=state,
        since=float(_amount(fields.get("timestamp_state", ""), default=0)),
        free_cpus=free if free >= 0 else _ENDLESS,
        free_memory_mb=memory if free_memory < 0 else min(memory, free_memory >> 20),
        gres=_gpus(keywords),
        kept=f"it is {word}" if drained else "",
        answers=answers,
        started_at=UNTOLD,
    )
    return ListedNode(node, word, answers, drained or not answers, queues)


def _job(fields: Mapping[str, str]) -> ListedJob | None:
    state = fields.get("state", "pending").lower()
    if state not in {"pending", "held", "running"}:
        return None
    name = fields.get("jobid", "") or fields.get("job_id", "")
    number = re.match(r"[0-9]{1,15}", name)
    if number is None:
        raise ValueError(f"{name[:40]!r} is no jobid: it begins with a number")
    tasks = max(1, _amount(fields.get("taskcount", ""), default=1))
    slots = max(1, _amount(fields.get("slots", ""), default=1))
    memory = max(0, _amount(fields.get("memory", ""), default=0))
    most = _amount(fields.get("maxtaskspernode", ""), default=0)
    places = expand(fields.get("nodes", "")) if state == "running" else ()
    job = SlurmJob(
        id=int(number[0]),
        partition=fields.get("queue", "") or ANY_QUEUE,
        nodes=max(1, -(-tasks // most)) if most > 0 else 1,
        cpus=slots * tasks,
        cpus_per_task=slots,
        cpus_per_node=slots,
        tasks_per_node=max(0, most),
        memory_per_cpu_mb=-(-(memory >> 20) // slots),
        constraint=fields.get("features", ""),
        pending=state != "running",
        reason="JobHeld" if state == "held" else fields.get("reason", ""),
        priority=_amount(fields.get("priority", ""), default=0),
        name=name,
        submitted_at=float(_amount(fields.get("timestamp_created", ""), default=0)),
    )
    return ListedJob(job, places=places)


def _keywords(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _KEYWORD.match(text, at)
        if match is None or match.end() == at:
            raise ValueError(f"{text[at : at + 40]!r} is no keyword")
        found[match[1]] = match[2].strip().strip("'\"")
        at = match.end()
    return found


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip().strip("'\"") for word in text.strip("[]").split(",") if word.strip())


def _gpus(keywords: Mapping[str, str]) -> Gres:
    sums = {"gpu": keywords.get("gpu", ""), "gpu:nvidia": keywords.get("nvidia_gpu", "")}
    sums["gpu:amd"] = keywords.get("amd_gpu", "")
    return tuple((name, int(text)) for name, text in sorted(sums.items()) if text.isascii() and text.isdigit())
