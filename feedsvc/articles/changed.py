"""A number that moves whenever what readers may see of articles has changed.

Feeds note which number they were made from. One that is behind is made again, however the
process that should have done it ended; and an older making never overwrites a newer one.
"""

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.article import Counter

_COUNTER = "article changes"


async def mark_changed(session: AsyncSession) -> None:
    """Move the number; the last statement of a transaction that changed articles."""
    bump = update(Counter).where(col(Counter.name) == _COUNTER).values(value=Counter.value + 1)
    if (await session.execute(bump.returning(col(Counter.value)))).first() is not None:
        return
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    await session.execute(insert(Counter).values(name=_COUNTER, value=0).on_conflict_do_nothing())
    await session.execute(bump)


async def load_change(session: AsyncSession) -> int:
    """The number. Read it before the articles: they are then at least as new as it says."""
    value = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == _COUNTER))
    return value or 0
