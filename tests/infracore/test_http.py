"""What a server may do to its client: nothing but answer, within bounds and in time."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infracore.errors import Cancelled, InfraError, Misconfigured, TimedOut, Transient
from infracore.http import Http, Unheard, parse_address, parse_address_or_socket

_Behaviour = Callable[[socket.socket], None]


@contextmanager
def serving(behave: _Behaviour, seen: list[bytes] | None = None, *, end: bytes = b"\r\n\r\n") -> Iterator[str]:
    """Answer each connection by `behave`, once its head has come."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    head = b""
                    while (end not in head or not head) and (piece := peer.recv(65536)):
                        head += piece
                    if seen is not None:
                        seen.append(head)
                    try:
                        behave(peer)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def says(text: bytes) -> _Behaviour:
    return lambda peer: peer.sendall(text)


def get(url: str, *, limit_s: float = 5.0, most_bytes: int = 1000) -> bytes:
    http = Http(parse_address(url, "url"), most_bytes=most_bytes)
    return http.send("GET", "/x", headers={"Authorization": "s3cret"}, limit_s=limit_s).body


def until_shut(piece: bytes, pause_s: float) -> _Behaviour:
    """Send a piece again and again, until the client has had enough."""

    def behave(peer: socket.socket) -> None:
        pause = threading.Event()
        while True:
            peer.sendall(piece)
            pause.wait(pause_s)

    return behave


def test_an_answer_is_read_and_the_request_is_what_was_meant() -> None:
    seen: list[bytes] = []
    with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), seen) as url:
        assert get(f"{url}/base/") == b"ok"
    assert seen[0].startswith(b"GET /base/x HTTP/1.1\r\n")
    assert b"Authorization: s3cret\r\n" in seen[0]


@pytest.mark.parametrize(
    ("behave", "error", "words"),
    [
        (says(b"garbage\r\n\r\n"), Transient, "no HTTP"),
        (says(b""), Transient, "broke off"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Transient, "broke off its answer"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000), Misconfigured, "more than"),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), Transient, "broke off|no HTTP"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"a" * 100_000 + b"\r\n\r\n"), Transient, "no HTTP"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n"), Transient, "broke off"),
        (until_shut(b"x" * 4096, 0.0), (Transient, Misconfigured), "no HTTP"),
        (says(b"HTTP/1.1 307 x\r\nLocation: http://u:pw@evil.example/\r\n\r\n"), Misconfigured, "redirects to http://"),
    ],
)
def test_a_server_that_answers_nonsense_gives_one_clear_error(
    behave: _Behaviour, error: type[InfraError], words: str
) -> None:
    with serving(behave) as url, pytest.raises(error, match=words) as caught:
        get(url)
    assert "s3cret" not in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "behave",
    [
        until_shut(b"H", 0.05),
        lambda peer: (peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), until_shut(b"x", 0.05)(peer))[1],
        lambda peer: peer.recv(1),
        until_shut(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    ],
    ids=["head", "body", "silence", "continue"],
)
def test_a_server_that_drips_ends_with_the_limit(behave: _Behaviour) -> None:
    with serving(behave) as url, pytest.raises(TimedOut, match=r"within 0\.3 s"):
        get(url, limit_s=0.3)


def test_closing_breaks_off_what_waits() -> None:
    begun = threading.Event()

    def behave(peer: socket.socket) -> None:
        begun.set()
        peer.recv(1)

    with serving(behave) as url:
        http = Http(parse_address(url, "url"))
        errors: list[InfraError] = []

        def ask() -> None:
            try:
                http.send("GET", "/", headers={}, limit_s=30)
            except InfraError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert begun.wait(10)
        http.close()
        thread.join(10)
        assert [type(error) for error in errors] == [Cancelled]
        with pytest.raises(Cancelled):
            http.send("GET", "/", headers={}, limit_s=1)


def test_a_server_that_is_not_there_has_heard_nothing() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(Unheard, match="does not answer"):
            get(f"http://127.0.0.1:{closed.getsockname()[1]}")


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    from tests.rigs.certificates import certificate

    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                try:
                    with context.wrap_socket(peer, server_side=True) as secure:
                        secure.recv(65536)
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = parse_address(f"https://127.0.0.1:{server.getsockname()[1]}", "url")
        with pytest.raises(Misconfigured, match="not trusted"):
            Http(address).send("GET", "/", headers={}, limit_s=5)
        assert Http(address, ca_file=cert).send("GET", "/", headers={}, limit_s=5).body == b"ok"
        thread.join(10)


def test_a_server_without_tls_is_told_at_https() -> None:
    with serving(says(b"HTTP/1.1 400 Bad\r\n\r\n"), end=b"") as url, pytest.raises(Misconfigured, match="TLS"):
        get(url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "im.example.org",
        "ftp://x",
        "http://",
        "http://u:p@x",
        "http://x:99999",
        "http://x:0",
        "http://x/?a=b",
        "http://x y",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_address(url, "server")
    assert "u:p" not in str(caught.value)


def test_loopback_is_told_from_the_rest() -> None:
    for url, expected in (("http://127.0.0.9", True), ("http://[::1]:8800", True), ("http://localhost", True)):
        assert parse_address(url, "url").is_loopback is expected
    assert not parse_address("http://192.0.2.1", "url").is_loopback
    assert not parse_address("http://localhost.example.org", "url").is_loopback


def test_a_unix_socket_is_a_server_too(tmp_path: Path) -> None:
    address = parse_address_or_socket(f"unix:{tmp_path}/s", "server")
    with pytest.raises(Unheard, match="unix:"):
        Http(address).send("GET", "/x", headers={}, limit_s=5)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/s")
        server.listen()
        seen: list[bytes] = []

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                seen.append(peer.recv(65536))
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert Http(address).send("GET", "/x", headers={}, limit_s=5).body == b"hi"
        thread.join(10)
    assert b"\r\nHost: localhost\r\n" in seen[0]
    assert address.is_loopback


def test_an_address_may_be_either_and_a_path_is_whole() -> None:
    assert str(parse_address_or_socket("https://h:6820", "server")) == "https://h:6820"
    for text in ("unix:", "unix:rest.sock", "unix:/" + "x" * 120, "unix:/a\nb", "rest.sock"):
        with pytest.raises(Misconfigured, match="server: "):
            parse_address_or_socket(text, "server")
