"""Emptying nodes: conflicts, refusals, absence, and what is sent."""

from collections import deque
from typing import Any

import pytest

from clues.drain.kubernetes import PARKED, REMOVING, KubernetesDrain
from clues.model import PodRef
from infracore.errors import Conflict, NotFound, Transient, Unauthorised

POD = PodRef("x", "p", "u")


class Calls:
    """Plays the API server: an answer, or an error, for each request in order."""

    def __init__(self, *answers: Any) -> None:
        self.answers = deque(answers)
        self.made: list[tuple[str, str, Any]] = []

    def __call__(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        self.made.append((method, path, body))
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer


def node(version: str, *taints: str, **spec: Any) -> dict[str, Any]:
    marks = [{"key": key, "effect": "NoSchedule"} for key in taints]
    return {"metadata": {"name": "n", "resourceVersion": version}, "spec": {"taints": marks, **spec}}


def test_a_node_changed_by_another_is_read_again() -> None:
    calls = Calls(node("1"), Conflict("changed"), node("2", "theirs"), {})
    KubernetesDrain(calls).cordon("n")
    sent = calls.made[-1][2]
    assert sent["metadata"]["resourceVersion"] == "2"
    assert [taint["key"] for taint in sent["spec"]["taints"]] == ["theirs", REMOVING]
    assert sent["spec"]["unschedulable"] is True


def test_a_node_that_always_changes_is_given_up() -> None:
    calls = Calls(*[node("1"), Conflict("changed")] * 10)
    with pytest.raises(Conflict):
        KubernetesDrain(calls).cordon("n")
    assert len(calls.made) == 8


def test_what_is_so_already_is_not_sent() -> None:
    calls = Calls(node("1", REMOVING, unschedulable=True))
    KubernetesDrain(calls).cordon("n")
    assert len(calls.made) == 1


def test_parking_and_taking_back() -> None:
    calls = Calls(node("1", REMOVING, unschedulable=True), {})
    KubernetesDrain(calls).park("n")
    sent = calls.made[-1][2]
    assert ([t["key"] for t in sent["spec"]["taints"]], sent["metadata"]["annotations"]) == ([PARKED], {PARKED: "true"})
    calls = Calls(node("1", "theirs", PARKED, unschedulable=True), {})
    KubernetesDrain(calls).uncordon("n")
    sent = calls.made[-1][2]
    assert [t["key"] for t in sent["spec"]["taints"]] == ["theirs"]
    assert (sent["spec"]["unschedulable"], sent["metadata"]["annotations"]) == (None, {PARKED: None})


def test_absence_is_as_good_as_done_but_for_cordon() -> None:
    gone = NotFound("no node")
    drain = KubernetesDrain(Calls(gone, gone, gone, gone))
    drain.uncordon("n")
    drain.park("n")
    drain.delete_node("n")
    with pytest.raises(NotFound):
        drain.cordon("n")


def test_a_node_is_deleted_by_its_uid_and_another_of_its_name_stays() -> None:
    calls = Calls({}, Conflict("the UID in the precondition does not match"), Conflict("something else"))
    drain = KubernetesDrain(calls)
    drain.delete_node("n", "u")
    drain.delete_node("n", "u")
    assert calls.made == [("DELETE", "/api/v1/nodes/n", {"preconditions": {"uid": "u"}})] * 2
    with pytest.raises(Conflict):
        drain.delete_node("n")


def test_evictions_name_the_pod_by_its_uid() -> None:
    calls = Calls({}, {})
    drain = KubernetesDrain(calls)
    assert drain.evict([POD]).accepted == (POD,)
    assert drain.evict([POD], force=True).accepted == (POD,)
    (method, path, body), forced = calls.made
    assert (method, path) == ("POST", "/api/v1/namespaces/x/pods/p/eviction")
    assert body["deleteOptions"] == {"preconditions": {"uid": "u"}}
    assert forced == ("DELETE", "/api/v1/namespaces/x/pods/p", {"preconditions": {"uid": "u"}})


@pytest.mark.parametrize("error", [NotFound("gone"), Conflict("the UID in the precondition does not match")])
def test_a_pod_that_is_gone_or_another_counts_as_accepted(error: Exception) -> None:
    assert KubernetesDrain(Calls(error)).evict([POD]).accepted == (POD,)


def test_a_budget_refuses_one_pod_and_the_others_are_still_asked() -> None:
    second = PodRef("x", "q", "v")
    found = KubernetesDrain(Calls(Transient("POST /x: 429: budget b allows none"), {})).evict([POD, second])
    assert (found.accepted, list(found.refused)) == ((second,), [POD])
    assert "budget b" in found.refused[POD]
    with pytest.raises(Transient):
        KubernetesDrain(Calls(Transient("POST /x: 503: away"))).evict([POD])


@pytest.mark.parametrize(
    "error",
    [
        Transient("POST /x: 500: This pod has more than one PodDisruptionBudget"),
        Unauthorised("POST /x: 403: unable to create new content in namespace x because it is being terminated"),
    ],
)
def test_what_the_server_says_of_one_pod_alone_keeps_no_other_from_being_asked(error: Exception) -> None:
    second = PodRef("x", "q", "v")
    found = KubernetesDrain(Calls(error, {})).evict([POD, second])
    assert (found.accepted, list(found.refused)) == ((second,), [POD])


def test_missing_rights_are_no_refusal_that_time_mends() -> None:
    with pytest.raises(Unauthorised):
        KubernetesDrain(Calls(Unauthorised("POST /x: 403: pods/eviction is forbidden"))).evict([POD])


def test_empty_is_when_only_what_stays_is_left() -> None:
    def pod(owner: str, phase: str = "Running") -> dict[str, Any]:
        owners = [{"kind": owner, "name": "o", "controller": True}]
        return {"metadata": {"name": "p", "ownerReferences": owners}, "spec": {}, "status": {"phase": phase}}

    stay = [pod("DaemonSet"), pod("Job", "Succeeded"), pod("Node")]
    assert KubernetesDrain(Calls({"items": stay})).is_empty("n")
    assert KubernetesDrain(Calls({"items": None})).is_empty("n")
    assert not KubernetesDrain(Calls({"items": [*stay, pod("ReplicaSet")]})).is_empty("n")


@pytest.mark.parametrize("answer", [{"items": [5]}, {"items": [{"metadata": {"name": "p"}}]}, [], "x", None])
def test_a_pod_that_cannot_be_read_is_no_empty_node(answer: Any) -> None:
    with pytest.raises(Transient, match="cannot be read"):
        KubernetesDrain(Calls(answer)).is_empty("n")


@pytest.mark.parametrize("answer", [[], "x", None, {"metadata": 5, "spec": []}, {"spec": {"taints": [5]}}])
def test_a_node_that_cannot_be_read(answer: Any) -> None:
    with pytest.raises(Transient, match="cannot be read"):
        KubernetesDrain(Calls(answer)).cordon("n")
