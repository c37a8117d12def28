"""The daemon's own objects, against a small API server in memory."""

from typing import Any

import pytest

from clues.actions.lease import Elector
from clues.daemon.announce import Note
from clues.daemon.cluster_objects import KubernetesLease, KubernetesSink
from clues.settings import LeaseOptions
from infracore.clock import FakeClock
from infracore.errors import Conflict, NotFound


class Api:
    """Objects by path, with resource versions."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.version = 0
        self.calls: list[tuple[str, str]] = []

    def __call__(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        self.calls.append((method, path))
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise Conflict("there already")
        elif path not in self.objects:
            raise NotFound(path)
        if method == "GET":
            return self.objects[path]
        if (
            method == "PUT"
            and body["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]
        ):
            raise Conflict("somebody was quicker")
        if method == "PATCH":
            assert content_type == "application/merge-patch+json"
            body = {**self.objects[path], "data": {**self.objects[path].get("data", {}), **body["data"]}}
        self.version += 1
        body["metadata"] = {**body["metadata"], "resourceVersion": str(self.version)}
        self.objects[path] = body
        return body


def test_two_electors_over_the_object_have_one_leader() -> None:
    api, clock = Api(), FakeClock()
    one, two = (
        Elector(LeaseOptions(), KubernetesLease(api, "kube-system", "cluesd"), name, clock) for name in ("one", "two")
    )
    for _ in range(10):
        one.attempt()
        two.attempt()
        assert one.is_leader
        assert not two.is_leader
        clock.advance(2)
    assert two.holder == "one"
    for _ in range(10):
        clock.advance(2)
        two.attempt()
    assert two.is_leader
    assert not one.is_leader
    (lease,) = api.objects.values()
    assert lease["spec"]["leaseTransitions"] == 1
    assert lease["spec"]["leaseDurationSeconds"] == 15


@pytest.mark.parametrize("spec", [None, {}, {"holderIdentity": 3, "acquireTime": "soon", "leaseTransitions": "x"}])
def test_a_lease_with_anything_in_it_is_read(spec: Any) -> None:
    api = Api()
    lease = KubernetesLease(api, "n", "l")
    api.objects["/apis/coordination.k8s.io/v1/namespaces/n/leases/l"] = {
        "metadata": {"resourceVersion": "7"},
        "spec": spec,
    }
    found = lease.read()
    assert found is not None
    assert (found.version, found.acquired_at, found.transitions) == ("7", 0.0, 0)


def test_events_are_written_where_kubectl_looks_for_them() -> None:
    api = Api()
    sink = KubernetesSink(api, "me")
    sink.write_event(Note("Pod", "ns", "p", "u", "NoNodeWouldHelp", "m" * 5000, warning=True), 0.0)
    sink.write_event(Note("Node", "", "n", "uid", "NodeGoing", "because"), 0.0)
    pod, node = api.objects.values()
    assert (pod["involvedObject"]["uid"], pod["type"], len(pod["message"])) == ("u", "Warning", 1024)
    assert (node["metadata"]["namespace"], node["involvedObject"]["uid"], node["type"]) == ("default", "n", "Normal")


def test_the_status_is_made_once_and_then_changed() -> None:
    api = Api()
    sink = KubernetesSink(api, "me")
    sink.write_status("kube-system", "s", "one")
    sink.write_status("kube-system", "s", "two")
    (config_map,) = api.objects.values()
    assert config_map["data"] == {"status": "two"}
    assert [method for method, _ in api.calls] == ["PATCH", "POST", "PATCH"]
