"""What has come due and is not made yet. Reads only; fire.py makes it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from feedsvc.editions.calendar import (
    LocalPeriod,
    Rhythm,
    choose_missed,
    latest_due_at,
    latest_local_period,
    next_due_at,
    next_local_period,
    open_until,
    period_of,
    settled_at,
)
from feedsvc.editions.composing import UNDER_WAY, filter_of
from feedsvc.editions.readers import load_zones
from feedsvc.editions.wall_clock import find_zone
from feedsvc.model.article import Article, ArticleState
from feedsvc.model.edition import Edition, EditionState, Wave
from feedsvc.model.newsletter import CatchUp, Newsletter, Review, Schedule

#: States in which an edition's further zones still come to their hour.
_AWAITS_ZONES = (*UNDER_WAY, EditionState.DRAFT, EditionState.PAUSED)
#: Editions that tell which zones a schedule has had.
_LATELY = 3


@dataclass(frozen=True, slots=True)
class DueWave:
    """A zone whose hour has come, or will have by the time a draft is approved."""

    zone: str
    due_at: datetime
    missed: CatchUp | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """An edition to be made, or to be given further waves."""

    newsletter_id: int
    schedule_id: int | None
    period: str
    waves: tuple[DueWave, ...]
    #: When its first wave is due.
    due_at: datetime
    #: Of a draft: until when it may be approved.
    draft_until: datetime | None = None
    open_until: datetime | None = None


async def find_firings(session: AsyncSession, now: datetime) -> list[Firing]:
    """What has come due and is not made yet."""
    found = []
    for newsletter, schedule in await _load_schedules(session):
        if schedule.is_each_article:
            found += await _find_each_article(session, newsletter, schedule, now)
        elif schedule.own_zone:
            found += await _find_local(session, newsletter, schedule, now)
        else:
            found += await _find_fixed(session, newsletter, schedule, now)
    return found


async def load_due_times(session: AsyncSession, now: datetime) -> dict[int, datetime]:
    """Schedule id -> when something of it comes due next; only of those that go by the clock."""
    due: dict[int, datetime] = {}
    for newsletter, schedule in await _load_schedules(session):
        rhythm = Rhythm.of(schedule)
        if schedule.is_each_article:
            continue
        lead = _lead(newsletter)
        if schedule.own_zone:
            zones = await _zones_of(session, schedule)
            periods = [next_local_period(rhythm, zone, now + lead) for zone in zones]
            times = [one.due_at for one in periods if one is not None]
        else:
            at = next_due_at(rhythm, now + lead)
            times = [at] if at is not None else []
        if times:
            due[schedule.id or 0] = min(times) - lead
    return due


async def _find_fixed(
    session: AsyncSession, newsletter: Newsletter, schedule: Schedule, now: datetime
) -> list[Firing]:
    rhythm, lead = Rhythm.of(schedule), _lead(newsletter)
    made = await _latest_period(session, schedule, period_of(now + lead))
    due_at = latest_due_at(rhythm, schedule.since, now)
    if due_at is None or (made is not None and period_of(due_at) <= made):
        ahead = next_due_at(rhythm, now) if lead else None
        if ahead is None or ahead > now + lead or (made is not None and period_of(ahead) <= made):
            return []
        due_at = ahead
    wave = DueWave(schedule.zone, due_at, _missed(schedule, due_at, now))
    return [_firing(newsletter, schedule, period_of(due_at), [wave], due_at, now)]


async def _find_local(
    session: AsyncSession, newsletter: Newsletter, schedule: Schedule, now: datetime
) -> list[Firing]:
    rhythm, lead = Rhythm.of(schedule), _lead(newsletter)
    came: dict[str, list[DueWave]] = {}
    for zone in await _zones_of(session, schedule):
        for one in _periods_of(rhythm, zone, schedule.since, now, lead):
            came.setdefault(one.period, []).append(DueWave(zone, one.due_at))
    made = await _load_made(session, schedule, came)
    firings = []
    for period, waves in came.items():
        edition = made.get(period)
        if edition is not None and not edition.lacks(waves, now):
            continue
        known = await _load_known_zones(session, schedule)
        due = choose_waves(waves, edition, known, schedule, now)
        if due or (edition is None and lead):
            firings.append(
                _firing(newsletter, schedule, period, due, min(one.due_at for one in waves), now)
            )
    return firings


@dataclass(frozen=True, slots=True)
class MadeEdition:
    """An edition for the subscribers' own zones that has begun."""

    state: EditionState
    zones: frozenset[str]

    def lacks(self, waves: Sequence[DueWave], now: datetime) -> bool:
        """Whether a zone has come to its hour that has no wave yet, and may have one."""
        return self.state in _AWAITS_ZONES and any(
            one.due_at <= now and one.zone not in self.zones for one in waves
        )


def choose_waves(
    waves: Sequence[DueWave],
    edition: MadeEdition | None,
    known: Collection[str],
    schedule: Schedule,
    now: datetime,
) -> list[DueWave]:
    """Of the zones with this period those whose wave is made now. Pure.

    Args:
        edition: None when this is the first.
        known: zones that had a wave of this schedule lately.
    """
    chosen = []
    for one in waves:
        if one.due_at > now or (edition is not None and one.zone in edition.zones):
            continue
        missed = _missed(schedule, one.due_at, now)
        if edition is not None and one.zone not in known and now - one.due_at > _grace(schedule):
            # Whoever came to a zone after its hour waits for its next one.
            missed = CatchUp.MERGE
        chosen.append(replace(one, missed=missed))
    return chosen


