"""Each entry is written once and kept, so that publishing one new article writes one entry.

Holds what is kept in memory; fragment_store.py keeps the same in the database.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter, itemgetter
from weakref import WeakValueDictionary

from feedsvc.errors import EntryUnrenderable
from feedsvc.feeds.select import Version, WindowRow
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.entries import Content, read_entry
from feedsvc.feeds.writing.jsonfeed import JSON_RENDERER, json_fragment
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

#: The first fields of a row; see select.Version.
version_of = itemgetter(slice(0, 6))
_version_of_article = attrgetter(*WindowRow._fields[:6])


@dataclass(frozen=True, slots=True)
class Rendering:
    """How entries are written: what their bytes depend on beside the article."""

    base_url: str
    content: Content
    formats: tuple[FeedFormat, ...]
    #: Whether its feed is a podcast, whose entries have tags of their own.
    podcast: bool = False

    @property
    def key(self) -> str:
        """The part of a fragment's key that this rendering decides."""
        from feedsvc.feeds.writing.syndication import RENDERER  # feedgen is slow to import

        formats = ",".join(self.formats)
        kind = "podcast" if self.podcast else "feed"
        return f"{RENDERER} {JSON_RENDERER} {formats} {kind} {self.content} {self.base_url}"


def rendering_of(spec: FeedSpec) -> Rendering:
    """How the entries of a feed are written."""
    return Rendering(spec.base_url, spec.content, spec.formats, spec.podcast is not None)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Fragment:
    """One entry, written in each format of a feed."""

    #: Digest of everything its bytes depend on.
    key: str
    version: Version
    updated_at: datetime
    #: None: not a format of its feeds.
    rss: bytes | None = None
    atom: bytes | None = None
    json: bytes | None = None
    #: Whether the database is known to hold it.
    is_stored: bool = False


@dataclass(slots=True)
class Fragments:
    """The fragments of some articles, in their order, and what became of the others."""

    rows: list[WindowRow] = field(default_factory=list)
    #: One for each row.
    fragments: list[Fragment] = field(default_factory=list)
    #: Article id -> why it could not be written.
    set_aside: dict[int, str] = field(default_factory=dict)

    @property
    def fresh(self) -> dict[str, Fragment]:
        """Those the database may not hold yet, by key."""
        return {one.key: one for one in self.fragments if not one.is_stored}


class FragmentCache:
    """Fragments in memory: those in the present window of some feed, and no others."""

    def __init__(self) -> None:
        #: Feed -> how its entries are written, and its fragments by article id.
        self._windows: dict[str, tuple[Rendering, dict[int, Fragment]]] = {}
        self._shared = WeakValueDictionary[str, Fragment]()

    def window(self, feed_key: str, rendering: Rendering) -> Mapping[int, Fragment]:
        """The fragments of a feed as it was last rendered, by article id."""
        how, window = self._windows.get(feed_key, (rendering, {}))
        return window if how == rendering else {}

    def find(self, key: str) -> Fragment | None:
        """A fragment from whichever feed has it."""
        return self._shared.get(key)

    @property
    def is_empty(self) -> bool:
        """Whether no feed has any, as when a process starts."""
        return not self._shared

    def keep(self, feed_key: str, rendering: Rendering, found: Fragments) -> None:
        """Remember the fragments of a feed in place of those it had."""
        window = {row.id: one for row, one in zip(found.rows, found.fragments, strict=True)}
        known = self.window(feed_key, rendering)
        for article_id, one in window.items():
            if known.get(article_id) is not one:
                self._shared[one.key] = one
        self._windows[feed_key] = rendering, window

    def forget(self, feed_key: str) -> None:
        """Drop the fragments of a feed that is gone."""
        self._windows.pop(feed_key, None)


def find_known(rows: Sequence[WindowRow], known: Mapping[int, Fragment]) -> list[Fragment | None]:
    """The fragment of each row as it is now; None where it has not been written."""
    if not known:
        return [None] * len(rows)
    found: list[Fragment | None] = []
    for version in map(version_of, rows):
        fragment = known.get(version[0])
        if fragment is not None and fragment.version != version:
            fragment = None
        found.append(fragment)
    return found


def combine(
    rows: Sequence[WindowRow],
    known: Iterable[Fragment | None],
    found: Mapping[int, Fragment | str],
) -> Fragments:
    """What there is for each row, in order.

    Args:
        known: one for each row.
        found: for rows without a known one, by article id: a fragment, or why there is none.
            What is missing here too has gone since it was selected, and is left out.
    """
    result = Fragments()
    for row, fragment in zip(rows, known, strict=True):
        one = found.get(row.id) if fragment is None else fragment
        if isinstance(one, str):
            result.set_aside[row.id] = one
        elif one is not None:
            result.rows.append(row)
            result.fragments.append(one)
    return result


def fragment_key(how: str, version: Version) -> str:
    """Digest of everything a fragment's bytes depend on.

    Args:
        how: `Rendering.key`.
    """
    _, guid, revision, content_hash, published_at, updated_at = version
    dates = f"{published_at.timestamp()} {updated_at.timestamp()}"
    text = f"{how}\n{guid}\n{revision} {content_hash} {dates}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_fragments(articles: Iterable[Article], rendering: Rendering) -> dict[int, Fragment | str]:
    """Write articles that have been loaded whole; the fragment by id, or why there is none."""
    how = rendering.key
    written: dict[int, Fragment | str] = {}
    for article in articles:
        try:
            written[article.id or 0] = write_fragment(article, rendering, how)
        except EntryUnrenderable as error:
            written[article.id or 0] = str(error)
    return written


def write_fragment(article: Article, rendering: Rendering, how: str) -> Fragment:
    """Write one article's entry. An article that fails in one format is left out of all.

    Args:
        how: `Rendering.key`.

    Raises:
        EntryUnrenderable: it cannot be written, for whatever reason.
    """
    from feedsvc.feeds.writing.syndication import xml_fragments

    try:
        entry = read_entry(article, rendering.base_url, rendering.content)
        parts = xml_fragments(entry, rendering.formats, rendering.podcast)
        if FeedFormat.JSON in rendering.formats:
            parts[FeedFormat.JSON] = json_fragment(entry)
        version = _version_of_article(article)
        rss, atom, json = map(parts.get, FeedFormat)
        return Fragment(fragment_key(how, version), version, entry.updated_at, rss, atom, json)
    except EntryUnrenderable:
        raise
    except Exception as error:  # whatever one article does, the feed goes on without it
        raise EntryUnrenderable(f"{type(error).__name__}: {error}") from error
