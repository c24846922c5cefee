"""Takes the article out of the element of a page that holds it."""

import copy
import html
from typing import Any

from lxml import etree
from lxml.html import HtmlElement, fromstring
from lxml.html.builder import BODY, HTML

from feedsvc.articles.page_lines import ends_article, read_furniture
from feedsvc.articles.page_outline import outline_page
from feedsvc.errors import BrokenArticle

#: Less text than this share of the element's own means that the extraction went wrong.
_LEAST_SHARE = 0.5


def extract_body(story: HtmlElement, title: str, location: str, base_url: str | None) -> str:
    """The article as HTML, not sanitised: no headline, no lines that stand around it.

    Raises:
        BrokenArticle: there is no text, or trafilatura is not installed.
    """
    trafilatura = _load_trafilatura(location)
    part = copy.deepcopy(story)
    part.tail = None
    lines = [line.text for line in outline_page(part).lines]
    extracted = trafilatura.extract(
        HTML(BODY(part)),
        url=base_url,
        output_format="html",
        include_comments=False,
        include_images=True,
        include_links=True,
        include_formatting=True,
        include_tables=True,
        favor_recall=True,
    )
    body = _without_surroundings(extracted, title) if extracted else ""
    if _text_length(body) < sum(map(len, lines)) * _LEAST_SHARE:
        body = _as_paragraphs(lines, title)
    if not body:
        raise BrokenArticle(location, "no article text found on the page")
    return body


def _load_trafilatura(location: str) -> Any:
    try:
        import trafilatura
    except ImportError as error:
        raise BrokenArticle(
            location,
            "reading HTML news pages needs trafilatura: pip install 'feedsvc[pages]'"
            f" ({error.msg.splitlines()[0]})",
        ) from error
    return trafilatura


def _without_surroundings(extracted: str, title: str) -> str:
    """Drop what is no article from both ends; in the middle nothing is touched."""
    body = fromstring(extracted).find("body")
    if body is None:
        return ""
    blocks = list(body)
    while blocks and _is_surrounding(blocks[0], title):
        blocks.pop(0)
    while blocks and _is_surrounding(blocks[-1], title):
        blocks.pop()
    return "\n".join(_serialise(block) for block in blocks)


def _is_surrounding(block: HtmlElement, title: str) -> bool:
    text = " ".join(_text(block).split())
    furniture = read_furniture(text)
    if furniture is not None and furniture.says_something:
        return True
    if next(block.iter("img"), None) is not None:
        return False
    return not text or text == title or furniture is not None or ends_article(text)


def _serialise(block: HtmlElement) -> str:
    block.tail = None
    return etree.tostring(block, encoding="unicode", method="html").strip()


def _text(element: HtmlElement) -> str:
    return "".join(element.itertext())


def _text_length(body: str) -> int:
    return len(_text(fromstring(f"<div>{body}</div>"))) if body else 0


def _as_paragraphs(lines: list[str], title: str) -> str:
    kept = [line for line in lines if line != title and read_furniture(line) is None]
    return "\n".join(f"<p>{html.escape(line, quote=False)}</p>" for line in kept)
