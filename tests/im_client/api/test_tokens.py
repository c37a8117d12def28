"""Tokens of an infrastructure over the network: who may make them, and what they are good for."""

import json

import pytest

from im_client.state.server import Role
from tests.im_client.api.templates import RADL, TOSCA, tosca
from tests.rigs.im_serve import Client, Serve

pytestmark = pytest.mark.slow


def made(client: Client, infra: str, **body: object) -> Client:
    answer = client("POST", f"{infra}/tokens", json.dumps(body))
    assert answer.status == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return Client(client.url, f"Bearer {answer.json['token']}")


def test_an_owner_makes_lists_and_revokes_them(ana: Client, bob: Client) -> None:
    infra = ana.create(TOSCA)
    token = made(ana, infra, role="scaler", name="mine", days=1)
    made(ana, infra, role="viewer")
    listed = ana("GET", f"{infra}/tokens")
    assert "imt_" not in listed.text
    mine, other = listed.json["tokens"]
    assert (mine["name"], mine["role"], mine["account"]) == ("mine", "scaler", None)
    assert mine["expires_at"] - mine["created_at"] == 86400
    assert (other["role"], other["expires_at"]) == ("viewer", None)
    for client in (bob, token):
        assert client("GET", f"{infra}/tokens").status == 403
        assert client("POST", f"{infra}/tokens", '{"role": "viewer"}').status == 403
        assert client("DELETE", f"{infra}/tokens/mine").status == 403
    assert token("GET", f"{infra}/state").status == 200
    assert ana("DELETE", f"{infra}/tokens/mine").status == 200
    assert token("GET", f"{infra}/state").status == 401
    assert ana("DELETE", f"{infra}/tokens/mine").status == 404


def test_a_scaler_scales_its_own_infrastructure_and_nothing_else(ana: Client) -> None:
    infra, other = ana.create(tosca(0)), ana.create(TOSCA)
    token = made(ana, infra, role="scaler")
    assert token.settle(token("POST", infra, tosca(2), Content_Type="text/yaml"))["state"] == "done"
    assert len(token.vms(infra)) == 3
    assert token("GET", "/infrastructures").text.split() == [ana.url + infra]
    for method, path in (("GET", f"{other}/state"), ("DELETE", infra), ("PUT", f"{infra}/stop")):
        assert token(method, path).status == 403
    assert token("GET", f"{infra}/outputs").status == 403
    assert token("POST", "/infrastructures", TOSCA, Content_Type="text/yaml").status == 403


def test_a_scaler_sees_what_an_infrastructure_made_from_radl_is_called(ana: Client) -> None:
    infra = ana.create(RADL, "text/plain")
    token = made(ana, infra, role="scaler")
    assert "name = 'radl-cluster'" in token("GET", f"{infra}/radl").text


def test_it_outlasts_whoever_made_it_and_goes_with_the_infrastructure(server: Serve, ana: Client, bob: Client) -> None:
    infra = ana.create(TOSCA)
    token = made(ana, infra, role="viewer")
    name = bob.auth.split("username = ")[1].split(";")[0]
    body = json.dumps({"username": name})
    assert ana("POST", f"{infra}/authorization?overwrite=yes", body).status == 200
    assert ana("GET", f"{infra}/state").status == 403
    assert token("GET", f"{infra}/state").status == 200
    assert bob("DELETE", infra).status == 200
    assert token("GET", f"{infra}/state").status == 401
    assert token("GET", "/infrastructures").status == 401


def test_a_token_of_an_account_is_listed_and_revoked_alike(server: Serve, ana: Client) -> None:
    infra = ana.create(TOSCA)
    name = ana.auth.split("username = ")[1].split(";")[0]
    token = server.token(name, Role.OWNER, infra.rsplit("/", 1)[1])
    listed = token("GET", f"{infra}/tokens").json["tokens"]
    assert [(one["account"], one["role"]) for one in listed] == [(name, "owner")]
    assert ana("DELETE", f"{infra}/tokens/{listed[0]['name']}").status == 200
    assert token("GET", f"{infra}/state").status == 401


def test_one_that_has_nobody_behind_it_gets_no_role(ana: Client) -> None:
    infra = ana.create(TOSCA)
    token = made(ana, infra, role="scaler").auth.removeprefix("Bearer ")
    assert ana("POST", f"{infra}/authorization", json.dumps({"token": token, "role": "owner"})).status == 400


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"role": "owner"}',
        '{"role": "operator"}',
        '{"role": "root"}',
        '{"role": "viewer", "name": "a b"}',
        '{"role": "viewer", "name": ""}',
        '{"role": "viewer", "name": "cluesd"}',
        '{"role": "viewer", "days": 0}',
        '{"role": "viewer", "days": 1e300}',
        '{"role": "viewer", "days": "1"}',
        '{"role": "viewer", "more": 1}',
        '{"role": "viewer", "name": ' + "[" * 5000,
    ],
)
def test_what_is_no_token_is_refused_with_one_clear_error(ana: Client, body: str) -> None:
    infra = ana.create(tosca(0))
    answer = ana("POST", f"{infra}/tokens", body, Accept="application/json")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["detail"]
    assert ana("GET", f"{infra}/tokens").json == {"tokens": []}


def test_two_of_one_name_are_refused(ana: Client) -> None:
    infra = ana.create(tosca(0))
    made(ana, infra, role="viewer", name="one")
    assert ana("POST", f"{infra}/tokens", '{"role": "viewer", "name": "one"}').status == 409
    assert ana("POST", "/infrastructures/none/tokens", '{"role": "viewer"}').status == 404
