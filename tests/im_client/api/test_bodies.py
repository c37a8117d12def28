"""Bodies of JSON: authorization, vault, what is taken over."""

import json

import pytest

from tests.im_client.api.templates import tosca
from tests.rigs.im_serve import Client

pytestmark = pytest.mark.slow
DEEP = '{"x": ' + "[" * 30_000 + "]" * 30_000 + "}"


@pytest.mark.parametrize("body", [DEEP, '{"username": "a", "username": "b"}', "[]", "{"])
def test_hostile_json_is_refused(ana: Client, body: str) -> None:
    infra = ana.create(tosca(0))
    for method, path in (("POST", f"{infra}/authorization"), ("PUT", "/infrastructures")):
        answer = ana(method, path, body, Content_Type="application/json", Accept="application/json")
        assert (answer.status, answer.json["status"]) == (400, 400), path


@pytest.mark.parametrize(("kind", "status"), [("text/yaml", 415), ("text/plain", 415), ("application/json", 400)])
def test_what_is_said_not_to_be_json_is_not_read_as_such(ana: Client, kind: str, status: int) -> None:
    infra = ana.create(tosca(0))
    for method, path in (("POST", f"{infra}/authorization"), ("PUT", "/infrastructures")):
        assert ana(method, path, "{}", Content_Type=f"{kind}; charset=utf-8").status == status, path


def test_an_answer_of_data_is_taken_over_as_it_came_and_without_its_cover(ana: Client) -> None:
    infra = ana.create(tosca(1))
    for take in (lambda text: text, lambda text: json.dumps(json.loads(text)["data"])):
        whole = ana("GET", f"{infra}/data?delete=yes").text
        assert ana("GET", infra).status == 404
        assert ana("PUT", "/infrastructures", take(whole), Content_Type="application/json").status == 200
        assert len(ana.vms(infra)) == 2
    for text in ('{"data": 1}', '{"data": {}, "more": 1}', '{"data": {"data": {}}}'):
        assert ana("PUT", "/infrastructures", text, Content_Type="application/json").status == 400
