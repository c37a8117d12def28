"""Loading what answers and changes need when the first of them comes, on one thread, before others use it.

A server that nobody has asked starts quickly and is small without it. It must not come in from several threads at
once: msgspec makes its types ready on their first use, which is not safe under threads (`infracore.structs`).
"""

import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from infracore.structs import make_ready

__all__ = ["Loader"]

_PARTS: Final = (
    "im_client.services.apply",
    "im_client.services.power",
    "im_client.services.prepare",
    "im_client.services.server.describing",
    "im_client.services.server.perform_snapshot",
    "im_client.services.server.radl",
    "im_client.radl.front",
    "im_client.tosca.front",
    "im_client.providers.existing.provider",
    "im_client.providers.fake",
    "im_client.providers.im.provider",
    "im_client.providers.local.choose",
    "im_client.providers.local.settings",
    "im_client.providers.raspberry_pi.provider",
)


class Loader:
    """Loads them once. Safe under threads."""

    def __init__(self, parts: Sequence[str] = _PARTS) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._is_done = False

    def ready(self) -> None:
        """Return when all is loaded; the first call takes some tenths of a second."""
        with self._lock:
            if not self._is_done:
                for name in self._parts:
                    import_module(name)
                make_ready("im_client", "infracore")
                self._is_done = True
