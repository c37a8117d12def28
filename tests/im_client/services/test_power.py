"""Starting and stopping, on the provider `fake`, whose machines nobody can log in to."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.plan.model import Phase
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest, Verb
from im_client.services.power import power
from im_client.services.prepare import prepare_deploy
from im_client.state.store import RunState

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: site}
topology_template:
  node_templates:
    plain: {type: tosca.nodes.Compute}
    web:
      type: tosca.nodes.Compute
      interfaces: {Standard: {configure: play.yaml}}
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    (tmp_path / "play.yaml").write_text("- hosts: all\n  tasks: []\n")
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    environ["IM_CACHE_DIR"] = str(tmp_path / "cache")
    with open_context(environ=environ, cwd=tmp_path) as context:
        yield context


def phases(ctx: Context) -> dict[str, Phase]:
    record = ctx.store.infrastructures()[0]
    return {node.name: node.phase for node in ctx.store.nodes(record.id)}


def change(ctx: Context, verb: Verb) -> dict[str, Phase]:
    report = power(ctx, "site", verb, listener=lambda _: None, cancel=threading.Event())
    assert report.state is RunState.DONE
    return phases(ctx)


def test_a_machine_that_was_started_is_recorded_to_run(ctx: Context) -> None:
    apply(ctx, prepare_deploy(ctx, DeployRequest("t.yaml")), listener=lambda _: None, cancel=threading.Event())
    before = phases(ctx)
    assert change(ctx, Verb.STOP) == {"plain-1": Phase.STOPPED, "web-1": Phase.STOPPED}
    assert change(ctx, Verb.START) == before
    assert change(ctx, Verb.START) == before  # of what runs already, nothing is forgotten
