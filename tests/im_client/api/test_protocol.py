"""Who is let in, what is answered to mistakes, and what ours has beyond the original."""

import base64
import json
import urllib.request

import pytest

from im_client.state.server import Role
from tests.im_client.api.templates import TOSCA, tosca
from tests.rigs.im_serve import PASSWORD, Client, Serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.slow


def as_(client: Client, auth: str) -> Client:
    return Client(client.url, auth)


def test_the_version_and_the_health_are_told_to_everybody(server: Serve) -> None:
    nobody = Client(server.url, "")
    assert nobody("GET", "/version").status == 200
    assert "version" in nobody("GET", "/version", Accept="application/json").json
    assert nobody("GET", "/healthz").text == "ok\n"
    assert "im_requests_total" in nobody("GET", "/metrics").text


@pytest.mark.parametrize(
    "auth",
    [
        "",
        "nonsense",
        "Bearer imt_wrong",
        "Bearer a.b.c",
        "Basic !!!",
        "Basic äö",
        "Bearer ä.ö.ü",
        "Bearer imt_ä",
        "type = InfrastructureManager; username = ana",
        "type = InfrastructureManager; username = ana; password = wrong password",
        "type = Dummy; id = x",
        '[{"type": "InfrastructureManager", "username": "x", "username": "y"}]',
        "[[[[" * 2000,
    ],
)
def test_who_is_not_known_is_refused_before_anything_is_read(server: Serve, auth: str) -> None:
    answer = Client(server.url, auth)(
        "POST", "/infrastructures?dry_run=perhaps", "not: [a template", Accept="application/json"
    )
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "www-authenticate" in answer.headers
    assert answer.json["code"] == answer.json["status"] == 401
    assert answer.json["message"] == answer.json["detail"]


def test_the_forms_of_the_header_mean_the_same(server: Serve, ana: Client) -> None:
    infra = ana.create(tosca(0))
    name = ana.auth.split("username = ")[1].split(";")[0]
    line = [{"type": "InfrastructureManager", "username": name, "password": PASSWORD}, {"id": "fk", "type": "Dummy"}]
    basic = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
    trailing = f"type = InfrastructureManager;username = {name};password = {PASSWORD};\\nid = fk;type = Dummy;\\n"
    for auth in (json.dumps(line), f"Basic {basic}", trailing):
        assert as_(ana, auth)("GET", infra).status == 200
    assert server.token(name)("GET", infra).status == 200


def test_a_template_with_problems_is_told_all_of_them(ana: Client) -> None:
    broken = TOSCA.replace("num_cpus: 1", "num_cpus: two")
    answer = ana("POST", "/infrastructures", broken, Content_Type="text/yaml", Accept="application/json")
    assert answer.status == 400
    assert [problem["line"] for problem in answer.json["problems"]] == [10, 14]
    assert answer.json["problems"][0]["file"] == "template.yaml"
    text = ana("POST", "/infrastructures", broken, Content_Type="text/yaml")
    assert text.headers["content-type"].startswith("text/plain")
    assert ana("GET", "/infrastructures").text == ""


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("POST", "/infrastructures", "x", "image/png", 415),
        ("POST", "/infrastructures", "", "text/yaml", 400),
        ("POST", "/infrastructures", b"\xff\xfe", "text/yaml", 400),
        ("POST", "/infrastructures", "a: &a [*a, *a]", "text/yaml", 400),
        ("POST", "/infrastructures", "[" * 100_000, "text/yaml", 400),
        ("POST", "/infrastructures", "[" * 100_000, "application/json", 400),
        ("PUT", "/infrastructures", "{}", "application/json", 400),
        ("GET", "/infrastructures/none", None, "", 404),
        ("GET", "/infrastructures/none/nothing", None, "", 404),
        ("GET", "/operations/0", None, "", 404),
        ("GET", "/nothing", None, "", 404),
        ("PATCH", "/infrastructures", None, "", 405),
        ("GET", "/infrastructures?limit=0", None, "", 400),
        ("GET", "/stats?init_date=soon", None, "", 400),
    ],
)
def test_mistakes_have_their_status(
    ana: Client, method: str, path: str, body: str | bytes | None, kind: str, status: int
) -> None:
    answer = ana(method, path, body, Content_Type=kind, Accept="application/json")
    assert answer.status == status, answer.text
    assert answer.json["code"] == status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/infrastructures", "GET, POST, PUT"),
        ("HEAD", "/infrastructures", "GET, POST, PUT"),
        ("DELETE", "/version", "GET"),
        ("HEAD", "/version", "GET"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("PUT", "/infrastructures/x", "DELETE, GET, POST"),
        ("PUT", "/infrastructures/x/authorization", "GET, POST"),
        ("POST", "/infrastructures/x/stop", "PUT"),
        ("OPTIONS", "/infrastructures/x/vms/0", "DELETE, GET, PUT"),
        ("POST", "/infrastructures/x/vms/0/state", "GET"),
        ("POST", "/infrastructures/x/vms/0/stop", "PUT"),
        ("GET", "/vault/x", "DELETE, PUT"),
        ("HEAD", "/operations/x", "DELETE, GET"),
    ],
)
def test_a_method_that_a_path_has_not_is_told_which_it_has(server: Serve, method: str, path: str, allowed: str) -> None:
    answer = Client(server.url, "")(method, path)
    assert (answer.status, answer.headers.get("allow")) == (405, allowed)


