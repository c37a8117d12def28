"""The promises of the store's protocol, kept by every store."""

import threading
from dataclasses import replace

import pytest

from im_client.plan.model import Phase, Spec
from im_client.state.sql_store import SqlStore
from im_client.state.store import Budget, RunState, Source, Terms
from infracore.errors import Conflict, NotFound
from infracore.secrets import Secret
from tests.im_client.state.conftest import Opener
from tests.im_client.state.records import ID, event, infrastructure, node, run


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    store.add_infrastructure(infrastructure())
    return store


def test_an_infrastructure_is_read_as_it_was_added(filled: SqlStore) -> None:
    assert filled.infrastructure(ID) == infrastructure()


@pytest.mark.parametrize("word", [ID, "cluster", ID[:4], ID[:20]])
def test_an_infrastructure_is_found_by_id_name_and_beginning(filled: SqlStore, word: str) -> None:
    assert filled.infrastructure(word).id == ID


@pytest.mark.parametrize("word", ["", "111", "clust", "1112", "%111", ID + "0"])
def test_an_infrastructure_is_never_guessed(filled: SqlStore, word: str) -> None:
    with pytest.raises(NotFound, match="there is no infrastructure"):
        filled.infrastructure(word)


def test_an_ambiguous_beginning_names_those_that_fit(filled: SqlStore) -> None:
    filled.add_infrastructure(infrastructure(id=ID[:-1] + "6", name="other"))
    with pytest.raises(Conflict, match=r"cluster.*other"):
        filled.infrastructure(ID[:10])
    assert filled.infrastructure(ID).name == "cluster"


def test_a_name_wins_over_the_beginning_of_an_id(filled: SqlStore) -> None:
    filled.add_infrastructure(infrastructure(id="99999999", name=ID[:6]))
    assert filled.infrastructure(ID[:6]).id == "99999999"


@pytest.mark.parametrize("taken", [{"name": "x"}, {"id": "x"}, {"id": "x", "name": ID}, {"id": "cluster", "name": "x"}])
def test_a_taken_id_or_name_is_refused(filled: SqlStore, taken: dict[str, str]) -> None:
    with pytest.raises(Conflict, match="already"):
        filled.add_infrastructure(infrastructure(**taken))
    assert len(filled.infrastructures()) == 1


def test_infrastructures_are_listed_newest_first(filled: SqlStore) -> None:
    filled.add_infrastructure(infrastructure(id="new", name="new", created_at=2000.0))
    filled.add_infrastructure(infrastructure(id="old", name="old", created_at=10.0))
    assert [found.id for found in filled.infrastructures()] == ["new", ID, "old"]


def test_a_new_source_replaces_the_old_and_raises_the_revision(filled: SqlStore) -> None:
    source = Source("/other.yaml", inputs={"password": Secret("new")})
    filled.set_source(ID, source, 1500.0)
    assert filled.infrastructure(ID) == infrastructure(source=source, revision=1, updated_at=1500.0)


def test_outputs_replace_the_old_and_leave_the_revision(filled: SqlStore) -> None:
    filled.set_outputs(ID, {"url": "http://x"}, 1500.0)
    assert filled.infrastructure(ID) == infrastructure(outputs={"url": "http://x"}, updated_at=1500.0)


@pytest.mark.parametrize("terms", [Terms(2e9), Terms(None, Budget(0.5)), Terms(2e9, Budget(1.0, "EUR", True))])
def test_terms_are_read_as_they_were_added_or_set_and_leave_the_revision(store: SqlStore, terms: Terms) -> None:
    store.add_infrastructure(infrastructure(terms=terms))
    assert store.infrastructure(ID) == infrastructure(terms=terms)
    store.set_terms(ID, Terms(), 1500.0)
    assert store.infrastructure(ID) == infrastructure(updated_at=1500.0)
    store.set_terms(ID, terms, 1600.0)
    assert list(store.expired(1.9e9)) == []
    assert list(store.expired(2e9)) == ([ID] if terms.expires_at else [])
    assert store.infrastructure(ID) == infrastructure(terms=terms, updated_at=1600.0)


def test_a_node_is_read_as_it_was_put(filled: SqlStore) -> None:
    filled.put_node(node())
    assert filled.nodes(ID) == (node(),)


def test_a_node_with_nothing_to_hide_is_read_as_it_was_put(filled: SqlStore) -> None:
    bare = node(host_key_private=None, outputs={}, provider_id=None, phase=Phase.CREATING, spec=Spec())
    filled.put_node(bare)
    assert filled.nodes(ID) == (bare,)


