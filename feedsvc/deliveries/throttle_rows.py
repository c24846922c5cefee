"""The rows of limits and lessons: read to be changed, written, pruned.

On PostgreSQL one lock stands for all of them until the transaction ends. They are few, and wanted
many at a time and several times in a transaction: with locks of their own, two nodes would wait
for each other. On SQLite a write transaction is alone anyway.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.deliveries.lessons import Lesson
from feedsvc.deliveries.throttle import refill
from feedsvc.model.throttle import Throttle, ThrottleKind

#: Kind, name, and seconds of the period; 0 stands for what has been learnt.
RowKey = tuple[ThrottleKind, str, int]
#: The period of lessons.
LESSON = 0

_LOCK = 815002
_PIECE = 500
#: How long after its period a bucket is surely full again.
_SURELY_FULL = timedelta(hours=1)
_TABLE: Any = Throttle.__table__  # type: ignore[attr-defined]
_KEY = ("kind", "name", "period_seconds")
_TOKENS = ("tokens", "refilled_at")
_LEARNT = ("learnt_per_second", "clean_since", "rests_until", "rests", "reason")


@dataclass(slots=True)
class StoredThrottle:
    """A row."""

    tokens: float
    refilled_at: datetime
    #: None in the row of a limit.
    lesson: Lesson | None = None
    #: What it holds is no longer what is stored, though nothing was taken.
    must_be_written: bool = False

    def refill(self, burst: float, per_second: float, now: datetime) -> None:
        """Bring the tokens up to now."""
        before = self.refilled_at
        self.tokens, self.refilled_at = refill(self.tokens, before, burst, per_second, now)
        self.must_be_written |= self.refilled_at < before


async def read_for_writing(
    session: AsyncSession, keys: Collection[RowKey]
) -> dict[RowKey, StoredThrottle]:
    """Those of the rows that are there; nobody else changes any until the transaction ends."""
    await _lock(session)
    found: dict[RowKey, StoredThrottle] = {}
    connection = await session.connection()
    for piece in _pieces(sorted({(kind, name) for kind, name, _ in keys})):
        for row in await connection.execute(select(_TABLE).where(or_(*_named(piece)))):
            key = (row.kind, row.name, row.period_seconds)
            if key in keys:
                found[key] = _stored(row)
    return found


async def _lock(session: AsyncSession) -> None:
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def _pieces(
    names: Sequence[tuple[ThrottleKind, str]],
) -> Iterator[Sequence[tuple[ThrottleKind, str]]]:
    for start in range(0, len(names), _PIECE):
        yield names[start : start + _PIECE]


def _named(piece: Sequence[tuple[ThrottleKind, str]]) -> Iterator[ColumnElement[bool]]:
    for kind in ThrottleKind:
        names = [name for its_kind, name in piece if its_kind is kind]
        if names:
            yield and_(col(Throttle.kind) == kind, col(Throttle.name).in_(names))


async def read_all(
    session: AsyncSession, *, lessons_only: bool = False
) -> list[tuple[RowKey, StoredThrottle]]:
    """All rows, or those of lessons, by kind and name; not to be written."""
    query = select(_TABLE).order_by(*(_TABLE.c[name] for name in _KEY))
    if lessons_only:
        query = query.where(_TABLE.c.period_seconds == LESSON)
    rows = await (await session.connection()).execute(query)
    return [((row.kind, row.name, row.period_seconds), _stored(row)) for row in rows]


def _stored(row: Any) -> StoredThrottle:
    lesson = None
    if row.period_seconds == LESSON:
        lesson = Lesson(noted_at=row.refilled_at, **{name: getattr(row, name) for name in _LEARNT})
    return StoredThrottle(row.tokens, row.refilled_at, lesson)


async def write_rows(session: AsyncSession, rows: Mapping[RowKey, StoredThrottle]) -> None:
    """Write rows, there or not, after `read_for_writing` in the same transaction."""
    if not rows:
        return
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(_TABLE)
    limits, lessons = [], []
    for key, row in rows.items():
        values = dict(zip(_KEY, key, strict=True))
        values |= {"tokens": row.tokens, "refilled_at": row.refilled_at}
        if row.lesson is None:
            limits.append(values | {"rests": 0})
        else:
            lessons.append(values | {name: getattr(row.lesson, name) for name in _LEARNT})
    connection = await session.connection()
    for columns, changes in ((_TOKENS, limits), ((*_TOKENS, *_LEARNT), lessons)):
        if changes:
            put = insert.on_conflict_do_update(
                index_elements=_KEY, set_={name: insert.excluded[name] for name in columns}
            )
            await connection.execute(put, changes)


async def prune(session: AsyncSession, now: datetime) -> int:
    """Delete the rows that say nothing any more: full buckets, and lessons that are over.

    Returns:
        How many went.
    """
    row = _TABLE.c
    full = [
        and_(
            row.period_seconds == period,
            row.refilled_at < now - timedelta(seconds=period) - _SURELY_FULL,
        )
        for period in (1, 60, 3600, 86400)
    ]
    over = and_(
        row.period_seconds == LESSON,
        *(or_(at.is_(None), at < now - _SURELY_FULL) for at in (row.rests_until, row.clean_since)),
    )
    await _lock(session)
    deleted = await (await session.connection()).execute(delete(_TABLE).where(or_(*full, over)))
    return deleted.rowcount
