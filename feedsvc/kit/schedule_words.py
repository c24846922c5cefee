"""A five-field cron in words, for the rhythms people choose from.

What is not a plain daily, weekly, monthly or hourly rhythm is named by its cron: a wrong sentence
would be worse than none. Whether a cron is valid is decided by the settings.
"""

import re
from collections.abc import Sequence
from typing import Protocol

_DAY_NAMES = {name: n for n, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_MAX_TIMES = 4


class Speaker(Protocol):
    """What is needed of Texts here."""

    def gettext(self, msgid: str, **values: object) -> str: ...
    def ngettext(self, singular: str, plural: str, n: int, **values: object) -> str: ...
    def join(self, parts: Sequence[str]) -> str: ...
    def weekday(self, number: int) -> str: ...


def describe_schedule(cron: str, texts: Speaker) -> tuple[str, bool]:
    """The words for a cron, and whether they name a local time, which needs its zone.

    An empty one follows the articles rather than the clock.
    """
    if not cron:
        return texts.gettext("for each article, soon after it appears"), False
    fields = cron.lower().split()
    words = None
    if len(fields) == 5 and fields[3] == "*":
        minute, hour, day, _, weekday = fields
        if day == weekday == "*":
            words = _within_a_day(minute, hour, texts)
        if words is not None:
            return words, False
        words = _at_times(minute, hour, day, weekday, texts)
    if words is None:
        words = texts.gettext("on the schedule %(cron)s", cron=" ".join(cron.split()))
    return words, True


def _within_a_day(minute: str, hour: str, texts: Speaker) -> str | None:
    """Rhythms shorter than a day."""
    if hour == "*" and (step := _step(minute, 60)):
        return texts.ngettext("every minute", "every %(num)d minutes", step)
    if (past := _numbers(minute, 0, 59)) is None or len(past) != 1:
        return None
    if hour == "*" and past[0] == 0:
        return texts.gettext("every hour, on the hour")
    if hour == "*":
        return texts.ngettext(
            "every hour, %(num)d minute past", "every hour, %(num)d minutes past", past[0]
        )
    return None


def _at_times(minute: str, hour: str, day: str, weekday: str, texts: Speaker) -> str | None:
    """Rhythms of whole days, at one or a few times of day."""
    minutes, hours = _numbers(minute, 0, 59), _numbers(hour, 0, 23)
    if minutes is None or hours is None or len(minutes) * len(hours) > _MAX_TIMES:
        return None
    times = texts.join([f"{h:02}:{m:02}" for h in hours for m in minutes])
    if day == weekday == "*":
        return texts.gettext("every day at %(times)s", times=times)
    if day == "*":
        return _weekly(weekday, times, texts)
    if weekday == "*":
        return _monthly(day, times, texts)
    return None  # day of month and weekday together: either or both, by dialect


def _weekly(weekday: str, times: str, texts: Speaker) -> str | None:
    numbers = _numbers(weekday, 0, 7, _DAY_NAMES)
    if numbers is None:
        return None
    days = sorted({(number - 1) % 7 for number in numbers})  # 0 and 7 are both Sunday
    if len(days) == 7:
        return texts.gettext("every day at %(times)s", times=times)
    if days == [0, 1, 2, 3, 4]:
        return texts.gettext("Monday to Friday at %(times)s", times=times)
    named = texts.join([texts.weekday(day) for day in days])
    return texts.gettext("every %(days)s at %(times)s", days=named, times=times)


def _monthly(day: str, times: str, texts: Speaker) -> str | None:
    if day == "l":
        return texts.gettext("on the last day of every month at %(times)s", times=times)
    days = _numbers(day, 1, 31)
    if days is None or len(days) > _MAX_TIMES:
        return None
    named = texts.join([str(day) for day in days])
    return texts.ngettext(
        "on day %(days)s of every month at %(times)s",
        "on days %(days)s of every month at %(times)s",
        len(days),
        days=named,
        times=times,
    )


def _step(field: str, base: int) -> int | None:
    """The n of `*/n` where that is an even rhythm; `*/7` starts anew every hour, so it is none."""
    if field == "*":
        return 1
    found = re.fullmatch(r"\*/(\d{1,2})", field)
    if found is None:
        return None
    step = int(found[1])
    return step if 0 < step < base and base % step == 0 else None


def _numbers(
    field: str, low: int, high: int, names: dict[str, int] | None = None
) -> list[int] | None:
    """The numbers a field lists (`8`, `8,18`, `1-5`, `mon-fri`), sorted; None for other forms."""
    numbers: set[int] = set()
    for part in field.split(","):
        ends = part.split("-")
        values = [(names or {}).get(end, int(end) if end.isdecimal() else -1) for end in ends]
        if len(ends) > 2 or not all(low <= value <= high for value in values):
            return None
        if values[-1] < values[0]:
            return None
        numbers.update(range(values[0], values[-1] + 1))
    return sorted(numbers)
