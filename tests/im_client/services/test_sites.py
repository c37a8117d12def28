"""Groups over several sites: the next is asked when the first has no room, and each machine is known by its site."""

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from im_client.plan.model import Phase
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import ApplyReport, DeployRequest, Prepared
from im_client.services.power import refresh
from im_client.services.prepare import prepare_deploy, prepare_destroy, prepare_scale
from im_client.services.reading import show
from im_client.state.store import RunState
from infracore.errors import InfraError, InvalidUsage, Misconfigured

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: burst}
imports: [types/custom_types.yaml]
topology_template:
  inputs:
    sites: {type: list, entry_schema: {type: string}, default: [campus, cloud]}
    gpus: {type: integer, default: 0}
  node_templates:
    wn:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: {properties: {min_instances: 0, max_instances: 9, count: 3}}
        host: {properties: {num_gpus: {get_input: gpus}}}
    front:
      type: tosca.nodes.indigo.Compute
  policies:
    - where: {type: tosca.policies.indigo.Placement, targets: [wn], properties: {sites: {get_input: sites}}}
"""
SITES = {"sites.campus.provider": "fake", "sites.campus.capacity": "2", "sites.cloud.provider": "fake"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    return tmp_path


def opened(folder: Path, **more: str) -> AbstractContextManager[Context]:
    environ = {"IM_STATE_DIR": str(folder / "state"), "HOME": str(folder), "IM_CACHE_DIR": str(folder / "cache")}
    settings = {**SITES, "provider": "cloud", **{name.replace("__", "."): value for name, value in more.items()}}
    return open_context(environ=environ, cwd=folder, overrides=settings)


@pytest.fixture
def ctx(folder: Path) -> Iterator[Context]:
    with opened(folder) as context:
        yield context


def do(ctx: Context, prepared: Prepared, told: list[str] | None = None) -> ApplyReport:
    listener = (lambda event: told.append(event.text)) if told is not None else (lambda _: None)
    return apply(ctx, prepared, listener=listener, cancel=threading.Event())


def deploy(ctx: Context, told: list[str] | None = None, **inputs: object) -> ApplyReport:
    return do(ctx, prepare_deploy(ctx, DeployRequest("t.yaml", inputs=inputs)), told)  # type: ignore[arg-type]


def where(ctx: Context) -> Mapping[str, str]:
    return {node.name: node.provider for node in show(ctx, "burst").nodes if node.group == "wn"}


def at(ctx: Context, site: str) -> list[str]:
    """What the site itself says."""
    return sorted(machine.name for machine in ctx.provider(site).list_machines())


def test_the_next_site_gets_what_the_first_has_no_room_for(ctx: Context) -> None:
    told: list[str] = []
    report = deploy(ctx, told)
    assert report.state is RunState.DONE
    assert sorted(where(ctx).values()) == ["campus", "campus", "cloud"]
    assert any("campus has no room" in text and "cloud is asked" in text for text in told)
    assert at(ctx, "campus") == sorted(name for name, site in where(ctx).items() if site == "campus")
    assert len(at(ctx, "cloud")) == 2  # and the front-end, which names no site


def test_machines_that_are_there_stay_and_each_is_deleted_where_it_is(ctx: Context) -> None:
    deploy(ctx)
    before = where(ctx)
    do(ctx, prepare_scale(ctx, "burst", {"wn": 5}))
    assert {name: site for name, site in where(ctx).items() if name in before} == before
    assert len(at(ctx, "cloud")) == 4
    gone = next(name for name, site in before.items() if site == "campus")
    do(ctx, prepare_scale(ctx, "burst", {}, remove=[gone]))
    assert gone not in at(ctx, "campus")
    do(ctx, prepare_scale(ctx, "burst", {"wn": 5}))  # there is room again: the first site is asked first
    assert where(ctx)[gone] == "campus"
    assert do(ctx, prepare_destroy(ctx, "burst")).state is RunState.DONE
    assert at(ctx, "campus") == at(ctx, "cloud") == []


def test_the_plan_of_an_applied_plan_is_empty_and_a_new_one_tells_the_sites(ctx: Context) -> None:
    first = prepare_deploy(ctx, DeployRequest("t.yaml"))
    assert {step.sites for step in first.plan.steps if step.group == "wn"} == {("campus", "cloud")}
    assert {step.sites for step in first.plan.steps if step.group == "front"} == {()}
    do(ctx, first)
    assert prepare_deploy(ctx, DeployRequest("t.yaml")).plan.is_empty


def test_a_site_that_says_only_later_that_it_has_no_room_is_left_too(folder: Path) -> None:
    faults = "[{op: boot, error: NoCapacity, node: 'wn-*', times: 9}]"
    with opened(folder, sites__campus__faults=faults) as ctx:
        assert deploy(ctx).state is RunState.DONE
        assert set(where(ctx).values()) == {"cloud"}
        assert at(ctx, "campus") == []


def test_a_quota_counts_as_no_room_and_any_other_error_does_not(folder: Path) -> None:
    with opened(folder, sites__campus__faults="[{op: create, error: QuotaExceeded, times: 9}]") as ctx:
        deploy(ctx)
        assert set(where(ctx).values()) == {"cloud"}
        do(ctx, prepare_destroy(ctx, "burst"))
    with opened(folder, sites__campus__faults="[{op: create, error: Unauthorised, times: 9}]") as ctx:
        report = deploy(ctx)
        assert {node.name for node in report.nodes if not node.ok} == {"wn-1", "wn-2", "wn-3"}
        assert "cloud" not in where(ctx).values()


def test_where_no_site_has_room_the_reasons_of_all_are_told_and_the_first_is_asked_first_again(folder: Path) -> None:
    with opened(folder, sites__cloud__capacity="1") as ctx:
        report = deploy(ctx)
        failed = [node for node in report.nodes if not node.ok]
        assert report.state is RunState.PARTLY_DONE
        assert failed
        assert all("campus has no room" in node.error or "cloud has no room" in node.error for node in failed)
    with opened(folder, sites__campus__capacity="9") as ctx:
        assert deploy(ctx).state is RunState.DONE
        assert {where(ctx)[node.name] for node in failed} == {"campus"}


def test_a_site_that_cannot_be_asked_does_not_stop_the_others(folder: Path) -> None:
    with opened(folder) as ctx:
        deploy(ctx)
        before = where(ctx)
        deploy(ctx, sites=("cloud",))  # what is there stays, and campus gets no more
    broken = "[{op: list, error: Transient, times: 99}]"
    with opened(folder, sites__campus__faults=broken) as ctx:
        prepared = prepare_scale(ctx, "burst", {"wn": 4})
        assert any("campus cannot be asked" in note for note in prepared.notes)
        assert [step.node for step in prepared.plan.steps] == ["wn-4"]
        assert do(ctx, prepared).state is RunState.DONE
        with pytest.raises(InfraError):
            refresh(ctx, "burst", cancel=threading.Event())
        assert all(node.phase is not Phase.UNKNOWN for node in show(ctx, "burst").nodes)
    with opened(folder) as ctx:
        assert before.items() <= where(ctx).items()
        assert prepare_deploy(ctx, DeployRequest("t.yaml")).plan.is_empty


def test_a_machine_that_was_killed_half_way_is_finished_at_its_site(ctx: Context) -> None:
    deploy(ctx)
    node = next(node for node in show(ctx, "burst").nodes if node.provider == "cloud" and node.group == "wn")
    ctx.store.put_node(dataclasses.replace(node, phase=Phase.CREATING, provider_id=None))
    assert deploy(ctx).state is RunState.DONE
    after = next(other for other in show(ctx, "burst").nodes if other.name == node.name)
    assert (after.provider, after.provider_id) == ("cloud", node.provider_id)


def test_a_site_that_cannot_honour_the_template_is_left_out(folder: Path) -> None:
    with opened(folder, sites__campus__unsupported="[num_gpus]") as ctx:
        prepared = prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"gpus": 1}))
        assert {step.sites for step in prepared.plan.steps if step.group == "wn"} == {("cloud",)}
        with pytest.raises(InfraError, match="which campus cannot give"):
            prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"gpus": 1, "sites": ("campus",)}))


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({}, InvalidUsage, "no provider 'nowhere'"),
        ({"sites__nowhere__provider": "cloudy"}, Misconfigured, "needs a provider"),
        ({"sites__nowhere__capacity": "1"}, Misconfigured, "needs a provider"),
        ({"sites__nowhere__provider": "fake", "sites__nowhere__capcity": "1"}, Misconfigured, "capcity"),
    ],
)
def test_a_site_that_is_not_there_or_set_up_wrongly_is_told(
    folder: Path, settings: dict[str, str], kind: type[InfraError], said: str
) -> None:
    with opened(folder, **settings) as ctx, pytest.raises(kind, match=said):
        prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"sites": ("nowhere",)}))


def test_a_site_may_not_take_the_name_of_a_provider(folder: Path) -> None:
    with opened(folder, sites__local__provider="fake") as ctx, pytest.raises(Misconfigured, match="name of a provider"):
        ctx.provider("local")
