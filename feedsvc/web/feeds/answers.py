"""The answers to requests for feed documents, made before anybody asks.

A document is prepared once, when it is taken over: the messages of its 200 and 304 in every coding
are kept as they are sent. No answer is partial (RFC 9110 §14: ranges are optional) and none is a
226 (RFC 3229): there are feed readers that ask for it and then take it for a failure.
"""

import re
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from feedsvc.model.feed import ServedDocument
from feedsvc.web.feeds.addresses import encode_path
from feedsvc.web.feeds.codings import CODING_NAMES, TAG_SUFFIXES, Coding, choose_coding

Message = MutableMapping[str, Any]
#: The present; aware UTC.
Clock = Callable[[], datetime]
Header = tuple[bytes, bytes]
Headers = list[Header]

EMPTY: Message = {"type": "http.response.body", "body": b""}


class Answer:
    """A whole answer, ready to be sent as ASGI messages or as bytes.

    `start` and `content` are the messages; `head` is status line and header lines, to which the
    server adds its own and the empty line, and `body` what follows.
    """

    __slots__ = ("body", "content", "head", "start", "status")

    def __init__(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.start: Message = {
            "type": "http.response.start",
            "status": status,
            "headers": headers,
        }
        self.content: Message = {"type": "http.response.body", "body": body} if body else EMPTY
        lines = b"".join(b"%s: %s\r\n" % one for one in headers)
        phrase = HTTPStatus(status).phrase.encode("ascii")
        self.head = b"HTTP/1.1 %d %s\r\n%s" % (status, phrase, lines)
        self.body = body


# Many readers poll no sooner than max-age: five minutes keep news fresh at the cost of small
# 304 answers. Never `Expires`: a reader that sees an old one throws the validators away.
_FRESH = b"public, max-age=300"
# An archive page with another version has another address, so it could be kept for ever; but then
# caches would go on serving what has been withdrawn from it. After a day they ask, and get a 301.
_A_DAY = b"public, max-age=86400"
# Readers that run in a browser may read feeds from any site, and what they need to ask again.
_ANY_SITE = (b"access-control-allow-origin", b"*")
_SHOWN_TO_SITES = (b"access-control-expose-headers", b"ETag, Link, Retry-After")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
# SECURITY: a browser that shows the document runs nothing that an article smuggled in.
_NO_SCRIPTS = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
)
_ALLOWED = b"GET, HEAD, OPTIONS"
_QUOTED = re.compile(rb'"([^"]*)"')

#: The answer to a preflight (Fetch standard, CORS): any site may ask, with any validator.
PREFLIGHT = Answer(
    204,
    [
        (b"allow", _ALLOWED),
        _ANY_SITE,
        (b"access-control-allow-methods", _ALLOWED),
        (
            b"access-control-allow-headers",
            b"Accept, Cache-Control, Content-Type, If-Modified-Since, If-None-Match, Pragma,"
            b" User-Agent, X-Requested-With",
        ),
        (b"access-control-max-age", b"86400"),
        (b"cache-control", _A_DAY),
    ],
)


class Variant:
    """One coding of a document, and the answers that are given with it."""

    __slots__ = ("body_bytes", "coding", "full", "known")

    def __init__(
        self, coding: Coding, body: bytes, etag: bytes, described: Headers, shared: Headers
    ) -> None:
        """`described` are headers of a 200 alone, `shared` those of a 304, too."""
        validated = [(b"etag", etag), *shared]
        length = (b"content-length", b"%d" % len(body))
        encoding = [(b"content-encoding", CODING_NAMES[coding].encode("ascii"))] if coding else []
        self.coding = coding
        self.body_bytes = len(body)
        self.full = Answer(200, [length, *encoding, *described, *validated], body)
        self.known = Answer(304, validated)


