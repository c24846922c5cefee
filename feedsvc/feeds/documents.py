"""Feed documents: rendered from articles, stored as bytes with their validators, loaded again.

Rendering touches no database; storing writes only what differs. A reader's validators hold
because of two rules: the entity tag is a digest of the identity bytes, and `last_modified` moves
forward by at least a second whenever the tag moves.
"""

import asyncio
import hashlib
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, delete, func, insert, select, tuple_, update
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import col

from feedsvc.feeds.entries import EMPTY_FEED_AT, Content, Head, clean_text
from feedsvc.feeds.fragments import FragmentCache, Rendering, collect_fragments
from feedsvc.feeds.jsonfeed import json_frame
from feedsvc.model.article import Article
from feedsvc.model.feed import (
    MEDIA_TYPES,
    FeedDocument,
    FeedFormat,
    ServedDocument,
    document_path,
)
from feedsvc.model.ports import Selection

_ETAG_LENGTH = 32  # hexadecimal digits: 128 bits
_GZIP_LEVEL = 6
_GZIP_WINDOW = 31  # zlib's way to ask for gzip's frame
_LAST_MODIFIED_STEP = timedelta(seconds=1)  # HTTP dates have no finer one


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """What a feed is: its words, which articles it holds, and how they are written.

    `base_url` has no trailing slash; `window` is a number of articles.
    """

    key: str
    title: str
    description: str
    language: str
    formats: tuple[FeedFormat, ...]
    content: Content
    window: int
    selection: Selection
    base_url: str
    site_title: str

    def head(self, feed_format: FeedFormat, updated_at: datetime) -> Head:
        """What this feed says of itself in a format."""
        title = " ".join(clean_text(self.title).split())
        return Head(
            title=title,
            description=clean_text(self.description).strip(),
            language=self.language,
            home_url=f"{self.base_url}/",
            self_url=f"{self.base_url}/{document_path(self.key, feed_format)}",
            author=" ".join(clean_text(self.site_title).split()) or title,
            updated_at=updated_at,
        )


@dataclass(frozen=True, slots=True)
class RenderedFeed:
    """A feed's documents as bytes, and the articles they had to do without."""

    documents: dict[FeedFormat, bytes]
    #: Article id -> why it could not be written.
    set_aside: dict[int, str] = field(default_factory=dict)


def render_documents(
    spec: FeedSpec, articles: Sequence[Article], cache: FragmentCache | None = None
) -> RenderedFeed:
    """Write a feed in all its formats. Blocking; for long windows run it in a thread.

    The same articles give the same bytes, whenever and however often this runs.

    Args:
        articles: in the order the entries are to stand in.
        cache: entries written before; what is missing there is written and added.
    """
    rendering = Rendering(spec.base_url, spec.content, spec.formats)
    fragments, set_aside = collect_fragments(
        spec.key, rendering, articles, FragmentCache() if cache is None else cache
    )
    updated_at = max((fragment.updated_at for fragment in fragments), default=EMPTY_FEED_AT)
    documents = {}
    for feed_format in spec.formats:
        head = spec.head(feed_format, updated_at)
        parts = (fragment.parts[feed_format] for fragment in fragments)
        documents[feed_format] = _join(feed_format, head, parts)
    return RenderedFeed(documents, set_aside)


def _join(feed_format: FeedFormat, head: Head, parts: Iterable[bytes]) -> bytes:
    if feed_format is FeedFormat.JSON:
        start, end = json_frame(head)
        return b"".join((start, b",".join(parts), end))
    from feedsvc.feeds.syndication import xml_frame  # feedgen is slow to import

    start, end = xml_frame(feed_format, head)
    return b"".join((start, *parts, end))


def entity_tag(body: bytes) -> str:
    """The strong entity tag of identity bytes, without quotes (RFC 9110 §8.8.3)."""
    return hashlib.sha256(body).hexdigest()[:_ETAG_LENGTH]


def next_last_modified(previous: datetime | None, now: datetime) -> datetime:
    """The date of a new version: now, and at least a second after the one before.

    It is never in the future as long as a feed is published at most once a second, which is
    for callers to see to.
    """
    second = now.astimezone(UTC).replace(microsecond=0)
    return second if previous is None else max(previous + _LAST_MODIFIED_STEP, second)


def compress(body: bytes) -> bytes:
    """The gzip form: the same bytes for the same body (no time, no file name in it)."""
    return zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP_WINDOW)


