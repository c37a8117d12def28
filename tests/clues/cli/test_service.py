"""`clues` against the real daemon, through the real doors; the world behind it is in memory."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from clues.cli.main import run_daemon
from clues.cli.service import doors_of
from clues.daemon import Daemon, Parts
from clues.settings import DaemonOptions, Settings
from tests.clues.daemon.test_daemon import Site


class OpenSite(Site):
    """A daemon with its doors open."""

    port: int | None = None

    def __init__(self, folder: Path) -> None:
        daemon = DaemonOptions(
            state_dir=folder / "state",
            socket=folder / "s",
            metrics_listen="127.0.0.1:0",
            stop_s=1.0,
            status_config_map="",
        )
        super().__init__(folder, daemon=daemon)

    def make(self) -> Daemon:
        def serve(daemon: Daemon) -> Callable[[], None]:
            close = doors_of(daemon)
            self.port = close.__self__.port  # type: ignore[attr-defined]
            return close

        def parts(_settings: Settings, _clock: Any) -> Parts:
            world = self.world
            return Parts(world, world, lambda drivers, _pools: dict.fromkeys(drivers, world), self.decide)

        self.daemon = Daemon(self.settings, parts=parts, environ={}, serve=serve, reload=lambda: self.settings)
        return self.daemon


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OpenSite]:
    found = OpenSite(tmp_path)
    with capture_logs():
        found.start()
        found.until(lambda: found.port)
        yield found
        found.stop()


def test_a_pod_is_followed_from_pending_to_the_report_by_commands_alone(clues, site: OpenSite, tmp_path: Path) -> None:
    site.world.add_pod("web")
    site.daemon.loop.wake()
    site.until(lambda: site.world.pods["ns", "web"].node == "m1")
    site.until(lambda: clues("status", "--json").json["pools"][0]["on"] == 1)
    site.until(lambda: not clues("status", "--json").json["actions"])
    assert "it runs on m1" in clues("why", "web").out
    lines = {line.split()[0]: line for line in clues("nodes").out.splitlines()}
    assert " ready " in lines["m1"]
    assert " off " in lines["m2"]
    assert "node m1: " in clues("why", "m1").out
    assert clues("why", "nobody").status == 1
    records = clues("report", "--since", "1h", "--until", "-1", "--json")
    assert records.status == 2
    report = clues("report", "--since", "1h", "--html", "out.html", "--json").json
    assert report["power_ons"] == 1
    assert report["waits"]["count"] == 1
    assert (tmp_path / "out.html").stat().st_size > 1000


def test_what_people_order_is_done(clues, site: OpenSite) -> None:
    assert clues("hold", "m3", "--reason", "new disk").status == 0
    assert "held" in clues("why", "m3").out
    assert clues("poweron", "m2").status == 0
    site.until(lambda: site.world.boxes["m2"].on)
    paused = clues("hold")
    assert paused.status == 0
    assert "paused" in clues("status").out
    assert clues("release").status == 0
    assert clues("poweron", "nosuch").status == 1


def test_metrics_health_and_page_are_served(site: OpenSite) -> None:
    def get(path: str) -> tuple[int, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{site.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()

    assert get("/healthz")[1].startswith("ok")
    assert "clues_pass_seconds_count" in get("/metrics")[1]
    status, page = get("/")
    assert status == 200
    assert "rack" in page


def test_both_doors_are_closed_when_it_stops(clues, site: OpenSite) -> None:
    site.stop()
    assert clues("status").status == 1
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{site.port}/healthz", timeout=5)
    assert not site.settings.daemon.socket.exists()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("clues-")] == []


def test_doors_that_cannot_be_opened_stop_the_daemon_with_the_reason(tmp_path: Path) -> None:
    site = OpenSite(tmp_path)
    (tmp_path / "s").write_text("mine")
    with capture_logs(), pytest.raises(Exception, match="no socket"):
        site.make().run()


def test_wrong_settings_end_cluesd_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "clues.yaml").write_text("polcy: {}\n")
    assert run_daemon(["--config", str(tmp_path / "clues.yaml")]) == 2
    assert "there is no setting 'polcy'" in capsys.readouterr().err
    assert run_daemon(["--config", str(tmp_path / "nosuch.yaml")]) == 2
    assert msgspec.structs.asdict(Settings())["daemon"].dry_run is False


def test_cluesd_says_all_that_is_wrong_before_it_ends(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "clues.yaml").write_text("polcy: {}\nloop: {tick_s: -1}\ndrivers:\n  d: {type: nosuch}\n")
    assert run_daemon(["--config", str(tmp_path / "clues.yaml")]) == 2
    said = capsys.readouterr().err
    for part in (":1: there is no setting 'polcy'", ":2: loop.tick_s is -1", ":4: drivers.d.type: 'nosuch' is none of"):
        assert part in said