def test_a_body_that_is_too_large_is_not_read(ana: Client) -> None:
    assert ana("POST", "/infrastructures", "#" * (5 * 2**20), Content_Type="text/yaml").status == 413


@pytest.mark.parametrize(
    "template",
    [
        TOSCA.replace("  - grycap", "  - x: /etc/passwd\n  - grycap"),
        TOSCA.replace("  - grycap", "  - x: file:///etc/passwd\n  - grycap"),
        TOSCA.replace("  - grycap", "  - x: ../../../../etc/passwd\n  - grycap"),
        TOSCA.replace("  - grycap", "  - x: http://169.254.169.254/latest/meta-data\n  - grycap"),
        TOSCA.replace("  - grycap", "  - x: https://169.254.169.254/latest/meta-data\n  - grycap"),
        TOSCA.replace("  - grycap", "  - x: https://127.0.0.1/x.yaml\n  - grycap"),
        TOSCA.replace("  - grycap", "  - x: https://localhost/x.yaml\n  - grycap"),
        TOSCA.replace("  - grycap", "  - x: https://[::ffff:10.0.0.1]/x.yaml\n  - grycap"),
        TOSCA.replace(
            "      capabilities:", "      interfaces: {Standard: {configure: /etc/passwd}}\n      capabilities:", 1
        ),
    ],
)
def test_a_template_reads_nothing_of_the_server_or_its_network(ana: Client, template: str) -> None:
    answer = ana("POST", "/infrastructures", template, Content_Type="text/yaml", Accept="application/json")
    assert answer.status == 400
    assert "root:" not in answer.text
    assert {problem["code"] for problem in answer.json["problems"]} & {
        "import-refused",
        "import-not-found",
        "unknown-artifact",
    }


def test_nobody_sees_what_is_somebody_elses(ana: Client, bob: Client) -> None:
    infra = ana.create(tosca(0))
    assert bob("GET", "/infrastructures").text == ""
    for method, path in (("GET", infra), ("GET", f"{infra}/radl"), ("DELETE", infra), ("PUT", f"{infra}/stop")):
        assert bob(method, path).status == 403
    operation = ana("GET", f"{infra}/operations").json["operations"][0]["id"]
    assert bob("GET", f"/operations/{operation}").status == 403
    assert bob("DELETE", f"/operations/{operation}").status == 403


def test_an_administrator_sees_everything(server: Serve, ana: Client) -> None:
    infra = ana.create(tosca(0))
    root = server.user("root1", admin=True)
    assert infra in root("GET", "/infrastructures").text
    assert root("DELETE", infra).status == 200


def test_roles_may_do_what_they_may(ana: Client, bob: Client) -> None:
    infra = ana.create(tosca(1))
    name = bob.auth.split("username = ")[1].split(";")[0]
    more = tosca(2)
    wanted = {
        "viewer": {"look": 200, "key": "***", "scale": 403, "stop": 403, "destroy": 403},
        "scaler": {"look": 200, "key": "***", "scale": 200, "stop": 403, "destroy": 403},
        "operator": {"look": 200, "key": "BEGIN", "scale": 200, "stop": 200, "destroy": 403},
    }
    for role, may in wanted.items():
        given = ana("POST", f"{infra}/authorization", json.dumps({"username": name, "role": role}))
        assert given.status == 200
        assert bob("GET", f"{infra}/state").status == may["look"]
        assert str(may["key"]) in bob("GET", f"{infra}/vms/0").text
        answer = bob("POST", infra, more, Content_Type="text/yaml")
        assert answer.status == may["scale"]
        if answer.status == 200:
            bob.settle(answer)
        assert bob("PUT", f"{infra}/stop").status == may["stop"]
        assert bob("DELETE", infra).status == may["destroy"]
    assert ana("GET", f"{infra}/authorization", Accept="application/json").json["roles"][name] == "operator"
    assert ana("POST", f"{infra}/authorization?overwrite=yes", json.dumps({"username": name})).status == 200
    assert ana("GET", infra).status == 403
    assert bob("DELETE", infra).status == 200


