"""Plain text in columns: wrapped by display width, where a Chinese character takes two."""

import re
from functools import lru_cache
from unicodedata import category, east_asian_width

WIDTH = 72
# Punctuation that may not begin a line, and that may not end one (CLREQ §3.1.3).
_NOT_FIRST = "，。、；：！？）》」』】〉〕’”…—·～％,.;:!?)]}%"
_NOT_LAST = "（《「『【〈〔‘“([{"
_WIDE = (
    r"\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f"
    r"\uff00-\uff60\uffe0-\uffe6\U00020000-\U0003fffd"
)
# An address, a slot, blanks, one wide character, or a run of narrow ones.
_PIECE = re.compile(
    rf"https?://[^\s{_WIDE}]+|\U0010fffc[a-z_]+\U0010fffd|\s+|[{_WIDE}]|[^\s{_WIDE}\U0010fffc]+"
)
_HANGING = re.compile(r"\s*(?:\[?\d+[.\]]\s+|[-•]\s+)?")


def display_width(text: str) -> int:
    """Columns a text takes in a fixed-width font (Unicode UAX #11; ambiguous counts one)."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def wrap_text(text: str, width: int = WIDTH) -> str:
    """Break every line of `text` at `width` columns; what follows keeps the line's indentation.

    A number or sign in front (`1. `, `[1] `, `- `) indents what follows by its own width.
    Addresses are never broken. At most two empty lines follow each other, none at the ends.
    """
    lines = [wrapped for line in text.splitlines() for wrapped in _wrap_line(line, width)]
    joined = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines))
    return joined.strip("\n") + "\n"


def _wrap_line(line: str, width: int) -> list[str]:
    line = line.rstrip()
    if display_width(line) <= width:
        return [line]
    lead = _HANGING.match(line)
    first = lead[0] if lead else ""
    hanging = " " * display_width(first)
    lines: list[str] = []
    current, columns, blank, begun = first, display_width(first), "", False
    for piece in _unbreakable(line[len(first) :]):
        if piece.isspace():
            blank = piece
            continue
        size = display_width(piece)
        if begun and columns + len(blank) + size > width:
            lines.append(current)
            current, columns = hanging + piece, len(hanging) + size
        else:
            current += blank + piece
            columns += len(blank) + size
        blank, begun = "", True
    return [*lines, current]


def _unbreakable(text: str) -> list[str]:
    """Blanks, and the pieces between which a line may be broken."""
    pieces: list[str] = []
    for piece in _PIECE.findall(text):
        last = pieces[-1] if pieces else " "
        stays = piece[0] in _NOT_FIRST or last[-1] in _NOT_LAST
        if stays and not last.isspace() and not piece.isspace():
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


@lru_cache(maxsize=8192)
def _character_width(character: str) -> int:
    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