def test_nodes_are_in_the_order_of_group_and_index(filled: SqlStore) -> None:
    for number in (10, 9, 2):
        filled.put_node(node(number))
    filled.put_node(node(11, group="front"))
    assert [found.name for found in filled.nodes(ID)] == ["wn-11", "wn-2", "wn-9", "wn-10"]


def test_every_write_to_a_node_raises_the_revision_by_one(filled: SqlStore) -> None:
    filled.put_node(node())
    filled.put_node(replace(node(), phase=Phase.CONFIGURED, updated_at=1700.0))
    assert (filled.infrastructure(ID).revision, filled.infrastructure(ID).updated_at) == (2, 1700.0)
    filled.remove_node(ID, "wn-0", 1800.0)
    assert (filled.infrastructure(ID).revision, filled.infrastructure(ID).updated_at) == (3, 1800.0)
    assert filled.nodes(ID) == ()


def test_removing_what_is_absent_succeeds_and_changes_nothing(filled: SqlStore) -> None:
    filled.remove_node(ID, "nobody", 1800.0)
    filled.remove_infrastructure("nobody")
    assert filled.infrastructure(ID) == infrastructure()


def test_nodes_are_counted_by_phase(filled: SqlStore) -> None:
    for number in range(3):
        filled.put_node(node(number))
    filled.put_node(node(3, phase=Phase.FAILED))
    assert filled.node_counts() == {ID: {Phase.RUNNING: 3, Phase.FAILED: 1}}


@pytest.mark.parametrize("write", ["put_node", "set_source", "set_outputs", "set_terms", "start_run"])
def test_writing_to_an_infrastructure_that_is_gone_is_refused(store: SqlStore, write: str) -> None:
    with pytest.raises(NotFound, match="any more"):
        {
            "put_node": lambda: store.put_node(node()),
            "set_source": lambda: store.set_source(ID, Source("x"), 1.0),
            "set_outputs": lambda: store.set_outputs(ID, {}, 1.0),
            "set_terms": lambda: store.set_terms(ID, Terms(1.0), 1.0),
            "start_run": lambda: store.start_run(run()),
        }[write]()


def test_runs_are_listed_newest_first_with_how_they_ended(filled: SqlStore) -> None:
    for number in range(3):
        filled.start_run(run(number))
    filled.end_run("run-1", RunState.PARTLY_DONE, "one failed", 1300.0)
    ended = run(1, state=RunState.PARTLY_DONE, summary="one failed", ended_at=1300.0)
    assert filled.runs(ID) == (run(2), ended, run(0))


def test_a_run_is_started_once(filled: SqlStore) -> None:
    filled.start_run(run())
    with pytest.raises(Conflict, match="run-0"):
        filled.start_run(run())


def test_events_come_back_in_the_order_in_which_they_were_added(filled: SqlStore) -> None:
    filled.start_run(run())
    filled.start_run(run(1))
    filled.add_events([event("b", at=2.0), event("other", run="run-1")])
    filled.add_events([event("a")])
    filled.add_events([])
    assert filled.events("run-0") == (event("b", at=2.0), event("a"))


def test_text_that_utf8_cannot_hold_is_kept_as_far_as_it_can_be(filled: SqlStore) -> None:
    filled.start_run(run())
    filled.add_events([event("bad \udcff byte")])
    filled.put_node(node(failure="é\udcff", outputs={"c": {"o": {"k\udcff": ("\udcff",)}}}))
    assert filled.events("run-0")[0].text == "bad ? byte"
    assert (filled.nodes(ID)[0].failure, filled.nodes(ID)[0].outputs) == ("é?", {"c": {"o": {"k?": ("?",)}}})


def test_removing_an_infrastructure_removes_all_that_belongs_to_it(filled: SqlStore) -> None:
    filled.put_node(node())
    filled.start_run(run())
    filled.add_events([event("x")])
    filled.remove_infrastructure(ID)
    assert (filled.infrastructures(), filled.nodes(ID), filled.runs(ID), filled.events("run-0")) == ((), (), (), ())


def test_the_run_that_destroys_can_end_after_its_infrastructure_is_gone(filled: SqlStore) -> None:
    filled.start_run(run())
    filled.remove_infrastructure(ID)
    filled.add_events([event("last words")])
    filled.end_run("run-0", RunState.DONE, "destroyed", 1300.0)
    assert filled.events("run-0") == ()


def test_a_second_opening_reads_what_the_first_wrote(filled: SqlStore, open_again: Opener) -> None:
    filled.put_node(node())
    second = open_again()
    assert second.nodes(ID) == (node(),)
    second.close()


def test_threads_lose_no_write(filled: SqlStore) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 20):
            filled.put_node(node(number))
        filled.nodes(ID)

    threads = [threading.Thread(target=work, args=(100 * k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (filled.infrastructure(ID).revision, len(filled.nodes(ID))) == (160, 160)
