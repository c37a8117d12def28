"""A live cluster: the watches, the queue between their threads and the loop's, and the picture that comes of it."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from clues.kubeapi.api import Api
from clues.kubeapi.decode import Glance, glance_of
from clues.options import Policy, Pool
from clues.snapshot import Machine, Snapshot
from clues.sources.intake import Intake
from clues.sources.listwatch import Change, Listed, Resource, Timing, Watch, WatchState
from clues.sources.wire import DELETED, Cluster
from infracore.clock import Clock
from infracore.structs import make_ready

__all__ = ["MOST_WAITING", "POD_GROUPS", "RESOURCES", "KubernetesSource"]

_UNFINISHED: Final = "status.phase!=Succeeded,status.phase!=Failed"
"""A pod that finishes is deleted as far as the watch goes; old jobs' pods are never sent at all."""
RESOURCES: Final = (
    # two watches: most pods are bound and change often, those without a node are few and urgent
    Resource("Pod", "/api/v1/pods", f"spec.nodeName=,{_UNFINISHED}", is_left_for_another=True),
    Resource("Pod", "/api/v1/pods", f"spec.nodeName!=,{_UNFINISHED}"),
    Resource("Node", "/api/v1/nodes"),
    Resource("Namespace", "/api/v1/namespaces"),
    Resource("DaemonSet", "/apis/apps/v1/daemonsets"),
    Resource("ReplicaSet", "/apis/apps/v1/replicasets"),
    Resource("StatefulSet", "/apis/apps/v1/statefulsets"),
    Resource("Job", "/apis/batch/v1/jobs"),
    Resource("ReplicationController", "/api/v1/replicationcontrollers", optional=True),
    Resource("PodDisruptionBudget", "/apis/policy/v1/poddisruptionbudgets"),
    Resource("PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
    Resource("PersistentVolume", "/api/v1/persistentvolumes"),
    Resource("StorageClass", "/apis/storage.k8s.io/v1/storageclasses"),
    Resource("CSINode", "/apis/storage.k8s.io/v1/csinodes", optional=True),
)
POD_GROUPS: Final[Mapping[str, Resource]] = {
    "coscheduling": Resource("PodGroup", "/apis/scheduling.x-k8s.io/v1alpha1/podgroups", optional=True),
    "volcano": Resource("PodGroup", "/apis/scheduling.volcano.sh/v1beta1/podgroups", optional=True),
}
"""Whose gangs can be read besides; each is one more watch of small objects."""
_MOST_AT_ONCE: Final = 20_000
"""Events that one snapshot takes in; more wait for the next, so that a pass is never starved."""
MOST_WAITING: Final = 10_000
"""Events (of some 4 kB) that may wait for the loop; a watch that has more waits, and its server."""
MOST_TOGETHER: Final = 1000
"""Events that fit into one piece of a watch (64 KiB): it is handed on as a whole."""
_MOST_PARTS: Final = 16
"""Parts of lists that may wait likewise."""
_LOOK_S: Final = 0.1


class KubernetesSource:
    """See `clues.loop.Source`. `start` and `stop` from any thread, all else by the loop's."""

    def __init__(self, api: Api, clock: Clock, timing: Timing, *, resources: Sequence[Resource] = RESOURCES) -> None:
        self._clock = clock
        self._cluster = Cluster()
        self._intake = Intake(self._cluster, resources)
        self._queue: deque[tuple[Resource, Change | Listed, Glance | None]] = deque()
        self._wake: Callable[[], None] = lambda: None
        self._pools: tuple[Pool, ...] = ()
        self._watches = [Watch(api, resource, self._take, clock, timing) for resource in resources]
        self._stopping = threading.Event()
        self._room = threading.Event()
        self._parts = threading.Semaphore(_MOST_PARTS)

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to watch; `wake` is called from the watches' threads whenever something came."""
        self._wake = wake
        make_ready("clues", "infracore")
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        """Stop all watches, side by side; returns within seconds."""
        self._stopping.set()
        threads = [threading.Thread(target=watch.stop, name="stop watch", daemon=True) for watch in self._watches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2.0)

    def take_pools(self, pools: Sequence[Pool]) -> None:
        """Match nodes with these pools from now on."""
        self._pools = tuple(pools)

    def take_policy(self, policy: Policy) -> None:
        """Keep the picture as fresh as this policy wants it."""
        for watch in self._watches:
            watch.keep_fresh(policy.max_stale_s)

    @property
    def version(self) -> int:
        """Grows with everything that changes the picture; events that wait are taken in first."""
        self._drain()
        return self._cluster.version

    @property
    def waiting(self) -> int:
        """How many events and parts of lists came and were not taken in yet."""
        return len(self._queue)

    @property
    def is_complete(self) -> bool:
        """Whether every list has been taken in."""
        return self._intake.is_complete

    def stale_s(self) -> float:
        """Return the age of the last sign of life of the watch that has been silent for longest."""
        return max((watch.stale_s() for watch in self._watches), default=0.0)

    def problems(self) -> tuple[str, ...]:
        """Return what is wrong with watches, for people."""
        return tuple(f"watch of {watch.resource.name}: {watch.problem}" for watch in self._watches if watch.problem)

    def snapshot(self, now: float, machines: Mapping[str, tuple[Machine, ...]]) -> Snapshot:
        """Return the picture as it is now; does not block."""
        self._drain()
        return self._cluster.snapshot(
            now, self._pools, machines, complete=self.is_complete, stale_s=self.stale_s(), more=self.problems()
        )

    def _take(self, watch: Watch, came: Sequence[Change] | Listed) -> None:
        if isinstance(came, Listed):
            while not self._parts.acquire(timeout=_LOOK_S):
                if self._stopping.is_set():
                    return
            self._queue.append((watch.resource, came, None))
        else:
            while len(self._queue) >= MOST_WAITING and not self._stopping.is_set():
                self._room.clear()
                self._room.wait(_LOOK_S)
            resource = watch.resource
            if resource.kind == "Pod":
                self._queue.extend([(resource, change, _glance(change)) for change in came])
            else:
                self._queue.extend([(resource, change, None) for change in came])
        self._wake()

    def _drain(self) -> None:
        now, room = self._clock.monotonic(), _MOST_AT_ONCE
        while self._queue and room > 0:
            resource, item, glance = self._queue.popleft()
            self._intake.take(resource, item, now, glance)
            if isinstance(item, Listed):
                self._parts.release()
                room -= len(item.objects)
            else:
                room -= 1
        self._room.set()
        if self._queue:
            self._wake()
        else:
            self._intake.settle(now, self._is_live)

    def _is_live(self, resource: Resource) -> bool:
        return all(watch.state is WatchState.WATCHING for watch in self._watches if watch.resource is resource)


def _glance(change: Change) -> Glance | None:
    """Look at a pod; None: it went, or it is malformed, which the loop's thread finds out and reports."""
    if change.event == DELETED:
        return None
    try:
        return glance_of(change.text, change.start, change.end)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
