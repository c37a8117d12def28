"""The daemon: wires the parts together, runs the loop in a thread of its own, and minds signals in the main one."""

import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from clues.actions.hooks import Hooks
from clues.actions.lease import Elector, LeaseStore
from clues.actions.machines import MachineBook
from clues.actions.runner import Runner
from clues.actions.workers import ThreadWorkers, Workers
from clues.control import Control
from clues.daemon.announce import Announcer, Sink
from clues.daemon.desk import Desk
from clues.daemon.measures import Measures
from clues.drain.base import Drain
from clues.history import History
from clues.history.recorder import Recorder
from clues.loop import Decide, Loop, Source, View
from clues.options import Policy, Pool
from clues.power.base import PowerDriver
from clues.settings import Settings
from infracore.clock import Clock, SystemClock
from infracore.errors import InfraError, Locked, Misconfigured
from infracore.structs import make_ready
from infracore.systemd import Notifier

__all__ = ["Daemon", "Parts"]

_RELOADABLE: Final = ("pools", "drivers", "policy", "loop", "actions", "hooks", "report")
_MOST_PROBLEMS_TOLD: Final = 20
"""Of one pass, in the log."""
_SWITCH_S: Final = 0.0005
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

LoadDrivers = Callable[[Mapping[str, Mapping[str, Any]], Sequence[Pool]], Mapping[str, PowerDriver]]


@dataclass(slots=True)
class Parts:
    """What the daemon has to do with: a cluster and machines. `connect` makes the real ones, tests make others."""

    source: Source
    drain: Drain
    load_drivers: LoadDrivers
    decide: Decide
    lease: LeaseStore | None = None
    sink: Sink | None = None
    start: Callable[[Callable[[], None]], None] = lambda _wake: None
    """Begin to watch; the argument is to be called whenever the picture changed."""
    take_pools: Callable[[Sequence[Pool]], None] = lambda _pools: None
    """Match nodes with other pools from now on."""
    take_policy: Callable[[Policy], None] = lambda _policy: None
    """Keep the picture as fresh as another policy wants it."""
    stop: Callable[[], None] = lambda: None
    """Stop watching and let go of connections; returns within seconds."""
    workers: Workers | None = None
    """None: threads."""


@dataclass(eq=False, slots=True)
class _Flags:
    stop: threading.Event = field(default_factory=threading.Event)
    reload: bool = False
    woken: threading.Event = field(default_factory=threading.Event)


