"""Looking at many machines at once: whoever asks while a look is going on shares the next one."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from im_client.providers.cloud.model import Server
from infracore.errors import InfraError, NotFound, Transient

__all__ = ["Looks"]


@dataclass
class _Look:
    """One listing that some wait for."""

    ids: set[str] = field(default_factory=set)
    found: dict[str, Server] | None = None
    error: InfraError | None = None
    is_over: bool = False


class Looks:
    """Looks at the machines of one infrastructure. Never answers with what was seen before the question. Thread-safe.

    One that asks alone costs a look at one machine; twenty that ask at once cost one look at all.
    """

    def __init__(self, one: Callable[[str], Server], every: Callable[[], Sequence[Server]]) -> None:
        self._one = one
        self._every = every
        self._change = threading.Condition()
        self._is_looking = False
        self._next = _Look()

    def get(self, server_id: str) -> Server:
        """Look at one machine. Raises NotFound, and whatever a look raises."""
        with self._change:
            look = self._next
            look.ids.add(server_id)
            while self._is_looking and not look.is_over:
                self._change.wait()
            leads = not look.is_over
            if leads:  # nobody looks now: the first of those that wait does, for all of them
                self._is_looking, self._next = True, _Look()
        if leads:
            self._look(look)
        if look.error is not None:
            raise look.error
        found = (look.found or {}).get(server_id)
        if found is None:
            raise NotFound(f"there is no machine {server_id}")
        return found

    def _look(self, look: _Look) -> None:
        try:
            if len(look.ids) == 1:
                servers: Sequence[Server] = (self._one(next(iter(look.ids))),)
            else:
                servers = self._every()
            look.found = {server.id: server for server in servers}
        except InfraError as error:
            look.error = error
        finally:
            if look.found is None and look.error is None:
                look.error = Transient("the look at the machines was broken off", "run it again")
            with self._change:
                look.is_over, self._is_looking = True, False
                self._change.notify_all()
