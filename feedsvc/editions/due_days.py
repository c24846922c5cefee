"""On which days a cron comes due, and at which times of day. Pure; knows no zone.

cronsim reads the five fields, and says which days match.
"""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterable, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time

from cronsim import CronSim

from feedsvc.config_values import QuietSpan

#: A cron that has not come due within so long never does.
YEARS = 50


class DueDays:
    """The days and times of a cron, without the quiet days.

    Args:
        cron: five fields; it must be valid.
        quiet: days on which nothing comes due.
    """

    def __init__(self, cron: str, quiet: Sequence[QuietSpan]) -> None:
        self._cron = CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))
        self._spans = tuple(span for span in quiet if span.weekday is None)
        self._weekdays = {span.weekday for span in quiet if span.weekday is not None}
        self._years: dict[int, Sequence[date]] = {}
        self.minutes = frozenset(self._cron.minutes)
        #: It comes due in each hour that passes, whatever the clock calls it.
        self.is_every_hour = len(self._cron.hours) == 24
        self.times = tuple(
            time(hour, minute)
            for hour in sorted(self._cron.hours)
            for minute in sorted(self._cron.minutes)
        )

    def on_or_after(self, day: date) -> date | None:
        """The first of the days from `day` on; None if there is none in 50 years."""
        for year in range(day.year, min(day.year + YEARS, MAXYEAR - 1) + 1):
            days = self._of_year(year)
            if days and days[-1] >= day:
                return days[bisect_left(days, day)]
        return None

    def on_or_before(self, day: date, oldest: date) -> date | None:
        """The last of the days up to `day`; None if none of those since `oldest` is."""
        for year in range(day.year, max(oldest.year, MINYEAR) - 1, -1):
            days = self._of_year(year)
            if days and days[0] <= day:
                found = days[bisect_right(days, day) - 1]
                return found if found >= oldest else None
        return None

    def is_quiet(self, day: date) -> bool:
        """Whether nothing comes due on a day, whatever the cron says."""
        return day.weekday() in self._weekdays or any(span.holds(day) for span in self._spans)

    def _of_year(self, year: int) -> Sequence[date]:
        days = self._years.get(year)
        if days is None:
            days = self._years[year] = self._find_days(year)
        return days

    def _find_days(self, year: int) -> Sequence[date]:
        if len(self._weekdays) == 7:
            return ()
        return [
            day
            for month in sorted(self._cron.months)
            for day in _month(year, month)
            if self._cron.match_day(day) and not self.is_quiet(day)
        ]


def _month(year: int, month: int) -> Iterable[date]:
    _, last = monthrange(year, month)
    return (date(year, month, day) for day in range(1, last + 1))
