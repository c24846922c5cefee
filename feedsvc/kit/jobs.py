"""The job engine, behind two functions: `register` a handler, `put` a job.

Jobs only say that there is something to do; what there is to do stands in rows. So a handler may
run twice, and a job that is lost (a killed process beside SQLite, a handler that failed) is
brought back by the sweep that its handler's owner does over those rows. Nothing is retried here.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import Database

Handler = Callable[[dict[str, Any]], Awaitable[None]]

#: Jobs that one process works on at the same time.
CONCURRENCY = 10


class Jobs(Protocol):
    """Hands jobs from transactions to handlers, at least once."""

    def register(self, name: str, handler: Handler) -> None:
        """Say who does the jobs of a name. Before `put`, `run` and `drain`."""
        ...

    async def prepare(self) -> None:
        """Make what the engine needs in the database; may run twice, and in many processes."""
        ...

    async def put(
        self, session: AsyncSession, name: str, payload: dict[str, Any], once: str | None = None
    ) -> None:
        """Put a job into the caller's transaction: it exists when, and only when, that commits.

        Args:
            session: the transaction; the handler starts after its commit and sees what it wrote.
            name: a registered name.
            payload: goes through JSON.
            once: at most one job with this key waits at a time; a second adds nothing. A job
                that is running waits no longer, so nothing put while it runs is overlooked.
                A transaction that puts several keys puts them in the same order as others do.
        """
        ...

    async def run(self) -> None:
        """Work until `stop`, through handlers that fail and databases that go away."""
        ...

    async def drain(self) -> None:
        """Work until nothing waits and nothing of ours runs, then return."""
        ...

    async def stop(self, grace_seconds: float) -> None:
        """Start nothing more; let running handlers finish, and cancel those that take longer."""
        ...


def open_jobs(database: Database) -> Jobs:
    """The engine that belongs to a database: in memory beside SQLite, pgqueuer on PostgreSQL."""
    if database.kind == "sqlite":
        from feedsvc.kit.jobs_memory import MemoryJobs

        return MemoryJobs()
    from feedsvc.kit.jobs_postgresql import PostgresqlJobs

    return PostgresqlJobs(database)
