"""A fleet of boards through plan, deploy, scale, stop, start and destroy: what the user sees of `raspberry_pi`."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from im_client.plan.model import Phase
from im_client.providers.base import Severity
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.doctor import doctor
from im_client.services.model import DeployRequest, Prepared, Verb
from im_client.services.power import power
from im_client.services.prepare import prepare_deploy, prepare_destroy, prepare_scale
from im_client.state.store import RunState
from infracore.errors import NoCapacity, Unsupported
from tests.rigs.pi_boards import Shelf, shelf

pytestmark = [pytest.mark.sshd, pytest.mark.ansible]
_TYPES = Path(__file__).resolve().parents[3] / "tosca_templates" / "types" / "custom_types.yaml"
_TEMPLATE = f"""
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [{_TYPES}]
topology_template:
  inputs: {{model: {{type: string, default: ""}}}}
  node_templates:
    pi:
      type: tosca.nodes.indigo.RaspberryPi
      properties: {{model: {{get_input: model}}}}
      capabilities:
        scalable: {{properties: {{count: 1, max_instances: 3}}}}
        host: {{properties: {{num_cpus: 4, mem_size: 1 GiB}}}}
        os: {{properties: {{architecture: arm64}}}}
"""


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Shelf]:
    with shelf(tmp_path / "shelf", 2) as made:
        yield made


@pytest.fixture
def ctx(boards: Shelf, tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "t.yaml").write_text(_TEMPLATE)
    own = {name: value for name, value in boards.settings().items() if name not in {"state_dir", "ansible_inventory"}}
    overrides: dict[str, Any] = {"state_dir": str(tmp_path / "state"), "cache_dir": str(tmp_path / "cache")}
    overrides |= {"provider": "raspberry_pi", "providers": {"raspberry_pi": own}}
    with open_context(overrides=overrides, environ={"HOME": str(tmp_path)}, cwd=tmp_path) as opened:
        yield opened


def _apply(ctx: Context, prepared: Prepared) -> dict[str, Phase]:
    report = apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())
    assert report.state is RunState.DONE, report
    return _phases(ctx)


def _phases(ctx: Context) -> dict[str, Phase]:
    return {node.name: node.phase for record in ctx.store.infrastructures() for node in ctx.store.nodes(record.id)}


def _power(ctx: Context, verb: Verb) -> dict[str, Phase]:
    report = power(ctx, "t", verb, listener=lambda _: None, cancel=threading.Event())
    assert report.state is RunState.DONE, report
    return _phases(ctx)


def test_a_fleet_is_deployed_scaled_stopped_started_and_destroyed(ctx: Context, boards: Shelf) -> None:
    prepared = prepare_deploy(ctx, DeployRequest("t.yaml"))
    assert "pi-1 gets the board pi-1, whose power is switched by plug" in prepared.notes
    assert boards.plug.orders == []
    assert _apply(ctx, prepared) == {"pi-1": Phase.CONFIGURED}
    assert prepare_deploy(ctx, DeployRequest("t.yaml")).plan.is_empty
    assert len(_apply(ctx, prepare_scale(ctx, "t", {"pi": 2}))) == 2
    with pytest.raises(NoCapacity, match="no board is free for pi-3"):
        prepare_scale(ctx, "t", {"pi": 3})
    assert set(_power(ctx, Verb.STOP).values()) == {Phase.STOPPED}
    assert [board.has_power for board in boards.boards] == [False, False]
    assert set(_power(ctx, Verb.START).values()) == {Phase.CONFIGURED}
    assert _apply(ctx, prepare_scale(ctx, "t", {"pi": 1})) == {"pi-1": Phase.CONFIGURED}
    assert [board.has_power for board in boards.boards] == [True, False]
    assert _apply(ctx, prepare_destroy(ctx, "t")) == {}
    assert [(b.has_power, b.died_by_power, b.authorized) for b in boards.boards] == [(False, False, "")] * 2


def test_what_cannot_be_is_said_before_anything_is_done(ctx: Context, boards: Shelf) -> None:
    boards.write({"pi-1": {"raspberry_pi_power": {"kind": "none"}}})
    boards.plug.switch(1, on=True)
    with pytest.raises(NoCapacity, match="it is a 4B, not a 5"):
        prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"model": "5"}))
    prepared = prepare_deploy(ctx, DeployRequest("t.yaml"))
    assert "pi-1 gets the board pi-1, whose power nobody can switch" in prepared.notes
    before = _apply(ctx, prepared)
    with pytest.raises(Unsupported, match=r"pi-1 cannot stop: .*raspberry_pi_power"):
        _power(ctx, Verb.STOP)
    assert _phases(ctx) == before


def test_the_doctor_looks_at_the_fleet(ctx: Context, boards: Shelf) -> None:
    found = doctor(ctx.settings, ("raspberry_pi",)).findings["raspberry_pi"]
    assert [(one.check, one.severity) for one in found] == [
        ("inventory", Severity.OK),
        ("pi-1", Severity.OK),
        ("pi-2", Severity.OK),
    ]
