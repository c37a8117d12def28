"""A dump in any of kubectl's forms is decided on; what is no dump is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from clues.offline.case import NOW
from clues.offline.dump import objects_in, plan_dump
from clues.offline.objects import objects_of
from clues.options import Pool
from clues.settings import Settings
from infracore.errors import Misconfigured
from tests.clues.offline.test_scenario import to_scenario

POOL = Pool(name="p", driver="fake", max=5, allocatable={"cpu": 4000, "memory": 8 << 30, "pods": 110})
SETTINGS = Settings(pools=(POOL,))


def _objects() -> list[dict[str, Any]]:
    scenario = to_scenario(
        {
            "id": "D",
            "pools": [{"name": "p", "cpu": 4, "memory": "8Gi"}],
            "nodes": [{"name": "p-1", "pool": "p"}, {"name": "p-2", "pool": "p"}],
            "pods": [
                {"name": "busy", "cpu": 3, "memory": "1Gi", "node": "p-1"},
                {"name": "w", "count": 3, "cpu": 3, "memory": "1Gi"},
            ],
        }
    )
    return list(objects_of(scenario, NOW, "D"))


def _forms() -> dict[str, bytes]:
    objects = _objects()
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    pods = {
        "kind": "PodList",
        "items": [{k: v for k, v in o.items() if k != "kind"} for o in objects if o["kind"] == "Pod"],
    }
    return {
        "list.json": json.dumps(listed).encode(),
        "list.yaml": yaml.safe_dump(listed).encode(),
        "stream.yaml": yaml.safe_dump_all(objects).encode(),
        "stream.json": b"\n".join(json.dumps(item).encode() for item in objects),
        "array.json": json.dumps(objects).encode(),
        "kinds.json": json.dumps(pods).encode()
        + json.dumps({"kind": "List", "items": [o for o in objects if o["kind"] != "Pod"]}).encode(),
        "odd.json": json.dumps({**listed, "items": [*objects, {"kind": "Secret", "metadata": {"name": "s"}}]}).encode(),
    }


@pytest.mark.parametrize("form", sorted(_forms()))
def test_every_form_of_a_dump_is_decided_on_alike(tmp_path: Path, form: str) -> None:
    path = tmp_path / form
    path.write_bytes(_forms()[form])
    plan = plan_dump(path, SETTINGS, now=NOW)
    assert sorted(plan.snapshot.nodes) == ["p-1", "p-2"]
    assert [(order.pool, order.count) for order in plan.decision.power_on] == [("p", 2)]
    assert plan.decision.remove == ()
    assert plan.read["Pod"] == 4
    assert plan.passed_over == ({"Secret": 1} if form == "odd.json" else {})


def test_nodes_that_count_as_unneeded_for_long_go(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([o for o in _objects() if o["metadata"]["name"][:2] != "w-"]))
    assert plan_dump(path, SETTINGS, now=NOW).decision.remove == ()
    later = plan_dump(path, SETTINGS, now=NOW, unneeded_for_s=3600)
    assert [removal.node for removal in later.decision.remove] == ["p-2"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"3",
        b"[1]",
        b'{"items": []}',
        b'{"kind": "List", "items": {}}',
        b'{"kind": "Pod"}',
        b'{"kind": "Pod", "metadata": {"name": 3}}',
        b'{"kind": ["Pod"], "metadata": {"name": "a"}}',
        b'{"kind": "Secret", "metadata": {"name": "s"}}',
        b"just words",
    ],
)
def test_what_is_no_dump(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dump"
    path.write_bytes(content)
    with pytest.raises(Misconfigured, match=str(path)):
        plan_dump(path, SETTINGS, now=NOW)


def test_a_malformed_object_is_set_aside_and_named(tmp_path: Path) -> None:
    broken = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "namespace": "default"}, "spec": {
        "containers": [{"name": "a", "resources": {"requests": {"cpu": "a lot"}}}]}}  # fmt: skip
    path = tmp_path / "dump.json"
    path.write_text(json.dumps([*_objects(), broken, {**broken, "spec": 7, "metadata": {"name": "\ud800"}}]))
    plan = plan_dump(path, SETTINGS, now=NOW)
    assert plan.snapshot.problems
    assert [(order.pool, order.count) for order in plan.decision.power_on] == [("p", 2)]


def test_what_is_no_object_is_set_aside_and_named(tmp_path: Path) -> None:
    nameless = {"kind": "Pod", "metadata": {}, "spec": {}}
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({"kind": "List", "items": [*_objects(), nameless, 7, {"metadata": {}}]}))
    plan = plan_dump(path, SETTINGS, now=NOW)
    assert [(order.pool, order.count) for order in plan.decision.power_on] == [("p", 2)]
    assert [text.partition(": ")[2] for text in plan.set_aside[:1]] == ["item 10: this Pod has no metadata.name"]
    assert "item 11 is no Kubernetes object but int" in plan.set_aside[1]
    assert "item 12 has no kind" in plan.set_aside[2]
    assert len(plan.set_aside) == 3


def test_an_object_of_yaml_with_what_yaml_alone_has_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "dump.yaml"
    odd = "kind: Pod\nmetadata: {name: odd}\nspec: {priority: .nan}\n"
    path.write_text(yaml.safe_dump_all(_objects()) + "---\n" + odd)
    plan = plan_dump(path, SETTINGS, now=NOW)
    assert [(order.pool, order.count) for order in plan.decision.power_on] == [("p", 2)]
    assert "'.nan' is not a finite number" in plan.set_aside[0]


def test_lists_inherit_their_kind() -> None:
    content = b'{"kind": "NodeList", "items": [{"metadata": {"name": "n"}}]}'
    assert [isinstance(item, dict) and item["kind"] for item in objects_in(content, "F")] == ["Node"]


@pytest.mark.parametrize(("succeeded", "outcome"), [(0, "waiting"), (1, "ordered")])
def test_a_pod_group_of_a_dump_sizes_its_gang(succeeded: int, outcome: str, tmp_path: Path) -> None:
    ago = "2026-01-01T00:00:00Z"
    late = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": ago}
    pods = [
        {
            "kind": "Pod",
            "metadata": {
                "name": f"mpi-{number}", "namespace": "default", "uid": f"u{number}", "creationTimestamp": ago,
                "annotations": {"scheduling.k8s.io/group-name": "mpi"},
            },
            "spec": {"containers": [{"resources": {"requests": {"cpu": "2"}}}]},
            "status": {"phase": "Pending", "conditions": [late]},
        }
        for number in range(2)
    ]  # fmt: skip
    meta = {"name": "mpi", "namespace": "default"}
    group = {"kind": "PodGroup", "metadata": meta, "spec": {"minMember": 3}, "status": {"succeeded": succeeded}}
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({"kind": "List", "items": [group, *pods]}))
    settings = Settings(pools=(Pool("w", max=5, allocatable={"cpu": 4000, "memory": 2**33, "pods": 110}),))
    plan = plan_dump(path, settings, now=NOW)
    assert {verdict.outcome for verdict in plan.decision.pods} == {outcome}
