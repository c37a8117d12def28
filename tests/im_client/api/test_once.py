"""A request with an idempotency key changes something once, also where it fails after it has begun."""

from pathlib import Path

import pytest

from tests.im_client.api.templates import RADL, RADL_MORE, tosca
from tests.rigs.im_serve import Client, im_serve

pytestmark = pytest.mark.slow


def test_a_template_changes_nothing_where_a_vm_to_configure_is_not_there(ana: Client) -> None:
    infra = ana.create(RADL, "text/plain")
    before = ana.vms(infra)
    for _ in range(2):
        answer = ana(
            "PUT", f"{infra}/reconfigure?vm_list=0,99", RADL_MORE, Content_Type="text/plain", Idempotency_Key="once"
        )
        assert answer.status == 404
        assert "99" in answer.text
    assert ana.vms(infra) == before
    assert len(ana("GET", f"{infra}/operations").json["operations"]) == 1


def test_a_template_that_changes_nothing_configures_once(ana: Client) -> None:
    infra = ana.create(tosca(1))
    answer = ana("PUT", f"{infra}/reconfigure", tosca(1), Content_Type="text/yaml")
    assert answer.status == 200
    ana.settle(answer)
    assert [one["kind"] for one in ana("GET", f"{infra}/operations").json["operations"]] == ["reconfigure", "create"]


def test_a_failure_after_the_change_had_begun_is_answered_again_and_not_done_again(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("providers: {fake: {faults: [{op: stop, error: CommandFailed}]}}\n")
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        infra = ana.create(tosca(0))
        first = ana("PUT", f"{infra}/stop", Idempotency_Key="a")
        again = ana("PUT", f"{infra}/stop", Idempotency_Key="a")
        assert (first.status, again.status, again.text) == (400, 400, first.text)
        assert again.headers["idempotency-replayed"] == "true"
        assert len(ana("GET", f"{infra}/operations").json["operations"]) == 2
        assert ana("PUT", f"{infra}/stop", Idempotency_Key="b").status == 200
