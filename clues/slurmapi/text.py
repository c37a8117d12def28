"""Reading what Slurm's commands print as text: `scontrol -o show`, `squeue -o`. Pure.

Times are seconds since the epoch: the commands are run with SLURM_TIME_FORMAT=%s (squeue(1), environment).
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeVar

from clues.hostlist import expand
from clues.slurm_model import SlurmJob, SlurmPartition
from clues.slurmapi.listing import ListedJob, ListedNode, Listing
from clues.slurmapi.nodes import node_of
from clues.slurmapi.words import NOTHING, added, array_tasks, gres_of, memory_mb, minutes, node_words, number, per_node

__all__ = [
    "EXCLUDED_FORMAT",
    "JOB_FIELDS",
    "JOB_FORMAT",
    "is_pending",
    "is_running",
    "read_jobs",
    "read_nodes",
    "read_partitions",
    "read_wide_jobs",
]

_T = TypeVar("_T")
_COLUMNS: Final = (
    ("id", "%i"), ("job", "%A"), ("array", "%F"), ("tasks", "%K"), ("partition", "%P"), ("state", "%T"),
    ("nodes", "%D"), ("cpus", "%C"), ("min_cpus", "%c"), ("memory", "%m"), ("gres", "%b"), ("share", "%h"),
    ("priority", "%Q"), ("limit", "%l"), ("submitted", "%V"), ("required", "%n"), ("excluded", "%x"),
    ("places", "%N"), ("reservation", "%v"), ("dependency", "%E"), ("reason", "%r"), ("features", "%f"),
)  # fmt: skip
"""squeue(1), -o. What users write freely (job names, comments) is not among them; features, which may hold `|`, come
last."""
_WIDE: Final = (
    ("id", "JobArrayID"), ("job", "JobID"), ("array", "ArrayJobID"), ("tasks", "ArrayTaskID"),
    ("partition", "Partition"), ("state", "State"), ("nodes", "NumNodes"), ("cpus", "NumCPUs"), ("min_cpus", "MinCpus"),
    ("memory", "MinMemory"), ("gres", "tres-per-node"), ("share", "OverSubscribe"), ("priority", "PriorityLong"),
    ("limit", "TimeLimit"), ("submitted", "SubmitTime"), ("required", "ReqNodes"), ("places", "NodeList"),
    ("reservation", "Reservation"), ("per_task", "cpus-per-task"), ("on_node", "NTPerNode"), ("tres", "tres-alloc"),
    ("gres_job", "tres-per-job"), ("gres_task", "tres-per-task"), ("task_count", "NumTasks"),
    ("dependency", "Dependency"), ("eligible", "EligibleTime"), ("reason", "Reason"), ("features", "Feature"),
)  # fmt: skip
"""squeue(1), -O, which says more than -o but for the nodes that a job excludes."""
JOB_FIELDS: Final = ",".join(f"{name}:|" for _, name in _WIDE)
EXCLUDED_FORMAT: Final = "%A|%x"
_WIDE_NAMES: Final = tuple(name for name, _ in _WIDE)
JOB_FORMAT: Final = "|".join(code for _, code in _COLUMNS)
_NAMES: Final = tuple(name for name, _ in _COLUMNS)
_KEY: Final = re.compile(r"(?:^| )([A-Z][A-Za-z0-9_:/]*)=")
_RUNNING: Final = frozenset(
    {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING"}
)
_PENDING: Final = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})


def read_nodes(text: str) -> Listing:
    """Read the lines of `scontrol -d -o show node`; a line that is none is set aside with a sentence."""
    nodes, problems = _each(text, "node", lambda line: _node(_fields(line)))
    return Listing(nodes=nodes, problems=problems)


def read_partitions(text: str) -> Listing:
    """Read the lines of `scontrol -o show partition`."""
    partitions, problems = _each(text, "partition", lambda line: _partition(_fields(line)))
    return Listing(partitions=partitions, problems=problems)


def read_jobs(text: str) -> Listing:
    """Read the lines of `squeue -h -o JOB_FORMAT`; jobs that are neither pending nor on nodes are left out."""
    jobs, problems = _each(text, "job", _job)
    return Listing(jobs=jobs, problems=problems)


def read_wide_jobs(text: str, excluded: str) -> Listing:
    """Read the lines of `squeue -h -O JOB_FIELDS`, and of `squeue -h -o EXCLUDED_FORMAT` for the same jobs."""
    without: dict[str, str] = {}
    for line in excluded.splitlines():
        number_text, _, names = line.partition("|")
        if names.strip() not in NOTHING:
            without[number_text.strip()] = names.strip()
    jobs, problems = _each(text, "job", lambda line: _wide_job(line, without))
    return Listing(jobs=jobs, problems=problems)


def is_running(state: str) -> bool:
    """Whether a job of this state has its nodes."""
    return state in _RUNNING


def is_pending(state: str) -> bool:
    """Whether a job of this state waits for nodes, or is held."""
    return state in _PENDING


def _each(text: str, what: str, read: Callable[[str], _T | None]) -> tuple[tuple[_T, ...], tuple[str, ...]]:
    found: list[_T] = []
    problems: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith(("No nodes", "No partitions")):
            continue
        try:
            value = read(line)
        except ValueError as error:
            problems.append(f"a {what} was set aside: {error} (in {line.strip()[:60]!r})")
        else:
            if value is not None:
                found.append(value)
    return tuple(found), tuple(problems)


def _fields(line: str) -> Mapping[str, str]:
    """Return the first value of each key: what comes later may be part of a comment."""
    found: dict[str, str] = {}
    marks = list(_KEY.finditer(line))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        end = following.start() if following is not None else len(line)
        found.setdefault(mark[1], line[mark.end() : end].strip())
    return found


def _node(fields: Mapping[str, str]) -> ListedNode:
    name, state = fields.get("NodeName", ""), fields.get("State", "")
    if not name or not state:
        raise ValueError("it has no NodeName or no State")
    partitions = fields.get("Partitions", "")
    features = fields.get("ActiveFeatures", "")
    if features in NOTHING:
        features = fields.get("AvailableFeatures", "")
    return node_of(
        name,
        node_words(state),
        state,
        cpus=number(fields.get("CPUEfctv", "") or fields.get("CPUTot", "")),
        used_cpus=number(fields.get("CPUAlloc", "")),
        memory_mb=number(fields.get("RealMemory", "")),
        used_memory_mb=number(fields.get("AllocMem", "")),
        features=frozenset() if features in NOTHING else frozenset(features.split(",")),
        gres=gres_of(fields.get("Gres", "")),
        used_gres=gres_of(fields.get("GresUsed", "")),
        weight=number(fields.get("Weight", ""), default=1),
        last_busy=float(number(fields.get("LastBusyTime", ""))),
        started_at=float(number(fields.get("SlurmdStartTime", ""))),
        reason=fields.get("Reason", ""),
        partitions=() if partitions in NOTHING else tuple(partitions.split(",")),
    )


def _partition(fields: Mapping[str, str]) -> SlurmPartition:
    name = fields.get("PartitionName", "")
    if not name:
        raise ValueError("it has no PartitionName")
    most = fields.get("MaxNodes", "UNLIMITED")
    return SlurmPartition(
        name,
        expand(fields.get("Nodes", "")),
        is_up=fields.get("State", "UP") == "UP",
        is_default=fields.get("Default", "") == "YES",
        max_nodes=None if most in {"UNLIMITED", ""} else number(most),
        max_minutes=minutes(fields.get("MaxTime", "")),
        tier=number(fields.get("PriorityTier", ""), default=1),
        is_exclusive=fields.get("OverSubscribe", "") == "EXCLUSIVE",
    )


def _columns(line: str, names: tuple[str, ...]) -> dict[str, str]:
    words = line.split("|", len(names) - 1)
    if len(words) != len(names):
        raise ValueError(f"it has {len(words)} columns of {len(names)}")
    return dict(zip(names, words, strict=True))


def _wide_job(line: str, without: Mapping[str, str]) -> ListedJob | None:
    columns = _columns(line.rstrip().removesuffix("|"), _WIDE_NAMES)
    columns["excluded"] = without.get(columns["job"], "")
    return _job_of(columns)


def _job(line: str) -> ListedJob | None:
    return _job_of(_columns(line, _NAMES))


@lru_cache(maxsize=4096)
def _asked(text: str) -> tuple[int, int]:
    """Return nodes and memory in MiB of `cpu=20,mem=2000M,node=1`; 0 for what is not there."""
    amounts = dict(item.partition("=")[::2] for item in text.split(","))
    return number(amounts.get("node", "")), memory_mb(amounts.get("mem", ""))


def _job_of(columns: Mapping[str, str]) -> ListedJob | None:
    state = columns["state"].strip().upper()
    pending = is_pending(state)
    if not pending and not is_running(state):
        return None
    tasks, array = columns["tasks"].strip(), number(columns["array"])
    is_array = tasks not in NOTHING
    count, at_once = array_tasks(tasks) if is_array else (1, 0)
    nodes, least = number(columns["nodes"], default=1), max(1, number(columns["min_cpus"], default=1))
    cpus, memory = max(1, number(columns["cpus"], default=1)), memory_mb(columns["memory"])
    # -o knows neither tasks nor whether the memory is a node's or a CPU's
    per_task, on_node, per_cpu = (least if cpus % least == 0 else 1), 0, 0
    gres = gres_of(columns["gres"])
    if "tres" in columns:
        asked, all_memory = _asked(columns["tres"])
        nodes = asked or nodes if pending else nodes  # what `nodes` says of a pending job is a guess
        wanted = max(1, number(columns["task_count"], default=1))
        per_task = max(1, number(columns["per_task"], default=1), cpus // wanted if cpus % wanted == 0 else 1)
        on_node = number(columns["on_node"])
        if memory and all_memory == memory * cpus and cpus != nodes:
            memory, per_cpu = 0, memory
        if columns["gres_job"] not in NOTHING:
            gres = added(gres, per_node(gres_of(columns["gres_job"]), nodes))
        if columns["gres_task"] not in NOTHING:
            gres = added(gres, gres_of(columns["gres_task"], times=-(-wanted // max(1, nodes))))
    reservation, features = columns["reservation"].strip(), columns["features"].strip()
    job = SlurmJob(
        id=number(columns["job"]),
        partition=columns["partition"].strip(),
        nodes=max(1, nodes),
        cpus_per_node=least,
        memory_per_node_mb=memory,
        constraint="" if features in NOTHING else features,
        pending=pending,
        reason=columns["reason"].strip(),
        priority=number(columns["priority"]),
        name=columns["id"].strip(),
        cpus=cpus,
        cpus_per_task=per_task,
        tasks_per_node=on_node,
        memory_per_cpu_mb=per_cpu,
        gres=gres,
        exclusive=columns["share"].strip() in {"NO", "EXCLUSIVE"},
        required=frozenset(expand(columns["required"])),
        excluded=frozenset(expand(columns["excluded"])),
        count=count if pending else 1,
        minutes=minutes(columns["limit"]),
        reservation="" if reservation in NOTHING else reservation,
        submitted_at=float(number(columns["submitted"])),
        begins_at=float(number(columns.get("eligible", ""))) if pending else 0.0,
        dependent=pending and columns["dependency"].strip() not in NOTHING,
    )
    return ListedJob(job, array if is_array else 0, at_once, expand(columns["places"]) if not pending else ())
