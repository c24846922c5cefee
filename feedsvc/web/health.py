"""Whether this process can do its work, for whoever watches it."""

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from feedsvc.errors import DatabaseUnavailable
from feedsvc.web.services import services_of

router = APIRouter()


@router.api_route("/healthz", methods=["GET", "HEAD"])
async def show_health(request: Request) -> Response:
    """200 when the database answers, 503 when it does not."""
    try:
        await services_of(request).database.check()
    except DatabaseUnavailable:
        return PlainTextResponse("the database does not answer\n", 503)
    return PlainTextResponse("ok\n")
