"""What no state knows is found and removed, machines first; what somebody may know stays."""

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from im_client.providers.things import Thing
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest, Prepared
from im_client.services.orphans import Orphan, find_orphans, remove_orphans
from im_client.services.prepare import prepare_deploy, prepare_destroy
from infracore.errors import Cancelled, InvalidUsage

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: left}
topology_template:
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities: {scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: 2}}}
"""
SITES = {
    "sites.a.provider": "fake",
    "sites.a.shared": "[security group, key pair]",
    "sites.a.extras": "[volume]",
    "sites.b.provider": "fake",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    return tmp_path


def opened(folder: Path, state: str = "state", **more: str) -> AbstractContextManager[Context]:
    """Open a context; another state folder is another computer that uses the same sites."""
    environ = {"IM_STATE_DIR": str(folder / state), "HOME": str(folder)}
    worlds = {f"sites.{site}.state_dir": str(folder / f"world-{site}") for site in ("a", "b")}
    settings = {**SITES, **worlds, "provider": "a", **{name.replace("__", "."): value for name, value in more.items()}}
    return open_context(environ=environ, cwd=folder, overrides=settings)


@pytest.fixture
def ctx(folder: Path) -> Iterator[Context]:
    with opened(folder) as context:
        yield context


def do(ctx: Context, prepared: Prepared) -> str:
    apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())
    return prepared.infrastructure.id


def deploy(ctx: Context, **request: str) -> str:
    return do(ctx, prepare_deploy(ctx, DeployRequest("t.yaml", **request)))  # type: ignore[arg-type]


def kinds(orphans: tuple[Orphan, ...]) -> list[tuple[str, str]]:
    return [(orphan.kind, orphan.name) for orphan in orphans]


def remove(ctx: Context, orphans: tuple[Orphan, ...]) -> tuple[bool, list[str]]:
    told: list[str] = []
    well = remove_orphans(
        ctx, orphans, cancel=threading.Event(), tell=lambda orphan, what: told.append(f"{orphan.kind}: {what}")
    )
    return well, told


def test_what_is_recorded_is_no_orphan(ctx: Context) -> None:
    deploy(ctx)
    found = find_orphans(ctx)
    assert (found.orphans, found.silent, found.sites) == ((), {}, ("a", "b"))


def test_what_a_lost_state_left_is_found_at_all_sites_and_removed_machines_first(folder: Path, ctx: Context) -> None:
    with opened(folder, "elsewhere") as other:
        lost = deploy(other)
        also = deploy(other, name="also", provider="b")
    mine = deploy(ctx)
    orphans = find_orphans(ctx).orphans
    assert {orphan.infrastructure for orphan in orphans} == {lost, also}
    assert {(o.site, o.infrastructure) for o in orphans} == {("a", lost), ("b", also)}
    assert all(o.created_at is not None and o.created_at <= ctx.clock.now() for o in orphans if o.kind == "machine")
    chosen = tuple(orphan for orphan in orphans if orphan.infrastructure == lost)
    words = [orphan.kind for orphan in chosen]
    assert words == ["machine", "machine", "volume", "volume", "key pair", "security group"]
    assert remove(ctx, chosen) == (True, [f"{word}: removed" for word in words])
    assert {orphan.infrastructure for orphan in find_orphans(ctx).orphans} == {also}
    assert len(ctx.provider("a").list_machines(mine)) == 2
    assert remove(ctx, chosen)[0]  # what is absent already


def test_only_the_sites_that_are_named_are_looked_at(folder: Path, ctx: Context) -> None:
    with opened(folder, "elsewhere") as other:
        deploy(other)
    assert find_orphans(ctx, ["b"]).orphans == ()
    with pytest.raises(InvalidUsage, match="no provider 'c'"):
        find_orphans(ctx, ["c"])


def test_a_machine_of_a_known_infrastructure_that_has_no_record_is_one(ctx: Context) -> None:
    infra = deploy(ctx)
    ctx.store.remove_node(infra, "web-2", ctx.clock.now())
    orphans = find_orphans(ctx).orphans
    assert kinds(orphans) == [("machine", "web-2"), ("volume", "web-2")]
    assert {orphan.why for orphan in orphans} == {"the infrastructure has no such machine"}
    assert remove(ctx, orphans)[0]
    assert [machine.name for machine in ctx.provider("a").list_machines()] == ["web-1"]


def test_an_infrastructure_that_is_being_changed_has_none(ctx: Context) -> None:
    infra = deploy(ctx)
    ctx.store.remove_node(infra, "web-2", ctx.clock.now())
    orphans = find_orphans(ctx).orphans
    with ctx.locks.hold(infra, "deploy", wait_s=0, clock=ctx.clock, cancel=threading.Event()):
        assert find_orphans(ctx).orphans == ()
        well, told = remove(ctx, orphans)
    assert (well, len(told)) == (False, 2)
    assert all("is being changed, or knows it by now" in line for line in told)


def test_what_is_recorded_meanwhile_is_not_removed(ctx: Context) -> None:
    infra = deploy(ctx)
    node = next(node for node in ctx.store.nodes(infra) if node.name == "web-2")
    ctx.store.remove_node(infra, "web-2", ctx.clock.now())
    orphans = find_orphans(ctx).orphans
    ctx.store.put_node(dataclasses.replace(node, updated_at=ctx.clock.now()))
    assert remove(ctx, orphans)[0] is False
    assert len(ctx.provider("a").list_machines()) == 2
    assert find_orphans(ctx).orphans == ()


def test_what_stays_after_destroying_is_found(ctx: Context) -> None:
    infra = deploy(ctx)
    group = Thing("left-behind", "security group", "im-left", infra)
    do(ctx, prepare_destroy(ctx, infra))
    ctx.provider("a")._world.put_thing(group)  # type: ignore[attr-defined]
    assert ("security group", "im-left") in kinds(find_orphans(ctx).orphans)


def test_a_site_that_cannot_be_asked_stops_nothing_and_is_told(folder: Path) -> None:
    with opened(folder, "elsewhere") as other:
        deploy(other)
    faults = "[{op: things, error: Unauthorised, times: 99}]"
    with opened(folder, sites__b__faults=faults, sites__c__provider="fake", sites__c__capcity="1") as ctx:
        found = find_orphans(ctx)
        assert len(found.orphans) == 6
        assert set(found.silent) == {"b", "c"}
        assert found.sites == ("a",)


def test_what_cannot_be_removed_stops_nothing(folder: Path) -> None:
    with opened(folder, "elsewhere") as other:
        deploy(other)
    with opened(folder, sites__a__faults="[{op: delete, error: Transient, node: web-1, times: 1}]") as ctx:
        well, told = remove(ctx, find_orphans(ctx).orphans)
        assert well is False
        assert sum(line.endswith("removed") and "not removed" not in line for line in told) == 2
        assert sum(line.startswith("machine: not removed: a scripted fault") for line in told) == 1
        assert remove(ctx, find_orphans(ctx).orphans)[0]
        assert find_orphans(ctx).orphans == ()


def test_who_is_interrupted_removes_no_more(folder: Path, ctx: Context) -> None:
    with opened(folder, "elsewhere") as other:
        deploy(other)
    cancel = threading.Event()
    orphans = find_orphans(ctx).orphans
    with pytest.raises(Cancelled):
        remove_orphans(ctx, orphans, cancel=cancel, tell=lambda *_: cancel.set())
    assert len(find_orphans(ctx).orphans) == len(orphans) - 2  # a machine and its disk
