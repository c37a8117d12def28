"""A server that is killed in the middle of its work: the next one goes on, nothing is lost and nothing is doubled."""

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.im_client.api.templates import tosca
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.slow

WORLD = "providers/fake/machines"


def kill(server: Serve) -> None:
    """Kill it as nothing can be caught, and wait until it is gone."""
    os.killpg(server.running.process.pid, signal.SIGKILL)
    server.running.process.wait(10)


def machines(folder: Path) -> list[Path]:
    """Return what the provider has."""
    return list((folder / "state" / WORLD).glob("*.json"))


def slow_machines(folder: Path) -> dict[str, str]:
    """Return settings with which making a machine takes a moment, so that there is a middle."""
    settings = folder / "im.yaml"
    settings.write_text("providers: {fake: {delay_s: {create: 0.05}}}\n")
    return {}


def test_a_deployment_goes_on_after_kill_9(tmp_path: Path) -> None:
    slow_machines(tmp_path)
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        made = ana("POST", "/infrastructures", tosca(299), Content_Type="text/yaml")
        wait_until(lambda: len(machines(tmp_path)) >= 169, "169 machines are made")
        kill(server)
    there = len(machines(tmp_path))
    assert 169 <= there < 300
    with im_serve(tmp_path) as server:
        ana = Client(server.url, ana.auth)
        operation = ana.settle_at(f"/operations/{made.headers['operation'].rsplit('/', 1)[1]}")
        assert operation["state"] == "done"
        assert len(machines(tmp_path)) == 300
        infra = f"/infrastructures/{made.headers['infid']}"
        assert ana.vms(infra) == {str(number): "configured" for number in range(300)}
        assert ana("DELETE", infra).status == 200
        assert machines(tmp_path) == []


def test_what_waits_its_turn_is_done_after_kill_9_in_its_order(tmp_path: Path) -> None:
    slow_machines(tmp_path)
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        made = ana("POST", "/infrastructures", tosca(60), Content_Type="text/yaml")
        infra = f"/infrastructures/{made.headers['infid']}"
        more = ana("POST", infra, tosca(80), Content_Type="text/yaml")
        assert more.status == 200
        wait_until(lambda: len(machines(tmp_path)) >= 5, "some machines are made")
        kill(server)
    with im_serve(tmp_path) as server:
        ana = Client(server.url, ana.auth)
        last = ana.settle_at(f"/operations/{more.headers['operation'].rsplit('/', 1)[1]}")
        assert last["state"] == "done"
        assert len(machines(tmp_path)) == len(ana.vms(infra)) == 81
        ended = ana("GET", f"{infra}/operations").json["operations"]
        assert [operation["state"] for operation in ended] == ["done", "done"]


def test_a_destruction_goes_on_after_kill_9(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("providers: {fake: {delay_s: {delete: 0.05}}}\n")
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        infra = ana.create(tosca(60))
        gone = ana("DELETE", f"{infra}?async=yes")
        assert gone.status == 200
        wait_until(lambda: len(machines(tmp_path)) <= 50, "some machines are gone")
        kill(server)
    assert machines(tmp_path)
    with im_serve(tmp_path) as server:
        ana = Client(server.url, ana.auth)
        wait_until(lambda: ana("GET", infra).status == 404, "it is gone", 60)
        assert machines(tmp_path) == []


def test_a_server_that_is_stopped_leaves_its_work_to_the_next(tmp_path: Path) -> None:
    slow_machines(tmp_path)
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        made = ana("POST", "/infrastructures", tosca(299), Content_Type="text/yaml")
        wait_until(lambda: len(machines(tmp_path)) >= 50, "some machines are made")
        server.running.process.send_signal(signal.SIGTERM)
        assert server.running.process.wait(10) == 0
    assert len(machines(tmp_path)) < 300
    with im_serve(tmp_path) as server:
        ana = Client(server.url, ana.auth)
        operation = ana.settle_at(f"/operations/{made.headers['operation'].rsplit('/', 1)[1]}")
        assert operation["state"] == "done"
        assert len(machines(tmp_path)) == 300


def test_a_cancelled_operation_starts_nothing_more_and_the_next_change_goes_on(tmp_path: Path) -> None:
    slow_machines(tmp_path)
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        made = ana("POST", "/infrastructures", tosca(299), Content_Type="text/yaml")
        infra = f"/infrastructures/{made.headers['infid']}"
        wait_until(lambda: len(machines(tmp_path)) >= 20, "some machines are made")
        assert ana("DELETE", made.headers["operation"]).status == 200
        assert ana.settle(made)["state"] == "cancelled"
        there = len(machines(tmp_path))
        assert there < 300
        assert len(ana.vms(infra)) == there
        ana.settle(ana("POST", infra, tosca(299), Content_Type="text/yaml"))
        assert len(ana.vms(infra)) == len(machines(tmp_path)) == 300


def test_a_request_whose_answer_was_lost_is_not_done_again(tmp_path: Path) -> None:
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        first = ana("POST", "/infrastructures", tosca(1), Content_Type="text/yaml", Idempotency_Key="k")
        ana.settle(first)
        kill(server)
    db = sqlite3.connect(tmp_path / "state" / "state.db")  # as if it had been killed before it had kept its answer
    db.execute("UPDATE answer SET status = NULL, sealed = NULL")
    db.execute("INSERT INTO answer (account, key, digest, created_at) VALUES ('ana', 'never-begun', x'00', 1e12)")
    db.commit()
    db.close()
    with im_serve(tmp_path) as server:
        ana = Client(server.url, ana.auth)
        again = ana("POST", "/infrastructures", tosca(1), Content_Type="text/yaml", Idempotency_Key="k")
        assert (again.status, again.headers["infid"]) == (200, first.headers["infid"])
        begun = ana("POST", "/infrastructures", tosca(1), Content_Type="text/yaml", Idempotency_Key="never-begun")
        assert begun.status == 200
        ana.settle(begun)
        assert len(ana("GET", "/infrastructures").text.splitlines()) == 2
