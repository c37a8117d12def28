"""Writes recordings beside the loop: encoding 10,000 pods takes tens of milliseconds that no order should wait for."""

import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from clues.history.recording import Encoder, Recording

__all__ = ["Recorder"]

_MOST_WAITING: Final = 8


class Recorder:
    """A thread that writes each recording to `FOLDER/NAME.clues` and removes the oldest beyond a total size."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.problem = ""
        self.dropped = 0
        self._folder = folder
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[str, Recording]] = deque()
        self._condition = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._written = 0
        self._encoder = Encoder()

    def put(self, name: str, recording: Recording) -> str:
        """Hand a recording over; returns the path that it will have, "" if recordings are off. Never blocks."""
        if self._most_bytes <= 0:
            return ""
        with self._condition:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="clues-recorder", daemon=True)
                self._thread.start()
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append((name, recording))
            self._condition.notify()
        return str(self._folder / f"{name}.clues")

    def stop(self, timeout_s: float) -> None:
        """Write what waits, and end."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting:
                    if self._stopping:
                        return
                    self._condition.wait()
                name, recording = self._waiting.popleft()
            try:
                self._write(name, self._encoder.encode(recording))
                self.problem = ""
            except OSError as error:
                self.problem = f"cannot write recordings in {self._folder}: {error}"

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{name}.clues"
        fresh = path.with_suffix(".part")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(content)
            fresh.replace(path)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise
        self._written += len(content)
        if self._written >= self._most_bytes // 16 or self._written == len(content):
            self._written = 1
            self._prune()

    def _prune(self) -> None:
        found = sorted(self._folder.glob("*.clues"), reverse=True)  # names begin with the time
        total = 0
        for path in found:
            with suppress(OSError):
                total += path.stat().st_size
                if total > self._most_bytes:
                    path.unlink()
