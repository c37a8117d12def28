"""Which pending pods count, and what scaling out hands on to scaling in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from clues.decision import Memory, PodVerdict, PowerOn, Removal
from clues.model import Pod, PodRef, PodSpec
from clues.options import Policy
from clues.snapshot import Snapshot

__all__ = ["Demand", "ScaleOutResult", "Standing", "coming_back", "demand_of", "is_expendable", "standing"]


@dataclass(frozen=True, slots=True)
class ScaleOutResult:
    """What scaling out decided and what scaling in has to respect.

    The simulation that goes with it holds the pending pods that were placed on nodes of the snapshot; expendable
    pods are taken off it; nodes that come now or later are not in it any more (a pod that moves needs a ready node).
    """

    power_on: tuple[PowerOn, ...] = ()
    give_up: tuple[Removal, ...] = ()
    """Machines that never registered, or whose node never became ready: `decide` adds them to the removals."""
    needed_nodes: frozenset[str] = frozenset()
    """Existing nodes that pending or nominated pods were placed on."""
    upcoming_nodes: frozenset[str] = frozenset()
    """Registered nodes that are not ready yet and are counted as coming: they boot, they are not unready."""
    spare_nodes: frozenset[str] = frozenset()
    """Existing nodes that headroom keeps."""
    reclaimed: frozenset[str] = frozenset()
    """Nodes whose removal has begun and that pending pods could use: their removal is to be cancelled."""
    unhelped: tuple[PodRef, ...] = ()
    """Pods that stay pending though they count."""
    pods: tuple[PodVerdict, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Pool -> nodes that it has or that come, without those given up and those ordered now."""
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Pool -> (min, max) at this moment."""
    healthy: bool = True
    memory: Memory = Memory()  # noqa: RUF009 (immutable)
    """With `planned`, `rests`, `given_up`, `probes` and `last_scale_up` as of now; the rest as it came."""
    notes: tuple[str, ...] = ()


class Standing(StrEnum):
    """What a pending pod is to the autoscaler; the values are the reasons that people read."""

    COUNTS = "counts"
    UNSEEN = "the scheduler has not looked at it yet"
    NOMINATED = "room is being made for it"
    GATED = "a scheduling gate holds it"
    DELETING = "it is being deleted"
    FINISHED = "it has ended"
    FOREIGN = "another scheduler places it"
    EXPENDABLE = "its priority is below the cut-off"
    BOUND_TO_NODE = "it belongs to one node (DaemonSet or static pod)"


@dataclass(frozen=True, slots=True)
class Demand:
    """The pending pods, sorted out; each list in the order of the snapshot."""

    counting: list[Pod]
    unseen: list[Pod]
    """They take room that is there, but nothing is ordered for them yet."""
    nominated: list[Pod]
    ignored: dict[Standing, list[Pod]]


def is_expendable(pod: Pod, policy: Policy) -> bool:
    """Return whether a pod may be displaced at any time and asks for nothing (priority below the cut-off)."""
    return pod.spec.priority < policy.expendable_below


def standing(pod: Pod, snapshot: Snapshot, policy: Policy) -> Standing:
    """Return what one pending pod is to the autoscaler."""
    if pod.gated:
        return Standing.GATED
    if pod.deleting:
        return Standing.DELETING
    if pod.stays_with_node:
        return Standing.FINISHED if pod.is_finished else Standing.BOUND_TO_NODE
    if pod.spec.scheduler not in policy.schedulers:
        return Standing.FOREIGN
    if pod.spec.priority < policy.expendable_below:
        return Standing.EXPENDABLE
    if pod.nominated:
        there = snapshot.nodes.get(pod.nominated)
        if there is not None and there.node.ready and not there.node.deleting:
            return Standing.NOMINATED
    if pod.unschedulable_since is None and snapshot.now - pod.created_at < policy.unseen_pods_s:
        return Standing.UNSEEN
    return Standing.COUNTS


def demand_of(snapshot: Snapshot, policy: Policy) -> Demand:
    """Sort the pending pods of a snapshot by what they are to the autoscaler."""
    demand = Demand([], [], [], {})
    lists = {Standing.COUNTS: demand.counting, Standing.UNSEEN: demand.unseen, Standing.NOMINATED: demand.nominated}
    last: PodSpec | None = None
    counts = False
    """Whether neither its scheduler nor its priority keeps out what has the last spec."""
    for pod in snapshot.pending:
        if pod.unschedulable_since is not None and not (pod.gated or pod.deleting or pod.nominated):
            spec = pod.spec
            if spec is not last:  # pods of one owner mostly stand together
                last = spec
                counts = spec.scheduler in policy.schedulers and spec.priority >= policy.expendable_below
            if counts and not pod.stays_with_node:  # nearly all of many
                demand.counting.append(pod)
                continue
        kind = standing(pod, snapshot, policy)
        found = lists.get(kind)
        if found is not None:
            found.append(pod)
        else:
            demand.ignored.setdefault(kind, []).append(pod)
    return demand


def coming_back(snapshot: Snapshot, policy: Policy) -> list[Pod]:
    """Return the pods of nodes that are being deleted that will be pending soon: their controllers make them anew.

    Not those whose replacement exists already (they are being deleted), nor what nobody makes anew or that goes with
    the node; what no new node's template can answer is looked at once it is pending.
    """
    return [
        pod
        for state in snapshot.nodes.values()
        if state.node.deleting
        for pod in state.pods
        if pod.owner is not None
        and not (pod.stays_with_node or pod.deleting or pod.spec.beyond)
        and pod.owner.uid not in snapshot.missing_owners
        and pod.spec.scheduler in policy.schedulers
        and not is_expendable(pod, policy)
    ]
