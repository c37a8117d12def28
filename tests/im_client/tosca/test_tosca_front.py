"""The front door: everything at once, always the same, safe under threads, and no bytes that raise."""

# ruff: noqa: E501 (templates are read best with one node a line)
import itertools
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from im_client.template.problems import Level
from im_client.tosca.front import analyse
from tests.im_client.tosca.reading import CATALOGUE, MAIN, Texts, analysed, said
from tests.laws import some

WHOLE = f"""tosca_definitions_version: tosca_simple_yaml_1_3
imports:
  - types: {CATALOGUE}
metadata: {{template_name: whole, day: 2026-01-31}}
repositories: {{code: {{url: "https://code.example/"}}}}
node_types:
  x.App:
    derived_from: tosca.nodes.SoftwareComponent
    properties:
      name: {{type: string, constraints: [{{min_length: 2}}]}}
      ports: {{type: map, entry_schema: {{type: PortSpec}}, required: false}}
    capabilities: {{shop: {{type: tosca.capabilities.Endpoint}}}}
    interfaces:
      Standard: {{configure: {{implementation: "https://x.example/a.yml", inputs: {{n: {{get_property: [SELF, name]}}}}}}}}
topology_template:
  inputs:
    count: {{type: integer, default: 2, constraints: [{{in_range: [0, 9]}}]}}
    size: {{type: scalar-unit.size, default: 4 GB}}
    my_token: {{type: string, default: geheim}}
  node_templates:
    front:
      type: tosca.nodes.indigo.Compute
      capabilities:
        endpoint: {{properties: {{network_name: PUBLIC, dns_name: front, ports: {{web: {{source: 80, protocol: tcp}}}}}}}}
        host: {{properties: {{num_cpus: 2, mem_size: {{get_input: size}}}}}}
      requirements:
        - local_storage: {{node: disk, relationship: {{type: AttachesTo, properties: {{location: /data}}}}}}
    disk: {{type: tosca.nodes.BlockStorage, properties: {{size: 10 GiB}}}}
    wn:
      type: tosca.nodes.indigo.Compute
      capabilities: {{scalable: {{properties: {{count: {{get_input: count}}, max_instances: 5}}}}}}
    app:
      type: x.App
      properties: {{name: {{concat: [a, {{get_attribute: [HOST, private_address, 0]}}]}}, ports: {{p: {{source_range: [1, 2]}}}}}}
      requirements:
        - host: front
        - dependency: agent
    agent: {{type: tosca.nodes.SoftwareComponent, requirements: [{{host: {{node_filter: {{capabilities: [{{host: {{properties: [{{num_cpus: 2}}]}}}}]}}}}}}]}}
  groups: {{all: {{type: tosca.groups.Root, members: [front, wn]}}}}
  policies:
    - place: {{type: tosca.policies.indigo.Placement, properties: {{cloud_id: x}}, targets: [all]}}
  outputs:
    address: {{value: {{get_attribute: [front, public_address, 0]}}}}
    text: {{value: {{join: [[a, {{get_input: my_token}}], "-"]}}}}
"""


def test_the_whole_template_is_fine() -> None:
    analysis = analysed(WHOLE)
    assert not analysis.problems
    assert analysis.topology is not None
    assert {n: g.count for n, g in analysis.topology.groups.items()} == {"front": 1, "wn": 2}
    assert analysis.topology.components == {"app": "front", "agent": "front"}
    assert analysis.topology.name == "whole"
    assert analysis.topology.input_count == 3


def test_all_problems_of_a_template_are_reported_at_once_in_the_order_of_its_lines() -> None:
    broken = (
        WHOLE.replace("max_instances: 5", "max_instances: many")
        .replace("host: front\n", "host: frnt\n")
        .replace("get_input: size", "get_input: sise")
        .replace("num_cpus: 2, ", "num_cpus: two, cores: 1, ")
        .replace("members: [front, wn]", "members: [front, vn]")
        .replace("[front, public_address, 0]", "[front, publik_address, 0]")
    )
    found = said(analysed(broken))
    assert [code for _, _, code in found] == [
        "wrong-type",
        "unknown-property",
        "unknown-input",
        "wrong-type",
        "dangling-target",
        "no-match",
        "unknown-node",
        "unknown-attribute",
    ]
    assert found == sorted(found)


