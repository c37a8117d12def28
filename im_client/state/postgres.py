"""A PostgreSQL database that servers, workers and commands on several machines share.

A use waits some seconds for a connection, so that a restart of the database is not noticed between two of them. One
that is broken off in the middle is told as `StateLost`: whether its transaction was kept is not known then, and all
that this program writes may be written again.
"""

import contextlib
import functools
import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import conninfo, errors
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from im_client.state.locks import LostLock
from im_client.state.migrations.postgres import known_migrations, known_queue, migrate
from im_client.state.sql_store import SqlStore
from im_client.state.store import StateLost
from infracore.errors import Conflict, InfraError, Misconfigured, NoSpace, Transient
from infracore.secrets import Seal, Secret

__all__ = ["PostgresDatabase", "PostgresStore", "Session", "connect", "conninfo_of"]

_LOG: Final = logging.getLogger(__name__)
_CONNECT_S: Final = 5
_WAIT_S: Final = 5.0
"""How long a use waits for a connection."""
_IDLE_S: Final = 120.0
_SESSION: Final = (
    r"-c default_transaction_isolation=read\ committed "
    "-c lock_timeout=30s -c statement_timeout=60s "
    # a process that is stopped in the middle of a write must not keep others out
    "-c idle_in_transaction_session_timeout=5s "
    # and a machine that has lost its power is noticed within half a minute
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    "-c client_min_messages=warning"
)
_SUBJECT: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1768764192))"
_FENCE: Final = "SELECT 1 FROM infrastructure_lock WHERE infrastructure = %s AND token = %s FOR KEY SHARE"
_GUARD: Final = "SELECT pg_advisory_lock(hashtextextended(%s, 7239128763))"
_UNGUARD: Final = "SELECT pg_advisory_unlock(hashtextextended(%s, 7239128763))"
_GUARDS: Final = 4
"""Changes that one process works out at once; others of it wait."""
_GUARD_WAIT_S: Final = 60.0
_UNQUOTED: Final = re.compile(r"postgres(ql)?://([^/?]*@[^/?]*@|[^/?]*/[^?]*@)")
_LOOK: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class PostgresStore(SqlStore):
    """The store in PostgreSQL; arguments and errors are those of `PostgresDatabase`."""

    def __init__(self, url: Secret, seal: Seal, *, most_connections: int = 8) -> None:
        """Open the database.

        Raises:
            Misconfigured: as `PostgresDatabase`, or this machine has another key file than the others.
        """
        self.postgres = PostgresDatabase(url, most_connections=most_connections)
        super().__init__(self.postgres, seal)
        with contextlib.ExitStack() as taken:
            taken.callback(self.postgres.close)
            self._check_key()
            taken.pop_all()

    def _check_key(self) -> None:
        with self.postgres.write("key") as db:
            db.execute("INSERT INTO key_check (sealed) VALUES (?) ON CONFLICT (one) DO NOTHING", (self.seal("im"),))
            (row,) = db.execute("SELECT sealed FROM key_check").fetchall()
        try:
            self.unseal(row["sealed"])
        except Misconfigured as error:
            raise Misconfigured(
                f"the key file of this machine does not open what is in {self.postgres.name}",
                "copy the file `key` of the state folder from the machine that was the first",
            ) from error


