"""An infrastructure of one region, asked for with the settings of another."""

import threading
from pathlib import Path

import pytest

from im_client.services.apply import apply
from im_client.services.context import open_context
from im_client.services.model import DeployRequest
from im_client.services.power import refresh
from im_client.services.prepare import prepare_deploy, prepare_destroy
from im_client.state.store import RunState
from infracore.errors import Conflict
from tests.im_client.providers.ec2.conftest import Site
from tests.rigs.moto import REGION

pytestmark = pytest.mark.slow
TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: reg}
imports: [types/custom_types.yaml]
topology_template:
  node_templates:
    web:
      type: tosca.nodes.indigo.Compute
      capabilities: {host: {properties: {num_cpus: 1, mem_size: 1 GB}}}
"""


@pytest.mark.usefixtures("aws_keys")
def test_nothing_is_forgotten_while_the_machines_of_another_region_run(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path), "IM_CACHE_DIR": str(tmp_path / "cache")}
    settings = {"provider": "ec2", "providers.ec2.endpoint": site.moto.url, "providers.ec2.reachable": "false"}

    def run(region: str, act: str) -> RunState:
        monkeypatch.setenv("AWS_REGION", region)
        with open_context(environ=environ, cwd=tmp_path, overrides=settings) as ctx:
            if act == "refresh":
                refresh(ctx, "reg", cancel=threading.Event())
                return RunState.DONE
            prepared = prepare_destroy(ctx, "reg") if act == "destroy" else prepare_deploy(ctx, DeployRequest("t.yaml"))
            return apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event()).state

    assert run(REGION, "deploy") is RunState.DONE
    for act in ("refresh", "deploy", "destroy"):
        with pytest.raises(Conflict, match=rf"made at ec2 {site.moto.url} {REGION}; ec2 stands for .* eu-west-1 now"):
            run("eu-west-1", act)
    assert site.moto.left()["instances"] == 1
    assert run(REGION, "destroy") is RunState.DONE
    assert not site.moto.left()
