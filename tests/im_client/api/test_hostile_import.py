"""Taking infrastructures over: what is said to be an export may be written by anybody who has an account."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.im_client.api.templates import TOSCA
from tests.rigs.im_serve import Client, Serve, im_serve

pytestmark = pytest.mark.slow
Document = dict[str, Any]
_OTHER = "11111111-2222-3333-4444-555555555555"


def _exported(client: Client) -> tuple[str, Document]:
    infra = client.create(TOSCA)
    return infra, client("GET", f"{infra}/data").json["data"]


def _copied(data: Document) -> Document:
    return {**copy.deepcopy(data), "id": _OTHER, "name": "other"}


def test_machines_of_another_infrastructure_are_not_taken_over(ana: Client, bob: Client) -> None:
    infra, data = _exported(ana)
    stolen = _copied(data)
    assert bob("PUT", "/infrastructures", json.dumps(stolen)).status == 200
    assert bob("PUT", f"/infrastructures/{_OTHER}/stop").status != 503
    assert bob("DELETE", f"/infrastructures/{_OTHER}").status == 200
    assert ana.vms(infra) == dict.fromkeys("012", "configured")
    assert ana("PUT", f"{infra}/vms/0/reboot").status == 200


def test_a_machine_keeps_the_address_that_its_provider_says(ana: Client) -> None:
    infra = ana.create(TOSCA)
    data = ana("GET", f"{infra}/data?delete=yes").json["data"]
    for node in data["nodes"]:
        node["private_address"] = "169.254.169.254"
    assert ana("PUT", "/infrastructures", json.dumps(data)).status == 200
    assert "169.254" not in ana("GET", f"{infra}/vms/0").text


def _node(**changes: object) -> Callable[[Document], None]:
    return lambda data: data["nodes"][0].update(changes)


def _whole(**changes: object) -> Callable[[Document], None]:
    return lambda data: data.update(changes)


def _source(**changes: object) -> Callable[[Document], None]:
    return lambda data: data.update(source=json.dumps({**json.loads(data["source"]), **changes}))


@pytest.mark.parametrize(
    "change",
    [
        _whole(id="../../../../tmp/x"),
        _whole(id="a/b"),
        _whole(id=""),
        _whole(id="a\r\nX: y"),
        _whole(id="x" * 65),
        _whole(name="../x"),
        _whole(name="a\x1b[2J"),
        _whole(created_at=1e300),
        _whole(ssh_public_key="ssh-ed25519 AAAA\nssh-ed25519 BBBB"),
        _node(name="../../x"),
        _node(name="worker-1"),
        _node(user="-oProxyCommand=true"),
        _node(port=10**30),
        _node(port=0),
        _node(number=-5),
        _node(number=1),
        _node(created_at=1e300),
        _node(token="../x"),
        _node(provider="local"),
        _source(template="https://template.invalid/other.yaml"),
        _source(counts={"worker": 10**9}),
        _source(files={}),
        _source(add_ons=["/etc/passwd"]),
    ],
)  # fmt: skip
def test_what_no_server_would_have_exported_is_refused(
    exported: Document, bob: Client, change: Callable[[Document], None]
) -> None:
    data = _copied(exported)
    change(data)
    answer = bob("PUT", "/infrastructures", json.dumps(data), Accept="application/json")
    assert answer.status in {400, 401}, answer.text  # 401: a provider that this server does not offer
    assert bob("GET", "/infrastructures").text == ""


@pytest.fixture(scope="module")
def exported(server: Serve) -> Document:
    return _exported(server.user("exporter"))[1]


def test_an_import_is_as_large_with_a_key_as_without(ana: Client) -> None:
    infra = ana.create(TOSCA)
    data = ana("GET", f"{infra}/data?delete=yes").json["data"]
    text = json.dumps(data) + " " * (5 * 2**20)
    assert ana("PUT", "/infrastructures", text, Idempotency_Key="large").status == 200


def test_a_playbook_of_the_caller_comes_in_by_no_import(exported: Document, tmp_path: Path) -> None:
    template = json.loads(exported["source"])["template"]
    play = "https://template.invalid/play.yml"
    recipe = TOSCA.replace(
        "    worker:\n",
        "    app:\n"
        "      type: tosca.nodes.SoftwareComponent\n"
        "      requirements: [{host: front}]\n"
        "      interfaces: {Standard: {configure: {implementation: "
        f'{play}, inputs: {{a: \'{{{{ lookup("file", "/etc/passwd") }}}}\'}}}}}}}}\n'
        "    worker:\n",
    )
    data = _copied(exported)
    _source(files={template: recipe, play: "- debug: {msg: x}\n"})(data)
    data.update(nodes=[], provider="local")
    with im_serve(tmp_path, IM_PROVIDER="local") as other:
        answer = other.user("eve")("PUT", "/infrastructures", json.dumps(data))
    assert answer.status in {400, 403, 404}, answer.text
