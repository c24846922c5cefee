"""What an entry says: an article's values, cleaned once for every format.

Holds no markup of any format; syndication.py and jsonfeed.py write these values down.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from feedsvc.errors import EntryUnrenderable
from feedsvc.feeds.writing.episodes import Episode, read_episode
from feedsvc.feeds.writing.wire import clean_line, clean_names, shorten, usable_url, wire_url
from feedsvc.feeds.writing.wire import clean_text as clean_text
from feedsvc.model.article import Article, Enclosure, article_address

Content = Literal["full", "summary"]

#: `updated` of a feed without entries: fixed, so that rendering it again gives the same bytes.
EMPTY_FEED_AT = datetime(2000, 1, 1, tzinfo=UTC)

#: Longest title and summary (characters); what is longer is shortened.
MAX_TITLE_LENGTH = 500
MAX_SUMMARY_LENGTH = 5000
#: An article with a longer text (characters) is published as its summary: parsers refuse a whole
#: document because of one huge text (libxml2 at 10 MB), and hosted readers long before.
MAX_CONTENT_LENGTH = 1_000_000
_MADE_UP_TITLE_LENGTH = 80
_MAX_NAME_LENGTH = 200
_MAX_NAMES = 50
_UNKNOWN_TYPE = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,60}/[\w!#$&^.+-]{1,60}", re.ASCII)
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,4}")
#: "Undetermined" (ISO 639-2).
_NO_LANGUAGE = "und"


@dataclass(frozen=True, slots=True)
class Links:
    """Documents beside this one, and who tells of changes; all absolute addresses.

    An archive page (RFC 5005 §4) names the subscription document it belongs to as `current`.
    """

    hubs: tuple[str, ...] = ()
    #: The page with the next older entries; None where there is none.
    previous_archive: str | None = None
    #: The page with the next newer ones; None on the newest page and on the feed itself.
    next_archive: str | None = None
    #: On archive pages only: the feed's own document.
    current: str | None = None


@dataclass(frozen=True, slots=True)
class Podcast:
    """What podcast directories want to know of a feed (iTunes and podcast namespaces)."""

    author: str
    #: Category, or category and subcategory, as Apple names them.
    categories: tuple[tuple[str, ...], ...]
    explicit: bool
    #: `episodic` or `serial`.
    type: str = "episodic"
    owner_name: str | None = None
    owner_email: str | None = None
    copyright: str | None = None
    #: Other services may take the feed over only if this says no (`podcast:locked`).
    locked: bool = True
    #: Address, and what it is called (`podcast:funding`).
    funding_url: str | None = None
    funding_text: str | None = None
    #: `podcast:medium`, such as podcast, music, audiobook.
    medium: str = "podcast"
    new_feed_url: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What a feed says of itself in one format; everything is clean text."""

    title: str
    description: str
    language: str
    home_url: str
    self_url: str
    #: Named as the author of entries that name none (RFC 4287 §4.1.1 wants one).
    author: str
    updated_at: datetime
    links: Links = Links()
    image: str | None = None
    podcast: Podcast | None = None
    #: Identity for podcast directories.
    guid: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What one entry says in every format; everything is clean text, `content` is HTML.

    `content` is None where only the summary is published, which is never empty then. Instants are
    whole seconds in UTC.
    """

    guid: str
    url: str
    title: str
    summary: str
    content: str | None
    language: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    published_at: datetime
    updated_at: datetime
    image: str | None
    #: `length_bytes` 0: nobody knows.
    enclosures: tuple[Enclosure, ...]
    episode: Episode


def read_entry(article: Article, base_url: str, content: Content) -> Entry:
    """What an article's entry says.

    Args:
        base_url: where the article's own page is, without a trailing slash.

    Raises:
        EntryUnrenderable: a value the formats cannot do without is missing or unusable.
    """
    url = wire_url(article_address(article, base_url))
    summary = shorten(clean_text(article.summary).strip(), MAX_SUMMARY_LENGTH)
    title = clean_line(article.title) or clean_line(summary)[:_MADE_UP_TITLE_LENGTH] or url
    published_at = _instant(article.published_at, "published_at")
    if not article.guid:
        raise EntryUnrenderable(f"article {article.id}: has no guid")
    body = _body(article) if content == "full" else ""
    return Entry(
        guid=clean_text(article.guid),
        url=url,
        title=shorten(title, MAX_TITLE_LENGTH),
        # Every entry has some text: Atom wants it of those that hold no content.
        summary=summary or ("" if body else shorten(title, MAX_TITLE_LENGTH)),
        content=body or None,
        language=_language(article.language),
        authors=_names(article.authors),
        categories=_names([article.section or "", *article.topics]),
        published_at=published_at,
        # An article written long before its time of publication was not edited before it.
        updated_at=max(_instant(article.updated_at, "updated_at"), published_at),
        image=usable_url(article.image),
        enclosures=_enclosures(article.enclosures),
        episode=read_episode(article.extra or {}),
    )


def _body(article: Article) -> str:
    body = clean_text(article.content).strip()
    return body if len(body) <= MAX_CONTENT_LENGTH else ""


def _names(names: list[str]) -> tuple[str, ...]:
    return clean_names(names, longest=_MAX_NAME_LENGTH, most=_MAX_NAMES)


def _language(tag: str) -> str:
    return tag if _LANGUAGE_TAG.fullmatch(tag) else _NO_LANGUAGE


def _enclosures(stored: list[dict[str, Any]]) -> tuple[Enclosure, ...]:
    """The files that have an address, each once: one document names an address once."""
    found: dict[str, Enclosure] = {}
    for one in stored[:_MAX_NAMES]:
        media_type, length = one["media_type"], max(int(one["length_bytes"]), 0)
        if not _MEDIA_TYPE.fullmatch(media_type):
            media_type = _UNKNOWN_TYPE
        if (url := usable_url(one["url"])) is not None:
            found.setdefault(url, Enclosure(url, media_type, length))
    return tuple(found.values())


def _instant(at: datetime, name: str) -> datetime:
    if at.utcoffset() is None:
        raise EntryUnrenderable(f"{name} has no time zone: {at}")
    return at.astimezone(UTC).replace(microsecond=0)
