"""Machines: how many, of what size, on which networks, with which ports and disks."""

# ruff: noqa: E501 (templates are read best with one node a line)
import pytest

from im_client.topology.model import GroupKind, Network, NetworkInterface, Placement, PortRule, Protocol
from tests.im_client.tosca.reading import WITH_TYPES, analysed, nodes, said, topology


def machine(capabilities: str, more: str = "", tail: str = "", **options: object) -> str:
    return (
        nodes(f"m:\n  type: tosca.nodes.indigo.Compute\n  capabilities: {{{capabilities}}}\n{more}", WITH_TYPES) + tail
    )


def scale(text: str) -> tuple[int, int, int | None, bool]:
    group = topology(machine(f"scalable: {{properties: {{{text}}}}}" if text else "")).groups["m"]
    return group.count, group.minimum, group.maximum, group.scalable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, 1, 1, False)),
        ("count: 3", (3, 0, None, True)),
        ("count: 0", (0, 0, None, True)),
        ("min_instances: 2, max_instances: 5", (2, 2, 5, True)),
        ("count: 3, min_instances: 2, max_instances: 5", (3, 2, 5, True)),
        ("max_instances: 5", (1, 0, 5, True)),
    ],
)
def test_count_minimum_and_maximum(text: str, expected: tuple[int, int, int | None, bool]) -> None:
    assert scale(text) == expected


def test_default_instances_of_the_normative_type_count() -> None:
    text = "m: {type: tosca.nodes.Compute, capabilities: {scalable: {properties: {min_instances: 1, max_instances: 4, default_instances: 2}}}}"
    assert topology(nodes(text)).groups["m"].count == 2


@pytest.mark.parametrize(
    "text",
    ["count: -1", "count: 9, max_instances: 5", "count: 1, min_instances: 2", "min_instances: 5, max_instances: 2"],
)
def test_counts_that_cannot_be(text: str) -> None:
    assert [c for _, _, c in said(analysed(machine(f"scalable: {{properties: {{{text}}}}}")))] == ["bad-scale"]


def test_counts_of_the_caller_replace_those_of_the_template() -> None:
    text = machine("scalable: {properties: {count: 3, max_instances: 5}}")
    assert topology(text, counts={"m": 0}).groups["m"].count == 0
    assert [c for _, _, c in said(analysed(text, counts={"m": 6}))] == ["bad-scale"]
    assert [c for _, _, c in said(analysed(text, counts={"n": 1}))] == ["unknown-node"]


def test_the_software_on_a_machine_may_say_how_many_there_may_be() -> None:
    worker = (
        "w:\n  type: tosca.nodes.indigo.LRMS.WorkerNode\n  properties: {front_end_ip: 10.0.0.1}\n"
        "  capabilities: {wn: {properties: {min_instances: 0, max_instances: 7}}}\n  requirements: [host: m]\n"
    )
    group = topology(machine("", worker)).groups["m"]
    assert (group.count, group.minimum, group.maximum) == (1, 0, 7)


def test_hardware_and_image() -> None:
    group = topology(
        machine(
            "host: {properties: {num_cpus: 2, mem_size: 4 GB, disk_size: 10 GiB, cpu_frequency: 2 GHz, num_gpus: 1, gpu_vendor: NVIDIA,"
            " instance_type: '', preemtible_instance: true}},"
            " os: {properties: {type: linux, distribution: debian, version: 12, image: 'ost://cloud/x',"
            " credential: {user: root, token: geheim}}}"
        )
    ).groups["m"]
    hardware, image = group.hardware, group.image
    assert (hardware.num_cpus, hardware.mem_bytes, hardware.disk_bytes) == (2, 4 * 10**9, 10 * 2**30)
    assert (hardware.cpu_frequency_hz, hardware.num_gpus, hardware.gpu_vendor) == (2e9, 1, "NVIDIA")
    assert (hardware.instance_type, hardware.preemptible) == (None, True)
    assert (image.type, image.distribution, image.version, image.url, image.user) == (
        "linux",
        "debian",
        "12.0",
        "ost://cloud/x",
        "root",
    )
    assert image.password is not None
    assert image.password.reveal() == "geheim"
    assert "geheim" not in repr(group)


