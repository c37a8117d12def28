"""From Kubernetes objects to the model: requests, quantities, selectors, volumes, and the short way by bytes."""

import json
from typing import Any

import msgspec
import pytest

from clues.kubeapi import forms
from clues.kubeapi.decode import Decoder
from clues.model import HostPort, Operator, Pod, Requirement, VolumeUse

GI = 1024**3


def raw(spec: dict[str, Any], *, status: dict[str, Any] | None = None, **meta: Any) -> bytes:
    item = {"metadata": {"name": "p", "uid": "u", "namespace": "x", **meta}, "spec": spec, "status": status or {}}
    return json.dumps(item, separators=(",", ":")).encode()


def read(spec: dict[str, Any], **more: Any) -> Pod:
    return Decoder().pod(raw(spec, **more))


def box(cpu: Any = None, *, always: bool = False, **limits: Any) -> dict[str, Any]:
    asked = {} if cpu is None else {"requests": {"cpu": cpu}}
    return {
        "resources": {**asked, **({"limits": limits} if limits else {})},
        "restartPolicy": "Always" if always else None,
    }


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [box("1"), box("500m")]}, 1500),
        ({"containers": [box("1")], "initContainers": [box("3"), box("2")]}, 3000),
        ({"containers": [box("1")], "initContainers": [box("2", always=True)]}, 3000),
        # a sidecar counts for the init containers after it, not for those before
        ({"containers": [box("1")], "initContainers": [box("2", always=True), box("3")]}, 5000),
        ({"containers": [box("1")], "initContainers": [box("3"), box("2", always=True)]}, 3000),
        ({"containers": [box("1")], "initContainers": [box("2")], "overhead": {"cpu": "250m"}}, 2250),
        ({"containers": [box("1"), box("1")], "resources": {"requests": {"cpu": "5"}}}, 5000),
        ({"containers": [box("1")], "resources": {"limits": {"cpu": "5"}}}, 1000),
        ({"containers": [box()], "resources": {"limits": {"cpu": "5"}}, "overhead": {"cpu": "1"}}, 6000),
        ({"containers": [box(cpu="1", memory="1Gi")]}, 1000),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2000),
        ({"containers": [{}], "initContainers": None}, 0),
    ],
)
def test_requests(spec: dict[str, Any], cpu: int) -> None:
    assert dict(read(spec).spec.requests).get("cpu", 0) == cpu


def held(name: str, actual: str | None = None, allocated: str | None = None) -> dict[str, Any]:
    """A container's status after a resize in place."""
    status: dict[str, Any] = {"name": name}
    if actual is not None:
        status["resources"] = {"requests": {"cpu": actual}}
    return {**status, **({} if allocated is None else {"allocatedResources": {"cpu": allocated}})}


INFEASIBLE = {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]}
DEFERRED = {"conditions": [{"type": "PodResizePending", "status": "True", "reason": "Deferred"}]}
ONE = {"containers": [{"name": "a", **box("2")}]}
SIDECAR = {"initContainers": [{"name": "s", **box("1", always=True)}], "containers": [{"name": "a", **box("1")}]}
OWN = {"containers": [{"name": "a", **box("1")}], "resources": {"requests": {"cpu": "5"}}, "overhead": {"cpu": "1"}}
RESIZED: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    # wanted, allocated and in force: the most of them counts
    (ONE, {"containerStatuses": [held("a", "2", "2")]}, 2000),
    (ONE, {"containerStatuses": [held("a", "3", "2")]}, 3000),
    (ONE, {"containerStatuses": [held("a", "1", "4")]}, 4000),
    (ONE, {"containerStatuses": [held("a", "1", "1")]}, 2000),
    (ONE, {"containerStatuses": [held("a", "1", "1")], **DEFERRED}, 2000),
    # what the node can never grant does not count
    (ONE, {"containerStatuses": [held("a", "1", "1")], **INFEASIBLE}, 1000),
    # another container's status, and one without resources, say nothing
    (ONE, {"containerStatuses": [held("b", "9", "9")]}, 2000),
    (ONE, {"containerStatuses": [held("a", None, "9")]}, 2000),
    (SIDECAR, {"initContainerStatuses": [held("s", "3", "3")]}, 4000),
    (
        {"initContainers": [{"name": "i", **box("1")}], **ONE},
        {"initContainerStatuses": [held("i", "9", "9")]},
        2000,
    ),
    (OWN, {"resources": {"requests": {"cpu": "6"}}, "allocatedResources": {"cpu": "5"}}, 7000),
    (OWN, {"allocatedResources": {"cpu": "9"}}, 6000),
]


