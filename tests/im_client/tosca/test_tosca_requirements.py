"""Requirements: targets, relationships, node filters, occurrences and circles."""

# ruff: noqa: E501 (templates are read best with one node a line)
import pytest

from tests.im_client.tosca.reading import analysed, nodes, said, texts, topology

SMALL = "small: {type: tosca.nodes.Compute, capabilities: {host: {properties: {num_cpus: 1}}}}\n"
LARGE = "large: {type: tosca.nodes.Compute, capabilities: {host: {properties: {num_cpus: 8, mem_size: 16 GB}}}}\n"
FILTER = "{node_filter: {capabilities: [{host: {properties: [{num_cpus: {greater_or_equal: 4}}]}}]}}"


@pytest.mark.parametrize(
    "host",
    [
        "large",
        "{node: large}",
        "{node: large, capability: host, relationship: HostedOn}",
        "{node: large, relationship: {type: tosca.relationships.HostedOn}}",
        FILTER,
        FILTER.replace("{node_filter", "{node: tosca.nodes.Compute, node_filter"),
        "{node_filter: {capabilities: [{host: {properties: [{mem_size: {in_range: [8 GB, 32 GB]}}]}}]}}",
        "{node_filter: {capabilities: [{tosca.capabilities.Container: {properties: [{num_cpus: 8}]}}]}}",
    ],
)
def test_every_way_to_name_a_host(host: str) -> None:
    app = f"app: {{type: tosca.nodes.SoftwareComponent, requirements: [{{host: {host}}}]}}\n"
    assert topology(nodes(SMALL + LARGE + app)).components == {"app": "large"}


@pytest.mark.parametrize(
    ("app", "code"),
    [
        ("{host: lrage}", "dangling-target"),
        ("{host: {node: lrage}}", "dangling-target"),
        ("{hots: large}", "unknown-requirement"),
        ("{host: disk}", "requirement-mismatch"),
        (f"{{host: {FILTER.replace('4', '64')}}}", "no-match"),
        (f"{{host: {FILTER.replace('{node_filter', '{node: small, node_filter')}}}", "no-match"),
        ("{host: tosca.nodes.DBMS}", "no-match"),
        ("{host: {node: large, capability: hots}}", "unknown-capability"),
        ("{host: {node: large, relationship: Hosted}}", "unknown-type"),
        ("{host: {node: large, kapability: x}}", "unknown-key"),
        ("{host: }", "wrong-type"),
        ("host", "wrong-type"),
    ],
)
def test_a_requirement_that_cannot_be_fulfilled(app: str, code: str) -> None:
    disk = "disk: {type: tosca.nodes.BlockStorage, properties: {size: 1 GB}}\n"
    template = nodes(SMALL + LARGE + disk + f"app: {{type: tosca.nodes.SoftwareComponent, requirements: [{app}]}}\n")
    if app == "{host: }":  # a bare host looks for any Compute, and finds one
        assert topology(template).components == {"app": "small"}
        return
    found = [c for _, _, c in said(analysed(template))]
    assert code in found


def test_a_lacking_requirement_says_what_to_add() -> None:
    problem = analysed(nodes("app: {type: tosca.nodes.SoftwareComponent}\n")).problems[0]
    assert problem.code.value == "missing-requirement"
    assert problem.hint == "add to its requirements: - host: NODE (tosca.nodes.Compute)"


def test_occurrences_bound_how_often_a_requirement_stands() -> None:
    types = (
        "tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types:\n  x.X:\n    derived_from: tosca.nodes.Root\n"
        "    requirements:\n      - peer: {capability: tosca.capabilities.Node, occurrences: [2, 3]}\n"
    )
    machines = "".join(f"m{n}: {{type: tosca.nodes.Compute}}\n" for n in range(4))
    for count, expected in [(0, "missing-requirement"), (1, "occurrences"), (2, ""), (3, ""), (4, "occurrences")]:
        peers = ", ".join(f"{{peer: m{n}}}" for n in range(count))
        found = said(analysed(nodes(f"{machines}x: {{type: x.X, requirements: [{peers}]}}\n", types)))
        assert [c for _, _, c in found] == ([expected] if expected else [])


def test_circles_are_named() -> None:
    hosts = "a: {type: tosca.nodes.WebServer, requirements: [host: b]}\nb: {type: tosca.nodes.WebServer, requirements: [host: a]}\n"
    problems = analysed(nodes(hosts)).problems
    assert [p.code.value for p in problems] == ["cyclic-host"]
    assert problems[0].message == "nothing runs on itself: a -> b -> a"
    app = "{type: tosca.nodes.SoftwareComponent, requirements: [{host: small}, {dependency: %s}]}\n"
    problems = analysed(nodes(f"{SMALL}a: {app % 'b'}b: {app % 'c'}c: {app % 'a'}")).problems
    assert [p.code.value for p in problems] == ["cyclic-dependency"]
    assert problems[0].message == "no node can be configured first: a -> b -> c -> a"


def test_a_long_chain_of_hosts_is_no_burden() -> None:
    chain = "n0: {type: tosca.nodes.Compute}\n" + "".join(
        f"n{n}: {{type: tosca.nodes.WebServer, requirements: [host: n{n - 1}]}}\n" for n in range(1, 400)
    )
    made = topology(nodes(chain))
    assert made.components["n399"] == "n0"


def test_a_relationship_template_gives_type_properties_and_hooks() -> None:
    template = nodes(
        """
        m: {type: tosca.nodes.Compute, requirements: [{local_storage: {node: d, relationship: mount}}]}
        d: {type: tosca.nodes.BlockStorage, properties: {size: 1 GiB}}
        """
    ) + (
        "  relationship_templates:\n    mount:\n      type: AttachesTo\n      properties: {location: /data, device: vdb}\n"
        "      interfaces: {Configure: {pre_configure_source: {implementation: hook.yml, inputs: {at: {get_property: [SELF, location]}}}}}\n"
    )
    made = topology(template, reader=texts(hook__yml="[]"))
    volume = made.groups["m"].volumes[0]
    assert (volume.size_bytes, volume.mount_path, volume.device) == (2**30, "/data", "vdb")
    assert [(o.id, dict(o.inputs)) for o in made.operations] == [
        ("m>d.Configure.pre_configure_source", {"at": "/data"})
    ]
