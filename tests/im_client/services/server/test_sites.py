"""Sites belong to the server: a stranger's template may name those that it offers, and golden images of their own."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy
from im_client.services.server.images import Usable
from im_client.services.server.strangers import refuse_where_run
from im_client.state.store import InfrastructureRecord
from im_client.topology.model import Group, Placement, Topology
from infracore.errors import TimedOut, Unsupported


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


def _usable(wanted: Collection[str]) -> Usable:
    """Return one image; the site `cloud` is down."""
    del wanted
    return Usable(frozenset({"mine", "golden://fake/mine"}), {"cloud": TimedOut("cloud does not answer")})


def _nobody(wanted: Collection[str]) -> Usable:
    del wanted
    return Usable()


def test_sites_that_are_offered_may_be_named(ctx: Context, record: InfrastructureRecord) -> None:
    refuse_where_run(ctx, record, _topology(), _nobody)
    refuse_where_run(ctx, record, _topology("fake", "cloud"), _nobody)


@pytest.mark.parametrize("wanted", [_topology("cloud", "own"), _topology("local"), _topology(image="demo-worker")])
def test_others_and_images_are_refused(ctx: Context, record: InfrastructureRecord, wanted: Topology) -> None:
    with pytest.raises(Unsupported):
        refuse_where_run(ctx, record, wanted, _nobody)


def test_an_image_that_may_be_used_may_be_named(ctx: Context, record: InfrastructureRecord) -> None:
    refuse_where_run(ctx, record, _topology(image="mine"), _usable)
    refuse_where_run(ctx, record, _topology(image="golden://fake/mine"), _usable)
    with pytest.raises(Unsupported, match="none of yours"):
        refuse_where_run(ctx, record, _topology(image="golden://fake/other"), _usable)


@pytest.mark.parametrize("image", ["golden://cloud/mine", "other"])
def test_an_image_that_may_be_where_nobody_answers_is_not_called_a_strangers(
    ctx: Context, record: InfrastructureRecord, image: str
) -> None:
    with pytest.raises(TimedOut, match="cloud does not answer"):
        refuse_where_run(ctx, record, _topology(image=image), _usable)
