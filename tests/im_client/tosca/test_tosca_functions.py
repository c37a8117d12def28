"""Intrinsic functions: what is computed now, what waits for machines, and what is refused."""

# ruff: noqa: E501 (templates are read best with one node a line)
import pytest

from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token
from infracore.secrets import Secret
from tests.im_client.tosca.reading import HEADER, WITH_TYPES, Texts, analysed, texts, topology

BASE = (
    WITH_TYPES
    + """
node_types:
  example.App:
    derived_from: tosca.nodes.SoftwareComponent
    properties:
      name: {type: string, default: app}
      size: {type: scalar-unit.size, required: false}
      list: {type: list, entry_schema: {type: map, entry_schema: {type: string}}, required: false}
      loop: {type: string, required: false}
    attributes:
      url: {type: string}
      colour: {type: string, default: red}
    capabilities:
      shop: {type: tosca.capabilities.Endpoint}
    requirements:
      - other: {capability: tosca.capabilities.Endpoint, relationship: tosca.relationships.ConnectsTo, occurrences: [0, 5]}
topology_template:
  inputs:
    word: {type: string, default: hello}
    flag: {type: boolean, default: true}
    tree: {type: map, default: {a: [x, y]}}
    db_password: {type: string, default: hunter22}
  node_templates:
    machine:
      type: tosca.nodes.indigo.Compute
      capabilities:
        endpoint: {properties: {network_name: PUBLIC}}
        host: {properties: {num_cpus: 4}}
    app:
      type: example.App
      properties: {list: [{k: v}], loop: {get_property: [app2, loop]}}
      artifacts: {script: {file: script.sh, type: tosca.artifacts.Implementation.Bash}}
      capabilities: {shop: {properties: {url_path: /shop}}}
      requirements: [host: machine]
      interfaces:
        Standard:
          configure: {implementation: site.yml, inputs: {x: %s}}
    app2:
      type: example.App
      properties: {name: second}
      requirements: [{host: machine}, {other: app}]
  outputs:
    out: {value: %s}
"""
)
FILES = {"site__yml": "- hosts: all\n", "script__sh": "echo\n"}


def outcome(expression: str) -> object:
    made = topology(BASE % ("1", expression), reader=texts(**FILES))
    return made.outputs[0].value


