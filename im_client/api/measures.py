"""What `/metrics` tells: requests, operations, machines."""

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from im_client.services.server.house import House
from infracore.metrics import Metrics

__all__ = ["Counting", "Measures"]

_BUCKETS: Final = (0.005, 0.02, 0.05, 0.2, 1.0, 5.0, 30.0)


class Measures:
    """The server's metrics. Safe under threads."""

    def __init__(self) -> None:
        self._metrics = Metrics("im")
        self.requests = self._metrics.counter("requests", "Requests by method and status.", ("method", "status"))
        self.seconds = self._metrics.histogram("request_seconds", "Time until an answer began.", _BUCKETS)
        self._operations = self._metrics.gauge("operations", "Operations that run or wait.")
        self._infrastructures = self._metrics.gauge("infrastructures", "Infrastructures that are recorded.")
        self._machines = self._metrics.gauges("machines", "Machines by their phase.", ("phase",))

    def text(self, house: House) -> bytes:
        """Return all as it is now."""
        counts = house.ctx.store.node_counts()
        phases: dict[tuple[str, ...], float] = {}
        for found in counts.values():
            for phase, count in found.items():
                phases[(phase.value,)] = phases.get((phase.value,), 0) + count
        self._machines.show(phases)
        self._operations.set(house.operations.running())
        self._infrastructures.set(len(house.records.infrastructure_ids()))
        return self._metrics.text()


class Counting:
    """Middleware that counts requests. Paths are no label: they hold ids of callers."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        method = scope["method"] if scope["method"] in _METHODS else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._measures.requests.labels(method, str(message["status"])).inc()
                self._measures.seconds.observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counted)


_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"})
