"""The whole life of an infrastructure on machines of this computer, through the command line."""

from pathlib import Path
from typing import Any

import pytest

from im_client.providers.registry import provider
from tests.e2e.conftest import Im

pytestmark = [pytest.mark.machines, pytest.mark.ansible, pytest.mark.timeout(900)]


def steps(plan: dict[str, Any]) -> set[str]:
    return {step["id"] for step in plan["steps"]}


def runs_of_agent(im: Im, name: str, node: str) -> int:
    return im("ssh", name, node, "--", "cat", "/etc/agent.runs").stdout.count("run")


def machines_of(infrastructure: str) -> int:
    """How many machines of an infrastructure the provider has, recorded or not."""
    return len(provider("local", {}).list_machines(infrastructure))


def test_deploy_plan_change_scale_and_destroy(im: Im, template: str, tmp_path: Path) -> None:
    log = tmp_path / "hooks.log"
    report = im.report("deploy", template, "-y", "--name", "crew", "-i", f"hook_log={log}")
    assert report["state"] == "done"
    nodes = im.machines("crew")
    assert sorted(nodes) == ["front-1", "worker-1", "worker-2"]
    assert report["outputs"]["board"] == nodes["front-1"]["private_address"]
    assert len(report["outputs"]["workers"]) == 2
    assert report["outputs"]["sealed"] == "***"  # what a playbook derives of a secret input is secret
    assert im("outputs", "crew", "sealed", "--reveal").stdout == "of open-sesame-7\n"
    said = im("ssh", "crew", "worker-2", "--", "cat", "/etc/agent").stdout.split()
    assert said == [report["outputs"]["board"], report["outputs"]["word"]]

    # the plan of an applied plan is empty
    assert im.json("plan", template, "--name", "crew", "--detailed-exitcode")["steps"] == []

    # scaling out touches only the new worker
    assert im.report("scale", "crew", "worker=3", "-y")["state"] == "done"
    assert {node["name"] for node in im.report("deploy", template, "--name", "crew", "-y")["nodes"]} == set()
    assert runs_of_agent(im, "crew", "worker-1") == 1
    assert runs_of_agent(im, "crew", "worker-3") == 1

    # memory changes in place, another release needs another machine, and both say why
    plan = im.json("plan", template, "--name", "crew", "-i", "worker_mem=512 MiB", "--detailed-exitcode", status=3)
    assert steps(plan) == {"update:worker-1", "update:worker-2", "update:worker-3"}
    assert all(step["reason"]["text"] for step in plan["steps"])
    plan = im.json("plan", template, "--name", "crew", "-i", "release=13", "--detailed-exitcode", status=3)
    assert {step["action"] for step in plan["steps"] if step["node"] == "worker-1"} == {"replace", "configure"}
    assert any(change["forces_replace"] for step in plan["steps"] for change in step["changes"])
    im("deploy", template, "--name", "crew", "-i", "worker_mem=512 MiB", "-y")
    assert im.machines("crew")["worker-1"]["spec"]["mem_bytes"] == 512 * 2**20
    assert runs_of_agent(im, "crew", "worker-1") == 1

    # scaling in: hooks on the newest, never the front-end
    im("scale", "crew", "worker=1", "-y")
    assert sorted(im.machines("crew")) == ["front-1", "worker-1"]
    said = log.read_text().splitlines()
    assert sorted(said[:2]) == ["stop worker-2", "stop worker-3"]
    assert sorted(said[2:]) == ["delete worker-2", "delete worker-3"]

    # stop, start, reboot keep the disk
    im("stop", "crew", "worker-1")
    assert im.machines("crew")["worker-1"]["phase"] == "stopped"
    im("start", "crew", "worker-1")
    im("reboot", "crew", "worker-1")
    assert runs_of_agent(im, "crew", "worker-1") >= 1
    assert im.machines("crew")["worker-1"]["phase"] == "configured"

    im("destroy", "crew", "-y")
    assert im.json("list")["infrastructures"] == []


@pytest.mark.parametrize("phase", ["create", "wait", "configure"])
def test_killed_in_a_phase_it_goes_on_and_leaves_nothing_twice(im: Im, template: str, phase: str) -> None:
    im.kill_when(phase, "deploy", template, "-y", "--name", f"killed-{phase}")
    report = im.report("deploy", template, "-y", "--name", f"killed-{phase}")
    assert report["state"] == "done"
    nodes = im.machines(f"killed-{phase}")
    assert sorted(nodes) == ["front-1", "worker-1", "worker-2"]
    assert {node["phase"] for node in nodes.values()} == {"configured"}
    assert machines_of(report["infrastructure"]) == 3
    im("destroy", f"killed-{phase}", "-y")
    assert machines_of(report["infrastructure"]) == 0


def test_a_worker_that_fails_stops_nobody_else_and_is_mended_by_deploying_again(im: Im, template: str) -> None:
    done = im("deploy", template, "-y", "--name", "limp", "-i", "failing=worker-2", status=4)
    assert "agent.yml" in done.stderr
    assert "no luck on worker-2" in done.stderr
    nodes = im.machines("limp")
    assert nodes["worker-1"]["phase"] == "configured"
    assert nodes["worker-2"]["phase"] == "unconfigured"
    im("deploy", template, "-y", "--name", "limp", "-i", "failing=")
    assert {node["phase"] for node in im.machines("limp").values()} == {"configured"}
    assert (
        "no luck"
        in im("logs", "limp", "--ansible", "--run", im.json("show", "limp")["last_run"]["id"], status=None).stdout
        + done.stderr
    )


def test_a_second_deploy_at_the_same_time_is_refused_and_names_the_first(im: Im, template: str) -> None:
    first = im.start("deploy", template, "-y", "--name", "twice")
    assert first.stdout is not None
    for line in first.stdout:
        if '"create"' in line:
            break
    refused = im("scale", "twice", "worker=3", "-y", status=6)
    assert "im deploy" in refused.stderr
    first.communicate(timeout=280)
    assert first.returncode == 0
