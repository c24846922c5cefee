"""An edition as a page: as the link in a mail leads to it, and in a newsletter's archive.

What is shown is the stored page of a cohort, without anybody's links. What has been withdrawn since
is cut out of it; where it cannot be told what to cut, a plain page of our own takes its place.
"""

import hashlib
from collections.abc import Sequence

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, Response

from feedsvc.config import Settings
from feedsvc.editions.archive import ArchivedEdition, find_archived, find_neighbours
from feedsvc.editions.stored_mail import ShownArticle, StoredMail, load_shown, load_stored
from feedsvc.editions.stored_page import PageLink, StoredPage
from feedsvc.kit.texts import Texts
from feedsvc.kit.tokens import Scope
from feedsvc.model.columns import MAX_ID
from feedsvc.model.newsletter import Newsletter
from feedsvc.web.pages import show_page
from feedsvc.web.security import PAGE_HEADERS, PageKind
from feedsvc.web.services import services_of
from feedsvc.web.site.newsletters import (
    dated_title,
    edition_feeds,
    edition_title,
    newsletter_url,
    open_newsletter,
    show_gone,
)

router = APIRouter()


@router.api_route("/editions/{token}", methods=["GET", "HEAD"])
async def show_edition(request: Request, token: str) -> Response:
    """The stored page, as it was sent but for what has been withdrawn.

    Raises:
        InvalidToken: answered like an unknown page.
    """
    services = services_of(request)
    (cohort_id,) = services.keyring.verify(Scope.VIEW, token, services.clock())
    async with services.database.read() as session:
        mail = await load_stored(session, cohort_id)
        if mail is None:
            raise HTTPException(404)
        if mail.page and not mail.gone:
            return HTMLResponse(mail.page, 200, PAGE_HEADERS[PageKind.MAIL])
        articles = await load_shown(session, [cohort_id], services.settings.base_url)
    page = _without_withdrawn(mail, services.settings)
    if page is not None:
        return HTMLResponse(page.html(), 200, PAGE_HEADERS[PageKind.MAIL])
    return _show_plainly(request, PageKind.PERSONAL, mail, articles.get(cohort_id, []))


@router.api_route("/newsletters/{key}/editions/{number}", methods=["GET", "HEAD"])
async def show_archived(request: Request, key: str, number: str) -> Response:
    """A past edition, by the mail that most of its readers got."""
    settings = services_of(request).settings
    async with services_of(request).database.read() as session:
        newsletter = (await open_newsletter(session, key)).newsletter
        if newsletter.retired:
            return show_gone(request)
        if not newsletter.archive or not _is_id(number):
            raise HTTPException(404)
        edition = await find_archived(session, newsletter, int(number))
        mail = await load_stored(session, edition.cohort_id) if edition else None
        if edition is None or mail is None:
            raise HTTPException(404)
        older, newer = await find_neighbours(session, newsletter, edition.id)
        articles = await load_shown(session, [edition.cohort_id], settings.base_url)
    page = _without_withdrawn(mail, settings)
    if page is None:
        shown = articles.get(edition.cohort_id, [])
        return _show_plainly(request, PageKind.PUBLIC, mail, shown, newsletter, edition)
    _place(page, newsletter, edition, (older, newer), settings)
    return _answer(request, page.html().encode())


def _is_id(number: str) -> bool:
    return number.isascii() and number.isdecimal() and int(number[:20]) <= MAX_ID


def _without_withdrawn(mail: StoredMail, settings: Settings) -> StoredPage | None:
    """The page of a mail as it may be shown; None when it may not."""
    texts = Texts(mail.language)
    try:
        page = StoredPage(mail.page)
    except ValueError:
        return None
    if mail.gone:
        title = dated_title(mail.newsletter, mail.due_at, texts, settings.time_zone)
        if not page.withdraw(mail.gone, texts.gettext("This article has been withdrawn."), title):
            return None
    return page


def _place(
    page: StoredPage,
    newsletter: Newsletter,
    edition: ArchivedEdition,
    neighbours: tuple[int | None, int | None],
    settings: Settings,
) -> None:
    """Say where a page belongs: to people above it, to machines in its head."""
    texts, base = Texts(edition.language), newsletter_url(settings.base_url, newsletter)
    older, newer = neighbours
    links = [PageLink(newsletter.title, base)]
    links += [PageLink(texts.gettext("All editions"), f"{base}/editions")]
    links += [PageLink(texts.gettext("Previous"), f"{base}/editions/{older}")] if older else []
    links += [PageLink(texts.gettext("Next"), f"{base}/editions/{newer}")] if newer else []
    page.add_bar(texts.gettext("Editions"), texts.lang, links)
    page.add_head_link(rel="canonical", href=f"{base}/editions/{edition.id}")
    for feed in edition_feeds(settings.base_url, newsletter):
        title = f"{feed.title} ({feed.format_name})"
        page.add_head_link(rel="alternate", type=feed.media_type, title=title, href=feed.url)


def _answer(request: Request, body: bytes) -> Response:
    """The page of an archived edition; 304 when the reader has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**PAGE_HEADERS[PageKind.EDITION], "ETag": etag}
    if etag in request.headers.get("if-none-match", "").replace("W/", "").split(", "):
        return Response(status_code=304, headers=headers)
    return HTMLResponse(body, 200, headers)


def _show_plainly(
    request: Request,
    kind: PageKind,
    mail: StoredMail,
    articles: Sequence[ShownArticle],
    newsletter: Newsletter | None = None,
    edition: ArchivedEdition | None = None,
) -> Response:
    """The articles of an edition that are still published, as they are now, on a page of ours."""
    settings = services_of(request).settings
    texts = Texts(mail.language)
    title = dated_title(mail.newsletter, mail.due_at, texts, settings.time_zone)
    base = canonical = None
    if newsletter is not None and edition is not None:
        title = edition_title(edition, newsletter, texts, settings.time_zone)
        base = newsletter_url("", newsletter)
        canonical = f"{settings.base_url}{base}/editions/{edition.id}"
    return show_page(
        request,
        "edition.html",
        kind,
        canonical=canonical,
        feeds=edition_feeds(settings.base_url, newsletter) if newsletter else None,
        title=title,
        edition_language=mail.language,
        newsletter=newsletter,
        articles=articles,
        withdrawn=len(mail.gone),
        zone=settings.time_zone,
    )
