"""What a clock on the wall shows, as instants. Pure: wall times and zones in, instants out.

A wall time that never comes, in the gap of a clock change, is the first instant after the gap; one
that comes twice is the first of the two. So later wall times are never earlier instants.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@lru_cache(maxsize=2048)
def find_zone(*names: str) -> ZoneInfo:
    """The first of these IANA names that there is; UTC if there is none.

    A name that was right when it was stored can be gone after an update of the zone database.
    """
    for name in names:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a wall time without zone, in UTC."""
    at = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return at
    # PEP 495: before and after the gap, by the offset after and before it.
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while at - before > _SECOND:
        middle = before + (at - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            before = middle
        else:
            at = middle
    return at


def is_skipped(day: date, zone: ZoneInfo) -> bool:
    """Whether a zone went past a whole day, to the other side of the date line."""
    begins = datetime.combine(day, time.min)
    return instant_of(begins, zone) == instant_of(begins + DAY, zone)


def end_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which the clock has shown a day for the last time, in UTC."""
    midnight = datetime.combine(day + DAY, time.min)
    again = midnight.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return max(again, instant_of(midnight, zone))
