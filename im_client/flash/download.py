"""Images fetched once: gone on with where it broke off, checked, and in the cache whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

from im_client.flash.fetch import BROKEN, open_url, refused
from im_client.flash.model import BadImage, Phase, Progress, Source
from im_client.flash.progress import Meter
from infracore.errors import Cancelled, InfraError, Misconfigured, NoSpace, NotFound, Transient

__all__ = ["fetch"]

_CHUNK: Final = 1 << 20
_TRIES: Final = 6
"""Breaks of a connection in a row without a byte in between."""
_TOLD_S: Final = 0.2


def fetch(
    source: Source,
    cache: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancel: threading.Event | None = None,
) -> Path:
    """Return the image as a file: itself where it is one, else from the cache `cache/images`, else fetched.

    One with a checksum is fetched once; of one without the server is asked whether it changed, and the copy serves
    where it cannot be asked. Of two processes that want the same one waits for the other.

    Raises:
        BadImage: another checksum. NotFound, Unauthorised: the server says so. Transient: it cannot be reached.
        NoSpace: the disk is full. Cancelled.
    """
    stop = cancel or threading.Event()
    if not source.address.startswith(("http://", "https://")):
        path = Path(source.address)
        if source.sha256:
            _check(path, source, stop)
        return path
    key = source.sha256 or hashlib.sha256(source.address.encode()).hexdigest()
    folder = cache / "images" / key[:32]
    name = re.sub("[^A-Za-z0-9._+-]", "-", PurePosixPath(urlsplit(source.address).path).name)[-200:].lstrip(".")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / ".lock", stop):
            return _Download(source, folder / (name or "image"), on_progress, stop).run()
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpace(f"the disk of {folder} is full", "make room, then run again: it goes on") from error
        raise Misconfigured(f"{folder} cannot be used: {error.strerror}", "set another cache_dir") from error


@contextmanager
def _alone(lock: Path, stop: threading.Event) -> Iterator[None]:
    """Let one process at a time in; the lock goes with the process."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if stop.wait(_TOLD_S):
                    raise Cancelled("cancelled while another process fetches the image") from error
        yield
    finally:
        os.close(fd)


def _check(path: Path, source: Source, stop: threading.Event) -> None:
    """Raise BadImage where the file has another checksum."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_CHUNK):
                digest.update(part)
                if stop.is_set():
                    raise Cancelled("cancelled while the image was checked")
    except OSError as error:
        raise NotFound(f"the image {path} cannot be read: {error.strerror}") from error
    _refuse(digest.hexdigest(), source)


def _refuse(found: str, source: Source) -> None:
    if found != source.sha256:
        raise BadImage(
            f"wrong checksum: {source.address} has the SHA-256 {found}, not {source.sha256}",
            "it was changed, or the checksum is that of another version",
        )


class _Download:
    def __init__(
        self, source: Source, path: Path, on_progress: Callable[[Progress], None], stop: threading.Event
    ) -> None:
        self._source = source
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._said = path.with_name(f".{path.name}.validator")
        """What the server says names this version: its ETag, else the time of its last change."""
        self._on_progress = on_progress
        self._stop = stop
        self._meter: Meter | None = None
        self._told = 0.0

    def run(self) -> Path:
        is_there = self._path.is_file()
        if is_there and self._source.sha256:
            try:
                _check(self._path, self._source, self._stop)
            except BadImage:  # it was whole when it got its name
                self._path.unlink()
                is_there = False
            else:
                return self._path
        failures = 0
        while True:
            before = self._size()
            try:
                if self._some(is_there):
                    break
                failures = 0
            except Transient:
                if is_there:
                    return self._path
                raise
            except BROKEN as error:
                if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise
                failures = 1 if self._size() > before else failures + 1
                if failures >= _TRIES or (is_there and not self._source.sha256):
                    if is_there:
                        return self._path
                    raise Transient(
                        f"{self._source.address} cannot be fetched: {error}",
                        "is there a network, a proxy (https_proxy)?",
                    ) from error
                if self._stop.wait(0.25 * 2**failures):
                    raise self._cancelled() from error
        return self._path

    def _size(self) -> int:
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def _some(self, is_there: bool) -> bool:
        """Fetch what one connection gives; return whether the image is there now."""
        have = self._size()
        validator = self._said.read_text() if self._said.is_file() else ""
        headers = {"Accept-Encoding": "identity"}
        if have and (validator or self._source.sha256):
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        elif is_there and validator:
            headers["If-None-Match" if validator.startswith(('"', "W/")) else "If-Modified-Since"] = validator
        with open_url(self._source.address, headers) as answer:
            status = answer.status
            if status == 304 and is_there:
                return True
            if status == 416 and have:  # nothing behind what we have: all of it is there, or it is another
                if not self._source.sha256:
                    self._part.unlink(missing_ok=True)
                    return False
                return self._finish()
            if status not in {200, 206}:
                raise refused(self._source.address, status)
            if status == 206 and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
                self._part.unlink(missing_ok=True)
                raise Transient(f"{self._source.address}: the server gives another part than it was asked for")
            self._take(answer, have if status == 206 else 0)
        return self._finish()

    def _take(self, answer: Any, have: int) -> None:
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and re.fullmatch("[0-9]{1,20}", length) else None
        whole = re.fullmatch("bytes .*/([0-9]{1,20})", answer.headers.get("Content-Range") or "")
        if answer.status == 206 and whole:  # a part may be smaller than it was asked for
            total = int(whole[1])
        if total is not None and shutil.disk_usage(self._path.parent).free < total - have:
            raise NoSpace(f"the disk of {self._path.parent} has no room for {total - have} bytes", "make room")
        etag = answer.headers.get("ETag") or ""
        validator = answer.headers.get("Last-Modified") or "" if etag.startswith("W/") else etag
        self._said.write_text(validator or answer.headers.get("Last-Modified") or "")
        self._meter = self._meter or Meter(self._source.name or self._path.name, Phase.DOWNLOAD, total)
        with self._part.open("ab" if have else "wb") as file:
            while part := answer.read1(_CHUNK):
                if self._stop.is_set():
                    raise self._cancelled()
                file.write(part)
                have += len(part)
                self._tell(have)
        if total is not None and have < total:
            raise ConnectionResetError(f"it broke off after {have} of {total} bytes")

    def _tell(self, have: int, *, always: bool = False) -> None:
        now = time.monotonic()
        if self._meter is not None and (always or now - self._told >= _TOLD_S):
            self._told = now
            self._on_progress(self._meter.at(now, have))

    def _finish(self) -> bool:
        self._tell(self._size(), always=True)
        if self._source.sha256:
            try:
                _check(self._part, self._source, self._stop)
            except BadImage:
                self._part.unlink()
                self._said.unlink(missing_ok=True)
                raise
        fd = os.open(self._part, os.O_RDONLY)
        with contextlib.closing(os.fdopen(fd)):
            os.fsync(fd)
        self._part.replace(self._path)
        return True

    def _cancelled(self) -> InfraError:
        return Cancelled(
            f"cancelled while {self._source.address} was fetched", "run again: it goes on where it stopped"
        )
