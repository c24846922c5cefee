"""A mail, read in the browser: the page of its cohort, without anybody's links."""

from fastapi import APIRouter, HTTPException, Request
from sqlalchemy import select
from sqlmodel import col
from starlette.responses import HTMLResponse, Response

from feedsvc.kit.tokens import Scope
from feedsvc.model.edition import Cohort
from feedsvc.web.security import PAGE_HEADERS, PageKind
from feedsvc.web.services import services_of

router = APIRouter()


@router.api_route("/editions/{token}", methods=["GET", "HEAD"])
async def show_edition(request: Request, token: str) -> Response:
    """The stored page, as it was sent.

    Raises:
        InvalidToken: answered like an unknown page.
    """
    services = services_of(request)
    (cohort_id,) = services.keyring.verify(Scope.VIEW, token, services.clock())
    async with services.database.read() as session:
        query = select(col(Cohort.page)).where(col(Cohort.id) == cohort_id)
        page = (await session.execute(query)).scalar_one_or_none()
    if page is None:
        raise HTTPException(404)
    return HTMLResponse(page, 200, PAGE_HEADERS[PageKind.MAIL])
