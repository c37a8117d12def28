"""Our type definitions have the catalogue's interface; every difference is listed here with its reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.im_client.tosca_cases.places import CONTENT, catalogue

TYPES = CONTENT / "tosca_templates" / "types"
SECTIONS = ("data_types", "capability_types", "artifact_types", "relationship_types", "node_types", "policy_types")
COUNTS = (9, 14, 3, 3, 48, 1)

SLURM = "tosca.nodes.indigo.LRMS.{}.Slurm"
OUR_SLURM = "Slurm is configured by our own playbooks: no Galaxy role, other inputs, stop and delete hooks"
OUR_ELASTICITY = "cluesd is installed by our own playbook: no Galaxy role, other inputs"
OUR_TYPES = tuple(
    f"tosca.nodes.indigo.LRMS.{node}.{kind}" for node in ("FrontEnd", "WorkerNode") for kind in ("K3s", "Kubeadm")
)
OUR_BOARD = "tosca.nodes.indigo.RaspberryPi"
COMPUTE_CAPABILITY = "the catalogue names tosca.capabilities.Compute, which nothing defines or offers"
MISSPELT = "an alias of a key that no TOSCA grammar knows; it has no effect"

ON_PURPOSE = {
    **{f"node_types/{SLURM.format(kind)}/artifacts": OUR_SLURM for kind in ("FrontEnd", "WorkerNode")},
    **{f"node_types/{SLURM.format(kind)}/interfaces": OUR_SLURM for kind in ("FrontEnd", "WorkerNode")},
    **{f"node_types/tosca.nodes.ec3.ElasticCluster/{part}": OUR_ELASTICITY for part in ("artifacts", "interfaces")},
    **{f"node_types/{name}": "K3s, and kubeadm without the additions, are not in the catalogue" for name in OUR_TYPES},
    f"node_types/{OUR_BOARD}": "boards are not in the catalogue: see docs/howto/raspberry-pi-provider.md",
    "node_types/tosca.nodes.indigo.Compute/properties/golden_image": "ours: see docs/howto/golden-image.md",
    "policy_types/tosca.policies.indigo.Placement/properties/sites": "ours: see docs/howto/hybrid.md",
    "policy_types/tosca.policies.indigo.Placement/properties/choose": "ours: see docs/howto/placement.md",
    "data_types/tosca.datatypes.indigo.User": "os_users of Compute names it, the catalogue does not define it",
    "node_types/tosca.nodes.eosc.Dataset/properties/dataset_id/type": "tosca.datatypes.Dataset is defined nowhere",
    "node_types/tosca.nodes.eosc.Dataset/requirements": COMPUTE_CAPABILITY,
    "node_types/tosca.nodes.eosc.DatasetList/requirements": COMPUTE_CAPABILITY,
    "node_types/tosca.nodes.eosc.dts.Dataset/requirements": COMPUTE_CAPABILITY,
    "node_types/tosca.nodes.indigo.LRMS.WorkerNode/capabilities/wn/valid_source_types": (
        "the catalogue names tosca.nodes.indigo.ElasticCluster; the type is tosca.nodes.ec3.ElasticCluster"
    ),
    "node_types/tosca.nodes.indigo.LRMS.FrontEnd.Kubernetes/properties/admin_token/value": MISSPELT,
    "node_types/tosca.nodes.Container.Runtime.Docker/capabilities/host/relationship": MISSPELT,
    "node_types/tosca.nodes.StorageSystem/capabilities/remote_storage/relationship": MISSPELT,
}

ABSENT = object()


def definitions(folder: Path) -> dict[str, Any]:
    entry = yaml.safe_load((folder / "custom_types.yaml").read_text(encoding="utf-8"))
    sections: dict[str, Any] = {section: dict(entry.get(section, {})) for section in SECTIONS}
    for name in entry.get("imports", []):
        document = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        for section in SECTIONS:
            assert not sections[section].keys() & document.get(section, {}).keys(), f"{name} defines a type again"
            sections[section] |= document.get(section, {})
    return sections


def plain(value: Any) -> Any:
    """The interface without words: descriptions left out, at any depth."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not (k == "description" and isinstance(v, str))}
    return [plain(v) for v in value] if isinstance(value, list) else value


def differences(theirs: Any, ours: Any, path: str) -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in theirs.keys() | ours.keys():
            yield from differences(theirs.get(key, ABSENT), ours.get(key, ABSENT), f"{path}/{key}")
    elif theirs != ours or type(theirs) is not type(ours):
        yield path


def listed(path: str) -> str | None:
    return next((known for known in ON_PURPOSE if path == known or path.startswith(known + "/")), None)


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return definitions(TYPES)


def test_our_types_differ_from_the_catalogue_only_where_it_is_listed(ours: dict[str, Any]) -> None:
    theirs = definitions(catalogue())
    found = {path for s in SECTIONS for path in differences(plain(theirs[s]), plain(ours[s]), s)}
    assert sorted(path for path in found if listed(path) is None) == []
    assert sorted(set(ON_PURPOSE) - {listed(path) for path in found}) == [], "listed but no longer different"


def test_every_type_of_the_catalogue_is_there(ours: dict[str, Any]) -> None:
    added = {"data_types": 1, "node_types": len(OUR_TYPES) + 1}
    assert {s: len(ours[s]) for s in SECTIONS} == {
        s: n + added.get(s, 0) for s, n in zip(SECTIONS, COUNTS, strict=True)
    }


def test_every_type_says_what_it_is_for(ours: dict[str, Any]) -> None:
    undescribed = [name for s in SECTIONS for name, d in ours[s].items() if not d.get("description")]
    assert undescribed == []


def test_implementations_are_our_playbooks_or_https(ours: dict[str, Any]) -> None:
    implementations = {
        operation["implementation"]
        for section in ("node_types", "relationship_types")
        for definition in ours[section].values()
        for interface in definition.get("interfaces", {}).values()
        for operation in interface.values()
    }
    strange = {i for i in implementations if not i.startswith("https://") and not i.startswith("playbooks/")}
    assert strange == set()
    missing = {i for i in implementations if i.startswith("playbooks/") and not (CONTENT / i).is_file()}
    assert missing == set()


@pytest.mark.parametrize("name", [*OUR_TYPES, "tosca.nodes.ec3.ElasticCluster"])
def test_types_of_our_own_run_our_own_playbooks_only(ours: dict[str, Any], name: str) -> None:
    definition = ours["node_types"][name]
    assert "artifacts" not in definition
    implementations = [o["implementation"] for o in definition["interfaces"]["Standard"].values()]
    assert all(i.startswith("playbooks/") for i in implementations)


def test_no_slurm_type_needs_the_network(ours: dict[str, Any]) -> None:
    for kind in ("FrontEnd", "WorkerNode"):
        definition = ours["node_types"][SLURM.format(kind)]
        assert "artifacts" not in definition
        implementations = [o["implementation"] for o in definition["interfaces"]["Standard"].values()]
        assert all(i.startswith("playbooks/slurm_") for i in implementations)