def test_a_token_for_scaling_one_infrastructure_does_nothing_else(server: Serve, ana: Client) -> None:
    infra, other = ana.create(tosca(1)), ana.create(tosca(1))
    name = ana.auth.split("username = ")[1].split(";")[0]
    token = server.token(name, Role.SCALER, infra.rsplit("/", 1)[1])
    token.settle(token("POST", infra, tosca(2), Content_Type="text/yaml"))
    assert token("DELETE", f"{infra}/vms/2").status == 200
    assert token("GET", "/infrastructures").text.endswith(infra)
    changed = token("POST", infra, tosca(2).replace("512 MiB", "1 GiB"), Content_Type="text/yaml")
    assert changed.status == 403
    for method, path in (
        ("GET", other),
        ("POST", "/infrastructures"),
        ("DELETE", infra),
        ("PUT", f"{infra}/stop"),
        ("GET", f"{infra}/data"),
        ("GET", f"{infra}/outputs"),
        ("GET", "/stats"),
    ):
        assert token(method, path, TOSCA if method == "POST" else None).status == 403, path


def test_of_two_changes_of_the_same_version_one_wins(ana: Client) -> None:
    infra = ana.create(tosca(1))
    etag = ana("GET", infra).headers["etag"]
    first = ana("POST", infra, tosca(2), Content_Type="text/yaml", If_Match=etag)
    assert first.status == 200
    ana.settle(first)
    second = ana("POST", infra, tosca(3), Content_Type="text/yaml", If_Match=etag)
    assert second.status == 412
    assert ana("DELETE", infra, If_Match='"other"').status == 412
    assert len(ana.vms(infra)) == 3


def test_one_of_several_versions_may_match_and_any_is_a_star(ana: Client) -> None:
    infra = ana.create(tosca(0))
    now = ana("GET", infra).headers["etag"]
    assert ana("PUT", f"{infra}/stop", If_Match=f'{now}, "v9"').status == 200
    assert ana("PUT", f"{infra}/start", If_Match=f'"elsewhere", "v9",{now}').status == 200
    assert ana("PUT", f"{infra}/stop", If_Match="*").status == 200
    for said in ('"v8", "v9"', '"elsewhere"', "*, *", "v0"):
        assert ana("PUT", f"{infra}/start", If_Match=said).status == 412, said


def test_what_is_read_and_what_is_changed_has_a_version(ana: Client) -> None:
    made = ana("POST", "/infrastructures", tosca(1), Content_Type="text/yaml")
    ana.settle(made)
    infra = f"/infrastructures/{made.headers['infid']}"
    for path in (infra, f"{infra}/state", f"{infra}/tosca", f"{infra}/radl"):
        assert ana("GET", path).headers["etag"] == made.headers["etag"], path
    changed = ana("POST", infra, tosca(2), Content_Type="text/yaml", If_Match=made.headers["etag"])
    ana.settle(changed)
    removed = ana("DELETE", f"{infra}/vms/2", If_Match=changed.headers["etag"])
    again = ana("PUT", f"{infra}/reconfigure", tosca(2), Content_Type="text/yaml", If_Match=removed.headers["etag"])
    ana.settle(again)
    stopped = ana("PUT", f"{infra}/stop", If_Match=again.headers["etag"])
    tags = [answer.headers["etag"] for answer in (made, changed, removed, again)]
    assert len(set(tags)) == 4
    assert stopped.headers["etag"] == ana("GET", f"{infra}/tosca").headers["etag"] == tags[-1]


def test_nothing_is_shared_or_forgotten_of_a_version_that_nobody_saw(ana: Client, bob: Client) -> None:
    infra = ana.create(tosca(0))
    old = ana("GET", infra).headers["etag"]
    ana.settle(ana("POST", infra, tosca(1), Content_Type="text/yaml"))
    member = json.dumps({"username": bob.auth.split("username = ")[1].split(";")[0]})
    assert ana("POST", f"{infra}/authorization", member, If_Match=old).status == 412
    assert ana("GET", f"{infra}/data?delete=yes", If_Match=old).status == 412
    assert bob("GET", infra).status == 403
    now = ana("GET", infra).headers["etag"]
    assert ana("POST", f"{infra}/authorization", member, If_Match=now).status == 200
    assert ana("GET", f"{infra}/data?delete=yes", If_Match=now).status == 200
    assert ana("GET", infra).status == 404


