"""A worker is saved, the next one starts from it and is configured as ever; files go there and back."""

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Im

pytestmark = [pytest.mark.machines, pytest.mark.ansible, pytest.mark.timeout(300)]


def test_a_worker_from_a_golden_image_is_ready_and_itself(im: Im, template: str, tmp_path: Path) -> None:
    image = f"e2e-golden-{os.getpid()}"
    im("deploy", template, "-y", "--name", "gold", "-i", "worker_count=1")
    try:
        saved = im.json("image", "save", "gold", "worker-1", "--name", image, "--use", "-y")
        assert im.machines("gold")["worker-1"]["phase"] == "configured"
        assert im.report("scale", "gold", "worker=2", "-y")["state"] == "done"
        nodes = im.machines("gold")
        assert {node["phase"] for node in nodes.values()} == {"configured"}
        assert {name: node["golden_image"] for name, node in nodes.items()} == {
            "front-1": None,
            "worker-1": None,
            "worker-2": image,
        }

        def told(node: str, *words: str) -> str:
            return im("ssh", "gold", node, "--", *words).stdout

        assert told("worker-2", "cat", "/etc/agent.runs").count("run") == 2  # the saved one's, and its own
        assert told("worker-2", "hostname") == "worker-2\n"
        assert told("worker-1", "cat", "/etc/machine-id") != told("worker-2", "cat", "/etc/machine-id")
        assert saved["private"] == []

        (tmp_path / "a;b $(c)").write_text("there and back")
        im("scp", "gold", str(tmp_path / "a;b $(c)"), "worker-2:/root/")
        im("scp", "gold", "worker-2:/root/a;b $(c)", str(tmp_path / "back"))
        assert (tmp_path / "back").read_text() == "there and back"
        assert image in im("image", "delete", image, "-y", status=1).stderr
    finally:
        im("destroy", "gold", "-y", "--skip-hooks")
        im("image", "delete", image, "-y", status=None)
    assert image not in {one["name"] for one in im.json("image", "list")["images"]}
