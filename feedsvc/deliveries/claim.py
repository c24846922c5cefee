"""Claiming: a worker takes a batch of deliveries that are due, in one short transaction.

What cannot be mailed any more is set aside on the way, with its reason; what may not go now is
put off. Sends nothing; the last word on whether a person may be mailed is spoken when the dot is
marked.
"""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.db.journal import stored_instant
from feedsvc.deliveries.due import Sending, find_due
from feedsvc.deliveries.outcomes import Facts
from feedsvc.deliveries.statements import put_off_statement, take_statement
from feedsvc.model.delivery import ClaimedDelivery, Delivery, DeliveryState
from feedsvc.model.subscriber import AddressState, SubscriptionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(ClaimedDelivery):
    """A claimed delivery, with what its way and its outcome depend on."""

    doubts: int
    crashes: int
    has_window: bool
    is_failing: bool
    newsletter: str
    #: Domain of the newsletter's From.
    sender_domain: str

    @property
    def facts(self) -> Facts:
        """What decides the outcome of its handover."""
        return Facts(
            self.id,
            self.attempt,
            self.has_window,
            self.doubts,
            self.crashes,
            self.expires_at,
            self.is_failing,
        )


#: Says of deliveries that are about to be claimed when those that may not go now are looked at
#: again; in the claim's own transaction.
PutOff = Callable[[AsyncSession, Sequence[Claim]], Awaitable[Mapping[int, datetime]]]


async def put_nothing_off(_session: AsyncSession, _claims: Sequence[Claim]) -> dict[int, datetime]:
    """All may go."""
    return {}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look at the due deliveries came to; `looked_at` 0 means that none was due."""

    claims: list[Claim] = field(default_factory=list)
    #: Delivery id -> why it is not sent, nor tried again.
    set_aside: dict[int, str] = field(default_factory=dict)
    #: Delivery id -> when it is looked at again.
    put_off: Mapping[int, datetime] = field(default_factory=dict)

    @property
    def looked_at(self) -> int:
        """How many rows are not due any more."""
        return len(self.claims) + len(self.set_aside) + len(self.put_off)


async def claim_batch(
    session: AsyncSession,
    worker: str,
    now: datetime,
    limit: int,
    put_off: PutOff = put_nothing_off,
    *,
    alone: bool = True,
) -> Batch:
    """Take up to `limit` due deliveries for a worker: notices first, then a share of each edition.

    So no edition waits until a large one is through. Mails that a worker may have died of come
    last, one at a time, and only when the worker has nothing else in hand (`alone`), so that the
    next death has one suspect.
    """
    found = await find_due(session, now, limit)
    if not found and alone:
        found = await find_due(session, now, 1, suspects=True)
    set_aside: dict[int, str] = {}
    expired: list[int] = []
    claims: list[Claim] = []
    for row, sending in found:
        claim = _claim(row, sending)
        address, state = AddressState(row[16]), row[17]
        reason = choose_skip(
            address, SubscriptionState(state) if state else None, claim.edition_id is None
        )
        if reason is not None:
            set_aside[claim.id] = reason
        elif claim.expires_at <= now:
            expired.append(claim.id)
        else:
            claims.append(claim)
    later = await put_off(session, claims) if claims else {}
    claims = [claim for claim in claims if claim.id not in later]
    await _take(session, [claim.id for claim in claims], worker, now)
    await _put_off(session, later)
    await _end(session, set_aside, DeliveryState.SKIPPED, now)
    late = dict.fromkeys(expired, "not sent before it stopped being worth sending")
    await _end(session, late, DeliveryState.EXPIRED, now)
    return Batch(claims, {**set_aside, **late}, later)


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


def _claim(row: Sequence[Any], sending: Sending) -> Claim:
    """The claim of a row of `due_rows`, by position: by name it would cost several times that."""
    (
        delivery_id, attempt, subscriber_id, fixed_address, edition_id, cohort_id, subscription_id,
        notice_id, date_at, expires_at, signed_with, doubts, crashes, address, name, language,
        address_state, _, from_seq,
    ) = row[:19]  # fmt: skip
    return Claim(
        id=delivery_id,
        attempt=attempt + 1,
        subscriber_id=subscriber_id,
        address=fixed_address or address,
        name=name,
        language=language,
        edition_id=edition_id,
        cohort_id=cohort_id,
        subscription_id=subscription_id,
        notice_id=notice_id,
        date_at=date_at,
        expires_at=expires_at,
        newsletter_id=sending.newsletter_id,
        signed_with=signed_with,
        doubts=doubts,
        crashes=crashes,
        has_window=from_seq is not None,
        is_failing=address_state == AddressState.FAILING,
        newsletter=sending.newsletter or "",
        sender_domain=sending.sender_domain,
    )


async def _take(session: AsyncSession, ids: Sequence[int], worker: str, now: datetime) -> None:
    if ids:
        connection = await session.connection()
        await connection.execute(
            take_statement(connection.dialect.name),
            {"ids": json.dumps(ids), "own": worker, "at": now},
        )


async def _put_off(session: AsyncSession, later: Mapping[int, datetime]) -> None:
    if not later:
        return
    kind = session.get_bind().dialect.name
    zone = "" if kind == "sqlite" else "+00"
    rows = [[one, stored_instant(at) + zone] for one, at in later.items()]
    connection = await session.connection()
    await connection.execute(put_off_statement(kind), {"later": json.dumps(rows)})


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
