"""Reading `squeue --json` and `sinfo --json`, and what slurmrestd answers, which has the same form. Pure.

Slurm 22.05 (openapi v0.0.38) gives plain numbers and one state; from 23.11 on (data_parser v0.0.40) numbers are
`{"set": true, "infinite": false, "number": 4}` and states are lists. Both are read.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from clues.hostlist import expand
from clues.slurm_model import SlurmJob, SlurmPartition
from clues.slurmapi.listing import ListedJob, ListedNode, Listing
from clues.slurmapi.nodes import node_of
from clues.slurmapi.text import is_pending, is_running
from clues.slurmapi.words import NOTHING, added, array_tasks, gres_of, node_words, per_node

__all__ = ["error_in", "read_job_document", "read_node_document", "read_partition_document"]

_T = TypeVar("_T")
_NOT_LIMITED: Final = 4294967294
"""NO_VAL and INFINITE (slurm.h) are the last two of 32 bits; 22.05 prints them as they are in places."""


class _Job(msgspec.Struct):
    """What is read of a job; all else is skipped, unread."""

    job_id: Any
    job_state: Any
    partition: str = ""
    state_reason: str = ""
    state_description: str = ""
    array_job_id: Any = None
    array_task_id: Any = None
    array_task_string: str = ""
    array_max_tasks: Any = None
    node_count: Any = None
    max_nodes: Any = None
    cpus: Any = None
    tasks: Any = None
    cpus_per_task: Any = None
    tasks_per_node: Any = None
    minimum_cpus_per_node: Any = None
    memory_per_node: Any = None
    memory_per_cpu: Any = None
    features: str = ""
    tres_per_node: str = ""
    tres_per_job: str = ""
    tres_per_task: str = ""
    tres_req_str: str = ""
    shared: Any = None
    priority: Any = None
    time_limit: Any = None
    submit_time: Any = None
    required_nodes: str = ""
    excluded_nodes: str = ""
    nodes: str = ""
    resv_name: str = ""
    dependency: str = ""
    eligible_time: Any = None


class _Node(msgspec.Struct):
    name: str
    state: Any = ""
    state_flags: Any = ()
    cpus: Any = None
    effective_cpus: Any = None
    alloc_cpus: Any = None
    real_memory: Any = None
    alloc_memory: Any = None
    features: Any = ""
    active_features: Any = ""
    gres: str = ""
    gres_used: str = ""
    weight: Any = None
    last_busy: Any = None
    slurmd_start_time: Any = None
    reason: str = ""
    partitions: Any = ()


class _Partition(msgspec.Struct):
    """Names of v0.0.38 first, then what v0.0.40 and later have for them."""

    name: str
    nodes: Any = ""
    state: Any = None
    flags: Any = ()
    maximum_nodes_per_job: Any = None
    max_time_limit: Any = None
    priority_tier: Any = None
    partition: dict[str, Any] = {}
    maximums: dict[str, Any] = {}
    priority: dict[str, Any] = {}


class _Document(msgspec.Struct):
    partitions: list[msgspec.Raw] = []
    jobs: list[msgspec.Raw] = []
    nodes: list[msgspec.Raw] = []
    errors: Any = ()


def read_job_document(body: bytes) -> Listing:
    """Read the jobs of a document; one that cannot be read is set aside with a sentence.

    Raises:
        ValueError: it is no such document, or says that something went wrong.
    """
    decoder: msgspec.json.Decoder[_Job] = msgspec.json.Decoder(_Job)
    jobs, problems = _each(_document(body, "jobs").jobs, "job", lambda raw: _job(decoder.decode(raw)))
    return Listing(jobs=jobs, problems=problems)


def read_node_document(body: bytes) -> Listing:
    """Read the nodes of a document. FUTURE nodes are in none (seen with 22.05)."""
    decoder: msgspec.json.Decoder[_Node] = msgspec.json.Decoder(_Node)
    nodes, problems = _each(_document(body, "nodes").nodes, "node", lambda raw: _node(decoder.decode(raw)))
    return Listing(nodes=nodes, problems=problems)


def read_partition_document(body: bytes) -> tuple[Listing, bool]:
    """Read the partitions of a document; False where it does not say OverSubscribe (v0.0.38 does not).

    Raises:
        ValueError: as `read_job_document`.
    """
    decoder: msgspec.json.Decoder[_Partition] = msgspec.json.Decoder(_Partition)
    raw = _document(body, "partitions").partitions
    found, problems = _each(raw, "partition", lambda item: _partition(decoder.decode(item)))
    told = all(is_told for _, is_told in found)
    return Listing(partitions=tuple(partition for partition, _ in found), problems=problems), told


def error_in(body: bytes) -> str:
    """Return what a document says went wrong; "" where it says nothing, or is none."""
    try:
        errors = msgspec.json.decode(body, type=_Document).errors
    except msgspec.MsgspecError:
        return ""
    words = [
        str(item.get("description") or item.get("error") or item) if isinstance(item, dict) else str(item)
        for item in (errors if isinstance(errors, list) else [])
    ]
    return "; ".join(words)[:300]


def _document(body: bytes, what: str) -> _Document:
    try:
        document = msgspec.json.decode(body, type=_Document)
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is no JSON of Slurm's with {what}: {error}") from error
    if document.errors:
        raise ValueError(f"Slurm says: {str(document.errors)[:300]}")
    return document


def _each(
    items: Sequence[msgspec.Raw], what: str, read: Callable[[msgspec.Raw], _T | None]
) -> tuple[tuple[_T, ...], tuple[str, ...]]:
    found: list[_T] = []
    problems: list[str] = []
    for item in items:
        try:
            value = read(item)
        except (ValueError, msgspec.MsgspecError) as error:
            problems.append(f"a {what} was set aside: {error}")
        else:
            if value is not None:
                found.append(value)
    return tuple(found), tuple(problems)


def _number(value: Any, default: int = 0) -> int:
    """Return a number in either form; `default` where it is not set or infinite."""
    if value is None:
        return default
    if type(value) is int and 0 <= value < _NOT_LIMITED:  # nearly all
        return value
    if isinstance(value, dict):
        if value.get("infinite") or not value.get("set", True):
            return default
        value = value.get("number", default)
    if value is None or isinstance(value, bool):
        return default
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            return default
        value = int(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is no number")
    return default if value in {_NOT_LIMITED, _NOT_LIMITED + 1} else int(value)


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [word for word in value.split(",") if word]
    return [str(word) for word in value] if isinstance(value, list | tuple) else []


def _job(form: _Job) -> ListedJob | None:
    states = [word.upper() for word in _words(form.job_state)]
    pending = any(is_pending(word) for word in states) and "COMPLETING" not in states
    if not pending and not any(is_running(word) for word in states):
        return None
    array = _number(form.array_job_id)
    of_array = bool(array) and bool(form.array_task_string)
    count, at_once = array_tasks(form.array_task_string) if of_array and pending else (1, 0)
    job_id = _number(form.job_id)
    tasks, cpus = max(1, _number(form.tasks, 1)), max(1, _number(form.cpus, 1))
    # 22.05 leaves cpus_per_task out where --cpus-per-task was given; the sums have it
    per_task = max(1, _number(form.cpus_per_task, 1), cpus // tasks if cpus % tasks == 0 else 1)
    least = _least_nodes(form, pending)
    per_cpu, memory = _number(form.memory_per_cpu), _number(form.memory_per_node)
    gres = gres_of(form.tres_per_node)
    if form.tres_per_job:
        gres = added(gres, per_node(gres_of(form.tres_per_job), least))
    if form.tres_per_task:
        gres = added(gres, gres_of(form.tres_per_task, times=max(1, -(-tasks // least))))
    job = SlurmJob(
        id=job_id,
        partition=form.partition,
        nodes=least,
        cpus_per_node=max(1, _number(form.minimum_cpus_per_node, 1)),
        memory_per_node_mb=0 if per_cpu else memory,
        memory_per_cpu_mb=per_cpu,
        constraint=form.features,
        pending=pending,
        reason=_reason(form),
        priority=_number(form.priority),
        name=_name(form, job_id, array, of_array and pending),
        max_nodes=_number(form.max_nodes) if pending else 0,
        cpus=cpus,
        cpus_per_task=per_task,
        tasks_per_node=_number(form.tasks_per_node),
        gres=gres,
        exclusive="none" in _words(form.shared),
        required=frozenset(expand(form.required_nodes)),
        excluded=frozenset(expand(form.excluded_nodes)),
        count=count,
        minutes=_number(form.time_limit) or None,
        reservation=form.resv_name,
        submitted_at=float(_number(form.submit_time)),
        begins_at=float(_number(form.eligible_time)) if pending else 0.0,
        dependent=pending and form.dependency not in NOTHING,
    )
    at_once = _number(form.array_max_tasks) or at_once
    return ListedJob(job, array, at_once, expand(form.nodes) if not pending else ())


def _least_nodes(form: _Job, pending: bool) -> int:
    """Return the fewest nodes: `node_count` of a pending job is a guess, `tres_req_str` has what was asked for."""
    if pending:
        for item in form.tres_req_str.split(","):
            key, _, amount = item.partition("=")
            if key == "node" and amount.isascii() and amount.isdigit():
                return max(1, int(amount[:9]))
    return max(1, _number(form.node_count, 1))


def _reason(form: _Job) -> str:
    """Return the reason's word, with what Slurm adds to it where that says more (`Reserved for maintenance`)."""
    said = form.state_description.replace("_", " ")
    return said if said and form.state_reason in {"", "None", "ReqNodeNotAvail"} else form.state_reason


