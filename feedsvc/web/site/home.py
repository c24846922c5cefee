"""The front page: what is new, by section if wanted, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col
from starlette.responses import Response

from feedsvc.config import Settings
from feedsvc.feeds.catalogue import find_members
from feedsvc.feeds.configured import ConfiguredFeeds
from feedsvc.feeds.spec import FeedSpec
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.columns import MAX_ID
from feedsvc.web.pages import announced_feeds, feeds_of, show_page
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of

router = APIRouter()

PAGE_SIZE = 20
#: Sections are those of so many newest articles; asking all of them would take too long.
_SECTIONS_OF = 500
_MAX_SECTIONS = 12


@dataclass(frozen=True, slots=True)
class ArticleLine:
    """An article in a list."""

    seq: int
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


@router.api_route("/", methods=["GET", "HEAD"])
async def show_home(
    request: Request,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    section: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f]*$")] = None,
) -> Response:
    """The newest articles; those with a lower number than `before`, of one section."""
    services, configured = services_of(request), feeds_of(request)
    own: list[FeedSpec] = []
    async with services.database.read() as session:
        lines = await _load_lines(session, before, section)
        sections = await _load_sections(session)
        if section:
            own = _made_for(section, services.settings, configured)
            own += await find_members(session, configured, {"section": [section]})
    more = len(lines) > PAGE_SIZE
    lines = lines[:PAGE_SIZE]
    return show_page(
        request,
        "home.html",
        PageKind.PUBLIC,
        canonical=f"{services.settings.base_url}/" if before is None and section is None else None,
        feeds=announced_feeds(configured, own),
        section_feed=f"/feeds/{own[0].key}" if own else None,
        articles=lines,
        sections=sections,
        section=section,
        before=before,
        older=lines[-1].seq if more else None,
        zone=services.settings.time_zone,
    )


def _made_for(section: str, settings: Settings, configured: ConfiguredFeeds) -> list[FeedSpec]:
    """Feeds of the configuration that hold this section, all of it and nothing else."""
    found = []
    for spec in configured.specs:
        feed = settings.feeds[spec.key]
        narrowed = (
            *(feed.sources, feed.topics, feed.authors, feed.languages),
            *(feed.filter, feed.newsletter),
        )
        if feed.sections == [section] and not any(narrowed):
            found.append(spec)
    return found


async def _load_lines(
    session: AsyncSession, before: int | None, section: str | None
) -> Sequence[ArticleLine]:
    """One more than a page holds, so that it shows whether there is another."""
    query = (
        select(
            col(Article.seq),
            col(Article.slug),
            col(Article.title),
            col(Article.summary),
            col(Article.section),
            col(Article.language),
            col(Article.published_at),
        )
        .where(col(Article.state) == ArticleState.PUBLISHED)
        .order_by(col(Article.seq).desc())
        .limit(PAGE_SIZE + 1)
    )
    if before is not None:
        query = query.where(col(Article.seq) < before)
    if section:
        query = query.where(col(Article.section) == section)
    rows = (await session.execute(query)).all()
    return [ArticleLine(row[0] or 0, *row[1:]) for row in rows]


async def _load_sections(session: AsyncSession) -> Sequence[str]:
    newest = (
        select(col(Article.section).label("section"))
        .where(col(Article.state) == ArticleState.PUBLISHED)
        .order_by(col(Article.seq).desc())
        .limit(_SECTIONS_OF)
        .subquery()
    )
    query = (
        select(newest.c.section)
        .where(newest.c.section.is_not(None))
        .distinct()
        .order_by(newest.c.section)
        .limit(_MAX_SECTIONS)
    )
    return (await session.execute(query)).scalars().all()
