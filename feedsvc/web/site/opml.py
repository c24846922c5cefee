"""All feeds as one OPML file, to be imported into a feed reader."""

import hashlib
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import Response

from feedsvc.feeds.catalogue import load_catalogue
from feedsvc.feeds.spec import FeedSpec
from feedsvc.feeds.writing.opml import OPML_MEDIA_TYPE, Group, Subscription, write_opml
from feedsvc.kit.texts import Texts
from feedsvc.web.pages import document_links, feeds_of
from feedsvc.web.services import services_of
from feedsvc.web.site.feed_list import family_title

router = APIRouter()


@router.api_route("/feeds.opml", methods=["GET", "HEAD"])
async def serve_opml(request: Request) -> Response:
    """The file. It is the same for everybody, in the site's own language."""
    services, configured = services_of(request), feeds_of(request)
    settings = services.settings
    async with services.database.read() as session:
        # A reader that imports the list wants no feed that has nothing to tell any more.
        rows = [
            row
            for row in await load_catalogue(session, configured)
            if row.spec.family is None or row.entries
        ]
    texts = Texts(settings.language)
    groups = [
        Group(
            family_title(family, texts),
            tuple(_subscription(row.spec) for row in rows if row.spec.family == family.key),
        )
        for family in configured.families
    ]
    body = write_opml(
        settings.title,
        f"{settings.base_url}/",
        [*(_subscription(row.spec) for row in rows if row.spec.family is None), *groups],
        max((row.changed_at for row in rows if row.changed_at), default=None),
    )
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    name = (urlsplit(settings.base_url).hostname or "feeds").replace(":", "-")
    headers = {
        "Cache-Control": "public, max-age=300",
        "Content-Disposition": f'attachment; filename="{quote(name, safe="")}.opml"',
        # Readers that run in a browser may read it from any site, like the feeds themselves.
        "Access-Control-Allow-Origin": "*",
        "ETag": etag,
    }
    if etag in request.headers.get("if-none-match", "").replace("W/", "").split(", "):
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, OPML_MEDIA_TYPE)


def _subscription(spec: FeedSpec) -> Subscription:
    return Subscription(
        title=spec.title,
        description=spec.description,
        document_url=document_links(spec)[0].url,
        page_url=f"{spec.base_url}/feeds/{quote(spec.key)}",
        language=spec.language,
    )
