"""Addresses of articles brought to one form, so that two ways to write one are equal. Pure."""

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

#: Parameters that say where a reader came from, not what is read.
_TRACKING = re.compile(
    r"utm_\w+|fbclid|gclid|dclid|gbraid|wbraid|msclkid|yclid|twclid|ttclid|igshid|igsh|mc_cid|mc_eid"
    r"|_hs\w+|spm|scm|spm_id_from|from|from_source|ref|ref_src|share_\w+|vd_source|wfr|isappinstalled"
    r"|nsukey|cmpid|ncid|amp|outputtype",
    re.IGNORECASE,
)
_INDEX = re.compile(r"/(?:index|default)\.(?:html?|shtml|php|aspx?|jsp)\Z", re.IGNORECASE)
#: Mobile and AMP twins of a site answer under the same paths.
_TWIN_HOST = re.compile(r"\A(?:www|m|amp)\.(?=[^.]+\.[^.])")
_AMP_PATH = re.compile(r"/amp\Z|\A/amp(?=/)|\.amp(?=\.html\Z)", re.IGNORECASE)
_PORTS = frozenset({None, 80, 443})


def normalise_address(url: str) -> str | None:
    """The address without scheme and all that does not matter; None when it names no article.

    A site's first page is no article's own: templates name it when they know no better.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
    except (ValueError, UnicodeError):
        return None
    if parts.scheme.lower() not in ("http", "https") or not host:
        return None
    # Twice: www.m.example.com
    host = _TWIN_HOST.sub("", _TWIN_HOST.sub("", host.lower()))
    path = quote(unquote(parts.path, errors="surrogateescape"), errors="surrogateescape")
    path = _AMP_PATH.sub("", _INDEX.sub("", path).rstrip("/")).rstrip("/")
    # A fragment names a place in a page; after "#!" it names the page.
    fragment = parts.fragment if parts.fragment.startswith("!") else ""
    kept = sorted(
        pair
        for pair in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=None)
        if not _TRACKING.fullmatch(pair[0])
    )
    if not path and not kept and not fragment:
        return None
    shown = host if port in _PORTS else f"{host}:{port}"
    return f"{shown}{path}?{urlencode(kept)}#{fragment}"
