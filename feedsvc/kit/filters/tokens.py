"""The words and signs of a filter's text, and where each stands. Full-width forms are welcome."""

import re
from dataclasses import dataclass
from enum import StrEnum

from feedsvc.errors import FilterInvalid


class TokenKind(StrEnum):
    """What a piece of a filter's text is."""

    #: A name or a word of the grammar.
    WORD = "word"
    #: A text in quotes.
    TEXT = "text"
    #: A date or an instant.
    INSTANT = "instant"
    #: A sign of comparison.
    SIGN = "sign"
    #: An opening parenthesis.
    OPEN = "open"
    #: A closing parenthesis.
    CLOSE = "close"
    #: A comma.
    COMMA = "comma"
    #: What stands after the last character.
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a filter's text. `position` is counted in characters, from 1."""

    kind: TokenKind
    #: In its plain form: words in lower case, signs in ASCII, texts without their quotes.
    value: str
    position: int
    #: As it is written, cut short.
    written: str

    def __str__(self) -> str:
        return "the end" if self.kind is TokenKind.END else show(self.written)


_LONGEST_SHOWN = 24
_PATTERNS = re.compile(
    r"(?P<blank>\s+)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<instant>[0-9][0-9A-Za-z:.+-]*)"
    r"|(?P<sign>[<＜>＞!！]?[=＝]|[<＜>＞≠≤≥])"
    r"|(?P<open>[(（])|(?P<close>[)）])|(?P<comma>[,，、])"
)
_PLAIN: dict[int, int | str] = {
    **str.maketrans("＜＞！＝", "<>!="),
    ord("≠"): "!=",
    ord("≤"): "<=",
    ord("≥"): ">=",
}
#: Opening quote -> closing quote, as keyboards and Chinese input methods write them.
_QUOTES = {
    '"': '"', "'": "'", "“": "”", "”": "”", "‘": "’", "’": "’", "「": "」", "『": "』",
    "＂": "＂", "＇": "＇",
}  # fmt: skip
_TEXTS = {
    opening: re.compile(rf"[^\\{closing}]*(?:\\.[^\\{closing}]*)*{closing}", re.DOTALL)
    for opening, closing in _QUOTES.items()
}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
#: What no database can hold, so that nothing can be equal to it.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def show(text: str) -> str:
    """A piece of a filter in a message: cut short, nothing in it that hides or turns text."""
    cut = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return repr(cut)


def check_storable(text: str, position: int | None = None) -> str:
    """The text, if it can stand in a database.

    Raises:
        FilterInvalid: it cannot.
    """
    if _UNSTORABLE.search(text):
        raise FilterInvalid("a text holds a character that no article can hold", position)
    return text


def read_tokens(text: str) -> list[Token]:
    """All tokens of a filter; the last is the end. Takes time in proportion to the text.

    Raises:
        FilterInvalid: there is something that is no part of the grammar.
    """
    tokens: list[Token] = []
    place = 0
    while place < len(text):
        if text[place] in _QUOTES:
            token, place = _read_text(text, place)
            tokens.append(token)
            continue
        match = _PATTERNS.match(text, place)
        if match is None:
            hint = ""
            if text[place] in "&|!":
                hint = '; write "and", "or", "not"'
            raise FilterInvalid(f"{show(text[place])} means nothing here{hint}", place + 1)
        if match.lastgroup != "blank":
            kind, written = TokenKind(match.lastgroup or ""), match[0]
            value = written.lower() if kind is TokenKind.WORD else written
            value = value.translate(_PLAIN) if kind is TokenKind.SIGN else value
            tokens.append(Token(kind, value, place + 1, written[: _LONGEST_SHOWN + 1]))
        place = match.end()
    tokens.append(Token(TokenKind.END, "", len(text) + 1, ""))
    return tokens


def _read_text(text: str, place: int) -> tuple[Token, int]:
    """The quoted text that begins at `place`, and where it ends."""
    opening = text[place]
    match = _TEXTS[opening].match(text, place + 1)
    if match is None:
        raise FilterInvalid(
            f"the text that begins here has no closing {_QUOTES[opening]}", place + 1
        )
    value = check_storable(_ESCAPED.sub(r"\1", match[0][:-1]), place + 1)
    written = text[place : min(match.end(), place + _LONGEST_SHOWN + 1)]
    return Token(TokenKind.TEXT, value, place + 1, written), match.end()
