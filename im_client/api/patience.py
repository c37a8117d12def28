"""How long a connection may take to say what it wants.

uvicorn waits for ever for the head of a first request, and each byte of a later one begins its waiting anew. So
strangers who open connections and say nothing, or a byte now and then (slowloris), would take all file descriptors.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_S", "Patient", "patient"]

HEAD_S: Final = 10.0
"""From the connection, or the end of the answer before, to the end of a request's head."""


class Patient(H11Protocol):
    """HTTP/1.1 on one connection, which is closed where no whole head comes in time."""

    head_s: float = HEAD_S
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait no more once a request is there."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._end_waiting()
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._end_waiting()

    def _wait(self) -> None:
        if (self.cycle is not None and not self.cycle.response_complete) or self.transport.is_closing():
            self._end_waiting()
        elif self._limit is None:
            self._limit = self.loop.call_later(self.head_s, self.transport.close)

    def _end_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def patient(head_s: float) -> type[Patient]:
    """Return the protocol with a limit of its own."""
    return type("Patient", (Patient,), {"head_s": head_s})
