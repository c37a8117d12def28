"""The daemon with real threads: start, stop, signals, reload, metrics, and what people may ask."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from clues.control import Control
from clues.daemon import Daemon, Parts
from clues.history import History
from clues.settings import ActionOptions, DaemonOptions, LoopOptions, ReportOptions, Settings
from infracore.clock import SystemClock
from infracore.errors import Conflict, InvalidUsage, Locked, Misconfigured, NotFound
from tests.clues.test_loop import simple
from tests.clues.world import RACK, World


class Site:
    """A daemon over a world in real time."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.world = World(clock=SystemClock(), pools=(RACK,), boot_s=0.0)  # type: ignore[arg-type]
        self.environ: dict[str, str] = {}
        self.decide: Callable[..., Any] = simple
        self.settings = msgspec.structs.replace(
            Settings(
                pools=(RACK,),
                drivers={"fake": {"type": "fake"}},
                loop=LoopOptions(burst_window_s=0.005, tick_s=0.02),
                actions=ActionOptions(look_again_s=0.01, retry_first_s=0.01, list_s=0.05, evict_pause_s=0.01),
                daemon=DaemonOptions(state_dir=folder / "state", stop_s=1.0, status_config_map=""),
                report=ReportOptions(recordings_bytes=0),
            ),
            **fields,
        )
        self.daemon: Daemon | None = None
        self.thread: threading.Thread | None = None
        self.new_settings = lambda: self.settings

    def make(self) -> Daemon:
        world = self.world

        def parts(_settings: Settings, _clock: Any) -> Parts:
            return Parts(world, world, lambda drivers, _pools: dict.fromkeys(drivers, world), self.decide)

        self.daemon = Daemon(self.settings, parts=parts, environ=self.environ, reload=lambda: self.new_settings())  # noqa: PLW0108
        return self.daemon

    def start(self) -> Control:
        daemon = self.make()
        self.thread = threading.Thread(target=daemon.run)
        self.thread.start()
        self.until(lambda: daemon.loop.passes > 2 and daemon.loop.runner.has_listed)
        return daemon.control

    def until(self, holds: Callable[[], Any], timeout_s: float = 5.0) -> None:
        ends = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < ends, "it did not come to hold"
            self.world.live()
            time.sleep(0.005)

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.stop()
            if self.thread is not None:
                self.thread.join(10)
                assert not self.thread.is_alive()
            else:
                self.daemon.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.stop()


def test_a_pod_becomes_an_order_and_people_see_it(site: Site) -> None:
    control = site.start()
    site.world.add_pod("a")
    site.daemon.loop.wake()
    site.until(lambda: site.world.pods["ns", "a"].node)
    site.until(lambda: not control.status().actions)
    status = control.status()
    assert (status.leader, status.complete, status.pending) == (True, True, 0)
    (pool,) = status.pools
    assert (pool.on, pool.off) == (1, 3)
    nodes = {node.name: node for node in control.nodes()}
    assert nodes["m1"].state == "ready"
    assert nodes["m1"].cpu_m == (1000, 4000)
    assert nodes["m2"].state == "off"
    why = control.why("m1")
    assert why["kind"] == "node"
    assert control.why("ns/a")["summary"] == "it runs on m1"
    with pytest.raises(NotFound):
        control.why("nobody")
    text = ""

    def measured() -> bool:
        nonlocal text
        text = site.daemon._measures.metrics.text().decode()
        return 'clues_nodes{pool="rack",state="ready"} 1.0' in text

    site.until(measured)
    assert 'clues_actions_ended_total{end="done",kind="power-on",pool="rack"} 1.0' in text
    assert "clues_pod_wait_seconds_count 1.0" in text
    kinds = {record["type"] for record in control.records(since=0, until=time.time() + 1)}
    assert {"started", "pools", "leader", "action", "decision", "node", "pod"} <= kinds


def test_everything_that_is_shown_becomes_json(site: Site) -> None:
    control = site.start()
    site.world.add_pod("a")
    site.until(lambda: control.last_decision() is not None)
    for value in (control.status(), control.nodes(), control.pods(), control.last_decision(), control.why("m1")):
        assert msgspec.json.encode(value)
    assert msgspec.json.encode(control.records(since=0, until=1e12))


