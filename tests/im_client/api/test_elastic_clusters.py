"""A cluster that scales itself gets from the server what it asks with: nobody makes a token by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from im_client.services.context import open_context
from im_client.services.elastic import WATCHES_ONLY
from im_client.state.store import Endpoint
from infracore.content import content_folder
from tests.im_client.api.templates import TOSCA
from tests.im_client.remote.loopback import serve
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.process import wait_until
from tests.rigs.visitor import Page, Visitor

pytestmark = pytest.mark.slow

URL = "http://10.9.8.7:8800"
TEMPLATES = content_folder() / "tosca_templates"
ELASTIC = (TEMPLATES / "slurm_elastic.yaml").read_text("utf-8")
YAML = {"Content_Type": "text/yaml"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with im_serve(tmp_path_factory.mktemp("elastic"), IM_SERVER_PUBLIC_URL=f"{URL}/") as running:
        yield running


def endpoint(server: Serve, infra: str) -> Endpoint | None:
    """Return what is recorded of an infrastructure; what its front-end gets."""
    with open_context(environ=server.env, cwd=Path(server.env["HOME"])) as ctx:
        return ctx.store.infrastructure(infra.rsplit("/", 1)[1]).source.endpoint


def given(server: Serve, infra: str) -> Client:
    found = endpoint(server, infra)
    assert found is not None
    return Client(server.url, f"Bearer {found.token.reveal()}")


def with_count(count: int) -> str:
    """Return what cluesd would send to have so many workers."""
    return f"""\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    worker:
      type: tosca.nodes.indigo.Compute
      capabilities: {{scalable: {{properties: {{count: {count}}}}}}}
