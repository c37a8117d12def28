"""Clones: what they take over, and what they must not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.services.apply import apply
from im_client.services.clone import CloneRequest, prepare_clone, secret_inputs
from im_client.services.context import Context, open_context
from im_client.services.model import ApplyReport, DeployRequest, Prepared
from im_client.services.prepare import prepare_deploy, prepare_scale
from im_client.services.reading import outputs, show
from im_client.state.store import RunState
from infracore.errors import InvalidUsage, NotFound

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: site}
topology_template:
  inputs:
    count: {type: integer, default: 1}
    admin_password: {type: string, default: "random(12)"}
    api_token: {type: string, default: ""}
    im_infrastructure: {type: string, default: ""}
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities:
        scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: {get_input: count}}}
  outputs:
    password: {value: {get_input: admin_password}}
    token: {value: {get_input: api_token}}
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    environ["IM_CACHE_DIR"] = str(tmp_path / "cache")
    with open_context(environ=environ, cwd=tmp_path) as context:
        yield context


def do(ctx: Context, prepared: Prepared) -> ApplyReport:
    return apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())


def deploy(ctx: Context, **inputs: object) -> ApplyReport:
    return do(ctx, prepare_deploy(ctx, DeployRequest("t.yaml", inputs=inputs)))  # type: ignore[arg-type]


def clone(ctx: Context, **inputs: object) -> Prepared:
    return prepare_clone(ctx, CloneRequest("site", "twin", inputs))  # type: ignore[arg-type]


def test_a_clone_has_the_inputs_and_given_secrets_and_makes_its_own_passwords(ctx: Context) -> None:
    deploy(ctx, count=2, api_token="s3cr3t")
    assert do(ctx, clone(ctx)).state is RunState.DONE
    first, twin = outputs(ctx, "site", reveal=True), outputs(ctx, "twin", reveal=True)
    assert len(show(ctx, "twin").nodes) == 2
    assert twin["token"] == "s3cr3t"
    assert len(str(twin["password"])) == 12
    assert twin["password"] != first["password"]
    assert str(outputs(ctx, "twin")["token"]) == "***"
    assert show(ctx, "twin").record.ssh_public_key != show(ctx, "site").record.ssh_public_key


def test_the_plan_of_a_clone_changes_nothing_and_shows_no_secret(ctx: Context) -> None:
    deploy(ctx, api_token="s3cr3t")
    prepared = clone(ctx)
    assert prepared.is_new
    assert not prepared.infrastructure.outputs
    assert "s3cr3t" not in repr(prepared.plan)
    with pytest.raises(NotFound):
        show(ctx, "twin")


def test_the_template_is_the_recorded_one_even_if_the_file_is_gone(ctx: Context) -> None:
    deploy(ctx)
    (ctx.cwd / "t.yaml").unlink()
    assert do(ctx, clone(ctx)).state is RunState.DONE


def test_numbers_of_scale_are_not_taken_over_and_inputs_said_anew_are(ctx: Context) -> None:
    deploy(ctx)
    do(ctx, prepare_scale(ctx, "site", {"web": 5}))
    assert len(clone(ctx).plan.steps) == 1
    assert len(clone(ctx, count=3).plan.steps) == 3


def test_a_clone_that_would_scale_the_original_is_refused(ctx: Context) -> None:
    report = deploy(ctx)
    deploy(ctx, im_infrastructure=report.infrastructure)
    with pytest.raises(InvalidUsage, match="im_infrastructure") as caught:
        clone(ctx)
    assert "-i im_infrastructure=" in caught.value.hint
    assert clone(ctx, im_infrastructure="").is_new


def test_a_name_that_is_taken_is_refused(ctx: Context) -> None:
    deploy(ctx)
    for name in ("site", show(ctx, "site").record.id):
        with pytest.raises(InvalidUsage, match="already"):
            prepare_clone(ctx, CloneRequest("site", name))


def test_only_given_secrets_are_asked_for(ctx: Context) -> None:
    deploy(ctx, api_token="s3cr3t", count=1)
    assert [one.name for one in secret_inputs(ctx, "site")] == ["api_token"]
