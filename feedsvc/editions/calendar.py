"""When a schedule comes due. Pure: rhythms, zones and instants in, instants out.

A local time that does not exist, in the gap of a clock change, comes due once, right after the gap;
one that exists twice comes due once, the first time. A cron whose hour is `*` comes due in each
hour that passes. Nothing comes due that belongs to a quiet day, or falls on one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from feedsvc.config_newsletters import SUBSCRIBERS_ZONE, ScheduleSettings
from feedsvc.config_values import QuietSpan, read_quiet_day
from feedsvc.editions.due_days import YEARS, DueDays
from feedsvc.editions.due_times import latest_passing, next_passing, walls_back, walls_on
from feedsvc.editions.wall_clock import find_zone, instant_of, is_skipped
from feedsvc.model.newsletter import CatchUp, Schedule

_BACK = timedelta(days=366 * YEARS)
#: From a nominal local time to its coming in the last zone there can be: UTC-12, and a clock change
#: that goes past it.
_LAST_ZONE = timedelta(hours=12 + 2)


@dataclass(frozen=True)
class Rhythm:
    """When a schedule comes due, as far as the calendar is asked.

    Attributes:
        cron: five fields; empty for an edition for each article, which has no due time of its own.
        zone: IANA name; with `own_zone`, for those whose zone is not known.
        own_zone: comes due for everybody at their own local time.
        quiet: days on which nothing comes due.
    """

    cron: str
    zone: str
    own_zone: bool = False
    quiet: tuple[QuietSpan, ...] = ()

    @classmethod
    def of(cls, schedule: Schedule) -> "Rhythm":
        """The rhythm of a schedule."""
        quiet = tuple(schedule.quiet_days)
        return _read_rhythm(schedule.cron, schedule.zone, schedule.own_zone, quiet)

    @classmethod
    def configured(cls, schedule: ScheduleSettings, time_zone: str) -> "Rhythm":
        """The rhythm of a schedule as it is configured; `time_zone` is the service's."""
        own_zone = schedule.time_zone == SUBSCRIBERS_ZONE
        zone = time_zone if own_zone else schedule.time_zone or time_zone
        return _read_rhythm(schedule.cron or "", zone, own_zone, tuple(schedule.quiet_days))

    @cached_property
    def days(self) -> DueDays:
        """Its days and times of day; each article may come on any day."""
        return DueDays(self.cron or "* * * * *", self.quiet)

    @property
    def follows_the_clock(self) -> bool:
        """Whether it comes due at the local times it names, rather than as hours pass."""
        return self.own_zone or not self.days.is_every_hour


@dataclass(frozen=True, slots=True)
class LocalPeriod:
    """A nominal local time, and when it comes in a zone.

    `period` has no zone: it names the same edition everywhere.
    """

    period: str
    due_at: datetime


def next_due_at(rhythm: Rhythm, after: datetime) -> datetime | None:
    """The first due instant later than `after`, in UTC; None if there is none in 50 years."""
    return next(_due_instants(rhythm, after), None)


def next_due_times(rhythm: Rhythm, after: datetime, count: int) -> list[datetime]:
    """The next `count` due instants later than `after`, in UTC; of own zones, in the fallback."""
    return list(islice(_due_instants(rhythm, after), count))


def latest_due_at(rhythm: Rhythm, since: datetime, now: datetime) -> datetime | None:
    """The newest due instant in `(since, now]`, in UTC; None if none came due.

    However many were missed, one catch-up follows: its window begins at each reader's cursor, so
    nothing of the missed periods is lost.
    """
    if not rhythm.cron:
        return None
    zone, since = find_zone(rhythm.zone), max(since, now - _BACK)
    if not rhythm.follows_the_clock:
        return latest_passing(rhythm.days, zone, since, now)
    for wall, due in walls_back(rhythm.days, zone, since, now):
        if _comes_due(rhythm, wall, due, zone):
            return due
    return None


def period_of(due_at: datetime) -> str:
    """The key of the period that ends at `due_at`: the instant in UTC, to the second."""
    return due_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def latest_local_period(
    rhythm: Rhythm, zone: str, since: datetime, now: datetime
) -> LocalPeriod | None:
    """The newest nominal period whose hour has come in a zone within `(since, now]`.

    A zone that is not known any more is taken for the fallback zone of the rhythm.
    """
    if not rhythm.cron:
        return None
    found, since = find_zone(zone, rhythm.zone), max(since, now - _BACK)
    for wall, due in walls_back(rhythm.days, found, since, now):
        if not is_skipped(wall.date(), found):
            return _local_period(wall, due)
    return None


