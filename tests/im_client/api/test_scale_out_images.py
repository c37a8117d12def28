"""A worker on PostgreSQL that dies while it saves a VM: another goes on, and there is one image."""

import os
import signal
from pathlib import Path

import pytest

from tests.im_client.api.templates import tosca
from tests.rigs.im_cluster import cluster
from tests.rigs.im_serve import Answer, Client
from tests.rigs.process import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


def test_a_snapshot_goes_on_when_its_worker_is_killed(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IM_SERVER_WAIT_S", "0.1")
    with cluster(tmp_path, postgres_url, delays={"save": 2.0}) as machines:
        first, second = machines.serve("server-1"), machines.serve("server-2")
        ana = first.user("ana")
        elsewhere = Client(second.url, ana.auth)
        dying = machines.worker("dying")
        infra = ana.create(tosca(0))
        key = infra.rsplit("/", 1)[1]
        asked = ana("PUT", f"{infra}/vms/0/disks/0/snapshot?image_name=web&auto_delete=yes")
        assert asked.status == 202
        operation = _operation(asked)
        wait_until(lambda: all(m["stopped"] for m in machines.world() if m["infrastructure"] == key), "it is stopped")
        os.killpg(dying.process.pid, signal.SIGKILL)
        dying.process.wait(20)
        assert elsewhere("GET", "/clouds/fk/images").json == {"images": []}
        machines.worker("other")
        assert elsewhere.settle_at(operation)["state"] == "done"
        (image,) = elsewhere("GET", "/clouds/fk/images").json["images"]
        assert image["name"] == "web"
        assert elsewhere.vms(infra) == {"0": "configured"}
        assert elsewhere.settle_at(_operation(elsewhere("DELETE", infra)))["state"] == "done"
        assert ana("GET", "/clouds/fk/images").json == {"images": []}


def _operation(answer: Answer) -> str:
    return f"/operations/{answer.headers['operation'].rsplit('/', 1)[1]}"
