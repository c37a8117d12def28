"""What the use cases promise, on the provider `fake`."""

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.plan.model import Action, Phase
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import ApplyReport, DeployRequest, Prepared
from im_client.services.plan_file import is_plan_file, prepare_from_plan, save_plan
from im_client.services.prepare import prepare_deploy, prepare_destroy, prepare_scale
from im_client.services.reading import listing, outputs
from im_client.services.templates import FileReader, Said, parse_inputs, settle
from im_client.services.validate import validate
from im_client.state.store import RunState
from im_client.tosca.front import InputDefinition
from infracore.errors import Conflict, InvalidUsage, Locked, Misconfigured, NotFound
from infracore.secrets import Secret

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {{template_name: {name}}}
topology_template:
  inputs:
    count: {{type: integer, default: 2}}
    memory: {{type: scalar-unit.size, default: 1 GiB}}
    admin_password: {{type: string, default: "random(12)"}}
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities:
        host: {{properties: {{mem_size: {{get_input: memory}}}}}}
        scalable: {{properties: {{min_instances: 0, max_instances: 9, default_instances: {{get_input: count}}}}}}
  outputs:
    addresses: {{value: {{get_attribute: [web, private_address]}}}}
    password: {{value: {{get_input: admin_password}}}}
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "t.yaml").write_text(TEMPLATE.format(name="site"))
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "IM_PROVIDER": "fake", "HOME": str(tmp_path)}
    environ["IM_CACHE_DIR"] = str(tmp_path / "cache")
    with open_context(environ=environ, cwd=tmp_path) as context:
        yield context


def do(ctx: Context, prepared: Prepared) -> ApplyReport:
    return apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())


def deploy(ctx: Context, **inputs: object) -> ApplyReport:
    return do(ctx, prepare_deploy(ctx, DeployRequest("t.yaml", inputs=inputs)))  # type: ignore[arg-type]


def actions(prepared: Prepared) -> dict[str, Action]:
    return {step.node: step.action for step in prepared.plan.steps}


def test_the_plan_of_an_applied_plan_is_empty(ctx: Context) -> None:
    assert deploy(ctx).state is RunState.DONE
    assert prepare_deploy(ctx, DeployRequest("t.yaml")).plan.is_empty


def test_inputs_given_once_stay_until_given_anew(ctx: Context) -> None:
    deploy(ctx, count=3)
    assert prepare_deploy(ctx, DeployRequest("t.yaml")).plan.is_empty
    assert actions(prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"count": 1}))) == {
        "web-2": Action.DELETE,
        "web-3": Action.DELETE,
    }


def test_a_count_of_scale_stays_until_the_template_asks_for_another(ctx: Context) -> None:
    deploy(ctx)
    do(ctx, prepare_scale(ctx, "site", {"web": 4}))
    assert prepare_deploy(ctx, DeployRequest("t.yaml")).plan.is_empty
    changed = prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"count": 1}))
    assert actions(changed) == {"web-2": Action.DELETE, "web-3": Action.DELETE, "web-4": Action.DELETE}


def test_a_named_machine_goes_first_and_the_count_follows(ctx: Context) -> None:
    deploy(ctx, count=3)
    assert actions(prepare_scale(ctx, "site", {}, remove=["web-1"])) == {"web-1": Action.DELETE}
    with pytest.raises(InvalidUsage, match="no machine 'web-9'"):
        prepare_scale(ctx, "site", {}, remove=["web-9"])


def test_another_template_of_the_same_name_does_not_take_an_infrastructure_over(ctx: Context) -> None:
    deploy(ctx)
    (ctx.cwd / "other.yaml").write_text(TEMPLATE.format(name="site"))
    with pytest.raises(InvalidUsage, match="already"):
        prepare_deploy(ctx, DeployRequest("other.yaml"))
    assert prepare_deploy(ctx, DeployRequest("other.yaml", name="site")).plan.is_empty


