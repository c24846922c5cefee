"""What operators write to subscribers: Markdown, as the HTML of mails and as plain text.

Few elements, no images, no HTML inside it. Nobody's slots: the characters that mails mark them with
are taken out, however they were written.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import east_asian_width

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup

from feedsvc.kit.letter_text import write_plainly

#: Characters of one text; what stands beyond is left out.
LETTER_LENGTH = 50_000
#: Bytes that one text takes in a mail, when nothing else is in it; see `write_prose`.
LETTER_ROOM = 70_000
#: What the styles that are written into each element take, in bytes.
_STYLE_BYTES = 100
#: Blocks and spans nested deeper are left as text.
_MAX_NESTING = 20
#: A paragraph with more brackets is not searched for links: the work grows with their square.
_MAX_BRACKETS = 500

_TAGS = {"a", "blockquote", "br", "code", "em", "h2", "h3", "hr", "li", "ol", "p", "pre", "s"} | {
    "strong",
    "ul",
}
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"*": set(), "a": {"href"}, "ol": {"start"}},
    url_schemes={"http", "https", "mailto"},
    link_rel=None,
)
# Control characters, what turns the direction of the text around it, lone surrogates, and the two
# characters that mark slots in mails.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
    "\U0010fffc\U0010fffd]"
)
_LINK = re.compile(r"https?://[^/\s]|mailto:[^\s@]+@[^\s@]", re.IGNORECASE)
#: An address in running text; Chinese writes no space behind it.
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\u2018-\u201f\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+")
_NOT_LAST = ".,;:!?)]}*_~"


@dataclass(frozen=True, slots=True)
class Prose:
    """A text as mails have it; both forms say the same, with the same links."""

    html: Markup
    text: str
    #: All of it, for a page, where there is room.
    page: Markup
    #: Whether html and text are all of it too.
    is_whole: bool = True
    #: Bytes that its HTML takes in a mail, about.
    size: int = 0


def letter_html(markdown: str) -> str:
    """The HTML of a text: inert, with links to pages and mailboxes alone, and no images."""
    return write_prose(markdown).page


def letter_text(markdown: str) -> str:
    """A text as it is read without HTML; addresses stand behind what links to them."""
    return write_plainly(_parse(markdown))


def write_prose(markdown: str, room: int = LETTER_ROOM) -> Prose:
    """A text in both forms.

    Args:
        room: bytes that the HTML may take in a mail; blocks (paragraphs, lists) that go beyond it
            are left out of html and text.
    """
    blocks = [(_render(block), block) for block in _blocks(_parse(markdown))]
    size, fitting = 0, 0
    for html, _ in blocks:
        size += _mailed_bytes(html)
        if size > room:
            break
        fitting += 1
    inside = [token for _, block in blocks[:fitting] for token in block]
    return Prose(
        html=_joined(html for html, _ in blocks[:fitting]),
        text=write_plainly(inside),
        page=_joined(html for html, _ in blocks),
        is_whole=fitting == len(blocks),
        size=sum(_mailed_bytes(html) for html, _ in blocks[:fitting]),
    )


def _joined(parts: Iterator[str]) -> Markup:
    # SECURITY: markup, because every part has been through the cleaner.
    return Markup("\n".join(parts))


def _mailed_bytes(html: str) -> int:
    return len(html.encode()) + _STYLE_BYTES * html.count("<") // 2


def _parse(markdown: str) -> list[Token]:
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    return _markdown().parse(_UNWANTED.sub("", text)[:LETTER_LENGTH])


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each block that stands in no other."""
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _render(block: Sequence[Token]) -> str:
    markdown = _markdown()
    html: str = markdown.renderer.render(block, markdown.options, {})
    # References such as &#8238; have become characters by now.
    return _UNWANTED.sub("", _CLEANER.clean(html)).strip()


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
    markdown.enable("strikethrough")
    markdown.core.ruler.before("inline", "leave_brackets", _leave_brackets)
    markdown.core.ruler.push("shape", _shape)
    return markdown


def _leave_brackets(state: StateCore) -> None:
    for index, token in enumerate(state.tokens):
        if token.type == "inline" and token.content.count("[") > _MAX_BRACKETS:
            state.tokens[index] = _text(token.content, token.level)


def _shape(state: StateCore) -> None:
    """Headings below those of the mail, no images, links that are links, Chinese without gaps."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "h2" if token.tag in ("h1", "h2") else "h3"
        if token.children:
            children = [_shown(child) for child in token.children]
            token.children = list(_with_links(_without_gaps(children), state.md))


def _shown(child: Token) -> Token:
    """An image as the words that stand for it; text without what references have made."""
    if child.type == "image":
        return _text(_UNWANTED.sub("", child.content), child.level)
    child.content = _UNWANTED.sub("", child.content)
    return child


def _without_gaps(children: list[Token]) -> list[Token]:
    """Line ends between Chinese characters are taken out: a browser shows a gap there."""
    for before, child, after in zip(children, children[1:], children[2:], strict=False):
        ends = before.content[-1:], after.content[:1]
        is_gap = child.type == "softbreak" and all(ends)
        if is_gap and all(east_asian_width(end) in "WF" for end in ends):
            child.type, child.content, child.tag = "text", "", ""
    return children


def _with_links(children: Sequence[Token], markdown: MarkdownIt) -> Iterator[Token]:
    """Links to what is no page and no mailbox are their words alone; bare addresses are links."""
    open_links: list[bool] = []
    for child in children:
        if child.type == "link_open":
            open_links.append(_LINK.match(str(child.attrs.get("href", ""))) is not None)
            if not open_links[-1]:
                continue
        elif child.type == "link_close":
            if not open_links.pop():
                continue
        elif child.type == "text" and not open_links:
            yield from _linked(child, markdown)
            continue
        yield child


def _linked(child: Token, markdown: MarkdownIt) -> Iterator[Token]:
    end = 0
    for found in _ADDRESS.finditer(child.content):
        address = found[0].rstrip(_NOT_LAST)
        href = markdown.normalizeLink(address)
        if not _LINK.match(href) or not markdown.validateLink(href):
            continue
        yield _text(child.content[end : found.start()], child.level)
        yield Token("link_open", "a", 1, attrs={"href": href}, level=child.level)
        yield _text(address, child.level + 1)
        yield Token("link_close", "a", -1, level=child.level)
        end = found.start() + len(address)
    yield _text(child.content[end:], child.level)


def _text(content: str, level: int) -> Token:
    return Token("text", "", 0, content=content, level=level)
