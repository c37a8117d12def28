"""`im serve` with real machines on this computer: made, looked at, scaled, stopped, started, destroyed over REST."""

import subprocess
from pathlib import Path

import pytest

from tests.rigs.im_serve import im_serve
from tests.rigs.process import wait_until

pytestmark = [pytest.mark.machines, pytest.mark.timeout(600)]

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: served}
topology_template:
  node_templates:
    node:
      type: tosca.nodes.Compute
      capabilities:
        host: {properties: {num_cpus: 1, mem_size: 256 MiB}}
        scalable: {properties: {min_instances: 1, max_instances: 2, default_instances: 1}}
"""
FOREIGN = TEMPLATE.replace(
    "      capabilities:", "      interfaces: {Standard: {configure: https://example.org/x.yml}}\n      capabilities:"
)


def host_key(address: str) -> str:
    """Return the key that whoever has the address shows on its SSH port; "" where nothing listens."""
    argv = ["ssh-keyscan", "-T", "3", "-t", "ed25519", address]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.partition("ssh-ed25519 ")[2].strip()


def test_machines_of_this_computer_live_and_go_over_rest(tmp_path: Path) -> None:
    with im_serve(tmp_path, IM_PROVIDER="local") as server:
        ana = server.user("ana")
        refused = ana("POST", "/infrastructures", FOREIGN, Content_Type="text/yaml")
        assert refused.status == 400
        assert "does not come with this server" in refused.text
        made = ana("POST", "/infrastructures", TEMPLATE, Content_Type="text/yaml")
        infra = f"/infrastructures/{made.headers['infid']}"
        try:
            wait_until(lambda: ana.vms(infra) == {"0": "configured"}, "the machine is configured", 400)
            address = ana("GET", f"{infra}/vms/0/net_interface.0.ip").text
            key = host_key(address)
            assert key
            two = TEMPLATE.replace("default_instances: 1", "default_instances: 2")
            ana.settle(ana("POST", infra, two, Content_Type="text/yaml"))
            assert ana.vms(infra) == {"0": "configured", "1": "configured"}
            assert ana("DELETE", f"{infra}/vms/1").status == 200
            assert ana("PUT", f"{infra}/stop").status == 200
            assert ana.vms(infra) == {"0": "stopped"}
            assert host_key(address) == ""
            assert ana("PUT", f"{infra}/start").status == 200
            assert ana.vms(infra) == {"0": "configured"}
            assert host_key(address) == key
        finally:
            assert ana("DELETE", infra).status == 200
        assert host_key(address) != key  # another's machine may have the address by now
