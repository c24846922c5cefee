"""From a raw item to an article: read its fields and its body, clean, absolute, with a digest.

Pure: bytes in, values out. Blocking, so it runs in a thread and outside transactions.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from html import unescape
from zoneinfo import ZoneInfo

from feedsvc.articles.encoding import decode
from feedsvc.articles.excerpt import excerpt, plain_text
from feedsvc.articles.front_matter import split_front_matter
from feedsvc.articles.identity import DATED_BY_FILE, digest_content
from feedsvc.articles.links import make_absolute
from feedsvc.articles.markdown import render_markdown
from feedsvc.articles.media import read_media
from feedsvc.articles.metadata import MAX_TITLE_LENGTH, Metadata, shorten
from feedsvc.articles.pages import read_page
from feedsvc.articles.plain import render_plain, split_title
from feedsvc.articles.sanitise import MAX_CONTENT_LENGTH, ContentRefused, sanitise
from feedsvc.articles.text import clean_line
from feedsvc.errors import BrokenArticle
from feedsvc.model.article import ArticleData, MediaType, RawItem
from feedsvc.model.language import language_tag

#: To be raised whenever the same bytes become another article than before: everything stored is
#: then read again.
PARSER_VERSION = 3

_MAX_SUMMARY_LENGTH = 1000
#: Where the head of an HTML document is looked for (characters).
_HEAD_LENGTH = 20_000

_H1 = re.compile(r'<h1(?: [a-z]+="[^"<>]*")*>(.*?)</h1>', re.DOTALL)
_HEAD_TITLE = re.compile(r"<title[^<>]*>([^<>]*)</title\s*>", re.IGNORECASE)
_HTML_LANGUAGE = re.compile(
    r"<html\b[^<>]*?\slang\s*=\s*[\"']?([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3})[\"'\s>]",
    re.IGNORECASE,
)
_LINK = re.compile(r"<link\b[^<>]{1,3000}>", re.IGNORECASE)
_IS_CANONICAL = re.compile(r"\srel\s*=\s*[\"']?canonical[\"'\s/>]", re.IGNORECASE)
_HREF = re.compile(r"\shref\s*=\s*(?:[\"']([^\"'<>]+)[\"']|([^\"'\s<>]+))", re.IGNORECASE)
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where an item says nothing.

    `zone` is that of times written without one; relative links are relative to `site_url` when
    neither the source nor the item knows an address.
    """

    language: str
    zone: ZoneInfo
    section: str | None
    site_url: str


def name_reading(defaults: Defaults, kind: str = "") -> str:
    """A name for all that decides, beside its bytes, what an item becomes.

    Equal names, equal articles; `kind` is that of the source. 64 characters.
    """
    parts = {**asdict(defaults), "zone": defaults.zone.key, "kind": kind, "parser": PARSER_VERSION}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Body:
    """An item's text as inert HTML, and what it says about itself."""

    html: str
    title: str | None = None
    language: str | None = None
    canonical: str | None = None


def parse_article(raw: RawItem, defaults: Defaults) -> ArticleData:
    """Read one raw item.

    The title is the field, else the first heading of the first level (taken out of the body),
    else of an HTML document its `<title>`, of a plain text its first line if it stands alone.

    Raises:
        BrokenArticle: it cannot become an article; names the line where one is to blame.
    """
    if raw.is_page:
        return _parse_page(raw, defaults)
    front_matter = split_front_matter(decode(raw.content, raw.location), raw.location)
    fields = Metadata(front_matter, raw.location, defaults.zone)
    url = fields.url(raw.base_url)
    base_url = raw.base_url or url or _site_base(defaults)
    body = _read_body(raw, front_matter.body, base_url, titled=fields.title() is not None)
    title, content = _settle_title(fields.title(), body)
    if not title:
        raise BrokenArticle(raw.location, "has no title: add `title: …` or a first heading", 1)
    published_at, enclosures = fields.published_at(), fields.enclosures(base_url)
    media = read_media(front_matter, raw.location, base_url) if enclosures else {}
    return _with_digest(
        ArticleData(
            title=title,
            content=content,
            summary=_summarise(fields.summary(), content),
            published_at=published_at or raw.modified_at.astimezone(UTC),
            updated_at=fields.updated_at(),
            language=fields.language() or body.language or defaults.language,
            section=fields.section() or defaults.section,
            topics=fields.topics(),
            authors=fields.authors(),
            url=url,
            image=fields.image(base_url),
            enclosures=enclosures,
            slug=fields.slug(),
            draft=fields.is_draft(),
            extra=media if published_at else {**media, DATED_BY_FILE: "yes"},
            weight=fields.weight(),
            canonical=body.canonical,
            source_guid=fields.source_guid(),
        )
    )