async def store_documents(
    session: AsyncSession, key: str, rendered: RenderedFeed, now: datetime, basis: int = 0
) -> list[ServedDocument]:
    """Store the documents whose identity bytes differ from what is stored; answer those.

    Running it again with the same feed changes nothing. Publish a feed at most once a second.

    Args:
        session: a write transaction.
        key: of the feed.
        rendered: what it is to hold.
        now: the present.
        basis: the number of article changes it was made after. What is stored and was made
            after a later one stays.
    """
    changed = []
    for feed_format, body in rendered.documents.items():
        etag = entity_tag(body)
        stored = await _find_stored(session, key, feed_format)
        if stored is not None and stored.basis > basis:
            continue
        if stored is not None and stored.etag == etag:
            if stored.basis != basis:
                here = _is_document(key, feed_format)
                await session.execute(update(FeedDocument).where(here).values(basis=basis))
            continue
        served = ServedDocument(
            path=document_path(key, feed_format),
            media_type=MEDIA_TYPES[feed_format],
            etag=etag,
            last_modified=next_last_modified(stored.last_modified if stored else None, now),
            body=body,
            body_gzip=await asyncio.to_thread(compress, body),
        )
        version = stored.version + 1 if stored else 1
        await _save(session, key, feed_format, version, served, basis)
        changed.append(served)
    return changed


async def _find_stored(
    session: AsyncSession, key: str, feed_format: FeedFormat
) -> Row[int, str, datetime, int] | None:
    """Version, tag, date and basis of a stored document, locked until the transaction ends."""
    document = FeedDocument
    columns = select(
        col(document.version), col(document.etag), col(document.last_modified), col(document.basis)
    )
    statement = columns.where(_is_document(key, feed_format)).with_for_update()
    return (await session.execute(statement)).one_or_none()


async def _save(
    session: AsyncSession,
    key: str,
    feed_format: FeedFormat,
    version: int,
    served: ServedDocument,
    basis: int,
) -> None:
    values = {
        "version": version,
        "basis": basis,
        "etag": served.etag,
        "last_modified": served.last_modified,
        "body": served.body,
        "body_gzip": served.body_gzip,
    }
    if version == 1:
        row = insert(FeedDocument).values(feed=key, format=feed_format.value, **values)
        await session.execute(row)
    else:
        change = update(FeedDocument).where(_is_document(key, feed_format)).values(**values)
        await session.execute(change)


def _is_document(key: str, feed_format: FeedFormat) -> ColumnElement[bool]:
    return and_(col(FeedDocument.feed) == key, col(FeedDocument.format) == feed_format.value)


async def save_set_aside(
    session: AsyncSession, articles: Sequence[Article], set_aside: Mapping[int, str]
) -> None:
    """Note on each article of a window why its feeds leave it out, or that they no longer do."""
    for article in articles:
        reason = set_aside.get(article.id or 0)
        if reason != article.set_aside:
            await session.execute(
                update(Article)
                .where(col(Article.id) == article.id, col(Article.revision) == article.revision)
                .values(set_aside=reason)
            )


async def load_documents(session: AsyncSession) -> list[ServedDocument]:
    """All stored documents."""
    rows = (await session.execute(select(FeedDocument))).scalars()
    return [_served(row) for row in rows]


async def load_versions(session: AsyncSession) -> dict[tuple[str, str], int]:
    """Version of every stored document by (feed, format): cheap, to see whether any changed."""
    document = FeedDocument
    columns = select(col(document.feed), col(document.format), col(document.version))
    return {(feed, name): version for feed, name, version in await session.execute(columns)}


async def load_basis(session: AsyncSession) -> int | None:
    """The lowest basis of all documents; None when there are none."""
    return await session.scalar(select(func.min(col(FeedDocument.basis))))


async def prune_documents(session: AsyncSession, keep: Collection[tuple[str, str]]) -> int:
    """Delete documents of (feed, format) pairs that are published no more; how many went."""
    pair = tuple_(col(FeedDocument.feed), col(FeedDocument.format))
    statement = delete(FeedDocument)
    if keep:
        statement = statement.where(pair.not_in(sorted(keep)))
    result = await session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def _served(row: FeedDocument) -> ServedDocument:
    feed_format = FeedFormat(row.format)
    return ServedDocument(
        path=document_path(row.feed, feed_format),
        media_type=MEDIA_TYPES[feed_format],
        etag=row.etag,
        last_modified=row.last_modified,
        body=row.body,
        body_gzip=row.body_gzip,
    )
