"""The words of the article that leads a mail: more of its beginning than the others have."""

import re
from html import unescape
from unicodedata import east_asian_width

#: Characters of an article's beginning.
LEAD_LENGTH = 600
_LOOKED_AT = 20_000
# The sanitiser escapes < and > in text and attributes, so these patterns meet only real tags.
_PARAGRAPH = re.compile(r"<p(?: [^<>]*)?>(.*?)</p>", re.DOTALL)
_UNREAD = re.compile(r"<(rt|rp)(?: [^<>]*)?>.*?</\1>", re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")


def longer_excerpt(content: str, summary: str) -> str:
    """The first paragraphs of an article, where `summary` is no more than its beginning.

    Args:
        content: HTML as stored, sanitised.
    """
    written = ""
    for found in _PARAGRAPH.finditer(content[:_LOOKED_AT]):
        words = unescape(_TAG.sub("", _UNREAD.sub("", found[1]))).split()
        paragraph = _joined(words)
        whole = _joined([written, paragraph]) if written else paragraph
        if len(whole) > LEAD_LENGTH:
            break
        written = whole
    beginning = _squeezed(summary).rstrip("…")
    is_beginning = bool(beginning) and _squeezed(written).startswith(beginning)
    return written if is_beginning and len(written) > len(summary) else summary


def _joined(words: list[str]) -> str:
    """Words with a space between them, except within Chinese."""
    line = ""
    for word in words:
        runs_on = line and all(east_asian_width(one) in "WF" for one in (line[-1], word[0]))
        line += word if not line or runs_on else f" {word}"
    return line


def _squeezed(text: str) -> str:
    return "".join(text.split())
