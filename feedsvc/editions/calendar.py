"""When a schedule comes due. Pure: cron, zone and instants in, instants out.

cronsim follows Debian cron at clock changes: a local time that does not exist runs once after the
gap, one that exists twice runs once, and midnight is never skipped.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim


def next_due_at(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first due instant later than `after`, in UTC; None if there is none in 50 years."""
    return next(_due_instants(cron, zone, after), None)


def next_due_times(cron: str, zone: str, after: datetime, count: int) -> list[datetime]:
    """The next `count` due instants later than `after`, in UTC."""
    return list(islice(_due_instants(cron, zone, after), count))


def latest_due_at(cron: str, zone: str, since: datetime, now: datetime) -> datetime | None:
    """The newest due instant in `(since, now]`, in UTC; None if none came due.

    However many were missed, one catch-up follows: its window begins at each reader's cursor, so
    nothing of the missed periods is lost.
    """
    start = now.astimezone(ZoneInfo(zone)) + timedelta(minutes=1)
    for local in CronSim(cron, start, reverse=True):
        due = local.astimezone(UTC)
        if due <= since:
            return None
        if due <= now:
            return due
    return None


def period_of(due_at: datetime) -> str:
    """The key of the period that ends at `due_at`: the instant in UTC, to the second."""
    return due_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _due_instants(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    for local in CronSim(cron, after.astimezone(ZoneInfo(zone))):
        yield local.astimezone(UTC)