def _name(form: _Job, job_id: int, array: int, is_list: bool) -> str:
    if is_list:
        return f"{array}_[{form.array_task_string}]"
    task = form.array_task_id
    if array and (not isinstance(task, dict) or task.get("set")) and task is not None:
        return f"{array}_{_number(task)}"
    return str(job_id)


def _node(form: _Node) -> ListedNode:
    words = node_words([*_words(form.state), *_words(form.state_flags)])
    features = _words(form.active_features) or _words(form.features)
    return node_of(
        form.name,
        words,
        "+".join([*_words(form.state), *_words(form.state_flags)]).upper(),
        cpus=_number(form.effective_cpus) or _number(form.cpus),
        used_cpus=_number(form.alloc_cpus),
        memory_mb=_number(form.real_memory),
        used_memory_mb=_number(form.alloc_memory),
        features=frozenset(features),
        gres=gres_of(form.gres),
        used_gres=gres_of(form.gres_used),
        weight=_number(form.weight, 1),
        last_busy=float(_number(form.last_busy)),
        started_at=float(_number(form.slurmd_start_time)),
        reason=form.reason,
        partitions=tuple(_words(form.partitions)),
    )


def _partition(form: _Partition) -> tuple[SlurmPartition, bool]:
    nodes = form.nodes.get("configured", "") if isinstance(form.nodes, dict) else form.nodes
    shared = form.maximums.get("oversubscribe")
    states = _words(form.state if form.state is not None else form.partition.get("state", "UP"))
    most = form.maximum_nodes_per_job if form.maximum_nodes_per_job is not None else form.maximums.get("nodes")
    minutes = form.max_time_limit if form.max_time_limit is not None else form.maximums.get("time")
    tier = form.priority_tier if form.priority_tier is not None else form.priority.get("tier")
    partition = SlurmPartition(
        form.name,
        expand(nodes or ""),
        is_up=[word.upper() for word in states] == ["UP"],
        is_default="default" in [word.lower() for word in _words(form.flags)],
        max_nodes=_limit(most),
        max_minutes=_limit(minutes),
        tier=_number(tier, 1),
        # OverSubscribe=EXCLUSIVE is a share of none (partition_info_t.max_share, slurm.h)
        is_exclusive=isinstance(shared, dict) and "jobs" in shared and _number(shared["jobs"], 1) == 0,
    )
    return partition, isinstance(shared, dict)


def _limit(value: Any) -> int | None:
    """Return a limit; None for the ways in which Slurm says that there is none (v0.0.38: -1)."""
    amount = _number(value, -1)
    return amount if amount >= 0 else None
