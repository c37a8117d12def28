"""`im --server` through whole life cycles, at our own server and at the original Infrastructure Manager."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.servers import ORIGINAL, OURS, Site, site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("servers")]

RADL = """\
description cluster (name = 'radl-cluster')
network net (outbound = 'yes')
system front (
  cpu.count = 1 and memory.size = 512m and net_interface.0.connection = 'net' and
  net_interface.0.dns_name = 'front' and disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
system worker (
  cpu.count = 1 and memory.size = 512m and net_interface.0.connection = 'net' and
  disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
contextualize ()
deploy front 1
deploy worker @input.workers@
"""


@dataclass(frozen=True)
class Im:
    """Runs `im` as a user does."""

    site: Site
    folder: Path

    def run(self, *words: str, server: str = "") -> "subprocess.CompletedProcess[str]":
        env = {name: value for name, value in os.environ.items() if not name.startswith("IM_")}
        env |= {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state"), "NO_COLOR": "1"}
        env |= {"IM_STATE_DIR": str(self.folder / "mine"), "IM_REMOTE_POLL_S": "0.2"}
        flags = ["--server", server or self.site.url, "--auth-file", str(self.site.auth_file)]
        argv = [sys.executable, "-m", "im_client.cli.main", *flags, *words]
        return subprocess.run(
            argv, env=env, cwd=self.folder, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip

    def __call__(self, *words: str, status: int = 0) -> str:
        done = self.run(*words)
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == status, f"{words}: {done.returncode}\n{said}"
        assert "secret" not in said
        assert "correct horse" not in said
        return done.stdout if status == 0 else done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))

    def machines(self, infra: str) -> dict[str, str]:
        """Return names and phases, group by group in the order of their making."""
        return {node["name"]: node["phase"] for node in self.json("show", infra)["nodes"]}

    def of_group(self, infra: str, group: str) -> list[str]:
        return [node["name"] for node in self.json("show", infra)["nodes"] if node["group"] == group]


@pytest.fixture(params=[OURS, ORIGINAL], scope="module")
def im(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Im]:
    with site(request.param, tmp_path_factory.mktemp("server")) as running:
        yield Im(running, tmp_path_factory.mktemp("user"))


def test_a_life_from_radl(im: Im) -> None:
    (im.folder / "cluster.radl").write_text(RADL)
    words = ("cluster.radl", "-i", "workers=2", "--name", "radl-cluster")
    planned = im.json("plan", *words)
    assert [(step["action"], step["group"]) for step in planned["steps"]] == [
        ("create", "front"), ("create", "worker"), ("create", "worker"),
    ]  # fmt: skip
    assert im.json("list") == {"infrastructures": []}

    im("deploy", *words, "-y")
    (listed,) = im.json("list")["infrastructures"]
    assert (listed["name"], listed["state"], listed["machines"]) == ("radl-cluster", "configured", {"configured": 3})
    infra = listed["id"]
    assert set(im.machines("radl-cluster").values()) == {"configured"}
    assert im.machines(infra[:12]).keys() == im.machines("radl-cluster").keys()
    assert im("plan", *words, "--detailed-exitcode").count("nothing to do") == 1

    old = im.of_group(infra, "worker")
    im("scale", "radl-cluster", "worker=4", "-y")
    workers = im.of_group(infra, "worker")
    assert workers[:2] == old
    assert len(workers) == 4

    im("scale", infra, "--remove", workers[1], "-y")
    assert im.of_group(infra, "worker") == [workers[0], *workers[2:]]
    im("scale", infra, "worker=1", "-y")
    assert im.of_group(infra, "worker") == [workers[0]]

    im("stop", infra, workers[0])
    assert im.machines(infra) == {"front": "configured", workers[0]: "stopped"} or not im.site.is_original
    assert im.machines(infra)[workers[0]] == "stopped"
    im("start", infra, workers[0])
    assert im.machines(infra)[workers[0]] == "configured"
    im("stop", infra)
    assert set(im.machines(infra).values()) == {"stopped"}
    im("start", infra)
    im("reboot", infra)
    im("reconfigure", infra)
    im("reconfigure", infra, workers[0])
    assert set(im.machines(infra).values()) == {"configured"}

    assert im("logs", infra).strip()
    assert "worker" in im("inventory", infra)
    assert "RADL" in im("outputs", infra, status=2) if im.site.is_original else im("outputs", infra) == ""
    im("refresh", infra)
    im("destroy", infra, "-y")
    assert im.json("list") == {"infrastructures": []}
    assert "no infrastructure" in im("show", infra, status=1)
