"""The feed of a newsletter's editions: one entry an edition, with its headlines.

Put together when it is asked for, so that what is withdrawn is gone at once; written again only
when it says something else than before. It is answered like every other feed.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request
from markupsafe import escape
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from feedsvc.config import Settings
from feedsvc.editions.archive import ArchivedEdition, list_archived, load_letters
from feedsvc.editions.stored_mail import ShownArticle, load_shown, load_versions
from feedsvc.feeds.writing.entries import EMPTY_FEED_AT, Entry, Head
from feedsvc.feeds.writing.episodes import Episode
from feedsvc.feeds.writing.jsonfeed import full_json
from feedsvc.feeds.writing.wire import clean_line, clean_text, shorten, usable_url
from feedsvc.kit.letters import letter_html, letter_text
from feedsvc.kit.texts import Texts
from feedsvc.model.feed import MEDIA_TYPES, FeedFormat, ServedDocument
from feedsvc.model.newsletter import Newsletter
from feedsvc.web.feeds.answers import Prepared
from feedsvc.web.services import services_of
from feedsvc.web.site.newsletters import (
    EDITION_FORMATS,
    edition_title,
    newsletter_url,
    open_newsletter,
    show_gone,
)

router = APIRouter()

#: The newest editions, so many.
WINDOW = 50
#: Headlines of the summary, and characters it may have.
_SUMMED_UP = 5
_SUMMARY_LENGTH = 500
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class EditionFeed:
    """What the feed says, before it has a form."""

    head: Head
    entries: tuple[Entry, ...]
    #: When any of it changed last, as far as the rows tell.
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class FeedVersion:
    """What a feed is made of, as far as it is known before its articles are loaded."""

    words: tuple[str, ...]
    editions: tuple[ArchivedEdition, ...]
    articles: tuple[tuple[int, ...], ...]


class WrittenFeeds:
    """The documents that were written last, by path."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[FeedVersion, Prepared]] = {}

    def find(self, path: str, version: FeedVersion) -> Prepared | None:
        """The document that was written of this version; None when there is none."""
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == version else None

    async def write(
        self, path: str, feed_format: FeedFormat, version: FeedVersion, feed: EditionFeed
    ) -> Prepared:
        """Write the document of a version, and keep it in the place of the one before."""
        body = await asyncio.to_thread(write_document, feed_format, feed)
        modified_at = feed.changed_at
        if (before := self._known.get(path)) is not None:
            # What is taken back leaves no later date behind: two versions never share one.
            modified_at = max(modified_at, before[1].document.last_modified + _SECOND)
        document = ServedDocument(
            path=path,
            media_type=MEDIA_TYPES[feed_format],
            etag=hashlib.sha256(body).hexdigest()[:32],
            last_modified=modified_at,
            body=body,
            body_gzip=await asyncio.to_thread(gzip.compress, body, 6, mtime=0),
        )
        prepared = Prepared(document, path, [])
        self._known[path] = (version, prepared)
        return prepared


@router.api_route("/newsletters/{key}/editions.{ending}", methods=["GET", "HEAD"])
async def serve_edition_feed(request: Request, key: str, ending: str) -> Response:
    """The newest editions of a newsletter, as Atom, RSS or JSON Feed."""
    services = services_of(request)
    if ending not in EDITION_FORMATS:
        raise HTTPException(404)
    feed_format, path = FeedFormat(ending), f"{key}.{ending}"
    written = cast(WrittenFeeds, request.app.state.edition_feeds)
    async with services.database.read() as session:
        newsletter = (await open_newsletter(session, key)).newsletter
        if newsletter.retired:
            return show_gone(request)
        if not newsletter.archive:
            raise HTTPException(404)
        version = await _load_version(session, newsletter)
        prepared = written.find(path, version)
        if prepared is None:
            editions = version.editions
            feed = await read_feed(session, newsletter, editions, feed_format, services.settings)
            prepared = await written.write(path, feed_format, version, feed)
    return _answer(request, prepared)


async def _load_version(session: AsyncSession, newsletter: Newsletter) -> FeedVersion:
    editions = await list_archived(session, newsletter, WINDOW)
    return FeedVersion(
        (newsletter.title, newsletter.description, newsletter.language, newsletter.sender),
        tuple(editions),
        await load_versions(session, [one.cohort_id for one in editions]),
    )


