"""Keeping a copy of one kind of object: list, then watch, for ever, through everything that goes wrong.

After the protocol of the Kubernetes documentation, "Efficient detection of changes" and "Retrieving large result sets
in chunks": a paged list, a watch from its resource version with bookmarks, a fresh list after 410. Where the server
has streaming lists (sendInitialEvents, KEP-3157) the list itself is a watch. What comes is handed on as raw bytes.
"""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final, Protocol, TypeVar

import msgspec

from clues.kubeapi.api import Api, Gone, Stream
from clues.kubeapi.cut import Cut
from infracore.clock import Clock
from infracore.errors import Conflict, InfraError, InvalidUsage, Transient, Unauthorised

__all__ = ["Change", "Listed", "Resource", "Sink", "Timing", "Watch", "WatchState"]

_T = TypeVar("_T")
MOST_LINE_BYTES: Final = 16 * 1024 * 1024
"""An object of Kubernetes is at most 3 MiB as the server sends it; more is a broken connection."""
_SHORTEST_S: Final = 0.5
"""A watch that ends sooner with nothing said is a failure: asking again at once would be a storm."""
_RENEWED: Final = 0.6
"""Of `fresh_s`: when a watch ends at the latest by our own wish, which leaves time to open the next one."""
_LATE_S: Final = 5.0
"""How long a server may be late with the end of a watch before the connection counts as dead."""
_BOOKMARK: Final = "BOOKMARK"
_ENVELOPES: Final = {
    event[:1].encode(): (event, start.encode(), len(start) - 1)
    for event in ("MODIFIED", "ADDED", "DELETED")
    for start in [f'{{"type":"{event}","object":{{']
}
"""How every API server begins these lines, by the first letter of the event: taken apart without parsing them once more
(a fifth of an event's cost)."""
_LETTER: Final = slice(9, 10)
_NO_ENVELOPE: Final = ("", b"\n", 0)
_INITIAL_END: Final = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """What is watched. One is equal to itself alone: it is looked up at every event."""

    kind: str
    path: str
    """`/api/v1/pods`."""
    field_selector: str = ""
    is_left_for_another: bool = False
    """Its objects move to another resource of the same kind, and are kept for a moment between the two."""
    optional: bool = False
    """A server without it (404) or that does not let us (403) is no reason to wait: it counts as empty."""

    @property
    def name(self) -> str:
        return f"{self.kind} {self.field_selector}".strip()


@dataclass(frozen=True, slots=True)
class Timing:
    """Limits, in seconds."""

    watch_s: float = 300.0
    idle_s: float = 90.0
    fresh_s: float = 60.0
    """How old a copy may be before it counts as stale: no watch is left without a word for so long."""
    page: int = 500
    backoff_first_s: float = 0.5
    backoff_most_s: float = 10.0


class Change(msgspec.Struct, frozen=True, gc=False):
    """One object that came, changed or went. There is one for every event: see `clues.model` for what it is made as."""

    event: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of a list, so that no list is ever in memory as a whole; with the last one, whatever was in none of the
    parts since the first does not exist any more. A first part that comes before a last one begins anew."""

    objects: tuple[bytes, ...]
    is_first: bool = True
    is_last: bool = True
    is_absent: bool = False
    """The server has no such resource or does not let us: it counts as empty, and nothing is known of it."""


Sink = Callable[["Watch", Sequence[Change] | Listed], None]
"""Called from the watch's thread with what came together; must be quick and must not raise."""


class WatchState(StrEnum):
    """Of a watch, for people."""

    LISTING = "listing"
    WATCHING = "watching"
    WAITING = "waiting"
    STOPPED = "stopped"


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None
    # of a list
    continue_: str = msgspec.field(default="", name="continue")


