"""The catalogue's templates: the same machines, inputs and outputs as IM, the same values as tosca-parser."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from im_client.services.templates import FileReader
from im_client.template.problems import Code, Level
from im_client.topology.model import Topology
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Token
from im_client.tosca.front import Analysis, analyse
from infracore.secrets import Secret
from tests.im_client.tosca_cases.golden import ADD_ONS, GOOD, cases
from tests.im_client.tosca_cases.places import catalogue

CASES = (
    "argo.yaml+kubernetes.yaml",
    "cernvmfs.yaml+simple-node-disk.yml",
    "docker.yaml+simple-node-disk.yml",
    "docker_cluster.yaml+slurm_cluster.yml",
    "faas_function.yaml",
    "glusterfs.yml+slurm_cluster.yml",
    "jupyterhub.yml+kubernetes.yaml",
    "k8s_new_wn_type.yaml+kubernetes.yaml",
    "kubernetes.yaml",
    "kubernetes_elastic.yaml+kubernetes.yaml",
    "minio.yaml+kubernetes.yaml",
    "oscar.yaml",
    "oscar_elastic.yaml+oscar.yaml",
    "oscar_function.yaml+oscar.yaml",
    "simple-node-disk.yml",
    "slurm_cluster.yml",
    "slurm_elastic.yaml+slurm_cluster.yml",
)
GLUSTERFS = "glusterfs.yml+slurm_cluster.yml"
"""IM refuses it (`"1024" is not a valid scalar-unit`): the add-on puts the integer input wn_mem, which the parent
completes with " MiB", straight into mem_size. tosca-parser accepts it, so do we: as MiB, with a warning."""

NOT_ACCEPTED_BY_PARSER = {
    **dict.fromkeys((c for c in CASES if c.endswith("+kubernetes.yaml") or c == "kubernetes.yaml"), "get_attribute"),
    "derived-types.yaml": "'int' object has no attribute 'keys'",  # data types derived from simple ones
    "functions.yaml": "Expected one argument for function",  # get_input with a path
    "inputs.yaml": "Expected one argument for function",
    "namespaces.yaml": "parent_req is None",
    "node-filter.yaml": "Lookup by TOSCA types is not supported",
    "short-names.yaml": "'InterfacesDef' object has no attribute",  # the long name of the interface
}
"""Templates that tosca-parser 2.15 refuses although they are right, with a part of what it says."""

AMOUNT = re.compile(r"[0-9.]+ *[KMGTkmgt]?i?[Bb]")
UNRESOLVED = "(a function that only a deployment resolves)"
TEXT = "the property is a string and the input an integer: ours becomes text, tosca-parser leaves it a number"
NO_UNIT = "the glusterfs add-on again: tosca-parser leaves a number where a size is due"
DIFFERENT = {
    **{
        (case, "oscar", "minio_quota_buckets"): TEXT
        for case in ("oscar.yaml", "oscar_elastic.yaml", "oscar_function.yaml")
    },
    ("glusterfs.yml", "lrms_wn", "host.mem_size"): NO_UNIT,
}

"""Values that differ on purpose: (template, node, property) -> reason."""


def located(case: str) -> tuple[Path, tuple[Path, ...]]:
    *add_ons, parent = case.split("+")
    if (GOOD / parent).is_file():
        return GOOD / parent, tuple(GOOD / name for name in ADD_ONS.get(parent, ()))
    folder = catalogue() / "templates"
    return folder / parent, tuple(folder / name for name in add_ons)


def analysed(case: str, work: Path, *more: Path) -> Analysis:
    parent, add_ons = located(case)
    reader = FileReader(work / "cache", offline=True)
    return analyse(str(parent), reader, add_ons=tuple(map(str, (*add_ons, *more))), require_inputs=False)


def topology_of(case: str, work: Path, *more: Path) -> Topology:
    analysis = analysed(case, work, *more)
    assert analysis.topology is not None, [str(p) for p in analysis.problems]
    return analysis.topology


def test_these_are_all_cases_of_the_catalogue() -> None:
    expected = json.loads((catalogue() / "expected.json").read_text(encoding="utf-8"))
    assert tuple(case["name"] for case in expected) == CASES


@pytest.mark.parametrize("case", [c for c in CASES if c != GLUSTERFS])
def test_a_catalogue_template_gives_the_numbers_that_im_gives(case: str, tmp_path: Path) -> None:
    expected = next(c for c in json.loads((catalogue() / "expected.json").read_text()) if c["name"] == case)
    topology = topology_of(case, tmp_path)
    machines = {name: group.count for name, group in topology.groups.items() if group.count}
    assert machines == expected["deploy"]  # IM does not list groups of no machines; ours are there with count 0
    assert topology.input_count == expected["inputs"]
    assert len(topology.outputs) == expected["outputs"]
    assert len(topology.groups) == expected["systems"]


@pytest.mark.parametrize("case", [c for c in CASES if c != GLUSTERFS])
def test_a_catalogue_template_has_no_error(case: str, tmp_path: Path) -> None:
    assert [str(p) for p in analysed(case, tmp_path).problems if p.level is Level.ERROR] == []


def test_the_glusterfs_add_on_that_im_refuses_is_taken_as_mib_with_a_warning(tmp_path: Path) -> None:
    analysis = analysed(GLUSTERFS, tmp_path)
    units = [p for p in analysis.problems if p.code is Code.BAD_UNIT]
    assert [(Path(p.file).name, p.line, p.column, p.level) for p in units] == [
        ("glusterfs.yml", 102, 23, Level.WARNING)
    ]
    topology = analysis.topology
    assert topology is not None
    assert {name: group.count for name, group in topology.groups.items()} == {"lrms_server": 1, "lrms_wn": 1}
    assert topology.groups["lrms_wn"].hardware.mem_bytes == 1024 * 2**20
    parsed = next(c for c in json.loads((catalogue() / "expected.json").read_text()) if c["name"] == GLUSTERFS)[
        "problem"
    ]
    assert (topology.input_count, len(topology.outputs)) == (parsed["inputs"], parsed["outputs"])


def for_parser(case: str) -> str:
    """One text for tosca-parser: add-ons merged as the dashboard does, imports as paths."""
    parent, add_ons = located(case)
    document = yaml.safe_load(parent.read_text(encoding="utf-8"))
    for add_on in add_ons:
        more = yaml.safe_load(add_on.read_text(encoding="utf-8"))["topology_template"]
        for part in ("inputs", "node_templates", "outputs"):
            merge(document["topology_template"].setdefault(part, {}), more.get(part, {}))
    document["imports"] = [
        {f"import_{n}": import_path(item, parent.parent)} for n, item in enumerate(document.get("imports", []))
    ]
    if not document["imports"]:
        del document["imports"]
    return yaml.safe_dump(document, sort_keys=False)


def merge(old: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        known = old.get(key)
        if isinstance(known, dict) and isinstance(value, dict) and not any(f.startswith("get_") for f in value):
            merge(known, value)
        else:
            old[key] = value


def import_path(item: Any, base: Path) -> Any:
    if isinstance(item, dict) and "file" in item:
        return {**item, "file": str(base / item["file"])}
    if isinstance(item, dict):
        return import_path(next(iter(item.values())), base)
    return str(catalogue() / "custom_types.yaml") if item.startswith("https://") else str(base / item)


@pytest.fixture(scope="module")
def parser_says(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, dict[str, dict[str, Any]]]]:
    """What tosca-parser makes of every template, from one process of its own."""
    folder = tmp_path_factory.mktemp("oracle")
    for name in ("site.yaml", "hook.sh"):
        (folder / name).write_bytes((GOOD / name).read_bytes())
    names = [*CASES, *(c for c in cases(GOOD) if c != "csar")]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("oracle.py")), str(folder)],
        input="".join(json.dumps([name, for_parser(name)]) + "\n" for name in names),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return {name: (error, values) for name, error, values in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
def test_tosca_parser_refuses_only_what_is_known(parser_says: dict[str, Any]) -> None:
    refused = {name: error for name, (error, _) in parser_says.items() if error}
    assert sorted(refused) == sorted(NOT_ACCEPTED_BY_PARSER)
    for name, error in refused.items():
        assert NOT_ACCEPTED_BY_PARSER[name] in error


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in (*CASES, *cases(GOOD)) if c not in (*NOT_ACCEPTED_BY_PARSER, "csar")])
def test_what_tosca_parser_accepts_has_equal_values_here(
    case: str, parser_says: dict[str, Any], tmp_path: Path
) -> None:
    """Every property is asked for by an output of an add-on, through the same door that users have."""
    error, nodes = parser_says[case]
    assert error is None
    asked = {
        f"{node}/{name}": value
        for node, values in nodes.items()
        for name, value in values.items()
        if value != UNRESOLVED
    }
    outputs = {key: {"value": {"get_property": [key.split("/")[0], *key.split("/")[1].split(".", 1)]}} for key in asked}
    add_on = tmp_path / "asked.yaml"
    document = {"tosca_definitions_version": "tosca_simple_yaml_1_0", "topology_template": {"outputs": outputs}}
    add_on.write_text(yaml.safe_dump(document), encoding="utf-8")
    ours = {output.name: plain(output.value) for output in topology_of(case, tmp_path, add_on).outputs}
    assert len(asked) > 0
    wrong = {tuple(key.split("/")): (value, ours[key]) for key, value in asked.items() if not same(value, ours[key])}
    assert {key: pair for key, pair in wrong.items() if (case.partition("+")[0], *key) not in DIFFERENT} == {}


def plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Attribute | Concat | Join | Token | OperationOutput):
        return UNRESOLVED
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return {k: plain(v) for k, v in value.items()} if hasattr(value, "items") else value


def same(theirs: Any, ours: Any) -> bool:
    """Equal, where tosca-parser computed it: what it leaves open inside of a list or mapping is not compared."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return all(key in ours and same(value, ours[key]) for key, value in theirs.items())
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(same, theirs, ours))
    if isinstance(theirs, str) and isinstance(ours, str) and AMOUNT.fullmatch(theirs):
        return theirs.replace(" ", "").lower() == ours.replace(" ", "").lower()  # `2 gb`: ours is written `2 GB`
    return bool(theirs in (ours, UNRESOLVED))
