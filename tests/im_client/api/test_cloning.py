"""Another infrastructure of the same template, inputs and secrets, made by the server that has them."""

import json
from pathlib import Path

import pytest

from tests.im_client.api.templates import RADL, TOSCA, tosca
from tests.rigs.im_serve import Client, Serve

pytestmark = pytest.mark.slow

WITH_INPUTS = TOSCA.replace(
    "  node_templates:",
    "  inputs:\n"
    "    n: {type: integer, default: 2}\n"
    "    word: {type: string, default: ''}\n"
    "    made: {type: string, default: random(12)}\n"
    "  node_templates:",
).replace("count: 2", "count: {get_input: n}")
WITH_INPUTS += "    said: {value: {get_input: word}}\n    made: {value: {get_input: made}}\n"


def cloned(client: Client, infra: str, **body: object) -> str:
    made = client("POST", f"{infra}/clone", json.dumps(body))
    assert made.status == 200, made.text
    assert client.settle(made)["state"] == "done"
    return "/" + made.text.split("/", 3)[3]


def test_a_clone_has_the_template_under_another_name_and_the_original_stays(ana: Client) -> None:
    infra = ana.create(TOSCA)
    other = cloned(ana, infra, name="test")
    assert other != infra
    assert len(ana.vms(other)) == 3
    assert ana("GET", f"{infra}/tosca").text == TOSCA
    assert "template_name: test" in ana("GET", f"{other}/tosca").text
    assert "name = 'test'" in ana("GET", f"{other}/radl").text
    assert ana("GET", f"{other}/authorization", Accept="application/json").json["roles"] == {
        ana.auth.split("username = ")[1].split(";")[0]: "owner"
    }


def test_inputs_that_are_said_win_and_what_was_made_is_made_anew(ana: Client) -> None:
    infra = ana.create(WITH_INPUTS)
    first = cloned(ana, infra, name="first", inputs={"n": 1, "word": "007"})
    second = cloned(ana, first, name="second", inputs={"n": "0"})
    assert (len(ana.vms(first)), len(ana.vms(second))) == (2, 1)
    one, two = (ana("GET", f"{infra}/outputs").json["outputs"] for infra in (first, second))
    assert (one["said"], two["said"]) == ("007", "007")
    assert one["made"] != two["made"]
    wrong = ana("POST", f"{infra}/clone", json.dumps({"name": "x", "inputs": {"nosuch": 1}}))
    assert wrong.status == 400
    assert "nosuch" in wrong.text


def test_numbers_of_scaling_are_not_taken_over(ana: Client) -> None:
    infra = ana.create(RADL, "text/plain")
    ana.settle(ana("POST", infra, "system worker\ndeploy worker 2\n", Content_Type="text/plain"))
    assert len(ana.vms(infra)) == 4
    other = cloned(ana, infra, name="plain")
    assert len(ana.vms(other)) == 2
    assert "name = 'plain'" in ana("GET", f"{other}/radl").text


def test_a_dry_run_says_what_it_would_be_and_makes_nothing(ana: Client) -> None:
    infra = ana.create(tosca(1))
    said = ana("POST", f"{infra}/clone?dry_run=yes", '{"name": "test"}', Accept="application/json")
    assert "deploy worker 1" in said.json["radl"]
    assert ana("GET", "/infrastructures").text.count("\n") == 0


def test_it_asks_for_an_operator_who_may_make_infrastructures(server: Serve, ana: Client, bob: Client) -> None:
    infra = ana.create(tosca(0))
    name = bob.auth.split("username = ")[1].split(";")[0]
    assert bob("POST", f"{infra}/clone", '{"name": "mine"}').status == 403
    for role, status in (("scaler", 403), ("operator", 200)):
        ana("POST", f"{infra}/authorization", json.dumps({"username": name, "role": role}))
        assert bob("POST", f"{infra}/clone", '{"name": "mine"}').status == status, role
    of_one = server.token(name, infra=infra.rsplit("/", 1)[1])
    assert of_one("POST", f"{infra}/clone", '{"name": "mine"}').status == 403


def test_what_the_servers_owner_deployed_is_cloned_there_only(server: Serve, ana: Client, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(tosca(0))
    server.im("deploy", str(tmp_path / "own.yaml"), "--name", "own", "-y")
    infra = next(
        one["id"] for one in json.loads(server.im("list", "--json"))["infrastructures"] if one["name"] == "own"
    )
    root = server.user("root", admin=True)
    refused = root("POST", f"/infrastructures/{infra}/clone", '{"name": "mine"}')
    assert refused.status == 400
    assert "own computer" in refused.text


@pytest.mark.parametrize(
    "body",
    ["", "{}", "[]", '{"name": ""}', '{"name": "a b"}', '{"name": 1}', '{"name": "a", "more": 1}',
     '{"name": "a", "inputs": []}', '{"name": "a", "inputs": ' + "[" * 5000, json.dumps({"name": "a" * 64})],
)  # fmt: skip
def test_what_is_no_clone_is_refused_with_one_clear_error(ana: Client, body: str) -> None:
    infra = ana.create(tosca(0))
    answer = ana("POST", f"{infra}/clone", body, Accept="application/json")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["detail"]
