"""Owners that do not exist any more: told only where the kind was listed and is one that we know."""

import json
from typing import Any

import pytest

from clues.sources.intake import Intake
from clues.sources.kubernetes import RESOURCES
from clues.sources.listwatch import Change, Listed, Resource
from clues.sources.owners import CONTROLLERS
from clues.sources.wire import Cluster

BOUND = RESOURCES[1]
OF = {resource.kind: resource for resource in RESOURCES if resource.kind in CONTROLLERS}


def pod(name: str, kind: str, uid: str, api_version: str = "", **more: Any) -> bytes:
    owner = {"apiVersion": api_version or CONTROLLERS[kind], "kind": kind, "name": "x", "uid": uid, "controller": True}
    meta = {"name": name, "namespace": "d", "uid": name, "ownerReferences": [owner]}
    return json.dumps({"metadata": meta, "spec": {"containers": [], "nodeName": "n"}, **more}).encode()


def controller(name: str, uid: str, **spec: int) -> bytes:
    return json.dumps({"metadata": {"name": name, "namespace": "d", "uid": uid}, "spec": spec}).encode()


class World:
    def __init__(self) -> None:
        self.cluster = Cluster()
        self.intake = Intake(self.cluster, RESOURCES)

    def tell(self, resource: Resource, event: str, raw: bytes) -> None:
        self.intake.take(resource, Change(event, raw), 0.0)

    def missing(self) -> set[str]:
        return set(self.cluster.snapshot(0.0, (), {}).missing_owners)


@pytest.mark.parametrize("kind", sorted(CONTROLLERS))
def test_an_owner_that_the_list_does_not_hold_is_missing_until_it_comes(kind: str) -> None:
    world = World()
    world.tell(BOUND, "ADDED", pod("a", kind, "u1"))
    assert world.missing() == set()  # nobody knows yet
    world.intake.take(OF[kind], Listed((controller("y", "u2"),)), 0.0)
    assert world.missing() == {"u1"}
    world.tell(OF[kind], "ADDED", controller("x", "u1"))
    assert world.missing() == set()
    world.tell(OF[kind], "DELETED", controller("x", "u1"))
    assert world.missing() == {"u1"}
    world.tell(BOUND, "DELETED", pod("a", kind, "u1"))
    assert world.missing() == set()


def test_each_pod_counts_and_a_finished_one_does_not() -> None:
    world, kind = World(), "ReplicaSet"
    world.intake.take(OF[kind], Listed(()), 0.0)
    for name in "ab":
        world.tell(BOUND, "ADDED", pod(name, kind, "u1"))
    world.tell(BOUND, "MODIFIED", pod("a", kind, "u1", status={"phase": "Running"}))
    world.tell(BOUND, "DELETED", pod("a", kind, "u1"))
    assert world.missing() == {"u1"}
    world.tell(BOUND, "MODIFIED", pod("b", kind, "u1", status={"phase": "Succeeded"}))
    assert world.missing() == set()


def test_a_controller_made_anew_under_its_name_is_another_owner() -> None:
    world, kind = World(), "StatefulSet"
    world.intake.take(OF[kind], Listed((controller("x", "u1"),)), 0.0)
    world.tell(BOUND, "ADDED", pod("a", kind, "u1"))
    world.tell(OF[kind], "MODIFIED", controller("x", "u2"))
    assert world.missing() == {"u1"}


def test_a_kind_that_we_may_not_see_is_not_judged() -> None:
    world, kind = World(), "ReplicationController"
    world.tell(BOUND, "ADDED", pod("a", kind, "u1"))
    world.intake.take(OF[kind], Listed((), is_absent=True), 0.0)
    assert world.missing() == set()


def test_the_same_kind_of_another_api_group_is_not_judged() -> None:
    world = World()
    world.intake.take(OF["Job"], Listed(()), 0.0)
    world.tell(BOUND, "ADDED", pod("a", "Job", "u1", "batch.example.org/v1"))
    assert world.missing() == set()


def test_replicas_follow_and_what_is_not_read_of_a_controller_changes_no_picture() -> None:
    world, kind = World(), "ReplicaSet"
    world.intake.take(OF[kind], Listed((controller("x", "u1", replicas=2),)), 0.0)
    assert world.cluster.snapshot(0.0, (), {}).replicas == {"u1": 2}
    version = world.cluster.version
    same = {"metadata": {"name": "x", "namespace": "d", "uid": "u1"}, "spec": {"replicas": 2}, "status": {"ready": 1}}
    world.tell(OF[kind], "MODIFIED", json.dumps(same).encode())
    assert world.cluster.version == version
    world.tell(OF[kind], "MODIFIED", controller("x", "u1", replicas=3))
    assert world.cluster.snapshot(0.0, (), {}).replicas == {"u1": 3}
