"""What is known of a feed under a name it had before moves to the name it has now.

Versions and dates of its documents go on, its archive pages keep their numbers, and its readers
stay counted. Its identity moves too; see families.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import SQLModel, col

from feedsvc.feeds.registry import FeedRow
from feedsvc.model.feed import (
    Feed,
    FeedArchive,
    FeedClients,
    FeedDocument,
    FeedEntry,
    FeedReader,
)

# In the order in which publications lock them, so that none waits for another in a circle.
_BEFORE_STATES: tuple[type[SQLModel], ...] = (FeedDocument, FeedEntry)
_AFTER_STATES: tuple[type[SQLModel], ...] = (FeedArchive, FeedReader, FeedClients)


class Move(NamedTuple):
    """A feed's old key and its new one; there are rows for both."""

    before: str
    after: str


def plan_moves(formerly: Mapping[str, Sequence[str]], rows: Mapping[str, FeedRow]) -> list[Move]:
    """The moves that are due: of feeds that were published under a name they had before.

    Members of a family go to the member for the same value.

    Args:
        formerly: key of a feed or family -> the names it had before.
        rows: by key.
    """
    after = {old: key for key, names in formerly.items() for old in names}
    members = {(row.family, row.value): row.key for row in rows.values() if row.family is not None}
    moves = []
    for row in rows.values():
        new = after.get(row.key if row.family is None else row.family)
        if new is not None and row.family is not None:
            new = members.get((new, row.value))
        if new is not None and new in rows and row.made_with:
            moves.append(Move(row.key, new))
    order = {old: place for names in formerly.values() for place, old in enumerate(names)}
    return sorted(moves, key=lambda one: (order[one.before.partition("/")[0]], one))


async def move_feeds(session: AsyncSession, moves: Sequence[Move]) -> None:
    """Move what is known of feeds. Where something is known under both keys, the new one's stays.

    May run twice.

    Args:
        session: a write transaction in which nobody else adds rows of feeds.
        moves: of several to one key, the first goes first.
    """
    while moves:
        first = {one.after: one for one in reversed(moves)}
        values = [one._asdict() for one in sorted(first.values())]
        for table in _BEFORE_STATES:
            await _move_rows(session, table, values)
        await _move_states(session, values)
        for table in _AFTER_STATES:
            await _move_rows(session, table, values)
        moves = [one for one in moves if one is not first[one.after]]


async def _move_rows(
    session: AsyncSession, table: type[SQLModel], values: list[dict[str, Any]]
) -> None:
    feed: ColumnElement[str] = table.feed  # type: ignore[attr-defined]
    other: Any = aliased(table)
    is_old = feed == bindparam("before")
    is_there = exists(select(1).where(other.feed == bindparam("after")))
    connection = await session.connection()
    await connection.execute(delete(table).where(is_old, is_there), values)
    await connection.execute(update(table).where(is_old).values(feed=bindparam("after")), values)


async def _move_states(session: AsyncSession, values: list[dict[str, Any]]) -> None:
    """What documents were made from; nothing has been made under the old keys any more."""
    old: Any = aliased(Feed)
    moved = {
        name: select(getattr(old, name)).where(old.key == bindparam("before")).scalar_subquery()
        for name in ("made_with", "basis", "renew_at", "problem")
    }
    is_new = (col(Feed.key) == bindparam("after"), col(Feed.made_with) == "")
    is_old = col(Feed.key) == bindparam("before")
    nothing = {"made_with": "", "basis": 0, "renew_at": None, "problem": None}
    connection = await session.connection()
    await connection.execute(update(Feed).where(*is_new).values(moved), values)
    await connection.execute(update(Feed).where(is_old).values(nothing), values)
