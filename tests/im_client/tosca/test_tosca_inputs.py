"""Inputs: defaults, given values, constraints, secrets."""

# ruff: noqa: E501 (templates are read best with one node a line)
import pytest

from im_client.topology.values import Concat
from infracore.secrets import Secret
from tests.im_client.tosca.reading import HEADER, analysed, said, topology


def template(definition: str, name: str = "x") -> str:
    return f"{HEADER}topology_template:\n  inputs:\n    {name}: {definition}\n  outputs:\n    o: {{value: {{get_input: {name}}}}}\n"


@pytest.mark.parametrize(
    ("definition", "given", "value"),
    [
        ("{type: integer, default: 3}", None, 3),
        ("{type: integer, default: 3}", 4, 4),
        ("{type: integer, default: 3}", "4", 4),
        ("{type: integer, default: ''}", None, ""),
        ("{type: string}", 1.28, "1.28"),
        ("{type: string}", True, "true"),
        ("{type: boolean}", "true", True),
        ("{type: scalar-unit.size}", "4GB", "4 GB"),
        ("{type: list, entry_schema: {type: integer}}", (1, 2), (1, 2)),
        ("{type: map, entry_schema: PortSpec}", {"a": {"source": 80}}, {"a": {"protocol": "tcp", "source": 80}}),
        ("{type: string, required: false}", None, None),
    ],
)
def test_values_of_inputs(definition: str, given: object, value: object) -> None:
    inputs = {} if given is None else {"x": given}
    assert topology(template(definition), inputs=inputs).outputs[0].value == value


@pytest.mark.parametrize(
    ("definition", "given", "code"),
    [
        ("{type: integer, default: many}", None, "wrong-type"),
        ("{type: integer}", "many", "wrong-type"),
        ("{type: scalar-unit.size}", "4", "bad-unit"),
        ("{type: integer, constraints: [{less_than: 3}]}", 5, "constraint-violated"),
        ("{type: list, entry_schema: {type: integer}}", ("a",), "wrong-type"),
        ("{type: map, entry_schema: PortSpec}", {"a": {"sauce": 1}}, "unknown-property"),
        ("{type: integr}", 1, "unknown-type"),
        ("{default: 1}", None, "unknown-type"),
        ("{type: string, defualt: a}", "a", "unknown-key"),
        ("{type: integer, constraints: [{at_least: 3}]}", 5, "bad-constraint"),
        ("{type: integer, constraints: [{in_range: 3}]}", 5, "bad-constraint"),
        ("just text", "a", "unknown-type"),
        ("[]", None, "not-a-map"),
    ],
)
def test_inputs_that_are_wrong(definition: str, given: object, code: str) -> None:
    inputs = {} if given is None else {"x": given}
    assert code in [c for _, _, c in said(analysed(template(definition), inputs=inputs))]


def test_a_default_that_breaks_its_constraint_is_a_warning_as_tosca_parser_takes_it() -> None:
    problems = analysed(template("{type: integer, default: 5, constraints: [{less_than: 3}]}")).problems
    assert [(p.code.value, p.level.value) for p in problems] == [("constraint-violated", "warning")]


def test_a_number_that_comes_through_an_input_stays_one_in_a_text_and_a_list_is_warned_of() -> None:
    text = (
        f"{HEADER}topology_template:\n  inputs: {{x: {{type: %s}}}}\n  node_templates:\n"
        "    o: {type: tosca.nodes.ObjectStorage, properties: {name: {get_input: x}}}\n"
        "  outputs: {o: {value: {get_property: [o, name]}}}\n"
    )
    assert topology(text % "integer", inputs={"x": 5}).outputs[0].value == 5
    problems = analysed(text % "list", inputs={"x": (1,)}).problems
    assert [(p.code.value, p.level.value) for p in problems] == [("wrong-type", "warning")]


def test_a_missing_input_is_an_error_or_a_warning_as_asked() -> None:
    text = template("{type: string}")
    assert [(p.code.value, p.level.value) for p in analysed(text).problems] == [("missing-input", "error")]
    relaxed = analysed(text, require_inputs=False)
    assert [(p.code.value, p.level.value) for p in relaxed.problems] == [("missing-input", "warning")]
    assert relaxed.topology is not None
    assert relaxed.inputs["x"].required


def test_an_unknown_input_is_an_error_with_a_guess() -> None:
    problem = analysed(template("{type: integer, default: 1}", "workers"), inputs={"worker": 2}).problems[0]
    assert (problem.code.value, problem.hint) == ("unknown-input", "did you mean workers?")


@pytest.mark.parametrize("name", ["db_password", "kube_admin_token", "minio_secretkey", "private_key", "dummy_passwd"])
def test_inputs_that_hold_secrets_are_known_by_their_names(name: str) -> None:
    analysis = analysed(template("{type: string, default: geheimnis}", name))
    assert analysis.inputs[name].secret
    assert analysis.topology is not None
    output = analysis.topology.outputs[0]
    assert (output.value, output.secret) == (Secret("geheimnis"), True)
    assert "geheimnis" not in repr(analysis.topology)


def test_a_text_made_with_a_secret_stays_closed() -> None:
    text = template("{type: string, default: geheimnis}", "password").replace(
        "{get_input: password}", "{concat: [u, {get_input: password}]}"
    )
    output = topology(text).outputs[0]
    assert (output.value, output.secret) == (Concat(("u", Secret("geheimnis"))), True)


def test_a_credential_hides_its_token_and_keys_and_shows_its_user() -> None:
    value = (
        topology(
            template("{type: tosca.datatypes.Credential}"),
            inputs={"x": {"user": "u", "token": "t0ken", "keys": {"a": "k3y"}}},
        )
        .outputs[0]
        .value
    )
    assert value == {"user": "u", "token": Secret("t0ken"), "keys": {"a": Secret("k3y")}, "token_type": "password"}


def test_a_message_about_a_secret_does_not_tell_it() -> None:
    definition = "{type: string, constraints: [{min_length: 20}]}"
    problems = analysed(template(definition, "password"), inputs={"password": Secret("geheimnis")}).problems
    assert [p.code.value for p in problems] == ["constraint-violated"]
    assert "geheimnis" not in str(problems)


def test_a_random_text_is_asked_of_the_caller() -> None:
    text = template("{type: string, default: random(12)}", "password")
    analysis = analysed(text, require_inputs=False)
    assert analysis.inputs["password"].random == 12
    assert [p.code.value for p in analysed(text).problems] == ["missing-input"]
    assert topology(text, inputs={"password": "abcdefghijkl"}).outputs[0].value == Secret("abcdefghijkl")


def test_access_token_has_no_effect_and_says_so() -> None:
    problems = analysed(template("{type: string, default: access_token()}")).problems
    assert [(p.code.value, p.level.value) for p in problems] == [("ignored", "warning")]
