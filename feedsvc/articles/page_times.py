"""Finds moments as news pages write them, in text and in machine-readable fields."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

# Every repetition is bounded, so that no text takes longer than its length.
_DATE = r"(?<![\d./-])((?:19|20)\d\d)\s?[-/.年]\s?(\d{1,2})\s?[-/.月]\s?(\d{1,2})(?!\d)\s?日?"
_CLOCK = r"(\d{1,2})\s?[:：时時点]\s?(\d{2})(?:\s?[:：分]\s?(\d{2})(?!\d))?"
_HALF = r"(上午|早上|中午|下午|晚上|[Aa][Mm]|[Pp][Mm])?"
_MOMENT = re.compile(rf"{_DATE}(?:[\sT]{{0,5}}(?:星期.|周.)?\s{{0,5}}{_HALF}\s?{_CLOCK}分?)?")
_AFTER_NOON = frozenset({"中午", "下午", "晚上", "PM"})


@dataclass(frozen=True, slots=True)
class FoundTime:
    """A moment in a text: local time without zone, and where it stands."""

    local: datetime
    start: int
    end: int
    #: Hours and minutes were given, not only the day.
    has_clock: bool


def find_time(text: str) -> FoundTime | None:
    """The first possible moment in a text; None when there is none."""
    for match in _MOMENT.finditer(text):
        year, month, day, half, *clock = match.groups()
        hour, minute, second = (int(part or 0) for part in clock)
        if half is not None and half.upper() in _AFTER_NOON and 1 <= hour < 11 + (half != "中午"):
            hour += 12
        try:
            local = datetime(int(year), int(month), int(day), hour, minute, second)  # noqa: DTZ001
        except ValueError:
            continue  # the 31st of February, or a version number
        return FoundTime(local, match.start(), match.end(), match[5] is not None)
    return None


def to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant of a local time; of one that exists twice, the first."""
    return local.replace(tzinfo=zone).astimezone(UTC)


def read_machine_time(value: str, zone: ZoneInfo) -> tuple[datetime, bool] | None:
    """The instant a machine-readable field gives, and whether it gives hours and minutes.

    A value without an offset is local time in `zone`. None when it is no time.
    """
    value = value.strip()[:40]
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        found = find_time(value)
        return (to_utc(found.local, zone), found.has_clock) if found is not None else None
    if not 1900 < moment.year < 2200:
        return None
    has_clock = len(value) > 10
    if moment.tzinfo is None:
        return to_utc(moment, zone), has_clock
    return moment.astimezone(UTC), has_clock
