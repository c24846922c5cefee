"""The hub's subscriptions: who is owed what, who is claimed, and what came of it.

What is to be done stands in rows, and a claim only puts off the time at which a row comes due. So
whatever a killed process had in hand comes due again by itself, for whichever process is there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.feeds.hub.delivery import Outcome, Step, choose_step, next_delivery_at
from feedsvc.feeds.hub.topics import Topic, Topics
from feedsvc.feeds.hub.versions import find_etag
from feedsvc.model.hub import HubState, HubSubscription

#: After this, a claim of which nothing has been heard is anybody's. Longer than any request takes.
CLAIM_LASTS = timedelta(minutes=3)
#: How long what became of a subscription can be read.
_KEPT = timedelta(days=1)
_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Claim:
    """One subscription in the hands of this process, as it was when it was claimed."""

    id: int
    step: Step
    path: str
    topic: Topic | None
    callback: str
    host: str
    secret: str | None
    asked_mode: str | None
    asked_secret: str | None
    asked_lease_seconds: int
    delivered: str | None
    owed: str | None
    until: datetime


async def next_due_at(session: AsyncSession) -> datetime | None:
    """When the next subscription comes due, which may be past; None when none will."""
    at: datetime | None = await session.scalar(select(func.min(col(HubSubscription.next_at))))
    return at


async def claim_due(
    session: AsyncSession,
    topics: Topics,
    now: datetime,
    free: int,
    busy: Collection[str],
    most_of_host: int,
) -> list[Claim]:
    """Take up to `free` subscriptions that are due, and end those that are over on the way.

    Args:
        session: a write transaction.
        topics: what can be subscribed to.
        now: the present.
        free: how many at most.
        busy: the hosts that are being asked, once for each request.
        most_of_host: requests to one host at a time.
    """
    working = list(busy)
    while True:
        full = {host for host in working if working.count(host) >= most_of_host}
        rows = await _lock_due(session, now, full)
        claims: list[Claim] = []
        for row in sorted(rows, key=lambda one: one.attempt):  # those who answer come first
            topic = topics.read_path(row.topic)
            if topic is not None and await find_etag(session, topic) is None:
                topic = None
            step = choose_step(
                row.state,
                asked=row.asked_mode is not None,
                owed=row.owed is not None,
                has_topic=topic is not None,
                lease_until=row.lease_until,
                now=now,
            )
            if step in (Step.VERIFY, Step.DELIVER, Step.DENY):
                if len(claims) < free and working.count(row.callback_host) < most_of_host:
                    working.append(row.callback_host)
                    claims.append(_claim(row, step, topic, now))
            elif step is Step.FORGET:
                await session.delete(row)
            elif step is Step.END:
                _end(row, row.reply or "its time was over", now)
            else:
                row.next_at = row.lease_until
        await session.flush()
        if claims or not rows:
            return claims


async def settle_verification(
    session: AsyncSession, claim: Claim, confirmed: bool, reply: str, asked_at: datetime
) -> None:
    """Do what was asked, if the callback confirmed it; else everything stays as it was.

    Args:
        session: a write transaction.
        claim: what was asked about.
        confirmed: whether the callback meant it.
        reply: for people.
        asked_at: when it was asked; leases count from then (WebSub §5.3).
    """
    row = await session.get(HubSubscription, claim.id, with_for_update=True)
    if row is None or (row.asked_mode, row.asked_secret, row.asked_lease_seconds) != (
        claim.asked_mode,
        claim.asked_secret,
        claim.asked_lease_seconds,
    ):
        return  # something else has been asked for since, and is yet to be confirmed
    row.reply = reply
    if confirmed and row.asked_mode == "unsubscribe":
        _end(row, "unsubscribed", asked_at)
        return
    if confirmed:
        if row.state is not HubState.ACTIVE and claim.topic is not None:
            # What came out between the request and its confirmation is not to be lost.
            etag = await find_etag(session, claim.topic)
            row.owed = etag if etag != row.delivered else None
        row.state, row.secret = HubState.ACTIVE, row.asked_secret
        row.lease_until = asked_at + timedelta(seconds=claim.asked_lease_seconds)
    elif row.state is not HubState.ACTIVE:
        _end(row, reply, asked_at)
        return
    row.asked_mode = row.asked_secret = row.asked_lease_seconds = None
    row.next_at = asked_at if row.owed is not None else row.lease_until


async def settle_delivery(
    session: AsyncSession, claim: Claim, sent: str, outcome: Outcome, now: datetime
) -> None:
    """Note what came of a delivery.

    A version that cannot be delivered is dropped in the end; the subscription stays, and the next
    version is tried (WebSub §7: "MUST keep the subscription active until the end of the lease").

    Args:
        session: a write transaction.
        claim: the subscription.
        sent: entity tag of what was sent.
        outcome: what came of it.
        now: the present.
    """
    row = await session.get(HubSubscription, claim.id, with_for_update=True)
    if row is None or row.state is not HubState.ACTIVE:
        return
    if outcome.gone:
        _end(row, f"{outcome.reply}: wants no more", now)
        return
    row.reply = outcome.reply
    again_at = None if outcome.ok else next_delivery_at(row.attempt, outcome, now)
    if again_at is None:
        row.attempt = 0
        if row.owed in (claim.owed, sent):
            row.owed = None
        if outcome.ok:
            row.delivered = sent
        else:
            row.reply += "; this version is given up"
    if row.next_at == claim.until:  # nothing else has been asked for since
        row.next_at = again_at or (now if row.owed is not None else row.lease_until)


async def end_subscription(
    session: AsyncSession, subscription_id: int, reply: str, now: datetime
) -> None:
    """It is over."""
    row = await session.get(HubSubscription, subscription_id, with_for_update=True)
    if row is not None:
        _end(row, reply, now)


async def forget_over(session: AsyncSession, now: datetime) -> int:
    """Delete subscriptions whose lease has ended, or that were never confirmed; how many.

    While the hub works, claims see to it; this is for when it is switched off.
    """
    subscription = HubSubscription
    over = or_(
        col(subscription.state) == HubState.ENDED,
        col(subscription.lease_until) <= now,
        and_(col(subscription.lease_until).is_(None), col(subscription.created_at) < now - _KEPT),
    )
    result = await session.execute(delete(subscription).where(over))
    assert isinstance(result, CursorResult)
    return result.rowcount


def _end(row: HubSubscription, reply: str, now: datetime) -> None:
    row.state, row.reply, row.next_at = HubState.ENDED, reply, now + _KEPT
    # SECURITY: what is over keeps no secrets.
    row.secret = row.owed = row.asked_mode = row.asked_secret = row.asked_lease_seconds = None
    row.attempt = 0


async def _lock_due(
    session: AsyncSession, now: datetime, full: Collection[str]
) -> list[HubSubscription]:
    row = HubSubscription
    found = await session.execute(
        select(row)
        .where(
            col(row.next_at) <= now,
            col(row.callback_host).not_in(sorted(full)),
        )
        .order_by(col(row.next_at), col(row.id))
        .limit(_LOOKED_AT)
        .with_for_update(skip_locked=True)
    )
    return list(found.scalars())


def _claim(row: HubSubscription, step: Step, topic: Topic | None, now: datetime) -> Claim:
    row.next_at = now + CLAIM_LASTS
    if step is Step.DELIVER:
        row.attempt += 1
    return Claim(
        id=row.id or 0,
        step=step,
        path=row.topic,
        topic=topic,
        callback=row.callback,
        host=row.callback_host,
        secret=row.secret,
        asked_mode=row.asked_mode,
        asked_secret=row.asked_secret,
        asked_lease_seconds=row.asked_lease_seconds or 0,
        delivered=row.delivered,
        owed=row.owed,
        until=row.next_at,
    )
