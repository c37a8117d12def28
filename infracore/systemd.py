"""Talking to systemd: readiness, status line and watchdog of a service (sd_notify(3)), and its credentials."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["Notifier", "credential"]


class Notifier:
    """Sends notifications to the socket that the service manager named; does nothing where there is none.

    Sending never blocks and never fails: a service manager that does not listen must not stop the service.
    """

    def __init__(self, environ: Mapping[str, str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._monotonic = monotonic
        self._last_beat = float("-inf")
        self._status = ""
        self._socket: socket.socket | None = None
        self.watchdog_s = _watchdog_s(environ)
        """Time within which the service manager wants a sign of life; None: it wants none."""
        if self._address.startswith(("/", "@")):
            try:
                kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                self._socket = socket.socket(socket.AF_UNIX, kind)
            except OSError:
                self._socket = None

    @property
    def is_there(self) -> bool:
        """Whether there is a service manager that listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """Say that the service has started, or has finished reloading."""
        self._send("READY=1", *([f"STATUS={_line(status)}"] if status else []))

    def reloading(self) -> None:
        """Say that settings are being read anew; `ready` must follow. The time is for Type=notify-reload."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the service is ending."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows. The same line is not sent twice."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={_line(text)}")

    def beat(self) -> None:
        """Give a sign of life, at most five times within the watchdog's time. To be called where progress is made."""
        now = self._monotonic()
        if self.watchdog_s is not None and now - self._last_beat >= self.watchdog_s / 5:
            self._last_beat = now
            self._send("WATCHDOG=1")

    def close(self) -> None:
        """Let go of the socket. May be repeated."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(errors="replace"), address)
        except OSError:
            return


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return WATCHDOG_USEC in seconds, if it is meant for this process (sd_watchdog_enabled(3))."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit() and int(usec) > 0) or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6


def _line(text: str) -> str:
    return " ".join(text.split())[:500]


def credential(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return the path of a credential of the unit (`LoadCredential=NAME:...`), or None where it was not given."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder or not name or "/" in name or name in {".", ".."}:
        return None
    path = Path(folder) / name
    return path if path.is_file() else None
