"""A newsletter's page, and the list of its past editions. A private one has neither."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from feedsvc.editions.archive import ArchivedEdition, find_public, list_archived
from feedsvc.editions.calendar import Rhythm, next_due_times
from feedsvc.editions.registry import NewsletterRow, load_newsletters
from feedsvc.kit.texts import Texts
from feedsvc.model.columns import MAX_ID
from feedsvc.model.feed import MEDIA_TYPES, FeedFormat
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.web.pages import (
    FORMAT_NAMES,
    FeedLink,
    announced_feeds,
    feeds_of,
    reader_language,
    show_page,
)
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of

router = APIRouter()

PAGE_SIZE = 30
#: Editions on the newsletter's own page.
LATEST = 5
#: Due times of a schedule, wherever there is room for them.
NEXT_TIMES = 5
#: The formats of a newsletter's feed, the one to take first.
EDITION_FORMATS = (FeedFormat.ATOM, FeedFormat.RSS, FeedFormat.JSON)


@dataclass(frozen=True, slots=True)
class ListedRhythm:
    """A schedule that can be chosen: its label, when it comes in words, and when the next times."""

    label: str
    description: str
    words: str
    next_times: Sequence[datetime]
    #: The zone its next times are shown in.
    zone: str
    #: Everybody gets it at that time of day where they are.
    own_zone: bool

    @property
    def next_iso(self) -> str:
        """For machines."""
        return self.next_times[0].isoformat(timespec="seconds") if self.next_times else ""


@dataclass(frozen=True, slots=True)
class EditionLine:
    """An edition in a list."""

    id: int
    title: str
    language: str
    schedule: str | None
    due_at: datetime

    @property
    def due_iso(self) -> str:
        """For machines."""
        return self.due_at.isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class ListedNewsletter:
    """A newsletter in the list of all, with the edition that came last."""

    newsletter: Newsletter
    rhythms: list[ListedRhythm]
    latest: EditionLine | None


@router.api_route("/newsletters", methods=["GET", "HEAD"])
async def show_newsletters(request: Request) -> Response:
    """What is sent, and the latest edition of each."""
    services = services_of(request)
    texts = Texts(reader_language(request, services.settings))
    listed = []
    async with services.database.read() as session:
        for row in await load_newsletters(session):
            if not row.newsletter.public:
                continue
            latest = await _load_lines(request, session, row.newsletter, 1)
            rhythms = _rhythms(row.schedules, texts, services.clock())
            listed.append(ListedNewsletter(row.newsletter, rhythms, next(iter(latest), None)))
    return show_page(
        request,
        "newsletter_list.html",
        PageKind.PUBLIC,
        canonical=f"{services.settings.base_url}/newsletters",
        feeds=announced_feeds(feeds_of(request)),
        newsletters=listed,
        zone=services.settings.time_zone,
    )


@router.api_route("/newsletters/{key}", methods=["GET", "HEAD"])
async def show_newsletter(request: Request, key: str) -> Response:
    """What a newsletter is, when it comes, how to get it, and its latest editions."""
    services = services_of(request)
    texts = Texts(reader_language(request, services.settings))
    async with services.database.read() as session:
        row = await open_newsletter(session, key)
        if row.newsletter.retired:
            return show_gone(request)
        lines = await _load_lines(request, session, row.newsletter, LATEST + 1)
    return show_page(
        request,
        "newsletter.html",
        PageKind.PUBLIC,
        canonical=newsletter_url(services.settings.base_url, row.newsletter),
        feeds=_announced(request, row.newsletter),
        newsletter=row.newsletter,
        feed=next(iter(edition_feeds(services.settings.base_url, row.newsletter)), None),
        rhythms=_rhythms(row.schedules, texts, services.clock()),
        editions=lines[:LATEST],
        has_more=len(lines) > LATEST,
        zone=services.settings.time_zone,
    )


@router.api_route("/newsletters/{key}/editions", methods=["GET", "HEAD"])
async def show_editions(
    request: Request, key: str, before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None
) -> Response:
    """The past editions of a newsletter, newest first; those with a lower id than `before`."""
    services = services_of(request)
    async with services.database.read() as session:
        row = await open_newsletter(session, key)
        if row.newsletter.retired:
            return show_gone(request)
        if not row.newsletter.archive:
            raise HTTPException(404)
        lines = await _load_lines(request, session, row.newsletter, PAGE_SIZE + 1, before)
    more = len(lines) > PAGE_SIZE
    lines = lines[:PAGE_SIZE]
    base = newsletter_url(services.settings.base_url, row.newsletter)
    return show_page(
        request,
        "newsletter_editions.html",
        PageKind.PUBLIC,
        canonical=f"{base}/editions" if before is None else None,
        feeds=_announced(request, row.newsletter),
        newsletter=row.newsletter,
        editions=lines,
        before=before,
        older=lines[-1].id if more else None,
        zone=services.settings.time_zone,
    )


async def open_newsletter(session: AsyncSession, key: str) -> NewsletterRow:
    """A newsletter that the public may know of; it may be retired.

    Raises:
        HTTPException: 404, there is none, or it is private: the answers are the same.
    """
    row = None
    if len(key) <= 100 and "\0" not in key:
        row = await find_public(session, key)
    if row is None:
        raise HTTPException(404)
    return row


def show_gone(request: Request) -> Response:
    """410: a newsletter that is no more, for pages and feed readers alike."""
    return show_page(request, "newsletter_gone.html", PageKind.ANSWER, status=410)


def newsletter_url(base_url: str, newsletter: Newsletter) -> str:
    """Address of a newsletter's page; what belongs to it stands below."""
    return f"{base_url}/newsletters/{quote(newsletter.key)}"


