"""The rows of a person, held against everybody else who would change them, and their log.

Held in one order, subscriber before subscription, so that two who want both never wait for each
other. The lock is PostgreSQL's FOR NO KEY UPDATE, which lets deliveries be written meanwhile; on
SQLite the write transaction itself is the lock.
"""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.kit.addresses import Address
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import (
    Subscriber,
    Subscription,
    SubscriptionChange,
    SubscriptionState,
)

Row = TypeVar("Row", Subscriber, Subscription)


async def hold_subscriber(
    session: AsyncSession, address: Address, language: str, now: datetime
) -> Subscriber:
    """The person with this address, made if need be, and held until the transaction ends.

    Who else asks for the same address at the same time waits here, and then sees what we wrote.
    """
    dialect = session.get_bind().dialect.name
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    fresh = {
        "address": address.wire,
        "address_key": address.key,
        "language": language,
        "created_at": now,
    }
    await session.execute(
        insert(Subscriber).values(**fresh).on_conflict_do_nothing(index_elements=["address_key"])
    )
    query = select(Subscriber).where(col(Subscriber.address_key) == address.key)
    return (await session.execute(_held(query))).scalar_one()


async def hold_subscriber_of(session: AsyncSession, subscription_id: int) -> Subscriber | None:
    """The person a subscription belongs to, held; None when the subscription is gone."""
    owner = select(col(Subscription.subscriber_id)).where(col(Subscription.id) == subscription_id)
    query = select(Subscriber).where(col(Subscriber.id) == owner.scalar_subquery())
    return (await session.execute(_held(query))).scalar_one_or_none()


async def hold_subscription(session: AsyncSession, subscription_id: int) -> Subscription | None:
    """A subscription, held; None when it is gone."""
    query = select(Subscription).where(col(Subscription.id) == subscription_id)
    return (await session.execute(_held(query))).scalar_one_or_none()


async def hold_subscription_to(
    session: AsyncSession, subscriber: Subscriber, newsletter: Newsletter
) -> Subscription | None:
    """A person's subscription to a newsletter, held; None when there is none."""
    query = select(Subscription).where(
        col(Subscription.subscriber_id) == subscriber.id,
        col(Subscription.newsletter_id) == newsletter.id,
    )
    return (await session.execute(_held(query))).scalar_one_or_none()


async def add_subscription(
    session: AsyncSession,
    subscriber: Subscriber,
    newsletter: Newsletter,
    schedule: Schedule,
    now: datetime,
) -> Subscription:
    """A new subscription, not confirmed, in the person's own language and zone."""
    subscription = Subscription(
        subscriber_id=row_id(subscriber),
        newsletter_id=row_id(newsletter),
        schedule_id=row_id(schedule),
        state=SubscriptionState.PENDING,
        language=subscriber.language,
        zone=subscriber.zone or "",
        requested_at=now,
    )
    session.add(subscription)
    await session.flush()
    return subscription


async def load_left_at(session: AsyncSession, subscription_id: int) -> datetime | None:
    """When the person last ended this subscription; None if never."""
    left_at: datetime | None = (
        await session.execute(
            select(func.max(col(SubscriptionChange.at))).where(
                col(SubscriptionChange.subscription_id) == subscription_id,
                col(SubscriptionChange.what) == "unsubscribed",
            )
        )
    ).scalar_one()
    return left_at


def log_change(
    session: AsyncSession,
    subscription: Subscription,
    now: datetime,
    what: str,
    by: str,
    detail: dict[str, Any],
) -> None:
    """Write a change of a subscription into its log."""
    session.add(
        SubscriptionChange(
            subscription_id=row_id(subscription), at=now, what=what, by=by, detail=detail
        )
    )


def row_id(row: Subscriber | Subscription | Newsletter | Schedule) -> int:
    """The id of a stored row."""
    if row.id is None:
        raise ValueError(f"a {type(row).__name__} that has not been stored")
    return row.id


def _held(query: Select[Row]) -> Select[Row]:
    return query.with_for_update(key_share=True).execution_options(populate_existing=True)
