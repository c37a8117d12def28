"""Clusters that scale themselves: what the server says comes into the plan, where the template says nothing."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.services.context import Context, open_context
from im_client.services.elastic import WATCHES_ONLY, asks_for_endpoint, settled, with_endpoint
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy
from im_client.state.store import Endpoint, Source
from im_client.topology.model import Topology
from im_client.topology.values import Value
from infracore.content import content_folder
from infracore.secrets import Secret

FOLDER = content_folder() / "tosca_templates"
ENDPOINT = Endpoint("https://im.example", Secret("imt_x"), "PEM")
NAMES = ("im_url", "im_infrastructure", "im_token", "im_authorities")
DERIVED = """\
node_types:
  tosca.nodes.example.Follower: {derived_from: tosca.nodes.ec3.ElasticCluster}
topology_template:
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    with open_context(environ={**environ, "IM_CACHE_DIR": str(tmp_path / "cache")}, cwd=tmp_path) as context:
        yield context


def topology(ctx: Context, template: Path, **inputs: Value) -> Topology:
    return prepare_deploy(ctx, DeployRequest(str(template), inputs=inputs)).topology


def given(found: Topology) -> list[list[Value]]:
    """Return what operations that know one of the names have for all of them."""
    return [[o.inputs.get(n) for n in NAMES] for o in found.operations if any(n in o.inputs for n in NAMES)]


@pytest.mark.parametrize("name", ["slurm_elastic", "k3s_elastic", "kubernetes_elastic"])
def test_the_front_end_is_told_and_nothing_else_changes(ctx: Context, name: str) -> None:
    before = topology(ctx, FOLDER / f"{name}.yaml")
    after = with_endpoint(before, "i-1", ENDPOINT)
    assert given(after) == [["https://im.example", "i-1", Secret("imt_x"), "PEM"]]
    assert not asks_for_endpoint(after)
    changed = [o for o, was in zip(after.operations, before.operations, strict=True) if o != was]
    assert len(changed) == 1
    assert dataclasses.replace(after, operations=before.operations) == before
    assert "imt_x" not in repr(after)


def test_without_a_word_of_the_server_all_stays_as_it_is(ctx: Context) -> None:
    before = topology(ctx, FOLDER / "slurm_elastic.yaml")
    assert with_endpoint(before, "i-1", None) is before
    assert given(before) == [["", "", "", None]]


@pytest.mark.parametrize("name", NAMES[:3])
def test_one_word_of_the_template_and_the_server_says_nothing(ctx: Context, name: str) -> None:
    before = topology(ctx, FOLDER / "slurm_elastic.yaml", **{name: "https://elsewhere.example"})
    assert not asks_for_endpoint(before)
    assert with_endpoint(before, "i-1", ENDPOINT) is before
    assert settled(Source("/t.yaml", endpoint=ENDPOINT), before).endpoint is None


def test_a_type_that_is_derived_is_told_and_one_that_runs_something_else_is_not(ctx: Context, tmp_path: Path) -> None:
    text = (FOLDER / "slurm_elastic.yaml").read_text("utf-8")
    text = text.replace("types/custom_types.yaml", str(FOLDER / "types" / "custom_types.yaml"))
    derived = text.replace("topology_template:\n", DERIVED)
    derived = derived.replace("type: tosca.nodes.ec3.ElasticCluster", "type: tosca.nodes.example.Follower")
    (tmp_path / "derived.yaml").write_text(derived)
    (tmp_path / "own.yml").write_text("- ansible.builtin.debug: {msg: hello}\n")
    (tmp_path / "other.yaml").write_text(text.replace("create:\n", "create:\n            implementation: own.yml\n"))
    assert asks_for_endpoint(topology(ctx, tmp_path / "derived.yaml"))
    assert not asks_for_endpoint(topology(ctx, tmp_path / "other.yaml"))


def test_whoever_deploys_without_hears_that_it_will_only_watch(ctx: Context) -> None:
    template = str(FOLDER / "slurm_elastic.yaml")
    assert WATCHES_ONLY in prepare_deploy(ctx, DeployRequest(template)).notes
    assert WATCHES_ONLY not in prepare_deploy(ctx, DeployRequest(template, configure=False)).notes
    access: dict[str, Value] = {"im_url": "https://im.example", "im_infrastructure": "i-1", "im_token": "imt_y"}
    assert WATCHES_ONLY not in prepare_deploy(ctx, DeployRequest(template, inputs=access)).notes
    source = Source(template, files={template: Path(template).read_text("utf-8")}, endpoint=ENDPOINT)
    prepared = prepare_deploy(ctx, DeployRequest(template), source=source)
    assert WATCHES_ONLY not in prepared.notes
    assert prepared.source.endpoint == ENDPOINT
