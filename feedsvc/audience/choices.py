"""Subscribers change their minds: schedule, topics, language, zone, pausing and going on.

What is allowed is decided in `preferences`; here it is read and written. Callers open the
transaction.

The cursor makes every change safe. A change of choices never moves it, so the next edition by the
new choices reaches back to what was last settled, and no further. A mail that was composed by the
old choices, and is still to go, goes: it settles its window by compare-and-set from the cursor.
Pausing does not move it either; mails that are open meanwhile are not mailable, and are skipped
with their window open when their turn comes.

Only going on "from now" moves it, forward, to the newest article. What is still to be sent then is
not sent. What a worker holds already is left to it: its mail may go, or its outcome may be written,
after the cursor has moved. Its window begins before the cursor, so its compare-and-set fails and
the cursor stays. Nothing repeats, since what comes next begins at the newest article; nothing is
lost but what "from now" gives up, which the log says with both numbers. The composer holds the
subscription while it writes a delivery: that delivery is either seen and skipped here, or composed
from the new cursor.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import case, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.audience.offers import load_known_topics, load_schedules
from feedsvc.audience.preferences import (
    Choices as Choices,
)
from feedsvc.audience.preferences import (
    Chosen,
    Going,
    check_subscribed,
    list_changes,
    plan_change,
    plan_cursor,
    plan_pause,
    read_topics,
)
from feedsvc.audience.rows import hold_subscription, log_change, row_id
from feedsvc.errors import NotFound
from feedsvc.model.article import Counter
from feedsvc.model.delivery import HAS_OPEN_WINDOW, IS_WAITING, Delivery, DeliveryState
from feedsvc.model.newsletter import Newsletter, Schedule
from feedsvc.model.subscriber import Resume, Subscription, SubscriptionState

log = structlog.get_logger(__name__)

#: Subscriptions that go on in one transaction at most.
PIECE = 500
#: Who it was when a pause is over.
BY_DATE = "date"


async def change_choices(
    session: AsyncSession, subscription_id: int, wanted: Choices, now: datetime, by: str
) -> Subscription:
    """Let somebody choose anew. What they have chosen already changes nothing, and is not logged.

    Args:
        session: a write transaction.
        subscription_id: whose.
        wanted: the change.
        now: the present.
        by: "subscriber" or "operator".

    Raises:
        NotFound: there is no such subscription.
        NotSubscribed: it is not confirmed, or has been ended.
        ChoiceInvalid: something is not to be had; nothing is changed then.
    """
    subscription = await _hold(session, subscription_id)
    check_subscribed(subscription.state)
    newsletter = await session.get_one(Newsletter, subscription.newsletter_id)
    present = await session.get_one(Schedule, subscription.schedule_id)
    schedules = await load_schedules(session, row_id(newsletter))
    topics: set[str] = set()
    if wanted.topics:
        wanted = replace(wanted, topics=read_topics(wanted.topics))
        topics = await load_known_topics(session, newsletter, wanted.topics or ())
    before = Chosen(
        present.key, tuple(subscription.topics), subscription.language, subscription.zone
    )
    after = plan_change(before, wanted, schedules, topics)
    if changes := list_changes(before, after):
        if after.schedule != before.schedule:
            subscription.schedule_id = row_id(schedules[after.schedule])
        subscription.topics = list(after.topics)
        subscription.language = after.language
        subscription.zone = after.zone
        log_change(session, subscription, now, "changed", by, changes)
        await session.flush()
        log.info("choices changed", subscription=subscription_id, by=by, what=[*changes["after"]])
    return subscription


async def pause(
    session: AsyncSession,
    subscription_id: int,
    until: datetime | None,
    resume: Resume,
    now: datetime,
    by: str,
) -> Subscription:
    """Send somebody nothing until a date, or until they say so. Paused ones pause anew.

    Args:
        session: a write transaction.
        subscription_id: whose.
        until: when they go on; None: when they say so.
        resume: from where they go on.
        now: the present.
        by: "subscriber" or "operator".

    Raises:
        NotFound: there is no such subscription.
        NotSubscribed: it is not confirmed, or has been ended.
        ChoiceInvalid: the date has come already, or is too far away.
    """
    subscription = await _hold(session, subscription_id)
    before = _going(subscription)
    after = plan_pause(before, until, resume, now)
    if changes := list_changes(before, after):
        subscription.state = after.state
        subscription.paused_until = after.until
        subscription.resume = after.resume
        log_change(session, subscription, now, "paused", by, changes)
        await session.flush()
        log.info("paused", subscription=subscription_id, by=by, until=until, resume=resume.value)
    return subscription


async def resume(
    session: AsyncSession,
    subscription_id: int,
    now: datetime,
    by: str,
    how: Resume | None = None,
) -> Subscription:
    """Let somebody who paused go on. One who has not paused stays as they are.

    Args:
        session: a write transaction.
        subscription_id: whose.
        now: the present.
        by: "subscriber" or "operator".
        how: from where they go on; None: as they said when they paused.

    Raises:
        NotFound: there is no such subscription.
        NotSubscribed: it is not confirmed, or has been ended.
    """
    subscription = await _hold(session, subscription_id)
    check_subscribed(subscription.state)
    if subscription.state is SubscriptionState.PAUSED:
        subscription.resume = how or subscription.resume
        await _go_on(session, [subscription], now, by)
    return subscription


async def resume_due(session: AsyncSession, now: datetime, limit: int) -> int:
    """Let some of those go on whose pause is over; how many, fewer than `limit` at the end.

    Call it in a transaction of its own while there are as many. Whom somebody else is changing at
    this moment is left for the next time.
    """
    rows = await session.execute(
        select(Subscription)
        .where(_is_due(now))
        .order_by(col(Subscription.paused_until), col(Subscription.id))
        .limit(min(limit, PIECE))
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    due = rows.scalars().all()
    await _go_on(session, due, now, BY_DATE)
    return len(due)


async def has_due(session: AsyncSession, now: datetime) -> bool:
    """Whether somebody's pause is over."""
    found = await session.execute(select(col(Subscription.id)).where(_is_due(now)).limit(1))
    return found.first() is not None


