"""Dates as people write them, read into instants."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_CLOCK = (
    r"(?:(?P<half>上午|下午|晚上|凌晨|中午|早上)?\s?"
    r"(?P<hour>\d{1,2})[:时](?P<minute>\d{2})(?:[:分](?P<second>\d{2})(?:[.,]\d{1,9})?)?[分秒]?"
    r"\s?(?P<meridiem>[ap]\.?m\.?)?)"
)
_ZONE = r"(?:\s?(?P<zone>z|utc|gmt|(?:utc|gmt)?[+-]\d{2}:?\d{2}|[+-]\d{2}))?"
_TIME = rf"(?:(?:\s?t\s?|,?\s){_CLOCK}{_ZONE})?"
_TIME_AFTER_CHINESE = rf"(?:\s?{_CLOCK}{_ZONE})?"
_WEEKDAY = r"(?:\s?\(?(?:星期|周)[一二三四五六日天]\)?)?"
_SHAPES = tuple(
    re.compile(shape + r"\Z")
    for shape in (
        rf"(?P<year>\d{{4}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_TIME}",
        rf"(?P<year>\d{{4}})年\s?(?P<month>\d{{1,2}})月\s?(?P<day>\d{{1,2}})日"
        rf"{_WEEKDAY}{_TIME_AFTER_CHINESE}",
        rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.(?P<year>\d{{4}}){_TIME}",
        rf"(?P<day>\d{{1,2}}) (?P<month>[a-z]{{3,9}})\.? (?P<year>\d{{4}}){_TIME}",
        rf"(?P<month>[a-z]{{3,9}})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?, (?P<year>\d{{4}}){_TIME}",
    )
)
_EARLIEST_YEAR, _LATEST_YEAR = 1900, 2199
#: Longer texts are no date (characters).
_LONGEST = 100


def read_date(text: str, zone: ZoneInfo) -> datetime:
    """The instant a text names, in UTC.

    A time without a zone is local time in `zone`; a date without a time is its first minute there.
    A local time that does not exist or exists twice is read as PEP 495 does with fold 0.

    Raises:
        ValueError: no date, or one that is ambiguous (10/11/2023) or absurd; the text says which.
    """
    if len(text) > _LONGEST:
        raise ValueError("is not a date")
    plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    for shape in _SHAPES:
        if match := shape.match(plain):
            return _to_instant(match.groupdict(), zone)
    if re.match(r"\d{1,2}/\d{1,2}/\d{4}", plain):
        raise ValueError("may be read in two ways; write year-month-day")
    return _read_mail_date(plain, zone)


def _to_instant(parts: dict[str, str | None], zone: ZoneInfo) -> datetime:
    year = int(parts["year"] or 0)
    if not _EARLIEST_YEAR <= year <= _LATEST_YEAR:
        raise ValueError(f"lies outside the years {_EARLIEST_YEAR} to {_LATEST_YEAR}")
    try:
        local = datetime(
            year,
            _month(parts["month"] or ""),
            int(parts["day"] or 0),
            _hour(parts),
            int(parts["minute"] or 0),
            min(int(parts["second"] or 0), 59),  # a leap second is the second before
            tzinfo=_offset(parts["zone"]) or zone,
        )
    except ValueError as error:
        raise ValueError(f"is not in the calendar ({error})") from error
    return local.astimezone(UTC)


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    try:
        return _MONTHS[text[:3]]
    except KeyError as error:
        raise ValueError(f"no month is called {text!r}") from error


def _hour(parts: dict[str, str | None]) -> int:
    hour = int(parts["hour"] or 0)
    half = parts["half"] or (parts["meridiem"] or "").replace(".", "")
    if half in ("pm", "下午", "晚上") and hour < 12:
        return hour + 12
    if half in ("am", "凌晨") and hour == 12:
        return 0
    return hour


def _offset(text: str | None) -> tzinfo | None:
    if not text:
        return None
    digits = text.removeprefix("utc").removeprefix("gmt").replace(":", "")
    if not digits or digits == "z":
        return UTC
    sign = -1 if digits[0] == "-" else 1
    hours, minutes = int(digits[1:3]), int(digits[3:5] or 0)
    return timezone(sign * timedelta(hours=hours, minutes=minutes))


def _read_mail_date(text: str, zone: ZoneInfo) -> datetime:
    """RFC 5322 §3.3, as other programs export it."""
    problem = "is not a date (write for example 2023-10-31 09:04)"
    if not re.match(r"(?:[a-z]{3}, ?)?\d{1,2} [a-z]{3} \d{4} ", text):
        raise ValueError(problem)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(problem) from error
    if moment.tzinfo is None:
        # "-0000" is UTC written by somebody whose own zone is not known.
        moment = moment.replace(tzinfo=UTC if text.endswith("-0000") else zone)
    if not _EARLIEST_YEAR <= moment.year <= _LATEST_YEAR:
        raise ValueError(f"lies outside the years {_EARLIEST_YEAR} to {_LATEST_YEAR}")
    return moment.astimezone(UTC)
