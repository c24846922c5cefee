"""The page that tells people which feeds there are."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from feedsvc.web.pages import feed_links, show_page
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of

router = APIRouter()


@router.api_route("/feeds", methods=["GET", "HEAD"])
async def show_feeds(request: Request) -> Response:
    """Each feed with the addresses of its documents, to be copied into a feed reader."""
    settings = services_of(request).settings
    links = iter(feed_links(settings))
    feeds = [
        (
            feed.title,
            feed.description,
            feed.language or settings.language,
            [next(links) for _ in feed.formats],
        )
        for feed in settings.feeds.values()
    ]
    return show_page(
        request, "feeds.html", PageKind.PUBLIC, canonical=f"{settings.base_url}/feeds", feeds=feeds
    )
