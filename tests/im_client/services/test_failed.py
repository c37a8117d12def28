"""A machine that came to nothing at its provider is told as failed, and made anew by the next run."""

import threading
from pathlib import Path

import pytest

from im_client.plan.model import Action, Phase
from im_client.services.apply import apply
from im_client.services.context import open_context
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy
from im_client.services.reading import listing, show
from im_client.state.store import RunState

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template: {node_templates: {web: {type: tosca.nodes.Compute}}}
"""


@pytest.mark.parametrize("error", ["CommandFailed", "NoCapacity"])
def test_it_is_failed_and_not_on_its_way(tmp_path: Path, error: str) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    faults = {"providers.fake.faults": f"[{{op: boot, error: {error}}}]"}
    with open_context(environ=environ, cwd=tmp_path, overrides=faults) as ctx:
        wanted = prepare_deploy(ctx, DeployRequest("t.yaml", name="site"))
        report = apply(ctx, wanted, listener=lambda _: None, cancel=threading.Event())
        assert report.state is not RunState.DONE
        (node,) = show(ctx, "site").nodes
        assert node.phase is Phase.FAILED
        assert node.failure
        assert [dict(view.counts) for view in listing(ctx)] == [{Phase.FAILED: 1}]
        again = prepare_deploy(ctx, DeployRequest("t.yaml", name="site"))
        assert [step.action for step in again.plan.steps] == [Action.REPLACE]
        assert apply(ctx, again, listener=lambda _: None, cancel=threading.Event()).state is RunState.DONE
        (node,) = show(ctx, "site").nodes
        assert (node.phase, node.failure) == (Phase.CONFIGURED, "")
