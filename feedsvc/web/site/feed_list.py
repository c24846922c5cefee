"""The pages that tell people which feeds there are: all of them, and those of one family."""

from dataclasses import dataclass

from fastapi import HTTPException, Request
from fastapi.routing import APIRouter
from starlette.responses import Response

from feedsvc.feeds.catalogue import count_members, load_members
from feedsvc.feeds.families import Family
from feedsvc.feeds.spec import FeedSpec
from feedsvc.kit.texts import Texts
from feedsvc.web.pages import FeedLink, document_links, feeds_of, reader_language, show_page
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of

router = APIRouter()

#: Members of a family on a page of its own, and in the list of all feeds.
PAGE_SIZE = 200
_SHOWN_MEMBERS = 40


@dataclass(frozen=True, slots=True)
class ListedFeed:
    """A feed in a list. `path` is that of its page, decoded."""

    title: str
    description: str
    language: str
    path: str
    link: FeedLink


@dataclass(frozen=True, slots=True)
class ListedFamily:
    """A family in the list of all feeds, with its first members."""

    title: str
    path: str
    members: list[ListedFeed]
    count: int


def listed_feed(spec: FeedSpec) -> ListedFeed:
    """A feed as lists show it."""
    return ListedFeed(
        title=spec.title,
        description="" if spec.description == spec.title else spec.description,
        language=spec.language,
        path=f"/feeds/{spec.key}",
        link=document_links(spec)[0],
    )


def family_title(family: Family, texts: Texts) -> str:
    """What the members of a family have in common, in words."""
    words = {
        "section": texts.gettext("By section"),
        "topic": texts.gettext("By topic"),
        "author": texts.gettext("By author"),
        "language": texts.gettext("By language"),
        "source": texts.gettext("By source"),
        "newsletter": texts.gettext("By newsletter"),
    }
    return words[family.each]


@router.api_route("/feeds", methods=["GET", "HEAD"])
async def show_feeds(request: Request) -> Response:
    """Each feed with the address to copy into a feed reader; families with their first members."""
    services, configured = services_of(request), feeds_of(request)
    texts = Texts(reader_language(request, services.settings))
    families = []
    async with services.database.read() as session:
        for family in configured.families:
            members = await load_members(session, configured, family, _SHOWN_MEMBERS)
            families.append(
                ListedFamily(
                    title=family_title(family, texts),
                    path=f"/feeds/{family.key}",
                    members=[listed_feed(spec) for spec in members],
                    count=await count_members(session, configured, family),
                )
            )
    return show_page(
        request,
        "feeds.html",
        PageKind.PUBLIC,
        canonical=f"{services.settings.base_url}/feeds",
        feeds_listed=[listed_feed(spec) for spec in configured.specs],
        families=[family for family in families if family.count],
    )


async def show_family(request: Request, family: Family, page: int) -> Response:
    """All members of a family, page by page; 404 beyond the last."""
    services, configured = services_of(request), feeds_of(request)
    texts = Texts(reader_language(request, services.settings))
    async with services.database.read() as session:
        count = await count_members(session, configured, family)
        start = (page - 1) * PAGE_SIZE
        members = await load_members(session, configured, family, PAGE_SIZE, start)
    if not members and page > 1:
        raise HTTPException(404)
    base = f"{services.settings.base_url}/feeds/{family.key}"
    return show_page(
        request,
        "feed_family.html",
        PageKind.PUBLIC,
        canonical=base if page == 1 else f"{base}?page={page}",
        title=family_title(family, texts),
        path=f"/feeds/{family.key}",
        members=[listed_feed(spec) for spec in members],
        count=count,
        first=start + 1,
        last=start + len(members),
        previous=page - 1 if page > 1 else None,
        next=page + 1 if start + len(members) < count else None,
    )
