"""Renders a feed: the fragments of its window, joined into whole documents."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.direct import DirectReader
from feedsvc.feeds.fragment_store import Gathered, find_elsewhere, gather
from feedsvc.feeds.fragments import (
    Fragment,
    FragmentCache,
    Fragments,
    find_known,
    rendering_of,
)
from feedsvc.feeds.select import WindowRow, light_row, select_window
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import EMPTY_FEED_AT, Head, Links
from feedsvc.feeds.writing.jsonfeed import json_frame
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

_updated_at = attrgetter("updated_at")

#: How feedgen writes the date of a document.
_DATES: dict[FeedFormat, Callable[[datetime], str]] = {
    FeedFormat.RSS: format_datetime,
    FeedFormat.ATOM: datetime.isoformat,
}
_SOME_DAY = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


class EntryRef(NamedTuple):
    """An entry of a feed's documents."""

    article_id: int
    guid: str
    fragment_key: str
    seq: int


@dataclass(frozen=True, slots=True)
class RenderedFeed:
    """A feed's documents as bytes, what they hold, and the articles they had to do without."""

    documents: dict[FeedFormat, bytes]
    #: Article id -> why it could not be written.
    set_aside: dict[int, str] = field(default_factory=dict)
    #: In the order of the documents.
    entries: tuple[EntryRef, ...] = ()
    #: Fragments that are to be stored, by key.
    fresh: dict[str, Fragment] = field(default_factory=dict)
    #: All articles of the window, also those that were set aside.
    rows: Sequence[WindowRow] = ()
    #: When the window changes though no article does; None when it never will.
    renew_at: datetime | None = None
    #: The newest change of an entry; `EMPTY_FEED_AT` without entries.
    updated_at: datetime = EMPTY_FEED_AT


async def render_feed(
    session: AsyncSession,
    spec: FeedSpec,
    cache: FragmentCache,
    now: datetime,
    links: Mapping[FeedFormat, Links] | None = None,
) -> RenderedFeed:
    """Write a feed in all its formats, as its articles are now.

    Loads and writes the articles that neither memory nor the database has an entry of. The same
    articles give the same bytes, whenever and however often this runs, and in every process.

    Args:
        links: to the documents beside each.
    """
    window = await select_window(session, spec.filter, spec.window, now)
    gathered = await gather(session, rendering_of(spec), window.rows, cache, spec.key)
    return await asyncio.to_thread(_write, spec, gathered, cache, links, window.renew_at)


def render_documents(
    spec: FeedSpec,
    articles: Sequence[Article],
    cache: FragmentCache | None = None,
    links: Mapping[FeedFormat, Links] | None = None,
) -> RenderedFeed:
    """Write a feed of articles that are all loaded. Blocking, and without a database.

    Args:
        articles: in the order the entries are to stand in.
        cache: entries written before; what is missing there is written and added.
    """
    whole = {article.id or 0: article for article in articles}
    rows = [light_row(article) for article in articles]
    cache = FragmentCache() if cache is None else cache
    return render_rows(spec, rows, lambda ids: [whole[one] for one in ids], cache, links)


def render_rows(
    spec: FeedSpec,
    rows: Sequence[WindowRow],
    load: Callable[[Sequence[int]], Iterable[Article]],
    cache: FragmentCache,
    links: Mapping[FeedFormat, Links] | None = None,
    reader: DirectReader | None = None,
) -> RenderedFeed:
    """The same of light rows; `load` is asked for the articles that are to be written.

    Args:
        reader: of the SQLite file that has entries written before.
    """
    rendering = rendering_of(spec)
    known = find_known(rows, cache.window(spec.key, rendering))
    missing = [row for row, one in zip(rows, known, strict=True) if one is None]
    found = find_elsewhere(reader, rendering, missing, cache) if reader else {}
    absent = [row.id for row in missing if row.id not in found]
    gathered = Gathered(rendering, rows, known, found, list(load(absent)))
    return _write(spec, gathered, cache, links)


def _write(
    spec: FeedSpec,
    gathered: Gathered,
    cache: FragmentCache,
    links: Mapping[FeedFormat, Links] | None,
    renew_at: datetime | None = None,
) -> RenderedFeed:
    found = gathered.write()
    cache.keep(spec.key, gathered.rendering, found)
    return RenderedFeed(
        documents=join_documents(spec, found.fragments, links),
        set_aside=found.set_aside,
        entries=tuple(map(EntryRef, *_columns(found))),
        fresh=found.fresh,
        rows=gathered.rows,
        renew_at=renew_at,
        updated_at=_newest(found.fragments),
    )


def join_documents(
    spec: FeedSpec,
    fragments: Sequence[Fragment],
    links: Mapping[FeedFormat, Links] | None = None,
) -> dict[FeedFormat, bytes]:
    """A feed's documents in all its formats, of entries in their order. Blocking."""
    updated_at = _newest(fragments)
    documents = {}
    for feed_format in spec.formats:
        beside = links.get(feed_format) if links else None
        start, end = _feed_frame(spec, feed_format, beside, updated_at)
        documents[feed_format] = _join(feed_format, start, fragments, end)
    return documents


def join_document(feed_format: FeedFormat, head: Head, fragments: Sequence[Fragment]) -> bytes:
    """One document: head, fragments, tail. Blocking."""
    start, end = _frame(feed_format, head)
    return _join(feed_format, (start,), fragments, end)


def _join(
    feed_format: FeedFormat, start: Iterable[bytes], fragments: Iterable[Fragment], end: bytes
) -> bytes:
    parts = map(attrgetter(feed_format.value), fragments)
    if feed_format is FeedFormat.JSON:
        return b"".join((*start, b",".join(parts), end))
    return b"".join((*start, *parts, end))


def _feed_frame(
    spec: FeedSpec, feed_format: FeedFormat, links: Links | None, updated_at: datetime
) -> tuple[tuple[bytes, ...], bytes]:
    """What stands before the entries, in pieces, and after them.

    From one publication to the next only a date of it changes.
    """
    if feed_format in _DATES:
        some_day, end = _frame_of_some_day(spec, feed_format, links)
        if len(some_day) == 2:  # else it stands in some text, too
            before, after = some_day
            return (before, _DATES[feed_format](updated_at).encode(), after), end
    start, end = _frame(feed_format, spec.head(feed_format, updated_at, links))
    return (start,), end


@lru_cache(maxsize=512)
def _frame_of_some_day(
    spec: FeedSpec, feed_format: FeedFormat, links: Links | None
) -> tuple[Sequence[bytes], bytes]:
    """The start of a document as it stands around its date, and its end."""
    start, end = _frame(feed_format, spec.head(feed_format, _SOME_DAY, links))
    return start.split(_DATES[feed_format](_SOME_DAY).encode()), end


def _frame(feed_format: FeedFormat, head: Head) -> tuple[bytes, bytes]:
    from feedsvc.feeds.writing.syndication import xml_frame  # feedgen is slow to import

    return json_frame(head) if feed_format is FeedFormat.JSON else xml_frame(feed_format, head)


def _newest(fragments: Sequence[Fragment]) -> datetime:
    return max(map(_updated_at, fragments), default=EMPTY_FEED_AT)


def _columns(found: Fragments) -> Iterator[Iterable[Any]]:
    """The fields of EntryRef, one after the other: a thousand entries are made in one go."""
    for name in ("id", "guid"):
        yield map(attrgetter(name), found.rows)
    yield map(attrgetter("key"), found.fragments)
    yield map(attrgetter("seq"), found.rows)
