"""Settings that lead to another place than yesterday's: nothing is taken for gone there, and nothing is forgotten."""

import dataclasses
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from im_client.plan.model import Phase
from im_client.providers.fake_world import FolderWorld
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest, Verb
from im_client.services.power import power, refresh
from im_client.services.prepare import prepare_deploy, prepare_destroy, prepare_scale
from im_client.state.store import NodeRecord, RunState
from infracore.errors import Conflict

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: reg}
imports: [types/custom_types.yaml]
topology_template:
  node_templates:
    wn:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: {properties: {min_instances: 0, max_instances: 9, count: 2}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    return tmp_path


def opened(folder: Path, place: str, world: str = "") -> AbstractContextManager[Context]:
    """Open the toolkit where `fake` calls itself `place`; its machines are in the folder `world`."""
    environ = {"IM_STATE_DIR": str(folder / "state"), "HOME": str(folder), "IM_CACHE_DIR": str(folder / "cache")}
    fake = {"providers.fake.state_dir": str(folder / (world or place or "nameless"))}
    fake |= {"providers.fake.place": place} if place else {}
    return open_context(environ=environ, cwd=folder, overrides={"provider": "fake", **fake})


def deploy(ctx: Context) -> None:
    do(ctx, DeployRequest("t.yaml"))


def do(ctx: Context, request: DeployRequest) -> None:
    report = apply(ctx, prepare_deploy(ctx, request), listener=lambda _: None, cancel=threading.Event())
    assert report.state is RunState.DONE


def destroy(ctx: Context) -> RunState:
    return apply(ctx, prepare_destroy(ctx, "reg"), listener=lambda _: None, cancel=threading.Event()).state


def nodes(ctx: Context) -> list[NodeRecord]:
    return list(ctx.store.nodes(ctx.store.infrastructure("reg").id))


def copy_of(folder: Path, world: str, *, name: str, created_at: float, number: int) -> str:
    """Make a copy of the first machine with all its tags, which is listed by its number, and return its id."""
    there = FolderWorld(folder / world)
    real = min(there.all(), key=lambda one: one.number)
    copy = msgspec.structs.replace(real, id=f"fake-{name}", name=name, number=number, created_at=created_at)
    return there.add(copy).id


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx: prepare_destroy(ctx, "reg"),
        lambda ctx: refresh(ctx, "reg", cancel=threading.Event()),
        lambda ctx: prepare_deploy(ctx, DeployRequest("t.yaml")),
        lambda ctx: prepare_scale(ctx, "reg", {"wn": 5}),
        lambda ctx: power(ctx, "reg", Verb.STOP, listener=lambda _: None, cancel=threading.Event()),
    ],
    ids=["destroy", "refresh", "deploy", "scale", "stop"],
)
def test_at_another_place_nothing_is_taken_for_gone(folder: Path, act: Callable[[Context], object]) -> None:
    with opened(folder, "east") as ctx:
        deploy(ctx)
        before = nodes(ctx)
        assert {node.place for node in before} == {"east"}
    with opened(folder, "west") as ctx:
        with pytest.raises(Conflict, match="reg at fake were made at east; fake stands for west now") as caught:
            act(ctx)
        assert "region" in caught.value.hint
        assert nodes(ctx) == before
        assert ctx.provider("fake").list_machines() == []
    with opened(folder, "east") as ctx:
        assert len(ctx.provider("fake").list_machines()) == 2
        assert destroy(ctx) is RunState.DONE
        assert ctx.provider("fake").list_machines() == []


def test_a_plan_that_was_made_before_the_place_changed_deletes_nothing(folder: Path) -> None:
    with opened(folder, "east") as ctx:
        deploy(ctx)
        before = nodes(ctx)
        plan = prepare_destroy(ctx, "reg")
    with opened(folder, "west") as ctx:
        with pytest.raises(Conflict, match="made at east"):
            apply(ctx, plan, listener=lambda _: None, cancel=threading.Event())
        assert nodes(ctx) == before


def test_an_intent_whose_machine_may_have_been_made_elsewhere_is_kept(folder: Path) -> None:
    with opened(folder, "east") as ctx:
        deploy(ctx)
        for node in nodes(ctx):
            ctx.store.put_node(dataclasses.replace(node, phase=Phase.CREATING, provider_id=None))
    with opened(folder, "west") as ctx, pytest.raises(Conflict, match="made at east"):
        prepare_destroy(ctx, "reg")


def test_a_place_that_got_another_address_is_known_by_its_machines(folder: Path) -> None:
    with opened(folder, "east") as ctx:
        deploy(ctx)
    with opened(folder, "east.example.org", world="east") as ctx:
        refresh(ctx, "reg", cancel=threading.Event())
        assert {node.place for node in nodes(ctx)} == {"east.example.org"}
        assert destroy(ctx) is RunState.DONE
        assert ctx.provider("fake").list_machines() == []


def test_machines_that_went_at_their_own_place_bind_nobody(folder: Path) -> None:
    with opened(folder, "east") as ctx:
        deploy(ctx)
        for node in nodes(ctx):
            ctx.provider("fake").delete(node.provider_id or "")
        refresh(ctx, "reg", cancel=threading.Event())
    with opened(folder, "west") as ctx:
        deploy(ctx)
        assert {node.place for node in nodes(ctx)} == {"west"}


@pytest.mark.parametrize(("then", "now"), [("", "west"), ("east", "")])
def test_where_a_place_is_not_known_nothing_is_refused(folder: Path, then: str, now: str) -> None:
    with opened(folder, then) as ctx:
        deploy(ctx)
    with opened(folder, now) as ctx:
        refresh(ctx, "reg", cancel=threading.Event())
        assert {node.phase for node in nodes(ctx)} == {Phase.GONE}


@pytest.mark.parametrize("number", [-1, 90])
def test_a_copy_of_a_machine_is_told_and_goes_with_the_infrastructure(folder: Path, number: int) -> None:
    with opened(folder, "east") as ctx:
        deploy(ctx)
        before = {node.name: node.provider_id for node in nodes(ctx)}
        copy = copy_of(folder, "east", name="copy", created_at=1.0, number=number)
        prepared = prepare_deploy(ctx, DeployRequest("t.yaml"))
        assert not prepared.plan.steps
        assert [note for note in prepared.notes if f"({copy})" in note] == [
            f"fake has copy ({copy}), which is not recorded"
        ]
        refresh(ctx, "reg", cancel=threading.Event())
        assert {node.name: node.provider_id for node in nodes(ctx)} == before
        assert destroy(ctx) is RunState.DONE
        assert ctx.provider("fake").list_machines() == []


@pytest.mark.parametrize("number", [-1, 90])
def test_of_two_machines_the_oldest_is_the_real_one_where_no_id_is_recorded(folder: Path, number: int) -> None:
    with opened(folder, "east") as ctx:
        deploy(ctx)
        copy_of(folder, "east", name="later", created_at=4e9, number=number)
        real = {node.name: node.provider_id for node in nodes(ctx)}
        for node in nodes(ctx):
            ctx.store.put_node(dataclasses.replace(node, provider_id=None))
        refresh(ctx, "reg", cancel=threading.Event())
        assert {node.name: node.provider_id for node in nodes(ctx)} == real