def test_an_add_on_is_laid_over_and_its_problems_bear_its_name() -> None:
    add_on = (
        "topology_template:\n  node_templates:\n    wn:\n      capabilities: {scalable: {properties: {count: 9}}}\n"
    )
    problems = analysed(WHOLE, add_on).problems
    assert [(p.code.value, p.file, p.line) for p in problems] == [("bad-scale", "/templates/add0.yaml", 4)]


def test_an_add_on_that_cannot_be_read_does_not_hide_the_template() -> None:
    reader = Texts({MAIN: WHOLE.encode()})
    analysis = analyse(MAIN, reader, add_ons=("/templates/absent.yaml",))
    assert [(p.code.value, p.file) for p in analysis.problems] == [("unreadable", "/templates/absent.yaml")]
    assert analysis.topology is None


def test_a_problem_carries_the_text_of_its_line() -> None:
    problem = analysed(WHOLE.replace("host: front\n", "host: frnt\n")).problems[0]
    assert problem.source_line.strip() == "- host: frnt"
    assert problem.hint == "did you mean front?"


def test_analysing_changes_nothing_and_gives_the_same_each_time() -> None:
    first, second = analysed(WHOLE, inputs={"count": 3}), analysed(WHOLE, inputs={"count": 3})
    assert first == second
    assert list(first.topology.groups) == list(second.topology.groups)  # type: ignore[union-attr]


def test_threads_get_what_one_after_another_gets() -> None:
    templates = [WHOLE.replace("num_cpus: 2", f"num_cpus: {n}").replace("x.App", f"x.App{n % 3}") for n in range(1, 5)]
    templates += [t.replace("host: front\n", "host: frnt\n") for t in templates]
    alone = [analysed(t) for t in templates]
    together = threading.Barrier(8)

    def work(offset: int) -> list[tuple[int, object]]:
        together.wait(timeout=20)
        order = [(n + offset) % len(templates) for n in range(len(templates))]
        return [(n, analysed(templates[n])) for n in order]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            results = list(itertools.chain(*pool.map(work, range(8))))
    finally:
        sys.setswitchinterval(before)
    assert all(result == alone[n] for n, result in results)


def _whole_or_told(text: bytes) -> None:
    """The law: an analysis ends with a topology, or with an error that says where."""
    analysis = analysed(text)
    errors = [p for p in analysis.problems if p.level is Level.ERROR]
    assert (analysis.topology is None) == bool(errors)
    assert all(p.line >= 1 and p.column >= 1 and p.message for p in analysis.problems)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(WHOLE)), st.integers(0, 40))
def test_no_bytes_put_into_a_template_raise(junk: bytes, at: int, cut: int) -> None:
    whole = WHOLE.encode()
    _whole_or_told(whole[:at] + junk + whole[at + cut :])


WORDS = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "\t",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "get_input",
    "SELF",
    "UNBOUNDED",
    "~",
    "'",
    "#",
    "0x1",
    "front",
    "type",
]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 12), st.sampled_from(WORDS)), min_size=1, max_size=4)
)
def test_no_mangled_line_raises(edits: list[tuple[int, int, str]]) -> None:
    text = WHOLE
    for at, cut, word in edits:
        text = text[:at] + word + text[at + cut :]
    _whole_or_told(text.encode())


ODD = [
    None,
    True,
    -1,
    0,
    2**80,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "text",
    "front",
    [],
    [1],
    {},
    {"a": 1},
    {"get_input": []},
]
ODD += [
    {"get_property": ["SELF", "name"]},
    {"get_attribute": ["HOST", "x", {}]},
    {"concat": [[], {}]},
    {"token": [1, 2, 3]},
    ["a", ["b"]],
]


@settings(max_examples=some(50), deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_no_value_in_the_place_of_another_raises(seed: int, count: int) -> None:
    chance = random.Random(seed)
    body = yaml.safe_load(WHOLE)
    for _ in range(count):
        node, path = body, []
        while isinstance(node, dict | list) and node and (len(path) < 2 or chance.random() < 0.8):
            key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
            path.append((node, key))
            node = node[key]
        holder, key = path[-1]
        choice = chance.randrange(3)
        if choice == 0 and isinstance(holder, dict):
            holder[str(key) + "x"] = holder.pop(key)
        else:
            holder[key] = chance.choice(ODD)
    _whole_or_told(yaml.safe_dump(body, allow_unicode=True).encode())
