"""The Infrastructure Manager's own client, as users have it, drives our server through a whole life cycle."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.im_client.api.templates import RADL, RADL_MORE, TOSCA, tosca
from tests.rigs.im_client import program
from tests.rigs.im_serve import PASSWORD, Serve, im_serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.im_client


class ImClient:
    """Runs `im_client` as a user does."""

    def __init__(self, server: Serve, folder: Path) -> None:
        self._folder = folder
        server.user("ana")
        auth = folder / "auth.dat"
        auth.write_text(
            f"id = im; type = InfrastructureManager; username = ana; password = {PASSWORD}\nid = fk; type = Dummy\n"
        )
        self._argv = [str(program()), "-r", server.url, "-a", str(auth), "-y"]

    def __call__(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [*self._argv, *words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def file(self, name: str, text: str) -> str:
        path = self._folder / name
        path.write_text(text)
        return str(path)

    def create(self, name: str, text: str) -> str:
        said = self("create", self.file(name, text))
        found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", said)
        assert found is not None, said
        wait_until(lambda: "configured" in self("getstate", found[0]), "the infrastructure is configured")
        return found[0]

    def states(self, infra: str) -> dict[str, str]:
        """Return VM id -> state, as `getstate` prints them."""
        return dict(re.findall(r"^\s*VM (\d+).*?:? (?:is in state )?(\w+)\s*$", self("getstate", infra), re.MULTILINE))


@pytest.fixture
def im(tmp_path: Path) -> Iterator[ImClient]:
    with im_serve(tmp_path) as server:
        yield ImClient(server, tmp_path)


def life_cycle(im: ImClient, infra: str, more: str, vms: list[str]) -> None:
    """Everything between create and destroy; `more` adds two workers to the two VMs or so that there are."""
    assert infra in im("list")
    assert "run-started" in im("getcontmsg", infra)
    said = im("getvminfo", infra, vms[0])
    assert "system front" in said
    assert im("getvminfo", infra, vms[0], "state").strip().splitlines()[-1] == "configured"
    assert "system front" in im("getradl", infra)
    assert "system worker" in im("getinfo", infra)

    said = im("addresource", infra, more)
    added = re.findall(r"\d+", said.rsplit("ids", 1)[-1].rsplit(":", 1)[-1])
    assert len(added) == 2, said
    wait_until(lambda: im("getstate", infra).count("configured") >= len(vms) + 2, "the new VMs are configured")

    im("removeresource", infra, ",".join(added))
    assert "ERROR" not in im("getvminfo", infra, vms[0])
    im("getvminfo", infra, added[0], status=1)

    im("stop", infra)
    assert "stopped" in im("getstate", infra)
    im("start", infra)
    assert "configured" in im("getstate", infra)
    im("stopvm", infra, vms[0])
    assert im("getvminfo", infra, vms[0], "state").strip().splitlines()[-1] == "stopped"
    im("startvm", infra, vms[0])
    im("rebootvm", infra, vms[0])
    assert im("getvminfo", infra, vms[0], "state").strip().splitlines()[-1] == "configured"
    im("reconfigure", infra)
    im("getvmcontmsg", infra, vms[0])

    im("destroy", infra)
    assert infra not in im("list")
    im("getstate", infra, status=1)


def test_the_original_client_drives_an_infrastructure_made_from_tosca(im: ImClient) -> None:
    infra = im.create("cluster.yaml", TOSCA)
    assert re.search(r"^ip = 198\.18\.0\.[1-3]$", im("getoutputs", infra), re.MULTILINE)  # made side by side
    life_cycle(im, infra, im.file("more.yaml", tosca(4)), ["0", "1", "2"])


def test_the_original_client_drives_an_infrastructure_made_from_radl(im: ImClient) -> None:
    infra = im.create("cluster.radl", RADL)
    life_cycle(im, infra, im.file("more.radl", RADL_MORE), ["0", "1"])


def test_the_original_client_alters_exports_and_imports(im: ImClient, tmp_path: Path) -> None:
    infra = im.create("cluster.radl", RADL)
    im("alter", infra, "0", im.file("alter.radl", "system front (cpu.count = 4)"))
    assert "cpu.count = 4" in im("getvminfo", infra, "0")
    said = im("-q", "export", infra, "1")
    data = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert infra not in im("list")
    im("import", im.file("infra.json", json.dumps(data)))
    assert infra in im("list")
    assert "configured" in im("getstate", infra)


def test_a_name_that_nobody_has_destroys_nothing(im: ImClient) -> None:
    """With the original server `-n destroy` of an unknown name destroyed another infrastructure (facts, section 2)."""
    infra = im.create("cluster.radl", RADL)
    im("-n", "destroy", "nosuchname", status=1)
    assert infra in im("list")
    im("-n", "destroy", "radl-cluster")
    assert infra not in im("list")


def test_the_original_client_is_told_what_is_wrong(im: ImClient) -> None:
    said = im("create", im.file("broken.yaml", "tosca_definitions_version: tosca_simple_yaml_1_3\nx: 1\n"), status=1)
    assert "unknown" in said
    assert "0.1" in im("getversion")


def test_images_and_quotas_of_a_cloud_are_read(im: ImClient) -> None:
    assert im("cloudimages", "fk")
    assert "instances" in im("cloudusage", "fk")
