"""Sessions of browsers: how long they last, and what they are worth."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.services.server.accounts import Accounts
from im_client.services.server.callers import Callers
from im_client.services.server.sessions import IDLE_S, LONGEST_S, Draft, Sessions
from im_client.state.server import Role
from im_client.state.sql_server import SqlServerStore
from im_client.state.sqlite import SqliteStore
from infracore.clock import FakeClock
from infracore.errors import NotFound, Unauthorised
from infracore.secrets import Secret
from tests.im_client.state.records import ID, SEAL, infrastructure

PASSWORD = Secret("correct horse")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def records(tmp_path: Path) -> Iterator[SqlServerStore]:
    store = SqliteStore(tmp_path / "state.db", SEAL)
    store.add_infrastructure(infrastructure())
    yield SqlServerStore(store)
    store.close()


@pytest.fixture
def accounts(records: SqlServerStore, clock: FakeClock) -> Accounts:
    found = Accounts(records, clock)
    found.add("ana", PASSWORD)
    return found


@pytest.fixture
def sessions(accounts: Accounts, records: SqlServerStore, clock: FakeClock) -> Sessions:
    return Sessions(Callers(accounts, None), records, clock)


def test_a_key_opens_its_own_session_and_no_other_does(sessions: Sessions) -> None:
    key, session = sessions.sign_in("ana", PASSWORD)
    other, second = sessions.sign_in("ana", PASSWORD)
    assert key != other
    assert session.csrf != second.csrf
    found = sessions.find(key)
    assert found is not None
    assert found[0] is session
    assert (found[1].name, found[1].is_admin, found[1].most) == ("ana", False, Role.OWNER)
    for wrong in ("", "x", key[:-1], session.csrf):
        assert sessions.find(wrong) is None
    with pytest.raises(Unauthorised):
        sessions.sign_in("ana", Secret("wrong horse"))


def test_a_session_that_nobody_uses_ends(sessions: Sessions, clock: FakeClock) -> None:
    key, _ = sessions.sign_in("ana", PASSWORD)
    clock.advance(IDLE_S - 1)
    assert sessions.find(key) is not None
    clock.advance(IDLE_S - 1)
    assert sessions.find(key, touch=False) is not None, "it was used in between"
    clock.advance(2)
    assert sessions.find(key) is None, "a page that asks by itself is no use"


def test_a_session_that_is_always_used_ends_too(sessions: Sessions, clock: FakeClock) -> None:
    key, _ = sessions.sign_in("ana", PASSWORD)
    for _ in range(int(LONGEST_S / IDLE_S)):
        clock.advance(IDLE_S - 1)
        assert sessions.find(key) is not None
    clock.advance(IDLE_S - 1)
    assert sessions.find(key) is None


def test_signing_out_ends_one_session(sessions: Sessions) -> None:
    key, _ = sessions.sign_in("ana", PASSWORD)
    other, _ = sessions.sign_in("ana", PASSWORD)
    sessions.sign_out(key)
    sessions.sign_out(key)
    assert sessions.find(key) is None
    assert sessions.find(other) is not None


def test_a_session_is_worth_what_its_account_is_now(
    sessions: Sessions, accounts: Accounts, records: SqlServerStore
) -> None:
    key, _ = sessions.sign_in("ana", PASSWORD)
    accounts.add("ana", Secret("another horse"))
    assert sessions.find(key) is None
    key, _ = sessions.sign_in("ana", Secret("another horse"))
    records.remove_account("ana")
    assert sessions.find(key) is None


def test_a_token_gives_its_own_role_until_it_expires(sessions: Sessions, accounts: Accounts, clock: FakeClock) -> None:
    _, token = accounts.make_token("ana", role=Role.VIEWER, infrastructure=ID, valid_s=600)
    key, _ = sessions.sign_in_by_token(token)
    found = sessions.find(key)
    assert found is not None
    assert (found[1].most, found[1].infrastructure) == (Role.VIEWER, ID)
    clock.advance(601)
    assert sessions.find(key) is None
    with pytest.raises(Unauthorised):
        sessions.sign_in_by_token(token)


def test_forms_before_signing_in_are_sealed_by_this_process(sessions: Sessions, records: SqlServerStore) -> None:
    assert sessions.seal("a") == sessions.seal("a")
    assert sessions.seal("a") != sessions.seal("b")
    another = Sessions(Callers(Accounts(records, FakeClock()), None), records, FakeClock())
    assert another.seal("a") != sessions.seal("a")


def test_the_oldest_draft_makes_room(sessions: Sessions) -> None:
    _, session = sessions.sign_in("ana", PASSWORD)
    keys = [session.put(Draft("farm", (), str(number), {}, {})) for number in range(10)]
    assert session.draft(keys[-1]).name == "9"
    for key in (keys[0], "x"):
        with pytest.raises(NotFound):
            session.draft(key)
