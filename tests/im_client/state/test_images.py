"""Callers' images: accepted with their operation or not at all, and each is somebody's."""

from dataclasses import replace

import pytest

from im_client.state.server import Acceptance, ImageRecord, OperationKind, OperationRecord
from im_client.state.sql_server import SqlServerStore
from im_client.state.sql_store import SqlStore
from infracore.errors import Conflict, QuotaExceeded
from tests.im_client.state.records import ID, infrastructure

IMAGE = ImageRecord("fake", "web-1a", "ana", "web", ID, "web-1", "op-2", 2.0, auto_delete=True)


def ask(records: SqlServerStore, image: ImageRecord, most: int = 0) -> None:
    operation = OperationRecord(image.operation, image.infrastructure, OperationKind.SNAPSHOT, image.account, 2.0)
    records.accept(Acceptance(operation, image=image, most_images=most), 2.0)


@pytest.fixture
def filled(records: SqlServerStore) -> SqlServerStore:
    made = OperationRecord("op-1", ID, OperationKind.CREATE, "ana", 1.0)
    records.accept(Acceptance(made, new=infrastructure(), owner="ana", source=infrastructure().source), 1.0)
    ask(records, IMAGE)
    return records


def test_an_image_is_found_by_all_that_is_known_of_it(filled: SqlServerStore) -> None:
    assert filled.images("ana") == filled.images_of(ID) == filled.images_at("fake") == (IMAGE,)
    assert filled.image_by("op-2") == IMAGE
    assert filled.images("bob") == filled.images_of("other") == filled.images_at("local") == ()
    assert filled.image_by("op-1") is None


def test_whether_the_machine_must_run_again_is_kept(filled: SqlServerStore) -> None:
    for restart in (True, False):
        filled.set_restart("op-2", restart)
        assert filled.image_by("op-2") == replace(IMAGE, restart=restart)
    filled.remove_image("op-2")
    filled.remove_image("op-2")
    assert filled.images("ana") == ()


def test_one_account_has_no_two_images_of_one_title_and_others_may(filled: SqlServerStore) -> None:
    same = replace(IMAGE, name="web-2b", operation="op-3")
    with pytest.raises(Conflict, match="already"):
        ask(filled, same)
    assert [one.id for one in filled.operations(ID)] == ["op-2", "op-1"], "the operation is not accepted either"
    ask(filled, replace(same, account="bob"))
    assert [one.name for one in filled.images_at("fake")] == ["web-1a", "web-2b"]


def test_who_takes_over_an_id_that_is_gone_has_no_say_over_its_images(store: SqlStore, filled: SqlServerStore) -> None:
    store.remove_infrastructure(ID)
    taken = OperationRecord("op-9", ID, OperationKind.CREATE, "eve", 3.0)
    filled.accept(Acceptance(taken, new=infrastructure(), owner="eve", source=infrastructure().source), 3.0)
    assert filled.images_of(ID) == (replace(IMAGE, auto_delete=False),)


def test_one_account_has_so_many_images_and_no_more(filled: SqlServerStore) -> None:
    more = replace(IMAGE, name="db-1", title="db", operation="op-3")
    with pytest.raises(QuotaExceeded, match="1 at the most"):
        ask(filled, more, most=1)
    assert filled.image_by("op-3") is None
    ask(filled, more, most=2)
    assert len(filled.images("ana")) == 2
