"""Every change of pods and nodes, as the API server tells it, to be played through again in the order of its versions.

The revisions of one store are one sequence over all kinds, so that events of two watches can be put in order.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.controlplane.plane import Plane


@dataclass
class Picture:
    """The cluster at one moment."""

    pods: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, Any] = field(default_factory=dict)

    def available(self, app: str) -> list[Any]:
        """Return the pods of an app that a budget counts as healthy: ready, and not being deleted."""
        return [pod for pod in self.pods.values() if _is_of(pod, app) and is_available(pod)]

    def draining(self, app: str) -> list[str]:
        """Return the nodes that are cordoned and still hold a pod of the app that has not been told to go."""
        hosts = {
            pod["spec"].get("nodeName")
            for pod in self.pods.values()
            if _is_of(pod, app) and not pod["metadata"].get("deletionTimestamp")
        }
        return [name for name, node in self.nodes.items() if name in hosts and node["spec"].get("unschedulable")]


def is_available(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready and stays."""
    conditions = pod["status"].get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _is_of(pod: Mapping[str, Any], app: str) -> bool:
    return bool(pod["metadata"].get("labels", {}).get("app") == app)


class Follower:
    """What happened since `begin`."""

    def __init__(self, plane: Plane, namespace: str) -> None:
        self._plane = plane
        self._paths = {"pods": f"/api/v1/namespaces/{namespace}/pods", "nodes": "/api/v1/nodes"}
        self._start = Picture()
        self._events: list[tuple[int, str, str, Any]] = []
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def begin(self) -> None:
        for kind, path in self._paths.items():
            listed = self._plane.get(path)
            getattr(self._start, kind).update({item["metadata"]["name"]: item for item in listed["items"]})
            version = listed["metadata"]["resourceVersion"]
            self._threads.append(threading.Thread(target=self._follow, args=(kind, path, version)))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def pictures(self) -> Iterator[Picture]:
        """Yield the cluster after each change. Call it after `end`.

        Raises:
            AssertionError: a watch broke, so that nobody knows what happened.
        """
        assert not self._errors, self._errors
        now = Picture(dict(self._start.pods), dict(self._start.nodes))
        yield now
        for _, kind, event, item in sorted(self._events, key=lambda one: one[0]):
            there = getattr(now, kind)
            if event == "DELETED":
                there.pop(item["metadata"]["name"], None)
            else:
                there[item["metadata"]["name"]] = item
            yield now

    def over(self, judge: Callable[[Picture], int]) -> list[int]:
        """Return what a judge says of each moment."""
        return [judge(picture) for picture in self.pictures()]

    def _follow(self, kind: str, path: str, version: str) -> None:
        try:
            while not self._ended.is_set():
                for event, item in self._plane.watch(path, version, 1):
                    assert event != "ERROR", item
                    version = item["metadata"]["resourceVersion"]
                    if event != "BOOKMARK":
                        self._events.append((int(version), kind, event, item))
        except (OSError, AssertionError) as error:
            self._errors.append(error)


@contextmanager
def following(plane: Plane, namespace: str) -> Iterator[Follower]:
    """Follow until the end of the block."""
    made = Follower(plane, namespace)
    made.begin()
    try:
        yield made
    finally:
        made.end()
