"""Add-ons: what wins, what is joined, what stays the parent's."""

from im_client.template.findings import Findings
from im_client.tosca.merge import merge
from im_client.tosca.source import parse


def merged(parent: str, add_on: str) -> dict[str, object]:
    findings = Findings()
    first, second = parse(parent.encode(), "p", findings), parse(add_on.encode(), "a", findings)
    assert first is not None
    assert second is not None
    before = (dict(first), dict(second))
    result = merge(first, second)
    assert (dict(first), dict(second)) == before
    return result


def test_mappings_are_merged_key_by_key_and_the_add_on_wins() -> None:
    assert merged("a: {x: 1, y: {z: 2}}\nb: 3\n", "a: {y: {w: 4}, x: 5}\nc: 6\n") == {
        "a": {"x": 5, "y": {"z": 2, "w": 4}},
        "b": 3,
        "c": 6,
    }


def test_a_function_is_taken_whole() -> None:
    assert merged("p: {concat: [a, b]}\n", "p: {get_input: x}\n") == {"p": {"get_input": "x"}}
    assert merged("p: {get_input: x}\n", "p: {key: v}\n") == {"p": {"key": "v"}}


def test_lists_are_taken_whole_but_imports_policies_and_requirements() -> None:
    assert merged("l: [1, 2]\n", "l: [3]\n") == {"l": [3]}
    assert merged("imports: [a, {n: b}]\n", "imports: [{n: c}, d]\n") == {"imports": ["a", {"n": "c"}, "d"]}
    assert merged("policies: [{p: 1}, {q: 2}]\n", "policies: [{q: 3}]\n") == {"policies": [{"p": 1}, {"q": 3}]}


def test_requirements_are_joined_and_a_node_has_one_host() -> None:
    parent = "requirements: [{host: a}, {local_storage: {node: d, capability: x}}, {dependency: e}]\n"
    assert merged(parent, "requirements: [{dependency: f}]\n")["requirements"] == [
        {"host": "a"},
        {"local_storage": {"node": "d", "capability": "x"}},
        {"dependency": "e"},
        {"dependency": "f"},
    ]
    replaced = merged(parent, "requirements: [{host: b}, {local_storage: {node: d}}]\n")["requirements"]
    assert replaced == [{"dependency": "e"}, {"host": "b"}, {"local_storage": {"node": "d"}}]


def test_what_a_template_says_of_itself_stays_the_parents() -> None:
    assert merged(
        "metadata: {template_name: p}\ndescription: d\n", "metadata: {template_name: a}\ndescription: e\n"
    ) == {
        "metadata": {"template_name": "p"},
        "description": "d",
    }
