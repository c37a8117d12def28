"""Accounts over the network: who may make, change and remove them."""

import itertools
import json

import pytest

from im_client.state.server import Role
from tests.im_client.api.templates import tosca
from tests.rigs.im_serve import Client, Serve

pytestmark = pytest.mark.slow

_NUMBERS = itertools.count(1)
PASSWORD = "a long one"


@pytest.fixture
def name() -> str:
    return f"new{next(_NUMBERS)}"


@pytest.fixture
def root(server: Serve) -> Client:
    return server.user("root", admin=True)


def signed_in(client: Client, name: str, password: str = PASSWORD) -> Client:
    return Client(client.url, f"type = InfrastructureManager; username = {name}; password = {password}")


def account(client: Client, name: str) -> dict[str, object] | None:
    found = client("GET", "/users").json["accounts"]
    return next((one for one in found if one["name"] == name), None)


def test_an_administrator_makes_changes_and_removes_accounts(root: Client, name: str) -> None:
    assert root("PUT", f"/users/{name}", json.dumps({"password": PASSWORD})).status == 200
    new = signed_in(root, name)
    assert new("GET", "/infrastructures").status == 200
    assert account(root, name) == {"name": name, "admin": False, "tokens": 0}
    again = json.dumps({"password": "another one", "admin": True})
    assert root("PUT", f"/users/{name}", again).status == 200
    assert new("GET", "/infrastructures").status == 401
    new = signed_in(root, name, "another one")
    assert account(new, name) == {"name": name, "admin": True, "tokens": 0}
    assert root("DELETE", f"/users/{name}").status == 200
    assert new("GET", "/infrastructures").status == 401
    assert account(root, name) is None
    assert root("DELETE", f"/users/{name}").status == 404


def test_nobody_else_touches_accounts(server: Serve, root: Client, ana: Client, name: str) -> None:
    infra = ana.create(tosca(0))
    ident = infra.rsplit("/", 1)[1]
    limited = server.token("root", Role.OPERATOR)
    of_one = server.token("root", Role.OWNER, ident)
    body = json.dumps({"password": PASSWORD, "admin": True})
    for client in (ana, limited, of_one):
        assert client("GET", "/users").status == 403
        assert client("PUT", f"/users/{name}", body).status == 403
        assert client("DELETE", "/users/root").status == 403
        assert client("POST", "/users/root/tokens", "{}").status == 403
    assert Client(ana.url, "")("GET", "/users").status == 401
    assert account(root, name) is None
    assert account(server.token("root"), "root") is not None  # a token for all that root may


def test_administrators_do_not_lock_themselves_out(root: Client) -> None:
    assert root("DELETE", "/users/root").status == 409
    assert root("PUT", "/users/root", json.dumps({"password": PASSWORD})).status == 409
    assert root("GET", "/users").status == 200


def test_a_token_is_good_for_what_was_said(root: Client, ana: Client, name: str) -> None:
    infra = ana.create(tosca(0))
    root("PUT", f"/users/{name}", json.dumps({"password": PASSWORD}))
    body = {"role": "viewer", "infrastructure": infra.rsplit("/", 1)[1], "days": 1}
    made = root("POST", f"/users/{name}/tokens", json.dumps(body))
    assert (made.status, made.headers["cache-control"]) == (200, "no-store")
    token = Client(root.url, f"Bearer {made.json['token']}")
    assert token("GET", f"{infra}/state").status == 200
    assert token("GET", f"{infra}/radl").status == 403
    assert ana("GET", f"{infra}/authorization", Accept="application/json").json["roles"][name] == "viewer"
    assert account(root, name) == {"name": name, "admin": False, "tokens": 1}
    whole = Client(root.url, f"Bearer {root('POST', f'/users/{name}/tokens', '{}').json['token']}")
    assert whole("POST", "/infrastructures?dry_run=yes", tosca(1), Content_Type="text/yaml").status == 200
    assert root("POST", "/users/nobody/tokens", "{}").status == 404
    assert root("POST", f"/users/{name}/tokens", '{"infrastructure": "nosuch"}').status == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/users/b%20b", '{"password": "a long one"}', 404),
        ("/users/" + "b" * 65, '{"password": "a long one"}', 404),
        ("/users/bea", "", 400),
        ("/users/bea", "{}", 400),
        ("/users/bea", "[" * 5000, 400),
        ("/users/bea", '{"password": "short"}', 400),
        ("/users/bea", '{"password": "a long one", "admin": "yes"}', 400),
        ("/users/bea", '{"password": "a long one", "role": 1}', 400),
        ("/users/bea", '{"password": "a long one", "password": "another one"}', 400),
        ("/users/bea", json.dumps({"password": "x" * 1025}), 400),
    ],
)
def test_what_is_no_account_is_refused_with_one_clear_error(root: Client, path: str, body: str, status: int) -> None:
    answer = root("PUT", path, body, Accept="application/json")
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["detail"]
    assert "a long one" not in answer.text
    assert account(root, "bea") is None
