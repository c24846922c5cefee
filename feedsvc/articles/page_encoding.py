"""Turns the bytes of a saved page into text, whatever its declared charset claims.

Nobody can be asked to mend a page of somebody else's, so unlike for an author's file
(encoding.py) a good guess is better than a refusal.
"""

import re

from charset_normalizer import from_bytes

from feedsvc.articles.encoding import decode
from feedsvc.articles.text import strip_unstorable
from feedsvc.errors import BrokenArticle

_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
#: What pages call an encoding -> the superset that their bytes really need.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "x-gbk": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
}
#: Encodings in which any bytes are text: naming one proves nothing.
_UNPROVABLE = frozenset({"iso-8859-1", "latin-1", "latin1", "windows-1252", "cp1252", "us-ascii"})
#: A charset is declared within the first bytes of a page (HTML Standard §4.2.5.4 says 1024).
_DECLARED_WITHIN_BYTES = 4096
_META_CHARSET = re.compile(
    rb"<meta\b[^<>]{0,300}?charset\s{0,5}=\s{0,5}[\"']?([\w.:-]{2,40})", re.IGNORECASE
)
#: Share of characters beyond ASCII that may be damaged in a text of otherwise known encoding.
_DAMAGE = 0.01


def decode_page(content: bytes) -> str:
    """The text of a page: by byte order mark, as UTF-8, as declared, as it looks; in that order.

    QUIRK: many Chinese pages declare another charset than they are written in, so UTF-8 is tried
    before what is declared: text in another encoding is practically never valid UTF-8.
    """
    return strip_unstorable(_decode(content))


def declared_charset(content: bytes) -> str | None:
    """The encoding an HTML page names, as the superset to use; None when it names none of use."""
    found = _META_CHARSET.search(content[:_DECLARED_WITHIN_BYTES])
    if found is None:
        return None
    name = found[1].decode("ascii", "replace").lower()
    return None if name in _UNPROVABLE else _SUPERSETS.get(name, name)


def _decode(content: bytes) -> str:
    # The plain rule for Chinese comes before the detector, which takes short GBK for Korean.
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    for candidate in ("utf-8", declared_charset(content)):
        if candidate is not None and (text := _decode_nearly(content, candidate)) is not None:
            return text
    try:
        return decode(content, "")
    except BrokenArticle:
        best = from_bytes(content).best()
    return str(best) if best is not None else content.decode("utf-8", "replace")


def _decode_nearly(content: bytes, encoding: str) -> str | None:
    """The text in that encoding, also when a few characters are damaged; None when it is not."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        pass
    except (LookupError, ValueError):
        return None  # no such encoding
    text = content.decode(encoding, "replace")
    beyond_ascii = sum(character > "\x7f" for character in text)
    return text if text.count("�") <= beyond_ascii * _DAMAGE else None
