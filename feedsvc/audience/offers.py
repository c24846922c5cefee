"""What a newsletter has to choose from. Reads only."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from feedsvc.audience.preferences import MAX_TOPICS
from feedsvc.kit.filters import from_selection, parse_filter
from feedsvc.model.article import Article, ArticleLabel, ArticleState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.ports import Selection

#: Topics are offered that articles of so long have.
TOPICS_OF = timedelta(days=90)
_TOPIC = "topic"


async def load_topics(session: AsyncSession, newsletter: Newsletter, now: datetime) -> list[str]:
    """The topics a newsletter offers: those it is configured with, else the most used lately.

    Takes as long as there are articles of these months; nothing to do in a write transaction.
    """
    if configured := _configured(newsletter):
        return configured
    holds = from_selection(_selection(newsletter)) & parse_filter(newsletter.filter)
    label = aliased(ArticleLabel)  # the filter may look for labels of its own
    count = func.count()
    rows = await session.execute(
        select(col(label.value))
        .join(Article, col(Article.seq) == col(label.seq))
        .where(
            col(label.kind) == _TOPIC,
            col(Article.state) == ArticleState.PUBLISHED,
            col(Article.published_at) > now - TOPICS_OF,
            *holds.to_sql(session.get_bind().dialect.name),
        )
        .group_by(col(label.value))
        .order_by(count.desc(), col(label.value))
        .limit(MAX_TOPICS)
    )
    return [row[0] for row in rows.all()]


async def load_known_topics(
    session: AsyncSession, newsletter: Newsletter, wanted: Collection[str]
) -> set[str]:
    """Those of some topics that can be chosen: any that an article has, or is configured."""
    if configured := _configured(newsletter):
        return {*configured} & {*wanted}
    rows = await session.execute(
        select(col(ArticleLabel.value))
        .where(col(ArticleLabel.kind) == _TOPIC, col(ArticleLabel.value).in_(wanted))
        .distinct()
    )
    return {row[0] for row in rows.all()}


async def load_schedules(session: AsyncSession, newsletter_id: int) -> dict[str, Schedule]:
    """The schedules of a newsletter that can be chosen, by key."""
    rows = await session.execute(
        select(Schedule)
        .where(col(Schedule.newsletter_id) == newsletter_id, col(Schedule.retired).is_(False))
        .order_by(col(Schedule.id))
    )
    return {one.key: one for one in rows.scalars()}


def _configured(newsletter: Newsletter) -> list[str]:
    return sorted(newsletter.selection.get("topics", ()))


def _selection(newsletter: Newsletter) -> Selection:
    stored = newsletter.selection
    return Selection(**{name: frozenset(values) for name, values in stored.items()})
