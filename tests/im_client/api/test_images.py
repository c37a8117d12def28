"""Images of VMs over REST: made, listed, used and deleted by those whose they are, and by nobody else."""

import json
import threading
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from im_client.state.server import Role
from tests.im_client.api.templates import tosca
from tests.im_client.api.test_restart import kill
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.slow

SNAPSHOT = "vms/0/disks/0/snapshot?image_name="
WORLD = "state/providers/fake"


def from_image(image: str, *, as_url: bool = False) -> str:
    """Return a template whose front-end starts from a golden image."""
    said = f"os: {{properties: {{image: '{image}'}}}}" if as_url else "os: {properties: {type: linux}}"
    named = "" if as_url else f"\n      properties: {{golden_image: '{image}'}}"
    front = "    front:\n      type: tosca.nodes.indigo.Compute"
    whole = tosca(0).replace(front, front + named, 1)
    return whole.replace("      capabilities:\n", f"      capabilities:\n        {said}\n", 1)


def images(client: Client) -> list[dict[str, str]]:
    return list(client("GET", "/clouds/fk/images").json["images"])


def world(folder: Path, infra: str) -> list[dict[str, object]]:
    """Return the machines of an infrastructure as the provider has them."""
    found = [json.loads(path.read_text()) for path in (folder / WORLD / "machines").glob("*.json")]
    return [machine for machine in found if machine["infrastructure"] == infra.rsplit("/", 1)[1]]


def test_a_vm_is_saved_runs_again_and_others_start_from_its_image(ana: Client) -> None:
    infra = ana.create(tosca(0))
    made = ana("PUT", f"{infra}/{SNAPSHOT}My%20Web&auto_delete=no")
    assert made.status == 200, made.text
    assert made.headers["content-type"].startswith("text/plain")
    address = made.text
    assert address.startswith("golden://fake/my-web-")
    assert ana.vms(infra) == {"0": "configured"}
    assert ana.settle(made)["kind"] == "snapshot"
    assert images(ana) == [{"uri": address, "name": "My Web"}]
    assert ana("GET", "/clouds/fk/images?filters=name=other").json == {"images": []}
    assert ana("GET", "/clouds/fk/images?filters=size=1").status == 400

    name = address.rsplit("/", 1)[1]
    for template in (from_image(address), from_image(name), from_image(address, as_url=True)):
        other = ana.create(template)
        assert ana("DELETE", f"/clouds/fk/images/{name}").status == 409, "a VM stands on it"
        assert ana("DELETE", other).status == 200
    system = f"system front (disk.0.image.url = '{address}' and net_interface.0.connection = 'n')"
    radl = f"network n (outbound = 'no')\n{system}\ndeploy front 1"
    other = ana.create(radl, "text/plain")
    assert ana("GET", f"{other}/vms/0/disk.0.image.url").text == address
    assert ana("DELETE", other).status == 200

    assert ana("DELETE", infra).status == 200
    assert len(images(ana)) == 1, "it outlives its infrastructure"
    assert ana("DELETE", f"/clouds/fk/images/{name}").status == 200
    assert images(ana) == []
    assert ana("DELETE", f"/clouds/fk/images/{name}").status == 404


def test_an_image_may_go_with_its_infrastructure(ana: Client) -> None:
    infra = ana.create(tosca(0))
    answer = ana("PUT", f"{infra}/{SNAPSHOT}web&auto_delete=yes", Accept="application/json")
    assert answer.json["uri"] == images(ana)[0]["uri"]
    assert ana("DELETE", infra).status == 200
    assert images(ana) == []


def test_what_cannot_be_saved_is_refused(ana: Client) -> None:
    infra = ana.create(tosca(0))
    assert ana("PUT", f"{infra}/vms/0/disks/1/snapshot?image_name=x").status == 400
    assert ana("PUT", f"{infra}/vms/7/disks/0/snapshot?image_name=x").status == 404
    assert ana("PUT", f"{infra}/vms/0/disks/0/snapshot").status == 400
    assert ana("PUT", f"{infra}/{SNAPSHOT}a%0Ab").status == 400
    assert ana("PUT", f"{infra}/{SNAPSHOT}web").status == 200
    assert ana("PUT", f"{infra}/{SNAPSHOT}web").status == 409, "one of the name is there"
    assert ana("GET", f"{infra}/vms/0/state").text == "configured"


