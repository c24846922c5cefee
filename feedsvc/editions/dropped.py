"""Articles that a newsletter's operator keeps out of all its editions to come."""

from datetime import datetime

from sqlalchemy import CursorResult, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.newsletter import DroppedArticle


async def keep_out(
    session: AsyncSession, newsletter_id: int, article_id: int, by: str, now: datetime
) -> bool:
    """Have no edition of a newsletter hold an article from now on; False when it was so already."""
    make = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    result = await session.execute(
        make(DroppedArticle)
        .values(newsletter_id=newsletter_id, article_id=article_id, at=now, by=by)
        .on_conflict_do_nothing()
    )
    assert isinstance(result, CursorResult)
    return result.rowcount > 0


async def let_in(session: AsyncSession, newsletter_id: int, article_id: int) -> bool:
    """Have editions hold an article again, for readers whose window is still open; whether any
    would not have.
    """
    result = await session.execute(
        delete(DroppedArticle).where(
            col(DroppedArticle.newsletter_id) == newsletter_id,
            col(DroppedArticle.article_id) == article_id,
        )
    )
    assert isinstance(result, CursorResult)
    return result.rowcount > 0