def own_input(expression: str) -> object:
    made = topology(BASE % (expression, "1"), reader=texts(**FILES))
    return made.operations[0].inputs["x"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{get_input: word}", "hello"),
        ("{get_input: [word]}", "hello"),
        ("{get_input: [tree, a, 1]}", "y"),
        ("{get_property: [app, name]}", "app"),
        ("{get_property: [app2, name]}", "second"),
        ("{get_property: [app, list, 0, k]}", "v"),
        ("{get_property: [app, shop, url_path]}", "/shop"),
        ("{get_property: [app2, other, url_path]}", "/shop"),
        ("{get_property: [machine, host, num_cpus]}", 4),
        ("{get_property: [app, size]}", None),
        ("{concat: [a, 1, {get_input: flag}, {get_input: word}]}", "a1truehello"),
        ("{join: [[a, b, {get_input: word}], '-']}", "a-b-hello"),
        ("{token: [{concat: [a, ':', b]}, ':', 1]}", "b"),
        ("{get_nodes_of_type: tosca.nodes.SoftwareComponent}", ("app", "app2")),
        ("{get_artifact: [app, script]}", "/templates/script.sh"),
        ("{get_attribute: [app, tosca_name]}", "app"),
        ("{get_attribute: [app, name]}", "app"),
        ("{token: abc}", {"token": "abc"}),
        ("{a: [{get_input: word}]}", {"a": ("hello",)}),
    ],
)
def test_what_is_known_is_computed(expression: str, value: object) -> None:
    assert outcome(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{get_attribute: [machine, private_address, 0]}", Attribute("machine", ("private_address", 0))),
        ("{get_attribute: [machine, private_address]}", Attribute("machine", ("private_address",))),
        ("{get_attribute: [machine, endpoint, ip_address]}", Attribute("machine", ("public_address", 0))),
        ("{get_attribute: [machine, endpoint, credential, 0]}", Attribute("machine", ("endpoint", "credential", 0))),
        ("{get_attribute: [app, url]}", Attribute("app", ("url",))),
        ("{get_attribute: [app, tosca_id]}", Attribute("app", ("tosca_id",))),
        (
            "{get_operation_output: [app, Standard, configure, key]}",
            OperationOutput("app", "Standard", "configure", "key"),
        ),
        ("{concat: [a, {get_attribute: [app, url]}]}", Concat(("a", Attribute("app", ("url",))))),
        (
            "{join: [{get_attribute: [machine, private_address]}, ',']}",
            Join(Attribute("machine", ("private_address",)), ","),
        ),
        ("{token: [{get_attribute: [app, url]}, ':', 1]}", Token(Attribute("app", ("url",)), ":", 1)),
        ("{concat: ['a:', {get_input: db_password}]}", Concat(("a:", Secret("hunter22")))),
    ],
)
def test_what_machines_give_is_an_expression(expression: str, value: object) -> None:
    assert outcome(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{get_attribute: [HOST, private_address, 0]}", Attribute("machine", ("private_address", 0), Scope.OWN)),
        ("{get_attribute: [SELF, url]}", Attribute("app", ("url",), Scope.OWN)),
        ("{get_attribute: [machine, private_address, 0]}", Attribute("machine", ("private_address", 0), Scope.GROUP)),
        ("{get_property: [SELF, name]}", "app"),
        ("{get_property: [HOST, host, num_cpus]}", 4),
        (
            "{get_operation_output: [SELF, Standard, create, key]}",
            OperationOutput("app", "Standard", "create", "key", Scope.OWN),
        ),
    ],
)
def test_keywords_speak_of_the_machine_that_the_operation_runs_on(expression: str, value: object) -> None:
    assert own_input(expression) == value


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("{get_input: wrod}", "unknown-input"),
        ("{get_input: }", "bad-function"),
        ("{get_input: [tree, b]}", "bad-function"),
        ("{get_property: [app]}", "bad-function"),
        ("{get_property: [app, nmae]}", "unknown-property"),
        ("{get_property: [app, shop, nmae]}", "unknown-property"),
        ("{get_property: [app2, other, nmae]}", "unknown-property"),
        ("{get_property: [ap, name]}", "unknown-node"),
        ("{get_property: [SELF, name]}", "bad-function"),
        ("{get_property: [[1], name]}", "bad-function"),
        ("{get_attribute: [machine]}", "bad-function"),
        ("{get_attribute: [machine, adress]}", "unknown-attribute"),
        ("{get_attribute: [machine, private_address, first]}", "bad-function"),
        ("{get_attribute: [HOST, private_address]}", "bad-function"),
        ("{get_attribute: [TARGET, private_address]}", "bad-function"),
        ("{get_atribute: [machine, private_address]}", "unknown-function"),
        ("{get_operation_output: [app, Standard, configure]}", "bad-function"),
        ("{get_operation_output: [app, Standart, configure, x]}", "unknown-interface"),
        ("{get_operation_output: [app, Standard, konfigure, x]}", "unknown-operation"),
        ("{get_artifact: [app, skript]}", "unknown-artifact"),
        ("{get_nodes_of_type: no.Type}", "unknown-type"),
        ("{join: [a, b, c]}", "bad-function"),
        ("{join: [text, ',']}", "bad-function"),
        ("{concat: []}", "bad-function"),
        ("{token: [a, '', 0]}", "bad-function"),
        ("{token: [a, ':', 5]}", "bad-function"),
    ],
)
def test_a_wrong_call_is_a_problem_on_its_line(expression: str, code: str) -> None:
    text = BASE % ("1", expression)
    analysis = analysed(text, reader=texts(**FILES))
    line = next(n for n, row in enumerate(text.splitlines(), 1) if row.startswith("    out:"))
    assert [(p.code.value, p.line) for p in analysis.problems] == [(code, line)]
    assert analysis.problems[0].source_line.startswith("    out:")


def test_a_property_that_needs_itself_is_a_problem() -> None:
    text = (BASE % ("1", "1")).replace("properties: {name: second}", "properties: {loop: {get_property: [app, loop]}}")
    problems = analysed(text, reader=texts(**FILES)).problems
    assert [p.code.value for p in problems] == ["function-cycle"]
    assert problems[0].message == "a property is made of itself: app.loop -> app2.loop -> app.loop"


def test_a_misspelt_name_is_guessed() -> None:
    assert analysed(BASE % ("1", "{get_input: wrod}"), reader=texts(**FILES)).problems[0].hint == "did you mean word?"


def test_attribute_defaults_of_types_are_kept() -> None:
    made = topology(BASE % ("1", "{get_attribute: [app, colour]}"), reader=texts(**FILES))
    assert made.outputs[0].value == Attribute("app", ("colour",))
    assert made.attributes["app"] == {"colour": "red"}


def test_no_number_of_nested_functions_exhausts_the_stack() -> None:
    nested = "{concat: [a, " * 25 + "b" + "]}" * 25
    made = topology(f"{HEADER}topology_template:\n  outputs:\n    o: {{value: {nested}}}\n", reader=Texts())
    assert made.outputs[0].value == "a" * 25 + "b"
