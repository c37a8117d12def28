"""Nodes out of what `scontrol show node` or `sinfo --json` said: one way for both. Pure."""

import re
from typing import Final

from clues.slurm_model import Gres, SlurmNode, SlurmNodeState
from clues.slurmapi.listing import MARK, ListedNode
from clues.slurmapi.words import base_of

__all__ = ["node_of"]

_NO_ANSWER: Final = frozenset({"NOT_RESPONDING", "INVALID_REG"})
_BUSY: Final = frozenset({"ALLOCATED", "MIXED", "COMPLETING"})
_KEPT: Final = {
    "DRAIN": "it is drained",
    "MAINTENANCE": "it is in maintenance",
    "REBOOT_REQUESTED": "it is to be rebooted",
    "REBOOT_ISSUED": "it is being rebooted",
    "RESERVED": "it is reserved",
    "FAIL": "it is marked as failing",
    "BLOCKED": "another job on its hardware blocks it",
    "PERFCTRS": "its counters are in use",
}
_BY_ITSELF: Final = re.compile(r"(not responding|node unexpectedly rebooted|resumetimeout reached|ping timeout)", re.I)
"""Reasons that slurmctld gives by itself to nodes whose slurmd is not there (slurmctld: node_mgr.c, ping_nodes.c)."""
_SET_BY: Final = re.compile(r"\s*\[[^\[\]]*\]\s*$")


def node_of(
    name: str,
    words: frozenset[str],
    state: str,
    *,
    cpus: int,
    used_cpus: int,
    memory_mb: int,
    used_memory_mb: int,
    features: frozenset[str],
    gres: Gres,
    used_gres: Gres,
    weight: int,
    last_busy: float,
    started_at: float,
    reason: str,
    partitions: tuple[str, ...] = (),
) -> ListedNode:
    """Return a node by its words (`clues.slurmapi.words.node_words`) and columns.

    Its machine is off as far as Slurm can tell where it is FUTURE or powered down, and where it is down because no
    slurmd answers. Down for any other reason is a person's word, and it stays down.
    """
    reason = _SET_BY.sub("", reason).strip()
    base = base_of(words)
    ours = reason.startswith(MARK)
    answers = started_at > 0 and not words & _NO_ANSWER and "FUTURE" not in words
    down = base in {"DOWN", "UNKNOWN", "ERROR"} or not base
    silent = not reason or ours or _BY_ITSELF.match(reason) is not None
    kept = next((said for word, said in _KEPT.items() if word in words and not (word == "DRAIN" and ours)), "")
    if kept == _KEPT["DRAIN"] and reason:
        kept = f"it is drained: {reason}"
    if down and not silent and not kept and "INVALID_REG" not in words:
        kept = f"it is down: {reason}"
    busy = bool(words & _BUSY)
    if words & {"POWERED_DOWN", "FUTURE"}:
        shown = SlurmNodeState.POWERED_DOWN
    elif "POWERING_DOWN" in words:
        shown = SlurmNodeState.POWERING_DOWN
    elif "POWERING_UP" in words:
        shown = SlurmNodeState.POWERING_UP
    elif down or not answers:
        shown = SlurmNodeState.DOWN
    else:
        shown = SlurmNodeState.ALLOCATED if busy else SlurmNodeState.IDLE
    # a node that we put down (or slurmctld, for its silence) serves again as soon as it is resumed
    ready = answers and not words & {"POWERED_DOWN", "POWERING_UP", "POWERING_DOWN", "FUTURE"} and (not down or silent)
    node = SlurmNode(
        name=name,
        cpus=cpus,
        memory_mb=memory_mb,
        features=features,
        state=shown,
        since=max(last_busy, started_at),
        free_cpus=max(0, cpus - used_cpus),
        weight=weight,
        free_memory_mb=max(0, memory_mb - used_memory_mb),
        gres=gres,
        free_gres=_free(gres, used_gres),
        kept=kept,
        planned="PLANNED" in words,
        answers=answers,
        started_at=started_at,
        reason=reason,
        parked=ours and ("DRAIN" in words or down),
    )
    closed = down or bool(words & {"DRAIN", "POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN", "FUTURE"})
    return ListedNode(node, state, ready, closed, partitions)


def _free(gres: Gres, used: Gres) -> Gres:
    taken = dict(used)
    return tuple((name, max(0, amount - taken.get(name, 0))) for name, amount in gres)