def _parse_page(raw: RawItem, defaults: Defaults) -> ArticleData:
    page = read_page(raw, defaults.zone)
    content = _sanitise(page.html, raw.base_url or _site_base(defaults), raw.location)
    title = shorten(clean_line(page.title), MAX_TITLE_LENGTH)
    if not title:
        raise BrokenArticle(raw.location, "has no title")
    section = clean_line(page.section)[:200] if page.section else None
    return _with_digest(
        ArticleData(
            title=title,
            content=content,
            summary=excerpt(content),
            published_at=(page.published_at or raw.modified_at).astimezone(UTC),
            language=defaults.language,
            section=section or defaults.section,
            authors=tuple(name for one in page.authors if (name := clean_line(one)[:200])),
            extra={} if page.published_at else {DATED_BY_FILE: "yes"},
            canonical=page.canonical,
        )
    )


def _site_base(defaults: Defaults) -> str:
    return defaults.site_url.rstrip("/") + "/"


def _read_body(raw: RawItem, text: str, base_url: str, *, titled: bool) -> _Body:
    if len(text) > MAX_CONTENT_LENGTH and raw.media_type is not MediaType.HTML:
        raise BrokenArticle(
            raw.location, f"holds more than {MAX_CONTENT_LENGTH:,} characters; split it"
        )
    if raw.media_type is MediaType.MARKDOWN:
        return _Body(_sanitise(render_markdown(text), base_url, raw.location))
    if raw.media_type is MediaType.PLAIN:
        first_line, rest = (None, text) if titled else split_title(text)
        return _Body(_sanitise(render_plain(rest), base_url, raw.location), first_line)
    head = text[:_HEAD_LENGTH]
    head_title, language = _HEAD_TITLE.search(head), _HTML_LANGUAGE.search(head)
    return _Body(
        _sanitise(text, base_url, raw.location),
        plain_text(head_title[1]) if head_title else None,
        language_tag(language[1]) if language else None,
        _find_canonical(head, raw.base_url),
    )


def _find_canonical(head: str, base_url: str | None) -> str | None:
    """The address an HTML document says it stands at."""
    for link in _LINK.finditer(head):
        href = _HREF.search(link[0])
        if href is not None and _IS_CANONICAL.search(link[0]):
            return make_absolute(unescape(href[1] or href[2]), base_url)
    return None


def _sanitise(html: str, base_url: str, location: str) -> str:
    try:
        return sanitise(html, base_url)
    except ContentRefused as error:
        raise BrokenArticle(location, str(error)) from error


def _settle_title(given: str | None, body: _Body) -> tuple[str, str]:
    """The title, and the body without the heading that says it again."""
    if given is not None:
        first = _H1.match(body.html)
        repeats = first is not None and plain_text(first[1]) == given
        return given, body.html[first.end() :].strip() if first and repeats else body.html
    for heading in _H1.finditer(body.html):
        if title := plain_text(heading[1]):
            rest = body.html[: heading.start()] + body.html[heading.end() :]
            return shorten(title, MAX_TITLE_LENGTH), rest.strip()
    return shorten(clean_line(body.title or ""), MAX_TITLE_LENGTH), body.html


def _summarise(given: str | None, content: str) -> str:
    if given is None:
        return excerpt(content)
    words = plain_text(given) if _MARKUP.search(given) else given
    return shorten(words, _MAX_SUMMARY_LENGTH)


def _with_digest(data: ArticleData) -> ArticleData:
    return replace(data, content_hash=digest_content(data))
