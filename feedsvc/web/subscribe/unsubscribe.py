"""Leaving a newsletter: the link shows a button; the button, or the mail program's own, acts.

RFC 8058: the mail program's POST has no cookie, is not redirected, and may come more than once.
"""

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from feedsvc.audience.lookup import find_subscription
from feedsvc.audience.subscriptions import unsubscribe
from feedsvc.kit.tokens import Scope
from feedsvc.model.subscriber import SubscriptionState
from feedsvc.web.pages import show_page
from feedsvc.web.security import PageKind
from feedsvc.web.services import services_of
from feedsvc.web.subscribe.fields import read_fields

router = APIRouter()


@router.api_route("/unsubscribe/{token}", methods=["GET", "HEAD"])
async def show_unsubscribe(request: Request, token: str) -> Response:
    """Which newsletter would be left, with a button; changes nothing (RFC 8058 §3.1).

    Raises:
        InvalidToken: answered like an unknown page.
    """
    services = services_of(request)
    (subscription_id,) = services.keyring.verify(Scope.UNSUBSCRIBE, token, services.clock())
    async with services.database.read() as session:
        view = await find_subscription(session, subscription_id)
    if view is None or view.state is SubscriptionState.UNSUBSCRIBED:
        return show_page(request, "unsubscribed.html", PageKind.PERSONAL, newsletter=view)
    return show_page(request, "unsubscribe.html", PageKind.PERSONAL, newsletter=view, token=token)


@router.post("/unsubscribe/{token}")
async def take_unsubscribe(request: Request, token: str) -> Response:
    """Leave at once; again is as good as once.

    Raises:
        InvalidToken: answered like an unknown page.
    """
    services = services_of(request)
    (subscription_id,) = services.keyring.verify(Scope.UNSUBSCRIBE, token, services.clock())
    by = "one-click" if await _is_one_click(request) else "subscriber"
    async with services.database.write() as session:
        await unsubscribe(session, subscription_id, services.clock(), by)
        view = await find_subscription(session, subscription_id)
    return show_page(request, "unsubscribed.html", PageKind.PERSONAL, newsletter=view)


async def _is_one_click(request: Request) -> bool:
    """Whether a mail program asks. QUIRK: some send a broken body; they are served all the same."""
    try:
        fields = await read_fields(request)
    except HTTPException:
        return False
    return fields.get("List-Unsubscribe") == "One-Click"
