"""The rows of readers: numbers of hosted readers and bitmaps of clients, by feed and day.

Several nodes count the same feeds: bitmaps are merged under the lock of their row, and of two
numbers of one hosted reader the later stays.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, case, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from feedsvc.db.engine import after_commit
from feedsvc.feeds.readers.counts import (
    FeedDay,
    Gathered,
    ReaderCounts,
    ReaderTotals,
    add_up,
    count_clients,
    merge_bitmaps,
    pack_bits,
    rolling_days,
)
from feedsvc.model.feed import FeedClients, FeedReader

#: How long numbers are kept.
KEPT = timedelta(days=30)
_PIECE = 500


@dataclass(frozen=True, slots=True)
class ReaderDay:
    """Who read a feed on one day (UTC): nothing is carried over from other days."""

    day: str
    hosted: int
    individuals: int


async def save_counts(session: AsyncSession, counts: ReaderCounts, now: datetime) -> None:
    """Count what has been noted since the last time, and store it. Once a minute is often enough.

    What is stored already is not written again; what a failed transaction lost, the next one has.

    Args:
        session: a write transaction. Call `counts.gather(now)` before it is opened: then no lock
            is held while thousands of requests are counted.
    """
    await counts.gather(now)
    taken = counts.take()
    await _save_hosted(session, taken)
    await _save_bits(session, taken)
    after_commit(session, lambda: counts.keep(taken))


async def _save_hosted(session: AsyncSession, taken: Gathered) -> None:
    rows = [
        {"feed": feed, "day": day, "agent": agent, "subscribers": subscribers}
        for (feed, day), agents in sorted(taken.hosted.items())
        for agent, subscribers in sorted(agents.items())
    ]
    if rows:
        statement = _insert(session, FeedReader)
        new, old = statement.excluded.subscribers, col(FeedReader.subscribers)
        # As ReaderCounts does it: with an id the last number, without one the largest of the day.
        number = case((statement.excluded.agent.contains("#"), new), (new > old, new), else_=old)
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["feed", "day", "agent"], set_={"subscribers": number}
            ),
            rows,
        )


async def _save_bits(session: AsyncSession, taken: Gathered) -> None:
    days = sorted(taken.bits)
    for start in range(0, len(days), _PIECE):
        await _merge_bits(session, {one: taken.bits[one] for one in days[start : start + _PIECE]})


async def _merge_bits(session: AsyncSession, bits: dict[FeedDay, set[int]]) -> None:
    table = FeedClients
    fresh = [
        {"feed": feed, "day": day, "bitmap": pack_bits(found)}
        for (feed, day), found in bits.items()
    ]
    await session.execute(_insert(session, FeedClients).on_conflict_do_nothing(), fresh)
    # In the order of the keys, as all nodes do it, so that none waits for another in a circle.
    locked = (
        select(col(table.feed), col(table.day), col(table.bitmap))
        .where(tuple_(col(table.feed), col(table.day)).in_(list(bits)))
        .order_by(col(table.feed), col(table.day))
        .with_for_update()
    )
    merged = []
    for feed, day, stored in (await session.execute(locked)).all():
        bitmap = merge_bitmaps([stored, pack_bits(bits[feed, day])])
        if bitmap != stored:
            merged.append({"of_feed": feed, "of_day": day, "to": bitmap})
    if merged:
        here = (col(table.feed) == bindparam("of_feed"), col(table.day) == bindparam("of_day"))
        statement = update(FeedClients).where(*here).values(bitmap=bindparam("to"))
        connection = await session.connection()  # the ORM would look for primary keys by name
        await connection.execute(statement, merged)


def _insert(session: AsyncSession, table: type[SQLModel]) -> "sqlite.Insert | postgresql.Insert":
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


async def load_counts(
    session: AsyncSession, now: datetime, feeds: Collection[str] | None = None
) -> dict[str, ReaderTotals]:
    """How many read each feed, by the last seven days (UTC); feeds that nobody reads are not there.

    Args:
        feeds: only these; None: all.
    """
    days = rolling_days(now)
    numbers: dict[str, list[tuple[str, str, int]]] = {}
    bitmaps: dict[str, list[bytes]] = {}
    for wanted in _pieces(feeds):
        reader, clients = FeedReader, FeedClients
        hosted = select(
            col(reader.feed), col(reader.day), col(reader.agent), col(reader.subscribers)
        ).where(col(reader.day).in_(days))
        sketched = select(col(clients.feed), col(clients.bitmap)).where(col(clients.day).in_(days))
        if wanted is not None:
            hosted = hosted.where(col(reader.feed).in_(wanted))
            sketched = sketched.where(col(clients.feed).in_(wanted))
        for feed, day, agent, subscribers in await session.execute(hosted):
            numbers.setdefault(feed, []).append((day, agent, subscribers))
        for feed, bitmap in await session.execute(sketched):
            bitmaps.setdefault(feed, []).append(bitmap)
    return {
        feed: add_up(numbers.get(feed, ()), bitmaps.get(feed, ()))
        for feed in sorted(numbers.keys() | bitmaps.keys())
    }


def _pieces(feeds: Collection[str] | None) -> Iterable[list[str] | None]:
    if feeds is None:
        return [None]
    wanted = sorted(set(feeds))
    return [wanted[start : start + _PIECE] for start in range(0, len(wanted), _PIECE)]


async def load_reader_days(session: AsyncSession, feed: str, now: datetime) -> list[ReaderDay]:
    """Who read a feed on each day that is kept, the oldest first, days without anybody included."""
    today = now.astimezone(UTC).date()
    days = [(today - timedelta(days=back)).isoformat() for back in reversed(range(KEPT.days))]
    reader, clients = FeedReader, FeedClients
    hosted = dict.fromkeys(days, 0)
    individuals = dict.fromkeys(days, 0)
    numbers = select(col(reader.day), col(reader.subscribers)).where(
        col(reader.feed) == feed, col(reader.day) >= days[0]
    )
    for day, subscribers in await session.execute(numbers):
        hosted[day] = hosted.get(day, 0) + subscribers
    sketches = select(col(clients.day), col(clients.bitmap)).where(
        col(clients.feed) == feed, col(clients.day) >= days[0]
    )
    for day, bitmap in await session.execute(sketches):
        individuals[day] = count_clients([bitmap])
    return [ReaderDay(day, hosted[day], individuals[day]) for day in days]


async def prune_readers(session: AsyncSession, before: datetime) -> int:
    """Delete what was counted on days before this instant's; how many rows went."""
    day = before.astimezone(UTC).date().isoformat()
    gone = 0
    for statement in (
        delete(FeedReader).where(col(FeedReader.day) < day),
        delete(FeedClients).where(col(FeedClients.day) < day),
    ):
        result = await session.execute(statement)
        assert isinstance(result, CursorResult)
        gone += result.rowcount
    return gone
