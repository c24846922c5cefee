"""Plain text to HTML: paragraphs and line ends as they were written, everything escaped."""

import re
from html import escape

#: A first line no longer than this, alone before an empty line, is a title (characters).
_LONGEST_TITLE = 100
_INDENT = "\u3000"


def split_title(text: str) -> tuple[str | None, str]:
    """The first line, if it stands alone like a title, and the text after it."""
    lines = text.strip("\n").split("\n")
    first = lines[0].strip() if lines else ""
    stands_alone = len(lines) > 2 and not lines[1].strip()
    if first and len(first) <= _LONGEST_TITLE and stands_alone:
        return first, "\n".join(lines[2:])
    return None, text


def render_plain(text: str) -> str:
    """Paragraphs end at an empty line, and before a line indented as Chinese paragraphs are."""
    paragraphs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if not line.strip():
            paragraphs.append([])
            continue
        if line.startswith(_INDENT):
            paragraphs.append([])
        paragraphs[-1].append(re.sub(r"^\s+", "", line) if line[0] == _INDENT else line.rstrip())
    return "\n".join(
        f"<p>{'<br>'.join(escape(line, quote=False) for line in lines)}</p>"
        for lines in paragraphs
        if lines
    )
