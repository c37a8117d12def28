"""The objects, their versions, and what happened to them."""

import datetime
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Key = tuple[str, str]
"""Namespace ("" where it has none) and name."""
PODS = "/api/v1/pods"
_MOST_KEPT = 5000


class Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Event:
    """What happened: the object after it and before it; None where there is none."""

    version: int
    resource: str
    before: Any
    after: Any


class Store:
    """All kinds of objects by resource (`/api/v1/pods`). Safe under threads; `changed` is told of every change."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 1
        self.refused_evictions = 0
        self._objects: dict[str, dict[Key, Any]] = {}
        self._odd: dict[str, dict[Key, Any]] = {}
        self._events: deque[Event] = deque(maxlen=_MOST_KEPT)
        self._oldest = 1

    # reading

    def all(self, resource: str, namespace: str = "") -> list[Any]:
        """Return the objects by key, the odd ones with them."""
        with self.changed:
            there = {**self._objects.get(resource, {}), **self._odd.get(resource, {})}
            return [there[key] for key in sorted(there) if not namespace or key[0] == namespace]

    def sound(self, resource: str) -> list[Any]:
        """Return copies of the objects that came by requests: what controllers may look at."""
        with self.changed:
            return deepcopy(list(self._objects.get(resource, {}).values()))

    def namespaced(self) -> list[str]:
        """Return the resources that there are objects of, pods at last: nothing makes them anew then."""
        with self.changed:
            return sorted(self._objects, key=lambda resource: resource == PODS)

    def get(self, resource: str, key: Key) -> Any:
        with self.changed:
            found = self._objects.get(resource, {}).get(key)
            if found is None:
                raise Refused(404, "NotFound", f'{resource.rpartition("/")[2]} "{key[1]}" not found')
            return found

    def since(self, resource: str, version: int) -> list[Event]:
        """Return what happened after a version. Raises Refused (410) where that is forgotten."""
        with self.changed:
            if version < self._oldest - 1:
                raise Refused(410, "Expired", f"too old resource version: {version} ({self._oldest})")
            return [event for event in self._events if event.version > version and event.resource == resource]

    # writing

    def create(self, resource: str, namespace: str, given: Mapping[str, Any]) -> Any:
        item = deepcopy(dict(given))
        meta = item.setdefault("metadata", {})
        meta.setdefault("name", f"{meta.get('generateName', '')}{uuid.uuid4().hex[:5]}")
        if namespace:
            meta["namespace"] = namespace
        key = (namespace, meta["name"])
        with self.changed:
            if key in self._objects.get(resource, {}):
                raise Refused(409, "AlreadyExists", f'{resource.rpartition("/")[2]} "{meta["name"]}" already exists')
            meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
            item.setdefault("spec", {})
            item.setdefault("status", {})
            if resource == PODS:
                item["status"].setdefault("phase", "Pending")
            self._put(resource, key, None, item)
            return item

    def change(self, resource: str, key: Key, make: Callable[[Any], None], *, version: str = "") -> Any:
        """Change a copy of an object by a function; nothing happens where that changes nothing."""
        with self.changed:
            before = self.get(resource, key)
            if version and version != before["metadata"]["resourceVersion"]:
                raise Refused(409, "Conflict", f'the object "{key[1]}" has been modified')
            item = deepcopy(before)
            make(item)
            if item == before:
                return before
            if item.get("spec") != before.get("spec"):
                item["metadata"]["generation"] += 1
            self._put(resource, key, before, item)
            return item

    def remove(self, resource: str, key: Key) -> Any:
        with self.changed:
            before = self.get(resource, key)
            del self._objects[resource][key]
            last = deepcopy(before)
            self._stamp(last)
            self._tell(Event(self.version, resource, last, None))
            return last

    def force(self, resource: str, item: dict[str, Any]) -> None:
        """Put what no API server would take among the objects: lists and watches show it, controllers do not see it."""
        with self.changed:
            meta = item["metadata"]
            key = (meta.get("namespace", ""), meta["name"])
            there = self._odd.setdefault(resource, {})
            before = there.get(key)
            self._stamp(item)
            there[key] = item
            self._tell(Event(self.version, resource, before, item))

    def forget_events(self) -> None:
        """Compact: watches from before now are too old."""
        with self.changed:
            self._events.clear()
            self._oldest = self.version + 1

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let nobody else change anything for the time of the block."""
        with self.changed:
            yield

    def _put(self, resource: str, key: Key, before: Any, item: Any) -> None:
        self._stamp(item)
        self._objects.setdefault(resource, {})[key] = item
        self._tell(Event(self.version, resource, before, item))

    def _stamp(self, item: Any) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)

    def _tell(self, event: Event) -> None:
        if len(self._events) == _MOST_KEPT:
            self._oldest = self._events[1].version
        self._events.append(event)
        self.changed.notify_all()


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_ended(pod: Mapping[str, Any]) -> bool:
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def is_ready(item: Mapping[str, Any]) -> bool:
    """Whether a pod's or a node's condition Ready is true."""
    conditions = item.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def selects(selector: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether a label selector of nothing but matchLabels selects an object."""
    labels = item["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
