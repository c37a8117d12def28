"""The example inventory of Raspberry Pis, as Ansible reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INVENTORY = ROOT / "inventories" / "raspberry_pi"
GUIDE = ROOT / "docs" / "howto" / "raspberry-pi-cluster.md"

pytestmark = [pytest.mark.ansible, pytest.mark.slow]


def ansible(program: str, *words: str) -> str:
    argv = [str(Path(sys.executable).with_name(program)), "-i", str(INVENTORY), *words]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def listing() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(ansible("ansible-inventory", "--list"))
    return read


def test_there_are_a_server_and_three_workers_one_of_them_no_raspberry_pi(listing: dict[str, Any]) -> None:
    assert listing["k3s_server"]["hosts"] == ["pi-1"]
    assert listing["k3s_agent"]["hosts"] == ["pi-2", "pi-3", "box-1"]
    assert listing["raspberry_pi"]["hosts"] == ["pi-1", "pi-2", "pi-3"]


def test_every_board_says_what_it_is_and_becomes_and_the_other_machine_has_nothing_to_write(
    listing: dict[str, Any],
) -> None:
    variables = listing["_meta"]["hostvars"]
    wanted = {
        f"raspberry_pi_{name}" for name in ("node", "defaults", "image", "serial", "mac", "model", "storage", "power")
    }
    for name in listing["raspberry_pi"]["hosts"]:
        assert wanted <= set(variables[name])
        (wired,) = variables[name]["raspberry_pi_node"]["interfaces"]
        assert wired["address"] == f"{variables[name]['ansible_host']}/24"
    assert not wanted & set(variables["box-1"])


def test_no_disk_is_named_so_that_nobody_writes_one_by_accident(listing: dict[str, Any]) -> None:
    assert not [name for name, own in listing["_meta"]["hostvars"].items() if "raspberry_pi_device" in own]


def test_the_playbook_and_the_inventory_fit_together() -> None:
    playbook = str(ROOT / "playbooks" / "raspberry_pi_cluster.yml")
    assert "box-1" in ansible("ansible-playbook", playbook, "--list-hosts")


def test_every_variable_of_the_example_is_in_the_guide() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    files = [path for folder in ("group_vars", "host_vars") for path in sorted((INVENTORY / folder).glob("*.yml"))]
    names = {name for path in files for name in yaml.safe_load(path.read_text(encoding="utf-8"))}
    assert [name for name in sorted(names) if f"`{name}`" not in guide] == []
