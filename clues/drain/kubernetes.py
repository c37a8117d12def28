"""Emptying Kubernetes nodes. See `clues.drain.base` for what each method promises.

Every change of a Node is a merge patch with the resourceVersion that was read, so that a change of somebody else's in
between is seen (Conflict) and not undone. Pods go by the Eviction API (policy/v1), which honours budgets.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from clues.drain.base import Evictions
from clues.kubeapi import forms
from clues.kubeapi.decode import Decoder
from clues.model import Pod, PodRef
from infracore.errors import Conflict, InfraError, NotFound, Transient, Unauthorised

__all__ = ["PARKED", "REMOVING", "ApiCall", "KubernetesDrain"]

REMOVING: Final = "clues.im-clues/removing"
"""Taint of a node that is being emptied."""
PARKED: Final = "clues.im-clues/parked"
"""Taint and annotation of a node whose machine is off and whose object is kept."""
_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"
_MOST_TRIES: Final = 4


class ApiCall(Protocol):
    """One request to the API server: returns the decoded answer; errors are `infracore.errors`."""

    def __call__(self, method: str, path: str, body: object = None, content_type: str = _JSON) -> Any: ...


class _PodList(msgspec.Struct):
    items: list[forms.PodForm] | None = None


class KubernetesDrain:
    """Satisfies `clues.drain.base.Drain`. Safe under threads."""

    keeps_names = False

    def __init__(self, call: ApiCall) -> None:
        self._call = call

    def cordon(self, node: str) -> None:
        """Make the node unschedulable and taint it. Raises NotFound where there is no such node."""
        self._change(node, unschedulable=True, taint=REMOVING)

    def uncordon(self, node: str) -> None:
        """Take back what `cordon` and `park` did."""
        self._ignoring_absence(node, unschedulable=False, taint="")

    def park(self, node: str) -> None:
        """Keep the node cordoned, marked as turned off by us."""
        self._ignoring_absence(node, unschedulable=True, taint=PARKED)

    def evict(self, pods: Sequence[PodRef], *, force: bool = False) -> Evictions:
        """Ask once for the eviction of each pod, in order."""
        accepted, refused = [], {}
        for pod in pods:
            said = self._evict(pod, force=force)
            if said:
                refused[pod] = said
            else:
                accepted.append(pod)
        return Evictions(tuple(accepted), refused)

    def pods_on(self, node: str) -> Sequence[Pod]:
        """Return the pods of the node that are not finished, as the server has them now.

        Raises:
            Transient: a pod cannot be read: then nobody can say that the node is empty.
        """
        answer = self._call("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{quote(node, safe='')}")
        decoder = Decoder()
        try:
            found = msgspec.convert(answer, _PodList).items or ()
            pods = [decoder.pod_of(form) for form in found]
        except (msgspec.MsgspecError, ValueError) as error:
            raise Transient(f"a pod on {node} cannot be read: {error}") from error
        return tuple(pod for pod in pods if not pod.is_finished)

    def is_empty(self, node: str) -> bool:
        """Whether all pods of the node are such as stay with it."""
        return all(pod.stays_with_node for pod in self.pods_on(node))

    def delete_node(self, node: str, uid: str = "") -> None:
        """Delete the Node object; that it is absent, or another one has its name, is as good."""
        with contextlib.suppress(NotFound, *([Conflict] if uid else [])):
            self._call("DELETE", _node_path(node), {"preconditions": {"uid": uid}} if uid else None)

    def _evict(self, pod: PodRef, *, force: bool) -> str:
        """Return "" where the pod goes or is gone, else why not now."""
        path = f"/api/v1/namespaces/{quote(pod.namespace, safe='')}/pods/{quote(pod.name, safe='')}"
        options: dict[str, Any] = {"preconditions": {"uid": pod.uid}} if pod.uid else {}
        try:
            if force:
                self._call("DELETE", path, options)
            else:
                body = {
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": {"name": pod.name, "namespace": pod.namespace},
                    "deleteOptions": options,
                }
                self._call("POST", f"{path}/eviction", body)
        except NotFound:
            return ""
        except Conflict:  # another pod of this name: the one that was meant is gone
            return ""
        except (Transient, Unauthorised) as error:
            if not _is_refusal(error):
                raise
            return error.message
        return ""

    def _ignoring_absence(self, node: str, *, unschedulable: bool, taint: str) -> None:
        with contextlib.suppress(NotFound):
            self._change(node, unschedulable=unschedulable, taint=taint)

    def _change(self, node: str, *, unschedulable: bool, taint: str) -> None:
        for attempt in range(1, _MOST_TRIES + 1):
            found = self._call("GET", _node_path(node))
            try:
                body = _patch(found, unschedulable=unschedulable, taint=taint)
            except (AttributeError, TypeError) as error:
                raise Transient(f"node {node} cannot be read: {error}") from error
            if body is None:
                return
            try:
                self._call("PATCH", _node_path(node), body, _MERGE)
            except Conflict:  # kubelet and controllers write Nodes all the time
                if attempt == _MOST_TRIES:
                    raise
            else:
                return


def _node_path(node: str) -> str:
    return f"/api/v1/nodes/{quote(node, safe='')}"


def _patch(node: Any, *, unschedulable: bool, taint: str) -> Mapping[str, Any] | None:
    """Return what makes the node so; None where it is so already."""
    metadata, spec = node.get("metadata") or {}, node.get("spec") or {}
    taints = list(spec.get("taints") or ())
    wanted = [item for item in taints if item.get("key") not in {REMOVING, PARKED}]
    if taint:
        wanted.append({"key": taint, "effect": "NoSchedule"})
    annotated = (metadata.get("annotations") or {}).get(PARKED) is not None
    same = [item.get("key") for item in taints] == [item.get("key") for item in wanted]
    if same and bool(spec.get("unschedulable")) is unschedulable and annotated is (taint == PARKED):
        return None
    return {
        "metadata": {
            "resourceVersion": metadata.get("resourceVersion"),
            "annotations": {PARKED: "true" if taint == PARKED else None},
        },
        "spec": {"unschedulable": True if unschedulable else None, "taints": wanted},
    }


def _is_refusal(error: InfraError) -> bool:
    """Whether the answer is about this one pod: the others are asked all the same, and this one again later.

    429 is the budget (a server that is overloaded says the same, and later is right too); 500 a pod under more than
    one budget; 403 with these words a pod whose namespace is going, and the pod with it.
    """
    if isinstance(error, Unauthorised):
        return "is being terminated" in error.message
    return ": 429" in error.message or ": 500" in error.message