class Daemon:
    """One cluesd. `run` blocks until it is stopped; `control` answers from the moment that it was made.

    `serve` opens the doors for those who ask, once everything is in place, and returns what closes them. `reload`
    reads the settings anew, on SIGHUP and on request; what it raises changes nothing.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        parts: Callable[[Settings, Clock], Parts] | None = None,
        serve: Callable[["Daemon"], Callable[[], None]] | None = None,
        reload: Callable[[], Settings] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Take the state folder and open what is in it; nothing is watched and nothing is done before `run`.

        Raises:
            Locked: another daemon has the state folder. Misconfigured, Conflict: settings, state or drivers.
        """
        self.settings = settings
        self.version = _version()
        self._clock = clock or SystemClock()
        self._serve = serve
        self._read_settings = reload
        self._notifier = Notifier(os.environ if environ is None else environ)
        self._log = structlog.get_logger("cluesd")
        self._flags = _Flags()
        self._drivers_gone: list[PowerDriver] = []
        self._closed = False
        self._frozen = False
        self._problems_told: frozenset[str] = frozenset()
        with contextlib.ExitStack() as taken:
            self._lock = taken.enter_context(contextlib.closing(_take(settings.daemon.state_dir)))
            self._history = History(settings.daemon.state_dir, now=self._clock.now())
            taken.callback(self._history.close)
            if parts is None:
                from clues.daemon.connect import connect

                parts = connect
            self._parts = parts(settings, self._clock)
            self._drivers = self._parts.load_drivers(settings.drivers, settings.pools)
            taken.pop_all()  # from now on `run` lets go of them
        self._wire(settings)

    def _wire(self, settings: Settings) -> None:
        clock, parts = self._clock, self._parts
        self._book = MachineBook(settings.pools, self._history.machines(), clock.now())
        self._workers = parts.workers or ThreadWorkers(settings.actions.workers, clock)
        self._measures = Measures(settings.pools)
        self._recorder = Recorder(settings.daemon.state_dir / "recordings", settings.report.recordings_bytes)
        self._elector = self._new_elector(settings)
        self.loop = Loop(
            settings,
            source=parts.source,
            runner=self._new_runner,
            book=self._book,
            history=self._history,
            clock=clock,
            decide=parts.decide,
            leads=self._leads,
            recorder=self._recorder,
            version=self.version,
            on_pass=self._after_pass,
        )
        self._desk = Desk(
            loop=self.loop,
            book=self._book,
            history=self._history,
            settings=lambda: self.settings,
            clock=clock,
            holder=lambda: self._elector.holder if self._elector is not None else "",
            reload=self.reload,
            version=self.version,
        )
        self._announcer = self._new_announcer(settings)

    def _leads(self) -> bool:
        return self._elector is None or self._elector.is_leader

    @property
    def control(self) -> Control:
        """Who answers questions."""
        return self._desk

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics, for /metrics."""
        return self._measures.metrics.registry

    def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop`; returns within 10 s of that. SIGHUP reads the settings anew.

        Signals are minded when this is the main thread.
        """
        before = self._mind_signals()
        make_ready("clues", "infracore")
        # An order goes from the loop's thread to a worker's. With Python's 5 ms between threads, one that encodes a
        # recording meanwhile would cost it 5 ms twice; measured at 1,000 nodes: 8 ms instead of 3 (2026).
        switch_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        close_doors: Callable[[], None] = lambda: None  # noqa: E731
        loop_thread = threading.Thread(target=self._run_loop, name="clues-loop", daemon=True)
        try:
            self._parts.start(self.loop.wake)
            if self._elector is not None:
                self._elector.start()
            if self._announcer is not None:
                self._announcer.start()
            self.loop.note("started", {"version": self.version, "dry_run": self.settings.daemon.dry_run})
            loop_thread.start()
            if self._serve is not None:
                close_doors = self._serve(self)
            self._notifier.ready(self._line(self.loop.view))
            self._log.info("cluesd has started", version=self.version, dry_run=self.settings.daemon.dry_run)
            self._mind(loop_thread)
        finally:
            self._notifier.stopping()
            self._end(loop_thread, close_doors)
            sys.setswitchinterval(switch_s)
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Have `run` return. From any thread; may be repeated."""
        self._flags.stop.set()
        self._flags.woken.set()

    def close(self) -> None:
        """Let go of the state folder. `run` does so itself; for a daemon that never ran."""
        if self._closed:
            return
        self._closed = True
        for driver in {id(d): d for d in (*self._drivers.values(), *self._drivers_gone)}.values():
            with suppress(InfraError):
                driver.close()
        self._history.close()
        self._notifier.close()
        self._lock.close()

    def reload(self) -> Sequence[str]:
        """Read the settings anew and put them in force; returns what changed, a sentence each.

        Raises:
            Misconfigured: they are wrong; those in force stay.
        """
        if self._read_settings is None:
            raise Misconfigured("this daemon was started without a settings file", "restart it instead")
        new = self._read_settings()
        old = self.settings
        changed = [name for name in new.__struct_fields__ if getattr(new, name) != getattr(old, name)]
        drivers = self._drivers
        if "drivers" in changed or "pools" in changed:
            drivers = self._parts.load_drivers(new.drivers, new.pools)
        kept = {name: getattr(old, name) for name in changed if name not in _RELOADABLE}
        daemon = new.daemon
        if "daemon" in kept:  # of this section, what needs no restart
            kept["daemon"] = msgspec.structs.replace(old.daemon, dry_run=daemon.dry_run)
        settings = msgspec.structs.replace(new, **kept)
        said = [f"{name} is in force" for name in changed if name in _RELOADABLE]
        if daemon.dry_run != old.daemon.dry_run:
            said.append(f"daemon.dry_run is {str(daemon.dry_run).lower()}")
        said += [
            f"{name} changed: restart cluesd for it"
            for name in changed
            if name not in _RELOADABLE and getattr(settings, name) != getattr(new, name)
        ]
        self.loop.ask(lambda: self._take(settings, drivers))
        return said or ["nothing changed"]

    # below: parts that are made, in the order in which they are needed

    def _take(self, settings: Settings, drivers: Mapping[str, PowerDriver]) -> None:
        """Put settings in force, in the loop's thread."""
        kept = {id(driver) for driver in drivers.values()}
        self._drivers_gone += [driver for driver in self._drivers.values() if id(driver) not in kept]
        self._drivers = drivers
        self.settings = settings
        self._book.configure(settings.pools, self._clock.now())
        self._parts.take_pools(settings.pools)
        self._parts.take_policy(settings.policy)
        self._measures.take_pools(settings.pools)
        self.loop.runner.configure(
            pools=settings.pools,
            policy=settings.policy,
            options=settings.actions,
            drivers=drivers,
            hooks=Hooks(settings.hooks, self._hook_failed),
        )
        self.loop.take_settings(settings)

    def _new_runner(self, post: Callable[[Callable[[], None]], None]) -> Runner:
        settings = self.settings
        return Runner(
            pools=settings.pools,
            policy=settings.policy,
            options=settings.actions,
            drivers=self._drivers,
            drain=self._parts.drain,
            hooks=Hooks(settings.hooks, self._hook_failed),
            history=self._history,
            book=self._book,
            workers=self._workers,
            clock=self._clock,
            post=post,
        )

    def _new_elector(self, settings: Settings) -> Elector | None:
        if not settings.lease.enabled:
            return None
        if self._parts.lease is None:
            raise Misconfigured("lease.enabled is set, and there is no cluster that keeps Leases")
        identity = settings.lease.identity or f"{socket.gethostname()}_{os.getpid()}"
        return Elector(settings.lease, self._parts.lease, identity, self._clock, lambda: self.loop.redecide())  # noqa: PLW0108 (made later)

    def _new_announcer(self, settings: Settings) -> Announcer | None:
        daemon = settings.daemon
        if self._parts.sink is None or not (daemon.events or daemon.status_config_map):
            return None
        return Announcer(
            self._parts.sink,
            self._clock,
            per_minute=daemon.events_per_minute,
            config_map=daemon.status_config_map,
            status=self._status_text,
            events=daemon.events and not daemon.dry_run,
        )

    def _status_text(self) -> str:
        """Return the status as JSON for the ConfigMap, without what changes all the time."""
        status = self._desk.status()
        steady = msgspec.structs.replace(status, now=0.0, last_pass_at=None, last_pass_ms=0.0, stale_s=0.0)
        return msgspec.json.format(msgspec.json.encode(steady)).decode()

    # running

    def _mind_signals(self) -> dict[signal.Signals, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}

        def mind(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                self._flags.reload = True
            else:
                self._flags.stop.set()
            self._flags.woken.set()

        return {number: signal.signal(number, mind) for number in _SIGNALS}

    def _mind(self, loop_thread: threading.Thread) -> None:
        """Wait for signals. A loop that has ended by itself ends the daemon: systemd starts it anew."""
        while not self._flags.stop.is_set():
            self._flags.woken.wait(1.0)
            self._flags.woken.clear()
            if self._flags.reload:
                self._flags.reload = False
                self._reload_on_signal()
            if not loop_thread.is_alive() and not self._flags.stop.is_set():
                raise InfraError("the loop ended by itself", "this is a defect: please report it with the log")

    def _reload_on_signal(self) -> None:
        self._notifier.reloading()
        try:
            for said in self.reload():
                self._log.info("reload", said=said)
            self.loop.errors.pop("reload", None)
        except InfraError as error:
            self._log.error("the settings are wrong, those before stay in force", error=error.message, hint=error.hint)
            self.loop.errors["reload"] = f"the settings file is wrong and not in force: {error.message}"
        except Exception as error:  # noqa: BLE001 - a defect in what reads a file must not end a daemon that works
            said = f"{type(error).__name__}: {error}"
            self._log.error("a defect kept the settings from being read, those before stay in force", error=said)
            self.loop.errors["reload"] = f"the settings file cannot be read: a defect: {said}"
        self._notifier.ready(self._line(self.loop.view))

    def _run_loop(self) -> None:
        # the watchdog is fed from here and nowhere else: a loop that does not come round is what it is for
        if self._notifier.watchdog_s is not None:
            self.loop.most_pause_s = self._notifier.watchdog_s / 3
        try:
            self.loop.run(self._notifier.beat)
        finally:
            self._flags.woken.set()

    def _after_pass(self, view: View) -> None:
        if view.snapshot.complete and not self._frozen:
            # what was listed stays for long: a full collection walks it in 20 ms at 1,000 nodes, frozen it does not
            self._frozen = True
            gc.collect()
            gc.freeze()
        for turn in view.turns:
            record = turn.record
            self._log.info(
                str(record.kind),
                phase=str(record.phase),
                pool=record.pool,
                target=record.node or record.machine or record.token,
                reason=record.reason,
                **({"error": record.error} if record.error else {}),
            )
        self._tell_problems(view)
        if view.decided and view.decision is not None and not view.decision.is_empty and not view.acted:
            self._log.info(
                "would act, and may not", orders=len(view.decision.power_on), removals=len(view.decision.remove)
            )
        for name in view.idle:
            self._tell("idle", view, name)
        for name in view.used:
            self._tell("used", view, name)
        self._measures.observe(view)
        if self._announcer is not None:
            self._announcer.observe(view)
        self._notifier.status(self._line(view))

    def _tell_problems(self, view: View) -> None:
        """Log each problem once while it lasts; those in `loop.errors` were logged where they came up."""
        problems = frozenset(view.problems)
        new = [said for said in view.problems if said not in self._problems_told | set(self.loop.errors.values())]
        self._problems_told = problems
        for said in new[:_MOST_PROBLEMS_TOLD]:
            self._log.warning("problem", said=said)
        if len(new) > _MOST_PROBLEMS_TOLD:
            self._log.warning("more problems: clues status shows them", count=len(new) - _MOST_PROBLEMS_TOLD)

    def _tell(self, hook: str, view: View, node: str) -> None:
        state = view.snapshot.nodes.get(node)
        hooks = Hooks(self.settings.hooks, self._hook_failed)
        if view.leader and state is not None and hooks.is_set(hook):
            self._workers.submit(
                "hooks", lambda: hooks.tell(hook, [state.pool, node]), lambda _outcome: None, parallel=4
            )

    def _hook_failed(self, said: str) -> None:
        self._log.warning("a hook failed", said=said)

    def _line(self, view: View) -> str:
        """Return the line that `systemctl status` shows."""
        if view.problems:
            return f"problem: {view.problems[0]}"
        words = [
            f"{len(view.snapshot.nodes)} nodes",
            f"{len(view.snapshot.pending)} {'jobs' if view.snapshot.slurm is not None else 'pods'} pending",
        ]
        if not view.snapshot.complete:
            words.append("not all listed yet")
        if view.actions:
            words.append(f"{len(view.actions)} actions")
        if not view.leader:
            words.append("standing by")
        if view.paused:
            words.append("paused")
        if self.settings.daemon.dry_run:
            words.append("dry run")
        return ", ".join(words)

    def _end(self, loop_thread: threading.Thread, close_doors: Callable[[], None]) -> None:
        """Stop everything, each part with its share of the ten seconds."""
        ends_at = time.monotonic() + self.settings.daemon.stop_s

        def share(seconds: float) -> float:
            return max(0.05, min(seconds, ends_at - time.monotonic()))

        self._flags.stop.set()
        self.loop.stop()
        if loop_thread.is_alive():
            loop_thread.join(share(self.settings.daemon.stop_s / 2))
        ended = not loop_thread.is_alive()
        quiet = self._workers.close(share(self.settings.daemon.stop_s / 4))
        if self._elector is not None:
            self._elector.stop(share(1.0))
        if self._announcer is not None:
            self._announcer.stop(share(0.5))
        self._recorder.stop(share(0.5))
        close_doors()
        self._parts.stop()
        if ended:
            self.loop.note("stopped", {})
        if not (ended and quiet):
            self._log.warning("stopped while something was still going on; it is resumed at the next start")
        self._log.info("cluesd has stopped")
        self.close()


def _take(state_dir: Path) -> TextIO:
    """Lock the state folder: the lock goes with the process, however it ends."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (state_dir / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise Misconfigured(
            f"cannot write in {state_dir}: {error}", "daemon.state_dir must be a folder that cluesd owns"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        other = file.read(20).strip() or "unknown"
        file.close()
        raise Locked(
            f"another cluesd (process {other}) runs with the state folder {state_dir}",
            "stop it, or give this one another daemon.state_dir",
        ) from error
    with suppress(OSError):  # a full disk: the lock is held all the same, only its holder is not named
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"{os.getpid()}\n".encode())  # past the buffer, which would be written at the end again
    return file


def _version() -> str:
    try:
        return version("im-clues")
    except PackageNotFoundError:
        return "unknown"