@pytest.mark.parametrize(("spec", "status", "cpu"), RESIZED)
def test_a_resize_in_place_counts_as_the_scheduler_counts_it(
    spec: dict[str, Any], status: dict[str, Any], cpu: int
) -> None:
    assert dict(read(spec, status=status).spec.requests)["cpu"] == cpu


@pytest.mark.parametrize(
    ("name", "written", "amount"),
    [
        ("cpu", "3920m", 3920),
        ("cpu", "0.1", 100),
        ("cpu", 2, 2000),
        ("cpu", "1u", 1),
        ("memory", "1.5Gi", 3 * GI // 2),
        ("memory", "1e9", 10**9),
        ("memory", "128974848000m", 128974848),
        ("memory", "129M", 129_000_000),
        ("memory", "1m", 1),
        ("nvidia.com/gpu", "2", 2),
    ],
)
def test_quantities(name: str, written: Any, amount: int) -> None:
    assert read({"containers": [{"resources": {"requests": {name: written}}}]}).spec.requests == ((name, amount),)


@pytest.mark.parametrize(
    "written",
    ["", "many", "1 Gi", "-1", "1e999", "NaN", "inf", "1" * 100, "9223372036854775807", True, [], {}, "1Ee", "٣"],
)
def test_an_amount_that_is_none_is_refused(written: Any) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        read({"containers": [{"resources": {"requests": {"cpu": written}}}]})


def test_match_label_keys_are_merged() -> None:
    term = {
        "topologyKey": "zone",
        "labelSelector": {"matchLabels": {"app": "a"}},
        "matchLabelKeys": ["hash", "absent"],
        "mismatchLabelKeys": ["tenant"],
    }
    spread = {"topologyKey": "zone", "maxSkew": 1, "labelSelector": {}, "matchLabelKeys": ["hash"]}
    spec = {
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        "topologySpreadConstraints": [spread],
    }
    decoder = Decoder()
    one = decoder.pod(raw(spec, labels={"hash": "1", "tenant": "t"})).spec
    two = decoder.pod(raw(spec, labels={"hash": "2", "tenant": "t"})).spec
    is_one = Requirement("hash", Operator.IN, ("1",))
    selector = one.anti_affinity[0].selector
    assert selector is not None
    assert selector.requirements == (
        Requirement("app", Operator.IN, ("a",)),
        is_one,
        Requirement("tenant", Operator.NOT_IN, ("t",)),
    )
    assert one.anti_affinity[0].namespaces == {"x"}
    assert one.spread[0].selector is not None
    assert one.spread[0].selector.requirements == (is_one,)
    assert two != one


def test_volumes() -> None:
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-0", "readOnly": True}},
        {"name": "disk", "gcePersistentDisk": {"pdName": "d"}},
        {"name": "work", "emptyDir": {}},
        {"name": "fast", "emptyDir": {"medium": "Memory"}},
        {"name": "host", "hostPath": {"path": "/x"}},
        {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
    ]
    ports = [{"ports": [{"hostPort": 80}, {"containerPort": 1}]}]
    spec = read({"volumes": volumes, "containers": ports, "resourceClaims": [{"name": "g"}]}).spec
    assert spec.volumes == (VolumeUse("claim", "data-0", True), VolumeUse("gcePersistentDisk", "d"))
    assert spec.local_volumes == (("work", "emptyDir"), ("host", "hostPath"))
    assert spec.beyond == ("resourceClaims", "ephemeral volumes")
    assert spec.host_ports == (HostPort(80),)


def test_pods_of_a_daemon_set_tolerate_what_the_controller_lets_them() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"tolerations": [{"operator": "Exists"}]}}
    found = Decoder().daemon_set(json.dumps({"metadata": {"name": "d"}, "spec": {"template": template}}).encode())
    keys = [toleration.key for toleration in found.spec.tolerations]
    assert keys[0] == ""
    assert {"node.kubernetes.io/not-ready", "node.kubernetes.io/unschedulable"} < set(keys)
    assert (found.namespace, found.labels) == ("default", {"a": "b"})


def test_a_gang_and_its_size() -> None:
    labels = {"scheduling.x-k8s.io/pod-group": "g"}
    sized = read({}, labels=labels, annotations={"clues.im-clues/gang-size": "4"}).spec
    assert (sized.gang, sized.gang_size) == ("g", 4)
    assert (read({}, labels=labels).spec.gang_size, read({}).spec.gang) == (0, "")
    kueue = ({"kueue.x-k8s.io/pod-group-name": "k"}, {"kueue.x-k8s.io/pod-group-total-count": "3"})
    volcano = ({}, {"scheduling.k8s.io/group-name": "v", "clues.im-clues/gang-size": "2"})
    for (its_labels, notes), found in ((kueue, ("k", 3)), (volcano, ("v", 2))):
        spec = read({}, labels=its_labels, annotations=notes).spec
        assert (spec.gang, spec.gang_size) == found
    with pytest.raises(ValueError, match="gang-size"):
        read({}, labels={**labels, "clues.im-clues/gang-size": "-1"})


