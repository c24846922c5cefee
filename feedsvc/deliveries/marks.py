"""The statements that move deliveries while they are in a worker's hands, a group at a time.

Every one is fenced by worker and attempt: whoever lost a row changes nothing. A group travels as
one JSON parameter, so each is one constant statement on both databases.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.deliveries.outcomes import Outcome, SubscriberEffect
from feedsvc.deliveries.statements import (
    LOCK_CONSENT,
    address_statement,
    cursor_statement,
    dot_statement,
    settle_statement,
)
from feedsvc.kit.replies import clean_text
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.relay import SendResult


@dataclass(frozen=True, slots=True)
class Dot:
    """A wish to write the final dot of one claimed delivery."""

    id: int
    attempt: int
    #: The Date field and the address the message was made with; fixed by the first dot.
    date_at: datetime
    address: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one delivery in hand came to. `result` None: it was never handed over."""

    id: int
    attempt: int
    outcome: Outcome
    result: SendResult | None = None


async def mark_dots(
    session: AsyncSession, worker: str, dots: Sequence[Dot], renderer: str, now: datetime
) -> set[int]:
    """Mark that these are about to be handed over; the ids of those that may be.

    The last check of all: claimed by this worker at this attempt, the person mailable, the
    edition sending.
    """
    kind, connection = _kind(session), await session.connection()
    if kind == "postgresql":
        # An unsubscribe that is being committed is waited for, and one that comes later waits
        # for us: so every dot is either seen to be refused or was on record before.
        await connection.execute(LOCK_CONSENT, {"ids": _ids(dots)})
    marked = await connection.execute(
        dot_statement(kind),
        {
            "dots": json.dumps([_dot_values(dot, kind) for dot in dots]),
            "own": worker,
            "version": renderer,
            "at": now,
        },
    )
    return {row.id for row in marked}


async def settle(
    session: AsyncSession,
    worker: str,
    settlements: Sequence[Settlement],
    relay: str | None,
    now: datetime,
) -> set[int]:
    """Write what these came to, with all that follows; the ids that were still ours.

    Cursors move from the window's start to its end, or not at all. May run twice.
    """
    kind, connection = _kind(session), await session.connection()
    settled = await connection.execute(
        settle_statement(kind),
        {
            "settlements": json.dumps([_settlement_values(one, kind) for one in settlements]),
            "own": worker,
            "relay_name": relay,
            "at": now,
        },
    )
    ids = {row.id for row in settled}
    ours = [one for one in settlements if one.id in ids]
    if settling := [one for one in ours if one.outcome.settles]:
        await connection.execute(cursor_statement(kind), {"ids": _ids(settling)})
    for effect in (SubscriberEffect.ALIVE, SubscriberEffect.FAILURE, SubscriberEffect.DEAD):
        if about := [one for one in ours if one.outcome.effect is effect]:
            await connection.execute(address_statement(kind, effect), {"ids": _ids(about)})
    return ids


async def load_standing(
    session: AsyncSession, ids: Iterable[int]
) -> dict[int, tuple[int, DeliveryState, str | None]]:
    """Attempt, state and worker of rows as they stand, by id."""
    found = await session.execute(
        select(
            col(Delivery.id), col(Delivery.attempt), col(Delivery.state), col(Delivery.worker)
        ).where(col(Delivery.id).in_(list(ids)))
    )
    return {row.id: (row.attempt, row.state, row.worker) for row in found}


def _ids(of: Iterable[Dot | Settlement]) -> str:
    return json.dumps([one.id for one in of])


def _kind(session: AsyncSession) -> str:
    return session.get_bind().dialect.name


def _stored(at: datetime | None, kind: str) -> str | None:
    """An instant as the database writes it."""
    if at is None:
        return None
    naive = at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return naive if kind == "sqlite" else naive + "+00"


def _dot_values(dot: Dot, kind: str) -> list[Any]:
    return [dot.id, dot.attempt, _stored(dot.date_at, kind), dot.address]


def _settlement_values(one: Settlement, kind: str) -> list[Any]:
    outcome, result = one.outcome, one.result
    has_reply = result is not None and (result.code is not None or bool(result.text))
    return [
        one.id,
        one.attempt,
        outcome.state.value,
        _stored(outcome.next_at, kind),
        clean_text(outcome.reason) if outcome.reason is not None else None,
        outcome.doubts,
        outcome.crashes,
        result.code if result is not None else None,
        clean_text(result.text) if result is not None and has_reply else None,
    ]
