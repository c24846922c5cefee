"""How many deliveries stand where. Reads only, and of an edition only what indexes hold.

However many mails have been sent, none of their rows is looked at: what was sent is what there is
less what is open and what came to something else, and these are few.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, ScalarSelect, Select, func, literal_column, null, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.deliveries.due import next_due_at
from feedsvc.model.delivery import (
    IS_IN_HAND,
    IS_OPEN,
    IS_TROUBLED,
    IS_WAITING,
    OPEN_STATES,
    Delivery,
    DeliveryState,
)
from feedsvc.model.edition import OPEN_EDITIONS, Edition, EditionState

_IN_HAND = (DeliveryState.CLAIMED, DeliveryState.DOT)
_TROUBLED = tuple(
    one
    for one in DeliveryState
    if one not in (DeliveryState.PENDING, DeliveryState.SENT, *_IN_HAND)
)


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits to be sent, and what waits for a person."""

    #: Open editions by state.
    editions: Mapping[EditionState, int] = field(default_factory=dict)
    #: Deliveries of editions that are open, not yet taken, by the edition's state; and notices.
    digests_waiting: Mapping[EditionState, int] = field(default_factory=dict)
    notices_waiting: int = 0
    #: Deliveries that a person may decide about: `held` and `uncertain` ones.
    in_doubt: Mapping[DeliveryState, int] = field(default_factory=dict)
    #: When the delivery that is due longest became due; None when none is.
    oldest_due_at: datetime | None = None


async def edition_totals(session: AsyncSession, edition_id: int) -> dict[DeliveryState, int]:
    """Deliveries of an edition by state; states that none is in are left out."""
    return (await load_totals(session, [edition_id])).get(edition_id, {})


async def load_totals(
    session: AsyncSession, edition_ids: Sequence[int]
) -> dict[int, dict[DeliveryState, int]]:
    """The same for some editions."""
    rows = await session.execute(_counting(edition_ids))
    return {row.id: _complete(row) for row in rows.all()}


def _counting(edition_ids: Sequence[int]) -> Select[*tuple[Any, ...]]:
    """One statement, so that all counts are of one moment on PostgreSQL too."""
    return select(
        col(Edition.id),
        _count().label("total"),
        _count(IS_OPEN).label("still_open"),
        *(_count(IS_TROUBLED, col(Delivery.state) == one).label(one) for one in _TROUBLED),
        *(_count_in_hand(one).label(one) for one in _IN_HAND),
    ).where(col(Edition.id).in_(edition_ids))


def _count(*conditions: Any) -> ScalarSelect[int]:
    return (
        select(func.count())
        .select_from(Delivery)
        .where(col(Delivery.edition_id) == col(Edition.id), *conditions)
        .correlate(Edition)
        .scalar_subquery()
    )


def _count_in_hand(state: DeliveryState) -> ScalarSelect[int]:
    # QUIRK: the sign keeps SQLite from the index of all deliveries of an edition; those in hand
    # are a few of all editions, and each has its worker.
    return (
        select(func.count())
        .select_from(Delivery)
        .where(
            literal_column("+delivery.edition_id") == col(Edition.id),
            col(Delivery.worker).is_not(None),
            IS_IN_HAND,
            col(Delivery.state) == state,
        )
        .correlate(Edition)
        .scalar_subquery()
    )


def _complete(row: Row[*tuple[Any, ...]]) -> dict[DeliveryState, int]:
    """What was counted, and what follows from it: `pending` and `sent`."""
    counted = {one: getattr(row, one.value) for one in (*_TROUBLED, *_IN_HAND)}
    known_open = sum(count for one, count in counted.items() if one in OPEN_STATES)
    known_ended = sum(counted.values()) - known_open
    counted[DeliveryState.PENDING] = row.still_open - known_open
    counted[DeliveryState.SENT] = row.total - row.still_open - known_ended
    return {one: counted[one] for one in DeliveryState if counted[one]}


async def load_queue(session: AsyncSession, now: datetime) -> Queue:
    """What waits, at `now`."""
    rows = await session.execute(
        select(col(Edition.state), _count(IS_WAITING)).where(col(Edition.state).in_(OPEN_EDITIONS))
    )
    editions: Counter[EditionState] = Counter()
    digests: Counter[EditionState] = Counter()
    for state, count in rows.all():
        editions[state] += 1
        digests[state] += count
    notices = await session.scalar(
        select(func.count())
        .select_from(Delivery)
        .where(col(Delivery.edition_id).is_(null()), IS_WAITING)
    )
    doubts = await session.execute(
        select(col(Delivery.state), func.count())
        .where(IS_TROUBLED, col(Delivery.state).in_([DeliveryState.HELD, DeliveryState.UNCERTAIN]))
        .group_by(col(Delivery.state))
    )
    due_at = await next_due_at(session)
    return Queue(
        editions,
        digests,
        notices or 0,
        {row[0]: row[1] for row in doubts.all()},
        due_at if due_at is not None and due_at <= now else None,
    )


async def next_pending_at(session: AsyncSession, edition_id: int) -> datetime | None:
    """When the next mail of an edition that no relay has refused is due; None when none waits."""
    first: datetime | None = await session.scalar(
        select(func.min(col(Delivery.next_at))).where(
            col(Delivery.edition_id) == edition_id,
            IS_WAITING,
            col(Delivery.state) == DeliveryState.PENDING,
        )
    )
    return first


async def count_too_late(session: AsyncSession, edition_id: int, now: datetime) -> int:
    """Waiting mails of an edition that are not worth sending any more. Looks at each that waits."""
    count = await session.scalar(
        select(func.count())
        .select_from(Delivery)
        .where(col(Delivery.edition_id) == edition_id, IS_WAITING, col(Delivery.expires_at) <= now)
    )
    return count or 0
