"""Periods come due once, whatever clocks and zones do."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.editions.calendar import (
    latest_due_at,
    next_due_at,
    next_due_times,
    period_of,
)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_eight_in_the_morning_in_shanghai_is_midnight_in_utc() -> None:
    assert next_due_at("0 8 * * *", "Asia/Shanghai", _utc("2026-11-22T00:00")) == _utc(
        "2026-11-23T00:00"
    )
    assert next_due_at("0 8 * * *", "Asia/Shanghai", _utc("2026-11-21T23:59:59")) == _utc(
        "2026-11-22T00:00"
    )


@pytest.mark.parametrize(
    ("cron", "zone", "day", "expected"),
    [
        pytest.param("30 2 * * *", "Europe/Madrid", "2026-03-29", ["01:00"], id="gap runs after"),
        pytest.param("30 2 * * *", "Europe/Madrid", "2026-10-25", ["00:30"], id="twice runs once"),
        pytest.param("0 0 * * *", "Europe/Berlin", "2026-03-29", ["22:00"], id="midnight is kept"),
        pytest.param(
            "15 2 * * *", "Australia/Lord_Howe", "2026-10-03", ["15:30"], id="half-hour gap"
        ),
    ],
)
def test_clock_changes_neither_skip_nor_double_a_day(
    cron: str, zone: str, day: str, expected: list[str]
) -> None:
    start = _utc(f"{day}T00:00")
    due = [
        instant
        for instant in next_due_times(cron, zone, start - timedelta(days=1), 3)
        if start <= instant < start + timedelta(days=1)
    ]
    assert [f"{instant:%H:%M}" for instant in due] == expected


def test_many_missed_periods_leave_one_catch_up() -> None:
    since, now = _utc("2026-11-01T12:00"), _utc("2026-11-22T12:00")
    assert latest_due_at("0 8 * * *", "Asia/Shanghai", since, now) == _utc("2026-11-22T00:00")


def test_nothing_is_due_before_a_schedule_began() -> None:
    since = _utc("2026-11-22T00:00:01")
    assert latest_due_at("0 8 * * *", "Asia/Shanghai", since, _utc("2026-11-22T23:00")) is None


def test_the_due_instant_itself_is_due() -> None:
    due = _utc("2026-11-22T00:00")
    assert latest_due_at("0 8 * * *", "Asia/Shanghai", due - timedelta(hours=1), due) == due


def test_a_period_is_named_by_its_instant_in_utc() -> None:
    local = datetime(2026, 11, 22, 8, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert period_of(local) == "2026-11-22T00:00:00Z"


@given(
    st.sampled_from(["0 8 * * *", "30 2 * * *", "0 0 * * mon", "*/15 * * * *", "0 9 1 * *"]),
    st.sampled_from(
        ["Asia/Shanghai", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "UTC"]
    ),
    st.datetimes(_utc("2026-01-01").replace(tzinfo=None), _utc("2028-12-31").replace(tzinfo=None)),
)
def test_looking_back_finds_what_looking_forward_promised(
    cron: str, zone: str, moment: datetime
) -> None:
    after = moment.replace(tzinfo=UTC)
    due = next_due_at(cron, zone, after)
    assert due is not None
    assert due > after
    assert latest_due_at(cron, zone, after, due) == due
    assert latest_due_at(cron, zone, after, due - timedelta(seconds=1)) is None
