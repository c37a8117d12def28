"""People who have signed in with a browser: what they proved once is looked at again at each request.

A session is kept in this process only, under the digest of a key that the browser alone has; a server that is started
anew asks everybody to sign in again. It gives what the account or token gives now: who is removed, gets another
password, or whose token expires, is out at once. No password is kept.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from im_client.services.model import Prepared
from im_client.services.server.callers import Caller, Callers
from im_client.state.server import ServerStore
from im_client.topology.values import Value
from infracore.clock import Clock
from infracore.errors import NotFound, Unauthorised
from infracore.secrets import Secret

__all__ = ["LONGEST_S", "Draft", "Session", "Sessions"]

IDLE_S: Final = 3600.0
"""So long a session lasts while nobody does anything in it."""
LONGEST_S: Final = 12 * 3600.0
"""So long it lasts in any case: a working day (NIST SP 800-63B, section 7.2, for AAL2)."""
_MOST: Final = 10_000
_MOST_DRAFTS: Final = 8


@dataclass(slots=True)
class Draft:
    """A form that was filled in and whose plan is looked at before it is carried out. Secrets stay here."""

    template: str
    add_ons: tuple[str, ...]
    name: str
    said: Mapping[str, str]
    """The words of the form."""
    inputs: Mapping[str, Value]
    prepared: Prepared | None = None
    """Its plan, to be shown."""
    infrastructure: str = ""
    """What became of it, once it is carried out."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True, eq=False)
class Session:
    """One browser of one person."""

    account: str
    csrf: str
    """Every form of the session's pages sends it back, so that other sites' forms do not count."""
    began_at: float
    seen_at: float
    token: Secret | None = None
    """What was signed in with, if it was no password."""
    password_hash: str = ""
    """That of the account at sign-in: another one now ends the session."""
    notices: list[str] = field(default_factory=list)
    """What the next page says first."""
    drafts: OrderedDict[str, Draft] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, draft: Draft) -> str:
        """Keep a draft, in place of the oldest where there are many; return its id."""
        key = secrets.token_hex(8)
        with self._lock:
            self.drafts[key] = draft
            while len(self.drafts) > _MOST_DRAFTS:
                self.drafts.popitem(last=False)
        return key

    def draft(self, key: str) -> Draft:
        """Raises NotFound."""
        with self._lock:
            found = self.drafts.get(key)
        if found is None:
            raise NotFound("this form is not kept any more", "fill it in again")
        return found


class Sessions:
    """The sessions of a server. Safe under threads."""

    def __init__(self, callers: Callers, records: ServerStore, clock: Clock) -> None:
        self._callers = callers
        self._records = records
        self._clock = clock
        self._kept: OrderedDict[bytes, Session] = OrderedDict()
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(32)

    def sign_in(self, name: str, password: Secret) -> tuple[str, Session]:
        """Begin a session by a name and its password; return the key that the browser is given.

        Raises:
            Unauthorised: one of them is wrong. Transient: too many wrong ones lately.
        """
        said = base64.b64encode(f"{name}:{password.reveal()}".encode()).decode()
        caller = self._callers.recognise(f"Basic {said}")
        account = self._records.account(caller.name)
        if account is None:
            raise Unauthorised("the account was removed")
        return self._begin(caller.name, password_hash=account.password_hash)

    def sign_in_by_token(self, token: Secret) -> tuple[str, Session]:
        """Begin a session by a token of ours or of the OpenID provider.

        Raises:
            Unauthorised: it does not count here. Transient: the provider's keys cannot be had now.
        """
        caller = self._callers.recognise(f"Bearer {token.reveal()}")
        return self._begin(caller.name, token=token)

    def _begin(self, account: str, *, token: Secret | None = None, password_hash: str = "") -> tuple[str, Session]:
        now = self._clock.monotonic()
        key = secrets.token_urlsafe(32)
        session = Session(account, secrets.token_urlsafe(24), now, now, token, password_hash)
        with self._lock:
            for digest in [digest for digest, one in self._kept.items() if self._is_over(one, now)]:
                del self._kept[digest]
            self._kept[_digest(key)] = session
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return key, session

    def find(self, key: str, *, touch: bool = True) -> tuple[Session, Caller] | None:
        """Return the session of a key and what it gives now; None where it is over.

        Without `touch` it does not count as use: a page that asks by itself keeps nobody signed in.

        Raises:
            Transient: the OpenID provider's keys cannot be had now.
        """
        now = self._clock.monotonic()
        with self._lock:
            session = self._kept.get(_digest(key))
            if session is None or self._is_over(session, now):
                self._kept.pop(_digest(key), None)
                return None
        caller = self._caller(session)
        if caller is None:
            self.sign_out(key)
            return None
        if touch:
            session.seen_at = now
        return session, caller

    def sign_out(self, key: str) -> None:
        """End a session. Absent: succeeds."""
        with self._lock:
            self._kept.pop(_digest(key), None)

    def seal(self, text: str) -> str:
        """Return what only this process can say of a text: for the form of somebody who is not signed in yet."""
        return hmac.digest(self._secret, text.encode(), "sha256").hex()

    def _is_over(self, session: Session, now: float) -> bool:
        return now - session.seen_at > IDLE_S or now - session.began_at > LONGEST_S

    def _caller(self, session: Session) -> Caller | None:
        if session.token is not None:
            try:
                return self._callers.recognise(f"Bearer {session.token.reveal()}")
            except Unauthorised:
                return None
        account = self._records.account(session.account)
        if account is None or account.password_hash != session.password_hash:
            return None
        return Caller(account.name, account.is_admin)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
