"""The dashboard, made when the first browser asks for it: a server that has programs for clients only stays small."""

import asyncio
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from im_client.services.server.house import House

__all__ = ["DASHBOARD", "LateDashboard"]

DASHBOARD: Final = "/dashboard"


class LateDashboard:
    """An application that hands every request on to the dashboard."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._app: ASGIApp | None = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lock:
            app = self._app
            if app is None:
                app = self._app = await run_in_threadpool(self._make)
        await app(scope, receive, send)

    def _make(self) -> ASGIApp:
        from im_client.api.dashboard.app import make_dashboard

        self._house.loader.ready()
        return make_dashboard(self._house)