def token(name: str, **source: Any) -> dict[str, Any]:
    return {
        "volumes": [{"name": name, **(source or {"projected": {"sources": []}})}],
        "containers": [{"volumeMounts": [{"name": name, "mountPath": "/t"}], "resources": {"requests": {"cpu": "1"}}}],
    }


def claimed(name: str, claim: str) -> dict[str, Any]:
    """A pod with a token, and a claim whose name may hold the token's."""
    spec = token(name)
    return {**spec, "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}, *spec["volumes"]]}


ALIKE = [
    raw(token("kube-api-access-abcde"), labels={"a": "b"}),
    raw({**token("kube-api-access-fghij"), "nodeName": "n", "hostname": "h-1"}, labels={"a": "b"}),
]
DIFFERENT = [
    raw(claimed("kube-api-access-abcde", "kube-api-access-abcdefoo")),
    raw(claimed("kube-api-access-fghij", "foo")),
    raw(claimed("kube-api-access-fghij", "kube-api-access-fghijfoo")),
    raw(token("kube-api-access-abcde", emptyDir={})),
    raw(token("kube-api-access-fghij", emptyDir={})),
    raw(token("v", persistentVolumeClaim={"claimName": "kube-api-access-abcde"})),
    raw(token("v", persistentVolumeClaim={"claimName": "kube-api-access-fghij"})),
    raw({"nodeSelector": {"nodeName": "n1"}}),
    raw({"nodeSelector": {"nodeName": "n2"}}),
    raw({"nodeSelector": {"a": "kube-api-access-abcde"}}),
    raw({"containers": [box("1")]}),
    raw({"initContainers": [box("3")]}),
    raw({"overhead": {"cpu": "4"}}),
    raw({"resources": {"requests": {"cpu": "2"}}}),
    raw({"priority": 5}),
    raw({"terminationGracePeriodSeconds": 5}),
    raw({"schedulerName": "5"}),
    raw({"preemptionPolicy": "Never"}),
]
OTHERS = [
    raw({}, annotations={"clues.x": "1", "other": "2"}),
    raw({}, annotations={"other": "clues.x"}, labels=None),
    raw({}, annotations={"kubernetes.io/config.mirror": "h"}),
    b'{"metadata":{"name":"p","annotations":{"\\u0063lues.x":"1"}},"spec":{}}',
    raw({"schedulingGates": [{"name": "g"}], "nodeName": None}, creationTimestamp="2026-01-01T00:00:00Z"),
    raw(
        {}, deletionTimestamp="2026-01-01T00:00:00Z", ownerReferences=[{"kind": "Job", "name": "j", "controller": True}]
    ),
    raw({}, ownerReferences=[{"kind": "Job", "name": "j"}], status={"phase": "Succeeded", "nominatedNodeName": "n"}),
    raw(
        {},
        status={
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "lastTransitionTime": "2026-01-01T00:00:09Z",
                }
            ]
        },
    ),
]


def test_the_short_way_gives_what_the_long_one_gives() -> None:
    """Whatever was decoded before: each pod after each other one, by one decoder."""
    short, long = Decoder(), Decoder()
    items = [*ALIKE, *DIFFERENT, *OTHERS, *(raw(spec, status=status) for spec, status, _ in RESIZED)]
    items += [raw(spec) for spec in (ONE, SIDECAR, OWN)]
    for first in items:
        before, fingerprint = short.pod_again(first, {}, {})
        known, prints = {before.uid: before}, {before.uid: fingerprint}
        for item in items:
            expected = long.pod_of(msgspec.json.decode(item, type=forms.PodForm))
            assert short.pod(item) == expected
            assert short.pod_again(item, known, prints)[0] == expected


def test_a_change_of_the_status_alone_is_read_by_what_is_known() -> None:
    decoder = Decoder()
    first, fingerprint = decoder.pod_again(raw(ONE, status={"phase": "Pending"}), {}, {})
    item = raw(ONE, status={"phase": "Running", "containerStatuses": [{"name": "a", "restartCount": 3}]})
    again, same = decoder.pod_again(item, {"u": first}, {"u": fingerprint})
    assert (again.phase, again.spec is first.spec, same) == ("Running", True, fingerprint)


def test_pods_that_are_alike_share_one_spec_and_others_do_not() -> None:
    decoder = Decoder()
    assert len({id(decoder.pod(item).spec) for item in ALIKE}) == 1
    assert decoder.pod(ALIKE[0]).labels is decoder.pod(ALIKE[1]).labels
    assert len({id(decoder.pod(item).spec) for item in DIFFERENT}) == len(DIFFERENT)
