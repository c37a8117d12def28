"""PodGroups of the programs that start gangs, from the watch to the picture."""

import json
from typing import Any

import pytest

from clues.model import PodGroup
from clues.sources.intake import Intake
from clues.sources.kubernetes import POD_GROUPS, RESOURCES
from clues.sources.listwatch import Change, Listed
from clues.sources.wire import Cluster

VOLCANO = POD_GROUPS["volcano"]


def group(name: str = "mpi", **more: Any) -> bytes:
    return json.dumps({"metadata": {"name": name, "namespace": "x"}, **more}).encode()


def groups(cluster: Cluster) -> dict[tuple[str, str], PodGroup]:
    return dict(cluster.snapshot(0.0).pod_groups)


def test_groups_come_change_and_go() -> None:
    cluster = Cluster()
    intake = Intake(cluster, (VOLCANO,))
    spec, status = {"minMember": 4, "queue": "default"}, {"phase": "Running", "running": 3, "succeeded": 1}
    intake.take(VOLCANO, Listed((group(spec=spec), group("other"))), 0.0)
    assert groups(cluster) == {("x", "mpi"): PodGroup(4), ("x", "other"): PodGroup()}
    intake.take(VOLCANO, Change("MODIFIED", group(spec=spec, status=status)), 0.0)
    assert groups(cluster)["x", "mpi"] == PodGroup(4, 1)
    before = cluster.version
    intake.take(VOLCANO, Change("MODIFIED", group(spec=spec, status={**status, "running": 2})), 0.0)
    assert cluster.version == before  # nothing that is read here
    intake.take(VOLCANO, Change("DELETED", group()), 0.0)
    assert groups(cluster) == {("x", "other"): PodGroup()}
    intake.take(VOLCANO, Listed(()), 0.0)
    assert groups(cluster) == {}


@pytest.mark.parametrize("more", [{"spec": {"minMember": "four"}}, {"spec": []}, {"status": {"succeeded": 1.5}}])
def test_a_group_that_is_none_is_set_aside_and_named(more: dict[str, Any]) -> None:
    cluster = Cluster()
    cluster.apply("PodGroup", "ADDED", group(spec={"minMember": 2}))
    cluster.apply("PodGroup", "MODIFIED", group(**more))
    assert groups(cluster) == {("x", "mpi"): PodGroup(2)}
    assert "PodGroup x/mpi" in cluster.snapshot(0.0).problems[0]
    cluster.apply("PodGroup", "MODIFIED", group("odd", spec={"minMember": -3}, status=None))
    assert groups(cluster)["x", "odd"] == PodGroup()


def test_a_cluster_without_them_is_complete() -> None:
    intake = Intake(Cluster(), (VOLCANO,))
    assert VOLCANO.optional
    assert VOLCANO not in RESOURCES
    intake.take(VOLCANO, Listed((), is_absent=True), 0.0)
    assert intake.is_complete
