"""Periods of the subscribers' own zones: one name everywhere, an hour of its own in each zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest

from feedsvc.config_values import read_quiet_day
from feedsvc.editions.calendar import (
    LocalPeriod,
    Rhythm,
    latest_due_at,
    latest_local_period,
    local_due_at,
    next_due_at,
    next_local_period,
    next_local_periods,
    open_until,
)

MORNING = Rhythm("0 8 * * *", "Asia/Shanghai", own_zone=True)
NIGHT = Rhythm("30 2 * * *", "Asia/Shanghai", own_zone=True)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Pacific/Kiritimati", "2026-11-22T18:00"),
        ("Asia/Shanghai", "2026-11-23T00:00"),
        ("Asia/Kolkata", "2026-11-23T02:30"),
        ("Europe/Madrid", "2026-11-23T07:00"),
        ("America/New_York", "2026-11-23T13:00"),
        ("Etc/GMT+12", "2026-11-23T20:00"),
        pytest.param("", "2026-11-23T00:00", id="none chosen"),
        pytest.param("Mars/Olympus_Mons", "2026-11-23T00:00", id="not known any more"),
        pytest.param("../etc/passwd", "2026-11-23T00:00", id="not a name"),
        pytest.param("Asia/\0", "2026-11-23T00:00", id="not even text"),
        pytest.param("Asia", "2026-11-23T00:00", id="a folder"),
        pytest.param("x" * 5000, "2026-11-23T00:00", id="too long"),
    ],
)
def test_one_period_has_its_hour_in_each_zone(zone: str, expected: str) -> None:
    due = _utc(expected)
    period = LocalPeriod("2026-11-23T08:00", due)
    assert local_due_at("2026-11-23T08:00", zone, "Asia/Shanghai") == due
    assert latest_local_period(MORNING, zone, LONG_AGO, due) == period
    assert latest_local_period(MORNING, zone, LONG_AGO, due + timedelta(hours=23)) == period
    assert next_local_period(MORNING, zone, due - timedelta(seconds=1)) == period
    assert next_local_period(MORNING, zone, due) != period
    before = latest_local_period(MORNING, zone, LONG_AGO, due - timedelta(seconds=1))
    assert before is not None
    assert before.period == "2026-11-22T08:00"
    assert latest_local_period(MORNING, zone, due, due + timedelta(hours=23)) is None


def test_a_fallback_that_is_not_known_either_is_utc() -> None:
    assert local_due_at("2026-11-23T08:00", "Mars/A", "Mars/B") == _utc("2026-11-23T08:00")


@pytest.mark.parametrize(
    ("period", "zone", "expected"),
    [
        pytest.param("2026-03-29T02:30", "Europe/Madrid", "2026-03-29T01:00", id="gap"),
        pytest.param("2026-10-25T02:30", "Europe/Madrid", "2026-10-25T00:30", id="twice"),
        pytest.param("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30", id="half"),
        pytest.param("2026-04-24T00:00", "Africa/Cairo", "2026-04-23T22:00", id="midnight"),
        pytest.param("2011-12-31T00:00", "Pacific/Apia", "2011-12-30T10:00", id="after the day"),
    ],
)
def test_a_local_time_in_a_clock_change_has_one_instant(
    period: str, zone: str, expected: str
) -> None:
    assert local_due_at(period, zone, "UTC") == _utc(expected)


@pytest.mark.parametrize(
    ("day", "zone"),
    [
        ("2011-12-30", "Pacific/Apia"),
        ("2011-12-30", "Pacific/Fakaofo"),
        ("1993-08-21", "Pacific/Kwajalein"),
        ("1994-12-31", "Pacific/Kiritimati"),
    ],
)
def test_a_day_that_a_zone_never_had_has_no_period_there(day: str, zone: str) -> None:
    begins = _utc(f"{day}T00:00") - timedelta(days=2)
    for hour in ("00:00", "08:00", "23:59"):
        assert local_due_at(f"{day}T{hour}", zone, "UTC") is None
    periods = next_local_periods(MORNING, zone, begins, 4)
    assert f"{day}T08:00" not in {one.period for one in periods}
    assert len({one.period for one in periods}) == 4
    for one in periods:
        assert latest_local_period(MORNING, zone, begins, one.due_at) == one
    assert local_due_at(f"{day}T08:00", "Asia/Shanghai", "UTC") is not None


def test_of_two_periods_that_a_gap_brings_together_the_newest_goes() -> None:
    hourly = Rhythm("0 * * * *", "Asia/Shanghai", own_zone=True)
    after = _utc("2026-03-29T00:30")  # 01:30 in Madrid; 02:00 does not come
    period = LocalPeriod("2026-03-29T03:00", _utc("2026-03-29T01:00"))
    assert next_local_period(hourly, "Europe/Madrid", after) == period
    assert latest_local_period(hourly, "Europe/Madrid", after, period.due_at) == period
    following = next_local_period(hourly, "Europe/Madrid", period.due_at)
    assert following == LocalPeriod("2026-03-29T04:00", _utc("2026-03-29T02:00"))


def test_an_hourly_rhythm_of_ones_own_comes_once_in_the_hour_that_is_there_twice() -> None:
    hourly = Rhythm("0 * * * *", "Asia/Shanghai", own_zone=True)
    periods = next_local_periods(hourly, "Europe/Madrid", _utc("2026-10-24T23:30"), 2)
    assert periods == [
        LocalPeriod("2026-10-25T02:00", _utc("2026-10-25T00:00")),
        LocalPeriod("2026-10-25T03:00", _utc("2026-10-25T02:00")),
    ]


def test_quiet_days_are_quiet_in_every_zone() -> None:
    rhythm = Rhythm("0 8 * * *", "Asia/Shanghai", True, (read_quiet_day("sun"),))
    for zone in ("Asia/Shanghai", "America/New_York", "Pacific/Kiritimati"):
        periods = next_local_periods(rhythm, zone, _utc("2026-11-20T00:00"), 4)
        days = {datetime.fromisoformat(one.period).strftime("%a") for one in periods}
        assert "Sun" not in days
        assert days & {"Sat", "Mon"}


def test_where_every_day_is_quiet_there_is_no_period() -> None:
    week = tuple(read_quiet_day(day) for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
    rhythm = Rhythm("0 8 * * *", "Asia/Shanghai", True, week)
    now = _utc("2026-11-23T00:00")
    assert next_local_period(rhythm, "Europe/Madrid", now) is None
    assert latest_local_period(rhythm, "Europe/Madrid", LONG_AGO, now) is None


def test_due_times_without_a_zone_are_those_of_the_fallback() -> None:
    now = _utc("2026-11-23T00:00")
    assert next_due_at(MORNING, now) == _utc("2026-11-24T00:00")
    assert latest_due_at(MORNING, LONG_AGO, now) == now


def test_an_edition_for_each_article_has_no_local_periods() -> None:
    rhythm, now = Rhythm("", "Asia/Shanghai"), _utc("2026-11-23T00:00")
    assert next_local_period(rhythm, "Europe/Madrid", now) is None
    assert latest_local_period(rhythm, "Europe/Madrid", LONG_AGO, now) is None


@pytest.mark.parametrize("period", ["2026-03-08T02:30", "2026-03-29T02:30", "2026-11-23T08:00"])
def test_a_period_is_open_until_its_hour_has_come_in_every_zone(period: str) -> None:
    until = open_until(period)
    came = [local_due_at(period, zone, "UTC") for zone in sorted(available_timezones())]
    assert all(due is not None and due <= until for due in came)
    assert until <= _utc(period) + timedelta(hours=14)
    assert max(due for due in came if due) == _utc(period) + timedelta(hours=12)


def test_a_leap_day_is_one_period_everywhere() -> None:
    rhythm = Rhythm("0 8 29 2 *", "Asia/Shanghai", own_zone=True)
    for zone in ("Asia/Shanghai", "Europe/Madrid", "Pacific/Apia"):
        found = next_local_period(rhythm, zone, _utc("2026-11-23T00:00"))
        assert found is not None
        assert found.period == "2028-02-29T08:00"
        assert latest_local_period(rhythm, zone, found.due_at, _utc("2031-01-01T00:00")) is None


def test_the_night_in_madrid_runs_once_in_spring_and_once_in_autumn() -> None:
    for day in ("2026-03-29", "2026-10-25"):
        noon = _utc(f"{day}T12:00") - timedelta(days=1)
        first = next_local_period(NIGHT, "Europe/Madrid", noon)
        assert first is not None
        assert first.period == f"{day}T02:30"
        second = next_local_period(NIGHT, "Europe/Madrid", first.due_at)
        assert second is not None
        assert second.period > first.period
        assert second.due_at - first.due_at > timedelta(hours=23)