def test_a_random_input_is_made_once_and_its_output_is_a_secret(ctx: Context) -> None:
    deploy(ctx)
    shown = outputs(ctx, "site")["password"]
    first = outputs(ctx, "site", reveal=True)["password"]
    assert isinstance(shown, Secret)
    assert isinstance(first, str)
    assert len(first) == 12
    deploy(ctx, memory="2 GiB")
    assert outputs(ctx, "site", reveal=True)["password"] == first
    for file in (ctx.settings.state_dir).rglob("*"):
        assert not file.is_file() or first.encode() not in file.read_bytes(), file


def test_a_plan_in_a_file_is_applied_as_it_was_shown(ctx: Context) -> None:
    path = ctx.cwd / "site.plan"
    prepared = prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"count": 3}))
    save_plan(ctx, prepared, path)
    assert is_plan_file(path)
    assert not is_plan_file(ctx.cwd / "t.yaml")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (ctx.cwd / "t.yaml").write_text("changed: meanwhile")
    again = prepare_from_plan(ctx, path)
    assert again.plan == prepared.plan
    assert len(do(ctx, again).nodes) == 3


def test_a_plan_in_a_file_whose_state_has_moved_on_is_refused(ctx: Context) -> None:
    path = ctx.cwd / "site.plan"
    deploy(ctx)
    save_plan(ctx, prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"count": 3})), path)
    do(ctx, prepare_scale(ctx, "site", {"web": 1}))
    with pytest.raises(Conflict, match="moved on"):
        prepare_from_plan(ctx, path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"sealed": "x", "plan": {}}', "\x00" * 9])
def test_a_damaged_plan_file_is_refused(ctx: Context, text: str) -> None:
    path = ctx.cwd / "bad.plan"
    path.write_text(text)
    with pytest.raises(InvalidUsage):
        prepare_from_plan(ctx, path)


def test_a_plan_made_before_another_change_is_refused_and_nothing_happens(ctx: Context) -> None:
    deploy(ctx)
    stale = prepare_scale(ctx, "site", {"web": 3})
    do(ctx, prepare_scale(ctx, "site", {"web": 1}))
    with pytest.raises(Conflict, match="has changed since"):
        do(ctx, stale)
    assert [view.counts for view in listing(ctx)] == [{Phase.CONFIGURED: 1}]


def test_two_changes_at_once_are_refused(ctx: Context) -> None:
    deploy(ctx)
    prepared = prepare_scale(ctx, "site", {"web": 5})
    seen: list[Exception] = []

    def second(_: object) -> None:
        if not seen:
            try:
                do(ctx, prepared)
            except Locked as error:
                seen.append(error)

    apply(ctx, prepared, listener=second, cancel=threading.Event())
    assert "im scale" in str(seen[0])


def test_a_machine_that_fails_keeps_no_other_from_being_made(ctx: Context) -> None:
    faults = [{"op": "create", "node": "web-2", "times": 1, "error": "NoCapacity"}]
    request = DeployRequest("t.yaml", inputs={"count": 3}, provider_settings={"faults": faults})  # type: ignore[dict-item]
    report = do(ctx, prepare_deploy(ctx, request))
    assert report.state is RunState.PARTLY_DONE
    assert {node.name for node in report.nodes if not node.ok} == {"web-2"}
    again = deploy(ctx)
    assert again.state is RunState.DONE
    assert [node.name for node in again.nodes] == ["web-2"]


def test_destroying_removes_machines_records_and_logs(ctx: Context) -> None:
    report = deploy(ctx)
    assert do(ctx, prepare_destroy(ctx, "site")).state is RunState.DONE
    assert listing(ctx) == ()
    assert not Path(report.log_dir).exists()
    assert ctx.provider("fake").list_machines() == []
    with pytest.raises(NotFound):
        prepare_destroy(ctx, "site")


