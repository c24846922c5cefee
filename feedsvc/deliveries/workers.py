"""Workers: who is sending, and who has died.

A worker is a random id per start with a heartbeat in the database, by the database's clock. A
worker that could not beat for half the time after which others call it dead stops by itself, by a
clock that never jumps.
"""

import asyncio
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import (
    ColumnElement,
    DateTime,
    delete,
    func,
    literal_column,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.engine import Database
from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.delivery import Worker

log = structlog.get_logger()

#: Beats in the time after which a worker is called dead.
_BEATS = 4


class OwnWorker:
    """This process's worker row."""

    def __init__(
        self,
        database: Database,
        node: str,
        timeout_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.id = ""
        self.timeout_seconds = timeout_seconds
        self._database, self._node, self._monotonic = database, node, monotonic
        self._beaten_at: float | None = None
        self._lost = False

    @property
    def is_live(self) -> bool:
        """Whether it may claim and mark: nobody can have called it dead yet."""
        if self._lost or self._beaten_at is None:
            return False
        if self._database.kind == "sqlite":
            return True  # the sender lock says who is dead, however slow the disk
        return self._monotonic() - self._beaten_at <= self.timeout_seconds / 2

    async def register(self) -> None:
        """Start under a new id. Raises DatabaseUnavailable."""
        begun, worker = self._monotonic(), uuid.uuid4().hex
        async with self._database.write() as session:
            now = await fetch_database_time(session)
            session.add(Worker(id=worker, node=self._node, started_at=now, heartbeat_at=now))
            await session.flush()
        self.id, self._beaten_at, self._lost = worker, begun, False

    async def beat(self) -> bool:
        """Say that we live; False when others have already buried us. Raises DatabaseUnavailable.

        The age of a beat counts from before it was sent.
        """
        begun = self._monotonic()
        async with self._database.write() as session:
            now = database_time(session)
            beaten: Any = await session.execute(
                update(Worker).where(col(Worker.id) == self.id).values(heartbeat_at=now)
            )
        if beaten.rowcount != 1:
            self._lost = True
            return False
        self._beaten_at = begun
        return True

    async def keep_beating(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(self.timeout_seconds / _BEATS)
            try:
                await self.beat()
            except DatabaseUnavailable as error:
                log.warning("heartbeat failed", worker=self.id, error=str(error))
            except Exception:
                log.exception("heartbeat failed", worker=self.id)

    async def revive(self) -> None:
        """Make sure we are live: beat, or start again under a new id. Raises DatabaseUnavailable.

        Call it with nothing in hand.
        """
        if not self.is_live and not await self.beat():
            log.warning("worker was taken for dead and starts again", worker=self.id)
            await self.register()

    async def remove(self) -> None:
        """Leave. Raises DatabaseUnavailable."""
        async with self._database.write() as session:
            await session.execute(delete(Worker).where(col(Worker.id) == self.id))
        self._beaten_at = None


async def load_dead_workers(
    session: AsyncSession, own: str, timeout_seconds: float | None
) -> list[str]:
    """Ids of dead workers: all but our own where `timeout_seconds` is None (we hold the lock)."""
    query = select(col(Worker.id)).where(col(Worker.id) != own)
    if timeout_seconds is not None:
        query = query.where(
            col(Worker.heartbeat_at) < database_time(session, minus_seconds=timeout_seconds)
        )
    return list((await session.execute(query)).scalars())


def database_time(session: AsyncSession, minus_seconds: float = 0) -> ColumnElement[datetime]:
    """The database's own clock, as an expression that compares with stored instants."""
    if session.get_bind().dialect.name == "sqlite":
        # Three digits from SQLite and three zeros make the six that stored instants have.
        stamp = func.strftime("%Y-%m-%d %H:%M:%f", "now", f"-{minus_seconds:.3f} seconds")
        return type_coerce(stamp.concat("000"), DateTime(timezone=True))
    clock: ColumnElement[datetime] = literal_column("clock_timestamp()")
    return clock - func.make_interval(0, 0, 0, 0, 0, 0, minus_seconds)


async def fetch_database_time(session: AsyncSession) -> datetime:
    """What the database's clock says."""
    kind = session.get_bind().dialect.name
    if kind == "sqlite":
        statement = text("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00'")
        return datetime.fromisoformat((await session.execute(statement)).scalar_one())
    now: datetime = (await session.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return now
