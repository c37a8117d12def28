"""Credentials of callers while the operations that need them wait and run: in memory, and nowhere else.

An operation that is taken up by another process, or after a restart, finds what its account has in the vault.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from im_client.auth.credentials import Credential
from im_client.services.context import Context
from im_client.services.server.callers import Caller
from im_client.services.server.clouds import lent_lines
from im_client.services.server.vault import Vault
from im_client.state.server import OperationRecord, Role, ServerStore
from infracore.clock import Clock

__all__ = ["EXPIRED", "Purse"]

EXPIRED: Final = "lease:over"
"""Whose operations end what has lived as long as it may: no account is called so."""

_AT_LEAST_S: Final = 60.0
"""So long an entry is kept in any case: its operation may not be recorded yet."""


class Purse:
    """Holds contexts with lent credentials, each for one operation. Safe under threads."""

    def __init__(self, clock: Clock, records: ServerStore, vault: Vault | None, *, reaches_operations: bool) -> None:
        """`reaches_operations`: whether this process carries out what it accepts."""
        self.reaches_operations = reaches_operations
        self._clock = clock
        self._records = records
        self.vault = vault
        self._held: dict[str, tuple[float, Context]] = {}
        self._lock = threading.Lock()

    def put(self, operation: str, ctx: Context, is_over: Callable[[str], bool]) -> None:
        """Keep what an operation that is about to be recorded needs; forget what never was, or has ended."""
        if not ctx.lent or not self.reaches_operations:
            return
        now = self._clock.monotonic()
        with self._lock:
            old = [key for key, (at, _) in self._held.items() if now - at > _AT_LEAST_S]
        over = [key for key in old if is_over(key)]
        with self._lock:
            for key in over:
                self._held.pop(key, None)
            self._held[operation] = (now, ctx)

    @contextmanager
    def open(self, operation: OperationRecord, ctx: Context) -> Iterator[Context]:
        """Return the context in which an operation is carried out; what is opened with lent lines ends with it."""
        with self._lock:
            held = self._held.pop(operation.id, None)
        lines = held[1].lent if held is not None else self._kept(operation, ctx)
        if held is not None:
            held[1].close_lent()
        lent = ctx.lending(lines)
        try:
            yield lent
        finally:
            lent.close_lent()

    def _kept(self, operation: OperationRecord, ctx: Context) -> Mapping[str, Credential]:
        """Return what is in the vault: of who asked for the operation, or of the owners where nobody did."""
        if operation.account == EXPIRED or _is_own_token(operation):
            return self.of_owners(operation.infrastructure, ctx)
        return self._in_vault(operation.account, ctx)

    def of_owners(self, infrastructure: str, ctx: Context) -> Mapping[str, Credential]:
        """Return what an infrastructure's owners have in the vault: for its own token, and the end of its lease."""
        lines: dict[str, Credential] = {}
        for account, role in self._records.members(infrastructure).items():
            if role is Role.OWNER:
                lines |= self._in_vault(account, ctx)
        return lines

    def _in_vault(self, account: str, ctx: Context) -> Mapping[str, Credential]:
        if self.vault is None:
            return {}
        return lent_lines(ctx, account, self.vault.read(Caller(account, is_admin=False)))


def _is_own_token(operation: OperationRecord) -> bool:
    """Return whether a token of the infrastructure itself asked for it; other callers' names have an @, or no colon."""
    own, mark, name = operation.account.partition("/")
    return own == f"token:{operation.infrastructure}" and bool(mark) and "@" not in name