@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("PRIVATE", [("private", False, None)]),
        ("PUBLIC", [("private", False, None), ("public", True, None)]),
        ("lab", [("private-lab", False, "lab")]),
        ("lab.PRIVATE", [("private-lab", False, "lab")]),
        ("lab.PUBLIC", [("private", False, None), ("public-lab", True, "lab")]),
        ("'lab,pool'", [("private-lab", False, "lab"), ("public-pool", True, "pool")]),
    ],
)
def test_every_form_of_an_endpoints_network(name: str, networks: list[tuple[str, bool, str | None]]) -> None:
    made = topology(machine(f"endpoint: {{properties: {{network_name: {name}}}}}"))
    assert [(n.name, n.public, n.provider_name) for n in made.networks.values()] == networks
    assert [i.network for i in made.groups["m"].interfaces] == [name for name, _, _ in networks]


def test_dns_names_and_no_private_address() -> None:
    endpoint = "endpoint: {properties: {network_name: PUBLIC, dns_name: 'n-#N#', additional_dns_names: [a.example, ''], private_ip: %s}}"
    assert topology(machine(endpoint % "true")).groups["m"].interfaces == (
        NetworkInterface("private", None, ("n-#N#",)),
        NetworkInterface("public", None, ("a.example",)),
    )
    assert topology(machine(endpoint % "false")).groups["m"].interfaces == (
        NetworkInterface("public", None, ("n-#N#", "a.example")),
    )


@pytest.mark.parametrize(
    ("ports", "rules"),
    [
        ("{a: {source: 80}}", [PortRule(80, 80)]),
        ("{a: {source: 80, target: 8080}}", [PortRule(80, 80, target=8080)]),
        ("{a: {target: 443}}", [PortRule(443, 443)]),
        ("{a: {source_range: [2000, 2100], protocol: udp}}", [PortRule(2000, 2100, Protocol.UDP)]),
        ("{a: {source: 22, remote_cidr: 10.0.0.0/8}}", [PortRule(22, 22, remote_cidr="10.0.0.0/8")]),
        ("[{source: 80}, {source: 443}]", [PortRule(80, 80), PortRule(443, 443)]),
    ],
)
def test_ports_as_map_and_as_list(ports: str, rules: list[PortRule]) -> None:
    assert list(topology(machine(f"endpoint: {{properties: {{ports: {ports}}}}}")).groups["m"].ports) == rules


@pytest.mark.parametrize(
    ("ports", "code"),
    [
        ("{a: {protocol: tcp}}", "bad-port"),
        ("{a: {source: 99999}}", "constraint-violated"),
        ("{a: {source: 80, remote_cidr: here}}", "bad-port"),
        ("{a: {source: 80, colour: red}}", "unknown-property"),
        ("{a: 80}", "wrong-type"),
    ],
)
def test_ports_that_cannot_be(ports: str, code: str) -> None:
    assert code in [c for _, _, c in said(analysed(machine(f"endpoint: {{properties: {{ports: {ports}}}}}")))]


def test_endpoints_of_software_open_ports_of_its_machine() -> None:
    app = "a:\n  type: tosca.nodes.ec3.Application\n  capabilities: {endpoint: {properties: {port: 8800, protocol: https}}}\n  requirements: [host: m]\n"
    assert topology(machine("", app)).groups["m"].ports == (PortRule(8800, 8800),)


def test_port_and_network_nodes_make_the_cards_in_their_order() -> None:
    text = """
    m: {type: tosca.nodes.Compute}
    lab: {type: tosca.nodes.network.Network, properties: {cidr: 10.1.0.0/24, gateway_ip: 10.1.0.1}}
    world: {type: tosca.nodes.network.Network, properties: {network_name: PUBLIC}}
    p1: {type: tosca.nodes.network.Port, properties: {order: 1}, requirements: [{binding: m}, {link: world}]}
    p0: {type: tosca.nodes.network.Port, properties: {order: 0, ip_address: 10.1.0.7}, requirements: [{binding: m}, {link: lab}]}
    """
    made = topology(nodes(text))
    assert made.groups["m"].interfaces == (NetworkInterface("lab", "10.1.0.7"), NetworkInterface("world"))
    assert made.networks["lab"] == Network("lab", False, "10.1.0.0/24", None, True, "10.1.0.1")
    assert made.networks["world"].public


