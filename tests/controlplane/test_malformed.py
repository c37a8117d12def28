"""A hundred objects that no API server would take, through lists and watches: set aside, said, and no reason to err.

The real API server refuses them, so that the small one of tests/controlplane/small always serves here.
"""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.cluster import cluster, until
from tests.controlplane.rig import running
from tests.controlplane.small.plane import SmallPlane

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

_PODS, _NODES = "/api/v1/pods", "/api/v1/nodes"
_BUDGETS, _DAEMONS = "/apis/policy/v1/poddisruptionbudgets", "/apis/apps/v1/daemonsets"
_DEEP = json.loads("[" * 300 + "]" * 300)


def _asks(**requests: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "resources": {"requests": requests}}]}


_ONE = _asks(cpu="1")
_POD_FAULTS: list[dict[str, Any]] = [
    {"spec": 5},
    {"spec": []},
    {"spec": "three"},
    {"spec": {"containers": {}}},
    {"spec": {"containers": "c"}},
    {"spec": {"containers": [7]}},
    {"spec": {"containers": [{"resources": "all"}]}},
    {"spec": {"containers": [{"resources": {"requests": [1]}}]}},
    {"spec": _asks(cpu="many")},
    {"spec": _asks(cpu="-1")},
    {"spec": _asks(cpu="1e999")},
    {"spec": _asks(memory="64 GiB")},
    {"spec": _asks(memory=[])},
    {"spec": _asks(cpu=_DEEP)},
    {"spec": {**_ONE, "nodeName": 3}},
    {"spec": {**_ONE, "nodeSelector": ["pool"]}},
    {"spec": {**_ONE, "nodeSelector": {"pool": 1}}},
    {"spec": {**_ONE, "tolerations": "all"}},
    {"spec": {**_ONE, "affinity": []}},
    {"spec": {**_ONE, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": 1}}}},
    {"spec": {**_ONE, "topologySpreadConstraints": [{"maxSkew": "one"}]}},
    {"spec": {**_ONE, "priority": "high"}},
    {"spec": {**_ONE, "overhead": "some"}},
    {"spec": {**_ONE, "volumes": {"name": "v"}}},
    {"spec": {**_ONE, "terminationGracePeriodSeconds": "long"}},
    {"spec": _ONE, "status": "Pending"},
    {"spec": _ONE, "status": {"conditions": {"type": "PodScheduled"}}},
    {"spec": _ONE, "metadata": {"labels": ["web"]}},
    {"spec": _ONE, "metadata": {"annotations": "none"}},
    {"spec": _ONE, "metadata": {"ownerReferences": "me"}},
]
_NODE_FAULTS: list[dict[str, Any]] = [
    {"status": {"allocatable": {"cpu": "lots"}}},
    {"status": {"allocatable": [4]}},
    {"status": {"allocatable": {"memory": "-8Gi"}}},
    {"status": {"conditions": "Ready"}},
    {"status": 1},
    {"spec": "worker"},
    {"spec": {"taints": {"key": "k"}}},
    {"spec": {"unschedulable": "no"}},
    {"metadata": {"labels": 5}},
    {"metadata": {"annotations": ["a"]}},
]
_BUDGET_FAULTS: list[dict[str, Any]] = [
    {"spec": 1},
    {"spec": {"selector": "web"}},
    {"spec": {"selector": {"matchLabels": ["app"]}}},
    {"status": {"disruptionsAllowed": "none"}},
    {"status": []},
]
_DAEMON_FAULTS: list[dict[str, Any]] = [
    {"spec": "all"},
    {"spec": {"template": 1}},
    {"spec": {"template": {"spec": {"containers": 3}}}},
    {"spec": {"template": {"spec": _asks(cpu="much")}}},
    {"spec": {"template": {"spec": {"tolerations": {}}}}},
]
_ALL = ((_PODS, _POD_FAULTS), (_NODES, _NODE_FAULTS), (_BUDGETS, _BUDGET_FAULTS), (_DAEMONS, _DAEMON_FAULTS))


def _objects(turn: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource, faults in _ALL:
        for number, fault in enumerate(faults):
            yield resource, _object(resource, f"bad-{turn}-{number}", fault)


def _object(resource: str, name: str, fault: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object that is well but for its fault."""
    meta = {"name": name, "uid": f"{resource}/{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
    if resource != _NODES:
        meta["namespace"] = "elsewhere"
    item = {"metadata": meta, "spec": {}, "status": {}} | deepcopy(dict(fault))
    item["metadata"] = meta | fault.get("metadata", {})
    return item


def test_a_hundred_malformed_objects_are_set_aside_said_and_change_no_decision(tmp_path: Path) -> None:
    folder = tmp_path / "plane"
    folder.mkdir()
    plane = SmallPlane(folder)
    with running(plane), cluster(plane, tmp_path / "site", "odd") as site:
        for resource, item in _objects(1):  # these are in the first lists
            plane.force(resource, item)
        site.write_config()
        site.start()
        until("the lists are in", lambda: site.status()["complete"], story=site.story)
        for resource, item in _objects(2):  # and these come by the watches
            plane.force(resource, item)
        until("a hundred are set aside", lambda: _set_aside(site.status()) == 100, story=site.story)
        named = [line for line in site.status()["problems"] if line.partition(" ")[2].startswith("elsewhere/bad-")]
        assert named
        assert all(": " in line for line in named)
        assert "more objects cannot be read" in site.clues("status")
        assert (site.status()["pending"], site.orders()) == (0, [])
        assert {node["name"] for node in json.loads(site.clues("nodes", "--json"))} == {"base", *site.machines}

        site.deploy("web", 2, "3")
        site.budget("web", 1)
        until("the good pods run", lambda: site.running() == 2, story=site.story)
        assert sorted(site.orders()) == ["on odd-1", "on odd-2"]
        site.scale("web", 0)
        until("both machines are off again", lambda: len(site.orders()) == 4, story=site.story)
        assert sorted(site.orders()) == ["off odd-1", "off odd-2", "on odd-1", "on odd-2"]
        assert site.left_behind() == {}
        assert _set_aside(site.status()) == 100

        plane.force(_PODS, _object(_PODS, "bad-2-0", {"spec": _ONE}))  # mended, it counts
        until("it is not set aside any more", lambda: _set_aside(site.status()) == 99, story=site.story)
        until("a machine is ordered for it", lambda: len(site.orders()) == 5, story=site.story)
        assert site.why("elsewhere/bad-2-0")["summary"].partition(" ")[0] in {"ordered", "upcoming", "fits"}
        assert "Traceback" not in site.log.read_text()


def _set_aside(status: Mapping[str, Any]) -> int:
    """Return how many objects the problems of a status are about."""
    more = [line for line in status["problems"] if line.endswith(" more objects cannot be read")]
    return len(status["problems"]) - len(more) + sum(int(line.split()[0]) for line in more)
