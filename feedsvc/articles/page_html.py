"""Reads a saved HTML news page: headline, local time, authors and the article itself."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from lxml import etree
from lxml.html import HtmlElement

from feedsvc.articles.links import make_absolute
from feedsvc.articles.page_body import extract_body
from feedsvc.articles.page_lines import Furniture, read_furniture
from feedsvc.articles.page_outline import Outline, TextLine, choose_story, outline_page, parse_html
from feedsvc.articles.page_reading import PageReading
from feedsvc.articles.page_times import read_machine_time, to_utc
from feedsvc.errors import BrokenArticle

#: Fields of a page that hold the moment of publication, the best first.
_TIME_FIELDS = (
    "article:published_time",
    "og:published_time",
    "og:time",
    "weibo: article:create_at",
    "weibo:article:create_at",
    "pubdate",
    "publishdate",
    "publish_date",
    "publish-date",
    "datepublished",
    "og:release_date",
    "dc.date.issued",
    "date",
)
_AUTHOR_FIELDS = ("author", "article:author", "dc.creator")
_SECTION_FIELDS = ("article:section",)
_TITLE_FIELDS = ("og:title", "twitter:title")
#: What stands between a headline and the name of the site.
_TITLE_SIGNS = re.compile(r"\s{0,3}(?:[_|｜–—―·»]|--?|\s-\s)\s{0,3}")
#: Signs of an address where a name should be.
_NO_NAME = re.compile("://|@")
#: Lines around the headline in which its time and authors stand.
_LINES_BEFORE, _LINES_AFTER = 3, 15
#: A line longer than this is not about the article but of it (characters).
_LONGEST_LINE = 200
#: A headline stands at a few places of a page; more of them are read as something else.
_MOST_PLACES = 10
#: Longer titles are cut before they are compared (characters).
_LONGEST_TITLE = 500
#: A time on the page that is further than this from the machine-readable one is another article's.
_SAME_ARTICLE = timedelta(days=2)


def read_html_page(
    text: str, location: str, zone: ZoneInfo, base_url: str | None = None
) -> PageReading:
    """Read a page saved as HTML; `base_url` is what its links are relative to.

    Raises:
        BrokenArticle: no headline, no text, or trafilatura is not installed.
    """
    try:
        tree = parse_html(text)
    except etree.LxmlError as error:
        raise BrokenArticle(location, f"not an HTML page: {error}") from error
    fields = _fields(tree)
    outline = outline_page(tree)
    title = choose_title(_candidates(tree, fields), _page_title(tree), outline.lines)
    if not title:
        raise BrokenArticle(location, "no headline found: neither og:title nor h1 nor title")
    near = list(_near_headline(outline, title))
    story = choose_story(outline)
    if story is None:
        raise BrokenArticle(location, "no article text found on the page")
    return PageReading(
        title=title,
        html=extract_body(story, title, location, base_url),
        published_at=choose_time(near, _machine_times(tree, fields, zone), zone),
        section=next(_values(fields, _SECTION_FIELDS), None)
        or next((one.section for one in near if one.section), None),
        authors=_choose_authors(near, fields),
        canonical=_find_canonical(tree, fields, base_url),
    )


def choose_title(candidates: Iterable[str], page_title: str, lines: list[TextLine]) -> str:
    """The headline without the name of the site.

    The `<title>` says which of the candidates (h1, og:title) is the headline: the longest it
    begins with, or ends with when that is most of it. Failing that, its longest beginning that
    stands as a line of the page. Nothing is cut without such a second witness.
    """
    witnesses = [one for one in candidates if one]
    agreeing = [
        one
        for one in witnesses
        if page_title.startswith(one)
        or (page_title.endswith(one) and len(one) * 2 > len(page_title))
    ]
    beginnings = [page_title[: sign.start()] for sign in _TITLE_SIGNS.finditer(page_title)]
    if agreeing:
        # An og:title may carry the site's name as well; a shorter h1 then cuts it.
        longest = max(agreeing, key=len)
        cut = [one for one in agreeing if one in beginnings and longest.startswith(one)]
        return max(cut, key=len) if cut and longest == page_title else longest
    shown = {line.text for line in lines}
    for beginning in sorted((*beginnings, page_title), key=len, reverse=True):
        if beginning in shown:
            return beginning
    return page_title or next(iter(witnesses), "")


def choose_time(
    near: list[Furniture], machine: list[tuple[datetime, bool]], zone: ZoneInfo
) -> datetime | None:
    """When the article was published, as an instant; None when the page does not say.

    The time shown at the headline is what the editors mean; machine-readable fields are often
    that of a later step. They decide when nothing is shown or it is another article's.
    """
    given = next((one for one in machine if one[1]), None) or next(iter(machine), None)
    for one in near:
        if one.time is None or one.is_update:
            continue
        shown = to_utc(one.time, zone)
        if given is None or (_has_clock(one) and abs(shown - given[0]) <= _SAME_ARTICLE):
            return shown
    return given[0] if given is not None else None


def _has_clock(furniture: Furniture) -> bool:
    time = furniture.time
    return time is not None and (time.hour, time.minute, time.second) != (0, 0, 0)


def _near_headline(outline: Outline, title: str) -> Iterator[Furniture]:
    """What the lines around the headline say, those below it first; each place it stands at."""
    lines = outline.lines
    places = [at for at, line in enumerate(lines) if line.text == title]
    for at in places[:_MOST_PLACES]:
        below = lines[at + 1 : at + 1 + _LINES_AFTER]
        above = lines[max(at - _LINES_BEFORE, 0) : at]
        for near in (*below, *above):
            furniture = read_furniture(near.text) if len(near.text) <= _LONGEST_LINE else None
            if furniture is not None:
                yield furniture


def _candidates(tree: HtmlElement, fields: dict[str, list[str]]) -> list[str]:
    headings = [_clean(heading.text_content()) for heading in tree.iter("h1")]
    return [*headings[:10], *_values(fields, _TITLE_FIELDS)]


def _page_title(tree: HtmlElement) -> str:
    element = next(tree.iter("title"), None)
    return _clean(element.text_content()) if element is not None else ""


def _fields(tree: HtmlElement) -> dict[str, list[str]]:
    """The machine-readable fields of a page: lower-case name -> values in order."""
    fields: dict[str, list[str]] = {}
    for meta in tree.iter("meta"):
        name = meta.get("property") or meta.get("name") or meta.get("itemprop") or ""
        value = _clean(meta.get("content") or "")
        if name and value:
            fields.setdefault(name.strip().lower(), []).append(value)
    return fields


def _values(fields: dict[str, list[str]], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from fields.get(name, ())


def _machine_times(
    tree: HtmlElement, fields: dict[str, list[str]], zone: ZoneInfo
) -> list[tuple[datetime, bool]]:
    values = [*_linked_data_times(tree), *_values(fields, _TIME_FIELDS)]
    times = (read_machine_time(value, zone) for value in values)
    return [time for time in times if time is not None]


def _linked_data_times(tree: HtmlElement) -> Iterator[str]:
    """`datePublished` of JSON-LD blocks (schema.org); `pubDate` as Baidu wants it."""
    for script in tree.iter("script"):
        if "ld+json" not in (script.get("type") or ""):
            continue
        try:
            found: Any = json.loads(script.text or "")
        except (ValueError, RecursionError):
            continue
        for one in found if isinstance(found, list) else [found]:
            if isinstance(one, dict):
                for name in ("datePublished", "pubDate"):
                    if isinstance(one.get(name), str):
                        yield one[name]


def _find_canonical(
    tree: HtmlElement, fields: dict[str, list[str]], base_url: str | None
) -> str | None:
    """The address a page says it stands at: `<link rel=canonical>`, else og:url."""
    links = (one.get("href") or "" for one in tree.iter("link") if _is_canonical(one))
    for url in (*links, *_values(fields, ("og:url",))):
        if address := make_absolute(url, base_url):
            return address
    return None


def _is_canonical(link: HtmlElement) -> bool:
    return "canonical" in (link.get("rel") or "").lower().split()


def _choose_authors(near: list[Furniture], fields: dict[str, list[str]]) -> tuple[str, ...]:
    authors = (
        [author for one in near for author in one.authors]
        or [one for one in _values(fields, _AUTHOR_FIELDS) if not _NO_NAME.search(one)]
        or [origin for one in near for origin in one.origins]
    )
    return tuple(dict.fromkeys(authors))


def _clean(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_TITLE]
