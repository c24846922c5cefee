"""The statements that move deliveries while they are in a worker's hands, a group at a time.

Every one is fenced by worker and attempt: whoever lost a row changes nothing. A group travels as
one JSON parameter, so each is one constant statement on both databases.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    DateTime,
    Integer,
    String,
    Subquery,
    Update,
    bindparam,
    case,
    func,
    null,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from feedsvc.deliveries.outcomes import Outcome, SubscriberEffect
from feedsvc.kit.replies import clean_text
from feedsvc.model.columns import stored_enum
from feedsvc.model.delivery import Delivery, DeliveryState, is_mailable
from feedsvc.model.relay import SendResult
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription

_STATE = stored_enum(DeliveryState)
# Tables, not entities: the unit of work has no part in this.
_DELIVERY = SQLModel.metadata.tables["delivery"]
_SUBSCRIPTION = SQLModel.metadata.tables["subscription"]
_SUBSCRIBER = SQLModel.metadata.tables["subscriber"]


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


_DOTS = {
    "sqlite": text(
        "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,"
        " json_extract(value, '$[2]') AS date_at, json_extract(value, '$[3]') AS address"
        " FROM json_each(:dots)"
    ),
    "postgresql": text(
        "SELECT CAST(value->>0 AS INTEGER) AS id, CAST(value->>1 AS INTEGER) AS attempt,"
        " CAST(value->>2 AS TIMESTAMPTZ) AS date_at, value->>3 AS address"
        " FROM jsonb_array_elements(CAST(:dots AS JSONB))"
    ),
}
_SETTLEMENTS = {
    "sqlite": text(
        "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,"
        " json_extract(value, '$[2]') AS state, json_extract(value, '$[3]') AS next_at,"
        " json_extract(value, '$[4]') AS reason, json_extract(value, '$[5]') AS doubts,"
        " json_extract(value, '$[6]') AS crashes, json_extract(value, '$[7]') AS code,"
        " json_extract(value, '$[8]') AS reply FROM json_each(:settlements)"
    ),
    "postgresql": text(
        "SELECT CAST(value->>0 AS INTEGER) AS id, CAST(value->>1 AS INTEGER) AS attempt,"
        " value->>2 AS state, CAST(value->>3 AS TIMESTAMPTZ) AS next_at, value->>4 AS reason,"
        " CAST(value->>5 AS INTEGER) AS doubts, CAST(value->>6 AS INTEGER) AS crashes,"
        " CAST(value->>7 AS INTEGER) AS code, value->>8 AS reply"
        " FROM jsonb_array_elements(CAST(:settlements AS JSONB))"
    ),
}
_IDS = {
    "sqlite": text("SELECT value AS id FROM json_each(:ids)"),
    "postgresql": text(
        "SELECT CAST(value AS INTEGER) AS id FROM jsonb_array_elements_text(CAST(:ids AS JSONB))"
    ),
}
_LOCK_CONSENT = text(
    "SELECT subscription.id FROM subscription"
    " JOIN delivery ON delivery.subscription_id = subscription.id"
    " WHERE delivery.id IN"
    " (SELECT CAST(value AS INTEGER) FROM jsonb_array_elements_text(CAST(:ids AS JSONB)))"
    " ORDER BY subscription.id FOR SHARE OF subscription"
)


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
        await connection.execute(_LOCK_CONSENT, {"ids": _ids(dots)})
    marked = await connection.execute(
        _dot_statement(kind),
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
        _settle_statement(kind),
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
        await connection.execute(_cursor_statement(kind), {"ids": _ids(settling)})
    for effect in (SubscriberEffect.ALIVE, SubscriberEffect.FAILURE, SubscriberEffect.DEAD):
        if about := [one for one in ours if one.outcome.effect is effect]:
            await connection.execute(_address_statement(kind, effect), {"ids": _ids(about)})
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


# The statements are built once: building one costs more than running it.


@cache
def _dot_statement(kind: str) -> Update:
    rows = _rowset(
        _DOTS[kind], id=Integer(), attempt=Integer(), date_at=DateTime(True), address=String()
    )
    return (
        update(_DELIVERY)
        .where(
            col(Delivery.id) == rows.c.id,
            col(Delivery.attempt) == rows.c.attempt,
            col(Delivery.worker) == bindparam("own"),
            col(Delivery.state) == DeliveryState.CLAIMED,
            is_mailable(),
        )
        .values(
            state=DeliveryState.DOT,
            date_at=func.coalesce(col(Delivery.date_at), rows.c.date_at),
            address=func.coalesce(col(Delivery.address), rows.c.address),
            renderer=bindparam("version"),
            changed_at=bindparam("at"),
        )
        .returning(col(Delivery.id))
    )


@cache
def _settle_statement(kind: str) -> Update:
    rows = _rowset(
        _SETTLEMENTS[kind],
        id=Integer(),
        attempt=Integer(),
        state=String(),
        next_at=DateTime(True),
        reason=String(),
        doubts=Integer(),
        crashes=Integer(),
        code=Integer(),
        reply=String(),
    )
    replied = rows.c.reply.is_not(None)
    relay_name = bindparam("relay_name", type_=String())
    return (
        update(_DELIVERY)
        .where(
            col(Delivery.id) == rows.c.id,
            col(Delivery.attempt) == rows.c.attempt,
            col(Delivery.worker) == bindparam("own"),
            col(Delivery.state).in_([DeliveryState.CLAIMED, DeliveryState.DOT]),
        )
        .values(
            state=type_coerce(rows.c.state, _STATE),
            next_at=func.coalesce(rows.c.next_at, col(Delivery.next_at)),
            reason=rows.c.reason,
            doubts=rows.c.doubts,
            crashes=rows.c.crashes,
            reply_code=case((replied, rows.c.code), else_=col(Delivery.reply_code)),
            reply_text=case((replied, rows.c.reply), else_=col(Delivery.reply_text)),
            relay=case((replied, relay_name), else_=col(Delivery.relay)),
            worker=null(),
            changed_at=bindparam("at"),
        )
        .returning(col(Delivery.id))
    )


@cache
def _cursor_statement(kind: str) -> Update:
    rows = _rowset(_IDS[kind], id=Integer())
    return (
        update(_SUBSCRIPTION)
        .where(
            col(Delivery.id) == rows.c.id,
            col(Delivery.edition_id).is_not(None),
            col(Subscription.id) == col(Delivery.subscription_id),
            col(Subscription.cursor) == col(Delivery.from_seq),
        )
        .values(cursor=col(Delivery.cut_seq))
    )


@cache
def _address_statement(kind: str, effect: SubscriberEffect) -> Update:
    """What an outcome says about the address it was about; a complaint outlasts them all."""
    rows = _rowset(_IDS[kind], id=Integer())
    known = [AddressState.FAILING]
    if effect is SubscriberEffect.ALIVE:
        values: dict[str, Any] = {"state": AddressState.GOOD, "failures": 0}
    else:
        dead = effect is SubscriberEffect.DEAD
        known.append(AddressState.GOOD)
        values = {
            "state": AddressState.DEAD if dead else AddressState.FAILING,
            "failures": col(Subscriber.failures) + 1,
        }
    return (
        update(_SUBSCRIBER)
        .where(
            col(Delivery.id) == rows.c.id,
            col(Subscriber.id) == col(Delivery.subscriber_id),
            # A verdict on an address they have since left says nothing about the new one.
            col(Subscriber.address)
            == func.coalesce(col(Delivery.address), col(Subscriber.address)),
            col(Subscriber.state).in_(known),
        )
        .values(**values)
    )


def _ids(of: Iterable[Dot | Settlement]) -> str:
    return json.dumps([one.id for one in of])


def _rowset(statement: Any, **columns: Any) -> Subquery:
    subquery: Subquery = statement.columns(**columns).subquery("v")
    return subquery


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
