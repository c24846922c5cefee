"""Bring editions into being: the unique row of schedule and period decides who fires."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.calendar import latest_due_at, next_due_at, period_of
from feedsvc.model.article import Counter
from feedsvc.model.edition import Edition, EditionKind, EditionState, Wave
from feedsvc.model.newsletter import Newsletter, Schedule


async def fire_due(session: AsyncSession, now: datetime) -> list[int]:
    """Make the edition of every schedule whose period has come; ids of those made here.

    May run any number of times, on any number of nodes: each period is made once.
    """
    made = []
    for schedule in await _load_schedules(session):
        due_at = await find_due(session, schedule, now)
        if due_at is None:
            continue
        edition_id = await _make_edition(
            session,
            schedule.newsletter_id,
            schedule.id,
            period=period_of(due_at),
            zone=schedule.zone,
            due_at=due_at,
            now=now,
        )
        if edition_id is not None:
            made.append(edition_id)
    return made


async def find_due(session: AsyncSession, schedule: Schedule, now: datetime) -> datetime | None:
    """The newest due instant of a schedule that no edition has been made for, or None."""
    due_at = latest_due_at(schedule.cron, schedule.zone, schedule.since, now)
    if due_at is None:
        return None
    latest = await session.scalar(
        select(func.max(col(Edition.period))).where(
            col(Edition.schedule_id) == schedule.id,
            # Made by a clock that ran ahead: it must not stop those that come before.
            col(Edition.period) <= period_of(now),
        )
    )
    return due_at if latest is None or period_of(due_at) > latest else None


async def fire_by_hand(session: AsyncSession, newsletter: Newsletter, now: datetime) -> int:
    """Make an edition for all of a newsletter's subscribers, now, outside any schedule."""
    edition_id = await _make_edition(
        session,
        newsletter.id or 0,
        None,
        period=now.isoformat(),
        zone="UTC",
        due_at=now,
        now=now,
    )
    if edition_id is None:
        raise RuntimeError("an edition without schedule is always made")
    return edition_id


async def _make_edition(
    session: AsyncSession,
    newsletter_id: int,
    schedule_id: int | None,
    *,
    period: str,
    zone: str,
    due_at: datetime,
    now: datetime,
) -> int | None:
    insert = (sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert)(
        Edition
    )
    edition_id = await session.scalar(
        insert.values(
            newsletter_id=newsletter_id,
            schedule_id=schedule_id,
            kind=EditionKind.DIGEST,
            period=period,
            state=EditionState.COMPOSING,
            counters={},
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=["schedule_id", "period"])
        .returning(col(Edition.id))
    )
    if edition_id is None:
        return None
    cut_seq = await session.scalar(select(col(Counter.value)).where(col(Counter.name) == "seq"))
    session.add(Wave(edition_id=edition_id, zone=zone, due_at=due_at, cut_seq=cut_seq or 0))
    await session.flush()
    return int(edition_id)


async def is_anything_due(session: AsyncSession, now: datetime) -> bool:
    """Whether fire_due would make an edition: the same question, without a write transaction."""
    for schedule in await _load_schedules(session):
        if await find_due(session, schedule, now) is not None:
            return True
    return False


async def load_due_times(session: AsyncSession, now: datetime) -> dict[int, datetime]:
    """Schedule id -> its next due instant after `now`."""
    due = {
        schedule.id or 0: next_due_at(schedule.cron, schedule.zone, now)
        for schedule in await _load_schedules(session)
    }
    return {schedule_id: due_at for schedule_id, due_at in due.items() if due_at is not None}


async def _load_schedules(session: AsyncSession) -> list[Schedule]:
    rows = await session.execute(
        select(Schedule)
        .join(Newsletter, col(Newsletter.id) == col(Schedule.newsletter_id))
        .where(col(Schedule.retired).is_(False), col(Newsletter.retired).is_(False))
        .order_by(col(Schedule.id))
    )
    return list(rows.scalars())
