"""Podcast tags of RSS feeds: those of iTunes and of the podcast namespace, as feedgen extensions.

feedgen's own extension can write no valid itunes:explicit and knows only iTunes. Podcast
directories read RSS, so there is nothing for Atom.
"""

from collections.abc import Iterator
from typing import Any

from lxml import etree

from feedsvc.feeds.writing.entries import Entry, Head, Podcast
from feedsvc.feeds.writing.episodes import Episode
from feedsvc.feeds.writing.wire import clean_line, shorten, usable_url

ITUNES_NAMESPACE = "http://www.itunes.com/dtds/podcast-1.0.dtd"
PODCAST_NAMESPACE = "https://podcastindex.org/namespace/1.0"
_NAMESPACES = {"itunes": ITUNES_NAMESPACE, "podcast": PODCAST_NAMESPACE}
_CHAPTERS_TYPE = "application/json+chapters"
#: What Apple reads of a name (characters).
_MAX_NAME_LENGTH = 255
#: podcast:person and podcast:funding (podcast namespace 1.0).
_MAX_TEXT_LENGTH = 128


class ChannelTags:
    """What directories read of a podcast as a whole."""

    def __init__(self) -> None:
        self._head: Head | None = None

    def describe(self, head: Head) -> None:
        """Take what there is to be written."""
        self._head = head

    def extend_ns(self) -> dict[str, str]:
        """Prefixes to be declared."""
        return _NAMESPACES

    def extend_rss(self, rss: Any) -> Any:
        """Write the tags of the channel."""
        head, channel = self._head, rss[0]
        if head is not None and head.podcast is not None:
            _write_itunes(channel, head, head.podcast)
            _write_podcast(channel, head, head.podcast)
        return rss


class EpisodeTags:
    """What players read of one episode."""

    def __init__(self) -> None:
        self._episode = Episode()
        self._image: str | None = None

    def describe(self, entry: Entry) -> None:
        """Take what there is to be written."""
        self._episode, self._image = entry.episode, entry.image

    def extend_ns(self) -> dict[str, str]:
        """Prefixes to be declared."""
        return _NAMESPACES

    def extend_rss(self, item: Any) -> Any:
        """Write the tags of the item."""
        for name, text in _episode_texts(self._episode):
            _itunes(item, name, text)
        if self._image is not None:
            _itunes(item, "image", href=self._image)
        for one in self._episode.transcripts:
            language = {"language": one.language} if one.language else {}
            _podcast(item, "transcript", url=one.url, type=one.media_type, **language)
        if self._episode.chapters is not None:
            _podcast(item, "chapters", url=self._episode.chapters, type=_CHAPTERS_TYPE)
        for person in self._episode.people:
            facts = {"role": person.role, "href": person.url, "img": person.image}
            given = {name: value for name, value in facts.items() if value is not None}
            _podcast(item, "person", shorten(person.name, _MAX_TEXT_LENGTH), **given)
        return item


def _episode_texts(episode: Episode) -> Iterator[tuple[str, str]]:
    if episode.duration_seconds is not None:
        yield "duration", str(episode.duration_seconds)
    if episode.season is not None:
        yield "season", str(episode.season)
    if episode.number is not None:
        yield "episode", str(episode.number)
    if episode.kind is not None:
        yield "episodeType", episode.kind
    if episode.explicit is not None:
        yield "explicit", _truth(episode.explicit)


def _write_itunes(channel: Any, head: Head, podcast: Podcast) -> None:
    _itunes(channel, "author", _name(podcast.author))
    for category in podcast.categories:
        parent = channel
        for part in category:
            parent = _itunes(parent, "category", text=clean_line(part))
    _itunes(channel, "explicit", _truth(podcast.explicit))
    if image := usable_url(head.image):
        _itunes(channel, "image", href=image)
    _itunes(channel, "type", podcast.type)
    if podcast.owner_email:
        owner = _itunes(channel, "owner")
        _itunes(owner, "name", _name(podcast.owner_name or podcast.author))
        _itunes(owner, "email", clean_line(podcast.owner_email))
    if new_url := usable_url(podcast.new_feed_url):
        _itunes(channel, "new-feed-url", new_url)


def _write_podcast(channel: Any, head: Head, podcast: Podcast) -> None:
    if head.guid:
        _podcast(channel, "guid", head.guid)
    owner = {"owner": clean_line(podcast.owner_email)} if podcast.owner_email else {}
    _podcast(channel, "locked", "yes" if podcast.locked else "no", **owner)
    if url := usable_url(podcast.funding_url):
        text = clean_line(podcast.funding_text or head.title)
        _podcast(channel, "funding", shorten(text, _MAX_TEXT_LENGTH), url=url)
    _podcast(channel, "medium", podcast.medium)


def _itunes(parent: Any, name: str, text: str | None = None, /, **values: str) -> Any:
    return _add(parent, f"{{{ITUNES_NAMESPACE}}}{name}", text, values)


def _podcast(parent: Any, name: str, text: str | None = None, /, **values: str) -> Any:
    return _add(parent, f"{{{PODCAST_NAMESPACE}}}{name}", text, values)


def _add(parent: Any, tag: str, text: str | None, values: dict[str, str]) -> Any:
    element = etree.SubElement(parent, tag, values)
    element.text = text
    return element


def _name(text: str) -> str:
    return shorten(clean_line(text), _MAX_NAME_LENGTH)


def _truth(value: bool) -> str:
    return "true" if value else "false"
