"""Who an edition is for: subscriptions by group, and why the others are left out."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, func, not_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.cohorts import ReaderGroup
from feedsvc.model.delivery import IS_OPEN, Delivery
from feedsvc.model.edition import Edition
from feedsvc.model.subscriber import (
    AddressState,
    Subscriber,
    Subscription,
    SubscriptionState,
)

#: Addresses that nothing is sent to.
_UNREACHABLE = (AddressState.DEAD, AddressState.COMPLAINED)


def is_reader(newsletter_id: int, schedule_id: int | None) -> ColumnElement[bool]:
    """Whether a subscription joined to its subscriber gets editions of this schedule.

    Args:
        schedule_id: None for an edition made by hand, which is for all schedules.
    """
    condition = and_(
        col(Subscription.newsletter_id) == newsletter_id,
        col(Subscription.state) == SubscriptionState.ACTIVE,
        col(Subscriber.state).not_in(_UNREACHABLE),
    )
    if schedule_id is not None:
        condition = and_(condition, col(Subscription.schedule_id) == schedule_id)
    return condition


def has_delivery(edition_id: int) -> ColumnElement[bool]:
    """Whether a subscription already has its delivery in this edition."""
    return (
        select(col(Delivery.id))
        .where(
            col(Delivery.edition_id) == edition_id,
            col(Delivery.subscriber_id) == col(Subscription.subscriber_id),
        )
        .correlate(Subscription)
        .exists()
    )


async def load_groups(session: AsyncSession, edition: Edition, cut_seq: int) -> list[ReaderGroup]:
    """Readers without a delivery in this edition, grouped by where they stand and their choices."""
    rows = await session.execute(
        select(
            col(Subscription.cursor),
            col(Subscription.topics),
            col(Subscriber.language),
            func.count(),
        )
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(
            is_reader(edition.newsletter_id, edition.schedule_id),
            col(Subscription.cursor) < cut_seq,
            not_(has_delivery(edition.id or 0)),
        )
        .group_by(col(Subscription.cursor), col(Subscription.topics), col(Subscriber.language))
    )
    return [
        ReaderGroup(cursor or 0, tuple(topics), language, count)
        for cursor, topics, language, count in rows.all()
    ]


async def load_members(
    session: AsyncSession, edition: Edition, group: ReaderGroup, after_id: int, limit: int
) -> dict[int, int]:
    """The next readers of a group in order: subscription id -> subscriber id.

    On PostgreSQL their rows are locked, so that nobody leaves between this and their delivery.
    """
    rows = await session.execute(
        select(col(Subscription.id), col(Subscription.subscriber_id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(
            is_reader(edition.newsletter_id, edition.schedule_id),
            col(Subscription.cursor) == group.from_seq,
            col(Subscription.topics) == list(group.topics),
            col(Subscriber.language) == group.language,
            not_(has_delivery(edition.id or 0)),
            col(Subscription.id) > after_id,
        )
        .order_by(col(Subscription.id))
        .limit(limit)
        .with_for_update(of=Subscription)
    )
    return {subscription_id or 0: subscriber_id for subscription_id, subscriber_id in rows.all()}


async def load_on_their_way(session: AsyncSession, subscription_ids: Collection[int]) -> set[int]:
    """Those of some subscriptions to whom an earlier edition's mail has not ended."""
    rows = await session.execute(
        select(col(Delivery.subscription_id)).where(
            col(Delivery.subscription_id).in_(subscription_ids),
            col(Delivery.edition_id).is_not(None),
            IS_OPEN,
        )
    )
    return {row[0] for row in rows.all() if row[0] is not None}


async def count_waiting(session: AsyncSession, edition: Edition, cut_seq: int) -> tuple[int, int]:
    """Readers not composed yet: how many in all, and how many because a mail is on its way."""
    on_its_way = (
        select(col(Delivery.id))
        .where(
            col(Delivery.subscription_id) == col(Subscription.id),
            col(Delivery.edition_id).is_not(None),
            IS_OPEN,
        )
        .correlate(Subscription)
        .exists()
    )
    row = (
        await session.execute(
            select(func.count(), func.count().filter(on_its_way))
            .select_from(Subscription)
            .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
            .where(
                is_reader(edition.newsletter_id, edition.schedule_id),
                col(Subscription.cursor) < cut_seq,
                not_(has_delivery(edition.id or 0)),
            )
        )
    ).one()
    return row[0], row[1]


async def count_left_out(session: AsyncSession, edition: Edition, cut_seq: int) -> dict[str, int]:
    """How many of a newsletter's subscriptions an edition is not for, by reason."""
    up_to_date = func.count().filter(col(Subscription.cursor) >= cut_seq)
    query = (
        select(col(Subscription.state), col(Subscriber.state), func.count(), up_to_date)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(col(Subscription.newsletter_id) == edition.newsletter_id)
        .group_by(col(Subscription.state), col(Subscriber.state))
    )
    if edition.schedule_id is not None:
        query = query.where(col(Subscription.schedule_id) == edition.schedule_id)
    reasons: dict[str, int] = {}
    for state, address_state, count, settled in (await session.execute(query)).all():
        reason = why_left_out(state, address_state)
        left_out = count if reason else settled
        if left_out:
            name = reason or "nothing new since their last mail"
            reasons[name] = reasons.get(name, 0) + left_out
    return reasons


def why_left_out(state: SubscriptionState, address_state: AddressState) -> str | None:
    """Why somebody gets no mail of a newsletter, in words; None when they do. Pure."""
    if state is not SubscriptionState.ACTIVE:
        return {
            SubscriptionState.PENDING: "not confirmed",
            SubscriptionState.PAUSED: "paused",
            SubscriptionState.UNSUBSCRIBED: "unsubscribed",
        }[state]
    if address_state in _UNREACHABLE:
        return "address dead" if address_state is AddressState.DEAD else "complained"
    return None
