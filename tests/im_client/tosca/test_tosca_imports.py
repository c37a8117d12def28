"""Imports: the catalogue offline, relative files, https with a checksum, namespaces, and what is refused."""

# ruff: noqa: E501 (templates are read best with one node a line)
import hashlib

import pytest

from tests.im_client.tosca.reading import CATALOGUE, HEADER, Texts, analysed, said, texts, topology

TYPES = f"{HEADER}node_types:\n  example.App:\n    derived_from: tosca.nodes.SoftwareComponent\n"
USES = "topology_template:\n  node_templates:\n    m: {type: tosca.nodes.Compute}\n    a: {type: %s, requirements: [host: m]}\n"
MACHINE = "topology_template:\n  node_templates:\n    m: {type: tosca.nodes.indigo.Compute}\n"


@pytest.mark.parametrize(
    "location",
    [
        CATALOGUE,
        "https://raw.githubusercontent.com/grycap/tosca/refs/heads/devel/custom_types.yaml",
        "https://raw.githubusercontent.com/grycap/tosca/v1.2/old/custom_types.yaml",
        "https://github.com/grycap/tosca/raw/main/custom_types.yaml",
        "custom_types.yaml",
    ],
)
def test_the_catalogues_types_are_ours_and_nothing_is_fetched(location: str) -> None:
    reader = Texts()
    made = topology(f"{HEADER}imports:\n  - {location}\n{MACHINE}", reader=reader)
    assert list(made.groups) == ["m"]
    assert not [a for a in reader.asked if a.startswith("https:")]


def test_a_file_beside_the_template_goes_before_ours() -> None:
    own = f"{HEADER}node_types:\n  tosca.nodes.indigo.Compute:\n    derived_from: tosca.nodes.Root\n"
    made = topology(f"{HEADER}imports: [custom_types.yaml]\n{MACHINE}", reader=texts(custom_types__yaml=own))
    assert not made.groups


@pytest.mark.parametrize(
    "imports",
    [
        "imports: [types.yaml]",
        "imports:\n  - types.yaml",
        "imports:\n  - some_name: types.yaml",
        "imports:\n  - some_name: {file: types.yaml}",
        "imports:\n  - file: types.yaml",
        "imports:\n  some_name: types.yaml",
        "repositories:\n  here: /templates\nimports:\n  - x: {file: types.yaml, repository: here}",
    ],
)
def test_every_way_to_say_an_import(imports: str) -> None:
    made = topology(f"{HEADER}{imports}\n{USES % 'example.App'}", reader=texts(types__yaml=TYPES))
    assert made.components == {"a": "m"}


def test_a_namespace_is_put_before_the_names_and_its_own_types_find_each_other() -> None:
    types = TYPES + "  example.Special:\n    derived_from: example.App\n"
    imports = "imports:\n  - x: {file: types.yaml, namespace_prefix: ns}\n"
    for name in ("ns.example.Special", "ns:example.Special"):
        made = topology(f"{HEADER}{imports}{USES % f'{chr(34)}{name}{chr(34)}'}", reader=texts(types__yaml=types))
        assert made.components == {"a": "m"}


def test_an_https_import_goes_through_the_reader_and_its_checksum_counts() -> None:
    url = "https://types.example/types.yaml"
    digest = hashlib.sha256(TYPES.encode()).hexdigest()
    template = (
        HEADER + "imports:\n  - x: {file: 'https://types.example/types.yaml', sha256: '%s'}\n" + USES % "example.App"
    )
    assert analysed(template % digest, reader=Texts({url: TYPES.encode()})).topology is not None
    wrong = analysed(template % ("0" * 64), reader=Texts({url: TYPES.encode()}))
    assert (3, 15, "import-refused") in said(wrong)
    assert digest in wrong.problems[0].message


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://types.example/t.yaml", "import-refused"),
        ("ftp://types.example/t.yaml", "import-refused"),
        ("absent.yaml", "import-not-found"),
        ("https://types.example/absent.yaml", "import-not-found"),
    ],
)
def test_what_is_not_imported_says_why_at_its_line(location: str, code: str) -> None:
    assert said(analysed(f"{HEADER}imports:\n  - {location}\n{MACHINE.replace('indigo.', '')}")) == [(3, 5, code)]


@pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd"])
def test_a_template_from_the_network_reaches_no_file_of_this_computer(path: str) -> None:
    url = "https://templates.example/a/t.yaml"
    reader = Texts({url: f"{HEADER}imports: [types.yaml]\n".encode()})
    reader.files["https://templates.example/a/types.yaml"] = f"{HEADER}imports: ['{path}']\n".encode()
    from im_client.tosca.front import analyse

    analysis = analyse(url, reader)
    assert [p.code.value for p in analysis.problems] == ["empty", "import-refused"]
    assert all(asked.startswith("https://") for asked in reader.asked)


def test_a_circle_of_imports_is_a_problem_and_a_diamond_is_none() -> None:
    circle = texts(a__yaml=f"{HEADER}imports: [b.yaml]\n", b__yaml=f"{HEADER}imports: [a.yaml]\n")
    found = analysed(f"{HEADER}imports: [a.yaml]\n{MACHINE.replace('indigo.', '')}", reader=circle)
    assert [(p.code.value, p.file) for p in found.problems] == [("import-cycle", "/templates/b.yaml")]
    diamond = texts(
        a__yaml=f"{HEADER}imports: [types.yaml]\n", b__yaml=f"{HEADER}imports: [types.yaml]\n", types__yaml=TYPES
    )
    assert not analysed(f"{HEADER}imports: [a.yaml, b.yaml]\n{USES % 'example.App'}", reader=diamond).problems


def test_files_hold_what_was_read_and_none_of_our_types() -> None:
    analysis = analysed(f"{HEADER}imports: [types.yaml, custom_types.yaml]\n", reader=texts(types__yaml=TYPES))
    assert sorted(analysis.files) == ["/templates/main.yaml", "/templates/types.yaml"]


def test_a_type_of_ones_own_is_checked_where_it_is_written() -> None:
    types = (
        "node_types:\n  a.A: {derived_from: b.B}\n  c.C:\n    derived_from: c.C\n    properties: {p: {default: 1}}\n"
    )
    found = analysed(HEADER + types)
    assert [(line, code) for line, _, code in said(found)] == [
        (1, "empty"),
        (3, "unknown-type"),
        (5, "type-cycle"),
        (6, "unknown-type"),
    ]


def test_an_unknown_type_of_a_property_is_told_once_be_it_used_or_not() -> None:
    types = (
        "node_types:\n  x.X:\n    derived_from: tosca.nodes.Root\n    properties: {p: {type: strng, required: false}}\n"
    )
    for more in ("", "    x: {type: x.X}\n", "    x: {type: x.X, properties: {p: a}}\n"):
        nodes = "topology_template:\n  node_templates:\n    m: {type: tosca.nodes.Compute}\n" + more
        assert [(line, code) for line, _, code in said(analysed(HEADER + types + nodes))] == [(5, "unknown-type")]


def test_a_normative_type_defined_anew_counts_for_types_derived_from_it() -> None:
    types = (
        "imports: [custom_types.yaml]\nnode_types:\n  tosca.nodes.Compute:\n    derived_from: tosca.nodes.Root\n"
        "    properties: {rack: {type: integer, default: 7}}\n"
    )
    template = HEADER + types + MACHINE + "  outputs:\n    r: {value: {get_property: [m, rack]}}\n"
    assert topology(template).outputs[0].value == 7
