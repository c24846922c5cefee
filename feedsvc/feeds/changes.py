"""Which feeds a set of changed articles has to do with: those that admit one, or held one."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import null, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.feed import FeedEntry

_PIECE = 500
#: The field of filters that looks into whole articles.
_TEXT = "text"


class ChangedArticle(NamedTuple):
    """What filters can ask of an article that has changed, and no more."""

    id: int
    #: Publication number; it keeps it when it is withdrawn.
    seq: int | None
    state: ArticleState
    source: str
    section: str | None
    topics: list[str]
    authors: list[str]
    language: str
    title: str
    summary: str
    published_at: datetime
    updated_at: datetime
    image: str | None
    enclosures: list[dict[str, Any]]
    announce: bool
    #: None when it was not loaded.
    content: str | None = None


def asks_for_text(specs: Iterable[FeedSpec]) -> bool:
    """Whether one of the feeds is decided by what stands in whole articles."""
    return any(_TEXT in spec.filter.uses for spec in specs)


def touched_feeds(
    specs: Sequence[FeedSpec],
    changes: Sequence[ChangedArticle],
    holders: Mapping[int, set[str]],
) -> set[str]:
    """Keys of the feeds whose documents may be different because of these changes.

    A feed that looks into whole articles is touched by each that was loaded without its content.

    Args:
        holders: article id -> keys of the feeds whose documents hold it.
    """
    held = {key for one in changes for key in holders.get(one.id, ())}
    published = [one for one in changes if one.state is ArticleState.PUBLISHED]
    unread = any(one.content is None for one in published)
    touched = set()
    for spec in specs:
        is_unsure = unread and _TEXT in spec.filter.uses
        if spec.key in held or is_unsure or any(map(spec.filter.matches, published)):
            touched.add(spec.key)
    return touched


async def load_changed(
    session: AsyncSession, since: int, limit: int, *, with_text: bool = False
) -> list[ChangedArticle]:
    """Articles that readers have seen and that changed after number `since`, in that order.

    Args:
        with_text: load their content too; it is long.
    """
    names = [name for name in ChangedArticle._fields if name != "content"]
    content = col(Article.content) if with_text else null().label("content")
    rows = await session.execute(
        select(*(col(getattr(Article, name)) for name in names), content)
        .where(col(Article.changed) > since, col(Article.seq).is_not(None))
        .order_by(col(Article.changed), col(Article.id))
        .limit(limit)
    )
    return [ChangedArticle._make(row) for row in rows]


async def load_holders(session: AsyncSession, article_ids: Sequence[int]) -> dict[int, set[str]]:
    """Article id -> keys of the feeds whose documents hold it, where there are any."""
    holders: dict[int, set[str]] = {}
    for start in range(0, len(article_ids), _PIECE):
        rows = await session.execute(
            select(col(FeedEntry.article), col(FeedEntry.feed)).where(
                col(FeedEntry.article).in_(article_ids[start : start + _PIECE])
            )
        )
        for article, feed in rows:
            holders.setdefault(article, set()).add(feed)
    return holders