def _answer(request: Request, prepared: Prepared) -> Response:
    """As every feed document is answered."""
    headers = request.headers
    known = prepared.is_known(
        _header(headers.get("if-none-match")),
        _header(headers.get("if-modified-since")),
        services_of(request).clock,
    )
    variant = prepared.choose(_header(headers.get("accept-encoding")) or b"")
    answer = variant.known if known else variant.full
    response = Response(answer.body, answer.status)
    response.raw_headers = list(answer.start["headers"])
    return response


async def read_feed(
    session: AsyncSession,
    newsletter: Newsletter,
    editions: Sequence[ArchivedEdition],
    feed_format: FeedFormat,
    settings: Settings,
) -> EditionFeed:
    """What the feed of a newsletter says of its editions."""
    shown = await load_shown(session, [one.cohort_id for one in editions], settings.base_url)
    letters = await load_letters(session, [one.id for one in editions])
    entries = tuple(
        _entry(one, newsletter, shown.get(one.cohort_id, []), letters.get(one.id), settings)
        for one in editions
    )
    changes = [moment for one in editions for moment in (one.changed_at, one.composed_at)]
    changes += [one.changed_at for articles in shown.values() for one in articles]
    base = newsletter_url(settings.base_url, newsletter)
    title = clean_line(newsletter.title) or newsletter.key
    head = Head(
        title=title,
        description=clean_text(newsletter.description).strip(),
        language=newsletter.language,
        home_url=base,
        self_url=f"{base}/editions.{feed_format}",
        author=clean_line(newsletter.sender) or title,
        updated_at=max((one.updated_at for one in entries), default=EMPTY_FEED_AT),
    )
    return EditionFeed(head, entries, max(changes, default=EMPTY_FEED_AT))


def write_document(feed_format: FeedFormat, feed: EditionFeed) -> bytes:
    """The feed in a format. Blocking."""
    if feed_format is FeedFormat.JSON:
        return full_json(feed.head, feed.entries)
    from feedsvc.feeds.writing.syndication import full_document  # feedgen is slow to import

    return full_document(feed_format, feed.head, feed.entries)


def edition_guid(edition: ArchivedEdition, newsletter: Newsletter, base_url: str) -> str:
    """The identity of an edition's entry (RFC 4151): of the day it was made, for ever."""
    host = (urlsplit(base_url).hostname or "localhost").replace(":", "-")
    day = edition.created_at.astimezone(UTC).date().isoformat()
    return f"tag:{host},{day}:newsletters/{newsletter.key}/editions/{edition.id}"


def _entry(
    edition: ArchivedEdition,
    newsletter: Newsletter,
    articles: Sequence[ShownArticle],
    letter: str | None,
    settings: Settings,
) -> Entry:
    base = newsletter_url(settings.base_url, newsletter)
    texts = Texts(edition.language)
    title = clean_line(edition_title(edition, newsletter, texts, settings.time_zone))
    title = title or f"{newsletter.key} {edition.id}"
    published_at = _second(edition.due_at)
    if letter is not None:
        content, summary = letter_html(letter), clean_line(letter_text(letter))
    else:
        content = _headlines(articles, len(edition.gone), texts)
        titles = [clean_line(one.title) for one in articles[:_SUMMED_UP]]
        summary = " · ".join(title for title in titles if title)
    return Entry(
        guid=edition_guid(edition, newsletter, settings.base_url),
        url=f"{base}/editions/{edition.id}",
        title=title,
        summary=shorten(summary, _SUMMARY_LENGTH) or title,
        content=clean_text(content) or None,
        language=edition.language,
        authors=(),
        categories=(),
        published_at=published_at,
        updated_at=max(_second(edition.changed_at), published_at),
        image=None,
        enclosures=(),
        episode=Episode(),
    )


def _headlines(articles: Sequence[ShownArticle], withdrawn: int, texts: Texts) -> str:
    """The list of what is in an edition, as HTML."""
    lines = []
    for one in articles:
        title, url = escape(clean_line(one.title)), usable_url(one.address)
        link = f'<a href="{escape(url)}">{title}</a>' if url else title
        lines.append(f"<li>{link}</li>")
    content = f"<ul>{''.join(lines)}</ul>" if lines else ""
    if withdrawn:
        words = texts.ngettext(
            "An article has been withdrawn.", "%(num)s articles have been withdrawn.", withdrawn
        )
        content += f"<p>{escape(words)}</p>"
    return content


def _second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _header(value: str | None) -> bytes | None:
    return None if value is None else value.encode("latin-1", "replace")