class _Outage:
    """Says once that the database is away, and once that it is back. Safe under threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self.is_away = False

    def began(self, why: str) -> None:
        with self._lock:
            was_away, self.is_away = self.is_away, True
        if not was_away:
            _LOG.warning("%s; trying again until it is back", why)

    def ended(self) -> None:
        with self._lock:
            was_away, self.is_away = self.is_away, False
        if was_away:
            _LOG.warning("%s answers again", self._name)


class Session:
    """A connection inside of one transaction, in the words of `im_client.state.database`."""

    def __init__(self, connection: "psycopg.Connection[dict[str, Any]]") -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "psycopg.Cursor[dict[str, Any]]":
        return self.connection.execute(_percent(sql), [_storable(value) for value in parameters])

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(_percent(sql), [[_storable(value) for value in row] for row in parameters])


class PostgresDatabase:
    """See the protocol `Database`. A bounded pool of connections."""

    def __init__(
        self,
        url: Secret,
        *,
        most_connections: int = 8,
        migrations: Sequence[str] | None = None,
        wait_s: float = _WAIT_S,
    ) -> None:
        """Connect, and bring the schema up to date.

        Raises:
            Misconfigured: the address is none, nobody answers there, or the login is refused.
            Conflict: a newer version of this program made the schema.
        """
        self.url = url
        self.name = _name(url)
        self._outage = _Outage(self.name)
        self.fences: dict[str, int] = {}
        """Infrastructure -> the token with which this process has taken its lock."""
        with connect(url, self.name) as connection, self.errors():
            encoding = connection.execute("SHOW server_encoding").fetchone()
            connection.commit()
            if encoding is not None and encoding["server_encoding"] != "UTF8":
                raise Misconfigured(f"{self.name} is not in UTF8", "createdb --encoding UTF8 --template template0 im")
            migrate(connection, known_migrations() if migrations is None else migrations, known_queue(), self.name)
        self._pool = self._open_pool("im", 1, most_connections, wait_s)
        self._guards = self._open_pool("im-guard", 0, _GUARDS, _GUARD_WAIT_S)

    def _open_pool(
        self, name: str, least: int, most: int, wait_s: float
    ) -> "ConnectionPool[psycopg.Connection[dict[str, Any]]]":
        # it warns of every attempt to connect again; who uses the pool gets one error that says it
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        return ConnectionPool(
            conninfo_of(self.url),
            kwargs={"row_factory": dict_row, "autocommit": name != "im"},
            min_size=least,
            max_size=most,
            timeout=wait_s,
            max_idle=_IDLE_S,
            num_workers=1,
            check=ConnectionPool.check_connection,
            name=name,
            open=True,
        )

    @contextmanager
    def read(self) -> Iterator[Session]:
        with self.errors(), self._pool.connection() as connection:
            connection.execute(_LOOK)
            yield Session(connection)

    @contextmanager
    def write(self, subject: str, *, on_disk: bool = False, fence: str = "") -> Iterator[Session]:  # noqa: ARG002
        """See the protocol. The database waits for the disk as its own settings say, which is always by default."""
        token = self.fences.get(fence)
        with self.errors(), self._pool.connection() as connection:
            connection.execute(_SUBJECT, (subject,))
            if token is not None and connection.execute(_FENCE, (fence, token)).fetchone() is None:
                raise LostLock(
                    f"this process was not heard from, and another has taken over {fence}", "nothing was written"
                )
            yield Session(connection)

    @contextmanager
    def guard(self, subject: str) -> Iterator[None]:
        """Keep others out that guard the same, of all processes; not for long, and on a connection of its own.

        It is a help, no promise: where the connection is lost it is free for others at once.

        Raises:
            Transient: another has kept it for half a minute.
        """
        with self.errors():
            connection = self._guards.getconn()
        try:
            with self.errors():
                connection.execute(_GUARD, (subject,))
            yield
        finally:
            with contextlib.suppress(psycopg.Error):  # a connection that was lost holds nothing
                connection.execute(_UNGUARD, (subject,))
            self._guards.putconn(connection)

    def close(self) -> None:
        self._pool.close()
        self._guards.close()

    @property
    def is_away(self) -> bool:
        """Whether a thread with a connection of its own has found nobody, and is trying again."""
        return self._outage.is_away

    @contextmanager
    def own_connection(self) -> "Iterator[psycopg.Connection[dict[str, Any]]]":
        """Give a connection beside the pool, with autocommit, to a thread that tries again by itself.

        Raises:
            StateLost: there is none, which is logged once for all that notice it; or it was lost.
        """
        try:
            connection = connect(self.url, self.name, autocommit=True)
        except Misconfigured as error:
            self._outage.began(error.message)
            raise StateLost(f"{self.name} does not answer", "try again when it is back") from error
        self._outage.ended()
        with self.errors(), connection:
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Let no error of psycopg out."""
        try:
            yield
        except psycopg.Error as error:
            raise _translated(error, self.name) from error


def connect(url: Secret, name: str = "", *, autocommit: bool = False) -> "psycopg.Connection[dict[str, Any]]":
    """Return a connection of its own.

    Raises:
        Misconfigured: the address is none, nobody answers there, or the login is refused.
    """
    try:
        return psycopg.Connection.connect(conninfo_of(url), autocommit=autocommit, row_factory=dict_row)
    except psycopg.OperationalError as error:
        raise Misconfigured(
            f"cannot connect to {name or _name(url)}: {_first_line(error)}",
            "is it running, and are address, user and password in database_url right?",
        ) from error


def conninfo_of(url: Secret) -> str:
    """Return what psycopg connects by, with limits on all that could wait for ever.

    Raises:
        Misconfigured: the address is none.
    """
    return conninfo.make_conninfo(
        **{
            "connect_timeout": _CONNECT_S,
            "application_name": "im-clues",
            "client_encoding": "UTF8",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "options": _SESSION,
            **_parts(url),
        }
    )


def _parts(url: Secret) -> dict[str, Any]:
    """Take an address apart; libpq's own message would repeat it with its password."""
    if _UNQUOTED.match(url.reveal()):  # libpq would take a part of the password for the host or the database
        raise Misconfigured(
            "database_url has an @ or a / in its password, or more than one @",
            "in a password write @ as %40 and / as %2F",
        )
    try:
        return dict(conninfo.conninfo_to_dict(url.reveal()))
    except psycopg.ProgrammingError:
        raise Misconfigured(
            "database_url is no address of a PostgreSQL database", "postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None


def _name(url: Secret) -> str:
    parts = _parts(url)
    return f"the database {parts.get('dbname') or parts.get('user') or ''} on {parts.get('host') or 'this computer'}"


@functools.lru_cache(maxsize=512)
def _percent(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def _storable(value: Any) -> Any:
    """Return what PostgreSQL can hold: it knows no text with a NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _translated(error: psycopg.Error, name: str) -> InfraError:
    """Say what a failure of PostgreSQL means for the user."""
    said = _first_line(error)
    match error:
        case errors.UniqueViolation():
            return Conflict("somebody else has written the same at the same time", "look again, then repeat it")
        case errors.SerializationFailure() | errors.DeadlockDetected() | errors.LockNotAvailable():
            return Transient(f"{name} is kept busy by another process", "try again")
        case errors.InsufficientPrivilege() | errors.InvalidCatalogName() | errors.UndefinedTable():
            return Misconfigured(f"cannot use {name}: {said}", "the user of database_url must own its tables")
        case errors.DiskFull():
            return NoSpace(f"no room on the disk of {name}", "free some space, then run the same command again")
        case PoolTimeout():
            return StateLost(f"{name} does not answer", "try again when it is back")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return StateLost(f"the connection to {name} was lost: {said}", "try again when it is back")
        case _:
            return InfraError(f"{name} failed: {said}")
