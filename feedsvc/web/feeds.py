"""Serves feed documents from memory: a raw ASGI endpoint in front of the framework.

Everything a request could need is made when documents are replaced; a request looks up, compares
and sends. GET and HEAD with conditions (RFC 9110 §13), identity and gzip (§12.5.3).
"""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Any

from feedsvc.model.feed import ServedDocument

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PREFIX = "/feeds/"

# Many readers poll no sooner than max-age: five minutes keep news fresh at the cost of small
# 304 answers. Never more than a day, or a reader that obeys misses the day.
_CACHE_CONTROL = b"public, max-age=300"
_QUOTED = re.compile(rb'"([^"]*)"')
_NOT_ASKED = b""


@dataclass(frozen=True, slots=True)
class _Variant:
    """One coding of a document: its body, and both answers' headers."""

    body: bytes
    headers: Headers
    headers_304: Headers


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A document with every answer that can be given for it."""

    tag: bytes
    own_tags: frozenset[bytes]
    last_modified: datetime
    last_modified_header: bytes
    identity: _Variant
    gzip: _Variant

    def is_known(self, if_none_match: bytes, if_modified_since: bytes) -> bool:
        """Whether the client already has this version (RFC 9110 §13.2.2)."""
        if if_none_match:
            return if_none_match in self.own_tags or self._matches(if_none_match)
        if if_modified_since:
            if if_modified_since == self.last_modified_header:
                return True
            since = _parse_date(if_modified_since)
            return since is not None and since >= self.last_modified
        return False

    def _matches(self, if_none_match: bytes) -> bool:
        # Weak comparison, and any coding's tag of this version: a proxy between us and the
        # reader may have changed the coding, and with it the tag ("…-gzip", W/"…").
        if if_none_match.strip() == b"*":
            return True
        return any(
            tag == self.tag or tag.startswith(self.tag + b"-")
            for tag in _QUOTED.findall(if_none_match)
        )


class FeedEndpoint:
    """An ASGI application for the documents below `/feeds/`."""

    def __init__(self, documents: Iterable[ServedDocument] = ()) -> None:
        self._prepared: dict[str, _Prepared] = {}
        self.replace(documents)

    def handles(self, path: str) -> bool:
        """Whether a path is this endpoint's to answer."""
        return path.startswith(PREFIX)

    def replace(self, documents: Iterable[ServedDocument]) -> None:
        """Serve exactly these from now on; requests under way keep what they began with."""
        self._prepared = {f"/{document.path}": _prepare(document) for document in documents}

    def update(self, documents: Iterable[ServedDocument]) -> None:
        """Serve these in place of, or beside, what is served."""
        changed = {f"/{document.path}": _prepare(document) for document in documents}
        self._prepared = {**self._prepared, **changed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        is_head = scope["method"] == "HEAD"
        prepared = self._prepared.get(scope["path"])
        if prepared is None:
            await _send_text(send, 404, b"There is no such feed.\n", is_head)
            return
        if scope["method"] not in ("GET", "HEAD"):
            allow = (b"allow", b"GET, HEAD")
            await _send_text(send, 405, b"Feeds can be read only.\n", is_head, allow)
            return
        if_none_match = if_modified_since = accept_encoding = _NOT_ASKED
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                if_none_match = if_none_match + b"," + value if if_none_match else value
            elif name == b"if-modified-since":
                if_modified_since = value
            elif name == b"accept-encoding":
                accept_encoding = accept_encoding + b"," + value if accept_encoding else value
        variant = prepared.gzip if _wants_gzip(accept_encoding) else prepared.identity
        if prepared.is_known(if_none_match, if_modified_since):
            await _send(send, 304, variant.headers_304, b"")
        else:
            await _send(send, 200, variant.headers, b"" if is_head else variant.body)


def _prepare(document: ServedDocument) -> _Prepared:
    tag = document.etag.encode("ascii")
    last_modified = document.last_modified.astimezone(UTC).replace(microsecond=0)
    header = format_datetime(last_modified, usegmt=True).encode("ascii")
    own_tags = [b'"%s"' % tag, b'"%s-gz"' % tag]
    return _Prepared(
        tag=tag,
        own_tags=frozenset(own_tags + [b"W/" + one for one in own_tags]),
        last_modified=last_modified,
        last_modified_header=header,
        identity=_variant(document.media_type, header, own_tags[0], document.body),
        gzip=_variant(document.media_type, header, own_tags[1], document.body_gzip, b"gzip"),
    )


def _variant(
    media_type: str, last_modified: bytes, etag: bytes, body: bytes, coding: bytes = b""
) -> _Variant:
    shared = [
        (b"etag", etag),
        (b"last-modified", last_modified),
        (b"cache-control", _CACHE_CONTROL),
        (b"vary", b"Accept-Encoding"),
        # Readers that run in a browser may read feeds of any site, and their validators.
        (b"access-control-allow-origin", b"*"),
        (b"access-control-expose-headers", b"ETag"),
        (b"x-content-type-options", b"nosniff"),
    ]
    headers = [
        (b"content-type", media_type.encode("ascii")),
        (b"content-length", b"%d" % len(body)),
        *([(b"content-encoding", coding)] if coding else []),
        *shared,
    ]
    return _Variant(body=body, headers=headers, headers_304=shared)


def _wants_gzip(accept_encoding: bytes) -> bool:
    if not accept_encoding:
        return False
    if len(accept_encoding) > 200:  # not worth remembering
        return _prefers_gzip(accept_encoding)
    return _prefers_gzip_cached(accept_encoding)


def _prefers_gzip(accept_encoding: bytes) -> bool:
    """Whether gzip is acceptable, and not less so than identity (RFC 9110 §12.5.3).

    A client that refuses both gets identity: an unreadable coding helps less than a plain feed.
    """
    weights: dict[str, float] = {}
    for part in accept_encoding.decode("latin-1").lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        weights[coding] = _weight(parameters)
    gzip = max(weights.get("gzip", -1.0), weights.get("x-gzip", -1.0))
    identity = weights.get("identity")
    if gzip < 0:
        # Not named: `*` stands for it, and so does refusing the only other form there is.
        gzip = weights.get("*", 0.5 if identity == 0 else 0.0)
    return gzip > 0 and gzip >= (identity or 0.0)


_prefers_gzip_cached = lru_cache(maxsize=256)(_prefers_gzip)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0


def _parse_date(value: bytes) -> datetime | None:
    """An HTTP date as an aware instant; None for anything else, which is to be ignored."""
    try:
        at = parsedate_to_datetime(value.decode("ascii"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_text(
    send: Send, status: int, text: bytes, is_head: bool, *more: tuple[bytes, bytes]
) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        (b"cache-control", b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
        *more,
    ]
    await _send(send, status, headers, b"" if is_head else text)
