"""Pages: a template in the reader's language, with the headers of its kind.

Links are made from the configured base address and from paths, never from the Host header.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote, urlencode

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from feedsvc.config import Settings
from feedsvc.feeds.configured import ConfiguredFeeds
from feedsvc.feeds.spec import FeedSpec
from feedsvc.kit.texts import LANGUAGES, Texts, negotiate
from feedsvc.model.feed import MEDIA_TYPES, FeedFormat, document_url
from feedsvc.web.security import PAGE_HEADERS, PageKind
from feedsvc.web.services import WebServices, services_of
from feedsvc.web.stylesheet import stylesheet_of

#: What each language calls itself.
LANGUAGE_NAMES = {"en": "English", "zh": "中文"}
#: Names people know the formats by.
FORMAT_NAMES = {FeedFormat.RSS: "RSS", FeedFormat.ATOM: "Atom", FeedFormat.JSON: "JSON Feed"}
_MAX_ANNOUNCED_FEEDS = 12


@dataclass(frozen=True, slots=True)
class FeedLink:
    """A feed document, as people and browsers are told of it."""

    title: str
    format_name: str
    media_type: str
    url: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the contents of every page."""

    site_title: str
    stylesheet: str
    #: The page's own address, for those who keep or pass it on; None where nobody should.
    canonical: str | None
    #: Other languages: (BCP 47 tag, name, address).
    others: tuple[tuple[str, str, str], ...]
    feeds: tuple[FeedLink, ...]
    has_newsletters: bool
    has_feeds: bool
    path: str


def show_page(
    request: Request,
    template: str,
    kind: PageKind,
    *,
    status: int = 200,
    canonical: str | None = None,
    feeds: Sequence[FeedLink] | None = None,
    **context: object,
) -> Response:
    """Render `templates/site/<template>`; a public page that the reader has gets a 304.

    Args:
        request: says the language.
        template: file name.
        kind: which headers it gets.
        status: the HTTP status.
        canonical: the page's own address, absolute; None where it has none to pass on.
        feeds: what browsers are told of, the most fitting first; None: the main feeds.
        context: for the template, beside `frame` and `link`.
    """
    services = services_of(request)
    texts = Texts(reader_language(request, services.settings))
    body = services.templates.render(
        f"site/{template}",
        texts.language,
        frame=_frame(request, services, texts, canonical, feeds),
        link=_link_maker(request),
        **context,
    ).encode()
    headers: dict[str, str] = {**PAGE_HEADERS[kind], "Content-Language": texts.lang}
    if status == 200 and kind in (PageKind.PUBLIC, PageKind.ARTICLE):
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers["ETag"] = etag
        if etag in request.headers.get("if-none-match", "").replace("W/", "").split(", "):
            return Response(status_code=304, headers=headers)
    return HTMLResponse(body, status, headers)


def reader_language(request: Request, settings: Settings) -> str:
    """The language of ours this reader wants: `?lang=`, else the browser's, else the site's."""
    if (asked := _asked_language(request)) is not None:
        return asked
    return negotiate([*_accepted(request.headers.get("accept-language", "")), settings.language])


def feeds_of(request: Request) -> ConfiguredFeeds:
    """The feeds of the application that a request came to."""
    return cast(ConfiguredFeeds, request.app.state.feeds)


def document_links(spec: FeedSpec) -> tuple[FeedLink, ...]:
    """A feed's documents, the one to take first: RSS of a podcast, else Atom.

    Podcast players know nothing but RSS. Of the others every reader knows both, and Atom says
    more exactly what it means.
    """
    liked = [FeedFormat.ATOM, FeedFormat.RSS, FeedFormat.JSON]
    if spec.podcast is not None:
        liked = [FeedFormat.RSS, FeedFormat.ATOM, FeedFormat.JSON]
    return tuple(
        FeedLink(
            title=spec.title,
            format_name=FORMAT_NAMES[one],
            media_type=MEDIA_TYPES[one].partition(";")[0],
            url=document_url(spec.base_url, spec.key, one),
        )
        for one in sorted(spec.formats, key=liked.index)
    )


def announced_feeds(configured: ConfiguredFeeds, own: Sequence[FeedSpec] = ()) -> list[FeedLink]:
    """What a page tells browsers of: its own feeds, the main feed in all formats, the others.

    Args:
        own: feeds that hold what the page shows, the closest first.
    """
    main, others = configured.specs[:1], configured.specs[1:]
    links = [document_links(spec)[0] for spec in own]
    links += [link for spec in main for link in document_links(spec)]
    links += [document_links(spec)[0] for spec in others]
    return list(dict.fromkeys(links))[:_MAX_ANNOUNCED_FEEDS]


def _asked_language(request: Request) -> str | None:
    asked = request.query_params.get("lang")
    return asked if asked in LANGUAGES else None


def _accepted(header: str) -> list[str]:
    """Tags of an Accept-Language header, the most wanted first (RFC 9110 §12.5.4)."""
    weighed: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if weight > 0 and tag.strip():
            weighed.append((weight, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda one: -one[0])]


def _link_maker(request: Request) -> Callable[..., str]:
    """Links to paths of this site, which keep the language that was asked for."""
    asked = _asked_language(request)

    def link(path: str, **query: object) -> str:
        if asked is not None:
            query["lang"] = asked
        return _with_query(quote(path), query)

    return link


def _with_query(path: str, query: Mapping[str, object]) -> str:
    kept = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(kept)}" if kept else path


def _frame(
    request: Request,
    services: WebServices,
    texts: Texts,
    canonical: str | None,
    feeds: Sequence[FeedLink] | None,
) -> Frame:
    settings = services.settings
    # SECURITY: no path begins with two slashes in a link; browsers would read a host there.
    path = "/" + quote(request.scope["path"]).lstrip("/")
    query: dict[str, object] = {
        name: value for name, value in request.query_params.items() if name != "lang"
    }
    return Frame(
        site_title=settings.title,
        stylesheet=stylesheet_of(request).path,
        canonical=canonical,
        others=tuple(
            (tag, LANGUAGE_NAMES[language], _with_query(path, {**query, "lang": language}))
            for language, tag in LANGUAGES.items()
            if language != texts.language
        ),
        feeds=tuple(announced_feeds(feeds_of(request)) if feeds is None else feeds),
        has_newsletters=any(newsletter.public for newsletter in settings.newsletters.values()),
        has_feeds=bool(settings.feeds),
        path=request.scope["path"],
    )
