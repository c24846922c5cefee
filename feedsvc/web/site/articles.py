"""An article's own page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from markupsafe import Markup
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from feedsvc.articles.lookup import article_by_slug
from feedsvc.errors import NotFound
from feedsvc.feeds.catalogue import find_members
from feedsvc.feeds.spec import FeedSpec
from feedsvc.kit.texts import Texts
from feedsvc.model.article import Article, ArticleState, article_address
from feedsvc.web.pages import announced_feeds, feeds_of, reader_language, show_page
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of
from feedsvc.web.site.feed_list import listed_feed

router = APIRouter()

#: Feeds that an article is shown to be in: the main ones are announced beside them.
_MOST_OWN_FEEDS = 6


@dataclass(frozen=True, slots=True)
class ArticlePage:
    """What the page shows of an article. `edited_at` is None when it has not been edited."""

    title: str
    summary: str
    section: str | None
    language: str
    published_at: datetime
    edited_at: datetime | None
    content: Markup
    url: str | None
    enclosures: list[dict[str, Any]]

    @property
    def published_iso(self) -> str:
        """For machines."""
        return self.published_at.isoformat(timespec="seconds")

    @property
    def edited_iso(self) -> str | None:
        """For machines."""
        return self.edited_at.isoformat(timespec="seconds") if self.edited_at else None


@router.api_route("/articles/{slug}", methods=["GET", "HEAD"])
async def show_article(request: Request, slug: str) -> Response:
    """The article; 410 when it has been taken back, 404 when it is not, or not yet, published."""
    services = services_of(request)
    if len(slug) > 200 or "\0" in slug:
        raise HTTPException(404)
    async with services.database.read() as session:
        try:
            article = await article_by_slug(session, slug)
        except NotFound as error:
            raise HTTPException(404) from error
        own = await _find_feeds(request, session, article)
    if article.state is ArticleState.WITHDRAWN:
        # What was taken back is not told again, not even its title.
        return show_page(request, "gone.html", PageKind.ANSWER, status=410)
    texts = Texts(reader_language(request, services.settings))
    return show_page(
        request,
        "article.html",
        PageKind.ARTICLE,
        canonical=article_address(article, services.settings.base_url),
        feeds=announced_feeds(feeds_of(request), own),
        own_feeds=[listed_feed(spec) for spec in own],
        article=_page_of(article),
        authors=texts.join(article.authors),
        zone=services.settings.time_zone,
    )


async def _find_feeds(request: Request, session: AsyncSession, article: Article) -> list[FeedSpec]:
    """The feeds of its section, topics and authors, where there are such."""
    if article.state is not ArticleState.PUBLISHED:
        return []
    values = {
        "section": [article.section] if article.section else [],
        "topic": article.topics[:_MOST_OWN_FEEDS],
        "author": article.authors[:_MOST_OWN_FEEDS],
    }
    return (await find_members(session, feeds_of(request), values))[:_MOST_OWN_FEEDS]


def _page_of(article: Article) -> ArticlePage:
    edited = article.updated_at > article.published_at
    return ArticlePage(
        title=article.title,
        summary=article.summary,
        section=article.section,
        language=article.language,
        published_at=article.published_at,
        edited_at=article.updated_at if edited else None,
        # SECURITY: it has been through the sanitiser when it was stored.
        content=Markup(article.content),
        url=article.url,
        enclosures=article.enclosures,
    )
