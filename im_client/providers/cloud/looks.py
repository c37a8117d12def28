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

    One that asks alone costs a look at one machine; those that ask while `most` looks are under way share the next.
    """

    def __init__(
        self, one: Callable[[str], Server], several: Callable[[Sequence[str]], Sequence[Server]], most: int = 1
    ) -> None:
        self._one = one
        self._several = several
        self._most = most
        self._change = threading.Condition()
        self._looking = 0
        self._next = _Look()

    def get(self, server_id: str) -> Server:
        """Look at one machine. Raises NotFound, and whatever a look raises."""
        with self._change:
            look = self._next
            look.ids.add(server_id)
            while not look.is_over and (self._looking >= self._most or look is not self._next):
                self._change.wait()
            leads = not look.is_over
            if leads:  # the first of those that wait looks, for all of them
                self._looking, self._next = self._looking + 1, _Look()
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
                servers = self._several(sorted(look.ids))
            look.found = {server.id: server for server in servers}
        except InfraError as error:
            look.error = error
        finally:
            if look.found is None and look.error is None:
                look.error = Transient("the look at the machines was broken off", "run it again")
            with self._change:
                look.is_over, self._looking = True, self._looking - 1
                self._change.notify_all()
