"""The objects that the daemon itself keeps in the cluster: its Lease, its status ConfigMap, and Events."""

import secrets
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from clues.actions.lease import LeaseState
from clues.daemon.announce import Note
from infracore.errors import NotFound

__all__ = ["ApiCall", "KubernetesLease", "KubernetesSink"]

_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"
_MOST_MESSAGE: Final = 1024
"""Characters of an event's message that the API server accepts."""


class ApiCall(Protocol):
    """One request to the API server: returns the decoded answer.

    Errors are `infracore.errors`: `NotFound` for 404, `Conflict` for 409.
    """

    def __call__(self, method: str, path: str, body: object = None, content_type: str = _JSON) -> Any: ...


class KubernetesLease:
    """A Lease of coordination.k8s.io/v1; see `clues.actions.lease.LeaseStore`."""

    def __init__(self, call: ApiCall, namespace: str, name: str) -> None:
        self._call = call
        self._namespace = namespace
        self._name = name
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    def read(self) -> LeaseState | None:
        try:
            return self._state(self._call("GET", f"{self._folder}/{self._name}"))
        except NotFound:
            return None

    def write(
        self,
        state: LeaseState | None,
        *,
        holder: str,
        transitions: int,
        acquired_at: float,
        now: float,
        duration_s: float,
    ) -> LeaseState:
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if state is not None:
            metadata["resourceVersion"] = state.version
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": max(1, round(duration_s)),
                "acquireTime": _micro_time(acquired_at),
                "renewTime": _micro_time(now),
                "leaseTransitions": transitions,
            },
        }
        if state is None:
            return self._state(self._call("POST", self._folder, lease))
        return self._state(self._call("PUT", f"{self._folder}/{self._name}", lease))

    def _state(self, lease: Any) -> LeaseState:
        """Read a Lease; what somebody else wrote into it may be anything."""
        metadata, spec = _mapping(lease, "metadata"), _mapping(lease, "spec")
        transitions = spec.get("leaseTransitions")
        return LeaseState(
            holder=str(spec.get("holderIdentity") or ""),
            version=str(metadata.get("resourceVersion") or ""),
            transitions=transitions if isinstance(transitions, int) else 0,
            acquired_at=_seconds(spec.get("acquireTime")),
        )


class KubernetesSink:
    """Events and the status ConfigMap; see `clues.daemon.announce.Sink`."""

    def __init__(self, call: ApiCall, identity: str) -> None:
        self._call = call
        self._identity = identity

    def write_event(self, note: Note, now: float) -> None:
        # events on what has no namespace live in `default`; kubectl looks for a node's by its name as uid
        namespace = note.namespace or "default"
        at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        involved = {"kind": note.kind, "apiVersion": "v1", "name": note.name}
        involved |= {"namespace": note.namespace, "uid": note.uid} if note.namespace else {"uid": note.name}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{note.name[:230]}.{secrets.token_hex(8)}", "namespace": namespace},
            "involvedObject": involved,
            "reason": note.reason,
            "message": note.message[:_MOST_MESSAGE],
            "type": "Warning" if note.warning else "Normal",
            "source": {"component": "cluesd"},
            "reportingComponent": "cluesd",
            "reportingInstance": self._identity[:128],
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        self._call("POST", f"/api/v1/namespaces/{namespace}/events", event)

    def write_status(self, namespace: str, name: str, text: str) -> None:
        folder, data = f"/api/v1/namespaces/{namespace}/configmaps", {"status": text}
        try:
            self._call("PATCH", f"{folder}/{name}", {"data": data}, _MERGE)
        except NotFound:
            metadata = {"name": name, "namespace": namespace}
            self._call("POST", folder, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _mapping(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return 0.0
