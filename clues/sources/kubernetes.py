"""A live cluster: the watches, the queue between their threads and the loop's, and the picture that comes of it."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from clues.kubeapi.api import Api
from clues.options import Pool
from clues.snapshot import Machine, Snapshot
from clues.sources.listwatch import Change, Listed, Resource, Timing, Watch
from clues.sources.wire import DELETED, Cluster, Key
from infracore.clock import Clock

__all__ = ["RESOURCES", "KubernetesSource"]

RESOURCES: Final = (
    # two watches: most pods are bound and change often, those without a node are few and urgent
    Resource("Pod", "/api/v1/pods", "spec.nodeName="),
    Resource("Pod", "/api/v1/pods", "spec.nodeName!="),
    Resource("Node", "/api/v1/nodes"),
    Resource("Namespace", "/api/v1/namespaces"),
    Resource("DaemonSet", "/apis/apps/v1/daemonsets"),
    Resource("ReplicaSet", "/apis/apps/v1/replicasets"),
    Resource("StatefulSet", "/apis/apps/v1/statefulsets"),
    Resource("Job", "/apis/batch/v1/jobs"),
    Resource("PodDisruptionBudget", "/apis/policy/v1/poddisruptionbudgets"),
    Resource("PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
    Resource("PersistentVolume", "/api/v1/persistentvolumes"),
    Resource("StorageClass", "/apis/storage.k8s.io/v1/storageclasses"),
    Resource("CSINode", "/apis/storage.k8s.io/v1/csinodes", optional=True),
)
_MOST_AT_ONCE: Final = 20_000
"""Events that one snapshot takes in; more wait for the next, so that a pass is never starved."""


class KubernetesSource:
    """See `clues.loop.Source`. `start` and `stop` from any thread, all else by the loop's."""

    def __init__(self, api: Api, clock: Clock, timing: Timing, *, resources: Sequence[Resource] = RESOURCES) -> None:
        self._clock = clock
        self._cluster = Cluster()
        self._queue: deque[tuple[Watch, Change | Listed]] = deque()
        self._wake: Callable[[], None] = lambda: None
        self._pools: tuple[Pool, ...] = ()
        self._watches = [Watch(api, resource, self._take, clock, timing) for resource in resources]
        self._listed: set[Watch] = set()
        self._keys: dict[Watch, set[Key]] = {watch: set() for watch in self._watches}
        self._started = threading.Event()

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to watch; `wake` is called from the watches' threads whenever something came."""
        self._wake = wake
        self._started.set()
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        """Stop all watches, side by side; returns within seconds."""
        threads = [threading.Thread(target=watch.stop, name="stop watch", daemon=True) for watch in self._watches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2.0)

    def take_pools(self, pools: Sequence[Pool]) -> None:
        """Match nodes with these pools from now on."""
        self._pools = tuple(pools)

    @property
    def version(self) -> int:
        """Grows with everything that changes the picture; events that wait are taken in first."""
        self._drain()
        return self._cluster.version

    @property
    def is_complete(self) -> bool:
        """Whether every list has been taken in."""
        return len(self._listed) == len(self._watches)

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

    def _take(self, watch: Watch, item: Change | Listed) -> None:
        self._queue.append((watch, item))
        self._wake()

    def _drain(self) -> None:
        for _ in range(min(len(self._queue), _MOST_AT_ONCE)):
            watch, item = self._queue.popleft()
            if isinstance(item, Listed):
                self._take_list(watch, item)
            else:
                self._take_change(watch, item)
        if self._queue:
            self._wake()

    def _take_list(self, watch: Watch, listed: Listed) -> None:
        kind = watch.resource.kind
        keys = set()
        for raw in listed.objects:
            key = self._cluster.apply(kind, "ADDED", raw)
            if key is not None:
                keys.add(key)
        for key in self._keys[watch] - keys:
            self._gone(watch, key)
        self._keys[watch] = keys
        self._listed.add(watch)

    def _take_change(self, watch: Watch, change: Change) -> None:
        kind = watch.resource.kind
        if change.event != DELETED:
            key = self._cluster.apply(kind, change.event, change.raw)
            if key is not None:
                self._keys[watch].add(key)
            return
        key = self._cluster.name_of(change.raw)
        if key is None:
            return
        self._keys[watch].discard(key)
        if watch.resource.field_selector and self._is_elsewhere(watch, key):
            return  # a pod that was bound leaves the one watch after, or before, it comes into the other
        if watch.resource.field_selector == "spec.nodeName=" and self._cluster.is_bound(key):
            return
        self._cluster.apply(kind, DELETED, change.raw)

    def _gone(self, watch: Watch, key: Key) -> None:
        if not self._is_elsewhere(watch, key):
            self._cluster.forget(watch.resource.kind, key)

    def _is_elsewhere(self, watch: Watch, key: Key) -> bool:
        """Whether another watch of the same kind has the object: a pod moves from one to the other when it is bound."""
        return any(
            key in self._keys[other]
            for other in self._watches
            if other is not watch and other.resource.kind == watch.resource.kind
        )