def edition_feeds(base_url: str, newsletter: Newsletter) -> list[FeedLink]:
    """The feed of a newsletter's editions in each format; none when it keeps no archive."""
    if not newsletter.archive:
        return []
    base = newsletter_url(base_url, newsletter)
    return [
        FeedLink(
            title=newsletter.title,
            format_name=FORMAT_NAMES[one],
            media_type=MEDIA_TYPES[one].partition(";")[0],
            url=f"{base}/editions.{one}",
        )
        for one in EDITION_FORMATS
    ]


def edition_title(edition: ArchivedEdition, newsletter: Newsletter, texts: Texts, zone: str) -> str:
    """The subject of its mail; newsletter and day when that may tell of what was withdrawn."""
    if not edition.gone and edition.subject.strip():
        return edition.subject
    return dated_title(newsletter.title, edition.due_at, texts, zone)


def dated_title(newsletter: str, due_at: datetime, texts: Texts, zone: str) -> str:
    """What an edition is called where nothing of its contents may be told."""
    return texts.gettext(
        "%(newsletter)s, %(date)s", newsletter=newsletter, date=texts.date(due_at, zone)
    )


def _announced(request: Request, newsletter: Newsletter) -> list[FeedLink]:
    """What browsers are told of: the newsletter's own feed before the others."""
    base_url = services_of(request).settings.base_url
    return edition_feeds(base_url, newsletter) + announced_feeds(feeds_of(request))


async def _load_lines(
    request: Request,
    session: AsyncSession,
    newsletter: Newsletter,
    limit: int,
    before: int | None = None,
) -> list[EditionLine]:
    if not newsletter.archive:
        return []
    zone = services_of(request).settings.time_zone
    return [
        EditionLine(
            id=one.id,
            title=edition_title(one, newsletter, Texts(one.language), zone),
            language=one.language,
            schedule=one.schedule,
            due_at=one.due_at,
        )
        for one in await list_archived(session, newsletter, limit, before)
    ]


def _rhythms(schedules: Sequence[Schedule], texts: Texts, now: datetime) -> list[ListedRhythm]:
    return [
        ListedRhythm(
            label=one.label,
            description=one.description,
            words=texts.schedule(one.cron, one.zone, own_zone=one.own_zone),
            next_times=(
                () if one.is_each_article else next_due_times(Rhythm.of(one), now, NEXT_TIMES)
            ),
            zone=one.zone,
            own_zone=one.own_zone,
        )
        for one in schedules
    ]
