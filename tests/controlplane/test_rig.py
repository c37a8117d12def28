"""The rig itself: a pod pends, a machine comes, the pod runs."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.controlplane.plane import Plane

pytestmark = pytest.mark.controlplane


def until(what: str, holds: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait until it holds, and fail with its name."""
    ends = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


def test_a_pending_pod_runs_when_a_machine_comes(plane: Plane, tmp_path: Path) -> None:
    plane.create("/api/v1/namespaces", {"metadata": {"name": "rig"}})
    container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}
    pods = "/api/v1/namespaces/rig/pods"
    plane.create(pods, {"metadata": {"name": "one"}, "spec": {"containers": [container]}})

    def conditions() -> dict[str, str]:
        return {c["type"]: c.get("reason", "") for c in plane.get(f"{pods}/one")["status"].get("conditions", [])}

    until("the scheduler says that it cannot be placed", lambda: conditions().get("PodScheduled") == "Unschedulable")
    program = [sys.executable, "-m", "tests.controlplane.heartbeat"]
    place = ["rig-1", "--folder", str(tmp_path)]
    subprocess.run([*program, "on", *place, "--kubeconfig", str(plane.kubeconfig)], check=True, timeout=20)
    try:
        until("the pod runs", lambda: plane.get(f"{pods}/one")["status"]["phase"] == "Running")
    finally:
        subprocess.run([*program, "off", *place], check=True, timeout=20)
    said = subprocess.run([*program, "status", *place], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "off"
    plane.delete("/api/v1/namespaces/rig")
    plane.delete("/api/v1/nodes/rig-1")
