"""The page beside each feed: what it is, what is in it, how to subscribe."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

from babel import Locale, UnknownLocaleError
from fastapi import APIRouter, HTTPException, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from feedsvc.feeds.catalogue import find_feed
from feedsvc.feeds.latest import load_latest, load_pace
from feedsvc.feeds.spec import FeedSpec
from feedsvc.kit.texts import Texts
from feedsvc.web.feeds.addresses import find_new_key, is_retired
from feedsvc.web.pages import (
    FeedLink,
    announced_feeds,
    document_links,
    feeds_of,
    reader_language,
    show_page,
)
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of
from feedsvc.web.site.feed_list import show_family

router = APIRouter()

LATEST = 15
_MAX_PAGE = 100_000
#: Hosted feed readers that take a subscription by a link: name, address before the feed's own.
_READERS = (
    ("Feedly", "https://feedly.com/i/subscription/feed/"),
    ("Inoreader", "https://www.inoreader.com/?add_feed="),
    ("The Old Reader", "https://theoldreader.com/feeds/subscribe?url="),
    ("NewsBlur", "https://www.newsblur.com/?url="),
    ("Feedbin", "https://feedbin.com/?subscribe="),
)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """What the page shows of a feed beside its entries."""

    title: str
    description: str
    language: str
    language_name: str
    is_podcast: bool
    is_full: bool
    has_archive: bool
    window: int
    #: Hours for which articles stay beyond the window; 0 where they do not.
    keep_hours: int
    #: Days after which articles leave; 0 where they do not.
    max_age_days: int
    link: FeedLink
    other_links: tuple[FeedLink, ...]
    #: Name and address of each reader it can be opened in.
    readers: tuple[tuple[str, str], ...]
    #: For programs on the reader's own machine.
    feed_url: str


@router.api_route("/feeds/{key}", methods=["GET", "HEAD"])
async def show_feed(
    request: Request, key: str, page: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 1
) -> Response:
    """The page of a feed, or of a family: 301 where it moved, 410 where it is no more."""
    for family in feeds_of(request).families:
        if family.key == key:
            return await show_family(request, family, page)
    return await _show(request, key)


@router.api_route("/feeds/{family}/{slug}", methods=["GET", "HEAD"])
async def show_member(request: Request, family: str, slug: str) -> Response:
    """The page of a member of a family, as of any other feed."""
    return await _show(request, f"{family}/{slug}")


@router.api_route("/feeds/", methods=["GET", "HEAD"])
@router.api_route("/feeds/{key}/", methods=["GET", "HEAD"])
@router.api_route("/feeds/{family}/{slug}/", methods=["GET", "HEAD"])
async def mend_slash(request: Request) -> Response:
    """What is left when somebody cuts off a document's name leads to the page."""
    return _redirect(request, request.scope["path"].rstrip("/"))


async def _show(request: Request, key: str) -> Response:
    configured, services = feeds_of(request), services_of(request)
    if len(key) > 100 or "\0" in key:
        raise HTTPException(404)
    async with services.database.read() as session:
        spec = await find_feed(session, configured, key)
        if spec is not None:
            return await _show_spec(request, session, spec)
    moved = find_new_key(key, configured.moved or {})
    if moved is not None:
        return _redirect(request, f"/feeds/{moved}")
    if is_retired(key, configured.retired):
        return show_page(request, "feed_gone.html", PageKind.ANSWER, status=410)
    raise HTTPException(404)


async def _show_spec(request: Request, session: AsyncSession, spec: FeedSpec) -> Response:
    services = services_of(request)
    texts = Texts(reader_language(request, services.settings))
    return show_page(
        request,
        "feed.html",
        PageKind.PUBLIC,
        canonical=f"{spec.base_url}/feeds/{quote(spec.key)}",
        feeds=document_links(spec) or announced_feeds(feeds_of(request)),
        feed=_page_of(spec, texts),
        articles=await load_latest(session, spec.key, LATEST),
        pace=await load_pace(session, spec, services.clock()),
        zone=services.settings.time_zone,
    )


def _redirect(request: Request, path: str) -> Response:
    # SECURITY: a path of this site and nothing else: never two slashes at its front, where
    # browsers would read a host.
    lang = request.query_params.get("lang")
    query = f"?{urlencode({'lang': lang})}" if lang else ""
    location = "/" + quote(path).lstrip("/") + query
    headers = {"Location": location, "Cache-Control": "public, max-age=3600"}
    return Response(status_code=301, headers=headers)


def _page_of(spec: FeedSpec, texts: Texts) -> FeedPage:
    link, *others = document_links(spec)
    window = spec.window
    return FeedPage(
        title=spec.title,
        description="" if spec.description == spec.title else spec.description,
        language=spec.language,
        language_name=language_name(spec.language, texts.language),
        is_podcast=spec.podcast is not None,
        is_full=spec.content == "full",
        has_archive=spec.archive,
        window=window.count,
        keep_hours=round(window.keep.total_seconds() / 3600),
        max_age_days=max(round(window.max_age.total_seconds() / 86400), 1) if window.max_age else 0,
        link=link,
        other_links=tuple(others),
        readers=tuple((name, start + quote(link.url, safe="")) for name, start in _READERS),
        feed_url=f"feed:{link.url}",
    )


def language_name(tag: str, language: str) -> str:
    """What a language is called in another one; its tag where nobody knows it."""
    try:
        name = Locale.parse(tag, sep="-").get_display_name(language) or tag
    except (UnknownLocaleError, ValueError):
        return tag
    if language == "zh":  # QUIRK: CLDR's pattern has Latin punctuation
        return name.replace(" (", "（").replace(")", "）").replace(", ", "，")
    return name
