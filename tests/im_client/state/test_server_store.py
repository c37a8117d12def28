"""What a server keeps: accepted at once or not at all, numbers that are never given twice, answers, tokens."""

from dataclasses import replace

import pytest

from im_client.state.server import (
    Acceptance,
    AccountRecord,
    AnswerRecord,
    FormerRecord,
    OperationKind,
    OperationRecord,
    OperationState,
    Outdated,
    Role,
    TokenRecord,
)
from im_client.state.sql_server import SqlServerStore
from im_client.state.sql_store import SqlStore
from infracore.errors import Conflict, NotFound, QuotaExceeded
from tests.im_client.state.conftest import Served
from tests.im_client.state.records import ID, infrastructure, node


def operation(ident: str = "op-1", **changes: object) -> OperationRecord:
    return replace(OperationRecord(ident, ID, OperationKind.CREATE, "ana", 1.0), **changes)  # type: ignore[arg-type]


def made(records: SqlServerStore, *nodes: str) -> None:
    new = infrastructure()
    records.accept(Acceptance(operation(), new=new, owner="ana", source=new.source, new_nodes=nodes), 1.0)


def test_what_is_accepted_is_there_as_a_whole(store: SqlStore, records: SqlServerStore) -> None:
    made(records, "b-1", "a-1")
    assert store.infrastructure(ID).id == ID
    assert records.members(ID) == {"ana": Role.OWNER}
    assert records.vm_numbers(ID) == {"b-1": 0, "a-1": 1}
    assert records.unfinished() == (operation(),)
    assert records.infrastructure_ids() == [ID]
    assert records.source_version(ID) == 1


def test_what_is_refused_leaves_nothing(store: SqlStore, records: SqlServerStore) -> None:
    made(records)
    other = replace(infrastructure().source, counts={"x": 9})
    for wrong in (
        Acceptance(operation("op-2"), new=infrastructure(), owner="bob", new_nodes=("z",)),
        Acceptance(operation("op-2"), source=other, source_before=other, new_nodes=("z",)),
    ):
        with pytest.raises(Conflict):
            records.accept(wrong, 2.0)
    with pytest.raises(Outdated):
        records.accept(Acceptance(operation("op-2"), if_version=0, new_nodes=("z",)), 2.0)
    with pytest.raises(NotFound):
        records.accept(Acceptance(operation("op-2", infrastructure="none"), new_nodes=("z",)), 2.0)
    assert records.vm_numbers(ID) == {}
    assert [one.id for one in records.operations(ID)] == ["op-1"]
    assert store.infrastructure(ID).source == infrastructure().source


def test_a_change_of_what_is_wanted_raises_its_version(store: SqlStore, records: SqlServerStore) -> None:
    made(records)
    before = store.infrastructure(ID).source
    wanted = replace(before, counts={"x": 9})
    change = Acceptance(operation("op-2"), source=wanted, source_before=before, if_version=1)
    records.accept(change, 2.0)
    assert store.infrastructure(ID).source == wanted
    assert records.source_version(ID) == 2
    with pytest.raises(Conflict):
        records.accept(replace(change, operation=operation("op-3")), 3.0)


def test_a_number_is_never_given_twice(store: SqlStore, records: SqlServerStore) -> None:
    made(records)
    first = node(1)
    store.put_node(first)
    assert records.number_vms(ID, [first.name, "x"]) == {first.name: 0, "x": 1}
    store.remove_node(ID, first.name, 2.0)
    records.forget_vms(ID, ["x"])
    assert records.vm_numbers(ID) == {}
    assert records.number_vms(ID, [first.name, first.name]) == {first.name: 2}


def test_a_machine_that_is_written_again_keeps_its_number(store: SqlStore, records: SqlServerStore) -> None:
    made(records)
    store.put_node(node(1))
    records.number_vms(ID, [node(1).name])
    store.put_node(node(1))
    assert records.vm_numbers(ID) == {node(1).name: 0}


def test_an_operation_ends_and_outlives_its_infrastructure(store: SqlStore, records: SqlServerStore) -> None:
    made(records, "a-1")
    ended = operation(state=OperationState.DONE, started_at=2.0, ended_at=3.0, run="r", summary="well", error="\udcff")
    records.put_operation(ended)
    assert records.unfinished() == ()
    store.remove_infrastructure(ID)
    assert records.operation("op-1") == replace(ended, error="?")
    assert records.vm_numbers(ID) == records.members(ID) == {}
    with pytest.raises(NotFound):
        records.operation("op-2")


def test_members_are_added_changed_and_replaced(records: SqlServerStore) -> None:
    made(records)
    records.set_member(ID, "bob", Role.VIEWER)
    records.set_member(ID, "bob", Role.SCALER)
    assert records.memberships("bob") == {ID: Role.SCALER}
    records.set_member(ID, "eve", Role.OWNER, alone=True)
    assert records.members(ID) == {"eve": Role.OWNER}


