"""Text and addresses as a feed may hold them, whoever wrote them.

What cannot stand in a document is left out or written otherwise, and what is absurdly long is
shortened. Knows no format.
"""

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import idna

from feedsvc.errors import EntryUnrenderable

#: Longer addresses are none (characters, as they were given).
MAX_URL_LENGTH = 2000

# Everything outside XML 1.0 §2.2 Char, and the C1 and DEL controls, which that section
# discourages and feed validators refuse.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_UNSAFE_IN_URL = re.compile(r"[^!-~]|[\"<>\\^`{|}]")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
#: Between host and end, RFC 3986 knows brackets and a second `#` only when they are escaped.
_OUT_OF_PLACE = str.maketrans({"[": "%5B", "]": "%5D", "#": "%23"})
_URL_SAFE = ":/?#[]@!$&'()*+,;=%-._~"
_USER = r"(?:[\w.~!$&'()*+,;=%:-]*@)?"
_HOST = re.compile(_USER + r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d*)?", re.ASCII)


def clean_text(text: str) -> str:
    """The text without characters that no feed may hold (XML 1.0 §2.2)."""
    return _UNWRITABLE.sub("", text)


def clean_line(text: str) -> str:
    """The text as one line: white space of any kind is a space, and none stands at its ends."""
    return " ".join(clean_text(text).split())


def clean_names(names: Iterable[str], *, longest: int, most: int) -> tuple[str, ...]:
    """Names as lines, each once, in their order; longer ones shortened, no more than `most`."""
    lines = (shorten(clean_line(name), longest) for name in names)
    return tuple(dict.fromkeys(line for line in lines if line))[:most]


def shorten(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with an ellipsis when it is longer."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def wire_url(url: str) -> str:
    """A web address as RFC 3986 writes it: RSS knows no IRIs, and spaces end a link anywhere.

    Raises:
        EntryUnrenderable: it is none.
    """
    url = clean_text(url).strip()
    if len(url) > MAX_URL_LENGTH:
        raise EntryUnrenderable(f"an address of {len(url)} characters: {url[:60]!r}…")
    try:
        parts = urlsplit(url)
        is_port = parts.port is None or parts.port > 0
    except ValueError as error:
        raise EntryUnrenderable(f"not an address: {url[:200]!r}") from error
    # SECURITY: javascript: and data: addresses run code in readers that follow them.
    if parts.scheme not in ("http", "https") or not is_port:
        raise EntryUnrenderable(f"not a web address: {url[:200]!r}")
    host = parts.netloc if _HOST.fullmatch(parts.netloc) else _wire_host(parts)
    given = (parts.path, parts.query, parts.fragment)
    rest = tuple(
        quote(_NO_ESCAPE.sub("%25", part.translate(_OUT_OF_PLACE)), safe=_URL_SAFE)
        for part in given
    )
    if (host, *rest) == (parts.netloc, *given) and not _UNSAFE_IN_URL.search(url):
        return url
    return urlunsplit((parts.scheme, host, *rest))


def usable_url(url: object) -> str | None:
    """The address of something beside the text; None when it is none: the article goes on."""
    try:
        return wire_url(url) if isinstance(url, str) else None
    except EntryUnrenderable:
        return None


def _wire_host(parts: SplitResult) -> str:
    """Host and port with the name as browsers look it up (UTS 46, not the IDNA of 2003).

    Raises:
        EntryUnrenderable: it is no name of a host.
    """
    try:
        name = idna.encode(parts.hostname or "", uts46=True).decode()
        return f"{name}:{parts.port}" if parts.port else name
    except (ValueError, UnicodeError) as error:
        raise EntryUnrenderable(f"not the address of a host: {parts.netloc[:200]!r}") from error
