"""Walks a news page once: its lines of text in order, and where its prose stands."""

import re
from collections import Counter
from dataclasses import dataclass, field

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Elements whose text nobody reads.
_UNSEEN = _words("script style noscript template svg head textarea select iframe")
#: Elements that do not begin a line of their own.
_INLINE = _words(
    """
    a abbr b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small
    span strike strong sub sup time tt u var wbr
    """
)
#: Elements that are one paragraph: their prose is credited to what they stand in.
_PARAGRAPHS = _words("p blockquote h2 h3 h4 pre section figure") | _INLINE
_PROSE_SIGNS = re.compile("[，。！？；：,.!?;:]")
#: The shortest line that counts as prose (characters outside of links).
_LEAST_PROSE = 15
#: An article is written in parts when so many elements alike stand side by side ...
_PARTS = 3
#: ... and together have this many times the prose of the longest.
_WIDER = 2.0
#: How far to widen (elements).
_MOST_STEPS = 2


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of a page as a reader sees it; `prose` is its length outside of links."""

    text: str
    prose: int


@dataclass(slots=True)
class Outline:
    """What one walk over a page has found."""

    lines: list[TextLine] = field(default_factory=list)
    #: Prose whose paragraphs stand directly in an element.
    own: Counter[HtmlElement] = field(default_factory=Counter)
    #: Prose anywhere below an element.
    total: Counter[HtmlElement] = field(default_factory=Counter)


def parse_html(text: str) -> HtmlElement:
    """The tree of a page. Raises etree.ParserError when there is nothing in it."""
    # As bytes with a given encoding: lxml refuses text that declares another one.
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    return document_fromstring(text.replace("\x00", "").encode("utf-8", "replace"), parser=parser)


def outline_page(tree: HtmlElement) -> Outline:
    """Walk over a page. Takes time in proportion to its length."""
    walker = _Walker()
    events = etree.iterwalk(tree, events=("start", "end"))
    for event, element in events:
        if event == "start":
            if element.tag in _UNSEEN:
                events.skip_subtree()
            else:
                walker.enter(element)
        else:
            walker.leave(element)
    walker.end_line()
    return walker.outline


def choose_story(outline: Outline) -> HtmlElement | None:
    """The element that holds the article: the most prose, widened when it is one part of many.

    None when the page has no prose.
    """
    if not outline.own:
        return None
    story = max(outline.own, key=lambda element: outline.own[element])
    for _ in range(_MOST_STEPS):
        outer = story.getparent()
        if outer is None:
            break
        alike = [part for part in outer if _is_like(part, story) and outline.total[part]]
        together = sum(outline.total[part] for part in alike)
        if len(alike) < _PARTS or together < outline.total[story] * _WIDER:
            break
        story = outer
    return story


def _is_like(one: HtmlElement, other: HtmlElement) -> bool:
    return bool(one.tag == other.tag and one.get("class") == other.get("class"))


class _Walker:
    """Gathers text into lines; each line's prose belongs to the element it stands in."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._chunks: list[str] = []
        self._prose = 0
        self._links = 0
        self._owner: HtmlElement | None = None

    def enter(self, element: HtmlElement) -> None:
        if element.tag not in _INLINE:
            self.end_line()
        if element.tag == "a":
            self._links += 1
        self._add(element.text, element)

    def leave(self, element: HtmlElement) -> None:
        if element.tag == "a":
            self._links -= 1
        if element.tag not in _INLINE and element.tag not in _UNSEEN:
            self.end_line()
        outer = element.getparent()
        if outer is not None:
            if self.outline.total[element]:
                self.outline.total[outer] += self.outline.total[element]
            self._add(element.tail, outer)

    def end_line(self) -> None:
        """Keep the line gathered so far and begin another."""
        text = " ".join("".join(self._chunks).split())
        if text:
            self.outline.lines.append(TextLine(text, self._prose))
        if self._owner is not None and self._prose >= _LEAST_PROSE and _PROSE_SIGNS.search(text):
            self._credit(self._owner)
        self._chunks, self._prose, self._owner = [], 0, None

    def _add(self, text: str | None, element: HtmlElement) -> None:
        if not text:
            return
        self._chunks.append(text)
        if not self._links and (length := len(text.strip())):
            self._prose += length
            if self._owner is None:
                self._owner = element

    def _credit(self, element: HtmlElement) -> None:
        block = _climb(element, _INLINE)
        self.outline.own[_climb(block, _PARAGRAPHS)] += self._prose
        # The block has not been left yet; leaving it carries its total upwards.
        self.outline.total[block] += self._prose


def _climb(element: HtmlElement, over: frozenset[str]) -> HtmlElement:
    """The nearest element that is none of these: itself or around it."""
    while element.tag in over and (outer := element.getparent()) is not None:
        element = outer
    return element
