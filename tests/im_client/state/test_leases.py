"""Locks in PostgreSQL: one holder, taken over when it is silent, and none who was taken over writes."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from infracore.clock import FakeClock
from infracore.errors import Cancelled, Locked
from infracore.secrets import Secret
from tests.im_client.state.records import ID, SEAL, infrastructure, node

pytestmark = pytest.mark.postgres

LEASE_S = 1.0


class Process:
    """What a process has of its own: connections and locks."""

    def __init__(self, url: str) -> None:
        from im_client.state.leases import PostgresLocks
        from im_client.state.postgres import PostgresStore

        self.store = PostgresStore(Secret(url), SEAL)
        self.locks = PostgresLocks(self.store.postgres, LEASE_S)

    def fall_silent(self) -> None:
        """Give no sign of life any more, and seem to have given none for long."""
        self.locks.close()
        with self.store.database.write("beat") as db:
            db.execute("UPDATE infrastructure_lock SET beat_at = beat_at - interval '1 hour'")

    def close(self) -> None:
        self.locks.close()
        self.store.close()


@pytest.fixture
def processes(postgres_url: str) -> Iterator[tuple[Process, Process]]:
    first, second = Process(postgres_url), Process(postgres_url)
    with first.store.database.write("all") as db:
        db.execute("TRUNCATE infrastructure, infrastructure_lock CASCADE")
    first.store.add_infrastructure(infrastructure())
    yield first, second
    first.close()
    second.close()


def test_one_holds_and_the_other_is_told_who(processes: tuple[Process, Process]) -> None:
    first, second = processes
    with first.locks.hold(ID, "deploy"):
        with (
            pytest.raises(Locked, match=r"cluster is being changed by `im deploy` \(process"),
            second.locks.hold(ID, "stop", name="cluster"),
        ):
            pass
        held = second.locks.holder(ID)
        assert held is not None
        assert held.verb == "deploy"
        with second.locks.hold("another", "stop"):
            pass
    assert second.locks.holder(ID) is None
    with second.locks.hold(ID, "stop"):
        pass


def test_waiting_ends_when_it_is_free_or_cancelled(processes: tuple[Process, Process]) -> None:
    first, second = processes
    entered = threading.Event()

    def take() -> None:
        with second.locks.hold(ID, "stop", wait_s=20):
            entered.set()

    with ThreadPoolExecutor() as pool:
        with first.locks.hold(ID, "deploy"):
            waiting = pool.submit(take)
            cancel = threading.Event()
            given_up = pool.submit(lambda: second.locks.hold(ID, "stop", wait_s=20, cancel=cancel).__enter__())
            cancel.set()
            with pytest.raises(Cancelled):
                given_up.result(10)
            assert not entered.is_set()
        waiting.result(10)
    assert entered.is_set()


def test_signs_of_life_keep_a_lock_beyond_its_lease(processes: tuple[Process, Process]) -> None:
    first, second = processes
    with first.locks.hold(ID, "deploy"):
        with pytest.raises(Locked), second.locks.hold(ID, "stop", wait_s=1.6 * LEASE_S):
            pass
        first.locks.check(ID)
        first.store.put_node(node())


def test_who_was_silent_is_followed_by_another_and_writes_nothing_more(
    processes: tuple[Process, Process], caplog: pytest.LogCaptureFixture
) -> None:
    from im_client.state.locks import LostLock

    first, second = processes
    first.store.put_node(node(1))
    with first.locks.hold(ID, "deploy"), ExitStack() as other:
        first.store.put_node(node(2))
        first.fall_silent()
        other.enter_context(second.locks.hold(ID, "deploy", wait_s=5 * LEASE_S))
        assert f"took {ID} over from process" in caplog.text
        revision = second.store.infrastructure(ID).revision
        for write in (
            lambda: first.store.put_node(node(3)),
            lambda: first.store.remove_node(ID, node(1).name, 9.0),
            lambda: first.store.set_outputs(ID, {}, 9.0),
            lambda: first.store.remove_infrastructure(ID),
        ):
            with pytest.raises(LostLock, match="another has taken over"):
                write()
        second.store.put_node(node(4))
        assert second.store.infrastructure(ID).revision == revision + 1
        assert [one.name for one in second.store.nodes(ID)] == ["wn-1", "wn-2", "wn-4"]
        with pytest.raises(Locked), first.locks.hold(ID, "stop"):
            pass
    assert first.locks.holder(ID) is None


def test_leaving_a_lost_lock_does_not_free_it_for_others(processes: tuple[Process, Process]) -> None:
    first, second = processes
    with ExitStack() as other:
        with first.locks.hold(ID, "deploy"):
            first.fall_silent()
            other.enter_context(second.locks.hold(ID, "deploy"))
        with pytest.raises(Locked), first.locks.hold(ID, "stop"):
            pass
        second.store.put_node(node())


def test_who_learns_that_its_lock_is_lost_ends_what_it_does(processes: tuple[Process, Process]) -> None:
    from im_client.state.locks import LostLock

    first, second = processes
    cancel = threading.Event()
    with first.locks.hold(ID, "deploy", cancel=cancel):
        with second.store.database.write("lock") as db:
            db.execute("UPDATE infrastructure_lock SET token = token + 1, owner = 'another'")
        assert cancel.wait(10)
        with pytest.raises(LostLock):
            first.locks.check(ID)


def test_who_has_lost_the_database_for_longer_than_its_lease_does_nothing_at_a_provider(
    processes: tuple[Process, Process],
) -> None:
    from im_client.state.leases import PostgresLocks
    from im_client.state.locks import LostLock

    clock = FakeClock()
    locks = PostgresLocks(processes[0].store.postgres, LEASE_S, clock.monotonic)
    with locks.hold(ID, "deploy"):
        locks.close()
        clock.advance(0.9 * LEASE_S)
        locks.check(ID)
        clock.advance(0.2 * LEASE_S)
        with pytest.raises(LostLock, match="was not heard from for 1 s"):
            locks.check(ID)


def test_taking_over_waits_for_a_write_that_is_under_way(processes: tuple[Process, Process]) -> None:
    first, second = processes
    entered = threading.Event()

    def take() -> int:
        with second.locks.hold(ID, "stop", wait_s=20):
            entered.set()
            return second.store.infrastructure(ID).revision

    with first.locks.hold(ID, "deploy"), ThreadPoolExecutor() as pool:
        first.fall_silent()
        with first.store.database.write(ID, fence=ID) as db:
            taking = pool.submit(take)
            assert not entered.wait(1.0)
            db.execute("UPDATE infrastructure SET revision = 77 WHERE id = ?", (ID,))
        assert taking.result(20) == 77


def test_work_under_a_lock_of_its_own_process_takes_it_only_once(processes: tuple[Process, Process]) -> None:
    first, second = processes
    inside = first.locks.inside()
    with inside.hold(ID, "deploy"):
        assert second.locks.holder(ID) is not None
    assert second.locks.holder(ID) is None
    with first.locks.hold(ID, "deploy"):
        with inside.hold(ID, "deploy"):
            assert inside.holder(ID) is None
        assert second.locks.holder(ID) is not None
