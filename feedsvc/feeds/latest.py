"""What is in a feed at present, for people: its newest entries, and how often new ones come."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import FeedEntry

#: How far back it is looked how often new articles come.
PACE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Latest:
    """An entry of a feed, as a page lists it."""

    slug: str
    title: str
    summary: str
    section: str | None
    language: str
    published_at: datetime

    @property
    def published_iso(self) -> str:
        """For machines."""
        return self.published_at.isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often new articles have come into a feed, as far as its entries tell."""

    #: Articles published within the last `days`, or since `since` where the feed holds no more.
    count: int
    days: int
    since: datetime | None
    newest_at: datetime | None


async def load_latest(session: AsyncSession, key: str, limit: int) -> list[Latest]:
    """The newest entries of a feed's documents."""
    query = (
        select(
            col(Article.slug),
            col(Article.title),
            col(Article.summary),
            col(Article.section),
            col(Article.language),
            col(Article.published_at),
        )
        .join(FeedEntry, col(FeedEntry.article) == col(Article.id))
        .where(col(FeedEntry.feed) == key, col(Article.state) == ArticleState.PUBLISHED)
        .order_by(col(Article.published_at).desc(), col(Article.seq).desc())
        .limit(limit)
    )
    return [Latest(*row) for row in await session.execute(query)]


async def load_pace(session: AsyncSession, spec: FeedSpec, now: datetime) -> Pace:
    """How often new articles come, by the last thirty days or what the feed holds of them."""
    entry = (
        select(func.count(), func.min(col(Article.published_at)), func.max(Article.published_at))
        .join(FeedEntry, col(FeedEntry.article) == col(Article.id))
        .where(col(FeedEntry.feed) == spec.key, col(Article.state) == ArticleState.PUBLISHED)
    )
    held, oldest_at, newest_at = (await session.execute(entry)).one()
    days = PACE_DAYS
    if spec.window.max_age is not None:
        days = min(days, spec.window.max_age.days)
    begun_at = now - timedelta(days=days)
    if (oldest_at is not None and oldest_at > begun_at and held >= spec.window.count) or not days:
        return Pace(held, days, oldest_at, newest_at)
    recent = entry.where(col(Article.published_at) > begun_at)
    return Pace((await session.execute(recent)).one()[0], days, None, newest_at)
