"""What people write into inventories for `raspberry_pi_cluster.yml`, and leave out."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.rigs.needs import need_programs

ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / "playbooks" / "raspberry_pi_cluster.yml"

pytestmark = [pytest.mark.ansible, pytest.mark.slow, pytest.mark.timeout(180)]


def run(folder: Path, book: Path, groups: dict[str, Any], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a playbook; a machine that is gone to all the same is not there."""
    inventory = folder / "hosts.yml"
    here: dict[str, Any] = {"ansible_connection": "local", "ansible_python_interpreter": "/nowhere/python3"}
    here |= {"raspberry_pi_wait_s": 1, "raspberry_pi_find_s": 0}
    inventory.write_text(yaml.safe_dump({"all": {"vars": here, "children": groups}}))
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(book), *words]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    env |= {"ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), "ANSIBLE_ROLES_PATH": str(ROOT / "playbooks" / "roles")}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def cluster(servers: list[str], agents: list[str], **said: str) -> dict[str, Any]:
    groups = {"k3s_server": {"hosts": dict.fromkeys(servers)}, "k3s_agent": {"hosts": dict.fromkeys(agents)}}
    return {"k3s_cluster": {"children": groups, "vars": said}}


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (cluster([], ["pi-1"]), "the group k3s_server has no machine"),
        ({"k3s_cluster": {"hosts": {"pi-1": None}}}, "the group k3s_server has no machine"),
        (cluster(["pi-1"], ["pi-1", "pi-2"]), "pi-1: in k3s_server and in k3s_agent"),
        ({"k3s_server": {"hosts": {"pi-1": None}}}, "pi-1: not in the group k3s_cluster"),
        (cluster(["pi-1"], [], registry_mirror_host="bxo-1"), "bxo-1: the inventory has no such machine"),
        (cluster(["pi-1"], [], air_gap_mirror_host="bxo-1"), "bxo-1: the inventory has no such machine"),
    ],
)
def test_an_inventory_that_makes_no_cluster_is_refused_before_a_machine_is_gone_to(
    tmp_path: Path, groups: dict[str, Any], said: str
) -> None:
    done = run(tmp_path, PLAYBOOK, groups)
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
    assert "Wait until they answer" not in done.stdout


ADDRESS = """
- hosts: pi-2
  gather_facts: false
  tasks:
    - ansible.builtin.include_vars: {file: "{{ vars_file }}"}
    - ansible.builtin.include_tasks: {file: "{{ tasks_file }}"}
    - ansible.builtin.debug: {msg: "joins {{ k3s_agent_url }}"}
  vars: {k3s_agent_server_host: pi-1, k3s_agent_server_url: ""}
"""


@pytest.mark.parametrize("said", [{}, {"ansible_host": "192.0.2.11"}])
def test_a_server_that_is_gone_to_by_its_name_is_asked_for_its_address(tmp_path: Path, said: dict[str, str]) -> None:
    wanted = said.get("ansible_host") or own_address()
    role = ROOT / "playbooks" / "roles" / "k3s_agent"
    (tmp_path / "play.yml").write_text(ADDRESS)
    groups = cluster(["pi-1"], ["pi-2"])
    groups["k3s_cluster"]["children"]["k3s_server"]["hosts"]["pi-1"] = said
    words = ["-e", f"vars_file={role}/vars/main.yml tasks_file={role}/tasks/address.yml"]
    words += ["-e", f"ansible_python_interpreter={sys.executable}"]
    done = run(tmp_path, tmp_path / "play.yml", groups, *words)
    assert done.returncode == 0, done.stdout
    found = re.search(r"joins https://([0-9.]+):6443", done.stdout)
    assert found
    assert found[1] == wanted


CREDENTIALS = """
- hosts: pi-1
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: {file: "{{ tasks_file }}"}
  vars: {k3s_server_own_url: "https://192.0.2.11:6443"}
"""


def test_credentials_are_written_where_no_kubectl_made_a_folder_and_a_second_run_changes_nothing(
    tmp_path: Path,
) -> None:
    role = ROOT / "playbooks" / "roles" / "k3s_server"
    (tmp_path / "k3s.yaml").write_text("server: https://127.0.0.1:6443\n")
    tasks = (role / "tasks" / "kubeconfig.yml").read_text().replace("/etc/rancher/k3s/k3s.yaml", f"{tmp_path}/k3s.yaml")
    (tmp_path / "kubeconfig.yml").write_text(tasks)
    (tmp_path / "play.yml").write_text(CREDENTIALS)
    wanted = tmp_path / "home" / ".kube" / "pis.yaml"
    words = ["-e", f"tasks_file={tmp_path}/kubeconfig.yml k3s_server_kubeconfig_file={wanted}"]
    words += ["-e", f"ansible_python_interpreter={sys.executable}"]
    done = run(tmp_path, tmp_path / "play.yml", cluster(["pi-1"], []), *words)
    assert done.returncode == 0, done.stdout
    assert wanted.read_text() == "server: https://192.0.2.11:6443\n"
    assert [path.stat().st_mode & 0o777 for path in (wanted.parent, wanted)] == [0o700, 0o600]
    assert "changed=0" in run(tmp_path, tmp_path / "play.yml", cluster(["pi-1"], []), *words).stdout


@pytest.mark.parametrize(
    ("version", "is_right"), [({}, True), ({"k3s_program_version": "v1"}, True), ({"k3s_program_version": "v2"}, False)]
)
def test_the_version_of_a_node_is_compared_with_the_one_asked_for_if_any(
    version: dict[str, str], *, is_right: bool
) -> None:
    (task,) = [t for play in yaml.safe_load(PLAYBOOK.read_text()) for t in play["tasks"] if "Expect it" in t["name"]]
    (said,) = [line for line in task["ansible.builtin.assert"]["that"] if "kubeletVersion" in line]
    known = {"said": {"status": {"nodeInfo": {"kubeletVersion": "v1"}}}, **version}
    assert Templar(DataLoader(), known).evaluate_conditional(trust_as_template(said)) is is_right


def own_address() -> str:
    """Return the address of the default route, as Ansible finds it out."""
    need_programs("ip")
    argv = ["ip", "-4", "route", "get", "8.8.8.8"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.partition(" src ")[2]
    if not said:
        pytest.skip("no default route")
    return said.split()[0]
