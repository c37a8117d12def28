"""Clouds that callers bring credentials for: each opened with its own, which are kept while they are needed only."""

import json
import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.im_client.api.test_images import from_image
from tests.rigs.im_serve import PASSWORD, Client, Serve, im_serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.slow

SETTINGS = "providers: {fake: {password: sesame, delay_s: {create: %s}}}\nserver: {providers: [local, fake]}\n"
"""Of the providers that callers may use only the cloud can make anything here, and it takes one password."""


def template(count: int = 2, cloud: str = "") -> str:
    policy = (
        f"\n  policies:\n    - at: {{type: tosca.policies.indigo.Placement, targets: [web], properties: {cloud}}}"
        if cloud
        else ""
    )
    return f"""\
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [types/custom_types.yaml]
topology_template:
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities: {{scalable: {{properties: {{min_instances: 0, max_instances: 99, default_instances: {count}}}}}}}
{policy}
"""


def caller(server: Serve, name: str, *lines: str) -> Client:
    server.user(name)
    own = f"type = InfrastructureManager; username = {name}; password = {PASSWORD}"
    return Client(server.url, "\\n".join((own, *lines)))


def served(folder: Path, create_s: float = 0.0, **settings: str) -> AbstractContextManager[Serve]:
    (folder / "im.yaml").write_text(SETTINGS % create_s)
    return im_serve(folder, IM_PROVIDER="local", **settings)


MINE = "id = mine; type = Fake; password = sesame"
WRONG = "id = mine; type = Fake; password = guessed"


def site_of(server: Serve, infra: str) -> str:
    return str(json.loads(server.im("show", infra.rsplit("/", 1)[1], "--json"))["provider"])


def test_a_cloud_of_the_header_is_used_for_one_operation_after_another_and_kept_nowhere(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        ana = caller(server, "ana", MINE)
        infra = ana.create(template())
        assert site_of(server, infra) == "mine@ana"
        assert set(ana.vms(infra).values()) == {"configured"}
        assert ana("GET", "/clouds/mine/quotas").json["quotas"]["instances"]["used"] == 2
        ana.settle(ana("POST", infra, template(3), Content_Type="text/yaml"))
        assert len(ana.vms(infra)) == 3
        bare = Client(server.url, ana.auth.partition("\\n")[0])
        refused = bare("POST", infra, template(4), Content_Type="text/yaml")
        assert refused.status == 401
        assert "needs a credential of ana" in refused.text
        answer = ana("DELETE", infra)
        assert answer.status == 200, answer.text
        wait_until(lambda: ana("GET", infra).status == 404, "it is gone", 30)
    assert list((tmp_path / "state/providers/fake/machines").iterdir()) == []
    rest = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"mine@ana" in rest
    assert b"sesame" not in rest


def test_a_policy_names_it_by_its_id_and_nobody_elses_is_taken(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        ana, bob = caller(server, "ana", MINE), caller(server, "bob", WRONG)
        infra = ana.create(template(cloud="{cloud_id: mine}"))
        assert len(ana.vms(infra)) == 2
        refused = bob("POST", "/infrastructures", template(), Content_Type="text/yaml")
        assert (refused.status, "does not take this password" in refused.text) == (401, True)
        for cloud in ("{cloud_id: other}", "{sites: ['mine@ana']}", "{cloud_id: 'mine@ana'}"):
            refused = bob("POST", "/infrastructures", template(cloud=cloud), Content_Type="text/yaml")
            assert refused.status in {400, 401}, refused.text
        assert bob("GET", "/clouds/mine/quotas").status == 401
        shared = ana("POST", f"{infra}/authorization", '{"username": "bob"}', Content_Type="application/json")
        assert shared.status == 200, shared.text
        assert bob("POST", infra, template(5), Content_Type="text/yaml").status == 401
        assert len(ana.vms(infra)) == 2


def kill(server: Serve) -> None:
    os.killpg(server.running.process.pid, signal.SIGKILL)
    server.running.process.wait(10)


@pytest.mark.parametrize("vault", ["off", "own"])
def test_after_a_restart_the_vault_has_them_or_the_operation_says_what_it_needs(tmp_path: Path, vault: str) -> None:
    with served(tmp_path, 0.3, IM_SERVER_VAULT_KIND=vault, IM_PARALLEL="1") as server:
        ana = caller(server, "ana", MINE)
        if vault == "own":
            assert ana("PUT", "/vault/mine", '{"type": "Fake", "password": "sesame"}').status == 200
        made = ana("POST", "/infrastructures", template(20), Content_Type="text/yaml")
        assert made.status == 200, made.text
        machines = tmp_path / "state/providers/fake/machines"
        wait_until(lambda: machines.is_dir() and any(machines.iterdir()), "the first machine is made", 30)
        kill(server)
    with served(tmp_path, IM_SERVER_VAULT_KIND=vault) as server:
        ana = Client(server.url, ana.auth)
        ended = ana.settle_at("/operations/" + made.headers["operation"].rsplit("/", 1)[1])
        infra = "/" + made.text.split("/", 3)[3]
        if vault == "own":
            assert ended["state"] == "done"
            assert len(list(machines.iterdir())) == 20
            return
        assert ended["state"] == "failed"
        assert "needs a credential of ana" in ended["error"]
        ana.settle(ana("POST", f"{infra}", template(20), Content_Type="text/yaml"))
        assert len(list(machines.iterdir())) == 20


def test_a_cloud_that_is_down_keeps_no_images_of_others_from_being_used(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        ana = caller(server, "ana", MINE)
        saved = ana("PUT", f"{ana.create(template(1))}/vms/0/disks/0/snapshot?image_name=web").text
        assert saved.startswith("golden://mine@ana/")
        both = Client(server.url, f"{ana.auth}\\nid = other; type = Fake; password = guessed")
        assert both("GET", "/clouds/other/images").status == 401
        named = [one["uri"] for one in both("GET", "/clouds/mine/images").json["images"]]
        assert named == [saved]
        for image in (saved, saved.rsplit("/", 1)[1]):
            made = both("POST", "/infrastructures", from_image(image), Content_Type="text/yaml")
            assert made.status == 200, made.text
            both.settle(made)
        lost = both("POST", "/infrastructures", from_image("golden://other@ana/web"), Content_Type="text/yaml")
        assert (lost.status, "does not take this password" in lost.text) == (401, True)