class _ObjectMeta(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    code: int = 0
    message: str = ""


class _Page(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Random(Protocol):
    def random(self) -> float: ...


class Watch:
    """One resource, watched by a thread of its own; what it tells (`state`, `heard_at` ...) may be read from any."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        sink: Sink,
        clock: Clock,
        timing: Timing,
        *,
        chance: _Random | None = None,
    ) -> None:
        self.resource = resource
        self.state = WatchState.STOPPED
        self.is_listed = False
        """Whether a whole list has been handed on since the start."""
        self.heard_at = clock.monotonic()
        """When the server last said something, monotonic."""
        self.problem = ""
        """Why it waits; "" while all is well."""
        self.relists = 0
        self._api, self._sink, self._clock, self._timing = api, sink, clock, timing
        self._chance = chance or random.Random()  # noqa: S311 (jitter)
        self._stop = threading.Event()
        self._cut = Cut()
        self._fresh_s = timing.fresh_s
        self._thread: threading.Thread | None = None
        self._version = ""
        self._streams_lists: bool | None = None
        """Whether the server has streaming lists; None: not tried yet."""
        self._event = msgspec.json.Decoder(_Event)
        self._failures = 0
        self._was_gone = False
        self._pages = True
        """False after a page came too late: the next list is asked for in one piece."""

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=f"watch {self.resource.name}", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End, and wait for the thread; a request that hangs is cut."""
        self._stop.set()
        self._cut.close()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def stale_s(self) -> float:
        """Return for how long the copy may have been out of date: the time since the server last said something.

        A watch that is open proves nothing: its connection may be dead without a word. So the server is asked to end
        each within `fresh_s`, which it does after a bookmark, and a quiet kind is as fresh as a busy one.
        """
        return max(0.0, self._clock.monotonic() - self.heard_at)

    def keep_fresh(self, fresh_s: float) -> None:
        """Take another limit, from the next time that a watch is opened."""
        self._fresh_s = fresh_s

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    if not self._version:
                        self._list()
                    self._watch()
                except Gone as error:
                    self.relists += 1
                    self._failed(error, is_usual=True)
                except InfraError as error:
                    if not self._counts_as_empty(error):
                        self._failed(error, is_usual=False)
                except Exception as error:  # noqa: BLE001 (a thread that ends leaves a copy that is old without a word)
                    self._failed(Conflict(f"{type(error).__name__}: {error}"), is_usual=False)
        finally:
            self.state = WatchState.STOPPED

    def _failed(self, error: InfraError, *, is_usual: bool) -> None:
        """Wait, but for the first of what is usual since it went well; list anew where that has to be."""
        if self._stop.is_set():
            return
        if isinstance(error, Gone | Conflict):
            self._version = ""
        self._failures += 1
        if is_usual and not self._was_gone:  # the server is there: nothing is to be waited for
            self._was_gone, self._failures = True, 1
            self.state = WatchState.LISTING
            return
        self.problem = error.message
        self._wait(error, self._failures)

    def _went_well(self) -> None:
        self._failures = 0
        self._was_gone = False
        self.problem = ""

    def _counts_as_empty(self, error: InfraError) -> bool:
        """An optional resource that is not there, or not for us, is looked for again only now and then."""
        missing = error.code == "not-found" or isinstance(error, Unauthorised)
        if not (self.resource.optional and missing and not self._version):
            return False
        if not self.is_listed:
            self._sink(self, Listed((), is_absent=True))
            self.is_listed = True
        self.state, self.problem = WatchState.WAITING, error.message
        self._heard()
        self._clock.wait(self._stop, min(self._timing.idle_s / 2, self._renewed_s()))
        return True

    def _wait(self, error: InfraError, failures: int) -> None:
        self.state = WatchState.WAITING
        asked = error.retry_after_s if isinstance(error, Transient) and error.retry_after_s else 0.0
        pause = min(self._timing.backoff_first_s * 2 ** min(failures - 1, 16), self._timing.backoff_most_s)
        self._clock.wait(self._stop, max(asked, pause * (0.5 + self._chance.random() / 2)))

    # list

    def _list(self) -> None:
        self.state = WatchState.LISTING
        if self._streams_lists is not False:
            try:
                self._stream_list()
            except InvalidUsage:  # a server before 1.32, or with the feature off
                self._streams_lists = False
            except Conflict:  # a line that is none or too long: pages may do better
                self._streams_lists = False
                raise
            else:
                return
        token, is_first = "", True
        while True:
            query = {**({"limit": str(self._timing.page)} if self._pages else {}), **self._selected()}
            if token:
                query["continue"] = token
            try:
                answer = self._api.request("GET", self.resource.path, query=query, cut=self._cut)
            except Gone:
                self._pages = not token
                raise
            page = _decoded(answer.body, _Page)
            if self._stop.is_set():
                return
            objects = [bytes(item) for item in page.items or ()]
            token = page.metadata.continue_
            self._listed(objects, page.metadata.resource_version, is_first=is_first, is_last=not token)
            is_first = False
            if not token:
                self._pages = True
                return

    def _stream_list(self) -> None:
        query = {
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            **self._watching(""),
        }
        objects: list[bytes] = []
        is_first = True
        with self._opened(query) as events:
            for changes in events:
                for number, change in enumerate(changes, 1):
                    if change.event == _BOOKMARK:
                        meta = _decoded(change.raw, _ObjectMeta).metadata
                        if (meta.annotations or {}).get(_INITIAL_END) == "true":
                            self._listed(objects, meta.resource_version, is_first=is_first, is_last=True)
                            self._streams_lists = True
                            self._follow(chain([changes[number:]], events))
                            return
                    elif change.event == "ADDED":
                        objects.append(change.raw)
                        if len(objects) >= self._timing.page:
                            self._listed(objects, "", is_first=is_first, is_last=False)
                            objects, is_first = [], False
        if not self._stop.is_set():
            self._streams_lists = False  # what ends without its mark is no such list
            raise Transient("the server ended a streaming list before its end")

    def _listed(self, objects: Sequence[bytes], version: str, *, is_first: bool, is_last: bool) -> None:
        if is_last and not version:
            raise Transient("the server gave a list without a resource version")
        self._heard()
        self._sink(self, Listed(tuple(objects), is_first, is_last))
        if is_last:
            self._version = version
            self.is_listed = True

    # watch

    def _watch(self) -> None:
        """Follow until the server ends the watch, which it does every few minutes by our own wish."""
        if self._stop.is_set():
            return
        began = self._clock.monotonic()
        with self._opened(self._watching(self._version)) as events:
            self.problem = ""
            is_used = self._follow(events)
        if not is_used and self._clock.monotonic() - began < _SHORTEST_S:
            raise Transient("the server ended the watch as soon as it was open")
        self._went_well()

    def _follow(self, events: Iterable[Sequence[Change]]) -> bool:
        """Hand on what comes; return whether anything came."""
        self.state = WatchState.WATCHING
        last: bytes | None = None
        try:
            for changes in events:
                if not changes:
                    continue
                last = changes[-1].raw
                told = [change for change in changes if change.event != _BOOKMARK]
                if told:
                    self._sink(self, told)
                if self._failures:
                    self._went_well()
        finally:  # only the last version matters, so that one is read
            if last is not None:
                self._version = _version(last)
        return last is not None

    @contextmanager
    def _opened(self, query: Mapping[str, str]) -> Iterator[Iterator[list[Change]]]:
        """Open a watch that `stop` can cut from another thread."""
        idle_s = min(self._timing.idle_s, float(query["timeoutSeconds"]) + _LATE_S)
        with self._api.stream(self.resource.path, query, idle_s=idle_s, cut=self._cut) as stream:
            self._heard()
            yield self._events(stream)

    def _events(self, stream: Stream) -> Iterator[list[Change]]:
        """Yield what came together; what came before a line that is none is handed on first."""
        for lines in stream.lines(MOST_LINE_BYTES):
            if self._stop.is_set():
                return
            self._heard()
            changes: list[Change] = []
            try:
                for line in lines:
                    if line:
                        changes.append(self._change(line))  # noqa: PERF401 (those before an error are kept)
            except InfraError:
                yield changes
                raise
            yield changes

    def _change(self, line: bytes) -> Change:
        if line.endswith(b"}}"):
            name, start, before = _ENVELOPES.get(line[_LETTER], _NO_ENVELOPE)
            if line.startswith(start):
                return Change(name, line[before:-1])
        try:
            event = self._event.decode(line)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Conflict(f"a line of the watch is no event: {error}") from error
        if event.type == "ERROR":
            status = _decoded(bytes(event.object), _ObjectMeta)
            if status.code == 410:
                raise Gone(f"the watch is too old: {status.message}")
            raise Transient(f"the watch ended with an error: {status.code} {status.message}")
        return Change(event.type, bytes(event.object))

    def _watching(self, version: str) -> dict[str, str]:
        seconds = min(self._timing.watch_s, self._renewed_s()) * (0.75 + self._chance.random() / 4)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(seconds))),
            **self._selected(),
        }
        if version:
            query["resourceVersion"] = version
        return query

    def _renewed_s(self) -> float:
        return max(1.0, self._fresh_s * _RENEWED)

    def _selected(self) -> dict[str, str]:
        return {"fieldSelector": self.resource.field_selector} if self.resource.field_selector else {}

    def _heard(self) -> None:
        self.heard_at = self._clock.monotonic()


def _version(raw: bytes) -> str:
    """Return the resourceVersion; "" (list anew) where it cannot be told."""
    try:
        return msgspec.json.decode(raw, type=_ObjectMeta).metadata.resource_version
    except (msgspec.MsgspecError, RecursionError):
        return ""


def _decoded(raw: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Transient(f"the server's answer cannot be read: {error}") from error
