"""Addresses in articles made absolute, or refused."""

import re
from urllib.parse import urljoin, urlsplit

WEB_SCHEMES = frozenset({"http", "https"})
LINK_SCHEMES = frozenset({"http", "https", "mailto"})
#: Longer addresses are dropped (characters); browsers and the columns they are stored in agree.
MAX_URL_LENGTH = 2000

# SECURITY: browsers drop tabs and line ends inside an address and all controls around it, so
# "java\nscript:" is one word to them.
_IGNORED_BY_BROWSERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
#: Always written escaped (RFC 3986 §2): they would end an attribute, a header or a list of sources.
_ESCAPED = str.maketrans({c: f"%{ord(c):02X}" for c in ' "<>`{}|\\^'})
_CANDIDATE_URL = re.compile(r"[^\s,]\S*")
_CANDIDATE_REST = re.compile(r"[^,]*")
_DESCRIPTOR = re.compile(r"\d{1,9}(?:\.\d{1,9})?[wx]")


def make_absolute(
    url: str, base_url: str | None, schemes: frozenset[str] = WEB_SCHEMES
) -> str | None:
    """An absolute address of an allowed scheme; None when that cannot be had.

    None too for a link to a place in the same document (`#note`): an article is read under many
    addresses, and its ids are not kept.
    """
    cleaned = _IGNORED_BY_BROWSERS.sub("", url).strip()
    if not cleaned or cleaned.startswith("#"):
        return None
    try:
        joined = urljoin(base_url, cleaned) if base_url else cleaned
        parts = urlsplit(joined)
        known_port = parts.port is None or parts.port >= 0
    except ValueError:
        return None
    if parts.scheme.lower() not in schemes or not known_port:
        return None
    if parts.scheme in WEB_SCHEMES and not parts.hostname:
        return None
    escaped = joined.translate(_ESCAPED)
    return escaped if len(escaped) <= MAX_URL_LENGTH else None


def make_srcset_absolute(srcset: str, base_url: str | None) -> str | None:
    """A `srcset` whose candidates are absolute (HTML §4.8.4.2.2); others are left out."""
    kept = []
    at = 0
    while match := _CANDIDATE_URL.search(srcset, at):
        address, at = match[0], match.end()
        descriptor = ""
        if not address.endswith(","):
            found = _CANDIDATE_REST.match(srcset, at)
            descriptor, at = (found[0].strip(), found.end()) if found else ("", at)
        url = make_absolute(address.rstrip(","), base_url)
        if url is not None and (not descriptor or _DESCRIPTOR.fullmatch(descriptor)):
            # A comma at either end of an address would end it.
            kept.append(f"{url.replace(',', '%2C')} {descriptor}".strip())
    return ", ".join(kept) or None
