"""Every template of ours is right as it stands, and its plan makes what it says."""

from pathlib import Path

import pytest
import yaml

from im_client.plan.build import build
from im_client.plan.model import Action, Known, Limits
from im_client.services.templates import FileReader
from im_client.topology.model import OperationPhase, Topology
from im_client.tosca.front import analyse
from tests.im_client.tosca_cases.places import CONTENT

TEMPLATES = CONTENT / "tosca_templates"
NAMES = sorted(p.name for p in TEMPLATES.glob("*.yaml"))
MACHINES = {
    "simple_node.yaml": {"node": 1},
    "simple_node_disk.yaml": {"node": 1},
    "nfs_cluster.yaml": {"server": 1, "client": 2},
    "existing_hosts.yaml": {"host": 1},
    "k3s.yaml": {"front": 1, "worker": 2},
    "k3s_elastic.yaml": {"front": 1, "worker": 0},
    "raspberry_pi_k3s.yaml": {"front": 1, "worker": 2},
    "kubeadm.yaml": {"front": 1, "worker": 2},
    "kubernetes_elastic.yaml": {"front": 1, "worker": 0},
    "slurm_elastic.yaml": {"front": 1, "worker": 0},
}


def topology_of(name: str, work: Path, **inputs: int) -> Topology:
    analysis = analyse(str(TEMPLATES / name), FileReader(work, offline=True), inputs=inputs)
    assert analysis.problems == ()
    assert analysis.topology is not None
    return analysis.topology


@pytest.mark.parametrize("name", NAMES)
def test_a_template_of_ours_has_no_problem_and_all_its_playbooks(name: str, tmp_path: Path) -> None:
    topology = topology_of(name, tmp_path)
    assert topology.operations
    for operation in topology.operations:
        assert Path(operation.implementation.location).is_file(), operation.id
        assert operation.implementation.digest
        assert operation.requires == (), "our templates need neither Galaxy nor the network"


@pytest.mark.parametrize("name", NAMES)
def test_the_first_plan_makes_every_machine_and_configures_what_has_operations(name: str, tmp_path: Path) -> None:
    topology = topology_of(name, tmp_path)
    plan = build("golden", topology, Known(), Limits("fake"))
    made = [step.group for step in plan.steps if step.action is Action.CREATE]
    assert {group: made.count(group) for group in topology.groups} == {n: g.count for n, g in topology.groups.items()}
    configured = {step.group for step in plan.steps if step.action is Action.CONFIGURE}
    assert configured == {o.group for o in topology.operations if topology.groups[o.group].count}


@pytest.mark.parametrize("name", MACHINES)
def test_a_template_asks_for_these_machines_by_default(name: str, tmp_path: Path) -> None:
    assert {n: g.count for n, g in topology_of(name, tmp_path).groups.items()} == MACHINES[name]


@pytest.mark.parametrize(
    ("name", "front", "worker"),
    [
        ("k3s.yaml", "k3s_server_delete.yml", "k3s_agent_delete.yml"),
        ("raspberry_pi_k3s.yaml", "k3s_server_delete.yml", "k3s_agent_delete.yml"),
        ("kubeadm.yaml", "kubernetes_control_plane_delete.yml", "kubernetes_worker_delete.yml"),
    ],
)
def test_every_machine_leaves_its_cluster_before_it_is_deleted(
    name: str, front: str, worker: str, tmp_path: Path
) -> None:
    operations = topology_of(name, tmp_path).operations
    leaving = {o.group: Path(o.implementation.location).name for o in operations if o.phase is OperationPhase.DELETE}
    assert leaving == {"front": front, "worker": worker}


def test_a_board_is_prepared_before_it_joins_and_emptied_by_the_front_end_where_it_restarts(tmp_path: Path) -> None:
    operations = topology_of("raspberry_pi_k3s.yaml", tmp_path).operations
    runs = [
        (o.group, Path(o.implementation.location).name, o) for o in operations if o.phase is OperationPhase.CONFIGURE
    ]
    assert [(group, name) for group, name, _ in runs] == [
        ("front", "raspberry_pi_base.yml"),
        ("worker", "raspberry_pi_base.yml"),
        ("front", "k3s_server.yml"),
        ("worker", "k3s_agent.yml"),
    ]
    play = yaml.safe_load((CONTENT / "playbooks" / "raspberry_pi_base.yml").read_text(encoding="utf-8"))
    for _, _, operation in runs[:2]:
        assert all(name in str(play) for name in operation.inputs)
        assert "front_end_ip" in operation.inputs


def test_the_clients_of_nfs_are_configured_after_the_server(tmp_path: Path) -> None:
    tiers = {o.component: o.tier for o in topology_of("nfs_cluster.yaml", tmp_path, clients=3).operations}
    assert tiers["share"] < tiers["mount"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_elastic.yaml")])
def test_cluesd_comes_after_the_cluster_and_knows_the_group_and_the_limits_of_its_workers(
    name: str, tmp_path: Path
) -> None:
    topology = topology_of(name, tmp_path, worker_max=7)
    (elastic,) = [o for o in topology.operations if o.component == "elastic"]
    front_end = [o for o in topology.operations if o.component == "lrms_front_end" and o.group == "front"]
    assert elastic.group == "front"
    assert all(o.tier < elastic.tier for o in front_end)
    given = {name: str(value) for name, value in elastic.inputs.items()}
    assert given["worker_group"] in topology.groups
    assert given["max_nodes"] == "7" == str(topology.groups["worker"].maximum)
    assert given["lrms"] == ("slurm" if name.startswith("slurm") else "kubernetes")


def test_no_input_of_the_slurm_front_end_names_workers(tmp_path: Path) -> None:
    """`im scale` touches only the new worker."""
    text = (TEMPLATES / "types" / "lrms.yaml").read_text(encoding="utf-8")
    front = text.partition("implementation: playbooks/slurm_front_end.yml")[2].partition("\n\n")[0]
    assert "get_attribute: [HOST, private_address, 0]" in front
    assert "wn_ips" not in front
