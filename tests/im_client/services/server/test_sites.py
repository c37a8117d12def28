"""Sites belong to the server: a stranger's template may name those that it offers, and golden images of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy
from im_client.services.server.strangers import refuse_where_run
from im_client.state.store import InfrastructureRecord
from im_client.topology.model import Group, Placement, Topology
from infracore.errors import Unsupported


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "t.yaml").write_text(
        "tosca_definitions_version: tosca_simple_yaml_1_3\n"
        "topology_template: {node_templates: {web: {type: tosca.nodes.Compute}}}\n"
    )
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    overrides = {"server.providers": "[fake, cloud]", "sites.cloud.provider": "fake", "sites.own.provider": "fake"}
    with open_context(environ=environ, cwd=tmp_path, overrides=overrides) as context:
        yield context


@pytest.fixture
def record(ctx: Context) -> InfrastructureRecord:
    return prepare_deploy(ctx, DeployRequest("t.yaml")).infrastructure


def _topology(*sites: str, image: str | None = None) -> Topology:
    return Topology("t", groups={"web": Group("web", 1, 0, 9, placement=Placement(sites=sites), golden_image=image)})


def test_sites_that_are_offered_may_be_named(ctx: Context, record: InfrastructureRecord) -> None:
    refuse_where_run(ctx, record, _topology())
    refuse_where_run(ctx, record, _topology("fake", "cloud"))


@pytest.mark.parametrize("wanted", [_topology("cloud", "own"), _topology("local"), _topology(image="demo-worker")])
def test_others_and_images_are_refused(ctx: Context, record: InfrastructureRecord, wanted: Topology) -> None:
    with pytest.raises(Unsupported):
        refuse_where_run(ctx, record, wanted)


def test_an_image_that_may_be_used_may_be_named(ctx: Context, record: InfrastructureRecord) -> None:
    refuse_where_run(ctx, record, _topology(image="mine"), lambda: {"mine", "golden://fake/mine"})
    refuse_where_run(ctx, record, _topology(image="golden://fake/mine"), lambda: {"mine", "golden://fake/mine"})
    with pytest.raises(Unsupported, match="none of yours"):
        refuse_where_run(ctx, record, _topology(image="golden://cloud/mine"), lambda: {"mine", "golden://fake/mine"})
