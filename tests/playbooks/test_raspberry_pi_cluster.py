"""`raspberry_pi_cluster.yml` with the example inventory on four machines of this computer, up to a cluster of K3s.

The machines are containers, no Raspberry Pis: no card is written, and what only a board has is left out. K3s is the
stand-in of the role k3s_agent. What is real: machines, ssh, apt, restarts, the mirrors of K3s and of images.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks import machines

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "inventories" / "raspberry_pi"
PLAYBOOK = ROOT / "playbooks" / "raspberry_pi_cluster.yml"
STAND_IN = ROOT / "playbooks" / "roles" / "k3s_agent" / "molecule" / "default" / "files" / "k3s.py"
NAMES = ("pi-1", "pi-2", "pi-3", "box-1")
VERSION = "v1.36.4+k3s1"
PROGRAMS = {"amd64": "k3s", "arm64": "k3s-arm64", "arm": "k3s-armhf"}
OURS = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")

pytestmark = [pytest.mark.machines, pytest.mark.ansible, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)]
pytestmark.append(pytest.mark.xdist_group("servers"))


class Cluster:
    """The four machines, and the playbook with the example inventory and their addresses over those of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = json.loads((folder / "inventory" / "machines.yml").read_text("utf-8"))
        self.addresses = {name: host["ansible_host"] for name, host in made["all"]["hosts"].items()}

    def play(self, *words: str) -> dict[str, int]:
        """Run the playbook; return how much it changed on each machine that it went to."""
        said = {
            "air_gap_folder": str(self.folder / "k3s"),
            "air_gap_mirror_host": "pi-1",
            "registry_mirror_host": "box-1",
            "longhorn_prerequisites_is_required": False,
            "raspberry_pi_wait_s": 120,
        }
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(EXAMPLE)]
        argv += ["-i", str(self.folder / "inventory"), "-e", json.dumps(said), str(PLAYBOOK), *words]
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        env = {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1800, check=False)
        assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
        return {name: int(n) for name, n in re.findall(r"(?m)^(\S+) +: ok=\d+ +changed=(\d+)", done.stdout)}

    def __call__(self, name: str, command: str) -> str:
        """Run a command on a machine, and return what it prints."""
        argv = ["ssh", "-F", "/dev/null", "-i", str(self.folder / "id_ed25519"), "-o", "BatchMode=yes"]
        argv += ["-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", f"root@{self.addresses[name]}", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout

    def events(self) -> list[str]:
        """Return what the stand-in's server was told, in its order, without versions."""
        lines = self("pi-1", "cat /var/lib/rancher/k3s/server/events.log").splitlines()
        return [" ".join(line.split()[:2]) for line in lines]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    provider = machines.open_provider()
    name = f"raspberry-pi-cluster-{os.getpid()}"
    try:
        machines.create(provider, tmp_path, name, NAMES)
        yield Cluster(tmp_path)
    finally:
        machines.delete(provider, name)
        provider.close()


def release(folder: Path) -> None:
    """Lay out a release of K3s, as it is collected for machines without a way out, for three architectures."""
    folder.mkdir(parents=True)
    text = STAND_IN.read_text("utf-8").replace("@VERSION@", VERSION)
    for architecture, program in PROGRAMS.items():
        images = f"k3s-airgap-images-{architecture}.tar.zst"
        (folder / program).write_text(f"{text}# {architecture}\n", encoding="utf-8")
        (folder / images).write_text(f"images for {architecture}\n", encoding="utf-8")
        sums = [f"{digest(folder / name)}  {name}\n" for name in (program, images)]
        (folder / f"sha256sum-{architecture}.txt").write_text("".join(sums), encoding="utf-8")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_four_machines_become_a_cluster_that_a_second_run_leaves_alone_and_restarts_one_by_one(
    cluster: Cluster,
) -> None:
    files = cluster.folder / "k3s" / VERSION
    release(files)

    first = cluster.play()
    assert first.keys() == set(NAMES)
    assert all(first.values())
    nodes = json.loads(cluster("pi-1", "k3s kubectl get nodes --output=json"))["items"]
    assert sorted(node["metadata"]["name"] for node in nodes) == sorted(NAMES)
    assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes} == {VERSION}
    for name in NAMES:
        told = cluster(name, f"sha256sum /usr/local/lib/k3s/k3s-{VERSION}; findmnt -n -o FSTYPE /var/log")
        assert told.split() == [digest(files / PROGRAMS[OURS]), f"/usr/local/lib/k3s/k3s-{VERSION}", "tmpfs"]
        mirrors = cluster(name, "cat /etc/rancher/k3s/registries.yaml")
        assert f"https://{cluster.addresses['box-1']}:5001" in mirrors
    served = cluster("pi-1", "journalctl --no-pager -u air-gap-mirror")
    assert len(re.findall(rf"GET /v1.36.4%2Bk3s1/{PROGRAMS[OURS]} .* 200", served)) == len(NAMES)
    assert "unschedulable" not in json.dumps(nodes)

    assert cluster.play() == dict.fromkeys(NAMES, 0)
    assert cluster.play("--check") == dict.fromkeys(NAMES, 0)

    before = len(cluster.events())
    for name in ("pi-2", "box-1"):
        cluster(name, "touch /run/reboot-required")
    assert cluster.play("--tags", "base", "--limit", "pi-2:box-1") == {"pi-2": 5, "box-1": 5}
    turns = [[f"drain {name}", f"down {name}", f"ready {name}", f"uncordon {name}"] for name in ("pi-2", "box-1")]
    assert cluster.events()[before:] == [line for turn in turns for line in turn]

    assert cluster.play("--limit", "pi-3", "--tags", "k3s,longhorn") == {"pi-3": 0}
