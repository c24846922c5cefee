"""Clean text: what may be stored and serialised, lines for titles and names, and where one may cut.

Knows nothing of HTML.
"""

import re
import unicodedata

#: What XML 1.0 (§2.2) cannot hold, written as it is or as a reference; PostgreSQL refuses NUL.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: In a line of text also: DEL, C1 controls, byte order marks, and the marks that turn the writing
#: direction of everything after them (U+202A–202E, U+2066–2069).
_NOT_IN_LINE = re.compile("[\x7f-\x84\x86-\x9f\ufeff\u202a-\u202e\u2066-\u2069]")
_BLANKS = re.compile(r"\s+")

_ZERO_WIDTH_JOINER = "\u200d"
_EMOJI_MODIFIERS = range(0x1F3FB, 0x1F400)
_REGIONAL_INDICATORS = range(0x1F1E6, 0x1F200)
_TAGS = range(0xE0020, 0xE0080)
_HANGUL_VOWELS_AND_FINALS = range(0x1160, 0x1200)
#: Letters that only ever follow another in Thai and Lao (Unicode: SpacingMark of category Lo).
_SPACING_LETTERS = "\u0e33\u0eb3"
#: Halfwidth Katakana sound marks extend a character although they are letters.
_EXTENDING_LETTERS = "\uff9e\uff9f"
#: Signs written before the letter they belong to (Unicode: Prepend).
_PREPENDED = re.compile(
    "[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd\U000111c2\U000111c3"
    "\U0001193f\U00011941\U00011a3a\U00011a84-\U00011a89\U00011d46\U00011f02]"
)
_VIRAMA_CLASS = 9
#: Marks that Chinese shares with Latin writing; beside a wide character they are wide too.
_SHARED_PUNCTUATION = "“”‘’…—·"


def strip_unstorable(text: str) -> str:
    """The text without the characters that XML or a database cannot hold."""
    return _NOT_XML.sub("", text)


def clean_line(text: str) -> str:
    """One line of plain text: no control characters, runs of white space made one space.

    Joiners (U+200C, U+200D) and variation selectors stay: words and emoji need them.
    """
    # White space among the control characters separates words, so it is collapsed first.
    collapsed = _BLANKS.sub(" ", text)
    cleaned = _NOT_IN_LINE.sub("", strip_unstorable(collapsed))
    return _BLANKS.sub(" ", cleaned).strip()


def is_wide(character: str) -> bool:
    """Whether a character is written without spaces around it, as Chinese and Japanese are."""
    return unicodedata.east_asian_width(character) in "WF" and not _is_hangul(character)


def runs_on(before: str, after: str) -> bool:
    """Whether Chinese or Japanese runs on from one character to the next without a space."""
    if is_wide(before):
        return is_wide(after) or after in _SHARED_PUNCTUATION
    return before in _SHARED_PUNCTUATION and is_wide(after)


def _is_hangul(character: str) -> bool:
    return "\uac00" <= character <= "\ud7a3" or "\u1100" <= character <= "\u11ff"


def may_cut(text: str, at: int) -> bool:
    """Whether `text[:at]` ends between two characters as a reader sees them.

    Keeps combining marks, joined emoji, variation selectors, skin tones, flags, Hangul syllables
    and Indic conjuncts whole. On the safe side of Unicode's rule (UAX #29 §3.1): it never cuts
    where that rule does not, and now and then does not where that rule would.
    """
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if _extends(after) or before == _ZERO_WIDTH_JOINER or _PREPENDED.match(before):
        return False
    if before == "\r" and after == "\n":
        return False
    if ord(after) in _REGIONAL_INDICATORS and ord(before) in _REGIONAL_INDICATORS:
        return _count_regional_before(text, at) % 2 == 0
    if _joins_hangul(before, after):
        return False
    return not _joins_conjunct(text, at)


def cut_back(text: str, limit: int) -> str:
    """The longest beginning of at most `limit` characters that ends where one may cut."""
    at = min(limit, len(text))
    while at > 0 and not may_cut(text, at):
        at -= 1
    return text[:at]


def _extends(character: str) -> bool:
    code = ord(character)
    return (
        unicodedata.category(character) in ("Mn", "Me", "Mc")
        or character in (_ZERO_WIDTH_JOINER, "\u200c")
        or code in _EMOJI_MODIFIERS
        or code in _TAGS
        or character in _SPACING_LETTERS
        or character in _EXTENDING_LETTERS
    )


def _count_regional_before(text: str, at: int) -> int:
    count = 0
    while count < at and ord(text[at - 1 - count]) in _REGIONAL_INDICATORS:
        count += 1
    return count


def _joins_hangul(before: str, after: str) -> bool:
    if ord(after) in _HANGUL_VOWELS_AND_FINALS or "\ud7b0" <= after <= "\ud7fb":
        return (
            _is_hangul(before) or "\ud7b0" <= before <= "\ud7fb" or "\ua960" <= before <= "\ua97c"
        )
    leads = "\u1100" <= before <= "\u115f" or "\ua960" <= before <= "\ua97c"
    return leads and (_is_hangul(after) or "\ua960" <= after <= "\ua97c")


def _joins_conjunct(text: str, at: int) -> bool:
    """Whether a virama stands among the marks just before; it ties the next letter to the last."""
    back = at - 1
    while back >= 0 and _extends(text[back]):
        if unicodedata.combining(text[back]) == _VIRAMA_CLASS:
            return True
        back -= 1
    return False
