"""Running the application: uvicorn, TLS, readiness for systemd, and an orderly end."""

import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from im_client.api.app import make_app
from im_client.api.patience import Patient
from im_client.services.server.house import House, open_house
from infracore.errors import Misconfigured
from infracore.structs import make_ready
from infracore.systemd import Notifier

__all__ = ["serve"]

_SWITCH_S: Final = 0.001
"""How long one thread may keep the interpreter while others wait (Python: 5 ms): short answers stay short."""
_GRACE_S: Final = 5
_SETTLED_AT: Final = 5
"""Ticks of uvicorn, a tenth of a second each: the first requests do not wait for the collector (60 ms)."""


def serve(*, overrides: Mapping[str, object]) -> int:
    """Serve until SIGTERM or SIGINT; what runs then is taken up by the next server. Returns the exit code.

    Raises:
        Misconfigured: a setting, the certificate, the state folder; or the address is taken.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    sys.setswitchinterval(_SWITCH_S)
    make_ready("im_client", "infracore")
    with open_house(overrides=overrides) as house:
        server = _Server(_loaded(_config(house)), house)
        try:
            server.run()
        finally:
            gc.enable()  # `im serve` begins without
    return 0 if server.was_ready else 1


def _settle() -> None:
    """Look for garbage once and never again at what stays; return what was freed (malloc_trim(3), of glibc only)."""
    gc.collect()
    gc.freeze()
    gc.enable()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _config(house: House) -> uvicorn.Config:
    settings = house.ctx.settings.server
    has_tls = settings.tls_certificate != Path()
    return uvicorn.Config(
        make_app(house),
        host=settings.host,
        port=settings.port,
        http=Patient,
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_level="warning",
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=64 * 1024,
        ssl_certfile=str(settings.tls_certificate) if has_tls else None,
        ssl_keyfile=str(settings.tls_key) if has_tls else None,
    )


def _loaded(config: uvicorn.Config) -> uvicorn.Config:
    """Load what the configuration names, the certificate and its key among it."""
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise Misconfigured(
            f"cannot use server.tls_certificate {config.ssl_certfile} with tls_key {config.ssl_keyfile}: {error}",
            "both are PEM files that this user may read, and the key is that of the certificate, without a password",
        ) from error
    return config


class _Server(uvicorn.Server):
    """Says when it is ready, and where."""

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._house = house
        self._notifier = Notifier(os.environ)
        self.was_ready = False

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if not self.started:
            return
        self.was_ready = True
        address = self.servers[0].sockets[0].getsockname()
        scheme = "https" if self.config.is_ssl else "http"
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        sys.stderr.write(f"im serve: {scheme}://{host}:{address[1]}\n")
        sys.stderr.flush()
        self._notifier.ready(f"listening on {host}:{address[1]}")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGTERM and SIGINT; uvicorn's own would raise them again, before the operations are put away."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def on_tick(self, counter: int) -> bool:
        self._notifier.beat()
        if counter == _SETTLED_AT:
            _settle()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._notifier.stopping()
        await super().shutdown(sockets)  # type: ignore[arg-type]
