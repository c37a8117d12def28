"""From documents to topologies: what the golden files do not show."""

import pytest

from im_client.radl.front import is_radl, recipe_texts
from im_client.radl.ports import ports_text, read_ports
from im_client.template.problems import Level
from im_client.topology.model import PortRule, Protocol
from infracore.secrets import Secret
from tests.im_client.radl.documents import look, said, topology


@pytest.mark.parametrize(
    ("written", "cpus"),
    [
        ("= 2", 2),
        (">= 2", 2),
        ("> 2", 3),
        ("<= 2", None),
        (">= 2 and cpu.count >= 3", 3),
        (">= 2 and cpu.count <= 8", 2),
    ],
)
def test_the_least_that_is_enough_is_taken(written: str, cpus: int | None) -> None:
    assert topology(f"system n (cpu.count {written})").groups["n"].hardware.num_cpus == cpus


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1000000B", 10**6),
        ("512M", 512 * 10**6),
        ("1g", 10**9),
        ("1.5 GB", 1_500_000_000),
        ("2GiB", 2**31),
        ("1Mi", 2**20),
        ("1T", 10**12),
    ],
)
def test_units_are_powers_of_ten_and_with_an_i_of_two(written: str, size: int) -> None:
    assert topology(f"system n (memory.size >= {written})").groups["n"].hardware.mem_bytes == size


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", []),
        ("22", [PortRule(22, 22)]),
        ("22/tcp, 53/udp", [PortRule(22, 22), PortRule(53, 53, Protocol.UDP)]),
        ("8899/tcp-8899/tcp,22-22", [PortRule(8899, 8899), PortRule(22, 22)]),
        ("8080-80", [PortRule(8080, 8080, target=80)]),
        ("9000:9100/tcp", [PortRule(9000, 9100)]),
        ("10.0.0.0/8-22/tcp", [PortRule(22, 22, remote_cidr="10.0.0.0/8")]),
        ("22,22/tcp", [PortRule(22, 22)]),
    ],
)
def test_ports(text: str, rules: list[PortRule]) -> None:
    assert read_ports(text) == (rules, [])
    assert read_ports(ports_text(tuple(rules))) == (rules, [])


def test_deploys_of_one_system_to_one_cloud_add_up() -> None:
    assert topology("system n ()\ndeploy n 1\ndeploy n 2").groups["n"].count == 3


def test_each_further_cloud_is_a_group_of_its_own_whose_name_is_free() -> None:
    groups = topology("system n ()\nsystem n-b ()\ndeploy n 1 a\ndeploy n 2 b\ndeploy n 4").groups
    assert {g.name: (g.count, g.placement.cloud_id) for g in groups.values()} == {
        "n": (1, "a"),
        "n-b_": (2, "b"),
        "n-default": (4, None),
        "n-b": (0, None),
    }


def test_counts_of_the_caller_take_the_place_of_the_document_s() -> None:
    assert topology("system n ()\ndeploy n 1", counts={"n": 5}).groups["n"].count == 5
    assert said(look("system n ()", counts={"m": 5})) == ['1:1: unknown-node: there are no machines "m" to count']


def test_an_add_on_adds_machines_of_systems_that_it_mentions() -> None:
    base = "network lan ()\nsystem n (net_interface.0.connection = 'lan')\ndeploy n 1"
    more = "network lan\nsystem n\nsystem big (cpu.count = 8 and net_interface.0.connection = 'lan')\n"
    found = topology(base, f"{more}deploy n 2\ndeploy big 1")
    assert {name: group.count for name, group in found.groups.items()} == {"n": 3, "big": 1}


def test_an_add_on_may_define_a_system_anew() -> None:
    found = topology("system n (cpu.count = 1)\ndeploy n 1", "system n (cpu.count = 4)")
    assert (found.groups["n"].hardware.num_cpus, found.groups["n"].count) == (4, 1)


def test_without_contextualize_each_system_runs_the_recipe_of_its_name() -> None:
    recipe = "\n@begin\n- tasks: []\n@end\n"
    found = look(f"system n ()\nconfigure n ({recipe})\nconfigure other ({recipe})\ndeploy n 1")
    assert found.topology is not None
    assert [o.id for o in found.topology.operations] == ["n.configure.n"]
    assert said(found) == ['7:11: ignored: the recipe "other" runs nowhere']


def test_a_recipe_may_run_at_two_steps() -> None:
    text = "system n ()\nconfigure c (\n@begin\n- tasks: []\n@end\n)\ncontextualize (\n"
    found = topology(f"{text}system n configure c step 2\nsystem n configure c\n)")
    assert [(o.id, o.tier) for o in found.operations] == [("n.configure.c", 1), ("n.configure.c#2", 2)]


