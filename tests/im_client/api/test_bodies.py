"""Bodies of JSON: authorization, vault, what is taken over."""

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
