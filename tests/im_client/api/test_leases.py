"""Infrastructures whose lease is over are destroyed by the server itself; budgets are kept at the API."""

import json
import time
from pathlib import Path

import pytest

from im_client.services.context import open_context
from im_client.state.store import Budget, Terms
from tests.im_client.api.templates import tosca
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.slow

OFTEN = {"IM_SERVER_EXPIRE_S": "0.1"}
PRICED = "providers: {fake: {sizes: [{name: m, num_cpus: 8, mem_bytes: 68719476736, price: 0.25}]}}\n"


def end_now(server: Serve, infra: str) -> None:
    """Let a lease be over, as time would."""
    with open_context(environ=server.env, cwd=Path(server.env["HOME"])) as ctx:
        ctx.store.set_terms(infra, Terms(time.time() - 1), time.time())


def ids(ana: Client) -> list[str]:
    found = ana("GET", "/infrastructures", Accept="application/json").json
    return [one["uri"].rsplit("/", 1)[1] for one in found["uri-list"]]


def test_what_is_over_is_destroyed_and_what_is_not_stays(tmp_path: Path) -> None:
    with im_serve(tmp_path, **OFTEN) as server:
        ana = server.user("ana")
        short, long = (ana.create(tosca(1)).rsplit("/", 1)[1] for _ in range(2))
        server.im("expire", long, "1h")
        end_now(server, short)
        wait_until(lambda: ids(ana) == [long], "the one is destroyed", 30)
        assert ana("GET", f"/infrastructures/{short}").status == 404
        assert ana("GET", f"/infrastructures/{long}").status == 200


def test_a_server_that_is_killed_meanwhile_goes_on_with_it(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("providers: {fake: {delay_s: {delete: 0.3}}, }\n")
    with im_serve(tmp_path, **OFTEN) as server:
        ana = server.user("ana")
        infra = ana.create(tosca(20)).rsplit("/", 1)[1]
        end_now(server, infra)
        machines = tmp_path / "state/providers/fake/machines"
        before = len(list(machines.iterdir()))
        wait_until(lambda: len(list(machines.iterdir())) < before, "the first machines are gone", 30)
        server.running.process.kill()
        server.running.process.wait(10)
    with im_serve(tmp_path, IM_SERVER_EXPIRE_S="0") as server:  # the operation itself goes on
        ana = Client(server.url, ana.auth)
        wait_until(lambda: ids(ana) == [], "it is destroyed", 30)
        assert list(machines.iterdir()) == []


def test_one_that_cannot_be_destroyed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("providers: {fake: {faults: [{op: delete, error: Conflict, times: 2}]}}\n")
    with im_serve(tmp_path, **OFTEN) as server:
        ana = server.user("ana")
        infra = ana.create(tosca(1)).rsplit("/", 1)[1]
        end_now(server, infra)
        wait_until(lambda: ids(ana) == [], "it is destroyed at last", 30)


def test_a_budget_is_kept_whoever_asks_for_more(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text(PRICED)
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        path = ana.create(tosca(1))
        infra = path.rsplit("/", 1)[1]
        with open_context(environ=server.env, cwd=tmp_path) as ctx:
            ctx.store.set_terms(infra, Terms(None, Budget(0.6, "USD")), time.time())
        refused = ana("POST", f"/infrastructures/{infra}", tosca(3), Content_Type="text/yaml")
        assert refused.status == 402
        assert "USD an hour, and the budget is 0.6" in refused.text
        whole = ana("GET", f"{path}/data?delete=yes").text
        assert ana("PUT", "/infrastructures", whole, Content_Type="application/json").status == 200
        told = json.loads(server.im("show", infra, "--json"))
        assert told["budget"] == {"per_hour": 0.6, "currency": "USD", "allows_unknown": False}


def test_lease_and_budget_are_not_set_over_the_network(tmp_path: Path) -> None:
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        path = ana.create(tosca(1))
        for where in ("/infrastructures?expire=8h", f"{path}?budget=0.5", "/infrastructures?lease=8h&dry_run=yes"):
            refused = ana("POST", where, tosca(1), Content_Type="text/yaml")
            assert refused.status == 400
            assert "set by who runs this server" in refused.text
        assert len(ids(ana)) == 1