def test_the_digest_of_a_recipe_counts_what_it_includes() -> None:
    def digest(inner: str) -> str:
        tasks = "\n@begin\n- import_tasks: inner.yml\n@end\n"
        text = f"system n ()\nconfigure n ({tasks})\nconfigure inner (\n@begin\n- {inner}\n@end\n)"
        return topology(text).operations[0].implementation.digest

    assert digest("debug: {msg: a}") == digest("debug: {msg: a}")
    assert digest("debug: {msg: a}") != digest("debug: {msg: b}")


def test_recipes_are_found_again_with_the_inputs_in_them() -> None:
    base = ("a.radl", "configure a (\n@begin\n- x: '@input.p@'\n@end\n)\nconfigure b (\n@begin\n- old\n@end\n)")
    more = ("b.radl", '[{"class": "configure", "id": "b", "recipes": "- new\\n"}]')
    assert recipe_texts([base, more], {"p": Secret("s3")}) == {"a": "- x: 's3'", "b": "- new"}


@pytest.mark.parametrize(("value", "cpus"), [(2, 2), ("2", 2), ("3 ", None), ("x", None), ("1 GB", None), ("-1", None)])
def test_a_parameter_means_what_its_value_would_mean_in_the_text(value: object, cpus: int | None) -> None:
    analysis = look("system n (cpu.count >= @input.cpus@)", inputs={"cpus": value})
    assert (analysis.topology.groups["n"].hardware.num_cpus if analysis.topology else None) == cpus


def test_a_value_never_ends_the_text_that_it_stands_in() -> None:
    analysis = look("system n (disk.0.os.name = '@input.os@')", inputs={"os": "x' and cpu.count = 99 and y = '"})
    assert analysis.topology is not None
    hardware, image = analysis.topology.groups["n"].hardware, analysis.topology.groups["n"].image
    assert (hardware.num_cpus, image.type) == (None, "x' and cpu.count = 99 and y = '")


def test_parameters_are_inputs_and_those_that_name_secrets_are_kept_as_such() -> None:
    inputs = look("system n (cpu.count = @input.cpus@ and instance_name = '@input.admin_password@')").inputs
    assert {name: i.secret for name, i in inputs.items()} == {"cpus": False, "admin_password": True}


def test_a_missing_parameter_is_an_error_only_where_it_must_be_there() -> None:
    text = "system n ()\ndeploy n @input.count@"
    assert [p.level for p in look(text).problems] == [Level.ERROR]
    lenient = look(text, require_inputs=False)
    assert [p.level for p in lenient.problems] == [Level.WARNING]
    assert lenient.topology is not None


def test_an_input_that_no_parameter_has_is_refused() -> None:
    assert said(look("system n ()", inputs={"cpu": 1})) == ['1:1: unknown-input: there is no parameter "cpu"']


def test_recipes_see_the_document_without_its_credentials() -> None:
    recipe = "configure n (\n@begin\n- debug: { msg: '{{ IM_INFRASTRUCTURE_RADL }}' }\n@end\n)"
    secret = "disk.0.os.credentials.password = 'p4ss' and vault.password = 'p4ss'"
    found = topology(f"network net (proxy_host = 'u:p4ss@h')\nsystem n ({secret})\n{recipe}")
    shown = found.operations[0].inputs["IM_INFRASTRUCTURE_RADL"]
    assert "p4ss" not in repr(shown)
    assert isinstance(shown, tuple)
    assert len(shown) == 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("x.radl", "", True),
        ("x", "# note\n\nnetwork net ()", True),
        ("x", "system n\ndeploy n 1", True),
        ("x", "deploy n 1", True),
        ("x", "contextualize ()", True),
        ("x.json", '[{"class": "system"}]', True),
        ("x", ' {"class": "system", "id": "n"}', True),
        ("x", "tosca_definitions_version: tosca_simple_yaml_1_0", False),
        ("x", '{"tosca_definitions_version": "tosca_simple_yaml_1_0"}', False),
        ("x", "system: yes", False),
        ("x.yaml", "[1]", False),
        ("x", "", False),
    ],
)
def test_a_document_is_known_by_its_name_or_by_how_it_begins(name: str, text: str, expected: bool) -> None:
    assert is_radl(name, text.encode()) is expected


def test_many_warnings_leave_room_for_an_error() -> None:
    text = "system n (\n" + " and\n".join(f"x{n} = 1" for n in range(600)) + "\n)\ndeploy m 1"
    analysis = look(text)
    assert analysis.topology is None
    assert [p.line for p in analysis.problems if p.level is Level.ERROR] == [603]


def test_a_document_that_is_not_there_is_one_problem() -> None:
    from im_client.radl.front import analyse
    from tests.im_client.radl.documents import Texts

    analysis = analyse("absent.radl", Texts({}))
    assert [str(p) for p in analysis.problems] == ["absent.radl:1:1: unreadable: there is no file absent.radl"]
