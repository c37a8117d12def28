"""What a role may not do is neither offered nor done: the rules are those of the REST API."""

import json

import pytest

from im_client.state.server import Role
from tests.im_client.api.dashboard.test_changing import quiet
from tests.im_client.api.dashboard.test_deploying import deploy
from tests.rigs.im_serve import Client, Serve
from tests.rigs.visitor import Visitor

pytestmark = pytest.mark.slow
NEEDED = {
    "scale": Role.SCALER,
    "vms/1/remove": Role.SCALER,
    "again": Role.OPERATOR,
    "reconfigure": Role.OPERATOR,
    "start": Role.OPERATOR,
    "stop": Role.OPERATOR,
    "reboot": Role.OPERATOR,
    "outputs": Role.OPERATOR,
    "vms/1/reconfigure": Role.OPERATOR,
    "vms/1/start": Role.OPERATOR,
    "vms/1/stop": Role.OPERATOR,
    "vms/1/reboot": Role.OPERATOR,
    "operations/{operation}/cancel": Role.OPERATOR,
    "destroy": Role.OWNER,
}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SCALER, Role.OPERATOR])
def test_what_a_role_may_not_do_is_neither_offered_nor_done(
    server: Serve, ana: Visitor, client: Client, role: Role, name: str
) -> None:
    infra = quiet(ana, client, deploy(ana, **{"in:admin_password": "hunter22"}))
    operation = client("GET", f"{infra}/operations").json["operations"][0]["id"]
    other = f"{role}-{name}"
    server.user(other)
    said = json.dumps({"username": other, "role": role})
    assert client("POST", f"{infra}/authorization", said, Content_Type="application/json").status == 200
    bob = Visitor(server.url)
    bob.sign_in(other)
    pages = [bob.get(infra), bob.get(f"{infra}/vms/1"), bob.get(f"{infra}/log")]
    assert [page.status for page in pages] == [200, 200, 200]
    assert f"you are its {role}" in pages[0].text
    for path, needed in NEEDED.items():
        where = f"{infra}/{path.format(operation=operation)}"
        if not role.allows(needed):
            assert not any(page.offers(f"/dashboard{where}") for page in pages), where
            bob.get(infra)
            refused = bob.post(where, {"count:worker": "3", "name": "x"})
            assert refused.status == 403, where
            assert f"asks for the role {needed}" in refused.text
    assert ("Operators and owners see them" in pages[0].text) is not role.allows(Role.OPERATOR)
    assert bob.get(f"{infra}/destroy").status == 403
    assert client.vms(infra) == {"0": "configured", "1": "configured"}, "nothing was done"


def test_a_scaler_scales(server: Serve, ana: Visitor, client: Client, name: str) -> None:
    infra = quiet(ana, client, deploy(ana))
    token = server.token(name, Role.SCALER, infra.rsplit("/", 1)[-1]).auth.removeprefix("Bearer ")
    daemon = Visitor(server.url)
    listed = daemon.sign_in_by_token(token)
    assert listed.offers(f"/dashboard{infra}")
    daemon.get(infra)
    quiet(ana, client, daemon.post(f"{infra}/scale", {"count:worker": "2"}))
    assert len(client.vms(infra)) == 3
    elsewhere = deploy(ana)
    assert not daemon.get("/infrastructures").offers(f"/dashboard{elsewhere.path}")
    assert daemon.get(elsewhere.path).status == 403
    for page in (daemon.get("/templates/farm"), daemon.post("/templates/farm", {"in:zone": "x"})):
        assert page.status == 403
        assert "makes no infrastructures" in page.text


def test_strangers_see_nothing_of_others(server: Serve, ana: Visitor, client: Client, name: str) -> None:
    infra = deploy(ana).path
    server.user(f"stranger-{name}")
    stranger = Visitor(server.url)
    assert "Nothing is deployed yet" in stranger.sign_in(f"stranger-{name}").text
    for path in (infra, f"{infra}/log", f"{infra}/vms/0", f"{infra}/destroy"):
        assert stranger.get(path).status == 403
    stranger.get("/infrastructures")
    assert stranger.post(f"{infra}/stop").status == 403
    nobody = Visitor(server.url)
    assert nobody.get(infra, HX_Request="true").headers["hx-redirect"] == "/dashboard/sign-in"
    assert nobody.post(f"{infra}/stop").path == "/sign-in"


def test_an_administrator_sees_all(server: Serve, ana: Visitor, name: str) -> None:
    infra = deploy(ana).path
    server.user(f"root-{name}", admin=True)
    root = Visitor(server.url)
    assert root.sign_in(f"root-{name}").offers(f"/dashboard{infra}")
    assert "you are its owner" in root.get(infra).text