def test_people_turn_machines_on_and_off_by_name(site: Site) -> None:
    control = site.start()
    assert control.power_on(["m3"]) == ["m3 is ordered"]
    site.until(lambda: "m3" in site.world.nodes and not control.status().actions)
    assert control.power_on(["m3"]) == ["m3 is on already"]
    assert control.power_on(["rack=2"]) == ["2 nodes of rack are ordered"]
    site.until(lambda: len(site.world.are_on()) == 3 and not control.status().actions)
    with pytest.raises(Conflict, match="has 1 machines that are off"):
        control.power_on(["rack=2"])
    site.world.add_pod("a", "m3")
    site.daemon.loop.wake()
    site.until(lambda: next(n for n in control.nodes() if n.name == "m3").pods == 1)
    assert control.power_off(["m3"]) == ["m3 is being emptied and turned off"]
    site.until(lambda: "m3" not in site.world.are_on() and not control.status().actions)
    assert control.power_off(["m3"]) != []
    for names, error in ((["nobody"], NotFound), ([], InvalidUsage), (["rack=x"], InvalidUsage), (["x=1"], NotFound)):
        with pytest.raises(error):
            control.power_on(names)


def test_held_and_disabled_machines_are_left_alone(site: Site) -> None:
    control = site.start()
    control.hold(["m1"], reason="mine")
    control.disable(["m2"], reason="broken fan")
    site.world.add_pod("a")
    site.daemon.loop.wake()
    site.until(site.world.are_on)
    assert site.world.are_on() == {"m3"}
    nodes = {node.name: node for node in control.nodes()}
    assert nodes["m1"].held
    assert nodes["m2"].disabled
    assert "broken fan" in control.why("m2")["summary"]
    control.release(["m1"])
    control.enable(["m2"])
    site.until(lambda: not any(node.held or node.disabled for node in control.nodes()))


def test_holding_all_is_a_pause(site: Site) -> None:
    control = site.start()
    control.hold([], reason="maintenance")
    site.world.add_pod("a")
    site.daemon.loop.wake()
    site.until(lambda: control.status().paused and control.status().pending == 1)
    time.sleep(0.1)
    assert site.world.are_on() == set()
    assert "paused: maintenance" in control.status().notes
    control.release([])
    site.until(site.world.are_on)


def test_a_second_daemon_on_the_same_state_is_refused(site: Site) -> None:
    site.start()
    with pytest.raises(Locked, match=f"process {os.getpid()}"):
        Site(site.settings.daemon.state_dir.parent).make()


def test_settings_are_reloaded_only_if_they_are_valid(site: Site) -> None:
    control = site.start()
    policy = msgspec.structs.replace(site.settings.policy, unneeded_s=1.0)
    old = site.settings
    site.new_settings = lambda: msgspec.structs.replace(
        old, policy=policy, daemon=msgspec.structs.replace(old.daemon, metrics_listen=":1")
    )
    assert control.reload() == ["policy is in force", "daemon changed: restart cluesd for it"]
    assert site.daemon.settings.policy.unneeded_s == 1.0
    assert control.reload() == ["daemon changed: restart cluesd for it"]

    def broken() -> Settings:
        raise Misconfigured("clues.yaml:3: nonsense")

    site.new_settings = broken
    with pytest.raises(Misconfigured, match="nonsense"):
        control.reload()
    assert site.daemon.settings.policy.unneeded_s == 1.0


def test_a_defect_in_reading_the_settings_does_not_end_the_daemon(site: Site) -> None:
    daemon = site.make()

    def broken() -> Settings:
        raise RecursionError("too deep")

    site.new_settings = broken
    told: list[Any] = []

    def send() -> None:
        site.until(lambda: daemon.loop.passes > 1)
        os.kill(os.getpid(), signal.SIGHUP)
        with contextlib.suppress(AssertionError):
            site.until(lambda: "reload" in daemon.loop.errors)
        told.append(daemon.loop.errors.get("reload"))
        site.new_settings = lambda: site.settings
        os.kill(os.getpid(), signal.SIGHUP)
        with contextlib.suppress(AssertionError):
            site.until(lambda: "reload" not in daemon.loop.errors)
        told.append(daemon.loop.errors.get("reload"))
        daemon.stop()

    thread = threading.Thread(target=send)
    thread.start()
    daemon.run()  # in the main thread
    thread.join(15)
    assert told == ["the settings file cannot be read: a defect: RecursionError: too deep", None]
    site.daemon = None


