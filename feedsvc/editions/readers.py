"""Who a wave is for: subscriptions by slice and by group, and why the others are left out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, not_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.cohorts import ReaderGroup
from feedsvc.model.delivery import HAS_OPEN_WINDOW, Delivery, DeliveryState
from feedsvc.model.edition import CohortItem, GroupOutcome, ItemOutcome, ReaderGroupRow
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import (
    IS_UNREACHABLE,
    AddressState,
    Subscriber,
    Subscription,
    SubscriptionState,
)

#: Addresses that nothing is sent to.
UNREACHABLE = (AddressState.DEAD, AddressState.COMPLAINED)
#: The zones of a schedule's readers, each found by one step down the index.
_ZONES = text(
    "WITH RECURSIVE zones(zone) AS ("
    " SELECT (SELECT min(zone) FROM subscription WHERE newsletter_id = :newsletter"
    "  AND schedule_id = :schedule AND state = 'active')"
    " UNION ALL"
    " SELECT (SELECT min(zone) FROM subscription WHERE newsletter_id = :newsletter"
    "  AND schedule_id = :schedule AND state = 'active' AND zone > zones.zone)"
    " FROM zones WHERE zones.zone IS NOT NULL)"
    " SELECT zone FROM zones WHERE zone IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class Slice:
    """The active readers of a schedule, or those of them in some zones as they stand in their rows.

    Gone through in the order of ids: what is written about neighbours lies together, which costs a
    fraction of what it does zone by zone.
    """

    newsletter_id: int
    schedule_id: int
    #: None: all.
    zones: tuple[str, ...] | None = None

    def holds(self) -> ColumnElement[bool]:
        """Whether a subscription is of it."""
        parts = [
            col(Subscription.newsletter_id) == self.newsletter_id,
            col(Subscription.schedule_id) == self.schedule_id,
            col(Subscription.state) == SubscriptionState.ACTIVE,
        ]
        if self.zones is not None:
            parts.append(col(Subscription.zone).in_(self.zones))
        return and_(*parts)


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a wave is for, and what it covers."""

    edition_id: int
    newsletter_id: int
    #: None: all schedules of the newsletter.
    schedule_id: int | None
    cut_seq: int
    #: As they stand in the rows of subscriptions; None: all.
    zones: tuple[str, ...] | None = None
    #: Articles of stories told before, in the order of the bits of `ReaderGroup.had`.
    told: tuple[int, ...] = ()

    def subscribed(self) -> ColumnElement[bool]:
        """Whether a subscription is in question, in whatever state."""
        parts = [col(Subscription.newsletter_id) == self.newsletter_id]
        if self.schedule_id is not None:
            parts.append(col(Subscription.schedule_id) == self.schedule_id)
        if self.zones is not None:
            parts.append(col(Subscription.zone).in_(self.zones))
        return and_(*parts)

    def holds(self) -> ColumnElement[bool]:
        """Whether a subscription is active and in question."""
        return and_(self.subscribed(), col(Subscription.state) == SubscriptionState.ACTIVE)

    def lacks(self) -> ColumnElement[bool]:
        """Whether a subscription, joined to its subscriber, has not been dealt with yet."""
        return and_(
            col(Subscriber.state).not_in(UNREACHABLE),
            col(Subscription.cursor) < self.cut_seq,
            not_(has_delivery(self.edition_id)),
            func.coalesce(col(Subscription.carried_by), 0) != self.edition_id,
        )

    def carried(self) -> ColumnElement[int]:
        """Periods carried over for a subscription; void when its cursor has moved since."""
        return case(
            (col(Subscription.carried_from) == col(Subscription.cursor), col(Subscription.carried)),
            else_=0,
        )

    def had(self) -> ColumnElement[int]:
        """Which of `told` a subscription got, as bits."""
        bits: ColumnElement[int] = literal(0)
        for bit, article_id in enumerate(self.told):
            bits = bits + case((_was_mailed(article_id), 1 << bit), else_=0)
        return bits


