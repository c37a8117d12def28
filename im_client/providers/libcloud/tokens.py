"""A token that is had by logging in, kept for all drivers of an account until shortly before its end."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from infracore.clock import Clock
from infracore.errors import Unauthorised, Unsupported
from infracore.secrets import Secret

__all__ = ["Token"]

_EARLY_S: Final = 120.0
"""So long before its end a token is no longer used."""


class Token:
    """The token of one account. Thread-safe."""

    def __init__(self, open_wire: Callable[[], Any], ask: Callable[[Any], Mapping[str, Any]], clock: Clock) -> None:
        """`open_wire` returns a libcloud connection to the login, and `ask` has the answer of OAuth 2 over it."""
        self._open = open_wire
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._token = Secret("")
        self._until = 0.0

    @property
    def access_token(self) -> str:
        """Log in where it is needed.

        Raises:
            Unauthorised: the login is refused, or gives no token.
        """
        with self._lock:
            if not self._token or self._clock.monotonic() > self._until:
                wire = self._open()
                try:
                    answer = self._ask(wire)
                except Unsupported as error:  # 400: of a key or account that is none
                    raise Unauthorised(error.message, "look at the credentials in the auth file") from error
                finally:
                    wire.connection.session.close()
                token, lasts = answer.get("access_token"), answer.get("expires_in")
                if not isinstance(token, str) or not isinstance(lasts, int | float):
                    raise Unauthorised("the login gave no token", "look at the credentials in the auth file")
                self._token = Secret(token)
                self._until = self._clock.monotonic() + float(lasts) - _EARLY_S
            return self._token.reveal()