async def _hold(session: AsyncSession, subscription_id: int) -> Subscription:
    subscription = await hold_subscription(session, subscription_id)
    if subscription is None:
        raise NotFound("there is no such subscription")
    return subscription


def _is_due(now: datetime) -> Any:
    # By the partial index: who has no date, or does not pause, has no `paused_until`.
    return (col(Subscription.paused_until) <= now) & (
        col(Subscription.state) == SubscriptionState.PAUSED
    )


def _going(subscription: Subscription) -> Going:
    return Going(subscription.state, subscription.paused_until, subscription.resume)


async def _go_on(
    session: AsyncSession, paused: Sequence[Subscription], now: datetime, by: str
) -> None:
    """Make paused subscriptions active, all of them held."""
    from_now = [one for one in paused if one.resume is Resume.NOW]
    newest = await _load_newest(session) if from_now else 0
    if from_now:
        await _skip_waiting(session, [row_id(one) for one in from_now], now)
    for one in paused:
        before, stood = _going(one), one.cursor or 0
        one.state = SubscriptionState.ACTIVE
        one.paused_until = None
        one.cursor = plan_cursor(one.resume, stood, newest)
        detail: dict[str, Any] = {**list_changes(before, _going(one)), "how": one.resume.value}
        if one.resume is Resume.NOW:
            detail |= {"from": stood, "to": one.cursor}
        log_change(session, one, now, "resumed", by, detail)
        log.info("resumed", subscription=one.id, by=by, how=one.resume.value, cursor=one.cursor)
    await session.flush()


async def _load_newest(session: AsyncSession) -> int:
    newest = select(col(Counter.value)).where(col(Counter.name) == "seq")
    return await session.scalar(newest) or 0


async def _skip_waiting(
    session: AsyncSession, subscription_ids: Sequence[int], now: datetime
) -> None:
    """Digests that are still to be sent to them are not sent. Letters go: they are no backlog."""
    reason = "went on after a pause, from now"
    doubted = f"{reason}; an earlier try may have arrived"
    await session.execute(
        update(Delivery)
        .where(
            col(Delivery.subscription_id).in_(subscription_ids),
            HAS_OPEN_WINDOW,  # by which those that ended are not looked at
            IS_WAITING,
        )
        .values(
            state=DeliveryState.SKIPPED,
            reason=case((col(Delivery.doubts) > 0, literal(doubted)), else_=literal(reason)),
            changed_at=now,
        )
        .execution_options(synchronize_session=False)
    )
