"""The scenario of every role, on machines of this computer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[2] / "playbooks" / "roles"

pytestmark = [pytest.mark.machines, pytest.mark.ansible, pytest.mark.slow, pytest.mark.timeout(1200)]
pytestmark.append(pytest.mark.xdist_group("servers"))  # which end sooner than the other tests with machines


LONGER = (
    "air_gap",
    "cluesd",
    "k3s_agent",
    "kubernetes",
    "longhorn_prerequisites",
    "raspberry_pi_base",
    "raspberry_pi_netboot",
    "registry_mirror",
    "slurm_worker",
)
"""Roles whose scenarios take minutes each."""
QUICK = sorted({p.parts[-3] for p in ROLES.glob("*/molecule/default")} - set(LONGER))


@pytest.mark.parametrize("role", QUICK)
def test_the_scenario_of_a_role_passes(role: str, tmp_path: Path) -> None:
    run_scenario(role, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("role", LONGER)
def test_the_longer_scenario_of_a_role_passes(role: str, tmp_path: Path) -> None:
    run_scenario(role, tmp_path)


def run_scenario(role: str, tmp_path: Path) -> None:
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join((programs, os.environ.get("PATH", os.defpath)))
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path)}
    done = subprocess.run(
        [str(Path(programs, "molecule")), "test"],
        cwd=ROLES / role,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