def test_a_disk_of_size_zero_is_none_and_swap_is_a_file_system() -> None:
    text = (
        "m:\n  type: tosca.nodes.indigo.Compute\n  requirements:\n"
        "    - local_storage: {node: none, relationship: {type: AttachesTo, properties: {location: /none}}}\n"
        "    - local_storage: {node: swap, relationship: {type: tosca.relationships.indigo.AttachesTo, properties: {location: swap, fs_type: swap}}}\n"
        "none: {type: tosca.nodes.BlockStorage, properties: {size: {get_input: zero}}}\n"
        "swap: {type: tosca.nodes.BlockStorage, properties: {size: 4 GiB}}\n"
    )
    template = nodes(text, WITH_TYPES) + "  inputs:\n    zero: {type: scalar-unit.size, default: 0 GiB}\n"
    analysis = analysed(template)
    assert not analysis.problems
    assert analysis.topology is not None
    volumes = analysis.topology.groups["m"].volumes
    assert [(v.name, v.size_bytes, v.fs_type) for v in volumes] == [("swap", 4 * 2**30, "swap")]


def test_a_number_without_a_unit_from_an_input_is_mebibytes_with_a_warning() -> None:
    template = (
        machine("host: {properties: {mem_size: {get_input: mem}}}")
        + "  inputs:\n    mem: {type: integer, default: 1024}\n"
    )
    analysis = analysed(template)
    assert analysis.topology is not None
    assert analysis.topology.groups["m"].hardware.mem_bytes == 2**30
    assert [(p.code.value, p.level.value) for p in analysis.problems] == [("bad-unit", "warning")]
    assert [c for _, _, c in said(analysed(machine("host: {properties: {mem_size: 1024}}")))] == ["bad-unit"]


def test_hardware_cannot_depend_on_running_machines() -> None:
    found = said(analysed(machine("host: {properties: {instance_type: {get_attribute: [m, tosca_id]}}}")))
    assert [c for _, _, c in found] == ["bad-function"]


def test_placement_and_scaling_policies_reach_nodes_and_members_of_groups() -> None:
    policies = (
        "  groups:\n    all: {type: tosca.groups.Root, members: [m]}\n  policies:\n"
        "    - where: {type: tosca.policies.indigo.Placement, properties: {cloud_id: rack, availability_zone: z1}, targets: [all]}\n"
        "    - many: {type: tosca.policies.Scaling, properties: {min_instances: 2, max_instances: 6, default_instances: 3}, targets: [m]}\n"
    )
    group = topology(machine("", tail=policies)).groups["m"]
    assert group.placement == Placement("rack", "z1")
    assert (group.count, group.minimum, group.maximum) == (3, 2, 6)


def test_a_function_without_a_host_is_a_group_of_its_own_kind() -> None:
    function = "{type: tosca.nodes.aisprint.FaaS.Function, properties: {name: f, memory: 1Gi, image: i, script: s}}"
    group = topology(nodes(f"f: {function}", WITH_TYPES)).groups["f"]
    assert (group.count, group.kind) == (1, GroupKind.FUNCTION)


def board(properties: str) -> str:
    return nodes(f"m: {{type: tosca.nodes.indigo.RaspberryPi, properties: {{{properties}}}}}", WITH_TYPES)


def test_a_board_is_asked_for_by_what_is_not_empty() -> None:
    asked = topology(board("model: 4B 8GB, serial: 10000000abcdef01, storage: '', power: any")).groups["m"].board
    assert asked == {"model": "4B 8GB", "serial": "10000000abcdef01", "power": "any"}
    assert topology(board("")).groups["m"].board == {}
    assert topology(machine("")).groups["m"].board == {}


@pytest.mark.parametrize("text", ["serial: xyz", "mac: '1:2'", "storage: floppy", "power: sun"])
def test_what_no_board_has_is_no_property_of_one(text: str) -> None:
    assert [code for _, _, code in said(analysed(board(text)))] == ["constraint-violated"]