"""


def test_its_token_scales_it_and_nothing_else(server: Serve, ana: Client) -> None:
    infra, other = ana.create(ELASTIC), ana.create(ELASTIC)
    found = endpoint(server, infra)
    assert found is not None
    assert (found.url, found.authorities) == (URL, "")
    daemon = given(server, infra)
    settled = daemon.settle(daemon("POST", infra, with_count(2), **YAML))
    assert (settled["state"], len(daemon.vms(infra))) == ("done", 3)
    assert endpoint(server, infra) == found
    for method, path in (
        ("GET", f"{other}/state"),
        ("POST", other),
        ("DELETE", infra),
        ("PUT", f"{infra}/reconfigure"),
    ):
        assert daemon(method, path, with_count(1), **YAML).status == 403
    assert daemon("GET", f"{infra}/data").status == 403
    [token] = ana("GET", f"{infra}/tokens").json["tokens"]
    assert (token["name"], token["role"], token["account"], token["expires_at"]) == ("cluesd", "scaler", None, None)


def test_its_token_is_shown_nowhere_and_rests_sealed(server: Serve, ana: Client) -> None:
    infra = ana.create(ELASTIC)
    found = endpoint(server, infra)
    assert found is not None
    text = found.token.reveal()
    shown = [
        "state",
        "contmsg",
        "tosca",
        "radl",
        "outputs",
        "data",
        "tokens",
        "authorization",
        "vms/0",
        "vms/0/contmsg",
    ]
    for path in ("", *(f"/{name}" for name in shown)):
        answer = ana("GET", f"{infra}{path}")
        assert answer.status == 200, path
        assert text not in answer.text, path
    dry = ana("POST", "/infrastructures?dry_run=yes", ELASTIC, Accept="application/json", **YAML)
    assert (dry.status, "imt_" in dry.text) == (200, False)
    name = infra.rsplit("/", 1)[1]
    for words in (("show", name, "--json"), ("logs", name), ("outputs", name, "--json"), ("list", "--json")):
        assert text not in server.im(*words)
    assert text not in server.running.said()
    folder = Path(server.env["IM_STATE_DIR"])
    assert [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()] == []


def test_it_stays_the_same_and_is_revoked_with_the_infrastructure(server: Serve, ana: Client) -> None:
    infra = ana.create(ELASTIC)
    before, daemon = endpoint(server, infra), given(server, infra)
    ana.settle(ana("PUT", f"{infra}/reconfigure"))
    ana.settle(ana("POST", infra, ELASTIC, **YAML))
    assert endpoint(server, infra) == before
    assert ana("DELETE", infra).status == 200
    assert daemon("GET", f"{infra}/state").status == 401


def test_one_that_is_forgotten_takes_its_token_along_and_gets_another_when_it_is_back(
    server: Serve, ana: Client
) -> None:
    infra = ana.create(ELASTIC)
    daemon = given(server, infra)
    data = ana("GET", f"{infra}/data?delete=yes").json["data"]
    assert daemon("GET", f"{infra}/state").status == 401
    assert ana("PUT", "/infrastructures", json.dumps(data), Content_Type="application/json").status == 200
    assert daemon("GET", f"{infra}/state").status == 401
    assert endpoint(server, infra) is None
    ana.settle(ana("PUT", f"{infra}/reconfigure"))
    assert given(server, infra)("GET", f"{infra}/state").status == 200


def test_one_that_its_owner_revoked_is_made_anew_when_it_is_configured(server: Serve, ana: Client) -> None:
    infra = ana.create(ELASTIC)
    daemon = given(server, infra)
    assert ana("DELETE", f"{infra}/tokens/cluesd").status == 200
    assert daemon("GET", f"{infra}/state").status == 401
    ana.settle(ana("PUT", f"{infra}/reconfigure"))
    assert daemon("GET", f"{infra}/state").status == 401
    assert given(server, infra)("GET", f"{infra}/state").status == 200


def test_a_template_that_says_where_it_asks_is_left_alone(server: Serve, ana: Client) -> None:
    for name, value in (("im_url", "https://elsewhere.example"), ("im_token", "imt_theirs")):
        said = ELASTIC.replace(f"{name}: {{get_input: {name}}}", f"{name}: {value}")
        assert said != ELASTIC
        infra = ana.create(said)
        assert endpoint(server, infra) is None
        assert ana("GET", f"{infra}/tokens").json == {"tokens": []}


def test_one_that_does_not_scale_itself_gets_none(server: Serve, ana: Client) -> None:
    infra = ana.create(TOSCA)
    assert endpoint(server, infra) is None
    assert ana("GET", f"{infra}/tokens").json == {"tokens": []}


@pytest.mark.parametrize("name", ["k3s_elastic.yaml", "kubernetes_elastic.yaml"])
def test_the_other_templates_get_theirs(server: Serve, ana: Client, name: str) -> None:
    infra = ana.create((TEMPLATES / name).read_text("utf-8"))
    assert given(server, infra)("GET", f"{infra}/state").status == 200


def fields(page: Page) -> set[str]:
    return {a["name"].removeprefix("in:") for _, a in page.tags if a.get("name", "").startswith("in:")}


def test_the_dashboard_asks_for_nothing_that_the_server_says_and_deploys_alike(server: Serve) -> None:
    ana = server.user("visitor")
    visitor = Visitor(server.url)
    assert visitor.sign_in("visitor").status == 200
    form = visitor.get("/templates/slurm_elastic")
    assert {"idle_s", "worker_max"} <= fields(form)
    assert {"im_url", "im_infrastructure", "im_token"} & fields(form) == set()
    plan = visitor.post("/templates/slurm_elastic", {"in:worker_max": "2"})
    assert plan.path.startswith("/drafts/"), plan.text
    page = visitor.post(f"{plan.path}/deploy")
    infra = page.path.split("?")[0]
    wait_until(lambda: ana("GET", f"{infra}/state").json["state"]["state"] != "pending", "it is made", 60)
    found = endpoint(server, infra)
    assert found is not None
    assert given(server, infra)("GET", f"{infra}/state").status == 200
    for path in (infra, f"{infra}/outputs", f"{infra}/log", plan.path):
        assert found.token.reveal() not in visitor.get(path).html
    daemon = given(server, infra)
    assert daemon.settle(daemon("POST", infra, with_count(1), **YAML))["state"] == "done"
    assert "update by the token cluesd" in visitor.get(infra).text


def test_a_form_takes_the_text_of_what_is_a_file_elsewhere(server: Serve) -> None:
    server.user("kuber")
    visitor = Visitor(server.url)
    visitor.sign_in("kuber")
    named = fields(visitor.get("/templates/kubernetes_elastic"))
    assert {"kube_network_objects", "kube_repository_key_text"} <= named
    assert {"kube_network_manifest", "kube_repository_key"} & named == set()
    objects = "apiVersion: v1\r\n" + "# 0123456789\r\n" * 10_000
    plan = visitor.post("/templates/kubernetes_elastic", {"in:kube_network_objects": objects})
    assert plan.path.startswith("/drafts/"), plan.text[:2000]


def test_without_an_address_of_the_server_the_form_asks_and_the_plan_says_what_is_missing(tmp_path: Path) -> None:
    with im_serve(tmp_path) as server:
        server.user("ana")
        visitor = Visitor(server.url)
        visitor.sign_in("ana")
        assert {"im_url", "im_infrastructure", "im_token"} <= fields(visitor.get("/templates/slurm_elastic"))
        plan = visitor.post("/templates/slurm_elastic", {"in:worker_max": "2"})
        assert "Cluesd will only watch" in plan.text
        assert "server.public_url" in plan.text


def test_one_from_before_the_server_had_an_address_gets_it_when_it_is_configured(tmp_path: Path) -> None:
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        infra = ana.create(ELASTIC)
        assert endpoint(server, infra) is None
        assert ana("GET", f"{infra}/tokens").json == {"tokens": []}
    with im_serve(tmp_path, IM_SERVER_PUBLIC_URL=URL) as server:
        ana = Client(server.url, ana.auth)
        ana.settle(ana("PUT", f"{infra}/reconfigure"))
        first = endpoint(server, infra)
    with im_serve(tmp_path, IM_SERVER_PUBLIC_URL="https://im.example") as server:
        ana = Client(server.url, ana.auth)
        ana.settle(ana("PUT", f"{infra}/reconfigure"))
        second = endpoint(server, infra)
        assert first is not None
        assert second == Endpoint("https://im.example", first.token)


@pytest.mark.sshd
@pytest.mark.parametrize("public_url", ["", URL])
def test_the_log_says_once_that_it_only_watches_where_nobody_says_where_it_asks(
    tmp_path: Path, public_url: str
) -> None:
    machine = serve(tmp_path / "sshd")
    key = tmp_path / "key"
    key.touch(mode=0o600)
    assert machine.access.private_key is not None
    key.write_text(machine.access.private_key.reveal())
    row = {
        "name": "one",
        "address": "127.0.0.1",
        "port": machine.access.port,
        "user": machine.access.user,
        "key_file": str(key),
        "host_key": machine.access.host_key,
    }
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": [row]}))
    (tmp_path / "im.yaml").write_text(f"providers: {{existing: {{hosts_file: {tmp_path / 'hosts.yaml'}}}}}\n")
    # Ansible must come to its end before it does anything: the machine is this computer
    settings = {"IM_PROVIDER": "existing", "IM_ANSIBLE_PROGRAM": "/bin/false", "IM_SERVER_PUBLIC_URL": public_url}
    try:
        with im_serve(tmp_path, **settings) as server:
            ana = server.user("ana")
            infra = ana.create(ELASTIC.replace("default: 2 GiB", "default: 64 MiB"))
            said = ana("GET", f"{infra}/contmsg").text
            assert said.count(WATCHES_ONLY) == (0 if public_url else 1), said
            assert "phase front-1 configure" in said
            assert ana("DELETE", f"{infra}?force=yes").status == 200
    finally:
        machine.stop()