def test_of_what_a_scaler_sends_only_the_numbers_are_recorded(server: Serve) -> None:
    ana = server.user("scaled")
    infra = ana.create(tosca(1))
    token = server.token("scaled", Role.SCALER, infra.rsplit("/", 1)[1])
    before = ana("GET", f"{infra}/outputs").json
    text = token("GET", f"{infra}/tosca").text
    text = text.replace("cluster", "evil").replace("[front, private_address, 0]", "[worker, private_address, 0]")
    token.settle(token("POST", infra, text.replace("count: 1", "count: 3"), Content_Type="text/yaml"))
    assert len(ana.vms(infra)) == 4
    assert "evil" not in ana("GET", f"{infra}/tosca").text
    assert ana("GET", f"{infra}/outputs").json == before
    token.settle(token("POST", infra, text.replace("count: 1", "count: 2"), Content_Type="text/yaml"))
    assert len(ana.vms(infra)) == 3
    ana.settle(ana("POST", infra, tosca(1), Content_Type="text/yaml"))
    assert len(ana.vms(infra)) == 2


def test_a_request_repeated_with_its_key_is_done_once(ana: Client) -> None:
    key = {"Idempotency_Key": "abc"}
    first = ana("POST", "/infrastructures", tosca(0), Content_Type="text/yaml", **key)
    again = ana("POST", "/infrastructures", tosca(0), Content_Type="text/yaml", **key)
    assert first.text == again.text
    assert again.headers["idempotency-replayed"] == "true"
    assert len(ana("GET", "/infrastructures").text.splitlines()) == 1
    assert ana("POST", "/infrastructures", tosca(1), Content_Type="text/yaml", **key).status == 422
    broken = {"Idempotency_Key": "def"}
    assert ana("POST", "/infrastructures", "x", Content_Type="text/yaml", **broken).status == 400
    assert ana("POST", "/infrastructures", "x", Content_Type="text/yaml", **broken).status == 400
    ana.settle(first)


def test_an_operation_is_followed_to_its_end(ana: Client) -> None:
    made = ana("POST", "/infrastructures", tosca(5), Content_Type="text/yaml")
    request = urllib.request.Request(f"{made.headers['operation']}/events", headers={"Authorization": ana.auth})
    with urllib.request.urlopen(request, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        said = stream.read().decode()
    frames = [dict(line.split(": ", 1) for line in frame.splitlines()) for frame in said.strip().split("\n\n")]
    assert frames[0]["event"] == "run-started"
    assert frames[-1]["event"] == "end"
    assert json.loads(frames[-1]["data"])["state"] == "done"
    numbers = [int(frame["id"]) for frame in frames if "id" in frame]
    assert numbers == list(range(1, len(numbers) + 1))
    rest = ana("GET", f"{made.headers['operation']}/events", Last_Event_ID=str(numbers[-2]), Accept="text/event-stream")
    assert rest.text.count("id: ") == 1


def test_the_openapi_document_names_every_route_of_the_original(server: Serve) -> None:
    paths = Client(server.url, "")("GET", "/openapi.json").json["paths"]
    properties = ("state", "contmsg", "radl", "tosca", "outputs", "data")
    for path, methods in {
        "/infrastructures": {"get", "post", "put"},
        "/infrastructures/{infra}": {"get", "post", "delete"},
        **{f"/infrastructures/{{infra}}/{prop}": {"get"} for prop in properties},
        "/infrastructures/{infra}/authorization": {"get", "post"},
        **{f"/infrastructures/{{infra}}/{verb}": {"put"} for verb in ("start", "stop", "reconfigure")},
        "/infrastructures/{infra}/vms/{vm}": {"get", "put", "delete"},
        "/infrastructures/{infra}/vms/{vm}/{prop}": {"get"},
        **{f"/infrastructures/{{infra}}/vms/{{vm}}/{verb}": {"put"} for verb in ("start", "stop", "reboot")},
        "/infrastructures/{infra}/vms/{vm}/disks/{disk}/snapshot": {"put"},
        "/clouds/{cloud}/images": {"get"},
        "/clouds/{cloud}/images/{name}": {"delete"},
        "/clouds/{cloud}/quotas": {"get"},
        "/stats": {"get"},
        "/version": {"get"},
    }.items():
        assert methods <= set(paths[path]), path


def test_wrong_passwords_are_answered_slower_and_slower(server: Serve) -> None:
    server.user("eve")
    guess = Client(server.url, "type = InfrastructureManager; username = eve; password = guess number n")
    found = [guess("GET", "/infrastructures").status for _ in range(12)]
    assert found[0] == 401
    assert found[-1] == 503
    wait_until(lambda: guess("GET", "/version").status == 200, "others are served")


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_of_radl_that_no_float_holds_is_refused(ana: Client, number: str) -> None:
    text = f'[{{"class": "system", "id": "x", "cpu.count": {number}}}]'
    answer = ana("POST", "/infrastructures", text, Content_Type="application/json")
    assert answer.status == 400
    assert "inf" in answer.text
