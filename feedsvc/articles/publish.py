"""Gives due articles their publication number (`seq`). Parses, fetches and renders nothing.

`seq` comes from one counter row whose lock is held to the end of the transaction, so that whoever
sees article n sees every article below it. Call it in a transaction of its own.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.article import Article, ArticleState, Counter

SEQ_COUNTER = "seq"
#: Articles that get their number in one transaction at most.
MAX_BATCH = 500


async def publish_due(session: AsyncSession, now: datetime, limit: int = MAX_BATCH) -> list[int]:
    """Publish scheduled articles whose time has come, earliest first.

    Safe to run from several processes at once: each article gets one number, numbers have no
    gaps. Call it again while it returns as many as `limit`.

    Returns:
        Ids of the articles published, in the order of their numbers.
    """
    rows = await session.execute(
        select(col(Article.id))
        .where(
            col(Article.state) == ArticleState.SCHEDULED,
            col(Article.published_at) <= now,
        )
        .order_by(col(Article.published_at), col(Article.id))
        .limit(min(limit, MAX_BATCH))
        # What another publisher or writer holds is left to it: nobody waits here.
        .with_for_update(skip_locked=True)
    )
    ids = [one for one in rows.scalars() if one is not None]
    if ids:
        last = await _take_numbers(session, len(ids))
        await _mark_published(session, ids, first=last - len(ids) + 1)
    return ids


async def next_publication_at(session: AsyncSession) -> datetime | None:
    """When the next scheduled article is due (it may be overdue); None when none is scheduled."""
    found: datetime | None = await session.scalar(
        select(func.min(col(Article.published_at))).where(
            col(Article.state) == ArticleState.SCHEDULED
        )
    )
    return found


async def newest_seq(session: AsyncSession) -> int:
    """The highest publication number given so far; 0 before the first."""
    rows = await session.execute(select(col(Counter.value)).where(col(Counter.name) == SEQ_COUNTER))
    return rows.scalar_one_or_none() or 0


async def _take_numbers(session: AsyncSession, count: int) -> int:
    """Take `count` numbers and return the last; the counter stays locked until the commit."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    await session.execute(
        insert(Counter).values(name=SEQ_COUNTER, value=0).on_conflict_do_nothing()
    )
    last: int | None = await session.scalar(
        update(Counter)
        .where(col(Counter.name) == SEQ_COUNTER)
        .values(value=col(Counter.value) + count)
        .returning(col(Counter.value))
    )
    if last is None:
        raise RuntimeError("the counter of publication numbers has vanished")
    return last


async def _mark_published(session: AsyncSession, ids: Sequence[int], first: int) -> None:
    connection = await session.connection()
    await connection.execute(
        update(Article)
        .where(col(Article.id) == bindparam("article_id"))
        .values(seq=bindparam("number"), state=ArticleState.PUBLISHED),
        [{"article_id": one, "number": number} for number, one in enumerate(ids, first)],
    )