def test_an_image_of_somebody_else_is_neither_shown_nor_used_nor_deleted(
    server: Serve, ana: Client, bob: Client
) -> None:
    infra = ana.create(tosca(0))
    address = ana("PUT", f"{infra}/{SNAPSHOT}web").text
    name = address.rsplit("/", 1)[1]
    mine = bob.create(tosca(0))
    assert bob("PUT", f"{mine}/{SNAPSHOT}web").text not in {"", address}
    assert address not in [one["uri"] for one in images(bob)]
    assert bob("DELETE", f"/clouds/fk/images/{name}").status == 404
    for template in (from_image(address), from_image(name), from_image(address, as_url=True)):
        refused = bob("POST", "/infrastructures", template, Content_Type="text/yaml")
        assert (refused.status, "none of yours" in refused.text) == (400, True)
        assert bob("POST", mine, template, Content_Type="text/yaml").status == 400
    data = bob("GET", f"{mine}/data").json["data"]
    source = json.loads(data["source"])
    assert bob("DELETE", mine).status == 200
    taken = {**data, "source": json.dumps({**source, "images": {"front": name, "worker": name}})}
    assert bob("PUT", "/infrastructures", json.dumps(taken)).status == 200
    assert name not in bob("GET", f"{mine}/data").json["data"]["source"]


def test_roles_and_tokens_decide_who_saves(server: Serve, ana: Client, bob: Client) -> None:
    infra = ana.create(tosca(0))
    who = bob.auth.split("username = ")[1].split(";")[0]
    assert bob("PUT", f"{infra}/{SNAPSHOT}web").status == 403
    owner = ana.auth.split("username = ")[1].split(";")[0]
    line = "\\nid = fk; type = Dummy"
    for role, status in ((Role.SCALER, 403), (Role.OPERATOR, 200)):
        token = server.token(owner, role, infra.rsplit("/", 1)[1])
        bearer = token.auth.removeprefix("Bearer ")
        limited = Client(server.url, f"type = InfrastructureManager; token = {bearer}{line}")
        assert limited("PUT", f"{infra}/{SNAPSHOT}{role}").status == status
    other = ana.create(tosca(0))
    assert ana("PUT", f"{other}/{SNAPSHOT}secret").status == 200
    assert [one["name"] for one in images(limited)] == ["operator"], "the token reaches one infrastructure"
    assert who not in str(images(ana))


def test_a_request_that_is_sent_again_makes_no_second_image(ana: Client) -> None:
    infra = ana.create(tosca(0))
    first = ana("PUT", f"{infra}/{SNAPSHOT}web", Idempotency_Key="one")
    again = ana("PUT", f"{infra}/{SNAPSHOT}web", Idempotency_Key="one")
    assert (again.status, again.text) == (200, first.text)
    assert len(images(ana)) == 1


def test_an_account_has_no_more_images_than_it_may_and_images_of_im_are_offered_where_it_is_said(
    tmp_path: Path,
) -> None:
    with im_serve(tmp_path, IM_SERVER_MOST_IMAGES="1") as server:
        ana = server.user("ana")
        infra = ana.create(tosca(0))
        record = next(one for one in json.loads(server.im("list", "--json"))["infrastructures"])
        server.im("image", "save", record["name"], "front-1", "--name", "house", "-y")
        assert images(ana) == []
        assert ana("POST", "/infrastructures", from_image("house"), Content_Type="text/yaml").status == 400
        assert ana("PUT", f"{infra}/{SNAPSHOT}one").status == 200
        refused = ana("PUT", f"{infra}/{SNAPSHOT}two", Accept="application/json")
        assert (refused.status, refused.json["type"]) == (400, "urn:im-clues:quota-exceeded")
    with im_serve(tmp_path, IM_SERVER_OFFER_IMAGES="yes") as server:
        ana = Client(server.url, ana.auth)
        assert sorted(one["name"] for one in images(ana)) == ["house", "one"]
        ana.create(from_image("house"))
        assert ana("DELETE", "/clouds/fk/images/house").status == 404, "it is not hers"


