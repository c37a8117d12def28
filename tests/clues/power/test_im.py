"""The driver `im` against a real Infrastructure Manager with its Dummy cloud."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clues.options import Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import NoCapacity, NotFound, TimedOut, Transient, Unauthorised
from tests.rigs.im_server import ImServer, im_server
from tests.rigs.process import wait_until

pytestmark = [pytest.mark.im_server, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImServer]:
    with im_server(tmp_path_factory.mktemp("im")) as running:
        yield running


class Site:
    """One infrastructure, and drivers for it."""

    def __init__(self, server: ImServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.infrastructure = server.infrastructure("wn", "wn-#N#")
        self._opened: list[PowerDriver] = []

    def settings(self, **more: Any) -> dict[str, Any]:
        auth = self.folder / "auth"
        auth.touch(0o600)
        auth.write_text(more.pop("auth", self.server.auth))
        return {
            "type": "im",
            "url": self.server.url,
            "infrastructure": self.infrastructure,
            "auth": {"file": str(auth)},
            "state_file": str(self.folder / "book.json"),
            "groups": {"p": "wn"},
            **more,
        }

    def driver(self, **more: Any) -> PowerDriver:
        opened = load_drivers({"d": self.settings(**more)}, [Pool("p", driver="d")])["d"]
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        for driver in self._opened:
            driver.close()


@pytest.fixture
def site(server: ImServer, tmp_path: Path) -> Iterator[Site]:
    made = Site(server, tmp_path)
    yield made
    made.close()


def states(driver: PowerDriver) -> list[PowerState]:
    return [report.state for report in driver.list("p")]


def orders(*tokens: str) -> list[Order]:
    return [Order(token, "p") for token in tokens]


def test_machines_come_and_go_by_name(site: Site) -> None:
    driver = site.driver()
    assert tuple(driver.check()) == ()
    assert states(driver) == []
    receipts = driver.on(orders("a", "b", "c"))
    assert [receipt.token for receipt in receipts] == ["a", "b", "c"]
    assert [receipt.node for receipt in receipts] == [f"wn-{receipt.machine}" for receipt in receipts]
    wait_until(lambda: states(driver) == [PowerState.ON] * 3, "three run")
    assert {report.machine: report.token for report in driver.list("p")} == {r.machine: r.token for r in receipts}
    driver.off("p", [receipts[1].machine, "999"], token="x")
    driver.off("p", [receipts[1].machine], token="x")
    wait_until(lambda: len(site.server.vms(site.infrastructure)) == 2, "one is gone")
    assert {report.token for report in driver.list("p")} == {"a", "c"}


def test_the_same_token_orders_nothing_again_also_after_a_restart(site: Site) -> None:
    first = site.driver().on(orders("a", "b"))
    again = site.driver().on(orders("a", "b"))
    assert sorted(receipt.machine for receipt in again) == sorted(receipt.machine for receipt in first)
    assert len(site.server.vms(site.infrastructure)) == 2


def test_what_somebody_else_made_is_seen_and_can_be_removed(site: Site) -> None:
    path = f"/infrastructures/{site.infrastructure}"
    site.server.ask("POST", path, "network net\nsystem wn\ndeploy wn 1\n")
    driver = site.driver()
    (report,) = driver.list("p")
    assert report.token == ""
    driver.off("p", [report.machine], token="x")
    assert states(driver) == []


def test_calls_at_once_make_what_each_asked_for(site: Site) -> None:
    driver = site.driver()
    with ThreadPoolExecutor(4) as threads:
        made = [receipt for found in threads.map(lambda token: driver.on(orders(token)), "abcd") for receipt in found]
    assert sorted(receipt.token for receipt in made) == list("abcd")
    assert len(site.server.vms(site.infrastructure)) == 4


def test_refused_and_unknown_are_told_apart(site: Site) -> None:
    wrong = site.server.auth.replace("secret", "wrong")
    with pytest.raises((Unauthorised, NotFound)):
        site.driver(auth=wrong).on(orders("a"))
    gone = site.driver(infrastructure="nosuch")
    with pytest.raises(NotFound):
        gone.list("p")
    assert gone.check()
    with pytest.raises(NotFound):
        site.driver().list("other")
    assert site.server.vms(site.infrastructure) == {}


def test_an_order_that_nobody_heard_can_be_given_again_at_once(site: Site) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = site.driver(url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(Transient):
            nobody.on(orders("a"))
    (receipt,) = site.driver().on(orders("a"))
    assert receipt.token == "a"


def test_a_lost_answer_makes_nothing_twice(site: Site) -> None:
    real = site.server.url.rpartition(":")[2]
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            while True:
                try:
                    asked, _ = door.accept()
                except OSError:
                    return
                with asked:
                    asked.settimeout(10)
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += asked.recv(65536)
                    top, _, rest = head.partition(b"\r\n\r\n")
                    sizes = [
                        int(line.split(b":")[1])
                        for line in top.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ]
                    while sizes and len(rest) < sizes[0]:
                        rest += asked.recv(65536)
                    lines = [line for line in top.split(b"\r\n") if not line.lower().startswith(b"connection")]
                    with socket.create_connection(("127.0.0.1", int(real)), 10) as server:
                        server.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + rest)
                        answer = b"".join(iter(lambda: server.recv(65536), b""))
                    if not top.startswith(b"POST"):  # the answer of an order is lost on its way
                        asked.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        lossy = site.driver(url=f"http://127.0.0.1:{door.getsockname()[1]}")
        with pytest.raises((Transient, TimedOut)):
            lossy.on(orders("a"))
    assert len(site.server.vms(site.infrastructure)) == 1
    assert [receipt.token for receipt in site.driver().on(orders("a"))] == ["a"]
    assert len(site.server.vms(site.infrastructure)) == 1


def test_a_damaged_book_is_told(site: Site) -> None:
    (site.folder / "book.json").write_text("{")
    with pytest.raises(Exception, match="damaged"):
        site.driver().on(orders("a"))
    assert site.server.vms(site.infrastructure) == {}


def test_a_server_that_hangs_ends_the_call_in_time(server: ImServer, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        driver = site.driver(url=f"http://127.0.0.1:{silent.getsockname()[1]}", call_s=1)
        with pytest.raises(TimedOut):
            driver.list("p")


def test_fewer_than_asked_for_is_no_capacity_and_what_came_is_kept(site: Site) -> None:
    """The Dummy cloud never makes fewer: the answer of the real one is shortened on its way."""
    driver = site.driver()
    ask = driver._ask  # type: ignore[attr-defined]

    def short(method: str, path: str, *rest: Any) -> Any:
        said = ask(method, path, *rest)
        if method == "POST":
            last = said.data["uri-list"].pop()["uri"].rsplit("/", 1)[-1]
            site.server.ask("DELETE", f"/infrastructures/{site.infrastructure}/vms/{last}")
        return said

    driver._ask = short  # type: ignore[attr-defined]
    with pytest.raises(NoCapacity, match="1 of 2"):
        driver.on(orders("a", "b"))
    assert [report.token for report in driver.list("p")] == ["a"]
    assert list(json.loads((site.folder / "book.json").read_text())["intents"]) == []
