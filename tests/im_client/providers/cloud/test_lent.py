"""Where a caller's line may lead."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import requests

from im_client.providers.cloud.lent import Lent, protect
from infracore.errors import Misconfigured, Transient, Unauthorised


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "localhost",
        "LOCALHOST.",
        "0.0.0.0",
        "10.1.2.3",
        "192.168.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
    ],
)
def test_what_is_not_of_the_public_internet_is_refused(host: str) -> None:
    with pytest.raises(Unauthorised, match="not a public address") as caught:
        Lent().check(f"https://{host}:5000/v3")
    assert "server.cloud_hosts" in caught.value.hint


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (("*",), "https://1.1.1.1:5000"),
        (("*", "127.0.0.1"), "http://127.0.0.1:1"),
        (("*", "localhost"), "http://LocalHost/"),
        (("*", "127.0.0.0/8"), "http://localhost"),
        (("10.1.0.0/16",), "https://10.1.2.3"),
        (("fd00::/8",), "https://[fd00::7]:5000"),
        (("nothing.has.this.name.invalid",), "https://nothing.has.this.name.invalid"),
    ],
)
def test_a_whole_name_an_address_or_a_network_allows_it(hosts: tuple[str, ...], url: str) -> None:
    Lent(hosts).check(url)


@pytest.mark.parametrize("hosts", [(), ("*.example.org",), ("10.1.0.0/16",)])
def test_hosts_that_no_pattern_fits_are_refused(hosts: tuple[str, ...]) -> None:
    with pytest.raises(Unauthorised, match="none of the hosts"):
        Lent(hosts).check("https://1.1.1.1")


def test_a_pattern_allows_nothing_private() -> None:
    with pytest.raises(Unauthorised, match="not a public address"):
        Lent(("local*",)).check("http://localhost")


@pytest.mark.parametrize(
    "url", ["", "keystone", "ftp://1.1.1.1", "https://", "https://h:99999", "https://[::1", "file:///x"]
)
def test_what_is_no_address_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured):
        Lent().check(url)


def test_a_name_that_is_not_known_is_transient() -> None:
    with pytest.raises(Transient):
        Lent().check("https://nothing.has.this.name.invalid")


class Served(BaseHTTPRequestHandler):
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", f"http://127.0.0.2:{self.server.server_address[1]}/secret")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    asked: list[tuple[str, str | None]] = []
    server = HTTPServer(("0.0.0.0", 0), type("Handler", (Served,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="served")
    thread.start()
    yield server.server_address[1], asked
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_redirect_leads_to_no_place_that_is_not_allowed(served: tuple[int, list[tuple[str, str | None]]]) -> None:
    port, asked = served
    with requests.Session() as session:
        protect(session, Lent(("127.0.0.1",)))
        assert session.get(f"http://127.0.0.1:{port}/here", timeout=5).status_code == 200
        with pytest.raises(Unauthorised, match=r"127\.0\.0\.2"):
            session.get(f"http://127.0.0.1:{port}/away", timeout=5)
    assert [path for path, _ in asked] == ["/here", "/away"]


def test_a_name_that_leads_elsewhere_when_it_is_connected_to_is_sent_nothing(
    served: tuple[int, list[tuple[str, str | None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, asked = served
    monkeypatch.setattr("im_client.providers.cloud.lent.addresses_of", lambda host, port: ["1.1.1.1"])  # as it was
    with requests.Session() as session:
        protect(session, Lent())
        with pytest.raises(Unauthorised, match="localhost is not a public address"):
            session.get(f"http://localhost:{port}/secret", timeout=5)
    assert asked == []


def test_netrc_of_the_server_is_not_sent(
    served: tuple[int, list[tuple[str, str | None]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port, asked = served
    (tmp_path / "netrc").write_text("default login operator password sesame\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with requests.Session() as session:
        session.get(f"http://127.0.0.1:{port}/own", timeout=5)
        protect(session, Lent(("127.0.0.1",)))
        session.get(f"http://127.0.0.1:{port}/lent", timeout=5)
    assert [bool(sent) for _, sent in asked] == [True, False]
