"""The words of an article, and their beginning cut where a reader would cut it."""

import re
from html import unescape

from feedsvc.articles.text import clean_line, cut_back, is_wide, may_cut, runs_on


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_INLINE = _tags(
    "a abbr b bdi bdo cite code del dfn em font i ins kbd mark q ruby s samp small span strong sub"
    " sup time u var wbr"
)
#: What is in these is not read aloud with the text.
_UNREAD = _tags("script style template title figcaption rp rt svg math")
_TAG = re.compile(r"<(?:(/?)([A-Za-z][A-Za-z0-9]*)[^<>]*|[!?][^<>]*)>")
#: Between two blocks; not white space to Python, and in no stored text.
_BREAK = "\x00"

_GAP = re.compile(rf"[\s{_BREAK}]+")

#: A block that ends so needs no space before the next.
_CHINESE_ENDS = "。！？；：，、”」』》）…"
_CLOSERS = "”」』’》）)\"'〕】"
_SENTENCE_END = re.compile(rf"(?:[。！？…!?]+[{_CLOSERS}]*|\.[{_CLOSERS}]*(?=\s|$))")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|no|vs|etc|e\.g|i\.e|cf|fig|vol|inc|ltd|jr|sr|approx)"
    r"|(?:^|[\s.])[a-z])\.\Z",
    re.I,
)
_PAUSES = "，、；：,;:—"
_ELLIPSIS = "…"


def plain_text(html: str, enough: int | None = None) -> str:
    """The words of HTML as `sanitise` writes it, as one line.

    Line ends inside a Chinese sentence leave no gap, as on paper; captions and pronunciation
    marks are left out. With `enough`, reading stops once about that many characters are there.
    """
    parts: list[str] = []
    unread: list[str] = []
    length = end = 0
    for tag in _TAG.finditer(html):
        if not unread:
            parts.append(_text(html[end : tag.start()]))
            length += len("".join(parts[-1].split()))
        end = tag.end()
        name = (tag[2] or "").lower()
        if name in _UNREAD:
            _enter_or_leave(unread, name, leaves=bool(tag[1]))
        elif name and name not in _INLINE:
            parts.append(_BREAK)
        if enough is not None and length > 4 * enough + 1000:
            return _join("".join(parts))
    if not unread:
        parts.append(_text(html[end:]))
    return _join("".join(parts))


def _text(piece: str) -> str:
    return unescape(piece).replace(_BREAK, "")


def _enter_or_leave(unread: list[str], name: str, *, leaves: bool) -> None:
    if not leaves:
        unread.append(name)
    elif name in unread:
        while unread.pop() != name:
            pass


def excerpt(html: str, limit: int = 240) -> str:
    """The beginning of an article as plain text, of at most `limit` characters and an ellipsis.

    Ends with a sentence where one ends in the later part of the limit, else at a pause or between
    two words, with `…`; never inside what a reader sees as one character.
    """
    text = plain_text(html, enough=limit)
    if len(text) <= limit:
        return text
    room = cut_back(text, limit)
    return _last_sentences(text, len(room)) or _last_words(text, room) + _ELLIPSIS


def _join(raw: str) -> str:
    """One line out of text with breaks: a space where one would be read, none within Chinese."""
    pieces = []
    end = 0
    for gap in _GAP.finditer(raw):
        pieces.append(raw[end : gap.start()])
        before, after = raw[gap.start() - 1 : gap.start()], raw[gap.end() : gap.end() + 1]
        pieces.append("" if _closes_up(before, gap[0], after) else " ")
        end = gap.end()
    return clean_line("".join(pieces) + raw[end:])


def _closes_up(before: str, gap: str, after: str) -> bool:
    if not before or not after or not runs_on(before, after):
        return False
    return before in _CHINESE_ENDS if _BREAK in gap else "\n" in gap


def _last_sentences(text: str, limit: int) -> str:
    """As many whole sentences as fit, if they fill more than half of the limit; else ''."""
    end = 0
    for match in _SENTENCE_END.finditer(text, 0, limit):
        at = match.end()
        if at >= limit and at < len(text) and text[at] in "。！？…!?" + _CLOSERS:
            break  # the sentence's own closing marks lie beyond
        if match[0][0] == "." and not _ends_sentence(text, at, match.start()):
            continue
        if may_cut(text, at):
            end = at
    return text[:end] if end > limit // 2 else ""


def _ends_sentence(text: str, at: int, dot: int) -> bool:
    if at < len(text) and not text[at].isspace():
        return False  # "$" of the pattern meant the end of the room, not of the text
    return not _ABBREVIATION.search(text[max(dot - 12, 0) : dot + 1])


def _last_words(text: str, room: str) -> str:
    """`room` without a word begun and not ended; for Chinese preferably up to a pause."""
    limit = len(room)
    at = limit
    while at > limit // 2 and not _is_between_words(text, at):
        at -= 1
    if at <= limit // 2:
        return room  # one long word: an address, or writing without spaces
    if is_wide(text[at - 1]) and is_wide(text[at]):
        at = next((i for i in range(at - 1, limit * 2 // 3, -1) if _is_pause(text, i)), at)
    trimmed = len(text[:at].rstrip(_PAUSES + " "))
    return text[: trimmed if may_cut(text, trimmed) else at]


def _is_between_words(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    between = before.isspace() or after.isspace() or is_wide(before) or is_wide(after)
    return between and may_cut(text, at)


def _is_pause(text: str, at: int) -> bool:
    return text[at] in _PAUSES and may_cut(text, at)
