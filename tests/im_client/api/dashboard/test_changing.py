"""An infrastructure as it goes on, and what is done with it."""

import re
from pathlib import Path

import pytest

from tests.im_client.api.dashboard.conftest import furnish
from tests.im_client.api.dashboard.test_deploying import deploy
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.process import wait_until
from tests.rigs.visitor import Page, Visitor

pytestmark = pytest.mark.slow


def quiet(ana: Visitor, client: Client, page: Page) -> str:
    """Wait until nothing goes on, and return the path."""
    for one in client("GET", f"{page.path}/operations").json["operations"]:
        client.settle_at(f"/operations/{one['id']}")
    ana.get(page.path)
    return page.path


def test_a_page_follows_what_goes_on_and_asks_for_nothing_that_it_has(ana: Visitor, client: Client) -> None:
    page = deploy(ana)
    part = next(a["hx-get"] for t, a in page.tags if a.get("id") == "live").removeprefix("/dashboard")
    states = []

    def is_done() -> bool:
        nonlocal part
        found = ana.get(part, HX_Request="true", HX_Trigger="live")
        if found.status == 204:
            assert found.html == ""
        else:
            assert "<html" not in found.html
            part = next(a["hx-get"] for t, a in found.tags if a.get("id") == "live").removeprefix("/dashboard")
            states.append(re.findall(r'id="said"[^>]*>([^<]*)', found.html)[0])
        return bool(states) and "configured" in states[-1] and "goes on" not in states[-1]

    wait_until(is_done, "the page says that it is configured")
    assert re.fullmatch(r"farm-\w+: configured", states[-1])
    assert ana.get(part, HX_Request="true", HX_Trigger="live").status == 204
    assert page.path in [a.get("href", "").removeprefix("/dashboard") for t, a in ana.get("/infrastructures").tags]


def test_scaling_brings_groups_to_the_numbers_that_were_written(ana: Visitor, client: Client) -> None:
    infra = quiet(ana, client, deploy(ana))
    page = ana.get(infra)
    version = next(a["value"] for t, a in page.tags if a.get("name") == "version")
    done = ana.post(f"{infra}/scale", {"count:worker": "3", "version": version})
    assert "Scaling worker to 3" in done.text
    quiet(ana, client, done)
    assert len(client.vms(infra)) == 4
    stale = ana.post(f"{infra}/scale", {"count:worker": "5", "version": version})
    assert stale.status == 412
    assert "has changed" in stale.text
    assert ana.post(f"{infra}/scale", {"count:worker": "10"}).status == 400
    assert ana.post(f"{infra}/scale", {"count:worker": "-1"}).status == 400
    assert "Nothing to do" in ana.post(f"{infra}/scale", {"count:worker": "3"}).text
    ana.get(infra)
    quiet(ana, client, ana.post(f"{infra}/scale", {"count:worker": "0"}))
    assert len(client.vms(infra)) == 1


def test_no_page_makes_a_machine_anew(server: Serve, ana: Visitor, client: Client) -> None:
    infra = quiet(ana, client, deploy(ana))
    kept = [client("GET", f"{infra}/vms/{vm}/instance_id").text for vm in range(3)]
    server.want(infra, "capabilities:\n", "capabilities:\n        os: {properties: {image: 'mock0://other'}}\n")
    for path, form in (("scale", {"count:worker": "3"}), ("again", {}), ("vms/1/remove", {})):
        ana.get(infra)
        refused = ana.post(f"{infra}/{path}", form)
        assert refused.status == 409, path
        assert "make them anew" in refused.text
    assert [client("GET", f"{infra}/vms/{vm}/instance_id").text for vm in range(3)] == kept


def test_machines_are_stopped_started_configured_and_removed(ana: Visitor, client: Client) -> None:
    infra = quiet(ana, client, deploy(ana))
    for verb, state in (
        ("stop", "stopped"),
        ("start", "configured"),
        ("reboot", "configured"),
        ("reconfigure", "configured"),
    ):
        ana.get(infra)
        page = ana.post(f"{infra}/{verb}")
        assert page.path == infra
        assert "being" in page.text
        quiet(ana, client, page)
        assert set(client.vms(infra).values()) == {state}, verb
    machine = ana.get(f"{infra}/vms/1")
    assert "worker-1" in machine.text
    assert "198.18." in machine.text
    assert "PRIVATE KEY" not in machine.html
    assert ana.post(f"{infra}/vms/1/stop").path == f"{infra}/vms/1"
    quiet(ana, client, ana.get(infra))
    assert client.vms(infra) == {"0": "configured", "1": "stopped"}
    ana.get(f"{infra}/vms/1")
    quiet(ana, client, ana.post(f"{infra}/vms/1/remove"))
    assert client.vms(infra) == {"0": "configured"}
    assert ana.get(f"{infra}/vms/1").status == 404


