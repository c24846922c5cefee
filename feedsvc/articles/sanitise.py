"""Hostile HTML in, inert HTML out. The one place where article HTML is made safe.

What comes out has absolute addresses, no script in any form, nothing that XML cannot hold, and
stays as it is when it is sanitised again.
"""

import re
from collections.abc import Callable

import nh3

from feedsvc.articles.links import LINK_SCHEMES, make_absolute, make_srcset_absolute
from feedsvc.articles.text import strip_unstorable

#: Larger content is refused (characters, without embedded files).
MAX_CONTENT_LENGTH = 1_000_000
#: Deeper nesting is refused: the parser's work grows with the square of it.
MAX_DEPTH = 500
#: Times that content is cleaned in search of a form that stays; it takes two as a rule.
_MAX_ROUNDS = 8


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


TAGS = _tags(
    "a abbr article aside audio b bdi bdo blockquote br caption cite code col colgroup dd del"
    " details dfn div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd"
    " li main mark ol p picture pre q rp rt ruby s samp section small source span strong sub"
    " summary sup table tbody td tfoot th thead time tr u ul var video wbr"
)
#: Removed with everything inside: code, other languages, controls, what only browsers show.
_REMOVED_WHOLE = _tags(
    "applet base embed frame frameset iframe math noembed noframes noscript object"
    " option script select style svg template textarea title xmp button datalist canvas"
    " map portal"
)
_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"dir", "lang", "title"},
    "a": {"href"},
    "abbr": set(),
    "audio": {"src", "controls"},
    "blockquote": {"cite"},
    "col": {"span"},
    "colgroup": {"span"},
    "del": {"cite", "datetime"},
    "details": {"open"},
    "img": {"src", "srcset", "sizes", "alt", "width", "height"},
    "ins": {"cite", "datetime"},
    "li": {"value"},
    "ol": {"start", "reversed", "type"},
    "q": {"cite"},
    "source": {"src", "srcset", "sizes", "type", "media"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align", "scope"},
    "time": {"datetime"},
    "video": {"src", "poster", "controls", "width", "height"},
}
#: Attributes with few meanings; other values are dropped.
_VALUES: dict[str, re.Pattern[str]] = {
    "align": re.compile(r"left|right|center|justify"),
    "colspan": re.compile(r"\d{1,3}"),
    "dir": re.compile(r"ltr|rtl|auto"),
    "height": re.compile(r"\d{1,5}%?"),
    "lang": re.compile(r"[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}"),
    "rowspan": re.compile(r"\d{1,3}"),
    "scope": re.compile(r"row|col|rowgroup|colgroup"),
    "span": re.compile(r"\d{1,3}"),
    "start": re.compile(r"-?\d{1,6}"),
    "value": re.compile(r"-?\d{1,6}"),
    "width": re.compile(r"\d{1,5}%?"),
}

_EMBEDDED = re.compile(
    r"data:[a-z0-9.+-]{1,100}/[a-z0-9.+-]{1,100};base64,[A-Za-z0-9+/=%\s]*", re.I
)
_LOOSE_AMPERSAND = re.compile(r"&(?![A-Za-z#])")
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
#: Tags that need no end tag, so that counting them says nothing about depth.
_ENDLESS = _tags(
    "area base br col dd dt embed hr img input li link meta option p param rp rt source td th tr"
    " tbody thead tfoot track wbr"
)
# The serialiser escapes < and > wherever they are text, so these patterns meet only real tags.
_SERIALISED_TAG = re.compile(r"<[^<>]*>")
_ATTRIBUTE = r' [a-z]+="[^"<>]*"'
_EMPTY_IMAGE = re.compile(rf"<img(?!(?:{_ATTRIBUTE})* src=)(?:{_ATTRIBUTE})*>")
_EMPTY_SOURCE = re.compile(rf"<source(?!(?:{_ATTRIBUTE})* src(?:set)?=)(?:{_ATTRIBUTE})*>")
#: A parser drops one line end after <pre>; keeping none makes the second parse equal the first.
_PRE_START = re.compile(rf"(<pre(?:{_ATTRIBUTE})*>)\n+")


class ContentRefused(ValueError):
    """Content so large or so deep that reading it would hold everything up; the text says which."""


def sanitise(html: str, base_url: str | None = None) -> str:
    """Inert HTML with the meaning of `html`, addresses absolute against `base_url`.

    Addresses that stay relative (no `base_url`) or have a scheme other than http, https and, for
    links, mailto are dropped; an image left without its address goes too.

    Raises:
        ContentRefused: too large or too deeply nested.
    """
    content = _LOOSE_AMPERSAND.sub("&amp;", _EMBEDDED.sub("data:", html))
    if len(content) > MAX_CONTENT_LENGTH:
        raise ContentRefused(f"holds more than {MAX_CONTENT_LENGTH:,} characters; split it")
    _check_depth(content)
    clean = _cleaner(base_url)
    content = _round(content, clean)
    for _ in range(_MAX_ROUNDS):
        again = _round(content, clean)
        if again == content:
            return content
        content = again
    # Tags so wrongly nested that every parse moves them: the words are what can be kept.
    return _SERIALISED_TAG.sub(" ", content).strip()


def _round(content: str, clean: Callable[[str], str]) -> str:
    # SECURITY: characters are removed before cleaning and again after it (a reference such as
    # &#11; becomes one); what comes out is only trusted once a whole round leaves it as it is.
    cleaned = strip_unstorable(clean(strip_unstorable(content)))
    cleaned = _EMPTY_SOURCE.sub("", _EMPTY_IMAGE.sub("", cleaned))
    return _PRE_START.sub(r"\1", cleaned).strip()


def _check_depth(content: str) -> None:
    depth = 0
    for match in _TAG.finditer(content):
        if match[2].lower() in _ENDLESS:
            continue
        depth = max(depth - 1, 0) if match[1] else depth + 1
        if depth > MAX_DEPTH:
            raise ContentRefused(f"nests its tags more than {MAX_DEPTH} deep; close them")


def _cleaner(base_url: str | None) -> Callable[[str], str]:
    """The one allow-list, with addresses resolved against `base_url`."""

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute in ("src", "poster", "cite"):
            return make_absolute(value, base_url)
        if attribute == "href":
            return make_absolute(value, base_url, LINK_SCHEMES)
        if attribute == "srcset":
            return make_srcset_absolute(value, base_url)
        if attribute == "type" and tag == "ol":
            return value if value in ("1", "a", "A", "i", "I") else None
        allowed = _VALUES.get(attribute)
        return value if allowed is None or allowed.fullmatch(value) else None

    return nh3.Cleaner(
        tags=set(TAGS),
        clean_content_tags=set(_REMOVED_WHOLE),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=keep,
        strip_comments=True,
        link_rel="noopener noreferrer",
        url_schemes=set(LINK_SCHEMES),
        # Relative addresses come here before `keep` sees them; it has the last word on schemes.
        url_relative=lambda url: make_absolute(url, base_url, LINK_SCHEMES),
    ).clean
