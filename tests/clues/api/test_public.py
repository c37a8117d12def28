"""The TCP port: metrics, health, the status page."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from clues.api.page import status_page
from clues.api.server import health, start_servers
from clues.control import NodeView
from clues.decision import PodVerdict, Refusal
from clues.model import PodRef
from infracore.errors import Misconfigured
from tests.clues.api.fake_control import NOW, FakeControl, a_status, some_nodes, some_pods


@pytest.fixture
def control() -> FakeControl:
    ended = {
        "type": "action", "at": NOW - 900, "token": "t0", "kind": "power-off", "pool": "pi", "machine": "pi-1",
        "node": "pi-1", "phase": "done", "since": NOW - 800, "reason": "idle for 10 m", "error": "",
    }  # fmt: skip
    return FakeControl(history=(ended,))


@pytest.fixture
def get(tmp_path: Path, control: FakeControl) -> Iterator[Any]:
    registry = CollectorRegistry()
    Counter("clues_passes", "Passes.", registry=registry).inc(3)
    servers = start_servers(control, socket_path=tmp_path / "s", listen="127.0.0.1:0", registry=registry, poll_s=0.005)

    def ask(path: str, method: str = "GET") -> tuple[int, str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{servers.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    yield ask
    servers.close()


def test_metrics_are_prometheus_text(get: Any) -> None:
    status, text, headers = get("/metrics")
    assert status == 200
    assert "clues_passes_total 3.0" in text
    assert headers["Content-Type"].startswith("text/plain; version=")


def test_nothing_can_be_changed_here(get: Any, control: FakeControl) -> None:
    assert get("/v1/hold", "POST")[0] == 501
    assert get("/v1/status")[0] == 404
    assert get("/", "HEAD")[:2] == (200, "")
    assert control.asked == []


def test_health_is_bad_once_the_loop_makes_no_progress(get: Any, control: FakeControl) -> None:
    assert get("/healthz")[0] == 200
    control.state = a_status(last_pass_at=NOW - 61)
    assert get("/healthz")[:2] == (503, "no pass for 61 s\n")
    control.error = RuntimeError("dead")
    assert get("/healthz")[0] == 503


@pytest.mark.parametrize(
    ("changed", "well"),
    [
        ({"last_pass_at": None, "started_at": NOW - 5}, True),
        ({"last_pass_at": None, "started_at": NOW - 500}, False),
        ({"last_pass_at": None, "started_at": NOW - 500, "leader": False}, True),
        ({"last_pass_at": NOW + 10}, True),
    ],
)
def test_a_daemon_is_well_while_it_starts_or_waits_for_the_lease(changed: dict[str, object], well: bool) -> None:
    assert health(FakeControl(a_status(**changed)))[0] is well


class Page(HTMLParser):
    """Collects what a page would load, its tags still open, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "line", "rect", "path", "br"} or tag == "path":
            self.open.append(tag)
        self.loads += [f"{tag} {name}={value}" for name, value in attrs if name in {"src", "href", "action", "onload"}]
        if tag in {"script", "link", "img", "iframe"}:
            self.loads.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def test_the_page_shows_pools_nodes_pods_and_actions_and_loads_nothing(get: Any) -> None:
    status, text, headers = get("/")
    page = Page(text)
    assert status == 200
    assert page.open == []
    assert page.loads == []
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for word in (
        "big", "rests for 2 m 00 s: quota exceeded", "pi-2", "3 failures", "not-unneeded-long-enough", "team/huge",
        "big: NodeResourcesFit (cpu: asks 64000m, 4000m free)", "1 pod like team/web-1", "idle for 10 m",
    ):  # fmt: skip
        assert word in page.text, word


def test_names_from_outside_are_text_on_the_page() -> None:
    evil = '"><script>alert(1)</script>'
    nodes = (NodeView(evil, evil, evil, evil, NOW),)
    pods = (PodVerdict((PodRef(evil, evil),), evil, evil, (Refusal(evil, evil, evil),)),)
    page = Page(
        status_page(a_status(notes=(evil,), problems=(evil,), version=evil), nodes, pods, ({"type": "action"},))
    )
    assert page.loads == []
    assert page.open == []


def test_a_large_cluster_makes_a_page_of_bounded_size() -> None:
    nodes = some_nodes() * 500
    assert len(status_page(a_status(), nodes, some_pods() * 500, ())) < 400_000


@pytest.mark.parametrize("listen", ["9808", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http", "nosuch.invalid:1"])
def test_an_address_that_cannot_be_is_a_wrong_setting(tmp_path: Path, listen: str) -> None:
    with pytest.raises(Misconfigured, match=r"metrics_listen|cannot listen"):
        start_servers(FakeControl(), socket_path=tmp_path / "s", listen=listen, poll_s=0.005)
    assert not (tmp_path / "s").exists()