def next_local_period(rhythm: Rhythm, zone: str, after: datetime) -> LocalPeriod | None:
    """The next nominal period whose hour comes in a zone later than `after`."""
    return next(_local_periods(rhythm, zone, after), None)


def next_local_periods(rhythm: Rhythm, zone: str, after: datetime, count: int) -> list[LocalPeriod]:
    """The next `count` nominal periods whose hour comes in a zone later than `after`."""
    return list(islice(_local_periods(rhythm, zone, after), count))


def local_due_at(period: str, zone: str, fallback: str) -> datetime | None:
    """When a nominal period comes in a zone, in UTC; None if that zone never had the day."""
    found, wall = find_zone(zone, fallback), datetime.fromisoformat(period)
    return None if is_skipped(wall.date(), found) else instant_of(wall, found)


def open_until(period: str) -> datetime:
    """When the hour of a nominal period has come in every zone there can be, in UTC."""
    return datetime.fromisoformat(period).replace(tzinfo=UTC) + _LAST_ZONE


def settled_at(
    first_at: datetime,
    last_at: datetime,
    settle: timedelta,
    settle_max: timedelta,
    rhythm: Rhythm,
) -> datetime:
    """When the articles between two instants go: once there was none for `settle`, in UTC.

    The first does not wait longer than `settle_max`. What would go on a quiet day goes at the same
    time of the next day that is not; if no day in 50 years is, after that.
    """
    at = min(last_at + settle, first_at + settle_max).astimezone(UTC)
    zone = find_zone(rhythm.zone)
    wall = at.astimezone(zone).replace(tzinfo=None, fold=0)
    if not rhythm.days.is_quiet(wall.date()):
        return at
    day = rhythm.days.on_or_after(wall.date())
    return instant_of(datetime.combine(day, wall.time()), zone) if day else at + _BACK


def choose_missed(
    rule: CatchUp, due_at: datetime, now: datetime, grace: timedelta
) -> CatchUp | None:
    """What becomes of a period in place of its edition; None: the edition goes, late or not."""
    return rule if now - due_at > grace and rule is not CatchUp.LATE else None


@lru_cache(maxsize=256)
def _read_rhythm(cron: str, zone: str, own_zone: bool, quiet: tuple[str, ...]) -> Rhythm:
    return Rhythm(cron, zone, own_zone, tuple(read_quiet_day(day) for day in quiet))


def _local_period(wall: datetime, due: datetime) -> LocalPeriod:
    return LocalPeriod(wall.isoformat(timespec="minutes"), due)


def _due_instants(rhythm: Rhythm, after: datetime) -> Iterator[datetime]:
    if not rhythm.cron:
        return
    zone, after = find_zone(rhythm.zone), after.astimezone(UTC)
    if not rhythm.follows_the_clock:
        while (at := next_passing(rhythm.days, zone, after)) is not None:
            yield at
            after = at
        return
    for wall, due in walls_on(rhythm.days, zone, after):
        if due > after and _comes_due(rhythm, wall, due, zone):
            yield due
            after = due  # what a gap moved to one instant comes due once


def _local_periods(rhythm: Rhythm, zone: str, after: datetime) -> Iterator[LocalPeriod]:
    """Of those that a gap moved to one instant, the newest alone, which is the one that goes."""
    if not rhythm.cron:
        return
    found, last = find_zone(zone, rhythm.zone), None
    for wall, due in walls_on(rhythm.days, found, after):
        if is_skipped(wall.date(), found):
            continue
        if last is not None and due > last.due_at:
            yield last
        last = _local_period(wall, due)
    if last is not None:
        yield last


def _comes_due(rhythm: Rhythm, wall: datetime, due: datetime, zone: ZoneInfo) -> bool:
    """Whether what a gap moved still comes due where it came to lie."""
    if rhythm.own_zone:
        return not is_skipped(wall.date(), zone)
    day = due.astimezone(zone).date()
    return day == wall.date() or not rhythm.days.is_quiet(day)
