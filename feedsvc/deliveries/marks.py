"""The statements that move deliveries while they are in a worker's hands, a group at a time.

Every one is fenced by worker and attempt: whoever lost a row changes nothing. A group travels as
one JSON parameter, so each is one constant statement on both databases.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from feedsvc.db.journal import Script, stored_instant
from feedsvc.deliveries.outcomes import Outcome, SubscriberEffect
from feedsvc.deliveries.statements import (
    LOCK_CONSENT,
    address_statement,
    cursor_statement,
    dot_statement,
    settle_statement,
    standing_statement,
)
from feedsvc.kit.replies import clean_text
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import SendResult


class Dot(NamedTuple):
    """A wish to write the final dot of one claimed delivery."""

    id: int
    attempt: int
    #: The Date field and the address the message was made with; fixed by the first dot.
    date_at: datetime
    address: str
    #: DKIM selectors it is signed with; fixed likewise.
    signed_with: str = ""


class Settlement(NamedTuple):
    """What one delivery in hand came to. `result` None: it was never handed over."""

    id: int
    attempt: int
    outcome: Outcome
    result: SendResult | None = None
    #: Whose answer it is.
    relay: str | None = None


class Standing(NamedTuple):
    """How a row stands."""

    attempt: int
    state: DeliveryState
    worker: str | None


def mark_dots(
    kind: str, worker: str, dots: Sequence[Dot], renderer: str, now: datetime
) -> Script[set[int]]:
    """Mark that these are about to be handed over; the ids of those that may be.

    The last check of all: claimed by this worker at this attempt, the person mailable, the
    edition sending.
    """
    if kind == "postgresql":
        # An unsubscribe that is being committed is waited for, and one that comes later waits
        # for us: so every dot is either seen to be refused or was on record before.
        yield LOCK_CONSENT, {"ids": _ids(dots)}
    marked = yield (
        dot_statement(kind),
        {
            "dots": json.dumps([_dot_values(dot, kind) for dot in dots]),
            "own": worker,
            "version": renderer,
            "at": now,
        },
    )
    return {row[0] for row in marked}


def settle(
    kind: str, worker: str, settlements: Sequence[Settlement], now: datetime
) -> Script[set[int]]:
    """Write what these came to, with all that follows; the ids that were still ours.

    Cursors move from the window's start to its end, or not at all. May run twice.
    """
    settled = yield (
        settle_statement(kind),
        {
            "settlements": json.dumps([_settlement_values(one, kind) for one in settlements]),
            "own": worker,
            "at": now,
        },
    )
    ids = {row[0] for row in settled}
    ours = [one for one in settlements if one.id in ids]
    if settling := [one for one in ours if one.outcome.settles]:
        yield cursor_statement(kind), {"ids": _ids(settling)}
    for effect in (SubscriberEffect.ALIVE, SubscriberEffect.FAILURE, SubscriberEffect.DEAD):
        if about := [one for one in ours if one.outcome.effect is effect]:
            yield address_statement(kind, effect), {"ids": _ids(about)}
    return ids


def load_standing(kind: str, ids: Iterable[int]) -> Script[dict[int, Standing]]:
    """How rows stand, by id."""
    found = yield standing_statement(kind), {"ids": json.dumps(list(ids))}
    return {row[0]: Standing(row[1], DeliveryState(row[2]), row[3]) for row in found}


def _ids(of: Iterable[Dot | Settlement]) -> str:
    return json.dumps([one.id for one in of])


def _stored(at: datetime | None, kind: str) -> str | None:
    """An instant as the database writes it."""
    if at is None:
        return None
    stored = stored_instant(at)
    return stored if kind == "sqlite" else stored + "+00"


def _dot_values(dot: Dot, kind: str) -> list[Any]:
    return [dot.id, dot.attempt, _stored(dot.date_at, kind), dot.address, dot.signed_with]


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
        one.relay,
    ]
