"""The two halves meet: jobs wait, cluesd asks `im serve` for workers, they come, run the jobs, and go.

Somebody with an account sends the template to the server, and that is all: the server, which has a certificate of its
own, gives the front-end what it asks with.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from im_client.providers.base import Instance
from im_client.providers.local.nspawn_provider import NspawnProvider
from im_client.providers.local.settings import LocalSettings
from tests.e2e.conftest import Im
from tests.e2e.elastic import Elastic, elastic
from tests.rigs.process import wait_until

pytestmark = [pytest.mark.machines, pytest.mark.ansible, pytest.mark.slow, pytest.mark.timeout(900)]


def test_workers_come_with_the_jobs_and_go_though_both_daemons_are_killed(im: Im, tmp_path: Path) -> None:
    with elastic(im, tmp_path, idle_s=5, worker_max=4, front_mem="1536 MiB") as cluster:
        _check_token(cluster)
        assert cluster.workers() == {}
        assert "decides" in cluster.front("clues status")

        jobs = cluster.submit(2, "sleep 3")
        _wait(cluster, "workers are on their way", lambda: len(cluster.workers()) > 0)
        cluster.kill()
        cluster.front("systemctl kill --signal=KILL cluesd")
        cluster.serve()

        _wait(cluster, "the jobs have run", lambda: {state for state, _ in cluster.jobs().values()} == {"COMPLETED"})
        assert {job: nodes for job, (_, nodes) in cluster.jobs().items()}.keys() == set(jobs)
        assert {nodes for _, nodes in cluster.jobs().values()} == {"worker-1", "worker-2"}

        _wait(cluster, "the workers are gone", lambda: cluster.workers() == {})
        assert len(cluster.seen) == 2, cluster.story()
        assert [machine.name for machine in _machines(cluster)] == ["front-1"]
        _wait(cluster, "cluesd has seen it", lambda: cluster.front("clues nodes --json").strip() == "[]")
        report = cluster.report()
        assert (report["power_ons"], report["power_offs"], report["failures"]) == (2, 2, 0)
        assert im.json("show", cluster.ident)["last_run"]["state"] == "done"


def _check_token(cluster: Elastic) -> None:
    """See that the token that the server gave scales its own infrastructure, and nothing else."""
    token = cluster.front("cat /etc/clues/im-auth.dat").strip().rpartition("token = ")[2]
    assert token.startswith("imt_")
    client = cluster.client(f"Bearer {token}")
    own = f"/infrastructures/{cluster.ident}"
    template = client("GET", f"{own}/tosca", Accept="text/plain").text
    assert client("GET", f"{own}/state").status == 200
    assert client("DELETE", own).status == 403
    assert client("PUT", f"{own}/stop").status == 403
    assert client("PUT", f"{own}/reconfigure").status == 403
    assert client("POST", "/infrastructures", template, Content_Type="text/yaml").status == 403
    assert "PRIVATE KEY" not in client("GET", f"{own}/vms/0").text
    assert token not in client("GET", f"{own}/contmsg").text
    assert token not in cluster.said() + cluster.im("logs", cluster.ident, "--ansible").stdout


def _machines(cluster: Elastic) -> list[Instance]:
    provider = NspawnProvider(LocalSettings(kind="nspawn"))
    return [machine for machine in provider.list_machines() if machine.infrastructure == cluster.ident]


def _wait(cluster: Elastic, what: str, holds: Callable[[], bool], within_s: float = 150.0) -> None:
    try:
        wait_until(holds, what, within_s)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{cluster.story()}") from error
