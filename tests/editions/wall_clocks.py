"""A second reading of crons and zones: minute by minute, by zoneinfo alone, and slow.

A clock that is set forward has come to all the times it went past; one that is set back comes to
nothing new until it is where it was.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class PlainCron:
    """Fields of `*`, `*/n`, numbers, `a-b`, and lists of these; days also `L`; Sunday is 0."""

    text: str

    @cached_property
    def _fields(self) -> list[str]:
        return self.text.split()

    @property
    def is_every_hour(self) -> bool:
        """Whether its hour is `*`."""
        return self._fields[1] == "*"

    def names(self, wall: datetime) -> bool:
        """Whether it names a local time."""
        minute, hour, day, month, weekday = self._fields
        last = monthrange(wall.year, wall.month)[1]
        on_day = _holds(day, wall.day, 1) or (day == "L" and wall.day == last)
        on_weekday = _holds(weekday, wall.isoweekday() % 7, 0)
        either = day[0] != "*" and weekday[0] != "*"
        return (
            _holds(minute, wall.minute, 0)
            and _holds(hour, wall.hour, 0)
            and _holds(month, wall.month, 1)
            and (on_day or on_weekday if either else on_day and on_weekday)
        )


def _holds(field: str, value: int, low: int) -> bool:
    return any(_is_in(part, value, low) for part in field.split(","))


def _is_in(part: str, value: int, low: int) -> bool:
    span, _, step = part.partition("/")
    if span == "L":
        return False
    if span == "*":
        return (value - low) % int(step or 1) == 0
    first, _, last = span.partition("-")
    return int(first) <= value <= int(last or first) and (value - int(first)) % int(step or 1) == 0


def minutes_of(
    zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Each minute of `(start, end]` in UTC, with what the clock shows then."""
    at = start + MINUTE
    while at <= end:
        yield at, at.astimezone(zone).replace(tzinfo=None, fold=0)
        at += MINUTE


def walk_walls(
    cron: PlainCron, zone: ZoneInfo, start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """The local times of a cron that a clock comes to within `(start, end]`, with their instants.

    The clock must not be set back within two days before `start`.
    """
    reached = start.astimezone(zone).replace(tzinfo=None)
    found = []
    for at, shown in minutes_of(zone, start, end):
        while reached < shown:
            reached += MINUTE
            if cron.names(reached):
                found.append((reached, at))
    return found


def walk_due(cron: PlainCron, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """When a cron comes due within `(start, end]`, by the rules for clock changes."""
    if cron.is_every_hour:
        return [at for at, shown in minutes_of(zone, start, end) if cron.names(shown)]
    return sorted({at for _, at in walk_walls(cron, zone, start, end)})


def clock_changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The midnights in UTC before which the offset of a zone changed within a day."""
    day, changes = datetime(year, 1, 1, tzinfo=UTC), []
    while day.year == year:
        after = day + timedelta(days=1)
        if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            changes.append(after)
        day = after
    return changes
