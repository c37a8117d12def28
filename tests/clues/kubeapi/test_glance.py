"""The first look at a pod: its two ends are read and the rest is hashed, whatever stands where."""

import json
from typing import Any

import msgspec
import pytest

from clues.kubeapi.decode import Decoder, glance_of
from clues.model import Phase

POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "a"}, "annotations": {"k": "v"}},
    "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], "nodeName": "w"},
    "status": {"phase": "Running", "containerStatuses": [{"name": "c", "ready": True}]},
}
TRAPS = ['},"spec":{', '},"status":{"phase":"Failed"}', '"},"spec":{"containers":[]},"status":{}}']


def text(**changes: dict[str, Any]) -> bytes:
    item = {key: {**value, **changes.get(key, {})} if isinstance(value, dict) else value for key, value in POD.items()}
    return json.dumps(item, separators=(",", ":")).encode()


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_words_in_values_are_no_fields(trap: str, place: str) -> None:
    raw = text(metadata={place: {"k": trap, trap: "v"}})
    glance = glance_of(raw)
    assert (glance.uid, glance.phase) == ("u", Phase.RUNNING)
    pod = Decoder().pod(raw)
    assert (pod.node, dict(pod.spec.requests), pod.phase) == ("w", {"cpu": 1000}, Phase.RUNNING)


def test_fields_of_the_same_name_further_in_are_passed_over() -> None:
    inner = {"x": {"y": 1}, "spec": {"z": 1}, "status": {"phase": "Failed"}}
    raw = text(metadata={"managedFields": [{"fieldsV1": inner}]}, spec={"inner": inner}, status={"inner": inner})
    assert glance_of(raw).phase is Phase.RUNNING
    assert Decoder().pod(raw).node == "w"


def test_another_order_and_spaces_are_read_too() -> None:
    turned = {"status": {**POD["status"]}, "spec": {**POD["spec"]}, "metadata": POD["metadata"]}
    for raw in (json.dumps(turned).encode(), json.dumps(POD, indent=1).encode()):
        assert (glance_of(raw).uid, glance_of(raw).phase) == ("u", Phase.RUNNING)
        assert Decoder().pod(raw) == Decoder().pod(text())


def test_a_pod_without_status_is_read() -> None:
    raw = json.dumps({"metadata": POD["metadata"], "spec": {**POD["spec"], "x": {"status": {"phase": "Failed"}}}})
    compact = json.dumps(json.loads(raw), separators=(",", ":")).encode()
    assert glance_of(compact).phase is Phase.PENDING


@pytest.mark.parametrize(
    ("part", "change", "same"),
    [
        ("metadata", {"resourceVersion": "7", "managedFields": [{"manager": "kubelet"}]}, True),
        ("status", {"conditions": [{"type": "Ready", "status": "True"}]}, True),
        ("status", {"phase": "Pending"}, True),
        ("metadata", {"labels": {"app": "b"}}, False),
        ("metadata", {"annotations": {}}, False),
        ("metadata", {"ownerReferences": [{"kind": "Job", "name": "j", "uid": "1", "controller": True}]}, False),
        ("spec", {"nodeName": "v"}, False),
        ("status", {"containerStatuses": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}, False),
    ],
)
def test_the_print_tells_what_is_to_be_read_anew(part: str, change: dict[str, Any], same: bool) -> None:
    first, second = glance_of(text()), glance_of(text(**{part: change}))
    assert (first.fingerprint == second.fingerprint) is same


def test_a_pod_that_is_broken_in_the_middle_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        Decoder().pod(text().replace(b'"containers":[', b'"containers":[[[', 1))
