"""The stylesheet: one file, under a name that changes with its contents, so that it may be kept."""

import hashlib
from dataclasses import dataclass
from typing import cast

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from feedsvc.kit.templating import Templates

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Stylesheet:
    """The styles of the site."""

    name: str
    body: bytes

    @property
    def path(self) -> str:
        """Where it is served."""
        return f"/static/{self.name}"


def read_stylesheet(templates: Templates) -> Stylesheet:
    """The site's styles; an operator's own `tokens.css` or `site/site.css` comes before ours.

    Raises:
        TemplateInvalid: one of the files is missing.
    """
    body = templates.render("site/site.css", "en").encode()
    return Stylesheet(f"site-{hashlib.sha256(body).hexdigest()[:16]}.css", body)


def stylesheet_of(request: Request) -> Stylesheet:
    """The stylesheet of the application that a request came to."""
    return cast(Stylesheet, request.app.state.stylesheet)


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def serve_stylesheet(request: Request, name: str) -> Response:
    """The stylesheet under its present name; no other file is here."""
    stylesheet = stylesheet_of(request)
    if name != stylesheet.name:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(stylesheet.body, 200, headers, "text/css; charset=utf-8")
