"""The SQL of marks.py, for both databases; built once, because building costs more than running.

A group of rows comes in as one JSON parameter, so that each statement is constant.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    DateTime,
    Integer,
    Select,
    String,
    TextClause,
    Update,
    case,
    func,
    null,
    select,
    text,
    type_coerce,
    update,
)
from sqlmodel import SQLModel, col

from feedsvc.db.journal import given
from feedsvc.deliveries.outcomes import SubscriberEffect
from feedsvc.model.columns import stored_enum
from feedsvc.model.delivery import Delivery, DeliveryState, is_mailable
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription

_STATE = stored_enum(DeliveryState)
# Tables, not entities: the unit of work has no part in this.
_DELIVERY = SQLModel.metadata.tables["delivery"]
_SUBSCRIPTION = SQLModel.metadata.tables["subscription"]
_SUBSCRIBER = SQLModel.metadata.tables["subscriber"]


_DOTS = {
    "sqlite": text(
        "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,"
        " json_extract(value, '$[2]') AS date_at, json_extract(value, '$[3]') AS address,"
        " json_extract(value, '$[4]') AS signed_with FROM json_each(:dots)"
    ),
    "postgresql": text(
        "SELECT CAST(value->>0 AS INTEGER) AS id, CAST(value->>1 AS INTEGER) AS attempt,"
        " CAST(value->>2 AS TIMESTAMPTZ) AS date_at, value->>3 AS address,"
        " value->>4 AS signed_with FROM jsonb_array_elements(CAST(:dots AS JSONB))"
    ),
}
_SETTLEMENTS = {
    "sqlite": text(
        "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS attempt,"
        " json_extract(value, '$[2]') AS state, json_extract(value, '$[3]') AS next_at,"
        " json_extract(value, '$[4]') AS reason, json_extract(value, '$[5]') AS doubts,"
        " json_extract(value, '$[6]') AS crashes, json_extract(value, '$[7]') AS code,"
        " json_extract(value, '$[8]') AS reply, json_extract(value, '$[9]') AS relay"
        " FROM json_each(:settlements)"
    ),
    "postgresql": text(
        "SELECT CAST(value->>0 AS INTEGER) AS id, CAST(value->>1 AS INTEGER) AS attempt,"
        " value->>2 AS state, CAST(value->>3 AS TIMESTAMPTZ) AS next_at, value->>4 AS reason,"
        " CAST(value->>5 AS INTEGER) AS doubts, CAST(value->>6 AS INTEGER) AS crashes,"
        " CAST(value->>7 AS INTEGER) AS code, value->>8 AS reply,"
        " value->>9 AS relay"
        " FROM jsonb_array_elements(CAST(:settlements AS JSONB))"
    ),
}
_LATER = {
    "sqlite": text(
        "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS next_at"
        " FROM json_each(:later)"
    ),
    "postgresql": text(
        "SELECT CAST(value->>0 AS INTEGER) AS id, CAST(value->>1 AS TIMESTAMPTZ) AS next_at"
        " FROM jsonb_array_elements(CAST(:later AS JSONB))"
    ),
}
_IDS = {
    "sqlite": text("SELECT value AS id FROM json_each(:ids)"),
    "postgresql": text(
        "SELECT CAST(value AS INTEGER) AS id FROM jsonb_array_elements_text(CAST(:ids AS JSONB))"
    ),
}
#: PostgreSQL: hold the subscriptions of deliveries `ids` as they are until the commit.
LOCK_CONSENT = text(
    "SELECT subscription.id FROM subscription"
    " JOIN delivery ON delivery.subscription_id = subscription.id"
    " WHERE delivery.id IN"
    " (SELECT CAST(value AS INTEGER) FROM jsonb_array_elements_text(CAST(:ids AS JSONB)))"
    " ORDER BY subscription.id FOR SHARE OF subscription"
)


@cache
def dot_statement(kind: str) -> Update:
    """Mark `dots` of worker `own`, where still claimed and mailable; gives back their ids."""
    rows = _rowset(
        _DOTS[kind],
        id=Integer(),
        attempt=Integer(),
        date_at=DateTime(True),
        address=String(),
        signed_with=String(),
    )
    return (
        update(_DELIVERY)
        .where(
            col(Delivery.id) == rows.c.id,
            col(Delivery.attempt) == rows.c.attempt,
            col(Delivery.worker) == given("own"),
            col(Delivery.state) == DeliveryState.CLAIMED,
            is_mailable(),
        )
        .values(
            state=DeliveryState.DOT,
            date_at=func.coalesce(col(Delivery.date_at), rows.c.date_at),
            address=func.coalesce(col(Delivery.address), rows.c.address),
            renderer=given("version"),
            signed_with=func.coalesce(col(Delivery.signed_with), rows.c.signed_with),
            changed_at=given("at"),
        )
        .returning(col(Delivery.id))
    )


@cache
def settle_statement(kind: str) -> Update:
    """Write `settlements` of worker `own`, where still in its hands; gives back their ids."""
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
        relay=String(),
    )
    replied = rows.c.reply.is_not(None)
    return (
        update(_DELIVERY)
        .where(
            col(Delivery.id) == rows.c.id,
            col(Delivery.attempt) == rows.c.attempt,
            col(Delivery.worker) == given("own"),
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
            relay=case((replied, rows.c.relay), else_=col(Delivery.relay)),
            worker=null(),
            changed_at=given("at"),
        )
        .returning(col(Delivery.id))
    )


@cache
def take_statement(kind: str) -> Update:
    """Put deliveries `ids` into the hands of worker `own`."""
    rows = _rowset(_IDS[kind], id=Integer())
    return (
        update(_DELIVERY)
        .where(col(Delivery.id) == rows.c.id)
        .values(
            state=DeliveryState.CLAIMED,
            worker=given("own"),
            attempt=col(Delivery.attempt) + 1,
            changed_at=given("at"),
        )
    )


@cache
def put_off_statement(kind: str) -> Update:
    """Look at deliveries `later` again at the times given with them; nothing else changes."""
    rows = _rowset(_LATER[kind], id=Integer(), next_at=DateTime(True))
    return update(_DELIVERY).where(col(Delivery.id) == rows.c.id).values(next_at=rows.c.next_at)


@cache
def standing_statement(kind: str) -> Select[*tuple[Any, ...]]:
    """Attempt, state and worker of deliveries `ids`, as they stand."""
    rows = _rowset(_IDS[kind], id=Integer())
    return select(
        col(Delivery.id), col(Delivery.attempt), col(Delivery.state), col(Delivery.worker)
    ).where(col(Delivery.id) == rows.c.id)


@cache
def cursor_statement(kind: str) -> Update:
    """Move the cursors of the subscriptions of deliveries `ids` over their windows, or not."""
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
def address_statement(kind: str, effect: SubscriberEffect) -> Update:
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


def _rowset(statement: TextClause, **columns: Any) -> CTE:
    """The rows of a parameter; taken apart once, not again for each mention of a column."""
    valued = statement.bindparams(*map(given, statement._bindparams))
    return valued.columns(**columns).cte("v").prefix_with("MATERIALIZED")
