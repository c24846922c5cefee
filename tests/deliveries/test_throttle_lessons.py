"""What replies teach about how much the other side bears."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.deliveries.lessons import (
    Lesson,
    Recent,
    add_rest,
    follow_clock,
    is_relay_full,
    is_too_much,
    learn,
    merge,
)
from feedsvc.model.relay import Meaning, SendResult, Verdict

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


@pytest.mark.parametrize(
    ("result", "is_so"),
    [
        (SendResult(Verdict.DEFERRED, 451, "4.7.652 too many", meaning=Meaning.THROTTLED), True),
        (SendResult(Verdict.DEFERRED, 550, "Ip frequency limited 发信频率超限",
                    meaning=Meaning.THROTTLED), True),
        (SendResult(Verdict.DEFERRED, 421, "closing"), True),
        (SendResult(Verdict.DEFERRED, 451, "4.7.1 come back later"), True),
        (SendResult(Verdict.DEFERRED, 421, "4.7.0 complaints", meaning=Meaning.POLICY), True),
        (SendResult(Verdict.DEFERRED, 451, "4.7.1 greylisted", meaning=Meaning.GREYLISTED), False),
        (SendResult(Verdict.DEFERRED, 452, "4.2.2 full", meaning=Meaning.FULL), False),
        (SendResult(Verdict.DEFERRED, 451, "4.3.0 disk"), False),
        (SendResult(Verdict.DEFERRED, 450, "4.2.1 The user you are trying to contact is receiving"
                    " mail at a rate that", meaning=Meaning.THROTTLED), False),
        (SendResult(Verdict.DEFERRED, 550, "Mailbox unavailable or access denied",
                    meaning=Meaning.THROTTLED), False),
        (SendResult(Verdict.BLOCKED, 550, "5.7.1 spam", meaning=Meaning.POLICY), False),
        (SendResult(Verdict.ACCEPTED, 250, "ok 4.7.1"), False),
        (SendResult(Verdict.UNAVAILABLE, 421, "busy", meaning=Meaning.THROTTLED), False),
    ],
    ids=lambda value: value.text if isinstance(value, SendResult) else "",
)  # fmt: skip
def test_who_says_too_much_and_who_says_something_else(result: SendResult, is_so: bool) -> None:
    assert is_too_much(result) is is_so


def test_a_relay_is_full_when_it_says_so_of_the_session() -> None:
    assert is_relay_full(SendResult(Verdict.UNAVAILABLE, 421, "", meaning=Meaning.THROTTLED))
    assert not is_relay_full(SendResult(Verdict.UNAVAILABLE, 535, "", meaning=Meaning.OUR_FAULT))
    assert not is_relay_full(SendResult(Verdict.DEFERRED, 451, "", meaning=Meaning.THROTTLED))


def test_who_says_too_much_rests_and_then_gets_half_and_more_every_minute() -> None:
    lesson = learn(None, 8.0, "451 too much", NOW)
    assert lesson.rests_until == NOW + minutes(1)
    assert lesson.is_resting(NOW + minutes(0.9))
    assert not lesson.is_resting(NOW + minutes(1))
    rates = [lesson.per_second(NOW + minutes(1 + passed)) for passed in (0, 1, 10)]
    assert rates == pytest.approx([4.0, 4.4167, 8.1667], abs=0.001)
    assert lesson.per_second(NOW + minutes(31)) is None
    assert not lesson.is_over(NOW + minutes(30.9))
    assert lesson.is_over(NOW + minutes(31))


def test_what_was_on_its_way_when_the_rest_began_adds_nothing() -> None:
    lesson = learn(None, 8.0, "451 too much", NOW)
    assert learn(lesson, 8.0, "451 too much", NOW + minutes(0.5)) is lesson


def test_rests_grow_while_they_are_not_enough() -> None:
    lesson, now, rests = None, NOW, []
    for _ in range(9):
        lesson = learn(lesson, 8.0, "421 go away", now)
        assert lesson.rests_until is not None
        rests.append((lesson.rests_until - now) / minutes(1))
        now = lesson.rests_until + minutes(0.1)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert lesson is not None
    assert lesson.learnt_per_second == 0.1


def test_a_rest_of_a_minute_was_not_enough_when_it_is_too_much_again_soon_after() -> None:
    first = learn(None, 8.0, "451 too much", NOW)
    assert learn(first, 8.0, "451 too much", NOW + minutes(5)).rests == 2
    assert learn(first, 8.0, "451 too much", NOW + minutes(7)).rests == 1


def test_a_provider_that_bears_much_for_a_while_rests_a_minute_each_time() -> None:
    first = learn(None, 8.0, "451 too much", NOW)
    again = learn(first, 7.0, "451 too much", NOW + minutes(11))
    assert again.rests_until == NOW + minutes(12)
    assert again.learnt_per_second == 3.5


def test_the_rate_is_never_above_half_of_what_was_allowed() -> None:
    first = learn(None, 8.0, "451 too much", NOW)
    again = learn(first, 100.0, "451 too much", NOW + minutes(1))
    assert again.learnt_per_second == 2.0


def test_a_rest_asked_for_is_never_cut_short_by_another() -> None:
    long = add_rest(None, NOW + minutes(60), "blocked")
    assert add_rest(long, NOW + minutes(5), "blocked too") is long
    learnt = learn(long, 8.0, "451 too much", NOW)
    assert learnt.rests_until == NOW + minutes(60)
    assert learnt.learnt_per_second == 4.0


def test_of_two_nodes_lessons_the_stricter_holds() -> None:
    ours = learn(None, 8.0, "451 ours", NOW)
    theirs = learn(None, 2.0, "451 theirs", NOW + timedelta(seconds=5))
    both = merge(theirs, ours)
    assert (both.learnt_per_second, both.rests_until) == (1.0, theirs.rests_until)
    assert both.reason == "451 theirs"


def test_a_new_lesson_takes_the_place_of_one_whose_rest_is_over() -> None:
    old = learn(None, 0.2, "451 once", NOW)
    new = learn(None, 20.0, "451 now", NOW + minutes(20))
    assert merge(old, new) == new


INSTANTS = st.integers(0, 7200).map(lambda seconds: NOW + timedelta(seconds=seconds))
LESSONS = st.builds(
    learn,
    st.one_of(st.none(), st.builds(learn, st.none(), st.floats(0, 100), st.just("a"), INSTANTS)),
    st.floats(0, 1000),
    st.just("b"),
    INSTANTS,
)


@given(stored=LESSONS, ours=LESSONS)
def test_to_merge_again_changes_nothing(stored: Lesson, ours: Lesson) -> None:
    once = merge(stored, ours)
    assert merge(once, ours) == once


@given(lesson=LESSONS, back=st.integers(61, 10**7))
def test_a_clock_that_goes_back_makes_no_lesson_longer(lesson: Lesson, back: int) -> None:
    assert lesson.noted_at is not None
    assert lesson.rests_until is not None
    now = lesson.noted_at - timedelta(seconds=back)
    followed = follow_clock(lesson, now)
    assert followed.rests_until is not None
    assert followed.rests_until - now == lesson.rests_until - lesson.noted_at
    assert followed.is_over(now + minutes(120))
    assert follow_clock(followed, now) is followed


def test_a_clock_of_another_node_moves_nothing() -> None:
    lesson = learn(None, 8.0, "451 too much", NOW)
    assert follow_clock(lesson, NOW - timedelta(seconds=30)) is lesson


def test_the_rate_seen_is_that_of_the_last_minute() -> None:
    recent = Recent()
    recent.turn(NOW)
    recent.counts["qq"] = 600
    assert recent.per_second("qq", NOW + timedelta(seconds=30)) == 20
    recent.turn(NOW + minutes(1))
    recent.counts["qq"] = 6
    assert recent.per_second("qq", NOW + minutes(1.1)) == pytest.approx(606 / 66)
    assert recent.per_second("qq", NOW + minutes(1.5)) == 0.2
    recent.turn(NOW + minutes(10))
    assert recent.per_second("qq", NOW + minutes(10)) == 0
