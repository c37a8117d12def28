"""Requests, their errors and credentials, against a server on loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from clues.kubeapi.api import Api, Connection, Gone, connection_of
from infracore.errors import (
    Conflict,
    InfraError,
    InvalidUsage,
    Misconfigured,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
)
from tests.clues.sources.server import Server, page, status, stream


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


class Credentials:
    """Stands where the kubernetes client's configuration does."""

    def __init__(self) -> None:
        self.token = "old"
        self.loaded = 0

    def auth_settings(self) -> dict[str, Any]:
        return {"BearerToken": {"in": "header", "key": "authorization", "value": self.token}}

    def load(self) -> None:
        self.loaded += 1
        self.token = "new"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, InvalidUsage),
        (401, Unauthorised),
        (403, Unauthorised),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, InvalidUsage),
        (429, Transient),
        (500, Transient),
        (503, Transient),
    ],
)
def test_refusals(server: Server, code: int, error: type[InfraError]) -> None:
    server.speeches.append(status(code, "the reason"))
    with pytest.raises(error, match=f"{code}" if code == 401 else f"{code}: the reason"):
        server.api().request("GET", "/x")


@pytest.mark.parametrize(
    ("said", "heard"), [("7", 7.0), ("900", 60.0), ("nan", None), ("-1", None), ("inf", 60.0), ("soon", None)]
)
def test_retry_after(server: Server, said: str, heard: float | None) -> None:
    server.speeches.append(status(429, retry_after=said))
    with pytest.raises(Transient) as caught:
        server.api().request("GET", "/x")
    assert caught.value.retry_after_s == heard


def test_a_token_that_ran_out_is_loaded_anew_once(server: Server) -> None:
    credentials = Credentials()
    api = Api(Connection(server.url, {}, credentials, credentials.load))
    server.speeches.extend([status(401, "x" * 5000), page([], "1"), status(401), status(401)])
    assert api.request("GET", "/x").status == 200
    assert [headers["authorization"] for _, _, headers in server.asked] == ["old", "new"]
    with pytest.raises(Unauthorised):
        api.request("GET", "/x")
    assert credentials.loaded == 2


def test_a_client_certificate_that_ran_out_is_replaced(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No header changes: the connections themselves have to be new ones."""
    connection = Connection(server.url, {"cert_file": "old.crt", "key_file": "old.key"}, Credentials())
    loaded = []

    def load() -> None:
        loaded.append(True)
        connection.tls = {"cert_file": "new.crt", "key_file": "new.key"}

    connection.refresh = load
    used = []
    sent = urllib3.PoolManager.request

    def request(pool: urllib3.PoolManager, *args: Any, **more: Any) -> Any:
        used.append(pool.connection_pool_kw["cert_file"])
        return sent(pool, *args, **more)

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    server.speeches.extend([status(401), page([], "1")])
    api = Api(connection)
    assert api.request("GET", "/api/v1/pods").status == 200
    assert (used, loaded) == (["old.crt", "new.crt"], [True])


def test_compressed_answers_and_pages_of_proxies(server: Server) -> None:
    server.speeches.extend([page([1], "1", zipped=True), lambda handler: handler.say(200, b"<html>", {})])
    assert server.api().call("GET", "/x")["items"] == [1]
    with pytest.raises(Transient, match="no JSON"):
        server.api().call("GET", "/x")


def test_an_answer_that_is_cut_or_late_or_not_there(server: Server) -> None:
    server.speeches.append(lambda handler: handler.say(200, b"{", {"content-length": "50"}))
    api = server.api()
    with pytest.raises(InfraError):
        api.request("GET", "/x", timeout_s=0.2)
    server.speeches.append(stream())
    with pytest.raises(TimedOut):
        api.request("GET", "/x", timeout_s=0.1)
    nobody = Api(Connection("http://127.0.0.1:1", {}))
    with pytest.raises(Transient, match="cannot be reached"):
        nobody.request("GET", "/x")


def test_lines_of_a_stream(server: Server) -> None:
    server.speeches.extend([stream(b"a\nb", b"b\n\n", b"c", then="end"), stream(b"x" * 3000)])
    api = server.api()
    with api.stream("/x", {"watch": "true"}, idle_s=1) as answer:
        assert [text[at:end] for lines in answer.lines(1000) for text, at, end in lines if at < end] == [b"a", b"bb"]
    with api.stream("/x", {"watch": "true"}, idle_s=1) as answer, pytest.raises(Conflict, match="1000 bytes"):
        list(answer.lines(1000))


@pytest.mark.parametrize("token", ["secret\nword", "secret\n", "secret\r", "secr\u00e9t", "secret\0"])
def test_a_credential_that_no_header_can_hold_is_said_and_not_shown(server: Server, token: str) -> None:
    credentials = Credentials()
    credentials.token = token
    with pytest.raises(Unauthorised, match="the credential for the header authorization holds") as caught:
        Api(Connection(server.url, {}, credentials)).request("GET", "/x")
    assert "secr" not in f"{caught.value.message} {caught.value.__cause__} {caught.value.__context__}"
    assert server.asked == []


USER = "users: [{name: u, user: %s}]"
HEAD = """apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
"""
PLUGIN = "{exec: {command: no-such-plugin, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no kubeconfig .*/kube.yaml"),
        ("", "cannot use .*/kube.yaml: .*empty"),
        ("hello", "cannot use .*/kube.yaml: it has not the form of a kubeconfig"),
        ("- a", "cannot use .*/kube.yaml: it has not the form of a kubeconfig"),
        ("current-context: x\ncontexts: 3", "cannot use .*/kube.yaml: it has not the form of a kubeconfig"),
        (HEAD + USER % PLUGIN, "cannot use .*/kube.yaml: .*no-such-plugin"),
    ],
)
def test_a_kubeconfig_that_is_none_is_said(
    tmp_path: Path, text: str | None, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kube.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Misconfigured, match=said) as caught:
        connection_of(str(path), "", {})
    assert "kubernetes.kubeconfig" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_of_several_kubeconfigs_those_that_are_missing_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "kube.yaml"
    path.write_text(HEAD + USER % "{token: t}")
    assert connection_of("", "", {"KUBECONFIG": f"{tmp_path}/none:{path}"}).headers() == {"authorization": "Bearer t"}