async def _load_made(
    session: AsyncSession, schedule: Schedule, periods: Collection[str]
) -> dict[str, MadeEdition]:
    rows = await session.execute(
        select(col(Edition.period), col(Edition.state), col(Wave.zone))
        .outerjoin(Wave, col(Wave.edition_id) == col(Edition.id))
        .where(col(Edition.schedule_id) == schedule.id, col(Edition.period).in_(periods))
    )
    made: dict[str, MadeEdition] = {}
    for period, state, zone in rows.all():
        zones = made[period].zones if period in made else frozenset()
        made[period] = MadeEdition(state, zones | ({zone} if zone is not None else set()))
    return made


async def _load_known_zones(session: AsyncSession, schedule: Schedule) -> set[str]:
    lately = (
        select(col(Edition.id))
        .where(col(Edition.schedule_id) == schedule.id)
        .order_by(col(Edition.id).desc())
        .limit(_LATELY)
    )
    rows = await session.execute(
        select(col(Wave.zone)).where(col(Wave.edition_id).in_(lately)).distinct()
    )
    return {row[0] for row in rows.all()}


async def _zones_of(session: AsyncSession, schedule: Schedule) -> list[str]:
    """The zones a schedule's readers are in, each as it is called."""
    there = await load_zones(session, schedule.newsletter_id, schedule.id or 0)
    return sorted({find_zone(one, schedule.zone).key for one in there})


def _periods_of(
    rhythm: Rhythm, zone: str, since: datetime, now: datetime, lead: timedelta
) -> list[LocalPeriod]:
    """The period whose hour came last in a zone, and one that is to be drafted."""
    found = [latest_local_period(rhythm, zone, since, now)]
    if lead:
        ahead = next_local_period(rhythm, zone, now)
        found.append(ahead if ahead is not None and ahead.due_at <= now + lead else None)
    return [one for one in found if one is not None]


async def _find_each_article(
    session: AsyncSession, newsletter: Newsletter, schedule: Schedule, now: datetime
) -> list[Firing]:
    covered = await session.scalar(
        select(func.max(col(Wave.cut_seq)))
        .join(Edition, col(Edition.id) == col(Wave.edition_id))
        .where(col(Edition.schedule_id) == schedule.id)
    )
    stored = func.coalesce(col(Article.revised_at), col(Article.stored_at))
    rows = await session.execute(
        select(col(Article.seq), stored, col(Article.stored_at), col(Article.published_at))
        .where(
            col(Article.seq) > max(covered or 0, schedule.since_seq),
            col(Article.announce).is_(True),
            col(Article.state) == ArticleState.PUBLISHED,
            *filter_of(newsletter).to_sql(session.get_bind().dialect.name),
        )
        .order_by(col(Article.seq))
    )
    new = rows.all()
    if not new:
        return []
    due_at = settled_at(
        max(new[0][2], new[0][3]),
        max(max(revised_at, published_at) for _, revised_at, _, published_at in new),
        timedelta(minutes=schedule.settle_minutes),
        timedelta(minutes=schedule.settle_max_minutes),
        Rhythm.of(schedule),
    )
    if due_at > now:
        return []
    wave = DueWave(schedule.zone, due_at, _missed(schedule, due_at, now))
    return [_firing(newsletter, schedule, str(new[0][0]), [wave], due_at, now)]


def _firing(
    newsletter: Newsletter,
    schedule: Schedule,
    period: str,
    waves: Sequence[DueWave],
    due_at: datetime,
    now: datetime,
) -> Firing:
    """A firing; that of a newsletter that is reviewed is a draft until its hour, or for a while."""
    draft_until = None
    open_for = open_until(period) if schedule.own_zone else None
    # Where nothing goes, now or in a zone to come, there is nothing to approve.
    goes = not waves or any(wave.missed is None for wave in waves)
    goes = goes or (open_for is not None and open_for > now)
    if newsletter.review is Review.DRAFT and goes:
        draft_until = due_at if due_at > now else now + _lead(newsletter)
    return Firing(
        newsletter.id or 0,
        schedule.id,
        period,
        tuple(waves),
        due_at,
        draft_until,
        open_for,
    )


def _missed(schedule: Schedule, due_at: datetime, now: datetime) -> CatchUp | None:
    return choose_missed(schedule.catch_up, due_at, now, _grace(schedule))


def _grace(schedule: Schedule) -> timedelta:
    return timedelta(minutes=schedule.grace_minutes)


def _lead(newsletter: Newsletter) -> timedelta:
    """How long before it is due an edition is made."""
    if newsletter.review is Review.AUTOMATIC:
        return timedelta()
    return timedelta(minutes=newsletter.review_minutes)


async def _latest_period(session: AsyncSession, schedule: Schedule, until: str) -> str | None:
    """The newest period an edition was made for, up to one."""
    latest: str | None = await session.scalar(
        select(func.max(col(Edition.period))).where(
            col(Edition.schedule_id) == schedule.id,
            # Made by a clock that ran ahead: it must not stop those that come before.
            col(Edition.period) <= until,
        )
    )
    return latest


async def _load_schedules(session: AsyncSession) -> list[tuple[Newsletter, Schedule]]:
    rows = await session.execute(
        select(Newsletter, Schedule)
        .join(Newsletter, col(Newsletter.id) == col(Schedule.newsletter_id))
        .where(col(Schedule.retired).is_(False), col(Newsletter.retired).is_(False))
        .order_by(col(Schedule.id))
    )
    return [(newsletter, schedule) for newsletter, schedule in rows.all()]
