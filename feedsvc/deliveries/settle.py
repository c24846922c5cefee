"""What a person decides about deliveries that are held: it arrived, or it goes once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from feedsvc.model.delivery import OPEN_STATES, Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.subscriber import Subscriber


@dataclass(frozen=True, slots=True)
class HeldDelivery:
    """A mail that may have arrived; `since` is when that became known."""

    id: int
    address: str
    edition_id: int | None
    notice_id: int | None
    since: datetime
    reason: str | None


async def load_held(session: AsyncSession, limit: int) -> list[HeldDelivery]:
    """Deliveries that wait for a decision, oldest first."""
    rows = await session.execute(
        select(
            col(Delivery.id),
            col(Subscriber.address),
            col(Delivery.edition_id),
            col(Delivery.notice_id),
            col(Delivery.changed_at),
            col(Delivery.reason),
        )
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .where(col(Delivery.state) == DeliveryState.HELD)
        .order_by(col(Delivery.id))
        .limit(limit)
    )
    return [HeldDelivery(row[0] or 0, *row[1:]) for row in rows.all()]


async def settle_arrived(session: AsyncSession, ids: Sequence[int], now: datetime) -> int:
    """Take held mails as arrived; how many were held."""
    result = await session.execute(
        update(Delivery)
        .where(col(Delivery.id).in_(ids), col(Delivery.state) == DeliveryState.HELD)
        .values(state=DeliveryState.SENT, reason="arrived, the operator says", changed_at=now)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


async def send_again(
    session: AsyncSession, ids: Sequence[int], now: datetime, expires_after: timedelta
) -> int:
    """Send held mails once more, byte for byte the same; how many will go.

    One to whom another mail is under way stays held: at most one is open for a subscription.
    Editions that were through are opened again for them.
    """
    other = aliased(Delivery)
    under_way = exists().where(
        col(other.subscription_id) == col(Delivery.subscription_id),
        col(other.edition_id).is_not(None),
        col(other.state).in_(OPEN_STATES),
    )
    result = await session.execute(
        update(Delivery)
        .where(
            col(Delivery.id).in_(ids),
            col(Delivery.state) == DeliveryState.HELD,
            col(Delivery.notice_id).is_not(None) | ~under_way,
        )
        .values(
            state=DeliveryState.PENDING,
            reason="sent again, as the operator says",
            next_at=now,
            expires_at=now + expires_after,
            worker=None,
            changed_at=now,
        )
        .returning(col(Delivery.edition_id))
        .execution_options(synchronize_session=False)
    )
    editions = [row[0] for row in result.all()]
    await session.execute(
        update(Edition)
        .where(
            col(Edition.id).in_({one for one in editions if one is not None}),
            col(Edition.state) == EditionState.DONE,
        )
        .values(state=EditionState.SENDING, done_at=None)
    )
    return len(editions)
