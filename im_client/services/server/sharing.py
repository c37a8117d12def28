"""Wiring for a state in PostgreSQL: what a server, a worker and `im user` open. Nothing here is loaded with SQLite."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from im_client.services.context import Context
from im_client.services.server.house import serving
from im_client.services.server.loading import Loader
from im_client.services.server.operations import Operations
from im_client.services.server.perform import Performer
from im_client.services.server.purse import Purse
from im_client.services.server.shared import SharedOperations
from im_client.services.server.vault import open_vault
from im_client.services.server.worker import Worker
from im_client.state.leases import PostgresLocks
from im_client.state.postgres import PostgresStore, conninfo_of
from im_client.state.postgres_server import PostgresServerStore
from im_client.state.queue import Enqueue, Queue
from im_client.state.server import ServerStore
from im_client.state.watch import Watch
from infracore.errors import Misconfigured
from infracore.secrets import Secret
from infracore.structs import make_ready

__all__ = ["open_shared", "run_worker", "shared_records"]

_GRACE_S = 10.0
"""How long steps that run may take to come to their end once a worker is to stop."""


def shared_records(ctx: Context) -> PostgresServerStore:
    """Return the server's records for a command.

    Raises:
        Misconfigured: the state is not in PostgreSQL.
    """
    return PostgresServerStore(_store(ctx))


@contextmanager
def open_shared(ctx: Context) -> Iterator[tuple[ServerStore, Operations]]:
    """Open what a server records and follows."""
    store = _store(ctx)
    watch = Watch(store.postgres, "serve", ctx.settings.lease_s)
    records = PostgresServerStore(store, process=watch.id, enqueue=Enqueue())
    operations = SharedOperations(records, store.postgres.guard, ctx.clock)
    watch.start(operations.told)
    try:
        yield records, operations
    finally:
        watch.close()


def run_worker(
    plain: Context,
    concurrency: int,
    *,
    ready: Callable[[], None],
    tick: Callable[[], None],
    stopping: Callable[[], None],
) -> bool:
    """Work until SIGTERM or SIGINT; return whether all threads have come to their end by then.

    Raises:
        Misconfigured: the state is not in PostgreSQL.
    """
    store, ctx = _store(plain), serving(plain)
    if not isinstance(ctx.locks, PostgresLocks):
        raise Misconfigured("a worker needs locks that hold on many machines", "this is a defect")
    loader = Loader()
    loader.ready()
    make_ready("im_client", "infracore")
    records = PostgresServerStore(store)
    purse = Purse(ctx.clock, records, open_vault(ctx.settings, records), reaches_operations=False)
    perform = Performer(replace(ctx, locks=ctx.locks.inside()), records, loader, purse)
    watch = Watch(store.postgres, "worker", ctx.settings.lease_s)
    jobs = ThreadPoolExecutor(concurrency, thread_name_prefix="job")
    steps = ThreadPoolExecutor(concurrency, thread_name_prefix="operation")
    worker = Worker(ctx, records, perform, steps)
    watch.start(worker.told)
    queue = Queue(Secret(conninfo_of(store.postgres.url)), ctx.settings.lease_s)

    def stop() -> None:
        stopping()
        worker.stop()

    try:
        ready()
        has_ended = queue.work(
            worker.work_on, jobs, concurrency=concurrency, grace_s=_GRACE_S, stopping=stop, tick=tick
        )
    finally:
        watch.close()
    if has_ended:
        jobs.shutdown()
        steps.shutdown()
    return has_ended


def _store(ctx: Context) -> PostgresStore:
    if not isinstance(ctx.store, PostgresStore):
        raise Misconfigured(
            "the state is in a file of this computer, which has no queue for workers",
            "set database_url (IM_DATABASE_URL) to a PostgreSQL database: docs/howto/scale-out.md",
        )
    return ctx.store