def test_interrupted_before_it_began_nothing_is_made_and_deploying_again_makes_all(ctx: Context) -> None:
    cancel = threading.Event()
    cancel.set()
    prepared = prepare_deploy(ctx, DeployRequest("t.yaml"))
    report = apply(ctx, prepared, listener=lambda _: None, cancel=cancel)
    assert report.state is RunState.INTERRUPTED
    assert ctx.provider("fake").list_machines() == []
    assert deploy(ctx).state is RunState.DONE


def test_words_mean_what_the_inputs_type_says() -> None:
    text = InputDefinition("version", "string")
    number = InputDefinition("count", "integer")
    said = parse_inputs(["version=1.10", "count=3", "free=[1, 2]"])
    assert all(isinstance(value, Said) for value in said.values())
    assert settle(said, {"version": text, "count": number}) == {"version": "1.10", "count": 3, "free": (1, 2)}


@pytest.mark.parametrize("word", ["", "count", "=3"])
def test_a_word_that_is_no_input_is_refused(word: str) -> None:
    with pytest.raises(InvalidUsage, match="NAME=VALUE"):
        parse_inputs([word])


@pytest.mark.parametrize(("text", "why"), [("- 1", "not a mapping"), ("a: [", "not YAML"), ("\xff", "not a mapping")])
def test_an_inputs_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "in.yaml"
    path.write_text(text)
    with pytest.raises(InvalidUsage, match=why):
        parse_inputs([], [path])


def test_only_regular_files_and_https_are_read(tmp_path: Path) -> None:
    reader = FileReader(tmp_path / "cache", offline=True)
    for location, kind in (
        (str(tmp_path), Misconfigured),
        ("/dev/zero", Misconfigured),
        (str(tmp_path / "none"), NotFound),
        ("http://127.0.0.1/x", Misconfigured),
        ("https://127.0.0.1:1/x", NotFound),
    ):
        with pytest.raises(kind):
            reader.read(location)


def test_a_changed_role_changes_the_digest_of_the_playbook_that_names_it(tmp_path: Path) -> None:
    tasks = tmp_path / "roles" / "web" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text("- name: one\n")
    playbook = tmp_path / "site.yml"
    playbook.write_text("- ansible.builtin.import_role: {name: web}\n")
    before = FileReader(tmp_path / "cache").digest(str(playbook))
    (tasks / "main.yml").write_text("- name: two\n")
    assert FileReader(tmp_path / "cache").digest(str(playbook)) != before


def test_validating_reports_instead_of_raising(ctx: Context) -> None:
    report = validate(ctx, "t.yaml")
    assert (report.machines, report.inputs, report.outputs) == ({"web": 2}, 3, 2)
    assert [problem.code for problem in validate(ctx, "missing.yaml").problems] == ["unreadable"]


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "n" * 64])
def test_a_name_that_could_be_misread_is_refused(ctx: Context, name: str) -> None:
    with pytest.raises(InvalidUsage, match="no name for an infrastructure"):
        prepare_deploy(ctx, DeployRequest("t.yaml", name=name))


def test_two_that_make_the_same_infrastructure_are_told_apart(ctx: Context) -> None:
    first, second = (prepare_deploy(ctx, DeployRequest("t.yaml")) for _ in range(2))
    do(ctx, first)
    with pytest.raises(Locked, match="meanwhile"):
        do(ctx, second)


def test_a_state_folder_without_its_key_is_refused_and_gets_no_new_one(ctx: Context) -> None:
    key = ctx.settings.state_dir / "key"
    key.unlink()
    environ = {"IM_STATE_DIR": str(ctx.settings.state_dir), "HOME": str(ctx.cwd)}
    with pytest.raises(Misconfigured, match="missing"), open_context(environ=environ, cwd=ctx.cwd):
        pass
    assert not key.exists()


def test_more_machines_than_any_cluster_has_are_refused_at_once(ctx: Context) -> None:
    (ctx.cwd / "t.yaml").write_text(TEMPLATE.format(name="site").replace("max_instances: 9, ", ""))
    with pytest.raises(InvalidUsage, match="more than"):
        prepare_deploy(ctx, DeployRequest("t.yaml", inputs={"count": 1_000_000}))
