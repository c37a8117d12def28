"""Plans for a server, found by comparing, and the one text that a server gets of a template."""

from pathlib import Path

import pytest
import yaml

from im_client.plan.model import Action, Phase
from im_client.services.model import DeployRequest
from im_client.services.remote.hiding import hidden
from im_client.services.remote.model import Infrastructure, Kind, Machine
from im_client.services.remote.planning import plan_deploy, plan_scale
from im_client.services.remote.template import Composed, compose, same_template
from im_client.settings import load_settings
from im_client.template.problems import InvalidTemplate
from infracore.errors import InfraError, InvalidUsage, Unsupported
from infracore.im_rest import Vm

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: cluster}
imports: [types/custom_types.yaml]
topology_template:
  inputs:
    size: {type: integer, default: 1}
    word: {type: string}
  node_templates:
    front:
      type: tosca.nodes.Compute
      capabilities: {host: {properties: {num_cpus: {get_input: size}, mem_size: 512 MiB}}}
    worker:
      type: tosca.nodes.Compute
      capabilities:
        scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: 2}}
  outputs:
    word: {value: {get_input: word}}
"""
URL = "https://im.example.org:443"


@pytest.fixture
def composed(tmp_path: Path) -> Composed:
    return composing(tmp_path, TEMPLATE, inputs={"size": 2, "word": "on"})


def composing(tmp_path: Path, text: str, **asked: object) -> Composed:
    (tmp_path / "t.yaml").write_text(text.replace("types/custom", f"{_content()}/tosca_templates/types/custom"))
    settings = load_settings(overrides={}, environ={"HOME": str(tmp_path)}, cwd=tmp_path).value
    return compose(settings, tmp_path, DeployRequest("t.yaml", **asked))  # type: ignore[arg-type]


def _content() -> Path:
    return Path(__file__).resolve().parents[4]


def machine(number: int, group: str, name: str, cpus: int | None = None) -> Machine:
    return Machine(str(number), name, group, Phase.CONFIGURED, Vm(str(number), group, name, num_cpus=cpus))


def there(*machines: Machine) -> Infrastructure:
    return Infrastructure("abcd", "demo", "configured", {m.id: "configured" for m in machines}, machines, etag='"v1"')


THREE = (machine(0, "front", "front-1", 2), machine(1, "worker", "worker-1"), machine(2, "worker", "worker-2"))


def steps(plan_of: Infrastructure | None, composed: Composed, kind: Kind = Kind.OURS, *, same: bool = True):
    plan = plan_deploy(URL, kind, composed, plan_of, same=same)
    return [(step.action, step.node) for step in plan.plan.steps], plan


def test_the_text_for_a_server_holds_inputs_and_name_and_imports_what_servers_know(composed: Composed) -> None:
    sent = yaml.safe_load(composed.body.text)
    assert {key: one["default"] for key, one in sent["topology_template"]["inputs"].items()} == {
        "size": 2,
        "word": "on",
    }
    assert sent["metadata"] == {"template_name": "cluster", "infra_name": "cluster"}
    assert sent["imports"] == ["https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml"]


def test_add_ons_are_merged_here(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(
        "tosca_definitions_version: tosca_simple_yaml_1_3\n"
        "topology_template: {node_templates: {extra: {type: tosca.nodes.Compute}}}\n"
    )
    found = composing(tmp_path, TEMPLATE, inputs={"word": "x"}, add_ons=("more.yaml",), name="big")
    assert set(yaml.safe_load(found.body.text)["topology_template"]["node_templates"]) == {"front", "worker", "extra"}
    assert (found.name, set(found.topology.groups)) == ("big", {"front", "worker", "extra"})


def test_what_is_wrong_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(InvalidTemplate):
        composing(tmp_path, TEMPLATE.replace("num_cpus:", "nmu_cpus:"), inputs={"word": "x"})
    with pytest.raises(InvalidTemplate):
        composing(tmp_path, TEMPLATE)  # an input is missing


def test_files_of_this_computer_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("- hosts: all\n")
    (tmp_path / "mine.yaml").write_text("tosca_definitions_version: tosca_simple_yaml_1_3\n")
    playbook = TEMPLATE.replace(
        "      type: tosca.nodes.Compute\n      capabilities: {host",
        "      type: tosca.nodes.Compute\n"
        "      interfaces: {Standard: {configure: {implementation: site.yaml}}}\n      capabilities: {host",
    )
    for text, name in ((playbook, "site.yaml"), (TEMPLATE.replace("imports: [", "imports: [mine.yaml, "), "mine.yaml")):
        with pytest.raises(Unsupported, match=name):
            composing(tmp_path, text, inputs={"word": "x"})


@pytest.mark.parametrize("asked", [{"provider": "local"}, {"provider_settings": {"a": "b"}}, {"configure": False}])
def test_what_no_server_takes_is_refused(asked: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        composing(tmp_path, TEMPLATE, inputs={"word": "x"}, **asked)
    with pytest.raises(InfraError):
        composing(tmp_path, TEMPLATE, inputs={"word": "x"}, name="it's", **asked)


def test_templates_are_the_same_but_for_numbers_and_names(composed: Composed) -> None:
    text = composed.body.text
    assert same_template(text, text.replace("default_instances: 2", "default_instances: 7\n            count: 5"))
    assert same_template(text, text.replace("infra_name: cluster", "infra_name: other"))
    assert not same_template(text, text.replace("default: 2", "default: 3"))
    assert not same_template(text, "[" * 100_000)
    assert not same_template(text, "")


def test_a_new_infrastructure_is_all_creation(composed: Composed) -> None:
    found, plan = steps(None, composed)
    assert found == [(Action.CREATE, "front-1"), (Action.CREATE, "worker-1"), (Action.CREATE, "worker-2")]
    assert plan.is_new
    assert plan.notes == ()
    assert steps(None, composed, Kind.ORIGINAL)[1].notes


def test_what_is_as_wanted_needs_nothing(composed: Composed) -> None:
    found, plan = steps(there(*THREE), composed)
    assert found == []
    assert plan.body is None
    assert plan.plan.unchanged == ("front-1", "worker-1", "worker-2")
    assert plan.notes


def test_the_newest_go_and_the_lowest_free_names_come(composed: Composed) -> None:
    more = (*THREE, machine(3, "worker", "worker-3"))
    found, plan = steps(there(*more), composed)
    assert (found, plan.removals) == ([(Action.DELETE, "worker-3")], ("3",))
    found, _ = steps(there(THREE[0], THREE[2]), composed)
    assert found == [(Action.CREATE, "worker-1")]


def test_another_template_configures_what_stays(composed: Composed) -> None:
    found, plan = steps(there(*THREE), composed, same=False)
    assert {action for action, _ in found} == {Action.CONFIGURE}
    assert plan.body is composed.body


def test_another_size_is_an_update_at_ours_and_only_a_note_at_the_original(composed: Composed) -> None:
    smaller = there(machine(0, "front", "front-1", 1), *THREE[1:])
    assert steps(smaller, composed)[0] == [(Action.UPDATE, "front-1")]
    found, plan = steps(smaller, composed, Kind.ORIGINAL)
    assert found == []
    assert any("no CPUs" in note for note in plan.notes)


def test_machines_of_a_group_that_the_template_has_no_more_stay_and_are_named(composed: Composed) -> None:
    found, plan = steps(there(*THREE, machine(9, "old", "old-1")), composed)
    assert found == []
    assert any(note.startswith("old:") for note in plan.notes)


def test_scaling_takes_those_that_are_named_first() -> None:
    seen = there(*THREE, machine(3, "worker", "worker-3"))
    plan = plan_scale(URL, Kind.OURS, seen, {}, remove=[THREE[1]], systems=["front", "worker"])
    assert (plan.removals, plan.wanted) == (("1",), {"worker": 2})
    plan = plan_scale(URL, Kind.OURS, seen, {"worker": 1}, remove=[THREE[1]], systems=["front", "worker"])
    assert plan.removals == ("1", "3")
    with pytest.raises(InvalidUsage, match="wroker"):
        plan_scale(URL, Kind.OURS, seen, {"wroker": 1}, remove=[], systems=["front", "worker"])


def test_what_looks_like_a_secret_is_hidden_and_the_rest_is_not() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nabc"
    said = {"ip": "1.2.3.4", "creds": {"user": "u", "token": "abc", "password": "x"}, "keys": [key], "tokens": 3}
    assert hidden(said) == {
        "ip": "1.2.3.4",
        "creds": {"user": "u", "token": "***", "password": "***"},
        "keys": ["***"],
        "tokens": 3,
    }
