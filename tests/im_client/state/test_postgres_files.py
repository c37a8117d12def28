"""What a database may be like, and how it may go away: one clear message, no password, nothing half done."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from infracore.errors import Conflict, InfraError, Misconfigured
from infracore.secrets import Seal, Secret
from tests.im_client.state.records import HIDDEN, ID, SEAL, infrastructure, node

if TYPE_CHECKING:
    from im_client.state.postgres import PostgresStore
    from tests.rigs.postgres import Postgres

pytestmark = pytest.mark.postgres
_NUMBERS = itertools.count(1)


@pytest.fixture
def url(running_postgres: "Postgres") -> Iterator[str]:
    name = f"files_{next(_NUMBERS)}"
    yield running_postgres.fresh(name)
    running_postgres.ask(f'DROP DATABASE "{name}" WITH (FORCE)')


def opened(url: str, seal: Seal = SEAL) -> "PostgresStore":
    from im_client.state.postgres import PostgresStore

    return PostgresStore(Secret(url), seal)


def change(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url) as db:
        for statement in statements:
            db.execute(statement.encode())


def versions(url: str) -> list[tuple[str, str]]:
    import psycopg

    with psycopg.connect(url) as db:
        return db.execute("SELECT part, version FROM im_schema ORDER BY part").fetchall()


@pytest.mark.parametrize(
    "wrong",
    [
        "postgresql//ana:hunter22@host/im",
        "host=x password='hunter22",
        "postgresql://ana:hunter22@host:port/im",
        "postgresql://ana:0/hunter22@host/im",
        "postgresql://ana:0@hunter22@host/im",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(wrong: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        opened(wrong)
    assert "hunter22" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}"


def test_where_nobody_answers_it_is_said_who_was_asked_without_the_password() -> None:
    with pytest.raises(Misconfigured, match=r"cannot connect to the database im on 127\.0\.0\.1") as caught:
        opened("postgresql://ana:hunter22@127.0.0.1:1/im")
    assert "hunter22" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}"


def test_a_database_that_does_not_exist_is_named(running_postgres: "Postgres") -> None:
    with pytest.raises(Misconfigured, match='"nowhere" does not exist'):
        opened(running_postgres.url("nowhere"))


def test_a_newer_schema_is_refused_and_left_alone(url: str) -> None:
    opened(url).close()
    before = versions(url)
    change(url, "UPDATE im_schema SET version = '99' WHERE part = 'im'")
    with pytest.raises(Conflict, match="newer version of this program"):
        opened(url)
    change(url, f"UPDATE im_schema SET version = '{dict(before)['im']}' WHERE part = 'im'")
    opened(url).close()
    change(url, "UPDATE im_schema SET version = '99.00' WHERE part = 'procrastinate'")
    with pytest.raises(Conflict, match="queue's schema is 99"):
        opened(url)


def test_a_database_of_another_program_is_refused(url: str) -> None:
    change(url, "CREATE TABLE infrastructure (x int)")
    with pytest.raises(Conflict, match="of another program"):
        opened(url)


def test_a_database_that_is_not_in_utf8_is_refused(running_postgres: "Postgres") -> None:
    running_postgres.ask("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(Misconfigured, match="not in UTF8"):
        opened(running_postgres.url("latin"))


def test_several_that_open_a_new_database_at_once_make_it_once(url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        for store in [future.result(60) for future in [pool.submit(opened, url) for _ in range(6)]]:
            assert store.infrastructures() == ()
            store.close()


def test_machines_from_before_places_were_recorded_have_none(url: str) -> None:
    store = opened(url)
    store.add_infrastructure(infrastructure())
    store.put_node(node(place="somewhere"))
    store.close()
    change(url, "ALTER TABLE node DROP COLUMN place", "UPDATE im_schema SET version = '4' WHERE part = 'im'")
    store = opened(url)
    assert store.nodes(ID) == (node(),)
    store.put_node(node(place="elsewhere"))
    assert store.nodes(ID) == (node(place="elsewhere"),)
    store.close()


def test_an_older_schema_is_brought_up_to_date_with_what_is_in_it(url: str) -> None:
    from im_client.state.migrations.postgres import known_migrations
    from im_client.state.postgres import PostgresDatabase

    store = opened(url)
    store.add_infrastructure(infrastructure())
    store.close()
    more = (*known_migrations(), "ALTER TABLE node ADD COLUMN colour TEXT NOT NULL DEFAULT 'a;b'; SELECT 1")
    PostgresDatabase(Secret(url), migrations=more).close()
    PostgresDatabase(Secret(url), migrations=more).close()
    assert dict(versions(url))["im"] == str(len(more))
    with pytest.raises(Conflict, match="newer version"):
        opened(url)


def test_a_step_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    from im_client.state.migrations.postgres import known_migrations
    from im_client.state.postgres import PostgresDatabase

    opened(url).close()
    before = versions(url)
    broken = "ALTER TABLE node ADD COLUMN colour TEXT; SELECT no_such_thing"
    with pytest.raises(InfraError):
        PostgresDatabase(Secret(url), migrations=(*known_migrations(), broken))
    assert versions(url) == before
    change(url, "ALTER TABLE node ADD COLUMN colour TEXT")


def test_an_older_queue_gets_the_steps_that_it_lacks(url: str) -> None:
    from im_client.state.migrations.postgres import known_queue

    opened(url).close()
    newest = dict(versions(url))["procrastinate"]
    *_, older, last = known_queue()[1]
    assert last == newest
    change(url, f"UPDATE im_schema SET version = '{older}' WHERE part = 'procrastinate'")
    opened(url).close()
    assert dict(versions(url))["procrastinate"] == newest


def test_a_machine_with_another_key_is_refused(url: str) -> None:
    opened(url).close()
    other = Seal(b"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=")
    with pytest.raises(Misconfigured, match="key file of this machine does not open"):
        opened(url, other)


def test_nothing_secret_is_in_the_database_in_clear(url: str) -> None:
    import psycopg

    store = opened(url)
    store.add_infrastructure(infrastructure())
    store.put_node(node())
    store.close()
    with psycopg.connect(url) as db:
        tables = db.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        there = b"".join(
            bytes(row[0] or b"")
            for (table,) in tables.fetchall()
            for row in db.execute(f"SELECT convert_to(t::text, 'UTF8') FROM \"{table}\" t".encode())
        )
    assert b"debian-13" in there  # what is no secret is found: the search works
    assert [text for text in HIDDEN if text.encode() in there or text.encode().hex().encode() in there] == []


def test_text_with_a_nul_is_kept_as_far_as_it_can_be(url: str) -> None:
    store = opened(url)
    store.add_infrastructure(infrastructure())
    store.put_node(node(failure="a\0b"))
    assert store.nodes(ID)[0].failure == "a\N{REPLACEMENT CHARACTER}b"
    with pytest.raises(InfraError):
        store.infrastructure("x\0y")
    store.close()


def test_connections_that_the_database_has_ended_are_replaced(url: str, running_postgres: "Postgres") -> None:
    store = opened(url)
    store.add_infrastructure(infrastructure())
    running_postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'files_%'")
    assert store.infrastructure(ID).id == ID
    store.close()


def test_a_transaction_that_was_broken_off_is_told_and_left_out(url: str, running_postgres: "Postgres") -> None:
    from im_client.state.store import StateLost

    store = opened(url)
    store.add_infrastructure(infrastructure())

    def broken_off() -> None:
        with store.database.write(ID) as db:
            db.execute("UPDATE infrastructure SET revision = 99")
            running_postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'files_%'")

    with pytest.raises(StateLost, match="was lost"):
        broken_off()
    assert store.infrastructure(ID).revision == infrastructure().revision
    store.close()


def test_a_process_has_no_more_connections_than_it_was_told(url: str, running_postgres: "Postgres") -> None:
    from im_client.state.postgres import PostgresStore

    store = PostgresStore(Secret(url), SEAL, most_connections=2)
    store.add_infrastructure(infrastructure())
    together = threading.Barrier(8)

    def write(number: int) -> int:
        together.wait(10)
        store.put_node(node(number))
        return running_postgres.count("SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'files_%'")

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(write, range(8))) <= 2
    assert len(store.nodes(ID)) == 8
    store.close()