def test_a_problem_is_logged_once_while_it_lasts(site: Site) -> None:
    with capture_logs() as logs:
        site.start()
        site.daemon.loop.runner.driver_problems["rack"] = "driver rack: no answer"
        passes = site.daemon.loop.passes
        site.until(lambda: site.daemon.loop.passes > passes + 3)
        site.stop()
    assert [entry["said"] for entry in logs if entry["event"] == "problem"] == ["driver rack: no answer"]


def test_a_history_that_was_set_aside_is_said_in_the_log(site: Site) -> None:
    site.settings.daemon.state_dir.mkdir()
    (site.settings.daemon.state_dir / "history.db").write_bytes(b"this was a database once" * 500)
    with capture_logs() as logs:
        site.start()
        site.stop()
    assert any("it was set aside" in entry.get("said", "") for entry in logs)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_at_the_start_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        with contextlib.suppress(OSError), (folder / "filler").open("wb") as out:
            while True:
                out.write(b"x" * 512)
                out.flush()
        with pytest.raises(Misconfigured, match=r"disk is full|disk I/O"):
            Site(tmp_path).make()
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_machine_that_leaves_the_settings_is_forgotten_and_a_new_one_known(site: Site) -> None:
    control = site.start()
    fewer = msgspec.structs.replace(RACK, machines=RACK.machines[:2], max=2)
    site.new_settings = lambda: msgspec.structs.replace(site.settings, pools=(fewer,))
    assert "pools is in force" in control.reload()
    assert [machine.name for machine in site.daemon._book.machines()["rack"]] == ["m1", "m2"]


def test_it_stops_in_time_while_a_driver_hangs(site: Site) -> None:
    control = site.start()
    never = threading.Event()
    site.world.on = lambda orders: never.wait(60)  # type: ignore[assignment, method-assign, return-value]
    site.world.add_pod("a")
    site.daemon.loop.wake()
    site.until(lambda: any(action.phase == "ordering" for action in control.status().actions))
    passes = site.daemon.loop.passes
    site.until(lambda: site.daemon.loop.passes > passes + 3)
    began = time.monotonic()
    site.stop()
    assert time.monotonic() - began < 5
    never.set()
    history = History(site.settings.daemon.state_dir, now=time.time())
    assert [record.phase for record in history.open_actions()] == ["ordering"]
    history.close()


def test_systemd_is_told_of_readiness_status_life_reload_and_end(site: Site, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        site.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())}
        said: list[str] = []

        def heard(word: str) -> None:
            while not any(word in line for line in said):
                said.append(listener.recv(4096).decode())

        site.start()
        heard("READY=1")
        heard("WATCHDOG=1")
        heard("STATUS=0 nodes, 0 pods pending")
        site.daemon._flags.reload = True
        site.daemon._flags.woken.set()
        heard("RELOADING=1\nMONOTONIC_USEC=")
        said.clear()
        heard("READY=1")
        # a loop that is stuck gives no sign of life any more
        stuck = threading.Event()
        site.daemon.loop.post(lambda: stuck.wait(5) and None)
        time.sleep(0.05)
        listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                listener.recv(4096)
        time.sleep(0.1)
        with pytest.raises(BlockingIOError):
            listener.recv(4096)
        stuck.set()
        listener.settimeout(5)
        site.stop()
        heard("STOPPING=1")


def test_a_loop_that_ends_by_itself_ends_the_daemon(site: Site) -> None:
    from infracore.errors import InfraError

    daemon = site.make()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            daemon.run()
        except InfraError as error:
            ended.append(error)

    site.thread = threading.Thread(target=run)
    site.thread.start()
    site.until(lambda: daemon.loop.passes)
    daemon.loop.stop()
    site.thread.join(5)
    assert "ended by itself" in str(ended[0])


def test_sigterm_ends_it_and_sighup_reads_the_settings(site: Site) -> None:
    daemon = site.make()
    read = threading.Event()
    site.new_settings = lambda: (read.set(), site.settings)[1]

    def send() -> None:
        site.until(lambda: daemon.loop.passes > 1)
        os.kill(os.getpid(), signal.SIGHUP)
        read.wait(5)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    daemon.run()  # in the main thread
    thread.join(5)
    assert read.is_set()
    assert signal.getsignal(signal.SIGTERM) == before
    site.daemon = None


def test_wrong_settings_let_go_of_the_state(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def parts(_settings: Settings, _clock: Any) -> Parts:
        raise Misconfigured("no cluster")

    for _ in range(2):
        with pytest.raises(Misconfigured, match="no cluster"):
            Daemon(site.settings, parts=parts, environ={})
