"""Servers and workers on one PostgreSQL that die, pause and are asked at once: nothing is lost, nothing is doubled."""

import itertools
import os
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.im_client.api.templates import tosca
from tests.rigs.im_cluster import Cluster, cluster
from tests.rigs.im_serve import Answer, Client, Serve
from tests.rigs.process import Daemon, wait_until

if TYPE_CHECKING:
    from tests.rigs.postgres import Postgres

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

_NUMBERS = itertools.count(1)
DELAYS = {"create": 0.1}


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), postgres_url, delays=DELAYS, parallel=2) as running:
        yield running


@pytest.fixture(scope="module")
def servers(machines: Cluster) -> tuple[Serve, Serve]:
    return machines.serve("server-1"), machines.serve("server-2")


@pytest.fixture
def ana(servers: tuple[Serve, Serve]) -> tuple[Client, Client]:
    """Return one user's clients of both servers."""
    first = servers[0].user(f"ana{next(_NUMBERS)}")
    return first, Client(servers[1].url, first.auth)


@pytest.fixture
def work(machines: Cluster, request: pytest.FixtureRequest) -> Iterator[Callable[[], Daemon]]:
    """Return what starts a worker of this test's own."""
    started: list[Daemon] = []

    def start(concurrency: int = 2) -> Daemon:
        started.append(machines.worker(f"{request.node.name[:40]}-{len(started)}", concurrency))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            end(worker, signal.SIGKILL)


def end(running: Daemon, number: int) -> None:
    """Send a signal that nothing else is told of, and wait until the process is gone."""
    os.killpg(running.process.pid, number)
    running.process.wait(20)


def post(client: Client, count: int, **headers: str) -> Answer:
    answer = client("POST", "/infrastructures", tosca(count), Content_Type="text/yaml", **headers)
    assert answer.status == 200, answer.text
    return answer


def operation_at(client: Client, answer: Answer) -> str:
    """Return where another server shows the operation behind an answer."""
    return f"{client.url}/operations/{answer.headers['operation'].rsplit('/', 1)[1]}"


def side_by_side(*calls: Callable[[], Answer]) -> list[Answer]:
    """Let several requests be on their way at once."""
    answers: list[Answer | None] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def ask(place: int) -> None:
        gate.wait(10)
        answers[place] = calls[place]()

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [answer for answer in answers if answer is not None]


