"""What an entry says: an article's values, cleaned once for every format.

Holds no markup of any format; syndication.py and jsonfeed.py write these values down.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import idna

from feedsvc.errors import EntryUnrenderable
from feedsvc.model.article import Article, Enclosure, article_address

Content = Literal["full", "summary"]

#: `updated` of a feed without entries: fixed, so that rendering it again gives the same bytes.
EMPTY_FEED_AT = datetime(2000, 1, 1, tzinfo=UTC)

# Everything outside XML 1.0 §2.2 Char, and the C1 and DEL controls, which that section
# discourages and feed validators refuse.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNSAFE_IN_URL = re.compile(r"[^!-~]|[\"<>\\^`{|}]")
_URL_SAFE = ":/?#[]@!$&'()*+,;=%-._~"
_MADE_UP_TITLE_LENGTH = 80


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
    enclosures: tuple[Enclosure, ...]


def clean_text(text: str) -> str:
    """The text without characters that no feed may hold (XML 1.0 §2.2)."""
    return _UNWRITABLE.sub("", text)


def read_entry(article: Article, base_url: str, content: Content) -> Entry:
    """What an article's entry says.

    Args:
        base_url: where the article's own page is, without a trailing slash.

    Raises:
        EntryUnrenderable: a value the formats cannot do without is missing or unusable.
    """
    url = _wire_url(article_address(article, base_url))
    summary = clean_text(article.summary).strip()
    title = _one_line(article.title) or _one_line(summary)[:_MADE_UP_TITLE_LENGTH] or url
    body = clean_text(article.content).strip() if content == "full" else ""
    published_at = _instant(article.published_at, "published_at")
    if not article.guid:
        raise EntryUnrenderable(f"article {article.id}: has no guid")
    return Entry(
        guid=clean_text(article.guid),
        url=url,
        title=title,
        # Every entry has some text: Atom wants it of those that hold no content.
        summary=summary or ("" if body else title),
        content=body or None,
        language=article.language,
        authors=_distinct(article.authors),
        categories=_distinct([article.section or "", *article.topics]),
        published_at=published_at,
        # An article written long before its time of publication was not edited before it.
        updated_at=max(_instant(article.updated_at, "updated_at"), published_at),
        image=_usable(article.image),
        enclosures=tuple(
            Enclosure(file_url, one["media_type"], int(one["length_bytes"]))
            for one in article.enclosures
            if (file_url := _usable(one["url"])) is not None
        ),
    )


def _one_line(text: str) -> str:
    return " ".join(clean_text(text).split())


def _distinct(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in map(_one_line, names) if name))


def _instant(at: datetime, name: str) -> datetime:
    if at.utcoffset() is None:
        raise EntryUnrenderable(f"{name} has no time zone: {at}")
    return at.astimezone(UTC).replace(microsecond=0)


def _wire_host(parts: SplitResult) -> str:
    """Host and port with the name as browsers look it up (UTS 46, not the IDNA of 2003).

    Raises:
        EntryUnrenderable: it is no name of a host.
    """
    try:
        name = idna.encode(parts.hostname or "", uts46=True).decode()
        return f"{name}:{parts.port}" if parts.port else name
    except (ValueError, UnicodeError) as error:
        raise EntryUnrenderable(f"not the address of a host: {parts.netloc!r}") from error


def _usable(url: str | None) -> str | None:
    """The address of something beside the text; None when it is none: the article goes on."""
    try:
        return _wire_url(url) if url else None
    except EntryUnrenderable:
        return None


def _wire_url(url: str) -> str:
    """The address as RFC 3986 writes it: RSS knows no IRIs, and spaces end a link anywhere."""
    url = clean_text(url).strip()
    if not _UNSAFE_IN_URL.search(url):
        return url
    parts = urlsplit(url)
    host = parts.netloc if parts.netloc.isascii() else _wire_host(parts)
    rest = (quote(part, safe=_URL_SAFE) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, host, *rest))
