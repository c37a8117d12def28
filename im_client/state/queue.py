"""The queue of operations, by procrastinate: its only home.

A job is a hint that an operation is to be carried out; what is to be done and how far it has come stands in the store.
Jobs of one infrastructure run one after the other (procrastinate's `lock`). A worker gives signs of life; jobs of one
that is silent go back into the queue, and so does an operation that has lost its job.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import procrastinate
import psycopg
from procrastinate import exceptions, jobs, manager, retry

from im_client.state.server import OperationRecord
from infracore.errors import Transient
from infracore.secrets import Secret

__all__ = ["Enqueue", "GivenBack", "Queue"]

_LOG: Final = logging.getLogger(__name__)
_QUEUE: Final = "im"
_TASK: Final = "perform"
_SWEEP: Final = 0x696D5F7377656570
"""Lock of the one worker that looks after the others (`im_sweep` in ASCII)."""
_POLL_S: Final = 2.0
"""Jobs that come anew are told by the database; those that come back are found by looking."""
_PAUSE_S: Final = 2.0
_WAIT_S: Final = 5.0
"""How long a use waits for a connection."""
_TRIES: Final = 15
_BEATS: Final = 5
_LOST: Final = """
    SELECT id, infrastructure FROM operation o WHERE ended_at IS NULL
    AND created_at < extract(epoch FROM clock_timestamp()) - %(old_s)s::float8
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs j
        WHERE j.status IN ('todo', 'doing') AND j.lock = o.infrastructure AND j.args ->> 'operation' = o.id)
    ORDER BY rowid LIMIT 100"""
_IS_OURS: Final = """
    SELECT count(*) AS n FROM procrastinate_jobs
    WHERE id = %(job)s::bigint AND status = 'doing' AND worker_id = %(worker)s::bigint"""


class GivenBack(Transient):
    """An operation was not ended here and goes back into the queue."""

    code = "given-back"


class Enqueue:
    """Puts operations into the queue. Safe under threads."""

    def __init__(self) -> None:
        self._app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())

    def __call__(self, connection: Any, operation: OperationRecord) -> None:
        """Put one in, inside of the transaction that a connection of psycopg is in."""
        self._app.configure_task(_TASK, queue=_QUEUE, lock=operation.infrastructure, connection=connection).defer(
            operation=operation.id
        )


class _Again(retry.BaseRetryStrategy):
    """Jobs come back that were given back or broken off; anything else is a defect, which is not repeated."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> retry.RetryDecision | None:  # noqa: ARG002
        if not isinstance(exception, GivenBack | asyncio.CancelledError):
            return None
        pause = exception.retry_after_s if isinstance(exception, GivenBack) else None
        return retry.RetryDecision(retry_at=datetime.now(UTC) + timedelta(seconds=pause or 0.0))


class _Own(manager.JobManager):
    """Ends only jobs that are still this worker's: another may have been given them while it was paused."""

    is_ending = False
    """Whether there is no time to wait for the database; the job is found when this worker is silent."""

    async def finish_job(self, job: jobs.Job, status: jobs.Status, delete_job: bool) -> None:
        await self._insist(job, lambda: super(_Own, self).finish_job(job, status, delete_job))

    async def retry_job(self, job: jobs.Job, *args: Any, **words: Any) -> None:
        await self._insist(job, lambda: super(_Own, self).retry_job(job, *args, **words))

    async def _insist(self, job: jobs.Job, write: Callable[[], Awaitable[None]]) -> None:
        """Write, again where the database is away: a job that is never ended would keep its infrastructure locked."""
        for left in reversed(range(_TRIES)):
            try:
                found = await self.connector.execute_query_one_async(_IS_OURS, job=job.id, worker=job.worker_id)
                if found["n"]:
                    await write()
                return
            except exceptions.ConnectorException:
                if left == 0 or self.is_ending:
                    raise
            await asyncio.sleep(_PAUSE_S)


