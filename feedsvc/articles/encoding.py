"""From bytes to text: UTF-8, else Chinese in GB18030, else a refusal that says where."""

import codecs

from feedsvc.articles.text import strip_unstorable
from feedsvc.errors import BrokenArticle

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Share of the non-ASCII characters that must be everyday Chinese for bytes to count as GB18030.
_CHINESE_SHARE = 0.7
#: From this many Chinese characters on, so large a share of them must be among the commonest.
_ENOUGH_TO_COUNT = 80
_COMMONEST_SHARE = 0.05
#: Together about a fifth of running Chinese text, simplified and traditional.
_COMMONEST = frozenset(
    "的一是了不在有人我他这這个個们們中来來上大为為和国國地到以说說时時要就出会會也你对對生能而子那得于於着下自之年日月"
)
_ROWS = frozenset({0xA1, 0xA3, *range(0xB0, 0xF8)})


def decode(content: bytes, location: str) -> str:
    """The text of an item, with line ends as `\\n` and without what cannot be stored.

    Detectors that weigh single bytes take a short Chinese text for Korean; here the question is
    only whether the bytes are Chinese, and the answer is a plain rule.

    Raises:
        BrokenArticle: neither UTF-8 nor, recognisably, GB18030; names line and byte offset.
    """
    for bom, name in _BOMS:
        if content.startswith(bom):
            return _normalise(_decode_strictly(content, name, location))
    try:
        return _normalise(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError:
            raise _undecodable(content, error.start, location) from error
        if not _looks_chinese(text):
            raise _undecodable(content, error.start, location) from error
        return _normalise(text)


def _decode_strictly(content: bytes, name: str, location: str) -> str:
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        raise _undecodable(content, error.start, location) from error


def _undecodable(content: bytes, offset: int, location: str) -> BrokenArticle:
    line = content.count(b"\n", 0, offset) + 1
    reason = (
        f"byte {offset} (0x{content[offset]:02x}) is neither UTF-8 nor part of a Chinese text in"
        " GB18030; save the file as UTF-8"
    )
    return BrokenArticle(location, reason, line)


def _looks_chinese(text: str) -> bool:
    foreign = [character for character in text if character > "\x7f"]
    everyday = [character for character in foreign if _is_everyday_chinese(character)]
    if len(everyday) < _CHINESE_SHARE * len(foreign):
        return False
    common = sum(1 for character in everyday if character in _COMMONEST)
    return len(everyday) < _ENOUGH_TO_COUNT or common >= _COMMONEST_SHARE * len(everyday)


def _is_everyday_chinese(character: str) -> bool:
    """Whether GB2312 has it: other eight-bit texts, read as GB18030, give rare characters."""
    try:
        pair = character.encode("gb18030")
    except UnicodeEncodeError:
        return False
    # Rows of GB2312: punctuation, full-width forms, characters; not its kana or line drawings.
    in_gb2312 = len(pair) == 2 and pair[1] >= 0xA1 and pair[0] in _ROWS
    return in_gb2312 or character in _COMMONEST


def _normalise(text: str) -> str:
    return strip_unstorable(text.replace("\r\n", "\n").replace("\r", "\n"))
