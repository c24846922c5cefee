"""All that stands in the rows of one person, for operators. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.errors import NotFound
from feedsvc.kit.addresses import Address
from feedsvc.model.article import Counter
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionKind
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import (
    AddressState,
    Resume,
    Subscriber,
    Subscription,
    SubscriptionChange,
    SubscriptionState,
)


@dataclass(frozen=True, slots=True)
class ShownMail:
    """A mail of a newsletter to them."""

    edition_id: int
    kind: EditionKind
    state: DeliveryState
    reason: str | None
    changed_at: datetime
    from_seq: int | None
    cut_seq: int | None


@dataclass(frozen=True, slots=True)
class ShownChange:
    """One entry of the log of a subscription."""

    at: datetime
    what: str
    by: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShownSubscription:
    """What somebody has chosen for a newsletter, how far they are, and how they got there."""

    id: int
    newsletter: str
    state: SubscriptionState
    schedule: str
    topics: Sequence[str]
    language: str
    #: Empty: that of the schedule.
    zone: str
    paused_until: datetime | None
    resume: Resume
    #: The newest article settled for them; None before they confirmed.
    cursor: int | None
    requested_at: datetime
    confirmed_at: datetime | None
    #: Newest first.
    mails: Sequence[ShownMail]
    #: Oldest first.
    changes: Sequence[ShownChange]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, by their address."""

    id: int
    address: str
    name: str
    state: AddressState
    failures: int
    #: Number of the newest article there is.
    newest: int
    subscriptions: Sequence[ShownSubscription]


async def find_person(session: AsyncSession, address: Address, mails: int = 5) -> Person:
    """A person with all their subscriptions, and the last mails of each.

    Raises:
        NotFound: nobody has this address.
    """
    query = select(Subscriber).where(col(Subscriber.address_key) == address.key)
    subscriber = (await session.execute(query)).scalar_one_or_none()
    if subscriber is None:
        raise NotFound(_NOBODY)
    rows = await session.execute(
        select(Subscription, col(Newsletter.key), col(Schedule.key))
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .join(Schedule, col(Schedule.id) == col(Subscription.schedule_id))
        .where(col(Subscription.subscriber_id) == subscriber.id)
        .order_by(col(Newsletter.key))
    )
    newest = select(col(Counter.value)).where(col(Counter.name) == "seq")
    return Person(
        id=subscriber.id or 0,
        address=subscriber.address,
        name=subscriber.name,
        state=subscriber.state,
        failures=subscriber.failures,
        newest=await session.scalar(newest) or 0,
        subscriptions=[
            await _show(session, subscription, newsletter, schedule, mails)
            for subscription, newsletter, schedule in rows.all()
        ],
    )


async def find_subscription_id(session: AsyncSession, address: Address, newsletter_key: str) -> int:
    """The subscription of an address to a newsletter. Raises NotFound."""
    found = await session.scalar(
        select(col(Subscription.id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id))
        .where(col(Subscriber.address_key) == address.key, col(Newsletter.key) == newsletter_key)
    )
    if found is None:
        raise NotFound(f"this address has nothing to do with the newsletter {newsletter_key!r}")
    return found


async def _show(
    session: AsyncSession, row: Subscription, newsletter: str, schedule: str, mails: int
) -> ShownSubscription:
    changes = await session.execute(
        select(SubscriptionChange)
        .where(col(SubscriptionChange.subscription_id) == row.id)
        .order_by(col(SubscriptionChange.id))
    )
    return ShownSubscription(
        id=row.id or 0,
        newsletter=newsletter,
        state=row.state,
        schedule=schedule,
        topics=row.topics,
        language=row.language,
        zone=row.zone,
        paused_until=row.paused_until,
        resume=row.resume,
        cursor=row.cursor,
        requested_at=row.requested_at,
        confirmed_at=row.confirmed_at,
        mails=await _load_mails(session, row, mails),
        changes=[ShownChange(one.at, one.what, one.by, one.detail) for one in changes.scalars()],
    )


async def _load_mails(session: AsyncSession, row: Subscription, limit: int) -> list[ShownMail]:
    mails = await session.execute(
        select(
            col(Edition.id),
            col(Edition.kind),
            col(Delivery.state),
            col(Delivery.reason),
            col(Delivery.changed_at),
            col(Delivery.from_seq),
            col(Delivery.cut_seq),
        )
        .join(Edition, col(Edition.id) == col(Delivery.edition_id))
        .where(
            col(Delivery.subscriber_id) == row.subscriber_id,  # which has an index
            col(Delivery.subscription_id) == row.id,
        )
        .order_by(col(Delivery.id).desc())
        .limit(limit)
    )
    return [ShownMail(one[0] or 0, *one[1:]) for one in mails.all()]


_NOBODY = "nobody has this address here; feedsvc subscribers list shows who is there"
