"""What can be chosen, and what pausing comes to: tables of the pure rules."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from feedsvc.audience.preferences import (
    MAX_TOPICS_BYTES,
    Choices,
    Chosen,
    Going,
    check_subscribed,
    list_changes,
    pause_ends_at,
    plan_change,
    plan_cursor,
    plan_pause,
    read_language,
    read_topics,
    read_zone,
)
from feedsvc.audience.zones import find_zone, suggested_zones
from feedsvc.errors import ChoiceInvalid, NotSubscribed
from feedsvc.model.subscriber import Resume, SubscriptionState

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
CHOSEN = Chosen("morning", ("科技", "gone"), "zh-CN", "")


@pytest.mark.parametrize(
    ("wanted", "after"),
    [
        (Choices(), CHOSEN),
        (Choices(schedule="evening"), Chosen("evening", CHOSEN.topics, "zh-CN", "")),
        (Choices(topics=()), Chosen("morning", (), "zh-CN", "")),
        (
            Choices(topics=["文化", "科技", "文化"]),
            Chosen("morning", ("文化", "科技"), "zh-CN", ""),
        ),
        (Choices(topics=["gone"]), Chosen("morning", ("gone",), "zh-CN", "")),
        (Choices(language="EN_gb"), Chosen("morning", CHOSEN.topics, "en-GB", "")),
        (Choices(zone="asia/shanghai"), Chosen("morning", CHOSEN.topics, "zh-CN", "Asia/Shanghai")),
        (Choices(zone=" "), CHOSEN),
    ],
    ids=lambda value: "" if isinstance(value, Chosen) else str(value),
)
def test_what_is_not_mentioned_stays(wanted: Choices, after: Chosen) -> None:
    assert plan_change(CHOSEN, wanted, {"morning", "evening"}, {"科技", "文化"}) == after


@pytest.mark.parametrize(
    ("wanted", "field", "said"),
    [
        (Choices(schedule="hourly"), "schedule", "there are: evening"),
        (Choices(topics=["sport"]), "topics", "no article has 'sport'"),
        (Choices(topics=[""]), "topics", "not empty"),
        (Choices(topics=["a\x00b"]), "topics", "one line"),
        (Choices(topics=["\ud800"]), "topics", "one line"),
        (Choices(topics=["x" * 201]), "topics", "one line"),
        (Choices(language="tlh"), "language", "en, zh"),
        (Choices(language="zh" + "-abcdefgh" * 9), "language", "en, zh"),
        (Choices(language=""), "language", "en, zh"),
        (Choices(zone="Mars/Olympus"), "zone", "Asia/Shanghai"),
        (Choices(zone="../../etc/passwd"), "zone", "Asia/Shanghai"),
        (Choices(zone="localtime"), "zone", "Asia/Shanghai"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_not_to_be_had_is_said(wanted: Choices, field: str, said: str) -> None:
    with pytest.raises(ChoiceInvalid, match=said) as raised:
        plan_change(CHOSEN, wanted, {"evening"}, {"科技"})
    assert raised.value.field == field


def test_a_schedule_that_is_gone_may_be_kept() -> None:
    kept = plan_change(CHOSEN, Choices(schedule="morning", topics=[]), {"evening"}, ())
    assert kept.schedule == "morning"


def test_topics_are_bounded_in_number_and_in_bytes() -> None:
    assert len(read_topics(f"topic {n}" for n in range(40))) == 40
    with pytest.raises(ChoiceInvalid, match="at most 40"):
        read_topics(f"topic {n}" for n in range(41))
    chinese = [f"{'科' * 123}{n}" for n in "abcd"]
    room = MAX_TOPICS_BYTES - len(json.dumps(chinese, ensure_ascii=False).encode())
    assert read_topics([*chinese[:3], chinese[3] + "x" * room])
    with pytest.raises(ChoiceInvalid, match="too long taken together"):
        read_topics([*chinese[:3], chinese[3] + "x" * (room + 1)])


@pytest.mark.parametrize(
    ("typed", "zone"),
    [
        ("Asia/Shanghai", "Asia/Shanghai"),
        (" america/new york ", "America/New_York"),
        ("utc", "UTC"),
        ("Australia/Lord_Howe", "Australia/Lord_Howe"),
        ("Shanghai", None),
        ("", None),
    ],
)
def test_a_zone_is_found_as_people_write_it(typed: str, zone: str | None) -> None:
    assert find_zone(typed) == zone


def test_zones_to_choose_from_can_be_chosen() -> None:
    assert {"Asia/Shanghai", "Pacific/Apia", "UTC"} <= set(suggested_zones())
    assert not any(name.startswith(("Etc/", "SystemV/", "US/")) for name in suggested_zones())
    assert [read_zone(name) for name in suggested_zones()] == [*suggested_zones()]


def test_only_what_differs_is_logged() -> None:
    before = Going(SubscriptionState.ACTIVE)
    after = Going(SubscriptionState.PAUSED, NOW + DAY)
    assert list_changes(before, before) == {}
    assert list_changes(before, after) == {
        "before": {"state": "active", "until": None},
        "after": {"state": "paused", "until": "2026-11-23T00:00:00+00:00"},
    }


ACTIVE, PAUSED = SubscriptionState.ACTIVE, SubscriptionState.PAUSED


@pytest.mark.parametrize("state", [ACTIVE, PAUSED])
def test_who_is_subscribed_may_pause_and_pause_otherwise(state: SubscriptionState) -> None:
    going = Going(state)
    assert plan_pause(going, None, Resume.NOW, NOW) == Going(PAUSED, None, Resume.NOW)
    check_subscribed(state)


@pytest.mark.parametrize("state", [SubscriptionState.PENDING, SubscriptionState.UNSUBSCRIBED])
def test_who_is_not_subscribed_has_nothing_to_pause(state: SubscriptionState) -> None:
    with pytest.raises(NotSubscribed):
        plan_pause(Going(state), None, Resume.NOW, NOW)


@pytest.mark.parametrize(
    ("until", "said"),
    [
        (NOW, "has come already"),
        (NOW - DAY, "has come already"),
        (NOW + timedelta(days=366 * 6), "too far away"),
    ],
)
def test_a_pause_ends_in_times_to_come(until: datetime, said: str) -> None:
    with pytest.raises(ChoiceInvalid, match=said):
        plan_pause(Going(ACTIVE), until, Resume.NOW, NOW)


@pytest.mark.parametrize(
    ("day", "zone", "ends"),
    [
        (date(2026, 12, 1), "Asia/Shanghai", datetime(2026, 11, 30, 16, tzinfo=UTC)),
        (date(2026, 12, 1), "America/New_York", datetime(2026, 12, 1, 5, tzinfo=UTC)),
        # A day that begins at one: midnight is not there.
        (date(2027, 3, 14), "America/Havana", datetime(2027, 3, 14, 5, tzinfo=UTC)),
    ],
)
def test_a_pause_ends_as_the_day_begins_where_the_reader_is(
    day: date, zone: str, ends: datetime
) -> None:
    assert pause_ends_at(day, zone, NOW) == ends


@pytest.mark.parametrize("day", [date.min, date(2026, 11, 1), date.max])
def test_no_day_is_too_odd_to_be_refused(day: date) -> None:
    with pytest.raises(ChoiceInvalid):
        pause_ends_at(day, "Pacific/Niue", NOW)


@pytest.mark.parametrize(
    ("how", "cursor", "newest", "after"),
    [
        (Resume.NOW, 5, 9, 9),
        (Resume.NOW, 9, 9, 9),
        (Resume.NOW, 9, 5, 9),
        (Resume.CATCH_UP, 5, 9, 5),
    ],
)
def test_from_now_moves_forward_and_catching_up_moves_nothing(
    how: Resume, cursor: int, newest: int, after: int
) -> None:
    assert plan_cursor(how, cursor, newest) == after


def test_a_language_is_kept_in_the_usual_case() -> None:
    assert read_language("ZH_hans_cn") == "zh-Hans-CN"
