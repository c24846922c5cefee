"""The instants of due days and times in a zone, forward and back. Pure.

Two kinds: `walls` are local times as a clock names them, each with its one instant; `passing` are
the instants at which a clock shows a minute of the cron, however often it shows that.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from feedsvc.editions.due_days import DueDays
from feedsvc.editions.wall_clock import DAY, end_of, instant_of

_MINUTE = timedelta(minutes=1)


def walls_on(days: DueDays, zone: ZoneInfo, after: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Local times that come later than `after`, with their instants, oldest first."""
    # The times of a day that a zone went past come after the day before it.
    day = days.on_or_after(after.astimezone(zone).date() - DAY)
    while day is not None:
        for at in days.times[_count_until(days, day, zone, after) :]:
            wall = datetime.combine(day, at)
            yield wall, instant_of(wall, zone)
        day = days.on_or_after(day + DAY)


def walls_back(
    days: DueDays, zone: ZoneInfo, since: datetime, now: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Local times that came within `(since, now]`, with their instants, newest first."""
    oldest = since.astimezone(zone).date() - DAY
    # Where midnight comes twice, the times of the next day have begun before it.
    day = days.on_or_before(now.astimezone(zone).date() + DAY, oldest)
    while day is not None:
        for at in reversed(days.times[: _count_until(days, day, zone, now)]):
            wall = datetime.combine(day, at)
            due = instant_of(wall, zone)
            if due <= since:
                return
            yield wall, due
        day = days.on_or_before(day - DAY, oldest)


def next_passing(days: DueDays, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant later than `after` at which the clock shows a due day and minute."""
    at = _whole_minute(after, zone) + _MINUTE
    while True:
        local = at.astimezone(zone)
        day = days.on_or_after(local.date())
        if day is None:
            return None
        if day != local.date():
            at = max(at + _MINUTE, instant_of(datetime.combine(day, time.min), zone))
        elif local.minute in days.minutes:
            return at
        else:
            at += _MINUTE


def latest_passing(
    days: DueDays, zone: ZoneInfo, since: datetime, now: datetime
) -> datetime | None:
    """The last instant within `(since, now]` at which the clock shows a due day and minute."""
    at = _whole_minute(now, zone)
    oldest = since.astimezone(zone).date() - DAY
    while at > since:
        local = at.astimezone(zone)
        day = days.on_or_before(local.date(), oldest)
        if day is None:
            return None
        if day != local.date():
            at = min(at, end_of(day, zone)) - _MINUTE
        elif local.minute in days.minutes:
            return at
        else:
            at -= _MINUTE
    return None


def _count_until(days: DueDays, day: date, zone: ZoneInfo, until: datetime) -> int:
    """How many of the times of a day have come by an instant."""
    return bisect_right(
        days.times, until, key=lambda at: instant_of(datetime.combine(day, at), zone)
    )


def _whole_minute(at: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the minute began that the clock shows."""
    local = at.astimezone(zone)
    return at - timedelta(seconds=local.second, microseconds=local.microsecond)
