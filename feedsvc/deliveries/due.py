"""What is due: which editions have mail to send, which rows come next, and when. Reads only.

Every question goes edition by edition, along one index, so that the rows of an edition that is
paused are never walked over.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Row,
    Select,
    String,
    bindparam,
    exists,
    func,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.model.delivery import IS_WAITING, Delivery
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.newsletter import Newsletter
from feedsvc.model.subscriber import Subscriber, Subscription

#: Rows of an edition in a batch at least, however many editions go out beside it.
_LEAST_SHARE = 20
_DUE_AT = bindparam("due_at", type_=DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Sending:
    """An edition with mail that is due; `edition_id` None stands for all notices."""

    edition_id: int | None
    newsletter_id: int
    newsletter: str
    sender_domain: str


def _has_due(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    return (
        exists()
        .where(
            col(Delivery.edition_id) == col(Edition.id), IS_WAITING, col(Delivery.next_at) <= now
        )
        .correlate(Edition)
    )


def _due_notice(now: datetime) -> ColumnElement[bool]:
    return col(Delivery.edition_id).is_(None) & (col(Delivery.next_at) <= now)


async def has_due(session: AsyncSession, now: datetime) -> bool:
    """Whether anything could be claimed."""
    notice = select(col(Delivery.id)).where(IS_WAITING, _due_notice(now)).limit(1)
    if (await session.execute(notice)).first() is not None:
        return True
    edition = (
        select(col(Edition.id))
        .where(col(Edition.state) == EditionState.SENDING, _has_due(now))
        .limit(1)
    )
    return (await session.execute(edition)).first() is not None


async def is_sending(session: AsyncSession, edition_id: int) -> bool:
    """Whether an edition's mail may go."""
    state = await session.scalar(select(col(Edition.state)).where(col(Edition.id) == edition_id))
    return state is EditionState.SENDING


async def next_due_at(session: AsyncSession) -> datetime | None:
    """When the next delivery is due, which may be past; None when none waits.

    Deliveries of an edition that is not sending do not count.
    """
    notice = select(func.min(col(Delivery.next_at))).where(
        IS_WAITING, col(Delivery.edition_id).is_(None)
    )
    first = (
        select(func.min(col(Delivery.next_at)))
        .where(IS_WAITING, col(Delivery.edition_id) == col(Edition.id))
        .correlate(Edition)
        .scalar_subquery()
    )
    digest = select(func.min(first)).where(col(Edition.state) == EditionState.SENDING)
    found = [await session.scalar(notice), await session.scalar(digest)]
    return min((at for at in found if at is not None), default=None)


async def find_due(
    session: AsyncSession, now: datetime, limit: int, *, suspects: bool = False
) -> list[tuple[Row[*tuple[Any, ...]], Sending]]:
    """Due rows, locked, each with whose they are."""
    given: dict[str, Any] = {"due_at": now}
    found = []
    for row in await session.execute(_due_notices(suspects), {**given, "room": limit}):
        found.append((row, Sending(None, row.newsletter_id, row.key, _domain(row.from_address))))
    if len(found) >= limit:
        return found
    editions = await _load_sending(session, now)
    share = max(-(-(limit - len(found)) // max(len(editions), 1)), min(_LEAST_SHARE, limit))
    if share * len(editions) > limit:
        # Not all have room in one batch: others begin each second.
        turn = int(now.timestamp()) % len(editions)
        editions = editions[turn:] + editions[:turn]
    for edition in editions:
        room = min(share, limit - len(found))
        if room <= 0:
            break
        given |= {"edition": edition.edition_id, "room": room}
        found += [(row, edition) for row in await session.execute(_due_mails(suspects), given)]
    return found


async def _load_sending(session: AsyncSession, now: datetime) -> list[Sending]:
    rows = await session.execute(_sending_editions(), {"due_at": now})
    return [Sending(row[0], row[1] or 0, row[2], _domain(row[3])) for row in rows]


def _domain(address: str | None) -> str:
    return (address or "").rpartition("@")[2].lower()


# Built once: building a statement costs more than running it.


@cache
def _sending_editions() -> Select[*tuple[Any, ...]]:
    return (
        select(
            col(Edition.id),
            col(Newsletter.id),
            col(Newsletter.key),
            col(Newsletter.from_address),
        )
        .join(Newsletter, col(Newsletter.id) == col(Edition.newsletter_id))
        .where(col(Edition.state) == EditionState.SENDING, _has_due(_DUE_AT))
        .order_by(col(Edition.id))
    )


@cache
def _due_mails(suspects: bool) -> Select[*tuple[Any, ...]]:
    return _next(due_rows().where(col(Delivery.edition_id) == bindparam("edition")), suspects)


@cache
def _due_notices(suspects: bool) -> Select[*tuple[Any, ...]]:
    """Notices are of a newsletter by their subscription."""
    query = due_rows().where(col(Delivery.edition_id).is_(None))
    query = query.outerjoin(
        Newsletter, col(Newsletter.id) == col(Subscription.newsletter_id)
    ).add_columns(
        col(Newsletter.id).label("newsletter_id"),
        col(Newsletter.key),
        col(Newsletter.from_address),
    )
    return _next(query, suspects)


def _next(query: Select[*tuple[Any, ...]], suspects: bool) -> Select[*tuple[Any, ...]]:
    crashes, next_at = col(Delivery.crashes), col(Delivery.next_at)
    query = query.limit(bindparam("room"))
    if suspects:
        return query.where(crashes > 0).order_by(crashes, next_at)
    return query.where(crashes == 0).order_by(next_at)


def due_rows() -> Select[*tuple[Any, ...]]:
    """Rows that wait and are due at `due_at`, with what a claim needs to know."""
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
            col(Delivery.signed_with),
            col(Delivery.doubts),
            col(Delivery.crashes),
            col(Subscriber.address),
            col(Subscriber.name),
            col(Subscriber.language),
            # As text: an enum looked up for every row costs more than the row.
            type_coerce(col(Subscriber.state), String).label("address_state"),
            type_coerce(col(Subscription.state), String).label("subscription_state"),
            col(Delivery.from_seq),
        )
        .join(Subscriber, col(Subscriber.id) == col(Delivery.subscriber_id))
        .outerjoin(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(IS_WAITING, col(Delivery.next_at) <= _DUE_AT)
        .with_for_update(of=Delivery, skip_locked=True)
    )
