"""Confirming a subscription: the link shows a button, and only the button confirms.

Mail scanners follow links; a GET that confirmed would let them subscribe strangers.
"""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from feedsvc.audience.lookup import SubscriptionView, find_confirmation
from feedsvc.audience.subscriptions import confirm
from feedsvc.editions.calendar import Rhythm
from feedsvc.errors import InvalidToken
from feedsvc.kit.texts import Texts
from feedsvc.kit.tokens import Scope
from feedsvc.model.subscriber import SubscriptionState
from feedsvc.web.pages import reader_language, show_page
from feedsvc.web.security import PageKind
from feedsvc.web.services import WebServices, services_of

router = APIRouter()


@router.api_route("/confirm/{token}", methods=["GET", "HEAD"])
async def show_confirmation(request: Request, token: str) -> Response:
    """What would be confirmed, with a button; changes nothing.

    Raises:
        InvalidToken: answered like an unknown page.
    """
    services = services_of(request)
    subscription_id, requested_at = read_token(services, token)
    async with services.database.read() as session:
        try:
            view = await find_confirmation(session, subscription_id, requested_at, services.clock())
        except InvalidToken:
            return show_expired(request)
    if view.state in (SubscriptionState.ACTIVE, SubscriptionState.PAUSED):
        return _show(request, "confirmed.html", view)
    return _show(request, "confirm.html", view, token=token)


@router.post("/confirm/{token}")
async def confirm_subscription(request: Request, token: str) -> Response:
    """Confirm; again is as good as once.

    Raises:
        InvalidToken: answered like an unknown page.
    """
    services = services_of(request)
    subscription_id, requested_at = read_token(services, token)
    now = services.clock()
    try:
        async with services.database.write() as session:
            await confirm(session, subscription_id, requested_at, now)
            view = await find_confirmation(session, subscription_id, requested_at, now)
    except InvalidToken:
        return show_expired(request)
    return _show(request, "confirmed.html", view)


def read_token(services: WebServices, token: str) -> tuple[int, datetime]:
    """Subscription id and time of the wish in a confirmation link. Raises InvalidToken."""
    subscription_id, epoch = services.keyring.verify(Scope.CONFIRM, token, services.clock())
    return subscription_id, datetime.fromtimestamp(epoch, UTC)


def show_expired(request: Request) -> Response:
    """The link was good once; how to get another."""
    return show_page(request, "confirm_expired.html", PageKind.PERSONAL, status=410)


def _show(request: Request, template: str, view: SubscriptionView, token: str = "") -> Response:
    settings = services_of(request).settings
    newsletter = settings.newsletters.get(view.newsletter_key)
    schedule = newsletter.schedules.get(view.schedule_key) if newsletter else None
    words = None
    if schedule:
        rhythm = Rhythm.configured(schedule, settings.time_zone)
        texts = Texts(reader_language(request, settings))
        words = texts.schedule(rhythm.cron, rhythm.zone, own_zone=rhythm.own_zone)
    return show_page(
        request, template, PageKind.PERSONAL, newsletter=view, schedule=words, token=token
    )
