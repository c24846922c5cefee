"""Limits on what comes in and headers on what goes out, for every route alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from math import ceil

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The largest request body any route takes; our largest form is a hundredth of it.
MAX_BODY_BYTES = 64 * 1024
#: A body must be here after this many seconds.
BODY_TIMEOUT_SECONDS = 20.0
#: Answers that could tell by their time who is known take a multiple of this.
EVEN_SECONDS = 0.1

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src {images}; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
_OWN_IMAGES = _POLICY.format(images="'self'")
# Articles show the images they were written with, wherever those are.
_ANY_IMAGES = _POLICY.format(images="'self' https: http:")
# SECURITY: a mail shown in the browser has its styles inlined, and is kept in a box: no script,
# no form, no access to this site.
_MAIL = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' https: http:;"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none';"
    " sandbox allow-popups allow-popups-to-escape-sandbox"
)
#: What every answer gets unless its route says otherwise.
_DEFAULTS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class PageKind(StrEnum):
    """What a page is, as far as caches, referrers and its contents go."""

    #: The same for everybody who reads its language.
    PUBLIC = "public"
    #: As PUBLIC, with images from anywhere.
    ARTICLE = "article"
    #: The answer to something a person did; kept nowhere.
    ANSWER = "answer"
    #: Behind a token, or an error; kept nowhere, and its address told to nobody.
    PERSONAL = "personal"
    #: A mail shown in the browser; as PERSONAL.
    MAIL = "mail"
    #: A mail in the public archive: the same for everybody.
    EDITION = "edition"


_PUBLIC = {"Cache-Control": "public, max-age=60", "Vary": "Accept-Language"}
_PERSONAL = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
#: The headers of each kind of page, beside those that every answer gets.
PAGE_HEADERS: dict[PageKind, dict[str, str]] = {
    PageKind.PUBLIC: {"Content-Security-Policy": _OWN_IMAGES, **_PUBLIC},
    PageKind.ARTICLE: {"Content-Security-Policy": _ANY_IMAGES, **_PUBLIC},
    PageKind.ANSWER: {"Content-Security-Policy": _OWN_IMAGES, "Cache-Control": "no-store"},
    PageKind.PERSONAL: {"Content-Security-Policy": _OWN_IMAGES, **_PERSONAL},
    PageKind.MAIL: {"Content-Security-Policy": _MAIL, **_PERSONAL},
    PageKind.EDITION: {"Content-Security-Policy": _MAIL, **_PUBLIC},
}


class DefaultHeaders:
    """Gives every answer that has no security headers of its own the strictest ones."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI)."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _DEFAULTS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class BodyTooLarge(Exception):
    """More than `MAX_BODY_BYTES` came, or was announced."""


class BoundedBody:
    """Takes in a request's body, within bounds, before anything looks at the request.

    Args:
        app: what gets the request, with its whole body.
        refuse: makes the answer to a body that is too large (413) or too slow (408).
    """

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, int], Awaitable[Response]]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer (ASGI, http only)."""
        headers = Headers(scope=scope)
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                body = await _read_body(headers, receive)
        except (BodyTooLarge, TimeoutError) as error:
            status = 408 if isinstance(error, TimeoutError) else 413
            response = await self._refuse(Request(scope), status)
            # What is still on its way is not waited for.
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)


async def _read_body(headers: Headers, receive: Receive) -> bytes | None:
    """The whole body; None when the client went away. Raises BodyTooLarge."""
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > MAX_BODY_BYTES:
        raise BodyTooLarge
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


@asynccontextmanager
async def evened_out(step_seconds: float = EVEN_SECONDS) -> AsyncIterator[None]:
    """Let a block take a whole number of steps, however long it took.

    SECURITY: whether an address is known must not be told by the time an answer takes.
    """
    clock = asyncio.get_running_loop()
    begun = clock.time()
    try:
        yield
    finally:
        taken = clock.time() - begun
        await asyncio.sleep(ceil(taken / step_seconds) * step_seconds - taken)
