"""Accounts with passwords, and tokens. Passwords rest as argon2id hashes, tokens as digests."""

import functools
import hashlib
import hmac
import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from im_client.state.server import AccountRecord, Role, ServerStore, TokenRecord
from infracore.clock import Clock
from infracore.errors import InvalidUsage, NotFound, Transient
from infracore.secrets import Secret

__all__ = ["LEAST_PASSWORD", "TOKEN_PREFIX", "Accounts", "Grant", "new_token"]

TOKEN_PREFIX: Final = "imt_"  # noqa: S105 - what tokens of ours begin with
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
TOKEN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LEAST_PASSWORD: Final = 8
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's password storage cheat sheet, argon2id: 19 MiB and two passes at the least."""
_REMEMBERED_S: Final = 300.0
"""How long a password that was right is not hashed again: clients send it with every request."""
_MOST_FAILURES: Final = 10
_FAILURES_S: Final = 60.0
_MOST_WAITING: Final = 8
"""Requests that hash or wait for it: each holds a thread of the server's pool, which has 40."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a password or token gives: an account, at most this role, perhaps for one infrastructure only."""

    account: str
    is_admin: bool
    most: Role = Role.OWNER
    infrastructure: str | None = None
    is_own: bool = False
    """Whether it is of the infrastructure itself: it stands for no account, and needs no role of one."""


@dataclass(slots=True)
class _Remembered:
    """Passwords that were right, and how often others were not. Keyed by a digest that dies with the process."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    right: dict[bytes, float] = field(default_factory=dict)
    wrong: dict[str, list[float]] = field(default_factory=dict)


class Accounts:
    """The accounts of a server. Safe under threads."""

    def __init__(self, records: ServerStore, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._known = _Remembered()
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(2)
        """Each hash takes 19 MiB and a core: strangers must not order many at once."""
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)

    def add(self, name: str, password: Secret, *, is_admin: bool = False) -> AccountRecord:
        """Make an account, or give one a new password.

        Raises:
            InvalidUsage: the name is none, the password is too short.
        """
        if NAME.fullmatch(name) is None:
            raise InvalidUsage(f"{name!r} is no name of an account", "letters, digits and . _ @ + -, 64 at the most")
        if len(password.reveal()) < LEAST_PASSWORD:
            raise InvalidUsage(f"the password has less than {LEAST_PASSWORD} characters")
        record = AccountRecord(name, _HASHER.hash(password.reveal()), is_admin, self._clock.now())
        self._records.put_account(record)
        return record

    def check(self, name: str, password: Secret) -> Grant | None:
        """Return what this password gives, None where it is wrong or there is no such account.

        Raises:
            Transient: too many wrong ones within a minute, or too many that are looked at now.
        """
        now = self._clock.now()
        account = self._records.account(name)
        stored = account.password_hash if account is not None else ""
        digest = hmac.digest(self._known.key, f"{name}\0{stored}\0{password.reveal()}".encode(), "sha256")
        with self._lock:
            if account is not None and self._known.right.get(digest, 0.0) > now:
                return Grant(name, account.is_admin)
            recent = [at for at in self._known.wrong.get(name, ()) if now - at < _FAILURES_S]
            if len(recent) >= _MOST_FAILURES:
                raise Transient("too many wrong passwords", "wait a minute", _FAILURES_S)
        if account is not None and self._is_right(stored, password):
            with self._lock:
                self._known.right = {d: at for d, at in self._known.right.items() if at > now}
                self._known.right[digest] = now + _REMEMBERED_S
            return Grant(name, account.is_admin)
        if account is None:
            self._is_right(_nobody(), password)  # as long as for somebody: names are not to be guessed by the time
        with self._lock:
            if len(self._known.wrong) > 10_000:
                self._known.wrong.clear()
            self._known.wrong[name] = [*recent, now]
        return None

    def _is_right(self, stored: str, password: Secret) -> bool:
        if not self._waiting.acquire(blocking=False):
            raise Transient("too many passwords are being looked at", "repeat it in a moment, or use a token", 2.0)
        try:
            with self._hashing:
                return _HASHER.verify(stored, password.reveal())
        except (VerificationError, InvalidHashError):
            return False
        finally:
            self._waiting.release()

    def make_token(
        self,
        account: str | None,
        *,
        role: Role = Role.OWNER,
        infrastructure: str | None = None,
        valid_s: float | None = None,
        name: str = "",
    ) -> tuple[TokenRecord, Secret]:
        """Make a token; it is shown this once. Without an account it belongs to the infrastructure itself.

        Raises:
            NotFound: there is no such account or infrastructure. InvalidUsage: the name is none.
            Conflict, QuotaExceeded: the infrastructure has one of this name, or too many.
        """
        if account is not None and self._records.account(account) is None:
            raise NotFound(f"there is no account {account!r}", "im user add makes one")
        if name and TOKEN_NAME.fullmatch(name) is None:
            raise InvalidUsage(f"{name[:80]!r} is no name of a token", "letters, digits and . _ -, 64 at the most")
        now = self._clock.now()
        record, text = new_token(account, now, role=role, infrastructure=infrastructure, valid_s=valid_s, name=name)
        self._records.put_token(record)
        return record, text

    def check_token(self, token: Secret) -> Grant | None:
        """Return what a token of ours gives, None where it is unknown or has expired."""
        record = self._records.token(_digest(token.reveal()))
        if record is None or (record.expires_at is not None and record.expires_at <= self._clock.now()):
            return None
        if record.account is None:
            name = f"token:{record.infrastructure}/{record.name}"  # no account has a colon in its name
            return Grant(name, False, record.role, record.infrastructure, is_own=True)
        account = self._records.account(record.account)
        if account is None:
            return None
        is_all = record.role is Role.OWNER and record.infrastructure is None
        return Grant(account.name, account.is_admin and is_all, record.role, record.infrastructure)


def new_token(
    account: str | None,
    now: float,
    *,
    role: Role,
    infrastructure: str | None = None,
    valid_s: float | None = None,
    name: str = "",
) -> tuple[TokenRecord, Secret]:
    """Return a new token that is recorded nowhere yet, with its text."""
    text = TOKEN_PREFIX + secrets.token_urlsafe(32)
    ident = secrets.token_hex(6)
    record = TokenRecord(
        id=ident,
        account=account,
        digest=_digest(text),
        role=role,
        created_at=now,
        infrastructure=infrastructure,
        expires_at=None if valid_s is None else now + valid_s,
        name=name or ident,
    )
    return record, Secret(text)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@functools.cache
def _nobody() -> str:
    """Return a hash that no password has."""
    return _HASHER.hash(secrets.token_hex(16))
