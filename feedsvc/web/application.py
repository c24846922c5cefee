"""The web as one ASGI application: feed documents first, then limits, then pages.

It decides no rule of the domain, and knows nothing of how it is served.
"""

import traceback

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import StatementError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from feedsvc.errors import DatabaseUnavailable, InvalidToken, NotFound
from feedsvc.feeds.configured import read_feeds
from feedsvc.web import health, hub, metrics, stylesheet
from feedsvc.web.pages import show_page
from feedsvc.web.security import BoundedBody, DefaultHeaders, PageKind
from feedsvc.web.services import FeedServer, WebServices
from feedsvc.web.site import (
    articles,
    edition_feed,
    editions,
    feed_list,
    feed_page,
    home,
    newsletters,
    opml,
)
from feedsvc.web.subscribe import confirm, form, preferences, unsubscribe
from feedsvc.web.subscribe.topics import TopicsOnOffer

log = structlog.get_logger(__name__)

_ROUTERS = (
    home.router,
    articles.router,
    feed_list.router,
    feed_page.router,
    opml.router,
    edition_feed.router,
    newsletters.router,
    editions.router,
    form.router,
    confirm.router,
    unsubscribe.router,
    preferences.router,
    stylesheet.router,
    health.router,
    hub.router,
    metrics.router,
)
#: The statuses whose error page has words of its own; the others share those of 400 and 500.
_EXPLAINED = frozenset({400, 404, 405, 408, 413, 422, 500, 503})


def create_application(services: WebServices) -> ASGIApp:
    """The application, ready to be served.

    Raises:
        FilterInvalid: a feed's filter cannot be understood.
        TemplateInvalid: the stylesheet is missing from the operator's templates and from ours.
    """
    # SECURITY: slashes are not mended by redirect, since that would be built from the Host header.
    pages = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    pages.state.services = services
    pages.state.feeds = read_feeds(services.settings)
    pages.state.topics = TopicsOnOffer()
    pages.state.stylesheet = stylesheet.read_stylesheet(services.templates)
    pages.state.edition_feeds = edition_feed.WrittenFeeds()
    for router in _ROUTERS:
        pages.include_router(router)
    pages.add_exception_handler(StarletteHTTPException, _answer_status)
    pages.add_exception_handler(RequestValidationError, _answer_status)
    pages.add_exception_handler(InvalidToken, _answer_status)
    pages.add_exception_handler(NotFound, _answer_status)
    pages.add_exception_handler(DatabaseUnavailable, _answer_outage)
    pages.add_exception_handler(Exception, _answer_fault)

    async def refuse_body(request: Request, status: int) -> Response:
        request.scope["app"] = pages
        return _show_error(request, status)

    inside = _FeedsFirst(services.feeds, pages)
    front = DefaultHeaders(_Front(inside, BoundedBody(inside, refuse_body)))
    return _FeedsFirst(services.feeds, front, frozenset({"GET", "HEAD"}))


class _FeedsFirst:
    """Feed documents in front, everything else behind.

    Stands before all limits for those who only read: the feeds' endpoint has limits of its own,
    and looks at no body. Stands behind them for what is done with other methods.
    """

    def __init__(
        self, feeds: FeedServer, pages: ASGIApp, methods: frozenset[str] | None = None
    ) -> None:
        """`methods`: those that feeds are asked with here; None: all."""
        self._feeds = feeds
        self._pages = pages
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and (self._methods is None or scope["method"] in self._methods)
            and self._feeds.handles(scope["path"])
        ):
            await self._feeds(scope, receive, send)
        else:
            await self._pages(scope, receive, send)


class _Front:
    """Bounds what has a body, and lets no fault through to the server's log."""

    def __init__(self, unbounded: ASGIApp, bounded: ASGIApp) -> None:
        self._unbounded = unbounded
        self._bounded = bounded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._unbounded(scope, receive, send)
        elif scope["type"] == "http":
            try:
                await self._bounded(scope, receive, send)
            except Exception as error:  # answered already, with the page for 500
                _log_fault(error, scope)
        else:
            await send({"type": "websocket.close", "code": 1000})


async def _answer_status(request: Request, error: Exception) -> Response:
    """The page for a status. Every bad link reads the same, whatever is wrong with it."""
    if isinstance(error, StarletteHTTPException):
        response = _show_error(request, error.status_code)
        response.headers.update(error.headers or {})
        return response
    return _show_error(request, 422 if isinstance(error, RequestValidationError) else 404)


async def _answer_outage(request: Request, error: Exception) -> Response:
    log.error("database unavailable", reason=str(error))
    response = _show_error(request, 503)
    response.headers["Retry-After"] = "30"
    return response


async def _answer_fault(request: Request, _error: Exception) -> Response:
    return _show_error(request, 500)


def _show_error(request: Request, status: int) -> Response:
    known = status if status in _EXPLAINED else (500 if status >= 500 else 400)
    return show_page(request, "error.html", PageKind.PERSONAL, status=status, known=known)


def _log_fault(error: Exception, scope: Scope) -> None:
    """Log a fault of the program, without what people typed or the tokens in the path."""
    route = scope.get("route")
    # SECURITY: the text of a database error holds the values of the statement.
    reason = str(error.statement) if isinstance(error, StatementError) else str(error)
    log.error(
        "page failed",
        route=getattr(route, "path", None),
        method=scope["method"],
        error=type(error).__name__,
        reason=reason,
        trace=_own_frames(error),
    )


def _own_frames(error: Exception) -> str:
    """Where it went wrong in this project, outermost first, on one line."""
    return " > ".join(
        f"{frame.filename.rpartition('feedsvc/')[2]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "feedsvc/" in frame.filename
    )
