"""What the pods of a node say to its removal: which must move, which forbid it, and in what order they are evicted.

The rules are asked in the order of cluster-autoscaler's, and the first that answers wins: mirror pods, pods that
already end, missing controllers, DaemonSet pods, `safe-to-evict: "true"`, finished pods, unreplicated pods,
kube-system, `safe-to-evict: "false"`, local storage; disruption budgets come last and over all pods together.
Annotation values are compared with the string `true`: `True` and `1` mean nothing, as in Kubernetes.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from clues.decision import Block
from clues.model import Labels, Pod, PodRef
from clues.options import Policy
from clues.policy.budgets import PodBudgets
from clues.policy.demand import is_expendable

__all__ = ["block_of", "eviction_order", "forbids_disruption", "is_occupied", "movers", "pod_block"]

_SAFE: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict"
_SAFE_VOLUMES: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
_DO_NOT_DISRUPT: Final = "karpenter.sh/do-not-disrupt"
_DURATION: Final = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,6})?(?:h|m|s))+")
_PART: Final = re.compile(r"([0-9.]+)(h|m|s)")
_UNIT_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0}


def forbids_disruption(annotations: Labels, created_at: float, now: float) -> bool:
    """Return whether `do-not-disrupt` holds: for good (`true`), or for a time since creation (`10m`)."""
    value = annotations.get(_DO_NOT_DISRUPT)
    if value is None or value == "true":
        return value is not None
    if not _DURATION.fullmatch(value):
        return False
    return now - created_at < sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(value))


def is_occupied(pods: Iterable[Pod], policy: Policy) -> bool:
    """Return whether a node holds a pod other than DaemonSet, static, finished and expendable ones."""
    return any(not pod.stays_with_node and not is_expendable(pod, policy) for pod in pods)


def movers(pods: Iterable[Pod], policy: Policy) -> list[Pod]:
    """Return the pods that need another place: not those that go with the node, end by themselves or are expendable."""
    return [pod for pod in pods if not pod.stays_with_node and not pod.deleting and not is_expendable(pod, policy)]


def pod_block(
    pod: Pod, policy: Policy, budgets: PodBudgets, missing_owners: frozenset[str], now: float
) -> tuple[Block, str] | None:
    """Return why one pod forbids the removal of its node; None where it does not. Budgets' allowances are not asked."""
    if pod.mirror or pod.deleting or is_expendable(pod, policy):
        return None
    if pod.owner is not None and pod.owner.uid and pod.owner.uid in missing_owners and not pod.is_daemon:
        return Block.POD_UNREPLICATED, f"its {pod.owner.kind} {pod.owner.name} does not exist any more"
    if pod.stays_with_node:
        return None
    if forbids_disruption(pod.annotations, pod.created_at, now):
        return Block.POD_NOT_SAFE, f"annotation {_DO_NOT_DISRUPT}"
    safe = pod.annotations.get(_SAFE)
    if safe == "true":
        return None
    if policy.block_unreplicated and pod.owner is None:
        return Block.POD_UNREPLICATED, "no controller would make it anew"
    if policy.block_kube_system and pod.namespace == "kube-system" and not budgets.covers(pod):
        return Block.POD_KUBE_SYSTEM, "a pod of kube-system without a disruption budget"
    if safe == "false":
        return Block.POD_NOT_SAFE, f"annotation {_SAFE}"
    if policy.block_local_storage:
        given = {name.strip() for name in pod.annotations.get(_SAFE_VOLUMES, "").split(",")}
        for name, kind in pod.spec.local_volumes:
            if name not in given:
                return Block.POD_LOCAL_STORAGE, f"{kind} volume {name} would be lost"
    return None


def block_of(
    pods: Iterable[Pod], policy: Policy, budgets: PodBudgets, missing_owners: frozenset[str], now: float
) -> tuple[Block, str] | None:
    """Return why a node's pods, in their order, forbid its removal; None where none does."""
    pods = tuple(pods)
    for pod in pods:
        found = pod_block(pod, policy, budgets, missing_owners, now)
        if found is not None:
            return found[0], f"pod {pod.namespace}/{pod.name}: {found[1]}"
    lacking = budgets.lacking(movers(pods, policy))
    if lacking is not None:
        pod, why = lacking
        return Block.PDB, f"pod {pod.namespace}/{pod.name}: {why}"
    return None


def eviction_order(pods: Sequence[Pod], policy: Policy) -> tuple[PodRef, ...]:
    """Return whom to evict, one after another: lowest priority first, then the shortest grace.

    DaemonSet pods come after the others, and only where there are others: an empty node is not worth the wait.
    Static pods cannot be evicted, and pods that are being deleted already are only waited for.
    """
    others = [p for p in pods if not p.stays_with_node and not p.deleting]
    daemons = [p for p in pods if p.is_daemon and not p.mirror and not p.is_finished and not p.deleting]
    chosen = sorted(others, key=_order)
    if is_occupied(pods, policy):
        chosen += sorted(daemons, key=_order)
    return tuple(pod.ref for pod in chosen)


def _order(pod: Pod) -> tuple[int, int, str, str]:
    return pod.spec.priority, pod.spec.grace_s, pod.namespace, pod.name