class Prepared:
    """A document with every answer that can be given for it."""

    __slots__ = (
        "_choices",
        "_modified_header",
        "_own_tags",
        "_sizes",
        "_tag",
        "_variants",
        "document",
        "feed",
        "target",
    )

    #: Accept-Encoding headers whose answer is remembered for each document, and their length.
    MOST_CHOICES = 64
    LONGEST_CHOICE = 200

    def __init__(self, document: ServedDocument, feed: str, links: Headers) -> None:
        """`feed` is the key it is counted by; `links` are its `Link` headers."""
        self.document = document
        self.feed = feed
        #: Its address as it stands in requests.
        self.target = encode_path("", document.path)
        tag = self._tag = document.etag.encode("ascii")
        modified = document.last_modified.astimezone(UTC).replace(microsecond=0)
        self._modified_header = format_datetime(modified, usegmt=True).encode("ascii")
        bodies = {
            Coding.IDENTITY: document.body,
            Coding.GZIP: document.body_gzip,
            Coding.BR: document.body_br,
            Coding.ZSTD: document.body_zstd,
        }
        own = [b'"%s%s"' % (tag, suffix) for suffix in TAG_SUFFIXES.values()]
        self._own_tags = frozenset(own + [b"W/" + one for one in own])
        shared = [
            (b"last-modified", self._modified_header),
            (b"cache-control", _A_DAY if document.is_archive else _FRESH),
            (b"vary", b"Accept-Encoding"),
            _ANY_SITE,
            _SHOWN_TO_SITES,
        ]
        media_type = (b"content-type", document.media_type.encode("ascii"))
        described = [media_type, _NO_SNIFFING, _NO_SCRIPTS, *links]
        self._variants = {
            coding: Variant(coding, body, own[coding], described, shared)
            for coding, body in bodies.items()
            if body is not None
        }
        self._sizes = {coding: one.body_bytes for coding, one in self._variants.items()}
        self._choices: dict[bytes, Variant] = {}

    @property
    def bytes_held(self) -> int:
        """Bytes of all its bodies."""
        return sum(self._sizes.values())

    def choose(self, accept_encoding: bytes) -> Variant:
        """The variant for an Accept-Encoding header; empty where there is none."""
        variant = self._choices.get(accept_encoding)
        if variant is None:
            variant = self._variants[choose_coding(accept_encoding, self._sizes)]
            if len(accept_encoding) <= self.LONGEST_CHOICE:
                if len(self._choices) >= self.MOST_CHOICES:
                    self._choices.clear()
                self._choices[accept_encoding] = variant
        return variant

    def is_known(
        self,
        if_none_match: bytes | None,
        if_modified_since: bytes | None,
        now: Clock | None = None,
    ) -> bool:
        """Whether the client already has this version (RFC 9110 §13.2.2); None: not asked.

        QUIRK: there are readers that keep a date in the future, from another server or a clock
        that was wrong. It says nothing about what they have, and to believe it would give them
        nothing new for years; the standard leaves that open since RFC 7232.
        """
        if if_none_match is not None:
            return if_none_match in self._own_tags or self._matches(if_none_match)
        if if_modified_since is not None:
            if if_modified_since == self._modified_header:
                return True
            since = _parse_date(if_modified_since)
            if since is None or (now is not None and since > now()):
                return False
            return since >= self.document.last_modified.replace(microsecond=0)
        return False

    def _matches(self, if_none_match: bytes) -> bool:
        # Weak comparison, and any coding's tag of this version: a proxy between us and the
        # reader may have changed the coding, and with it the tag ("…-gzip", W/"…").
        if if_none_match.strip() == b"*":
            return True
        return any(
            tag == self._tag or tag.startswith(self._tag + b"-")
            for tag in _QUOTED.findall(if_none_match)
        )


def answer_text(
    status: int, text: str, cache_control: bytes = b"no-store", more: Sequence[Header] = ()
) -> Answer:
    """A short answer in plain text."""
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", cache_control),
        _NO_SNIFFING,
        _ANY_SITE,
        _SHOWN_TO_SITES,
        *more,
    ]
    return Answer(status, headers, body)


def answer_moved(location: bytes) -> Answer:
    """301: readers are to keep the new address instead. For a day it need not be asked again."""
    text = f"This feed is at {location.decode('ascii')} now."
    return answer_text(301, text, _A_DAY, [(b"location", location)])


GONE = answer_text(410, "This feed is no more. Please stop asking for it.", _A_DAY)
NOT_FOUND = answer_text(404, "There is no such feed.", b"no-cache")
NOT_ALLOWED = answer_text(
    # What is still on its way is not waited for.
    405,
    "Feeds can be read only.",
    more=[(b"allow", _ALLOWED), (b"connection", b"close")],
)
UNAVAILABLE = answer_text(
    503, "This page cannot be fetched at the moment.", more=[(b"retry-after", b"30")]
)
FAULT = answer_text(500, "This page could not be made.")


def answer_too_often(seconds: int) -> Answer:
    """429: the client is to wait so many seconds (RFC 6585 §4)."""
    text = f"You ask for this too often. Please wait {seconds} seconds."
    return answer_text(429, text, more=[(b"retry-after", b"%d" % seconds)])


def _parse_date(value: bytes) -> datetime | None:
    """An HTTP date as an aware instant; None for anything else, which is to be ignored."""
    try:
        at = parsedate_to_datetime(value.decode("ascii"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
