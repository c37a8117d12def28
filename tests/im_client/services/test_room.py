"""Whether there is room for what a plan makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.plan.model import Action, Plan, Reason, ReasonCode, Step
from im_client.providers.registry import provider
from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest, Prepared
from im_client.services.prepare import prepare_deploy
from im_client.services.room import Needs, needs_of, quota_at, shortages, with_room

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: site}
topology_template:
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities:
        host: {properties: {num_cpus: 2, mem_size: 1 GiB}}
        scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: 3}}
"""


@pytest.fixture(params=[2, 3])
def capacity(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def ctx(tmp_path: Path, capacity: int) -> Iterator[Context]:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    with open_context(environ=environ, cwd=tmp_path, overrides={"providers.fake.capacity": str(capacity)}) as context:
        yield context


@pytest.fixture
def prepared(ctx: Context) -> Prepared:
    return prepare_deploy(ctx, DeployRequest("t.yaml"))


def test_what_machines_need_is_added_up(prepared: Prepared) -> None:
    assert needs_of(prepared.plan) == Needs(machines=3, cpus=6, memory_bytes=3 * 2**30)
    gone = Step("delete:x", Action.DELETE, "x", "web", 1, Reason(ReasonCode.ASKED, "asked for"))
    assert needs_of(Plan(infrastructure="x", revision=0, steps=(gone,))) == Needs()


def test_only_what_does_not_fit_is_told(ctx: Context, prepared: Prepared, capacity: int) -> None:
    short = ("fake has room for 2 machines, and this makes 3: it will not fit as it is",) if capacity == 2 else ()
    assert shortages(ctx, prepared) == short
    assert with_room(ctx, prepared).notes == (*prepared.notes, *short)


def test_a_machine_takes_what_the_chosen_size_has(ctx: Context, tmp_path: Path) -> None:
    sizes = "[{name: big, num_cpus: 8, mem_bytes: 8589934592}]"
    with open_context(
        environ={"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)},
        cwd=tmp_path,
        overrides={"providers.fake.sizes": sizes, "providers.fake.most_cpus": "20"},
    ) as sized:
        wanted = prepare_deploy(sized, DeployRequest("t.yaml"))
        needs = needs_of(wanted.plan, wanted.forecast.choices)
        assert needs == Needs(machines=3, cpus=24, memory_bytes=24 * 2**30)
        short = "fake has room for 20 CPUs, and this makes 24: it will not fit as it is"
        assert shortages(sized, wanted) == (short,)


def test_a_provider_that_does_not_know_says_nothing(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text("hosts: [{address: 127.0.0.1}]\n")
    assert quota_at(provider("existing", {"hosts_file": str(hosts)})) is None


def test_cores_that_machines_share_are_no_limit(tmp_path: Path, ctx: Context, prepared: Prepared) -> None:
    from im_client.providers.local.room import room_here
    from im_client.services.room import _short

    quota = room_here(tmp_path / "not" / "yet", ())
    assert quota.machines.used == quota.cpus.used == quota.memory_bytes.used == 0
    assert quota.cpus.limit is not None
    assert list(_short("local", quota, Needs(cpus=quota.cpus.limit + 1))) == []
    total = quota.memory_bytes.limit
    assert total is not None
    (said,) = _short("local", quota, Needs(memory_bytes=total + 2**40))
    assert said.startswith("local has room for ")
    assert "of memory" in said
