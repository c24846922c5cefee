"""Reads a news page that was saved as plain text: headline, time, section, paragraphs."""

import html
import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from feedsvc.articles.page_lines import Furniture, ends_article, is_prose, read_furniture
from feedsvc.articles.page_reading import PageReading
from feedsvc.articles.page_times import find_time, to_utc
from feedsvc.articles.page_words import SECTION_ENDS
from feedsvc.errors import BrokenArticle

#: The longest name of a section (characters).
_LONGEST_SECTION = 12
_LONGEST_HEADLINE = 100
#: Lines before a time that can still belong to the head of a page.
_HEAD_LINES = 8
_INDENT = re.compile(r"(?:\u3000| {2}|\t|\xa0{2})")


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    indented: bool
    furniture: Furniture | None

    @property
    def is_body(self) -> bool:
        return self.indented or is_prose(self.text)


def read_text_page(text: str, location: str, zone: ZoneInfo) -> PageReading:
    """Read a page saved as text. Raises BrokenArticle when it has no headline or no text."""
    lines = _lines(text)
    headline_at = find_headline(lines)
    if headline_at is None:
        raise BrokenArticle(location, "no headline found: the page has no line of its own text")
    title = lines[headline_at].text
    body_at = _next_text(lines, headline_at + 1)
    end_at = _end_of_body(lines, body_at)
    body = [line.text for line in lines[body_at:end_at] if not _is_link(line)]
    if not body:
        raise BrokenArticle(location, "no article text found below the headline")
    around = [line.furniture for line in (*lines[:body_at], *lines[end_at:]) if line.furniture]
    return PageReading(
        title=title,
        html="\n".join(f"<p>{html.escape(line, quote=False)}</p>" for line in body),
        published_at=_choose_time(around, body[-1], zone),
        section=_choose_section(lines[:headline_at], around),
        authors=choose_authors(around),
    )


def find_headline(lines: list[_Line]) -> int | None:
    """Which line is the headline: above the time, the longest; without a time, the first.

    A short first line that names a section is passed over.
    """
    texts = [at for at, line in enumerate(lines) if line.furniture is None]
    if not texts:
        return None
    head: list[int] = []
    for at, line in enumerate(lines):
        if line.furniture is not None and line.furniture.time is not None:
            if head:
                return max(head, key=lambda one: len(lines[one].text))
            break
        if line.furniture is None:
            if line.indented or len(line.text) > _LONGEST_HEADLINE or len(head) == _HEAD_LINES:
                break
            head.append(at)
    if len(texts) > 1 and _is_section(lines[texts[0]].text) and not lines[texts[1]].is_body:
        return texts[1]
    return texts[0]


def choose_authors(around: list[Furniture]) -> tuple[str, ...]:
    """The authors named around an article; when none is, where it was taken from."""
    authors = [author for one in around for author in one.authors]
    origins = [origin for one in around for origin in one.origins]
    return tuple(dict.fromkeys(authors or origins))


def _lines(text: str) -> list[_Line]:
    lines = []
    for line in text.replace("\ufeff", "").splitlines():
        words = " ".join(line.split())
        if words:
            lines.append(_Line(words, bool(_INDENT.match(line)), read_furniture(words)))
    return lines


def _next_text(lines: list[_Line], at: int) -> int:
    """The first line from `at` on that is the article's."""
    while at < len(lines) and lines[at].furniture is not None:
        at += 1
    return at


def _end_of_body(lines: list[_Line], body_at: int) -> int:
    """Where the article ends: before its last furniture, or where links to others begin."""
    end = len(lines)
    for at in range(len(lines) - 1, body_at, -1):
        if lines[at].is_body:
            break
        if ends_article(lines[at].text):
            end = at
    while end > body_at and _closes(lines[end - 1]):
        end -= 1
    return end


def _closes(line: _Line) -> bool:
    """Whether a last line is furniture. A date alone is not: it stands under a signature."""
    if line.furniture is None:
        return False
    found = find_time(line.text)
    return found is None or len(line.text) > found.end - found.start


def _is_link(line: _Line) -> bool:
    return line.furniture is not None and not line.furniture.says_something


def _is_section(line: str) -> bool:
    return len(line) <= _LONGEST_SECTION and line.endswith(SECTION_ENDS)


def _choose_time(around: list[Furniture], last: str, zone: ZoneInfo) -> datetime | None:
    for one in sorted(around, key=lambda one: one.is_update):
        if one.time is not None:
            return to_utc(one.time, zone)
    found = find_time(last)  # under a signature
    if found is not None and found.end - found.start == len(last):
        return to_utc(found.local, zone)
    return None


def _choose_section(before: list[_Line], around: list[Furniture]) -> str | None:
    for one in around:
        if one.section is not None:
            return one.section
    for line in reversed(before):
        if line.furniture is None and len(line.text) <= _LONGEST_SECTION:
            return line.text
    return None
