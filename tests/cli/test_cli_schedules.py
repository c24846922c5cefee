"""Schedules as the command line shows them: in words, and with their next due times."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from command_line import CONFIG, Newsroom

SCHEDULES = """\
[newsletters.daily.schedules.morning]
label = "每天早上"
description = "早饭前读完"
cron = "0 8 * * *"
time_zone = "America/New_York"
quiet_days = ["sat", "sun"]
catch_up = "merge"
[newsletters.daily.schedules.own]
label = "各地早上"
cron = "30 7 * * *"
time_zone = "subscriber"
spread_minutes = 20
[newsletters.daily.schedules.each]
label = "快讯"
settle_minutes = 7.5
[newsletters.weekly]
title = "一周新闻"
from = "例子新闻 <news@example.com>"
sender = "例子新闻编辑部"
postal_address = "上海市例子路一号"
[newsletters.weekly.schedules.monday]
label = "每周一"
cron = "0 8 * * mon"
quiet_days = ["mon"]
"""


def test_each_schedule_is_shown_in_words_and_with_its_next_due_times(newsroom: Newsroom) -> None:
    newsroom.configure(CONFIG + SCHEDULES)
    said = newsroom.do("schedules").out
    assert "daily.each  快讯: for each article, soon after it appears\n" in said
    assert "once there was no further article for 7.5 min, at most 45 min after the first\n" in said
    assert "daily.morning  每天早上: every day at 08:00 (America/New_York)\n  早饭前读完\n" in said
    assert (
        len(re.findall(r"(?:Mon|Tue|Wed|Thu|Fri) .+ 08:00 -0[45]:00 America/New_York\n", said)) == 5
    )
    assert "quiet        sat, sun\n" in said
    assert "merge: if more than 60 min late, it is left out; its articles come with" in said
    assert "daily.own  各地早上: every day at 07:30, your time\n" in said
    assert len(re.findall(r"07:30 in each subscriber's zone\n", said)) == 5
    assert "mails leave within 20 min\n" in said
    assert len(re.findall(r"Fri|-01-01 00:00 \+08:00 Asia/Shanghai\n", said)) >= 5
    assert "due next     never: its quiet days leave no day\n" in said


def test_the_facts_of_a_schedule_are_json_for_scripts(newsroom: Newsroom) -> None:
    newsroom.configure(CONFIG + SCHEDULES)
    now = datetime.now(UTC)
    facts = newsroom.do("schedules", "daily", "--json").json["schedules"]
    by_key = {one["schedule"]: one for one in facts}
    assert sorted(by_key) == ["each", "morning", "own", "yearly"]
    assert {one["newsletter"] for one in facts} == {"daily"}
    times = [datetime.fromisoformat(at) for at in by_key["morning"]["next_due"]]
    assert now < times[0] < now + timedelta(days=4)
    assert sorted(set(times)) == times
    for at in times:
        assert at.utcoffset() == at.astimezone(ZoneInfo("America/New_York")).utcoffset()
        assert (at.hour, at.minute, at.weekday() < 5) == (8, 0, True)
    assert by_key["morning"]["catch_up"] == "merge"
    assert by_key["morning"]["quiet_days"] == ["sat", "sun"]
    assert by_key["own"]["own_zone"] is True
    local = [datetime.fromisoformat(at) for at in by_key["own"]["next_due"]]
    assert [at.tzinfo for at in local] == [None] * 5
    assert [after - before for before, after in pairwise(local)] == [timedelta(days=1)] * 4
    assert by_key["each"]["cron"] is None
    assert by_key["each"]["settle_max_minutes"] == 45
    assert by_key["each"]["next_due"] == []


def test_the_people_on_a_schedule_are_counted(newsroom: Newsroom) -> None:
    newsroom.configure(CONFIG + SCHEDULES)
    for name, schedule in (("lilei", "morning"), ("alice", "morning"), ("bob", "own")):
        address = f"{name}@example.com"
        to = ("-n", "daily", "--schedule", schedule, "--confirmed")
        newsroom.do("subscribers", "add", address, *to)
    facts = newsroom.do("schedules", "--json").json["schedules"]
    people = {one["schedule"]: (one["subscribers"], one["paused"]) for one in facts}
    assert people == {
        "each": (0, 0),
        "morning": (2, 0),
        "own": (1, 0),
        "yearly": (0, 0),
        "monday": (0, 0),
    }
    assert "subscribers  2\n" in newsroom.do("schedules", "daily").out


def test_a_newsletter_that_is_not_there_is_named_with_those_that_are(newsroom: Newsroom) -> None:
    outcome = newsroom.run("schedules", "dayly")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "feedsvc: no newsletter is named 'dayly' (there are: daily)\n"


def test_check_config_shows_every_kind_of_schedule(bare: Newsroom) -> None:
    bare.configure(CONFIG + SCHEDULES)
    said = bare.do("check-config").out
    assert len(re.findall(r"08:00 -0[45]:00 America/New_York\n", said)) == 5
    assert "    not on sat, sun\n" in said
    assert len(re.findall(r"07:30 in each subscriber's zone\n", said)) == 5
    assert "daily.each goes for each article, once there was no further article for 7.5" in said
    facts = bare.do("check-config", "--json").json
    assert facts["next_due"]["daily.each"] == []
    assert len(facts["next_due"]["daily.own"]) == 5
    assert not (bare.folder / "data").exists()


def test_check_config_names_a_schedule_whose_days_are_all_quiet(bare: Newsroom) -> None:
    bare.configure(CONFIG + SCHEDULES)
    line = (CONFIG + SCHEDULES).splitlines().index('quiet_days = ["mon"]') + 1
    assert (
        f"config.toml:{line}: newsletters.weekly.schedules.monday.quiet_days: they leave no day to"
        " come due" in bare.do("check-config").out
    )