class Queue:
    """A worker's side of the queue."""

    def __init__(self, conninfo: Secret, lease_s: float) -> None:
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)  # what it says is said here, without tracebacks
        self._lease_s = lease_s
        self._connector = procrastinate.PsycopgConnector(
            conninfo=conninfo.reveal(), min_size=1, max_size=4, timeout=_WAIT_S
        )
        self._app = procrastinate.App(connector=self._connector)
        self._own = self._app.job_manager = _Own(self._connector)

    def work(
        self,
        perform: Callable[[str], None],
        pool: Executor,
        *,
        concurrency: int,
        grace_s: float,
        stopping: Callable[[], None],
        tick: Callable[[], None],
    ) -> bool:
        """Call `perform` on the pool for operation after operation, until SIGTERM or SIGINT; return whether all ended.

        `perform` raises `GivenBack` for what is to be done later or elsewhere. `stopping` is called with the signal,
        `tick` about once in a second. Blocks; to be called on the main thread.
        """
        return asyncio.run(
            self._work(perform, pool, concurrency=concurrency, grace_s=grace_s, stopping=stopping, tick=tick)
        )

    async def _work(
        self,
        perform: Callable[[str], None],
        pool: Executor,
        *,
        concurrency: int,
        grace_s: float,
        stopping: Callable[[], None],
        tick: Callable[[], None],
    ) -> bool:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        running: set[asyncio.Future[None]] = set()

        def ended(future: asyncio.Future[None]) -> None:
            running.discard(future)
            error = None if future.cancelled() else future.exception()
            if error is not None and not isinstance(error, GivenBack):
                _LOG.error("an operation was left by a defect of this program", exc_info=error)

        async def run(operation: str) -> None:
            future = loop.run_in_executor(pool, perform, operation)
            running.add(future)
            future.add_done_callback(ended)
            await asyncio.shield(future)  # cancelling this leaves the thread alone

        self._app.task(name=_TASK, queue=_QUEUE, retry=_Again())(run)

        def end() -> None:
            if not stop.is_set():
                self._own.is_ending = True
                stop.set()
                stopping()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        beside = [asyncio.create_task(self._sweep(stop)), asyncio.create_task(_tick(tick, stop))]
        try:
            while not stop.is_set():
                await self._serve(stop, concurrency, grace_s)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _PAUSE_S)
        finally:
            await asyncio.gather(*beside)
        return not running

    async def _serve(self, stop: asyncio.Event, concurrency: int, grace_s: float) -> None:
        """Work until the end, or until the database goes away."""
        try:
            async with self._app.open_async():
                worker = asyncio.create_task(
                    self._app.run_worker_async(
                        queues=[_QUEUE],
                        concurrency=concurrency,
                        fetch_job_polling_interval=min(_POLL_S, self._lease_s),
                        shutdown_graceful_timeout=grace_s,
                        update_heartbeat_interval=self._lease_s / _BEATS,
                        stalled_worker_timeout=self._lease_s,
                        install_signal_handlers=False,
                        delete_jobs="always",
                    )
                )
                ending = asyncio.create_task(stop.wait())
                await asyncio.wait({worker, ending}, return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                worker.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await worker
        except exceptions.ProcrastinateException as error:
            _LOG.warning("the queue cannot be reached: %s; trying again in %g s", _cause(error), _PAUSE_S)

    async def _sweep(self, stop: asyncio.Event) -> None:
        """Give jobs of silent workers, and operations without a job, back; one worker at a time does it."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._lease_s / 3)
            if stop.is_set():
                return
            try:
                await self._sweep_once()
            except (exceptions.AppNotOpen, exceptions.ConnectorException, psycopg.Error):
                continue  # `_serve` says it

    async def _sweep_once(self) -> None:
        async with self._connector.pool.connection() as connection:
            got = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS got", (_SWEEP,))
            row = await got.fetchone()
            if row is None or not row[0]:
                return
            plain = manager.JobManager(self._connector)
            for job in await plain.get_stalled_jobs(queue=_QUEUE, seconds_since_heartbeat=self._lease_s):
                _LOG.warning(
                    "operation %s goes back to the queue: its worker %s was not heard from for %g s",
                    job.task_kwargs.get("operation"),
                    job.worker_id,
                    self._lease_s,
                )
                await plain.retry_job(job)
            for lost in await self._connector.execute_query_all_async(_LOST, old_s=self._lease_s):
                _LOG.warning("operation %s had no job any more, and gets a new one", lost["id"])
                task = self._app.configure_task(_TASK, queue=_QUEUE, lock=lost["infrastructure"])
                await task.defer_async(operation=lost["id"])


async def _tick(tick: Callable[[], None], stop: asyncio.Event) -> None:
    while not stop.is_set():
        tick()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)


def _cause(error: BaseException) -> str:
    said = str(error.__cause__ or error).strip().splitlines()
    return said[0] if said else type(error).__name__
