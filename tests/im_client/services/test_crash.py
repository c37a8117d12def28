"""Killed at any moment, a deployment goes on where it was and leaves nothing twice."""

import subprocess
import sys
from pathlib import Path

import pytest

from im_client.plan.model import Phase
from im_client.services.context import open_context
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy

DRIVER = Path(__file__).with_name("crash_driver.py")
ROOT = Path(__file__).parents[3]
TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: pair}
topology_template:
  node_templates:
    node:
      type: tosca.nodes.Compute
      capabilities:
        scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: 2}}
"""

pytestmark = pytest.mark.slow


def drive(folder: Path, verb: str, fatal: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(DRIVER), str(folder / "state"), str(folder / "pair.yaml"), verb, str(fatal)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(ROOT)}, check=False)


def world(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the machines that the provider has, and those that are recorded as configured."""
    state = folder / "state"
    environ = {"IM_STATE_DIR": str(state), "IM_CACHE_DIR": f"{state}/cache", "IM_PROVIDER": "fake", "HOME": str(state)}
    with open_context(environ=environ, cwd=folder) as ctx:
        machines = sorted(machine.name for machine in ctx.provider("fake").list_machines())
        recorded = [
            node.name
            for record in ctx.store.infrastructures()
            for node in ctx.store.nodes(record.id)
            if node.phase is Phase.CONFIGURED
        ]
        if recorded:
            plan = prepare_deploy(ctx, DeployRequest(str(folder / "pair.yaml"))).plan
            assert plan.is_empty, plan.steps
        return machines, recorded


def test_killed_before_and_after_every_write_of_a_deployment(tmp_path: Path) -> None:
    fatal = 0
    while True:
        fatal += 1
        folder = tmp_path / str(fatal)
        folder.mkdir()
        (folder / "pair.yaml").write_text(TEMPLATE)
        killed = drive(folder, "deploy", fatal)
        if killed.returncode == 0:
            break
        assert killed.returncode == -9, killed.stderr
        again = drive(folder, "deploy", 0)
        assert again.stdout.split()[:1] == ["done"], (fatal, again.stdout, again.stderr)
        assert world(folder) == (["node-1", "node-2"], ["node-1", "node-2"]), fatal
    assert fatal > 8


def test_killed_before_and_after_every_write_of_a_destruction(tmp_path: Path) -> None:
    fatal = 0
    while True:
        fatal += 1
        folder = tmp_path / str(fatal)
        folder.mkdir()
        (folder / "pair.yaml").write_text(TEMPLATE)
        assert drive(folder, "deploy", 0).returncode == 0
        killed = drive(folder, "destroy", fatal)
        if killed.returncode == 0:
            break
        assert killed.returncode == -9, killed.stderr
        again = drive(folder, "destroy", 0)
        assert again.stdout.split()[:1] == ["done"], (fatal, again.stdout, again.stderr)
        assert world(folder) == ([], []), fatal
    assert fatal > 4
