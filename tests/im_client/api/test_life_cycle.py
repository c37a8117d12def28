"""The REST API from a template to nothing left, on machines that are only written down."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.im_client.api.templates import RADL, RADL_MORE, TOSCA, tosca
from tests.rigs.im_serve import Answer, Client, Serve, im_serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.slow


def test_an_infrastructure_is_made_listed_looked_at_and_destroyed(ana: Client) -> None:
    made = ana("POST", "/infrastructures", TOSCA, Content_Type="text/yaml")
    assert made.status == 200
    assert made.headers["content-type"].startswith("text/uri-list")
    assert made.text.endswith(made.headers["infid"])
    assert ana.settle(made)["state"] == "done"
    infra = f"/infrastructures/{made.headers['infid']}"
    assert ana("GET", "/infrastructures").text == made.text
    assert ana("GET", infra, Accept="application/json").json["uri-list"] == [
        {"uri": f"{made.text}/vms/{number}"} for number in range(3)
    ]
    assert ana("GET", f"{infra}/state").json == {
        "state": {"state": "configured", "vm_states": dict.fromkeys("012", "configured")}
    }
    assert "run-ended" in ana("GET", f"{infra}/contmsg").text
    assert ana("GET", f"{infra}/tosca").text == TOSCA
    assert ana("GET", f"{infra}/outputs").json["outputs"]["ip"].startswith("198.18.")
    assert "deploy worker 2" in ana("GET", f"{infra}/radl").text
    gone = ana("DELETE", infra)
    assert (gone.status, gone.text) == (200, "")
    assert ana("GET", "/infrastructures").text == ""
    assert ana("GET", infra).status == 404
    assert ana("GET", gone.headers["operation"]).json["state"] == "done"


def test_all_vms_are_announced_at_once(ana: Client) -> None:
    made = ana("POST", "/infrastructures", tosca(40), Content_Type="text/yaml")
    vms = ana("GET", f"/infrastructures/{made.headers['infid']}").text.splitlines()
    assert len(vms) == 41
    ana.settle(made)


def test_a_template_sent_back_with_another_count_adds_and_removes(ana: Client) -> None:
    infra = ana.create(TOSCA)
    added = ana("POST", infra, tosca(4), Content_Type="text/yaml", Accept="application/json")
    ana.settle(added)
    assert [uri["uri"].rsplit("/", 1)[1] for uri in added.json["uri-list"]] == ["3", "4"]
    fewer = ana("POST", infra, tosca(2, extra=", removal_list: [1]"), Content_Type="text/yaml")
    ana.settle(fewer)
    assert sorted(ana.vms(infra)) == ["0", "2", "3"]
    assert "removal_list" not in ana("GET", f"{infra}/tosca").text


def test_removed_vms_leave_the_template_that_is_read_back(ana: Client) -> None:
    infra = ana.create(tosca(3))
    assert ana("DELETE", f"{infra}/vms/2,3").status == 200
    assert sorted(ana.vms(infra)) == ["0", "1"]
    said = ana("GET", f"{infra}/tosca").text
    assert "count: 1" in said
    ana.settle(ana("POST", infra, said.replace("count: 1", "count: 2"), Content_Type="text/yaml"))
    assert sorted(ana.vms(infra)) == ["0", "1", "4"]  # a number is never given twice


def test_a_vm_that_the_template_wants_is_not_removed(ana: Client) -> None:
    infra = ana.create(TOSCA)
    answer = ana("DELETE", f"{infra}/vms/0")
    assert answer.status == 400
    assert "scalable" in answer.text
    assert len(ana.vms(infra)) == 3


def test_radl_adds_to_what_was_made_from_radl_and_from_tosca(ana: Client) -> None:
    for infra in (ana.create(RADL, "text/plain"), ana.create(TOSCA)):
        before = len(ana.vms(infra))
        ana.settle(ana("POST", infra, RADL_MORE, Content_Type="text/plain"))
        assert len(ana.vms(infra)) == before + 2


def test_radl_comes_as_json_too_and_goes_back_as_it_came(ana: Client) -> None:
    document = [
        {"class": "network", "id": "net"},
        {"class": "system", "id": "node", "cpu.count_min": 2, "net_interface.0.connection": "net"},
        {"class": "deploy", "system": "node", "vm_number": 1},
    ]
    infra = ana.create(json.dumps(document), "application/json")
    radl = ana("GET", f"{infra}/vms/0", Accept="application/json").json["radl"]
    system = next(part for part in radl if part["class"] == "system")
    assert (system["id"], system["cpu.count"]) == ("node", 2)
    again = ana.create(ana("GET", f"{infra}/radl").text, "text/plain")
    assert len(ana.vms(again)) == 1


def test_vms_stop_start_and_restart(ana: Client) -> None:
    infra = ana.create(TOSCA)
    assert ana("PUT", f"{infra}/vms/1/stop").status == 200
    assert ana.vms(infra) == {"0": "configured", "1": "stopped", "2": "configured"}
    assert ana("GET", f"{infra}/vms/1/state").text == "stopped"
    assert ana("PUT", f"{infra}/stop").status == 200
    assert ana("GET", f"{infra}/state").json["state"]["state"] == "stopped"
    assert ana("PUT", f"{infra}/start").status == 200
    assert ana("PUT", f"{infra}/vms/2/reboot").status == 200
    assert ana("GET", f"{infra}/state").json["state"]["state"] == "configured"


def test_a_vm_alone_is_altered_and_one_of_many_is_not(ana: Client) -> None:
    infra = ana.create(TOSCA)
    altered = ana("PUT", f"{infra}/vms/0", "system front (cpu.count = 4)", Content_Type="text/plain")
    assert altered.status == 200
    assert ana("GET", f"{infra}/vms/0/cpu.count").text == "4"
    refused = ana("PUT", f"{infra}/vms/1", "system worker (cpu.count = 4)", Content_Type="text/plain")
    assert refused.status == 409
    assert "worker-2" in refused.text
    assert ana("GET", f"{infra}/vms/1/cpu.count").text == "1"


def test_a_machine_is_made_anew_only_where_that_is_said(ana: Client) -> None:
    infra = ana.create(RADL, "text/plain")
    kept = ana("GET", f"{infra}/vms/0/instance_id").text
    other = RADL.replace("mock0://linux", "mock0://other")
    alone = "system front (disk.0.image.url = 'mock0://other')"
    for method, path, body in (
        ("PUT", f"{infra}/vms/0", alone),
        ("POST", infra, other),
        ("PUT", f"{infra}/reconfigure", other),
    ):
        for query in ("", "?replace=no"):
            refused = ana(method, path + query, body, Content_Type="text/plain")
            assert refused.status == 409, path
            assert "front" in refused.text
            assert "replace=yes" in refused.text
    assert ana("GET", f"{infra}/radl").text.count("mock0://other") == 0
    assert ana("GET", f"{infra}/vms/0/instance_id").text == kept

    altered = ana("PUT", f"{infra}/vms/0?replace=yes", alone, Content_Type="text/plain")
    assert altered.status == 200
    assert ana("GET", f"{infra}/vms/0/instance_id").text != kept
    ana.settle(ana("POST", f"{infra}?replace=yes", other, Content_Type="text/plain"))
    assert ana("GET", f"{infra}/radl").text.count("mock0://other") == 2


def test_removing_a_vm_makes_no_other_anew_unless_that_is_said(server: Serve, ana: Client) -> None:
    infra = ana.create(RADL, "text/plain")
    kept = ana("GET", f"{infra}/vms/0/instance_id").text
    server.want(infra, "mock0://linux", "mock0://other")
    refused = ana("DELETE", f"{infra}/vms/1")
    assert refused.status == 409
    assert "front" in refused.text
    assert "replace=yes" in refused.text
    assert ana.vms(infra) == {"0": "configured", "1": "configured"}
    assert ana("DELETE", f"{infra}/vms/1?replace=yes").status == 200
    assert ana.vms(infra) == {"0": "configured"}
    assert ana("GET", f"{infra}/vms/0/instance_id").text != kept


def test_a_dry_run_says_what_is_needed_and_makes_nothing(ana: Client) -> None:
    answer = ana("POST", "/infrastructures?dry_run=yes", TOSCA, Content_Type="text/yaml")
    assert (
        answer.json["fake"]["compute"]
        == [{"cpuCores": 1, "memoryInMegabytes": 512, "diskSizeInGigabytes": 0, "publicIP": 0, "GPU": 0}] * 3
    )
    assert ana("GET", "/infrastructures").text == ""


def test_an_infrastructure_is_exported_forgotten_and_imported(ana: Client, bob: Client) -> None:
    infra = ana.create(TOSCA)
    data = ana("GET", f"{infra}/data?delete=yes").json["data"]
    assert ana("GET", infra).status == 404
    assert bob("PUT", "/infrastructures", json.dumps(data)).status == 200
    assert bob.vms(infra) == dict.fromkeys("012", "configured")
    assert bob("PUT", "/infrastructures", json.dumps(data)).status == 409
    assert bob("DELETE", infra).status == 200


def test_statistics_tell_of_what_is_and_of_what_was(ana: Client, bob: Client) -> None:
    infra = ana.create(TOSCA)
    other = ana.create(TOSCA)
    ana("DELETE", other)
    found = {one["inf_id"]: one for one in ana("GET", "/stats").json["stats"]}
    assert found[infra.rsplit("/", 1)[1]]["vm_count"] == 3
    assert found[other.rsplit("/", 1)[1]]["deleted"] is True
    assert ana("GET", "/stats", Accept="text/csv").text.startswith("inf_id,tosca_name")
    assert bob("GET", "/stats").json["stats"] == []


def test_the_list_has_pages_and_a_filter(ana: Client) -> None:
    infras = [ana.create(tosca(number)) for number in range(3)]
    first = ana("GET", "/infrastructures?limit=2", Accept="application/json")
    assert [uri["uri"].rsplit("/", 1)[1] for uri in first.json["uri-list"]] == [
        infra.rsplit("/", 1)[1] for infra in reversed(infras[1:])
    ]
    following = first.headers["link"].partition(">")[0].strip("<")
    assert ana("GET", following).text.endswith(infras[0])
    assert ana("GET", "/infrastructures?filter=count:%202").text.endswith(infras[2])
    assert ana("GET", "/infrastructures?filter=(a%2B)%2B%24&limit=1").status == 200
    assert ana("GET", "/infrastructures?filter=(").status == 400


def test_two_at_once_that_want_ten_get_ten(ana: Client) -> None:
    infra = ana.create(tosca(0))
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(ana("POST", infra, tosca(10), Content_Type="text/yaml"))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200, 200]
    assert all(ana.settle(answer)["state"] == "done" for answer in answers)
    assert len(ana.vms(infra)) == 11


def test_destroying_ends_what_else_goes_on(server: object, ana: Client) -> None:
    made = ana("POST", "/infrastructures", tosca(300), Content_Type="text/yaml")
    infra = f"/infrastructures/{made.headers['infid']}"
    assert ana("DELETE", infra).status == 200
    assert ana("GET", infra).status == 404
    wait_until(lambda: ana("GET", made.headers["operation"]).json["state"] in {"cancelled", "done"}, "the first ended")


@pytest.mark.parametrize("context", ["0", "no", "false"])
def test_context_may_be_said_in_three_ways(ana: Client, context: str) -> None:
    infra = ana.create(tosca(1))
    answer = ana("POST", f"{infra}?context={context}", tosca(2), Content_Type="text/yaml")
    assert answer.status == 200
    ana.settle(answer)


def test_a_machine_that_vanished_is_seen_and_made_again(tmp_path: Path) -> None:
    with im_serve(tmp_path, IM_SERVER_REFRESH_S="0") as server:
        ana = server.user("ana")
        infra = ana.create(tosca(1))
        gone = ana("GET", f"{infra}/vms/1/instance_id").text
        (tmp_path / "state" / "providers" / "fake" / "machines" / f"{gone}.json").unlink()
        wait_until(lambda: ana.vms(infra)["1"] == "off", "the machine is off")
        ana.settle(ana("POST", infra, tosca(1), Content_Type="text/yaml"))
        wait_until(lambda: ana.vms(infra) == {"0": "configured", "1": "configured"}, "it is there again")


TEMPLATES = sorted((Path(__file__).resolve().parents[3] / "tosca_templates").glob("*.yaml"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_our_own_templates_are_taken_as_they_are(ana: Client, path: Path) -> None:
    """They import types that lie beside them here, and beside nothing once they were sent."""
    text = path.read_text()
    answer = ana("POST", "/infrastructures?dry_run=yes", text, Content_Type="text/yaml", Accept="application/json")
    assert answer.status == 200, answer.text
    assert answer.json["fake"]["compute"]


def test_an_infrastructure_that_is_destroyed_by_many_at_once_is_destroyed_for_all(ana: Client) -> None:
    infra = ana.create(tosca(40))
    begin = threading.Barrier(8)

    def destroy(_: int) -> int:
        begin.wait(10)
        return ana("DELETE", infra).status

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(destroy, range(8)))
    assert 200 in found
    assert found <= {200, 404}