def test_hidden_outputs_are_shown_when_they_are_asked_for(ana: Visitor, client: Client) -> None:
    infra = quiet(ana, client, deploy(ana, **{"in:admin_password": "hunter22"}))
    page = ana.get(infra)
    assert "hunter22" not in page.html
    assert "••••••••" in page.html
    assert any(a.get("href", "").startswith("http://198.18.") for t, a in page.tags if t == "a")
    shown = ana.post(f"{infra}/outputs")
    assert "hunter22" in shown.html
    assert shown.headers["cache-control"] == "no-store"
    assert ana.get(f"{infra}/outputs").status == 405
    assert "hunter22" not in ana.get(f"{infra}/log").html


def test_destroying_asks_for_the_name(ana: Visitor, client: Client) -> None:
    infra = quiet(ana, client, deploy(ana, name="doomed"))
    question = ana.get(f"{infra}/destroy")
    name = client("GET", f"{infra}/radl").text.partition("infrastructure = '")[2].partition("'")[0]
    assert name.startswith("doomed-")
    assert f"Destroy {name}?" in question.text
    assert "2 machines" in question.text
    wrong = ana.post(f"{infra}/destroy", {"name": "doomed"})
    assert wrong.status == 422
    assert "This is not its name" in wrong.text
    assert len(client.vms(infra)) == 2
    going = ana.post(f"{infra}/destroy", {"name": name})
    assert going.status in {200, 404}, going.text
    wait_until(lambda: client("GET", f"{infra}/state").status == 404, "it is gone")
    gone = ana.get(f"{infra}?name=doomed", HX_Request="true", HX_Trigger="live")
    assert gone.headers["hx-redirect"] == "/dashboard/infrastructures"
    assert "doomed is destroyed" in ana.get("/infrastructures").text
    assert ana.get(infra).status == 404


def test_an_operation_is_cancelled(ana: Visitor, client: Client) -> None:
    page = deploy(ana, name="slow")
    operation = client("GET", f"{page.path}/operations").json["operations"][0]["id"]
    done = ana.post(f"{page.path}/operations/{operation}/cancel")
    assert done.status == 200
    assert "Nothing more of it begins" in done.text
    assert client.settle_at(f"/operations/{operation}")["state"] in {"cancelled", "partly-done", "done"}
    other = deploy(ana, name="other")
    assert ana.post(f"{other.path}/operations/{operation}/cancel").status == 404


def test_a_list_is_searched_and_turned_over(ana: Visitor, client: Client) -> None:
    found = [quiet(ana, client, deploy(ana, name=f"n{number}", **{"in:workers": "0"})) for number in range(3)]
    assert len(found) == 3
    page = ana.get("/infrastructures?q=N1")
    assert "1 infrastructure with" in page.text
    assert page.offers(f"/dashboard{found[1]}")
    assert not page.offers(f"/dashboard{found[0]}")
    assert ana.get("/infrastructures?page=99").status == 200
    assert ana.get("/infrastructures?page=x").status == 200


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    furnish(tmp_path)
    fault = "faults: [{op: create, error: QuotaExceeded, node: worker-2, times: 1}]"
    (tmp_path / "im.yaml").write_text(f"server: {{catalogue: [own]}}\nproviders: {{fake: {{{fault}}}}}\n")
    with im_serve(tmp_path) as server:
        client, ana = server.user("ana"), Visitor(server.url)
        ana.sign_in("ana")
        infra = quiet(ana, client, deploy(ana, **{"in:workers": "2"}))
        page = ana.get(infra)
        assert "create partly-done" in page.text
        assert "a scripted fault" in page.text
        assert "worker-2" in page.text
        again = ana.post(f"{infra}/again")
        assert "what is there stays" in again.text
        quiet(ana, client, again)
        assert set(client.vms(infra).values()) == {"configured"}
        assert len(client.vms(infra)) == 3
        assert "Try again" not in ana.get(infra).text
