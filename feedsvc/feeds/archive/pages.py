"""Opens archive pages: written on demand, from the articles as they are now, and stored nowhere.

A page holds what has been noted of it, less what no longer belongs to the feed: an article that
was withdrawn is on no page from that moment on. The same articles give the same bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.archive.rows import (
    StoredPage,
    belonging,
    find_newest,
    find_page,
    load_names,
    pieces,
)
from feedsvc.feeds.documents.variants import compress_quick
from feedsvc.feeds.documents.versions import entity_tag
from feedsvc.feeds.fragment_store import fragments_for
from feedsvc.feeds.fragments import Fragment, FragmentCache, rendering_of
from feedsvc.feeds.render import join_document
from feedsvc.feeds.select import WindowRow, in_order, light_rows
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import EMPTY_FEED_AT, Links
from feedsvc.model.article import Article
from feedsvc.model.feed import (
    MEDIA_TYPES,
    ArchiveName,
    FeedFormat,
    ServedDocument,
    document_path,
    document_url,
)


@dataclass(frozen=True, slots=True)
class ArchiveMoved:
    """What was asked for is to be found under another name, for good (HTTP 301)."""

    name: ArchiveName


async def open_archive(
    session: AsyncSession,
    spec: FeedSpec,
    name: ArchiveName,
    feed_format: FeedFormat,
    cache: FragmentCache,
) -> ServedDocument | ArchiveMoved | None:
    """The document that a page is in a format; None when there has never been such a page.

    An older version has moved to the present one, and a page that is gone to the newest. A feed
    whose archive is switched off has no pages at all.

    Args:
        cache: is only read.
    """
    if not spec.archive or feed_format not in spec.formats or min(name.number, name.version) < 1:
        return None
    page = await find_page(session, spec.key, name.number)
    if page is None or page.is_gone:
        newest = await find_newest(session, spec.key)
        if newest is None or newest.is_gone or name.number > newest.number:
            return None
        return ArchiveMoved(newest.name)
    if name.version != page.version:
        return ArchiveMoved(page.name) if name.version < page.version else None
    rows = await _load_rows(session, spec, page)
    found = await fragments_for(session, rendering_of(spec), rows, cache)
    return await asyncio.to_thread(_write, spec, page, feed_format, found.fragments)


async def list_pages(session: AsyncSession, spec: FeedSpec) -> list[ArchiveName]:
    """The pages that a feed has now, oldest first."""
    return await load_names(session, spec.key) if spec.archive else []


async def render_pages(
    session: AsyncSession, spec: FeedSpec, names: Iterable[ArchiveName], cache: FragmentCache
) -> AsyncIterator[ServedDocument]:
    """The documents of pages in all their formats, one at a time; not of those that have moved."""
    for name in names:
        for feed_format in spec.formats:
            document = await open_archive(session, spec, name, feed_format, cache)
            if isinstance(document, ServedDocument):
                yield document


async def _load_rows(session: AsyncSession, spec: FeedSpec, page: StoredPage) -> list[WindowRow]:
    belongs = belonging(session, spec.filter)
    rows: list[WindowRow] = []
    for piece in pieces(page.seqs):
        found = await session.execute(light_rows().where(*belongs, col(Article.seq).in_(piece)))
        rows += map(WindowRow._make, found)
    return in_order(rows)


def _write(
    spec: FeedSpec, page: StoredPage, feed_format: FeedFormat, fragments: list[Fragment]
) -> ServedDocument:
    """The page's document with its codings. Blocking."""
    updated_at = max((one.updated_at for one in fragments), default=EMPTY_FEED_AT)
    url = document_url(spec.base_url, spec.key, feed_format, page.name)
    head = spec.head(feed_format, updated_at, _links(spec, page, feed_format))
    body = join_document(feed_format, replace(head, self_url=url), fragments)
    codings = compress_quick(body)
    return ServedDocument(
        path=document_path(spec.key, feed_format, page.name),
        media_type=MEDIA_TYPES[feed_format],
        etag=entity_tag(body),
        last_modified=page.last_modified,
        body=body,
        body_gzip=codings.gzip,
        body_br=codings.br,
        body_zstd=codings.zstd,
        feed=spec.key,
        url=url,
        is_archive=True,
    )


def _links(spec: FeedSpec, page: StoredPage, feed_format: FeedFormat) -> Links:
    """Links of a page. None to a newer one: there was none when this version was made.

    No hubs either: they tell of the feed itself, which is what a reader is to subscribe to.
    """
    previous = None
    if page.previous_version:
        before = ArchiveName(page.number - 1, page.previous_version)
        previous = document_url(spec.base_url, spec.key, feed_format, before)
    return Links(
        previous_archive=previous, current=document_url(spec.base_url, spec.key, feed_format)
    )
