"""Forward and back, and a slow second reading of cron and zone, agree everywhere."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from wall_clocks import PlainCron, clock_changes, walk_due, walk_walls

from feedsvc.editions.calendar import (
    Rhythm,
    latest_due_at,
    latest_local_period,
    local_due_at,
    next_due_times,
    next_local_periods,
)

CRONS = [
    "* * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "30 * * * *",
    "7,53 * * * 0,6",
    "0 * 1 * *",
    "*/20 2 * * *",
    "* 1-3 * * *",
    "0 */2 * * *",
    "30 */12 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "59 23 * * *",
    "30 2 * * *",
    "15 1,2,3 * * *",
    "0 8 * * 1-5",
    "30 2 * * 0",
    "30 2 L * *",
    "0 0 1,15,31 * *",
    "0 0 1 * 0",
    "30 1 29 2 *",
]
#: Half hours, whole days, midnights, and two hours at once.
ZONES = [
    "Europe/Madrid",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Shanghai",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Asuncion",
    "America/Caracas",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Europe/Dublin",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "UTC",
]


@st.composite
def nights(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and an instant; where its clock changes in that year, near to that."""
    zone = draw(st.sampled_from(ZONES))
    year = draw(st.integers(1975, 2040))
    days = clock_changes(ZoneInfo(zone), year)
    day = draw(st.sampled_from(days)) if days else datetime(year, 2, 28, tzinfo=UTC)
    return zone, day + timedelta(seconds=draw(st.integers(-36 * 3600, 30 * 3600)))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(CRONS), nights(), st.integers(0, 40 * 3600))
def test_looking_back_finds_what_looking_forward_promised_and_both_are_right(
    cron: str, night: tuple[str, datetime], seconds: int
) -> None:
    zone, now = night
    since = now - timedelta(seconds=seconds)
    begin = since.replace(second=0) - timedelta(days=3)
    walked = walk_due(PlainCron(cron), ZoneInfo(zone), begin, now)
    right = [at for at in walked if at > since]
    rhythm = Rhythm(cron, zone)
    forward = next_due_times(rhythm, since, len(right) + 1)
    assert [at for at in forward if at <= now] == right
    assert latest_due_at(rhythm, since, now) == (right[-1] if right else None)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(CRONS), nights(), st.integers(0, 40 * 3600))
def test_local_periods_come_in_each_zone_as_a_clock_on_the_wall_comes_to_them(
    cron: str, night: tuple[str, datetime], seconds: int
) -> None:
    zone, now = night
    since = now - timedelta(seconds=seconds)
    begin = since.replace(second=0) - timedelta(days=3)
    newest = {
        at: wall
        for wall, at in walk_walls(PlainCron(cron), ZoneInfo(zone), begin, now)
        if at > since and local_due_at(wall.isoformat(), zone, "UTC") is not None
    }
    right = [(wall.isoformat(timespec="minutes"), at) for at, wall in sorted(newest.items())]
    rhythm = Rhythm(cron, "Asia/Shanghai", own_zone=True)
    periods = next_local_periods(rhythm, zone, since, len(right) + 1)
    assert [(one.period, one.due_at) for one in periods if one.due_at <= now] == right
    latest = latest_local_period(rhythm, zone, since, now)
    assert (latest and (latest.period, latest.due_at)) == (right[-1] if right else None)
    for period, at in right:
        assert local_due_at(period, zone, "Asia/Shanghai") == at
