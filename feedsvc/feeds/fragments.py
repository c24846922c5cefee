"""Each entry is written once and kept, so that publishing one new article writes one entry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from feedsvc.errors import EntryUnrenderable
from feedsvc.feeds.entries import Content, read_entry
from feedsvc.feeds.jsonfeed import JSON_RENDERER, json_fragment
from feedsvc.model.article import Article
from feedsvc.model.feed import FeedFormat

#: (how, guid, revision, content_hash): what an entry's bytes depend on.
FragmentKey = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class Fragment:
    """One entry, written in each format of a feed."""

    updated_at: datetime
    parts: Mapping[FeedFormat, bytes]


@dataclass(frozen=True, slots=True)
class Rendering:
    """How entries are written: what their bytes depend on beside the article."""

    base_url: str
    content: Content
    formats: tuple[FeedFormat, ...]

    @property
    def key(self) -> str:
        """The part of a fragment's key that this rendering decides."""
        from feedsvc.feeds.syndication import RENDERER  # feedgen is slow to import

        formats = ",".join(self.formats)
        return f"{RENDERER} {JSON_RENDERER} {formats} {self.content} {self.base_url}"


class FragmentCache:
    """Fragments in memory: those in the present window of some feed, and no others."""

    def __init__(self) -> None:
        self._windows: dict[str, dict[FragmentKey, Fragment]] = {}

    def window(self, feed_key: str) -> Mapping[FragmentKey, Fragment]:
        """The fragments of a feed as it was last rendered."""
        return self._windows.get(feed_key, {})

    def find(self, key: FragmentKey) -> Fragment | None:
        """A fragment from whichever feed has it."""
        for window in tuple(self._windows.values()):
            if (fragment := window.get(key)) is not None:
                return fragment
        return None

    def keep(self, feed_key: str, window: dict[FragmentKey, Fragment]) -> None:
        """Remember the fragments of a feed in place of those it had."""
        self._windows[feed_key] = window

    def forget(self, feed_key: str) -> None:
        """Drop the fragments of a feed that is gone."""
        self._windows.pop(feed_key, None)


def collect_fragments(
    feed_key: str, rendering: Rendering, articles: Iterable[Article], cache: FragmentCache
) -> tuple[list[Fragment], dict[int, str]]:
    """Fragments of the articles in their order, and why some articles have none.

    An article that fails in one format is left out of all, so that the formats agree.
    """
    how, known = rendering.key, cache.window(feed_key)
    window: dict[FragmentKey, Fragment] = {}
    set_aside: dict[int, str] = {}
    for article in articles:
        key = (how, article.guid, article.revision, article.content_hash)
        fragment = known.get(key) or cache.find(key)
        if fragment is None:
            try:
                fragment = render_fragment(article, rendering)
            except EntryUnrenderable as error:
                set_aside[article.id or 0] = str(error)
                continue
        window[key] = fragment
    cache.keep(feed_key, window)
    return list(window.values()), set_aside


def render_fragment(article: Article, rendering: Rendering) -> Fragment:
    """Write one article's entry.

    Raises:
        EntryUnrenderable: it cannot be written, for whatever reason.
    """
    from feedsvc.feeds.syndication import xml_fragments

    try:
        entry = read_entry(article, rendering.base_url, rendering.content)
        parts = xml_fragments(entry, rendering.formats)
        if FeedFormat.JSON in rendering.formats:
            parts[FeedFormat.JSON] = json_fragment(entry)
    except EntryUnrenderable:
        raise
    except Exception as error:  # whatever one article does, the feed goes on without it
        raise EntryUnrenderable(f"{type(error).__name__}: {error}") from error
    return Fragment(updated_at=entry.updated_at, parts=parts)
