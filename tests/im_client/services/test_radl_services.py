"""RADL through the same services as TOSCA."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.plan.model import Action
from im_client.services.artifacts import on_disk
from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy
from im_client.services.validate import validate
from im_client.template.problems import InvalidTemplate

DOCUMENT = """
system node (cpu.count >= 1)
configure node (
@begin
- tasks:
    - debug: { msg: '@input.word@' }
- import_playbook: more.yml
@end
)
configure more (
@begin
- tasks: []
@end
)
deploy node @input.count@
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    environ["IM_CACHE_DIR"] = str(tmp_path / "cache")
    with open_context(environ=environ, cwd=tmp_path) as opened:
        yield opened


@pytest.fixture
def template(tmp_path: Path) -> str:
    (tmp_path / "cluster.radl").write_text(DOCUMENT, encoding="utf-8")
    return "cluster.radl"


def test_a_document_is_validated(ctx: Context, template: str) -> None:
    report = validate(ctx, template, inputs={"count": 3, "word": "x"})
    assert (report.problems, report.machines, report.inputs) == ((), {"node": 3}, 2)


def test_missing_parameters_are_warnings_of_validate_and_stop_a_plan(ctx: Context, template: str) -> None:
    assert [str(p.code) for p in validate(ctx, template).problems] == ["missing-input", "missing-input"]
    with pytest.raises(InvalidTemplate, match='the parameter "count" has no value'):
        prepare_deploy(ctx, DeployRequest(template=template))


def test_a_document_is_planned(ctx: Context, template: str) -> None:
    prepared = prepare_deploy(ctx, DeployRequest(template=template, inputs={"count": 2, "word": "x"}))
    assert [step.action for step in prepared.plan.steps if step.action is Action.CREATE] == [Action.CREATE] * 2
    assert [o.id for o in prepared.topology.operations] == ["node.configure.node"]


def test_recipes_lie_side_by_side_on_disk_and_only_the_user_reads_them(ctx: Context, template: str) -> None:
    prepared = prepare_deploy(ctx, DeployRequest(template=template, inputs={"count": 2, "word": "s3cret"}))
    artifact = on_disk(prepared.topology.operations[0].implementation, prepared.source, ctx.settings.cache_dir)
    recipe = Path(artifact.location)
    assert recipe.name == "node.yml"
    assert "s3cret" in recipe.read_text(encoding="utf-8")
    assert sorted(p.name for p in recipe.parent.iterdir()) == ["more.yml", "node.yml"]
    assert stat.S_IMODE(recipe.parent.stat().st_mode) == 0o700
    assert on_disk(prepared.topology.operations[0].implementation, prepared.source, ctx.settings.cache_dir) == artifact
