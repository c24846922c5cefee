"""Periods come due once, one catch-up follows many missed ones, and quiet days are quiet."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest

from feedsvc.config_newsletters import ScheduleSettings
from feedsvc.config_values import read_quiet_day
from feedsvc.editions.calendar import (
    Rhythm,
    choose_missed,
    latest_due_at,
    next_due_at,
    next_due_times,
    period_of,
    settled_at,
)
from feedsvc.model.newsletter import CatchUp, Schedule

MORNING = Rhythm("0 8 * * *", "Asia/Shanghai")
ALL_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _quiet(cron: str, zone: str, *days: str) -> Rhythm:
    return Rhythm(cron, zone, quiet=tuple(read_quiet_day(day) for day in days))


def _local(times: Sequence[datetime], zone: str) -> list[str]:
    return [f"{at.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M}" for at in times]


def test_eight_in_the_morning_in_shanghai_is_midnight_in_utc() -> None:
    assert next_due_at(MORNING, _utc("2026-11-22T00:00")) == _utc("2026-11-23T00:00")
    assert next_due_at(MORNING, _utc("2026-11-21T23:59:59")) == _utc("2026-11-22T00:00")


def test_many_missed_periods_leave_one_catch_up() -> None:
    since, now = _utc("2026-11-01T12:00"), _utc("2026-11-22T12:00")
    assert latest_due_at(MORNING, since, now) == _utc("2026-11-22T00:00")


def test_nothing_is_due_before_a_schedule_began() -> None:
    since = _utc("2026-11-22T00:00:01")
    assert latest_due_at(MORNING, since, _utc("2026-11-22T23:00")) is None


def test_the_due_instant_itself_is_due_and_the_one_it_began_at_is_not() -> None:
    due = _utc("2026-11-22T00:00")
    assert latest_due_at(MORNING, due - timedelta(hours=1), due) == due
    assert latest_due_at(MORNING, due - timedelta(hours=1), due - timedelta(microseconds=1)) is None
    assert latest_due_at(MORNING, due, due + timedelta(hours=1)) is None


def test_a_period_is_named_by_its_instant_in_utc() -> None:
    local = datetime(2026, 11, 22, 8, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert period_of(local) == "2026-11-22T00:00:00Z"


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        pytest.param(
            "0 8 31 * *",
            "2026-01-01T00:00",
            ["Sat 2026-01-31", "Tue 2026-03-31", "Sun 2026-05-31", "Fri 2026-07-31"],
            id="the 31st skips short months",
        ),
        pytest.param(
            "0 8 L * *",
            "2028-01-01T00:00",
            ["Mon 2028-01-31", "Tue 2028-02-29", "Fri 2028-03-31", "Sun 2028-04-30"],
            id="the last day is in each month",
        ),
        pytest.param(
            "0 8 29 2 *",
            "2026-01-01T00:00",
            ["Tue 2028-02-29", "Sun 2032-02-29", "Fri 2036-02-29", "Wed 2040-02-29"],
            id="leap day",
        ),
        pytest.param(
            "0 8 * * mon",
            "2026-12-20T00:00",
            ["Mon 2026-12-21", "Mon 2026-12-28", "Mon 2027-01-04", "Mon 2027-01-11"],
            id="ISO week 53 of 2026",
        ),
        pytest.param(
            "0 8 * * 1-5",
            "2026-12-30T12:00",
            ["Thu 2026-12-31", "Fri 2027-01-01", "Mon 2027-01-04", "Tue 2027-01-05"],
            id="year end",
        ),
        pytest.param(
            "0 8 * * fri#2",
            "2026-11-01T00:00",
            ["Fri 2026-11-13", "Fri 2026-12-11", "Fri 2027-01-08", "Fri 2027-02-12"],
            id="second Friday",
        ),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia/Kathmandu", "Australia/Adelaide"])
def test_the_calendar_year_has_a_period_for_each_day_that_is_named(
    cron: str, after: str, expected: list[str], zone: str
) -> None:
    times = next_due_times(Rhythm(cron, zone), _utc(after), 4)
    assert _local(times, zone) == [f"{day} 08:00" for day in expected]
    assert len({period_of(at) for at in times}) == 4
    assert [latest_due_at(Rhythm(cron, zone), _utc(after), at) for at in times] == times


def test_nothing_comes_due_on_quiet_days() -> None:
    rhythm = _quiet("0 8 * * *", "Asia/Shanghai", "sat", "sun", "2026-10-01..2026-10-07")
    assert _local(next_due_times(rhythm, _utc("2026-09-29T12:00"), 3), rhythm.zone) == [
        "Wed 2026-09-30 08:00",
        "Thu 2026-10-08 08:00",
        "Fri 2026-10-09 08:00",
    ]
    since = _utc("2026-01-01T00:00")
    assert latest_due_at(rhythm, since, _utc("2026-10-05T00:00")) == _utc("2026-09-30T00:00")


def test_a_quiet_day_is_one_of_the_schedules_zone() -> None:
    rhythm = _quiet("0 * * * *", "Asia/Shanghai", "2026-11-24")
    assert _local(next_due_times(rhythm, _utc("2026-11-23T14:30"), 2), rhythm.zone) == [
        "Mon 2026-11-23 23:00",
        "Wed 2026-11-25 00:00",
    ]
    since, now = _utc("2026-11-20T00:00"), _utc("2026-11-24T15:59:59")
    assert latest_due_at(rhythm, since, now) == _utc("2026-11-23T15:00")


def test_what_a_gap_moves_onto_a_quiet_day_does_not_come_due() -> None:
    # Samoa had no Friday, 30 December 2011.
    rhythm = _quiet("0 8 * * *", "Pacific/Apia", "sat")
    times = next_due_times(rhythm, _utc("2011-12-29T00:00"), 2)
    assert _local(times, rhythm.zone) == ["Thu 2011-12-29 08:00", "Sun 2012-01-01 08:00"]
    assert latest_due_at(rhythm, _utc("2011-12-01T00:00"), _utc("2011-12-31T10:00")) == times[0]


@pytest.mark.parametrize("cron", ["0 8 * * *", "0 * * * *", "0 8 29 2 *"])
@pytest.mark.parametrize("days", [ALL_WEEKDAYS, ("1970-01-01..2099-12-31",)], ids=["week", "span"])
def test_where_every_day_is_quiet_nothing_comes_due_and_it_is_found_soon(
    cron: str, days: tuple[str, ...]
) -> None:
    rhythm, now = _quiet(cron, "Asia/Shanghai", *days), _utc("2026-11-23T00:00")
    begun = perf_counter()
    assert next_due_at(rhythm, now) is None
    assert latest_due_at(rhythm, _utc("1980-01-01T00:00"), now) is None
    assert settled_at(now, now, timedelta(minutes=5), timedelta(hours=1), rhythm) > _utc(
        "2070-01-01T00:00"
    )
    assert perf_counter() - begun < 2


@pytest.mark.parametrize(
    "cron",
    [
        "0 8 29 2 *",
        "0 8 29 2 */7",
        "* * * * *",
        "30 * * * *",
        "0 * 1 1 *",
        "* 0-22 * * *",
        "0 8 L * *",
    ],
)
def test_looking_back_is_quick_however_rare_the_rhythm(cron: str) -> None:
    rhythm, since = Rhythm(cron, "America/New_York"), _utc("1990-01-01T00:00")
    start = _utc("2026-11-01T05:00")
    latest_due_at(rhythm, since, start)
    begun = perf_counter()
    for second in range(100):
        latest_due_at(rhythm, since, start + timedelta(seconds=101 * second))
    assert (
        perf_counter() - begun
    ) / 100 < 0.005  # a fraction of a millisecond when nothing else runs


def test_an_edition_for_each_article_has_no_due_time() -> None:
    rhythm, now = Rhythm("", "Asia/Shanghai"), _utc("2026-11-23T00:00")
    assert next_due_at(rhythm, now) is None
    assert next_due_times(rhythm, now, 5) == []
    assert latest_due_at(rhythm, _utc("2000-01-01T00:00"), now) is None


def test_the_row_and_the_configuration_have_one_rhythm() -> None:
    days = ["sun", "2026-10-01..2026-10-07"]
    row = Schedule(
        newsletter_id=1,
        key="morning",
        label="每天早上",
        cron="0 8 * * *",
        zone="Asia/Shanghai",
        own_zone=True,
        quiet_days=days,
        since=_utc("2026-01-01T00:00"),
    )
    configured = ScheduleSettings(
        label="每天早上", cron="0 8 * * *", time_zone="subscriber", quiet_days=days
    )
    assert Rhythm.of(row) == Rhythm.configured(configured, "Asia/Shanghai")
    assert Rhythm.of(row).quiet == tuple(read_quiet_day(day) for day in days)
    each = ScheduleSettings(label="快讯", settle_minutes=5)
    assert Rhythm.configured(each, "Asia/Shanghai") == Rhythm("", "Asia/Shanghai")


def test_a_zone_that_the_database_forgot_is_read_as_utc() -> None:
    rhythm = Rhythm("0 8 * * *", "Mars/Olympus_Mons")
    assert next_due_at(rhythm, _utc("2026-11-23T00:00")) == _utc("2026-11-23T08:00")
    assert latest_due_at(rhythm, _utc("2026-11-01T00:00"), _utc("2026-11-23T00:00")) == _utc(
        "2026-11-22T08:00"
    )


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        pytest.param("10:00", "10:00", "10:10", id="one article waits for others"),
        pytest.param("10:00", "10:09", "10:19", id="each article begins the wait anew"),
        pytest.param("10:00", "10:55", "11:00", id="the first waits no longer than that"),
        pytest.param("10:00", "12:00", "11:00", id="a burst that does not end"),
    ],
)
def test_articles_go_once_nothing_has_changed_for_a_while(
    first: str, last: str, expected: str
) -> None:
    at = settled_at(
        _utc(f"2026-11-23T{first}"),
        _utc(f"2026-11-23T{last}"),
        timedelta(minutes=10),
        timedelta(hours=1),
        Rhythm("", "Asia/Shanghai"),
    )
    assert at == _utc(f"2026-11-23T{expected}")


def test_articles_of_a_quiet_day_go_at_the_same_time_of_the_next_other_day() -> None:
    rhythm = _quiet("", "Asia/Shanghai", "sat", "sun", "2026-11-23")
    saturday = datetime(2026, 11, 21, 9, 50, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
    at = settled_at(saturday, saturday, timedelta(minutes=10), timedelta(hours=1), rhythm)
    assert _local([at], rhythm.zone) == ["Tue 2026-11-24 10:00"]
    assert at.second == 30
    friday_night = datetime(2026, 11, 20, 23, 55, tzinfo=ZoneInfo("Asia/Shanghai"))
    at = settled_at(friday_night, friday_night, timedelta(minutes=10), timedelta(hours=1), rhythm)
    assert _local([at], rhythm.zone) == ["Tue 2026-11-24 00:05"]


def test_the_time_of_the_next_day_may_lie_in_a_gap() -> None:
    rhythm = _quiet("", "Europe/Madrid", "sat")
    saturday = datetime(2026, 3, 28, 2, 25, tzinfo=ZoneInfo("Europe/Madrid"))
    at = settled_at(saturday, saturday, timedelta(minutes=5), timedelta(hours=1), rhythm)
    assert at == _utc("2026-03-29T01:00")


@pytest.mark.parametrize(
    ("rule", "late", "expected"),
    [
        (CatchUp.LATE, timedelta(days=23), None),
        (CatchUp.MERGE, timedelta(minutes=60), None),
        (CatchUp.MERGE, timedelta(minutes=60, seconds=1), CatchUp.MERGE),
        (CatchUp.DROP, timedelta(days=23), CatchUp.DROP),
        (CatchUp.DROP, timedelta(0), None),
        (CatchUp.DROP, timedelta(hours=-2), None),  # a draft is made ahead of its time
    ],
)
def test_a_period_is_missed_when_it_is_later_than_its_grace(
    rule: CatchUp, late: timedelta, expected: CatchUp | None
) -> None:
    due = _utc("2026-11-23T00:00")
    assert choose_missed(rule, due, due + late, timedelta(minutes=60)) is expected
