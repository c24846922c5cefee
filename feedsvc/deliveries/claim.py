"""Claiming: a worker takes a batch of deliveries that are due, in one short transaction.

What cannot be mailed any more is set aside on the way, with its reason. Sends nothing; the last
word on whether a person may be mailed is spoken when the dot is marked.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.deliveries.outcomes import Facts
from feedsvc.model.delivery import ClaimedDelivery, Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

#: Literal, word for word as in the partial indexes: a bound value would hide them from SQLite.
WAITING = text("delivery.state IN ('pending', 'deferred')")


@dataclass(frozen=True, slots=True)
class Claim(ClaimedDelivery):
    """A claimed delivery, with what its outcome depends on."""

    doubts: int
    crashes: int
    is_failing: bool

    @property
    def facts(self) -> Facts:
        """What decides the outcome of its handover."""
        return Facts(
            self.id,
            self.attempt,
            self.notice_id is not None,
            self.doubts,
            self.crashes,
            self.expires_at,
            self.is_failing,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look at the due deliveries came to; `looked_at` 0 means that none was due."""

    claims: list[Claim] = field(default_factory=list)
    #: Delivery id -> why it is not sent, nor tried again.
    set_aside: dict[int, str] = field(default_factory=dict)

    @property
    def looked_at(self) -> int:
        """How many rows left the waiting states."""
        return len(self.claims) + len(self.set_aside)


def is_due(now: datetime) -> ColumnElement[bool]:
    """Whether a delivery may be claimed now; needs Edition joined on the outside."""
    return (col(Delivery.next_at) <= now) & or_(
        col(Delivery.notice_id).is_not(None), col(Edition.state) == EditionState.SENDING
    )


async def has_due(session: AsyncSession, now: datetime) -> bool:
    """Whether anything could be claimed."""
    found = await session.execute(
        select(col(Delivery.id))
        .outerjoin(Edition, col(Edition.id) == col(Delivery.edition_id))
        .where(WAITING, is_due(now))
        .limit(1)
    )
    return found.first() is not None


async def claim_batch(
    session: AsyncSession, worker: str, now: datetime, limit: int, *, alone: bool = True
) -> Batch:
    """Take up to `limit` due deliveries for a worker, notices first.

    Mails that a worker may have died of come last, one at a time, and only when the worker has
    nothing else in hand (`alone`), so that the next death has one suspect.
    """
    found = (
        await session.execute(
            _due(now)
            .where(col(Delivery.crashes) == 0)
            .order_by(col(Delivery.priority), col(Delivery.next_at))
            .limit(limit)
        )
    ).all()
    if not found and alone:
        found = (
            await session.execute(
                _due(now)
                .where(col(Delivery.crashes) > 0)
                .order_by(col(Delivery.crashes), col(Delivery.priority), col(Delivery.next_at))
                .limit(1)
            )
        ).all()
    batch = Batch()
    expired: list[int] = []
    for row in found:
        reason = choose_skip(row.address_state, row.subscription_state, row.edition_id is None)
        if reason is not None:
            batch.set_aside[row.id] = reason
        elif row.expires_at <= now:
            expired.append(row.id)
        else:
            batch.claims.append(_claim(row))
    await _take(session, [claim.id for claim in batch.claims], worker, now)
    await _end(session, batch.set_aside, DeliveryState.SKIPPED, now)
    late = dict.fromkeys(expired, "not sent before it stopped being worth sending")
    await _end(session, late, DeliveryState.EXPIRED, now)
    batch.set_aside.update(late)
    return batch


def choose_skip(
    address: AddressState, subscription: SubscriptionState | None, is_notice: bool
) -> str | None:
    """Why a person may not be mailed, in words; None when they may. Pure.

    The same rule as `is_mailable()`, which has the last word.
    """
    if address is AddressState.DEAD:
        return "the address is dead"
    if address is AddressState.COMPLAINED:
        return "its owner complained about a mail"
    if is_notice or subscription is SubscriptionState.ACTIVE:
        return None
    match subscription:
        case SubscriptionState.UNSUBSCRIBED:
            return "unsubscribed before it was sent"
        case SubscriptionState.PAUSED:
            return "paused by the subscriber before it was sent"
        case _:
            return "not confirmed"


def _due(now: datetime) -> Select[*tuple[Any, ...]]:
    return (
        select(
            col(Delivery.id),
            col(Delivery.attempt),
            col(Delivery.subscriber_id),
            col(Delivery.address).label("fixed_address"),
            col(Delivery.edition_id),
            col(Delivery.cohort_id),
            col(Delivery.subscription_id),
            col(Delivery.notice_id),
            col(Delivery.date_at),
            col(Delivery.expires_at),
            col(Delivery.doubts),
            col(Delivery.crashes),
            col(Subscriber.address),
            col(Subscriber.name),
            col(Subscriber.language),
            col(Subscriber.state).label("address_state"),
            col(Subscription.state).label("subscription_state"),
        )
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .outerjoin(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .outerjoin(Edition, col(Edition.id) == col(Delivery.edition_id))
        .where(WAITING, is_due(now))
        .with_for_update(of=Delivery, skip_locked=True)
    )


def _claim(row: Row[*tuple[Any, ...]]) -> Claim:
    return Claim(
        id=row.id,
        attempt=row.attempt + 1,
        subscriber_id=row.subscriber_id,
        address=row.fixed_address or row.address,
        name=row.name,
        language=row.language,
        edition_id=row.edition_id,
        cohort_id=row.cohort_id,
        subscription_id=row.subscription_id,
        notice_id=row.notice_id,
        date_at=row.date_at,
        expires_at=row.expires_at,
        doubts=row.doubts,
        crashes=row.crashes,
        is_failing=row.address_state is AddressState.FAILING,
    )


async def _take(session: AsyncSession, ids: Sequence[int], worker: str, now: datetime) -> None:
    if ids:
        await session.execute(
            update(Delivery)
            .where(col(Delivery.id).in_(ids))
            .values(
                state=DeliveryState.CLAIMED,
                worker=worker,
                attempt=col(Delivery.attempt) + 1,
                changed_at=now,
            )
            .execution_options(synchronize_session=False)
        )


async def _end(
    session: AsyncSession, reasons: dict[int, str], state: DeliveryState, now: datetime
) -> None:
    by_reason: defaultdict[str, list[int]] = defaultdict(list)
    for delivery_id, reason in reasons.items():
        by_reason[reason].append(delivery_id)
    for reason, ids in by_reason.items():
        await session.execute(
            update(Delivery)
            .where(col(Delivery.id).in_(ids))
            .values(state=state, reason=reason, changed_at=now)
            .execution_options(synchronize_session=False)
        )
