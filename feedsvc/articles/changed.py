"""A number that moves whenever what readers may see of articles has changed.

Feeds note which number they were made from. One that is behind is made again, however the
process that should have done it ended; and an older making never overwrites a newer one. Each
article notes the number of its own last change, so that what a feed lacks can be asked for.
"""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.articles.labels import save_labels
from feedsvc.model.article import Article, Counter

_COUNTER = "article changes"
#: Values bound in one statement at most.
_PIECE = 500
_Value = TypeVar("_Value", int, str)


async def mark_changed(session: AsyncSession, ids: Sequence[int]) -> None:
    """Move the number, and note it in these articles.

    The last statements of a transaction that changed articles: the counter stays locked until
    the commit, so whoever sees number n sees every article that bears n or less.
    """
    await _stamp(session, await _take_number(session), [col(Article.id).in_(p) for p in _cut(ids)])


async def mark_items_changed(
    session: AsyncSession, source: str, keys: Sequence[str], ids: Sequence[int] = ()
) -> None:
    """Move the number, and note it in a source's articles with these keys, and in these others.

    Args:
        ids: articles that may have left their keys to others by now.
    """
    named = [
        (col(Article.source) == source) & col(Article.source_key).in_(piece) for piece in _cut(keys)
    ]
    known = [col(Article.id).in_(piece) for piece in _cut(ids)]
    await _stamp(session, await _take_number(session), [*named, *known])


async def load_change(session: AsyncSession) -> int:
    """The number. Read it before the articles: they are then at least as new as it says."""
    value = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == _COUNTER))
    return value or 0


async def _take_number(session: AsyncSession) -> int:
    bump = (
        update(Counter)
        .where(col(Counter.name) == _COUNTER)
        .values(value=Counter.value + 1)
        .returning(col(Counter.value))
    )
    number = await session.scalar(bump)
    if number is None:
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        first = insert(Counter).values(name=_COUNTER, value=0).on_conflict_do_nothing()
        await session.execute(first)
        number = (await session.execute(bump)).scalar_one()
    return int(number)


async def _stamp(
    session: AsyncSession, number: int, conditions: Sequence[ColumnElement[bool]]
) -> None:
    for condition in conditions:
        await session.execute(
            update(Article)
            .where(condition, col(Article.changed) < number)
            .values(changed=number)
            .execution_options(synchronize_session=False)
        )
        await save_labels(session, condition)


def _cut(values: Sequence[_Value]) -> list[Sequence[_Value]]:
    return [values[start : start + _PIECE] for start in range(0, len(values), _PIECE)]
