"""The rows of feeds: one for each key ever published, and how far families have been looked for.

Rows are never taken away: a key keeps its meaning and a feed its identity.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import Select, Text, cast, func, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.kit.filters import Filter
from feedsvc.kit.filters.fields import ARTICLE_FIELDS, FieldKind
from feedsvc.model.article import Article, ArticleState, Counter
from feedsvc.model.feed import Feed, FeedFormat, document_url

#: https://podcasting2.org/docs/podcast-namespace/tags/guid
_PODCASTS = UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6")
_PIECE = 500
_LOCK = "feeds"


class FeedRow(NamedTuple):
    """What stays the same about a feed."""

    key: str
    family: str | None
    value: str | None
    guid: str
    #: As Feed.made_with: empty while nothing is published under the key.
    made_with: str = ""


def podcast_guid(url: str) -> UUID:
    """The identity of a podcast by the address it is first published at (`podcast:guid`)."""
    return uuid5(_PODCASTS, url.partition("://")[2].rstrip("/"))


def mint_guid(base_url: str, key: str) -> str:
    """The identity of a feed that has none yet."""
    return str(podcast_guid(document_url(base_url, key, FeedFormat.RSS)))


async def load_rows(session: AsyncSession) -> dict[str, FeedRow]:
    """All rows, by key."""
    rows = await session.execute(select(*(col(getattr(Feed, one)) for one in FeedRow._fields)))
    return {row.key: FeedRow._make(row) for row in rows}


async def lock_rows(session: AsyncSession) -> None:
    """Have nobody else add rows before the end of the transaction: keys are given one by one."""
    await _set_counter(session, _LOCK, 0)


async def add_rows(session: AsyncSession, rows: Sequence[FeedRow], now: datetime) -> None:
    """Add rows; one whose key is there already is left as it is."""
    insert = _insert(session)
    for start in range(0, len(rows), _PIECE):
        values = [
            {**row._asdict(), "basis": 0, "created_at": now} for row in rows[start : start + _PIECE]
        ]
        await session.execute(insert(Feed).values(values).on_conflict_do_nothing())


async def newest_change(session: AsyncSession) -> int:
    """The highest number of a change that an article bears; -1 while there are no articles."""
    newest = await session.scalar(select(func.max(col(Article.changed))))
    return -1 if newest is None else newest


async def load_looked(session: AsyncSession, marks: Collection[str]) -> dict[str, int]:
    """Mark of a family -> number of the change up to which its values have been looked for."""
    rows = await session.execute(
        select(col(Counter.name), col(Counter.value)).where(col(Counter.name).in_(sorted(marks)))
    )
    return dict(rows.all())


async def save_looked(session: AsyncSession, mark: str, change: int) -> None:
    """Note how far values have been looked for."""
    await _set_counter(session, mark, change)


async def find_values(
    session: AsyncSession, name: str, admitted: Filter, since: int, limit: int
) -> list[str]:
    """Values of a field among published articles, that of the first published article first.

    Args:
        name: of a field of filters on articles.
        admitted: which articles are looked at.
        since: articles whose last change has this number or a lower one are not looked at.
    """
    dialect = session.get_bind().dialect.name
    field = ARTICLE_FIELDS[name]
    query: Select[Any]
    if field.kind is FieldKind.TEXTS:
        listed = func.json_each if dialect == "sqlite" else func.jsonb_array_elements_text
        elements = listed(field.column).table_valued("value")
        value = elements.c.value
        query = select(value).select_from(Article).join(elements, true())
    else:
        value = field.column
        query = select(value).where(value.is_not(None))
    rows = await session.execute(
        query.where(
            # QUIRK: SQLite prefers any index on a column that must be equal to something, and would
            # go through all published articles to find the one that has changed.
            cast(col(Article.state), Text) == ArticleState.PUBLISHED.value,
            col(Article.changed) > since,
            *admitted.to_sql(dialect),
        )
        .group_by(value)
        .order_by(func.min(col(Article.seq)), value)
        .limit(limit)
    )
    return list(rows.scalars())


async def _set_counter(session: AsyncSession, name: str, value: int) -> None:
    statement = _insert(session)(Counter).values(name=name, value=value)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[col(Counter.name)], set_={"value": statement.excluded.value}
        )
    )


def _insert(session: AsyncSession) -> Callable[[Any], Any]:
    return sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