def test_a_worker_that_is_killed_is_followed_by_another_that_goes_on(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    before = len(machines.world())
    workers = [work(), work()]
    made = [post(ana[number % 2], 29) for number in range(4)]
    pids = {worker.process.pid: worker for worker in workers}
    wait_until(lambda: set(machines.holders().values()) == set(pids), "both workers have work")
    wait_until(lambda: len(machines.world()) >= before + 30, "30 of 120 machines are made")
    dead, other = workers
    left = [infra for infra, pid in machines.holders().items() if pid == dead.process.pid]
    end(dead, signal.SIGKILL)
    assert left
    assert len(machines.world()) < before + 120
    for number, answer in enumerate(made):
        client = ana[(number + 1) % 2]  # the server that was not asked for it
        assert client.settle_at(operation_at(client, answer))["state"] == "done"
        assert set(client.vms(f"/infrastructures/{answer.headers['infid']}").values()) == {"configured"}
    ours = [machine for machine in machines.world() if machine["infrastructure"] in {a.headers["infid"] for a in made}]
    assert len(ours) == len({(machine["infrastructure"], machine["name"]) for machine in ours}) == 120
    assert machines.orphans(*[answer.headers["infid"] for answer in made]) == set()
    for infra in left:
        assert f"took {infra} over from process {dead.process.pid}" in other.said()


def test_a_worker_that_was_paused_writes_nothing_when_it_wakes(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    workers = [work(), work()]
    made = post(ana[0], 29)
    infra = made.headers["infid"]
    wait_until(lambda: sum(m["infrastructure"] == infra for m in machines.world()) >= 4, "4 machines are made")
    holder = machines.holders()[infra]
    paused, other = sorted(workers, key=lambda worker: worker.process.pid != holder)
    paused.hang()
    assert sum(m["infrastructure"] == infra for m in machines.world()) < 30
    assert ana[0].settle_at(operation_at(ana[0], made))["state"] == "done"
    assert f"took {infra} over from process {paused.process.pid}" in other.said()

    def record() -> list[object]:
        return [
            machines.rows("SELECT * FROM infrastructure WHERE id = %s", infra),
            machines.rows("SELECT * FROM node WHERE infrastructure = %s ORDER BY name", infra),
            machines.rows("SELECT * FROM operation WHERE infrastructure = %s", infra),
            machines.rows(
                "SELECT * FROM operation_event e JOIN operation o ON o.id = e.operation ORDER BY number, o.id"
            ),
            sorted(machine["id"] for machine in machines.world()),
        ]

    ended = record()
    os.killpg(paused.process.pid, signal.SIGCONT)
    wait_until(lambda: "was left to another worker" in paused.said(), "the paused one sees it")
    assert record() == ended
    assert len(ana[1].vms(f"/infrastructures/{infra}")) == 30
    assert machines.orphans(infra) == set()
    end(other, signal.SIGKILL)
    assert ana[1].settle(post(ana[1], 1))["state"] == "done"  # and it works on


def test_a_worker_that_is_stopped_gives_back_what_it_has_not_ended(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    first = work()
    made = post(ana[0], 39)
    infra = made.headers["infid"]
    wait_until(lambda: sum(m["infrastructure"] == infra for m in machines.world()) >= 5, "5 machines are made")
    os.killpg(first.process.pid, signal.SIGTERM)
    assert first.process.wait(10) == 0
    assert machines.holders() == {}
    assert ana[1]("GET", operation_at(ana[1], made)).json["state"] == "queued"
    assert sum(m["infrastructure"] == infra for m in machines.world()) < 40
    second = work()
    assert ana[1].settle_at(operation_at(ana[1], made))["state"] == "done"
    assert len(ana[1].vms(f"/infrastructures/{infra}")) == 40
    assert machines.orphans(infra) == set()
    assert "over from process" not in second.said()  # the lock was free


def test_a_key_that_is_sent_to_both_servers_makes_one_infrastructure(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    work()

    def ask(client: Client) -> Answer:
        return client("POST", "/infrastructures", tosca(1), Content_Type="text/yaml", Idempotency_Key="k")

    answers = side_by_side(*[lambda client=client: ask(client) for client in ana * 2])  # type: ignore[misc]
    assert {answer.status for answer in answers} <= {200, 409}  # 409: is being answered, ask later
    again = [ask(client) for client in ana]
    assert len({answer.headers["infid"] for answer in (*again, *answers) if answer.status == 200}) == 1
    assert len(ana[0]("GET", "/infrastructures").text.splitlines()) == 1
    ana[1].settle_at(operation_at(ana[1], again[0]))


def test_a_server_that_is_killed_loses_nothing_that_it_had_accepted(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    work()
    third = machines.serve("server-3")
    client = Client(third.url, ana[0].auth)
    made = post(client, 9, Idempotency_Key="before")
    end(third.running, signal.SIGKILL)
    with_key = {"Content_Type": "text/yaml"}
    again = ana[0]("POST", "/infrastructures", tosca(9), Idempotency_Key="before", **with_key)
    assert (again.status, again.headers["infid"]) == (200, made.headers["infid"])
    # as if it had been killed before it had kept its answer, and before it had begun with another
    machines.rows("UPDATE answer SET status = NULL, sealed = NULL WHERE operation <> '' RETURNING 1 AS n")
    machines.rows(
        "INSERT INTO answer (account, key, digest, created_at, process) "
        "SELECT account, 'never-begun', 'x', 1e12, process FROM answer WHERE account = %s RETURNING 1 AS n",
        machines.rows("SELECT account FROM operation ORDER BY rowid DESC LIMIT 1")[0]["account"],
    )
    wait_until(lambda: alive(machines, third.running.process.pid) == [], "its lease has run out")
    again = ana[1]("POST", "/infrastructures", tosca(9), Idempotency_Key="before", **with_key)
    assert (again.status, again.headers["infid"]) == (200, made.headers["infid"])
    begun = ana[1]("POST", "/infrastructures", tosca(1), Idempotency_Key="never-begun", **with_key)
    assert begun.status == 200
    for answer in (made, begun):
        assert ana[1].settle_at(operation_at(ana[1], answer))["state"] == "done"
    assert len(ana[1]("GET", "/infrastructures").text.splitlines()) == 2
    assert machines.orphans(made.headers["infid"], begun.headers["infid"]) == set()


def alive(machines: Cluster, pid: int) -> list[dict[str, object]]:
    return machines.rows(
        "SELECT pid FROM process WHERE pid = %s AND beat_at > clock_timestamp() - lease_s * interval '1 second'", pid
    )


def test_an_operation_is_followed_through_the_server_that_was_not_asked(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    work()
    made = post(ana[0], 19)
    where = operation_at(ana[1], made)
    request = urllib.request.Request(f"{where}/events", headers={"Authorization": ana[1].auth})
    with urllib.request.urlopen(request, timeout=30) as stream:
        seen = [stream.readline().decode()]
        assert ana[1]("GET", where).json["state"] in {"queued", "running"}  # told while it goes on
        seen += [line.decode() for line in stream]
    said = "".join(seen)
    assert said.startswith("id: 1\nevent: run-started\n")
    assert said.endswith('event: end\ndata: {"state":"done","error":""}\n\n')
    numbers = [int(line.split()[1]) for line in seen if line.startswith("id: ")]
    assert numbers == list(range(1, len(numbers) + 1))
    request.add_header("Last-Event-ID", str(numbers[-2]))
    with urllib.request.urlopen(request, timeout=30) as stream:
        assert stream.read().decode().startswith(f"id: {numbers[-1]}\n")


def test_two_servers_that_are_asked_for_ten_at_once_make_ten(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    work()
    work()
    infra = ana[0].create(tosca(0))
    answers = side_by_side(
        *[lambda client=client: client("POST", infra, tosca(10), Content_Type="text/yaml") for client in ana]  # type: ignore[misc]
    )
    assert [answer.status for answer in answers] == [200, 200]
    for answer in answers:
        assert ana[0].settle_at(operation_at(ana[0], answer))["state"] == "done"
    assert len(ana[1].vms(infra)) == 11
    assert sum(f"/infrastructures/{machine['infrastructure']}" == infra for machine in machines.world()) == 11
    assert machines.orphans(infra.rsplit("/", 1)[1]) == set()


def test_an_operation_is_cancelled_through_the_other_server(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    work()
    made = post(ana[0], 79)
    infra = made.headers["infid"]
    wait_until(lambda: sum(m["infrastructure"] == infra for m in machines.world()) >= 5, "5 machines are made")
    assert ana[1]("DELETE", operation_at(ana[1], made)).status == 200
    assert ana[0].settle(made)["state"] == "cancelled"
    assert sum(m["infrastructure"] == infra for m in machines.world()) < 80
    assert ana[1]("DELETE", f"/infrastructures/{infra}").status == 200
    assert sum(m["infrastructure"] == infra for m in machines.world()) == 0


def test_a_database_that_goes_away_and_comes_back_stops_nothing_for_good(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon], running_postgres: "Postgres"
) -> None:
    worker = work()
    made = post(ana[0], 29)
    infra = made.headers["infid"]
    wait_until(lambda: sum(m["infrastructure"] == infra for m in machines.world()) >= 5, "5 machines are made")
    running_postgres.stop()
    wait_until(lambda: "lost the lock" in worker.said(), "the worker's lease has run out")
    refused = ana[1]("GET", f"/infrastructures/{infra}")
    running_postgres.start()
    assert (refused.status, "does not answer" in refused.text) == (503, True)
    wait_until(lambda: ana[1]("GET", f"/infrastructures/{infra}").status == 200, "the server answers again")
    assert ana[0].settle(made)["state"] == "done"
    assert len(ana[1].vms(f"/infrastructures/{infra}")) == 30
    assert sum(m["infrastructure"] == infra for m in machines.world()) == 30
    assert machines.orphans(infra) == set()
    said = worker.said()
    told = [said.count(words) for words in ("trying again until it is back", "answers again", "Traceback")]
    assert told == [1, 1, 0], said


def test_an_operation_that_has_lost_its_job_is_carried_out_all_the_same(
    machines: Cluster, ana: tuple[Client, Client], work: Callable[[], Daemon]
) -> None:
    made = post(ana[0], 1)
    assert machines.rows("DELETE FROM procrastinate_jobs RETURNING lock") == [{"lock": made.headers["infid"]}]
    worker = work()
    assert ana[1].settle_at(operation_at(ana[1], made))["state"] == "done"
    assert "had no job any more" in worker.said()
