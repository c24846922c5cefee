"""Subscriptions come and go: requested, confirmed, added by an operator, ended.

What is allowed is decided in `consent`; here it is read and written. Callers open the transaction.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.audience.consent import (
    ConfirmationVerdict,
    RequestVerdict,
    Standing,
    decide_confirmation,
    decide_request,
)
from feedsvc.audience.notices import Wish, load_asked_at, load_wish, save_confirmation
from feedsvc.audience.preferences import read_topics, read_zone
from feedsvc.audience.rows import (
    add_subscription,
    hold_subscriber,
    hold_subscriber_of,
    hold_subscription,
    hold_subscription_to,
    load_left_at,
    log_change,
    row_id,
)
from feedsvc.errors import InvalidToken, NotFound
from feedsvc.kit.addresses import Address
from feedsvc.model.article import Counter
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import (
    Resume,
    Subscriber,
    Subscription,
    SubscriptionState,
)

log = structlog.get_logger(__name__)

#: The way of asking that is open to everybody.
FORM = "form"
_EXPIRED = "this confirmation is too old, or has been overtaken"


async def request_subscription(
    session: AsyncSession,
    *,
    newsletter: Newsletter,
    schedule: Schedule,
    address: Address,
    name: str,
    language: str,
    zone: str | None,
    topics: Sequence[str],
    now: datetime,
    how: str,
    consent_text: str,
    notice_expires_at: datetime,
) -> RequestVerdict:
    """Take a wish to subscribe, by whomever; the address is asked to confirm, or nothing happens.

    The verdict is for operators: no page may tell it, lest anybody learn who is subscribed. Rows
    of people who are known are left as they are: name, language, schedule and topics become true
    when they confirm. Two requests at once make one subscriber and one notice.

    Raises:
        ChoiceInvalid: the topics or the zone cannot be.
    """
    topics = read_topics(topics)
    zone = read_zone(zone or "") or None
    verdict = RequestVerdict.NOT_OPEN
    subscription: Subscription | None = None
    if _is_open(newsletter, schedule, how):
        subscriber = await hold_subscriber(session, address, language, now)
        subscription = await hold_subscription_to(session, subscriber, newsletter)
        standing = Standing(
            address=subscriber.state,
            subscription=subscription.state if subscription else None,
            asked_at=await load_asked_at(session, row_id(subscriber), now),
        )
        verdict = decide_request(standing, now)
    if verdict is RequestVerdict.ASK:
        wish = Wish(
            newsletter=newsletter.key,
            schedule=schedule.key,
            topics=topics,
            name=name,
            language=language,
            zone=zone,
            how=how,
            consent_text=consent_text,
            requested_at=int(now.timestamp()),
        )
        subscription = await _save_request(
            session, subscriber, subscription, newsletter, schedule, wish, now
        )
        await save_confirmation(
            session, row_id(subscriber), row_id(subscription), wish, now, notice_expires_at
        )
    log.info(
        "subscription requested",
        newsletter=newsletter.key,
        subscription=subscription.id if subscription else None,
        how=how,
        verdict=verdict.value,
    )
    return verdict


async def confirm(
    session: AsyncSession, subscription_id: int, requested_at: datetime, now: datetime
) -> Subscription:
    """Make a subscription active, from the newest article on. Again: changes nothing.

    Any confirmation of the last 48 hours is good, not the newest alone: people open the first
    mail they see. One of before an unsubscribe is not.

    Args:
        session: a write transaction.
        subscription_id: from the link.
        requested_at: from the link, to the second: which wish is confirmed.
        now: the present.

    Raises:
        NotFound: there is no such subscription, or nobody asked for it at that time.
        InvalidToken: the wish is too old, or the person has left since.
    """
    subscriber = await hold_subscriber_of(session, subscription_id)
    subscription = await hold_subscription(session, subscription_id)
    found = await load_wish(session, subscription_id, requested_at)
    if subscriber is None or subscription is None or found is None:
        raise NotFound("there is no such request for a subscription")
    wish, wished_at = found
    verdict = decide_confirmation(
        subscription.state, wished_at, await load_left_at(session, subscription_id), now
    )
    if verdict is ConfirmationVerdict.EXPIRED:
        raise InvalidToken(_EXPIRED)
    if verdict is ConfirmationVerdict.ACTIVATE:
        await _skip_leftovers(session, subscription, now)
        await _take_wish(session, subscriber, subscription, wish)
        subscription.requested_at = wished_at
        await _activate(
            session,
            subscription,
            now,
            by="subscriber",
            what="confirmed",
            how=wish.how,
            consent_text=wish.consent_text,
        )
    return subscription


async def unsubscribe(
    session: AsyncSession, subscription_id: int, now: datetime, by: str
) -> Subscription | None:
    """End a subscription; of this newsletter only. Again: changes nothing.

    Args:
        session: a write transaction.
        subscription_id: from the link.
        now: the present.
        by: "subscriber", "one-click" or "operator".

    Returns:
        The subscription; None when its rows are gone already.
    """
    subscription = await hold_subscription(session, subscription_id)
    if subscription is None or subscription.state is SubscriptionState.UNSUBSCRIBED:
        return subscription
    was = subscription.state
    subscription.state = SubscriptionState.UNSUBSCRIBED
    subscription.paused_until = None
    log_change(session, subscription, now, "unsubscribed", by, {"was": was.value})
    await session.flush()
    log.info("unsubscribed", subscription=subscription_id, by=by)
    return subscription


async def add_confirmed(
    session: AsyncSession,
    *,
    newsletter: Newsletter,
    schedule: Schedule,
    address: Address,
    name: str,
    language: str,
    zone: str | None,
    topics: Sequence[str],
    now: datetime,
    consent_text: str,
    how: str = "command line",
    by: str = "operator",
) -> Subscription:
    """Subscribe somebody whose consent the operator vouches for, without a confirmation mail.

    Somebody who is subscribed stays as they are. Somebody who has left stays unsubscribed, since
    only their own confirmation brings them back: look at the state of what is returned.

    Raises:
        ChoiceInvalid: the topics or the zone cannot be.
    """
    topics = read_topics(topics)
    zone = read_zone(zone or "") or None
    subscriber = await hold_subscriber(session, address, language, now)
    subscription = await hold_subscription_to(session, subscriber, newsletter)
    if subscription is not None and subscription.state is not SubscriptionState.PENDING:
        return subscription
    if subscription is None:
        subscription = await add_subscription(session, subscriber, newsletter, schedule, now)
    subscription.schedule_id = row_id(schedule)
    subscription.topics = topics
    subscription.language = language
    subscription.zone = zone or subscriber.zone or ""
    subscriber.name = subscriber.name or name
    subscriber.zone = subscriber.zone or zone
    await _activate(
        session, subscription, now, by=by, what="added", how=how, consent_text=consent_text
    )
    return subscription


def _is_open(newsletter: Newsletter, schedule: Schedule, how: str) -> bool:
    """SECURITY: a private newsletter cannot be joined by guessing its key."""
    return (
        not newsletter.retired
        and not schedule.retired
        and schedule.newsletter_id == newsletter.id
        and (newsletter.public or how != FORM)
    )


async def _save_request(
    session: AsyncSession,
    subscriber: Subscriber,
    subscription: Subscription | None,
    newsletter: Newsletter,
    schedule: Schedule,
    wish: Wish,
    now: datetime,
) -> Subscription:
    """The row the wish is about. That of somebody who left is not touched: the notice tells."""
    if subscription is None:
        subscription = await add_subscription(session, subscriber, newsletter, schedule, now)
    elif subscription.state is SubscriptionState.PENDING:
        subscription.requested_at = now
        subscription.schedule_id = row_id(schedule)
    await session.flush()
    log_change(session, subscription, now, "requested", wish.how, {"schedule": wish.schedule})
    return subscription


async def _take_wish(
    session: AsyncSession, subscriber: Subscriber, subscription: Subscription, wish: Wish
) -> None:
    """Let what was asked for become true; a schedule that is gone by now is left alone."""
    schedule_id = (
        await session.execute(
            select(col(Schedule.id)).where(
                col(Schedule.newsletter_id) == subscription.newsletter_id,
                col(Schedule.key) == wish.schedule,
                col(Schedule.retired).is_(False),
            )
        )
    ).scalar_one_or_none()
    if schedule_id is not None:
        subscription.schedule_id = schedule_id
    subscription.topics = wish.topics
    subscriber.language = wish.language
    subscriber.name = wish.name or subscriber.name
    subscriber.zone = wish.zone or subscriber.zone
    subscription.language = wish.language
    subscription.zone = subscriber.zone or ""


async def _activate(
    session: AsyncSession,
    subscription: Subscription,
    now: datetime,
    *,
    by: str,
    what: str,
    how: str,
    consent_text: str,
) -> None:
    newest = select(col(Counter.value)).where(col(Counter.name) == "seq")
    subscription.cursor = (await session.execute(newest)).scalar_one_or_none() or 0
    subscription.state = SubscriptionState.ACTIVE
    subscription.resume = Resume.CATCH_UP
    subscription.confirmed_at = now
    newsletter = await session.get_one(Newsletter, subscription.newsletter_id)
    subscription.welcome_at = now if newsletter.welcome_items and what == "confirmed" else None
    subscription.consent_how = how
    subscription.consent_text = consent_text
    evidence = {
        "how": how,
        "consent_text": consent_text,
        "requested_at": subscription.requested_at.isoformat(),
        "cursor": subscription.cursor,
    }
    log_change(session, subscription, now, what, by, evidence)
    await session.flush()
    log.info("subscribed", subscription=subscription.id, by=by, cursor=subscription.cursor)


async def _skip_leftovers(session: AsyncSession, subscription: Subscription, now: datetime) -> None:
    """A digest still unsent from an earlier time here is not sent: they begin from now."""
    await session.execute(
        update(Delivery)
        .where(
            col(Delivery.subscriber_id) == subscription.subscriber_id,  # which has an index
            col(Delivery.subscription_id) == subscription.id,
            col(Delivery.edition_id).is_not(None),
            col(Delivery.state).in_([DeliveryState.PENDING, DeliveryState.DEFERRED]),
        )
        .values(state=DeliveryState.SKIPPED, reason="unsubscribed, then came back", changed_at=now)
    )
