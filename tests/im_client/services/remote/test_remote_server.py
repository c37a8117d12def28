"""What is repeated and what is not, who the server is, and how its errors and its machines are read."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from im_client.plan.model import Phase
from im_client.services.model import Verb
from im_client.services.remote.changing import apply, order, prepare_scale
from im_client.services.remote.model import Kind
from im_client.services.remote.reading import find, listing, look, outputs
from im_client.services.remote.server import Server, open_server
from im_client.settings import load_settings
from im_client.state.store import RunState
from infracore.clock import FakeClock
from infracore.errors import (
    Cancelled,
    Conflict,
    InfraError,
    InvalidUsage,
    Locked,
    Misconfigured,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)
from infracore.events import Event
from tests.rigs.small_im import Reply, SmallIm, small_im

ANSWERS = dict[str, Reply | Callable[[], Reply]]


@contextmanager
def opened(server: SmallIm, tmp_path: Path, **settings: str) -> Iterator[Server]:
    overrides = {"remote.server": server.url, **{f"remote.{name}": value for name, value in settings.items()}}
    loaded = load_settings(overrides=overrides, environ={"HOME": str(tmp_path)}, cwd=tmp_path).value
    with open_server(loaded, {"IM_TOKEN": "t0ken-of-ana"}, FakeClock()) as found:
        yield found


def radl(name: str = "front", **more: Any) -> Reply:
    system = {"class": "system", "id": name, "net_interface.0.dns_name": name, "net_interface.0.connection": "net"}
    return Reply(body={"radl": [{"class": "network", "id": "net", "outbound": "yes"}, {**system, **more}]})


def states(state: str, **vms: str) -> Reply:
    return Reply(body={"state": {"state": state, "vm_states": {vm.removeprefix("vm"): s for vm, s in vms.items()}}})


def infrastructure(name: str = "demo", infra: str = "abcd-1") -> ANSWERS:
    return {
        "GET /infrastructures": Reply(body={"uri-list": [{"uri": f"http://x/infrastructures/{infra}"}]}),
        f"GET /infrastructures/{infra}/state": states("configured", vm0="configured"),
        f"GET /infrastructures/{infra}/radl": Reply(body={"radl": f"description d (\n name = '{name}'\n)\n"}),
        f"GET /infrastructures/{infra}/vms/0": radl(),
        f"GET /infrastructures/{infra}/contmsg": Reply(body={"contmsg": "all is well\n"}),
    }


def test_looking_is_repeated_where_that_may_help(tmp_path: Path) -> None:
    replies = iter([Reply(503, {"message": "later"}), Reply(500, "oops"), Reply(body={"version": "9"})])
    with small_im({"GET /version": lambda: next(replies)}) as server, opened(server, tmp_path) as im:
        assert im.version == "9"
    assert server.count("GET /version") == 3


def test_a_change_is_sent_once_to_the_original_and_with_its_key_to_ours(tmp_path: Path) -> None:
    with small_im({"POST /infrastructures/a": Reply(503, {"message": "later"})}) as server:
        with opened(server, tmp_path) as im:
            assert im.kind is Kind.ORIGINAL
            with pytest.raises(Transient):
                im.change("POST", "/infrastructures/a")
        assert server.count("POST /infrastructures/a") == 1
        server.answers["GET /healthz"] = Reply(body="ok\n")
        with opened(server, tmp_path) as im:
            assert im.kind is Kind.OURS
            with pytest.raises(Transient):
                im.change("POST", "/infrastructures/a", etag='"v3"')
    sent = [headers for line, headers, _ in server.asked if line.startswith("POST")][1:]
    assert len(sent) == 4
    assert len({headers["idempotency-key"] for headers in sent}) == 1
    assert {headers["if-match"] for headers in sent} == {'"v3"'}


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(401, {"message": "who are you"}), Unauthorised, "who are you"),
        (Reply(403, "no"), Unauthorised, "no"),
        (Reply(404, {"detail": "Not Found"}), NotFound, "Not Found"),
        (Reply(409, {"message": "busy"}), Conflict, "busy"),
        (Reply(409, {"type": "urn:im-clues:locked", "message": "im deploy runs"}), Locked, "im deploy runs"),
        (Reply(412, {"message": "older"}), Conflict, "older"),
        (Reply(400, {"type": "urn:im-clues:unsupported", "message": "not here"}), Unsupported, "not here"),
        (Reply(403, {"message": "'tosca' ... is not valid in this infrastructure"}), Unsupported, "tosca"),
        (Reply(422, {"detail": [{"loc": ["path"], "msg": "bad"}]}), Misconfigured, "bad"),
        (Reply(302, "", {"Location": "https://evil.example/"}), Misconfigured, "redirects to https://evil.example/"),
        (Reply(400, {"message": "first\n\tError: second\n\t\tFile <x>, line 1\n\t\t\tcode"}), InfraError, "second"),
    ],
)
def test_errors_are_told_by_what_can_be_done_about_them(
    reply: Reply, error: type[InfraError], words: str, tmp_path: Path
) -> None:
    with small_im({"GET /x": reply}) as server, opened(server, tmp_path) as im:
        with pytest.raises(error, match=words) as caught:
            im.get("/x")
        assert "File <x>" not in str(caught.value)


def test_an_error_never_repeats_the_credentials(tmp_path: Path) -> None:
    with small_im({"GET /x": Reply(400, {"message": "bad header: Bearer t0ken-of-ana"})}) as server:
        with opened(server, tmp_path) as im, pytest.raises(InfraError) as caught:
            im.get("/x")
        assert server.asked[0][1]["authorization"] == "Bearer t0ken-of-ana"
    assert "t0ken" not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("body", [[], "nonsense", {"uri-list": "x"}, {"uri-list": [{"uri": 7}, 8]}, {"a": None}])
def test_a_list_that_is_none_holds_nothing(body: object, tmp_path: Path) -> None:
    with small_im({"GET /infrastructures": Reply(body=body)}) as server, opened(server, tmp_path) as im:
        assert listing(im) == ()


@pytest.mark.parametrize("uri", ["http://x/infrastructures/..", "http://x/%2e%2e", "", "http://x/a b", "x" * 200])
def test_an_address_without_an_id_is_an_error(uri: str, tmp_path: Path) -> None:
    answers: ANSWERS = {"GET /infrastructures": Reply(body={"uri-list": [{"uri": uri}]})}
    with small_im(answers) as server, opened(server, tmp_path) as im, pytest.raises(Transient, match="no id"):
        listing(im)


@pytest.mark.parametrize(
    "state", [{}, {"state": 1}, {"state": {"vm_states": []}}, {"state": {"vm_states": {"../x": "a"}}}]
)
def test_a_state_that_is_none_is_an_error(state: object, tmp_path: Path) -> None:
    answers = {**infrastructure(), "GET /infrastructures/abcd-1/state": Reply(body=state)}
    with small_im(answers) as server, opened(server, tmp_path) as im, pytest.raises(Transient):
        look(im, "abcd-1")


def test_an_infrastructure_is_found_by_id_beginning_and_name_and_never_guessed(tmp_path: Path) -> None:
    answers = infrastructure()
    uris = [{"uri": f"http://x/infrastructures/{infra}"} for infra in ("abcd-1", "abce-2", "ffff-3")]
    answers["GET /infrastructures"] = Reply(body={"uri-list": uris})
    for infra in ("abce-2", "ffff-3"):
        answers |= {key: value for key, value in infrastructure("twin", infra).items() if infra in key}
    with small_im(answers) as server, opened(server, tmp_path) as im:
        assert find(im, "abcd-1") == find(im, "abcd") == find(im, "demo") == "abcd-1"
        for word in ("twin", None):
            with pytest.raises(InvalidUsage, match=r"several|called"):
                find(im, word)
        for word in ("abc", "dem", "nosuch", ""):
            with pytest.raises(NotFound):
                find(im, word)


def test_a_destroyed_infrastructure_that_the_original_shows_as_empty_is_not_there(tmp_path: Path) -> None:
    answers = infrastructure()
    answers["GET /infrastructures"] = Reply(body={"uri-list": []})
    answers["GET /infrastructures/abcd-1/state"] = states("unknown")
    with small_im(answers) as server, opened(server, tmp_path) as im, pytest.raises(NotFound):
        look(im, "abcd-1")


def test_machines_have_names_that_are_their_own(tmp_path: Path) -> None:
    answers = infrastructure()
    answers["GET /infrastructures/abcd-1/state"] = states("configured", vm0="configured", vm1="off", vm2="running")
    answers["GET /infrastructures/abcd-1/vms/1"] = radl("front")
    answers["GET /infrastructures/abcd-1/vms/2"] = radl("wn", **{"net_interface.0.dns_name": "wn-#N#.example.org"})
    with small_im(answers) as server, opened(server, tmp_path) as im:
        seen = look(im, "abcd-1")
    assert {machine.name: machine.phase for machine in seen.machines} == {
        "front-0": Phase.CONFIGURED,
        "front-1": Phase.GONE,
        "wn-2": Phase.RUNNING,
    }


def test_what_is_no_name_and_no_address_is_taken_for_none(tmp_path: Path) -> None:
    answers = infrastructure()
    evil = {
        "net_interface.0.dns_name": "x ansible_connection=local\ny",
        "net_interface.0.ip": "{{ lookup('pipe', 'id') }}",
    }
    answers["GET /infrastructures/abcd-1/vms/0"] = radl("a\n[all:vars]", **evil)
    with small_im(answers) as server, opened(server, tmp_path) as im:
        (machine,) = look(im, "abcd-1").machines
    assert machine.name == "vm-0"
    assert machine.vm is not None
    assert not machine.vm.cards


def test_a_server_makes_nobody_wait_for_hours(tmp_path: Path) -> None:
    replies = iter([Reply(503, {"message": "later"}, {"Retry-After": "9999"}), Reply(body={"version": "1"})])
    with small_im({"GET /version": lambda: next(replies)}) as server, opened(server, tmp_path) as im:
        before = im.clock.monotonic()
        assert im.version == "1"
        assert im.clock.monotonic() - before <= 60


def test_outputs_of_what_was_made_from_radl_are_said_not_to_be(tmp_path: Path) -> None:
    answers = infrastructure()
    answers["GET /infrastructures/abcd-1/outputs"] = Reply(403, {"message": "it is not valid in this infrastructure"})
    with small_im(answers) as server, opened(server, tmp_path) as im, pytest.raises(Unsupported, match="RADL"):
        outputs(im, "abcd-1")


def test_secrets_among_the_outputs_are_hidden_in_the_report_of_a_change_too(tmp_path: Path) -> None:
    answers = infrastructure()
    key = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n"
    said = {"ip": "10.0.0.1", "admin": {"user": "root", "token": key}, "login": key, "db_password": "pw"}
    answers["GET /infrastructures/abcd-1/outputs"] = Reply(body={"outputs": said})
    with small_im(answers) as server, opened(server, tmp_path) as im:
        plan = prepare_scale(im, "abcd-1", {"front": 1}, [])
        report = apply(im, plan, listener=lambda event: None, cancel=threading.Event())
        assert outputs(im, "abcd-1", reveal=True) == said
    assert report.outputs == {
        "ip": "10.0.0.1",
        "admin": {"user": "root", "token": "***"},
        "login": "***",
        "db_password": "***",
    }


@pytest.mark.parametrize(("said", "query"), [("no", ""), ("yes", "?replace=yes")])
def test_ours_makes_machines_anew_where_the_settings_say_so(said: str, query: str, tmp_path: Path) -> None:
    answers = infrastructure()
    answers["GET /healthz"] = Reply(body="ok\n")
    answers["POST /infrastructures/abcd-1"] = Reply(409, {"message": "this would delete front"})
    answers["DELETE /infrastructures/abcd-1/vms/0"] = Reply(409, {"message": "this would delete worker"})
    with small_im(answers) as server, opened(server, tmp_path, replace=said) as im:
        plan = prepare_scale(im, "abcd-1", {"front": 2}, [])
        with pytest.raises(Conflict, match="would delete front"):
            apply(im, plan, listener=lambda event: None, cancel=threading.Event())
        plan = prepare_scale(im, "abcd-1", {}, ["0"])
        with pytest.raises(Conflict, match="would delete worker"):
            apply(im, plan, listener=lambda event: None, cancel=threading.Event())
    assert server.count(f"POST /infrastructures/abcd-1{query}") == 1
    assert server.count(f"DELETE /infrastructures/abcd-1/vms/0{query}") == 1


def _order(im: Server, cancel: threading.Event | None = None) -> tuple[RunState, list[Event]]:
    events: list[Event] = []
    report = order(im, "abcd-1", Verb.START, (), listener=events.append, cancel=cancel or threading.Event())
    return report.state, events


def test_the_original_is_followed_by_states_and_log_until_they_are_as_wanted(tmp_path: Path) -> None:
    answers = infrastructure()
    now = iter([*[states("stopped", vm0="stopped")] * 2, *[states("running", vm0="running")] * 2])
    answers["GET /infrastructures/abcd-1/state"] = lambda: next(now, states("configured", vm0="configured"))
    answers["PUT /infrastructures/abcd-1/start"] = Reply()
    with small_im(answers) as server, opened(server, tmp_path) as im:
        state, events = _order(im)
    assert state is RunState.DONE
    assert [event.text for event in events if event.kind == "note"] == ["all is well"]
    assert [(e.kind, e.phase or e.text) for e in events if e.node][-2:] == [
        ("phase", "running"),
        ("node-done", "configured"),
    ]


def test_a_machine_that_fails_makes_it_partly_done_or_failed(tmp_path: Path) -> None:
    answers = infrastructure()
    answers["PUT /infrastructures/abcd-1/start"] = Reply()
    answers["GET /infrastructures/abcd-1/vms/0/contmsg"] = Reply(body={"contmsg": "TASK x\nfatal: no route\n"})
    answers["GET /infrastructures/abcd-1/state"] = states("unconfigured", vm0="unconfigured")
    with small_im(answers) as server, opened(server, tmp_path) as im:
        report = order(im, "abcd-1", Verb.START, (), listener=lambda _: None, cancel=threading.Event())
    assert report.state is RunState.FAILED
    assert [(node.ok, node.error) for node in report.nodes] == [(False, "fatal: no route")]


def test_what_never_ends_ends_here_and_says_that_it_goes_on_there(tmp_path: Path) -> None:
    answers = infrastructure()
    answers["PUT /infrastructures/abcd-1/start"] = Reply()
    answers["GET /infrastructures/abcd-1/state"] = states("running", vm0="running")
    with small_im(answers) as server, opened(server, tmp_path, wait_s="60", poll_s="20") as im:
        with pytest.raises(TimedOut, match="still works"):
            _order(im)
        interrupted = threading.Event()
        interrupted.set()
        with pytest.raises(Cancelled, match="cannot be told to stop"):
            _order(im, interrupted)


def test_an_operation_of_ours_tells_its_events_and_its_end(tmp_path: Path) -> None:
    answers = infrastructure()
    answers["GET /healthz"] = Reply(body="ok\n")
    answers["PUT /infrastructures/abcd-1/start"] = Reply(headers={"Operation": "http://elsewhere/operations/00ff-1"})
    frames = (
        'id: 1\nevent: phase\ndata: {"node": "front", "phase": "start", "kind": "phase"}\n\n: still here\n\n'
        'id: 2\nevent: node-failed\ndata: {"node": "front", "text": "no"}\n\nevent: end\ndata: {}\n\n'
    )
    answers["GET /operations/00ff-1/events"] = Reply(body=frames)
    heard = threading.Event()
    done = {"state": "partly-done", "error": "front: no", "hint": "look"}
    answers["GET /operations/00ff-1"] = lambda: Reply(body=done if heard.wait(10) else {"state": "running"})
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if event.kind == "node-failed":
            heard.set()

    with small_im(answers) as server, opened(server, tmp_path) as im:
        report = order(im, "abcd-1", Verb.START, (), listener=listen, cancel=threading.Event())
    assert report.state is RunState.PARTLY_DONE
    assert [(e.kind, e.node, e.phase or e.text) for e in events if e.node] == [
        ("phase", "front", "start"),
        ("node-failed", "front", "no"),
    ]


def test_interrupting_cancels_the_operation_of_ours_and_waits_for_its_end(tmp_path: Path) -> None:
    answers = infrastructure()
    answers["GET /healthz"] = Reply(body="ok\n")
    answers["PUT /infrastructures/abcd-1/start"] = Reply(headers={"Operation": "http://x/operations/00ff-1"})
    answers["GET /operations/00ff-1/events"] = Reply(body="event: end\ndata: {}\n\n")
    replies = iter([Reply(body={"state": "running"}), Reply(body={"state": "running"})])
    answers["GET /operations/00ff-1"] = lambda: next(replies, Reply(body={"state": "cancelled"}))
    answers["DELETE /operations/00ff-1"] = Reply(body={})
    cancel = threading.Event()
    cancel.set()
    with small_im(answers) as server, opened(server, tmp_path) as im:
        state, _ = _order(im, cancel)
    assert state is RunState.INTERRUPTED
    assert server.count("DELETE /operations/00ff-1") == 1