@pytest.mark.parametrize("where", ["stop", "save", "start"])
def test_a_snapshot_goes_on_after_kill_9(tmp_path: Path, where: str) -> None:
    (tmp_path / "im.yaml").write_text(f"providers: {{fake: {{delay_s: {{{where}: 3}}}}}}\n")
    with im_serve(tmp_path, IM_SERVER_WAIT_S="0.1") as server:
        ana = server.user("ana")
        infra = ana.create(tosca(0))
        asked = ana("PUT", f"{infra}/{SNAPSHOT}web")
        assert asked.status == 202
        operation = f"/operations/{asked.headers['operation'].rsplit('/', 1)[1]}"

        def is_in_the_middle() -> bool:
            (machine,) = world(tmp_path, infra)
            saved = list((tmp_path / WORLD / "images").glob("*.json"))
            is_begun = ana("GET", operation).json["state"] == "running"
            return {"stop": is_begun, "save": machine["stopped"], "start": bool(saved)}[where]  # type: ignore[return-value]

        wait_until(is_in_the_middle, f"{where} goes on")
        kill(server)
    (tmp_path / "im.yaml").write_text("")
    with im_serve(tmp_path) as server:
        ana = Client(server.url, ana.auth)
        assert ana.settle_at(operation)["state"] == "done"
        assert [one["name"] for one in images(ana)] == ["web"]
        assert ana.vms(infra) == {"0": "configured"}
        assert [machine["stopped"] for machine in world(tmp_path, infra)] == [False]


def test_a_request_whose_server_was_killed_is_answered_by_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("providers: {fake: {delay_s: {save: 3}}}\n")
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        infra = ana.create(tosca(0))

        def ask() -> None:
            with suppress(OSError, HTTPException):
                ana("PUT", f"{infra}/{SNAPSHOT}web", Idempotency_Key="one")

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: world(tmp_path, infra)[0]["stopped"] is True, "the VM is stopped")
        kill(server)
        asking.join(30)
    with im_serve(tmp_path) as server:
        ana = Client(server.url, ana.auth)
        early = ana("PUT", f"{infra}/{SNAPSHOT}web", Idempotency_Key="one")
        assert early.status == 202
        assert ana.settle(early)["state"] == "done"
        late = ana("PUT", f"{infra}/{SNAPSHOT}web", Idempotency_Key="one")
        assert (late.status, late.headers["idempotency-replayed"]) == (200, "true")
        assert [one["uri"] for one in images(ana)] == [late.text]


def test_a_vm_that_was_off_stays_off(ana: Client) -> None:
    infra = ana.create(tosca(0))
    assert ana("PUT", f"{infra}/vms/0/stop").status == 200
    assert ana("PUT", f"{infra}/{SNAPSHOT}web").status == 200
    assert ana("GET", f"{infra}/vms/0/state").text in {"off", "stopped"}


def test_how_much_room_there_is(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("providers: {fake: {capacity: 7}}\n")
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        ana.create(tosca(1))
        assert ana("GET", "/clouds/fk/quotas").json == {
            "quotas": {
                "cores": {"used": 2, "limit": -1},
                "ram": {"used": 1.0, "limit": -1},
                "instances": {"used": 2, "limit": 7},
                "volume_storage": {"used": 0.0, "limit": -1},
            }
        }
        assert ana("GET", "/clouds/other/quotas").status == 404
        said = server.im("-o", "providers.fake.capacity=7", "plan", str(_template(tmp_path)), "--provider", "fake")
        assert "fake has room for 5 machines, and this makes 9" in " ".join(said.split())


def _template(folder: Path) -> Path:
    path = folder / "large.yaml"
    path.write_text(tosca(8))
    return path
