"""Changes to the stored page of a mail: what is withdrawn is cut out, and a way around is put on.

Pure. Themes mark the parts of an article with `data-article="<its id>"`; a page is shown only when
nothing that was withdrawn is left on it, whether it was marked or not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from lxml import etree
from lxml.html import Element, HtmlElement, HTMLParser, document_fromstring, tostring

_MARK = "data-article"
#: Shorter texts stand in other places by chance (bytes: a Chinese character tells more).
_LEAST_TELLING = 6
#: So much of an excerpt is looked for; a mail may have shortened it (characters).
_BEGINNING = 40
_BAR = (
    "max-width: 600px; margin: 0 auto; padding: 0 20px; box-sizing: border-box; font-family:"
    ' system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Noto Sans CJK SC",'
    ' "Microsoft YaHei", sans-serif; font-size: 14px; line-height: 1.6'
)
_BAR_LINK = "display: inline-block; padding: 11px 16px 11px 0; color: inherit"


@dataclass(frozen=True, slots=True)
class GoneArticle:
    """An article of a stored mail that is not published any more."""

    id: int
    title: str
    summary: str
    #: Its own address elsewhere; None: it was ours.
    url: str | None
    slug: str
    #: Whether its excerpt was in the mail; else at most its headline was, under "and n more".
    excerpted: bool
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link of the bar on top of a page."""

    text: str
    url: str


class StoredPage:
    """A page that can be changed and written again."""

    def __init__(self, html: str) -> None:
        """Raises ValueError when it is no page at all."""
        # As bytes with a given encoding: lxml refuses text that declares another one.
        parser = HTMLParser(encoding="utf-8")
        try:
            root = document_fromstring(html.encode("utf-8", "replace"), parser=parser)
        except etree.LxmlError as error:
            raise ValueError("the stored page is empty") from error
        self._root: HtmlElement = root

    def withdraw(self, gone: Iterable[GoneArticle], words: str, title: str) -> bool:
        """Put `words` in the place of each article, and `title` in that of the mail's subject.

        Returns:
            Whether nothing of the articles is left. If not, the page must not be shown.
        """
        gone = tuple(gone)
        for one in gone:
            parts = [part for part in self._root.iter() if part.get(_MARK) == str(one.id)]
            if one.excerpted and not parts:
                return False
            for number, part in enumerate(parts):
                if number:
                    part.drop_tree()
                else:
                    _bury(part, words)
        for element in self._root.iter("title"):
            _empty(element)
            element.text = title
        left, addresses = _everything(self._root)
        return not any(
            _leads_to(address, one) for one in gone for address in addresses
        ) and not any(trace in left for one in gone for trace in _traces(one))

    def add_bar(self, label: str, language: str, links: Sequence[PageLink]) -> None:
        """Links above everything else; it takes the page's own colours."""
        bar = Element("nav", {"aria-label": label, "lang": language, "style": _BAR})
        for link in links:
            one = etree.SubElement(bar, "a", {"href": link.url, "style": _BAR_LINK})
            one.text, one.tail = link.text, " "
        for body in self._root.iter("body"):
            body.insert(0, bar)
            bar.tail, body.text = body.text, "\n"

    def add_head_link(self, **attributes: str) -> None:
        """A `<link>` of the page's head, such as rel="canonical"."""
        for head in self._root.iter("head"):
            etree.SubElement(head, "link", attributes).tail = "\n"

    def html(self) -> str:
        """The page as text."""
        written: str = tostring(self._root, encoding="unicode", doctype="<!DOCTYPE html>")
        return written


def _bury(element: HtmlElement, words: str) -> None:
    """Leave an element as it is laid out, with nothing but the words in it."""
    cell = element
    if element.tag == "tr":
        cell = next(element.iterchildren("td", "th"), element)
        for other in list(element):
            if other is not cell:
                element.remove(other)
        element.text, cell.tail = None, None
    _empty(cell)
    for one in {element, cell}:
        for name in ("lang", "title", "aria-label", _MARK):
            one.attrib.pop(name, None)
    if cell.tag == "tr":  # without a cell: a row holds no text
        cell = etree.SubElement(cell, "td")
    if cell.tag in ("ul", "ol", "table", "tbody"):  # nor do these
        cell.tag = "div"
    cell.text = words


def _empty(element: HtmlElement) -> None:
    for child in list(element):
        element.remove(child)
    element.text = None


def _everything(root: HtmlElement) -> tuple[str, set[str]]:
    """Every text and every value of an attribute, comments included; and where links lead."""
    parts: list[str] = []
    addresses: set[str] = set()
    for element in root.iter():
        parts += [element.text or "", element.tail or ""]
        if isinstance(element.tag, str):
            parts += element.attrib.values()
            addresses.add(element.get("href", ""))
    return _plain("\n".join(parts)), addresses


def _leads_to(address: str, one: GoneArticle) -> bool:
    if one.url is not None:
        return address == one.url
    path = unquote(address.partition("#")[0].partition("?")[0])
    return path.endswith(f"/articles/{one.slug}")


def _traces(one: GoneArticle) -> list[str]:
    """Texts that must not be found on a page."""
    texts = (_plain(one.title), _plain(one.summary)[:_BEGINNING].strip())
    return [text for text in texts if len(text.encode()) >= _LEAST_TELLING]


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
