"""When an edition would be that is rehearsed: of which waves, and which row is there already."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.calendar import (
    LocalPeriod,
    Rhythm,
    local_due_at,
    next_due_at,
    next_local_period,
    period_of,
)
from feedsvc.editions.composing import UNDER_WAY
from feedsvc.editions.firings import find_firings
from feedsvc.editions.wall_clock import find_zone, instant_of
from feedsvc.model.edition import Edition, EditionKind, EditionState
from feedsvc.model.newsletter import Schedule
from feedsvc.model.subscriber import Subscription

#: How far ahead an article may settle that waits for its edition.
_AHEAD = timedelta(days=400)
#: Editions before a moment that are counted.
_MOST_BEFORE = 1000


@dataclass(frozen=True, slots=True)
class Moment:
    """A wave: when it would be, for whom, and of which edition."""

    zone: str
    due_at: datetime
    #: Nominal local time, where readers have it at the hour of their own zone; else empty.
    period: str = ""
    #: When the first wave of its edition would be; None: at its own time.
    edition_due_at: datetime | None = None
    #: Of its readers, as they stand in their rows; None: all.
    zones: tuple[str, ...] | None = None
    edition: Edition | None = None


async def plan_moments(
    session: AsyncSession, schedule: Schedule, now: datetime, at: datetime | None
) -> tuple[list[Moment], datetime | None]:
    """The waves to rehearse, and when the schedule comes due next.

    Args:
        at: None for when it comes due; else for that moment, without a zone in the schedule's, or
            in each reader's.
    """
    if schedule.own_zone:
        return await _plan_local(session, schedule, now, at)
    zone = find_zone(schedule.zone)
    if schedule.is_each_article:
        due_at = await _settles_at(session, schedule, now)
    else:
        due_at = next_due_at(Rhythm.of(schedule), now)
    draft = await _find_draft(session, schedule)
    if draft is not None and draft.due_at is not None:
        due_at = draft.due_at
    moment = due_at or now
    if at is not None:
        moment = instant_of(at, zone) if at.tzinfo is None else at.astimezone(UTC)
    if draft is None or draft.due_at is None or moment > draft.due_at:
        draft = await _find_edition(session, schedule, period_of(moment))
    return [Moment(schedule.zone, moment, edition=draft)], due_at


async def _plan_local(
    session: AsyncSession, schedule: Schedule, now: datetime, at: datetime | None
) -> tuple[list[Moment], datetime | None]:
    """A wave for each zone of its subscribers: its next one, or that of a moment."""
    rhythm, plans = Rhythm.of(schedule), []
    due: list[datetime] = []
    for zone, stored in (await _load_zones(session, schedule)).items():
        following = next_local_period(rhythm, zone, now)
        if following is not None:
            due.append(following.due_at)
        one = _local_moment(schedule, zone, at) if at is not None else following
        if one is not None:
            edition = await _find_edition(session, schedule, one.period)
            plans.append(Moment(zone, one.due_at, one.period, None, stored, edition))
    first = {plan.period: min(p.due_at for p in plans if p.period == plan.period) for plan in plans}
    plans = [replace(plan, edition_due_at=first[plan.period]) for plan in plans]
    return sorted(plans, key=lambda plan: (plan.due_at, plan.zone)), min(due, default=None)


def _local_moment(schedule: Schedule, zone: str, at: datetime) -> LocalPeriod | None:
    if at.tzinfo is not None:
        local = at.astimezone(find_zone(zone)).replace(tzinfo=None)
        return LocalPeriod(local.isoformat(timespec="minutes"), at.astimezone(UTC))
    period = at.isoformat(timespec="minutes")
    due_at = local_due_at(period, zone, schedule.zone)
    return LocalPeriod(period, due_at) if due_at is not None else None


async def _load_zones(session: AsyncSession, schedule: Schedule) -> dict[str, tuple[str, ...]]:
    """The zones its subscribers are in, each with how it stands in their rows."""
    rows = await session.execute(
        select(col(Subscription.zone))
        .where(
            col(Subscription.newsletter_id) == schedule.newsletter_id,
            col(Subscription.schedule_id) == schedule.id,
        )
        .distinct()
    )
    zones: dict[str, tuple[str, ...]] = {}
    for (stored,) in rows.all():
        name = find_zone(stored, schedule.zone).key
        zones[name] = (*zones.get(name, ()), stored)
    return zones


async def _settles_at(session: AsyncSession, schedule: Schedule, now: datetime) -> datetime | None:
    """When the articles that wait for an edition go, if nothing changes any more."""
    for firing in await find_firings(session, now + _AHEAD):
        if firing.schedule_id == schedule.id:
            return max(firing.due_at, now)
    return None


async def _find_draft(session: AsyncSession, schedule: Schedule) -> Edition | None:
    return await session.scalar(
        select(Edition)
        .where(
            col(Edition.schedule_id) == schedule.id,
            col(Edition.kind) == EditionKind.DIGEST,
            col(Edition.state) == EditionState.DRAFT,
        )
        .order_by(col(Edition.id))
        .limit(1)
    )


async def _find_edition(session: AsyncSession, schedule: Schedule, period: str) -> Edition | None:
    """The edition of a period, if one is there that still goes."""
    return await session.scalar(
        select(Edition).where(
            col(Edition.schedule_id) == schedule.id,
            col(Edition.period) == period,
            col(Edition.state).in_([*UNDER_WAY, EditionState.DRAFT]),
        )
    )


def count_before(schedule: Schedule, now: datetime, at: datetime | None) -> int:
    """Editions of a schedule that come due after now and before a moment."""
    if at is None or not schedule.cron:
        return 0
    moment = instant_of(at, find_zone(schedule.zone)) if at.tzinfo is None else at
    rhythm, count = Rhythm.of(schedule), 0
    due_at = next_due_at(rhythm, now)
    while due_at is not None and due_at < moment and count < _MOST_BEFORE:
        count += 1
        due_at = next_due_at(rhythm, due_at)
    return count