def test_a_token_goes_with_its_account(records: SqlServerStore) -> None:
    made(records)
    records.put_account(AccountRecord("ana", "hash", False, 1.0))
    token = TokenRecord("t", "ana", b"digest", Role.SCALER, 1.0, ID, 9.0)
    records.put_token(token)
    records.put_account(AccountRecord("ana", "other", True, 2.0))  # a new password leaves tokens alone
    assert records.token(b"digest") == token
    assert records.accounts() == (AccountRecord("ana", "other", True, 1.0),)
    records.remove_account("ana")
    assert records.token(b"digest") is None
    assert records.account("ana") is None


def test_tokens_of_an_infrastructure_have_names_and_go_with_it(records: SqlServerStore, store: SqlStore) -> None:
    made(records)
    records.put_account(AccountRecord("ana", "hash", False, 1.0))
    own = TokenRecord("o", None, b"own", Role.SCALER, 1.0, ID, name="cluesd")
    of_ana = TokenRecord("a", "ana", b"of ana", Role.VIEWER, 2.0, ID, name="a")
    free = TokenRecord("f", "ana", b"free", Role.OWNER, 3.0, name="cluesd")
    for token in (own, of_ana, free):
        records.put_token(token)
    assert records.tokens_of(ID) == (own, of_ana)
    with pytest.raises(Conflict, match="cluesd"):
        records.put_token(replace(own, id="p", digest=b"p"))
    with pytest.raises(NotFound):
        records.put_token(replace(own, id="p", digest=b"p", infrastructure="0"))
    for number in range(98):
        records.put_token(replace(own, id=f"n{number}", digest=f"n{number}".encode(), name=f"n{number}"))
    with pytest.raises(QuotaExceeded):
        records.put_token(replace(own, id="p", digest=b"p", name="p"))
    store.remove_infrastructure(ID)
    assert records.tokens_of(ID) == ()
    assert (records.token(b"own"), records.token(b"free")) == (None, free)


def test_an_accepted_token_takes_the_place_of_the_one_before(records: SqlServerStore) -> None:
    made(records)
    for number, digest in enumerate((b"one", b"two"), start=2):
        token = TokenRecord(f"t{number}", None, digest, Role.SCALER, 1.0, ID, name="cluesd")
        records.accept(Acceptance(operation(f"op-{number}"), token=token), 1.0)
    assert (records.token(b"one"), records.tokens_of(ID)) == (None, (token,))


def test_an_answer_is_kept_until_it_is_old(records: SqlServerStore) -> None:
    assert records.begin_answer("ana", "k", b"d", 10.0, 0.0) is None
    assert records.begin_answer("ana", "k", b"d", 11.0, 0.0) == AnswerRecord(b"d")
    assert records.begin_answer("bob", "k", b"d", 11.0, 0.0) is None
    records.end_answer("ana", "k", AnswerRecord(b"d", 200, "text"))
    assert records.begin_answer("ana", "k", b"d", 12.0, 0.0) == AnswerRecord(b"d", 200, "text")
    assert records.begin_answer("ana", "k", b"d", 12.0, 10.5) is None
    assert records.forget_answer("ana", "k")
    assert records.begin_answer("ana", "k", b"d", 12.0, 10.5) is None


def test_a_request_that_began_nothing_is_forgotten_with_its_server(served: Served) -> None:
    records = served.records
    records.begin_answer("ana", "begun", b"d", 1.0, 0.0)
    records.begin_answer("ana", "not begun", b"d", 1.0, 0.0)
    new = infrastructure()
    records.accept(Acceptance(operation(), new=new, owner="ana", request=("ana", "begun")), 1.0)
    assert not records.forget_answer("ana", "begun")
    assert records.forget_answer("ana", "never asked")
    served.end()
    begun = records.begin_answer("ana", "begun", b"d", 2.0, 0.0)
    assert begun is not None
    assert (begun.status, begun.operation) == (None, "op-1")
    assert records.begin_answer("ana", "not begun", b"d", 2.0, 0.0) is None


def test_former_infrastructures_and_vault_entries_are_kept(records: SqlServerStore) -> None:
    gone = FormerRecord(ID, "ana", 5.0, {"vm_count": 3})
    records.add_former(gone)
    assert records.former(5.0) == (gone,)
    assert records.former(5.1) == ()
    records.put_vault("ana", "one", b"x")
    records.put_vault("ana", "one", b"y")
    assert records.vault("ana") == {"one": b"y"}
    records.put_vault("ana", "one", None)
    assert records.vault("ana") == {}
