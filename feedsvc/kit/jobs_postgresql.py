"""Jobs in PostgreSQL, by pgqueuer: any node does them, and those of a dead node are taken over.

A handler must not block the event loop: a node whose heartbeat stops is thought dead, and its
jobs are started on another node too.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import structlog
from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager
from pgqueuer.types import QueueExecutionMode
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import Database
from feedsvc.errors import FeedsvcError
from feedsvc.kit.jobs import CONCURRENCY, Handler

log = structlog.get_logger()

#: A node that has given no sign of life for so long is dead.
_HEARTBEAT_TIMEOUT = timedelta(seconds=10)
#: Behind LISTEN/NOTIFY: how often a node looks for jobs it was not told of.
_POLL = timedelta(seconds=5)
#: Between two tries to reach a database that went away.
_RECONNECT_SECONDS = 1.0
#: Nodes that start together make the tables one after the other.
_PREPARE_LOCK = 815001
#: The queue keeps a log of every job and never prunes it.
_PRUNE_SECONDS = 3600.0
_KEEP_LOG_DAYS = 7


class PostgresqlJobs:
    """See `feedsvc.kit.jobs.Jobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._handlers: dict[str, Handler] = {}
        self._stopping = asyncio.Event()
        self._manager: QueueManager | None = None
        self._work_task: asyncio.Task[None] | None = None

    def register(self, name: str, handler: Handler) -> None:
        """Say who does the jobs of a name."""
        self._handlers[name] = handler

    async def prepare(self) -> None:
        """Make or upgrade pgqueuer's tables."""
        async with self._connection() as connection:
            queries = Queries(AsyncpgDriver(connection))
            await queries.driver.execute("SELECT pg_advisory_lock($1)", _PREPARE_LOCK)
            # The lock goes with the connection, whatever happens.
            if await queries.schema_is_installed():
                await queries.upgrade()
            else:
                await queries.install()

    async def put(
        self, session: AsyncSession, name: str, payload: dict[str, Any], once: str | None = None
    ) -> None:
        """Enqueue within the session's transaction."""
        if name not in self._handlers:
            raise ValueError(f"no handler is registered for jobs named {name!r}")
        body = json.dumps(payload).encode()
        # QUIRK: SQLAlchemy opens the transaction with its own first statement. pgqueuer speaks to
        # the connection below it, so without one the job would be there before the commit.
        await session.execute(text("SELECT 1"))
        connection = await session.connection()
        raw = (await connection.get_raw_connection()).driver_connection
        queries = Queries(AsyncpgDriver(raw))
        if once is None:
            await queries.enqueue(name, body)
            return
        while not await self._join_waiting(session, queries, once):
            # None: another transaction's job took the key since we looked; look again.
            if (await queries.enqueue(name, body, dedupe_key=once, on_conflict="skip"))[0]:
                return

    async def _join_waiting(self, session: AsyncSession, queries: Queries, once: str) -> bool:
        """Whether a job with this key waits; if so it goes on waiting until we have committed.

        Without the row lock it could start, and end, before what we wrote can be seen.
        """
        table = queries.qbe.settings.qualified.queue_table
        found = await session.execute(
            text(f"SELECT id FROM {table} WHERE dedupe_key = :once FOR SHARE"),  # noqa: S608
            {"once": once},
        )
        return found.first() is not None

    async def run(self) -> None:
        """Work until `stop`; a database that goes away is waited for."""
        pruning = asyncio.create_task(self._prune_now_and_then())
        try:
            while not self._stopping.is_set():
                try:
                    await self._work(QueueExecutionMode.continuous)
                except Exception as error:
                    log.warning("job queue interrupted", reason=str(error) or repr(error))
                    await self._pause(_RECONNECT_SECONDS)
        finally:
            pruning.cancel()
            await asyncio.gather(pruning, return_exceptions=True)

    async def drain(self) -> None:
        """Work until nothing waits and nothing of ours runs."""
        if not self._stopping.is_set():
            await self._work(QueueExecutionMode.drain)

    async def stop(self, grace_seconds: float) -> None:
        """Let running handlers finish within the grace, cancel the others."""
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()
        if self._work_task is not None:
            await asyncio.wait({self._work_task}, timeout=grace_seconds)
            self._work_task.cancel()
            await asyncio.gather(self._work_task, return_exceptions=True)

    async def _work(self, mode: QueueExecutionMode) -> None:
        """One life of a connection to the queue."""
        self._work_task = asyncio.create_task(self._manage(mode))
        try:
            await asyncio.wait({self._work_task})
            if not self._work_task.cancelled():
                self._work_task.result()
        finally:
            self._work_task.cancel()
            await asyncio.gather(self._work_task, return_exceptions=True)

    async def _manage(self, mode: QueueExecutionMode) -> None:
        async with self._connection() as connection:
            queries = Queries(AsyncpgDriver(connection))
            manager = self._manager = QueueManager(queries)
            # A dead connection is noticed at once, not at the next poll.
            connection.add_termination_listener(lambda _connection: manager.shutdown.set())
            if self._stopping.is_set():
                return
            for name, handler in self._handlers.items():
                # A held job shows the operator what failed; no key is held with it.
                manager.entrypoint(name, on_failure="hold", accepts_context=False)(
                    self._entrypoint(name, handler, queries.qbe.settings.qualified.queue_table)
                )
            await manager.run(
                dequeue_timeout=_POLL,
                batch_size=CONCURRENCY // 2,
                mode=mode,
                max_concurrent_tasks=CONCURRENCY,
                shutdown_on_listener_failure=True,
                heartbeat_timeout=_HEARTBEAT_TIMEOUT,
            )

    def _entrypoint(self, name: str, handler: Handler, table: str) -> Any:
        release = text(f"UPDATE {table} SET dedupe_key = NULL WHERE id = :id")  # noqa: S608

        async def do(job: Job) -> None:
            try:
                # From here on the job waits no longer: what is put now gets a job of its own. Who
                # joined this one holds its row, so this also waits for their commits.
                async with self._database.write() as session:
                    await session.execute(release, {"id": job.id})
                await handler(json.loads(job.payload or b"{}"))
            except FeedsvcError as error:
                log.error("job failed", job=name, reason=str(error))
                raise
            except Exception:
                log.exception("job failed", job=name)
                raise

        return do

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """An asyncpg connection of our own, outside any transaction; closed afterwards."""
        async with self._database.engine.connect() as connection:
            try:
                yield (await connection.get_raw_connection()).driver_connection
            finally:
                # It listens, and may hold an advisory lock: nobody else gets it.
                await connection.invalidate()

    async def _prune_now_and_then(self) -> None:
        while True:
            try:
                await self.prune()
            except Exception as error:
                log.warning("job log not pruned", reason=str(error))
            await asyncio.sleep(_PRUNE_SECONDS)

    async def prune(self) -> None:
        """Drop what the queue remembers of jobs that ended, or failed, more than a week ago."""
        async with self._connection() as connection:
            queries = Queries(AsyncpgDriver(connection))
            names = queries.qbe.settings.qualified
            age = timedelta(days=_KEEP_LOG_DAYS)
            for table, which in (
                (names.queue_table_log, ""),
                (names.statistics_table, ""),
                (names.queue_table, "AND status = 'failed'"),
            ):
                await queries.driver.execute(
                    f"DELETE FROM {table} WHERE created < now() - $1::interval {which}",  # noqa: S608
                    age,
                )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