async def load_zones(session: AsyncSession, newsletter_id: int, schedule_id: int) -> list[str]:
    """The zones of a schedule's active readers as they stand in their rows; `""` is none."""
    rows = await session.execute(_ZONES, {"newsletter": newsletter_id, "schedule": schedule_id})
    return [row[0] for row in rows.all()]


async def load_slices(session: AsyncSession, audience: Audience) -> list[Slice]:
    """The slices of an audience: one a schedule."""
    ids: Sequence[int | None] = [audience.schedule_id]
    if audience.schedule_id is None:
        found = await session.execute(
            select(col(Schedule.id)).where(col(Schedule.newsletter_id) == audience.newsletter_id)
        )
        ids = [row[0] for row in found.all()]
    return [Slice(audience.newsletter_id, one or 0, audience.zones) for one in ids]


def is_reader(newsletter_id: int, schedule_id: int | None) -> ColumnElement[bool]:
    """Whether a subscription joined to its subscriber gets editions of this schedule.

    Args:
        schedule_id: None for an edition made by hand, which is for all schedules.
    """
    condition = and_(
        col(Subscription.newsletter_id) == newsletter_id,
        col(Subscription.state) == SubscriptionState.ACTIVE,
        col(Subscriber.state).not_in(UNREACHABLE),
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


def has_open_window() -> ColumnElement[bool]:
    """Whether a mail that moves the subscription's cursor has not ended."""
    return (
        select(col(Delivery.id))
        .where(col(Delivery.subscription_id) == col(Subscription.id), HAS_OPEN_WINDOW)
        .correlate(Subscription)
        .exists()
    )


async def load_groups(session: AsyncSession, audience: Audience) -> list[ReaderGroup]:
    """Readers not dealt with yet, grouped by where they stand and their choices."""
    by: list[Any] = [
        col(Subscription.cursor),
        col(Subscription.topics),
        col(Subscription.language),
        audience.carried().label("carried"),
        audience.had().label("had"),
    ]
    rows = await session.execute(
        select(*by, func.count())
        .select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(audience.holds(), audience.lacks())
        .group_by(*by[:3], text("4"), text("5"))
    )
    groups = []
    for row in rows.all():
        cursor, topics, language, carried, had, count = tuple(row)
        groups.append(ReaderGroup(cursor or 0, tuple(topics), language, carried, had, count))
    return groups


async def load_on_their_way(session: AsyncSession, subscription_ids: Collection[int]) -> set[int]:
    """Those of some subscriptions to whom an earlier mail that moves their cursor has not ended."""
    rows = await session.execute(
        select(col(Delivery.subscription_id)).where(
            col(Delivery.subscription_id).in_(subscription_ids), HAS_OPEN_WINDOW
        )
    )
    return {row[0] for row in rows.all() if row[0] is not None}


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the composing of a wave is."""

    #: Readers not dealt with yet, and those of them to whom an earlier mail is on its way.
    left: int
    waiting: int
    #: Mails of the whole edition.
    deliveries: int
    #: Why the others of the wave's subscribers get nothing -> how many.
    left_out: Mapping[str, int]


async def load_standing(session: AsyncSession, audience: Audience, wave_id: int) -> Standing:
    """How far the composing of a wave is."""
    row = (
        await session.execute(
            select(func.count(), func.count().filter(has_open_window()))
            .select_from(Subscription)
            .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
            .where(audience.holds(), audience.lacks())
        )
    ).one()
    deliveries = await session.scalar(
        select(func.count())
        .select_from(Delivery)
        .where(col(Delivery.edition_id) == audience.edition_id)
    )
    left_out = await _count_composed(session, audience, wave_id)
    return Standing(row[0], row[1], deliveries or 0, left_out)


async def _count_composed(
    session: AsyncSession, audience: Audience, wave_id: int
) -> dict[str, int]:
    """As count_left_out, of a wave whose groups are stored; looks at no reader one by one."""
    states = await session.execute(
        select(col(Subscription.state), func.count())
        .where(audience.subscribed())
        .group_by(col(Subscription.state))
    )
    counts = {row[0]: row[1] for row in states.all()}
    up_to_date = counts.pop(SubscriptionState.ACTIVE, 0)
    reasons = {why_left_out(state, AddressState.GOOD) or "": n for state, n in counts.items()}
    unreachable = await session.execute(
        select(col(Subscriber.state), func.count())
        .join(Subscription, col(Subscription.subscriber_id) == col(Subscriber.id))
        .where(IS_UNREACHABLE, audience.holds())
        .group_by(col(Subscriber.state))
    )
    for state, count in unreachable.all():
        reasons[why_left_out(SubscriptionState.ACTIVE, state) or ""] = count
        up_to_date -= count
    groups = await session.execute(
        select(col(ReaderGroupRow.outcome), func.sum(col(ReaderGroupRow.readers)))
        .where(col(ReaderGroupRow.wave_id) == wave_id)
        .group_by(col(ReaderGroupRow.outcome))
    )
    for outcome, count in groups.all():
        up_to_date -= count
        if outcome is not GroupOutcome.MAILED:
            reasons[WHY_NO_MAIL[outcome]] = count
    if up_to_date > 0:
        reasons[_UP_TO_DATE] = up_to_date
    return reasons


async def count_left_out(session: AsyncSession, audience: Audience) -> dict[str, int]:
    """How many of the subscriptions in question a wave is not for, by reason."""
    up_to_date = func.count().filter(col(Subscription.cursor) >= audience.cut_seq)
    query = (
        select(col(Subscription.state), col(Subscriber.state), func.count(), up_to_date)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(audience.subscribed())
        .group_by(col(Subscription.state), col(Subscriber.state))
    )
    reasons: dict[str, int] = {}
    for state, address_state, count, settled in (await session.execute(query)).all():
        reason = why_left_out(state, address_state)
        if left_out := count if reason else settled:
            name = reason or _UP_TO_DATE
            reasons[name] = reasons.get(name, 0) + left_out
    return reasons


_UP_TO_DATE = "nothing new since their last mail"
#: Why a composed group got no mail, in words.
WHY_NO_MAIL = {
    GroupOutcome.NOTHING: "nothing new that matches their choices",
    GroupOutcome.CARRIED: "too few new articles, carried over",
    GroupOutcome.DROPPED: "their period was missed and is dropped",
}


def why_left_out(state: SubscriptionState, address_state: AddressState) -> str | None:
    """Why somebody gets no mail of a newsletter, in words; None when they do. Pure."""
    if state is not SubscriptionState.ACTIVE:
        return {
            SubscriptionState.PENDING: "not confirmed",
            SubscriptionState.PAUSED: "paused",
            SubscriptionState.UNSUBSCRIBED: "unsubscribed",
        }[state]
    if address_state in UNREACHABLE:
        return "address dead" if address_state is AddressState.DEAD else "complained"
    return None


def _was_mailed(article_id: int) -> ColumnElement[bool]:
    """Whether a mail with this article was, or may have been, accepted for a subscription."""
    return (
        select(col(Delivery.id))
        .join(CohortItem, col(CohortItem.cohort_id) == col(Delivery.cohort_id))
        .where(
            col(Delivery.subscriber_id) == col(Subscription.subscriber_id),
            col(Delivery.subscription_id) == col(Subscription.id),
            col(Delivery.state).in_([DeliveryState.SENT, DeliveryState.HELD]),
            col(CohortItem.article_id) == article_id,
            col(CohortItem.outcome).in_([ItemOutcome.MAILED, ItemOutcome.AND_MORE]),
        )
        .correlate(Subscription)
        .exists()
    )
