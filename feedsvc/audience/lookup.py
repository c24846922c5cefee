"""Who is subscribed, for lists and pages. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.audience.consent import ConfirmationVerdict, decide_confirmation
from feedsvc.audience.notices import load_wish
from feedsvc.audience.rows import load_left_at
from feedsvc.errors import InvalidToken, NotFound
from feedsvc.kit.addresses import Address, parse_address
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import (
    AddressState,
    Resume,
    Subscriber,
    Subscription,
    SubscriptionState,
)

#: A list gives at most so many at once.
MAX_LISTED = 1000
#: Ids beyond this are no ids.
_MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ListedSubscription:
    """One line of a list of subscriptions."""

    id: int
    address: str
    address_state: AddressState
    name: str
    newsletter: str
    schedule: str
    state: SubscriptionState
    requested_at: datetime
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class SubscriptionView:
    """What a subscriber's own page says of a subscription; nothing that tells who they are.

    `schedule_key` is that of the wish while it is being confirmed.
    """

    subscription_id: int
    newsletter_key: str
    newsletter_title: str
    public: bool
    schedule_key: str
    state: SubscriptionState


@dataclass(frozen=True, slots=True)
class ChoicesView:
    """What somebody has chosen for a newsletter; nothing that tells who they are."""

    newsletter: Newsletter
    #: Theirs; it may not be on offer any more.
    schedule: Schedule
    state: SubscriptionState
    topics: Sequence[str]
    language: str
    #: Empty: that of the schedule.
    zone: str
    paused_until: datetime | None
    resume: Resume


async def list_subscriptions(
    session: AsyncSession,
    newsletter_key: str | None = None,
    state: SubscriptionState | None = None,
    limit: int = 100,
    after_id: int = 0,
) -> Sequence[ListedSubscription]:
    """Subscriptions in the order of their ids; the next page begins after the last id of this.

    Args:
        session: any transaction.
        newsletter_key: None for all newsletters.
        state: None for all states.
        limit: from 1 to `MAX_LISTED`; more is taken as that.
        after_id: 0 to begin.
    """
    query = (
        select(
            col(Subscription.id),
            col(Subscriber.address),
            col(Subscriber.state),
            col(Subscriber.name),
            col(Newsletter.key),
            col(Schedule.key),
            col(Subscription.state),
            col(Subscription.requested_at),
            col(Subscription.confirmed_at),
        )
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .where(col(Subscription.id) > after_id)
        .order_by(col(Subscription.id))
        .limit(max(1, min(limit, MAX_LISTED)))
    )
    if newsletter_key is not None:
        query = query.where(col(Newsletter.key) == newsletter_key)
    if state is not None:
        query = query.where(col(Subscription.state) == state)
    rows = (await session.execute(query)).all()
    return [ListedSubscription(row[0] or 0, *row[1:]) for row in rows]


async def count_by_state(
    session: AsyncSession, newsletter_key: str | None = None
) -> dict[SubscriptionState, int]:
    """How many subscriptions stand where; every state is there, with 0 if need be."""
    query = select(col(Subscription.state), func.count()).group_by(col(Subscription.state))
    if newsletter_key is not None:
        query = query.join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id)).where(
            col(Newsletter.key) == newsletter_key
        )
    counts = dict.fromkeys(SubscriptionState, 0)
    for state, count in (await session.execute(query)).all():
        counts[state] = count
    return counts


async def find_subscription(session: AsyncSession, subscription_id: int) -> SubscriptionView | None:
    """What the pages of a subscription say of it; None when it is gone."""
    query = (
        select(
            col(Newsletter.key),
            col(Newsletter.title),
            col(Newsletter.public),
            col(Schedule.key),
            col(Subscription.state),
        )
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .where(col(Subscription.id) == subscription_id)
    )
    row = (await session.execute(query)).one_or_none()
    return SubscriptionView(subscription_id, *row) if row else None


async def find_choices(session: AsyncSession, subscription_id: int) -> ChoicesView | None:
    """What somebody has chosen; None when the subscription is gone."""
    query = (
        select(
            Newsletter,
            Schedule,
            col(Subscription.state),
            col(Subscription.topics),
            col(Subscription.language),
            col(Subscription.zone),
            col(Subscription.paused_until),
            col(Subscription.resume),
        )
        .select_from(Subscription)
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .where(col(Subscription.id) == subscription_id)
    )
    row = (await session.execute(query)).one_or_none()
    return ChoicesView(*row) if row else None


async def find_confirmation(
    session: AsyncSession, subscription_id: int, requested_at: datetime, now: datetime
) -> SubscriptionView:
    """What a confirmation would make active, or has; changes nothing.

    Raises:
        NotFound: there is no such subscription, or nobody asked for it at that time.
        InvalidToken: it could not be confirmed any more.
    """
    view = await find_subscription(session, subscription_id)
    found = await load_wish(session, subscription_id, requested_at)
    if view is None or found is None:
        raise NotFound("there is no such request for a subscription")
    wish, wished_at = found
    left_at = await load_left_at(session, subscription_id)
    verdict = decide_confirmation(view.state, wished_at, left_at, now)
    if verdict is ConfirmationVerdict.EXPIRED:
        raise InvalidToken("this confirmation is too old, or has been overtaken")
    if verdict is ConfirmationVerdict.ALREADY:
        return view
    return SubscriptionView(
        subscription_id,
        view.newsletter_key,
        view.newsletter_title,
        view.public,
        wish.schedule,
        view.state,
    )


async def find_subscriber(session: AsyncSession, text: str) -> int:
    """The id of a person by their address, or by that id.

    Raises:
        InvalidAddress: it is neither.
        NotFound: nobody has it.
    """
    wanted = text.strip()
    if wanted.isascii() and wanted.isdigit():
        found = None
        if int(wanted) <= _MAX_ID:
            found = await session.scalar(
                select(col(Subscriber.id)).where(col(Subscriber.id) == int(wanted))
            )
        if found is None:
            raise NotFound(f"there is no subscriber {wanted}; feedsvc subscribers list shows them")
        return found
    key = parse_address(wanted).key
    found = await session.scalar(
        select(col(Subscriber.id)).where(col(Subscriber.address_key) == key)
    )
    if found is None:
        raise NotFound("nobody with this address has ever asked for a newsletter")
    return found


async def find_state(
    session: AsyncSession, address: Address, newsletter_key: str
) -> SubscriptionState | None:
    """Where an address stands with a newsletter; None when it has nothing to do with it."""
    return await session.scalar(
        select(col(Subscription.state))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .where(col(Subscriber.address_key) == address.key, col(Newsletter.key) == newsletter_key)
    )
