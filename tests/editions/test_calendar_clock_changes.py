"""The table of clock changes: five zones, spring and autumn, every kind of rhythm."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from wall_clocks import MINUTE, PlainCron, walk_due

from feedsvc.editions.calendar import Rhythm, latest_due_at, next_due_times, period_of

#: The days on which clocks change, and how many hours each day has.
CHANGES = {
    "Madrid, spring": ("Europe/Madrid", "2026-03-29", 23),
    "Madrid, autumn": ("Europe/Madrid", "2026-10-25", 25),
    "New York, spring": ("America/New_York", "2026-03-08", 23),
    "New York, autumn": ("America/New_York", "2026-11-01", 25),
    "Lord Howe, spring": ("Australia/Lord_Howe", "2026-10-04", 23.5),
    "Lord Howe, autumn": ("Australia/Lord_Howe", "2026-04-05", 24.5),
    "Apia, spring": ("Pacific/Apia", "2020-09-27", 23),
    "Apia, autumn": ("Pacific/Apia", "2021-04-04", 25),
    "Apia, today without": ("Pacific/Apia", "2026-09-27", 24),
    "Shanghai, spring": ("Asia/Shanghai", "1988-04-17", 23),
    "Shanghai, autumn": ("Asia/Shanghai", "1988-09-11", 25),
    "Shanghai, today without": ("Asia/Shanghai", "2026-04-17", 24),
    "Cairo, midnight in the gap": ("Africa/Cairo", "2026-04-24", 23),
    "Cairo, midnight at the end of two hours": ("Africa/Cairo", "2026-10-29", 25),
    "Kathmandu, a quarter of an hour": ("Asia/Kathmandu", "1986-01-01", 23.75),
}
ONCE_A_DAY = {
    "daily 08:00": "0 8 * * *",
    "daily 02:30": "30 2 * * *",
    "daily 01:45": "45 1 * * *",
    "daily 23:30": "30 23 * * *",
    "midnight": "0 0 * * *",
    "weekly": "30 2 * * {weekday}",
    "monthly": "30 2 {day} * *",
    "yearly": "0 2 {day} {month} *",
    "each month": "30 2 {day} */1 *",
}


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _bounds(zone: ZoneInfo, day: date) -> tuple[datetime, datetime]:
    """The minute before a day, and its last minute."""
    return _begin(zone, day) - MINUTE, _begin(zone, day + timedelta(days=1)) - MINUTE


def _begin(zone: ZoneInfo, day: date) -> datetime:
    """The first instant of a day, which may begin later than at midnight."""
    at = datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC) - timedelta(hours=3)
    while at.astimezone(zone).date() < day:
        at += MINUTE
    return at


def _due_within(rhythm: Rhythm, begin: datetime, end: datetime) -> list[datetime]:
    return [at for at in next_due_times(rhythm, begin, 130) if at <= end]


@pytest.mark.parametrize("cron", ONCE_A_DAY.values(), ids=ONCE_A_DAY)
@pytest.mark.parametrize(("name", "day", "hours"), CHANGES.values(), ids=CHANGES)
def test_whatever_the_clock_does_there_is_one_period_that_day(
    name: str, day: str, hours: float, cron: str
) -> None:
    zone, on = ZoneInfo(name), date.fromisoformat(day)
    text = cron.format(weekday=on.isoweekday() % 7, day=on.day, month=on.month)
    rhythm, (begin, end) = Rhythm(text, name), _bounds(zone, on)
    assert (end - begin) / timedelta(hours=1) == hours
    due = _due_within(rhythm, begin, end)
    assert len(due) == 1
    assert due == walk_due(PlainCron(text), zone, begin, end)
    for minutes in (0, 1, 29, 30, 59, 60, 61, 90, 120):
        now = due[0] + timedelta(minutes=minutes)
        assert latest_due_at(rhythm, begin, now) == due[0]
    assert latest_due_at(rhythm, begin, due[0] - timedelta(seconds=1)) is None


@pytest.mark.parametrize(("name", "day", "hours"), CHANGES.values(), ids=CHANGES)
def test_an_hourly_schedule_runs_in_every_hour_that_passes(
    name: str, day: str, hours: float
) -> None:
    zone, rhythm = ZoneInfo(name), Rhythm("0 * * * *", name)
    begin, end = _bounds(zone, date.fromisoformat(day))
    due = _due_within(rhythm, begin, end)
    assert due == walk_due(PlainCron(rhythm.cron), zone, begin, end)
    assert len({period_of(at) for at in due}) == len(due)
    assert abs(len(due) - hours) < 1
    at = begin
    while at <= end:
        before = [one for one in due if one <= at]
        assert latest_due_at(rhythm, begin, at) == (before[-1] if before else None)
        at += timedelta(minutes=5)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        pytest.param(
            "30 2 * * *",
            "Europe/Madrid",
            "2026-03-28T12:00",
            ["2026-03-29T01:00", "2026-03-30T00:30"],
            id="Madrid: 02:30 is not there, it runs at 03:00",
        ),
        pytest.param(
            "30 2 * * *",
            "Europe/Madrid",
            "2026-10-24T12:00",
            ["2026-10-25T00:30", "2026-10-26T01:30"],
            id="Madrid: 02:30 is there twice, it runs the first time",
        ),
        pytest.param(
            "0 * * * *",
            "Europe/Madrid",
            "2026-10-24T23:30",
            ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"],
            id="Madrid: 02:00 and 02:00 again are two hours",
        ),
        pytest.param(
            "0 * * * *",
            "America/New_York",
            "2026-11-01T04:30",
            ["2026-11-01T05:00", "2026-11-01T06:00", "2026-11-01T07:00"],
            id="New York: 01:00 and 01:00 again are two hours",
        ),
        pytest.param(
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00",
            ["2026-03-08T07:00", "2026-03-09T06:30"],
            id="New York: 02:30 is not there, it runs at 03:00",
        ),
        pytest.param(
            "30 2 * * *",
            "America/New_York",
            "2026-10-31T12:00",
            ["2026-11-01T07:30", "2026-11-02T07:30"],
            id="New York: 02:30 comes after the hour that is there twice",
        ),
        pytest.param(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00",
            ["2026-10-03T15:30", "2026-10-04T15:15"],
            id="Lord Howe: half an hour is not there, 02:15 runs at 02:30",
        ),
        pytest.param(
            "30 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00",
            ["2026-10-03T15:30", "2026-10-04T15:30"],
            id="Lord Howe: 02:30 is the first minute after the gap",
        ),
        pytest.param(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00",
            ["2026-04-04T14:45", "2026-04-05T15:15"],
            id="Lord Howe: 01:45 is there twice, half an hour apart",
        ),
        pytest.param(
            "0 8 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00",
            ["2011-12-29T18:00", "2011-12-30T10:00", "2011-12-30T18:00"],
            id="Apia: a day is not there, its edition comes as the next begins",
        ),
        pytest.param(
            "0 0 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00",
            ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"],
            id="Apia: that day's midnight and the next are one",
        ),
        pytest.param(
            "30 2 * * 5",
            "Pacific/Apia",
            "2011-12-24T00:00",
            ["2011-12-30T10:00", "2012-01-05T12:30"],
            id="Apia: the week without a Friday",
        ),
        pytest.param(
            "30 0 * * *",
            "Asia/Shanghai",
            "1986-05-03T00:00",
            ["1986-05-03T16:30", "1986-05-04T15:30"],
            id="Shanghai 1986: before the gap at 02:00",
        ),
        pytest.param(
            "30 2 * * *",
            "Asia/Shanghai",
            "1986-05-03T00:00",
            ["1986-05-03T18:00", "1986-05-04T17:30"],
            id="Shanghai 1986: 02:30 is not there",
        ),
        pytest.param(
            "30 1 * * *",
            "Asia/Shanghai",
            "1991-09-14T00:00",
            ["1991-09-14T16:30", "1991-09-15T17:30"],
            id="Shanghai 1991: 01:30 is there twice, for the last time",
        ),
        pytest.param(
            "0 */12 * * *",
            "Africa/Cairo",
            "2026-04-23T12:00",
            ["2026-04-23T22:00", "2026-04-24T09:00"],
            id="Cairo: midnight is not there, and not skipped",
        ),
        pytest.param(
            "45 23 * * *",
            "Asia/Pyongyang",
            "2018-05-04T00:00",
            ["2018-05-04T15:00", "2018-05-05T14:45"],
            id="Pyongyang: the last half hour of a day is not there",
        ),
        pytest.param(
            "0,30 0-3 * * *",
            "Europe/Madrid",
            "2026-03-29T00:00",
            ["2026-03-29T00:30", "2026-03-29T01:00", "2026-03-29T01:30"],
            id="Madrid: 02:00, 02:30 and 03:00 are one",
        ),
    ],
)
def test_the_tricky_ones_come_due_at_these_instants(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    rhythm, times = Rhythm(cron, zone), [_utc(at) for at in expected]
    assert next_due_times(rhythm, _utc(after), len(times)) == times
    for at in times:
        assert latest_due_at(rhythm, _utc(after), at) == at
        assert latest_due_at(rhythm, at - timedelta(seconds=1), at) == at
    assert walk_due(PlainCron(cron), ZoneInfo(zone), _utc(after), times[-1]) == times
    assert len({period_of(at) for at in times}) == len(times)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Pacific/Marquesas"])
def test_zones_off_the_hour_have_their_own_hours(zone: str) -> None:
    start = _utc("2026-11-22T00:00")
    for cron in ("0 * * * *", "0 8 * * *", "30 2 L * *"):
        end = start + timedelta(days=10)
        right = walk_due(PlainCron(cron), ZoneInfo(zone), start, end)
        assert next_due_times(Rhythm(cron, zone), start, len(right)) == right
        assert latest_due_at(Rhythm(cron, zone), start, end) == right[-1]
