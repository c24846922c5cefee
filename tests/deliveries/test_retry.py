"""When mail is tried again: waits grow, stay bounded, and do not bunch."""

from datetime import timedelta

from delivery_world import NOW
from hypothesis import given
from hypothesis import strategies as st

from feedsvc.deliveries.retry import LONGEST_WAIT, next_pause, next_retry_at
from feedsvc.model.relay import Meaning

FIRST = timedelta(seconds=300)


def test_the_first_retry_suits_greylisting() -> None:
    for delivery in range(500):
        wait = next_retry_at(delivery, 1, NOW, FIRST) - NOW
        assert timedelta(minutes=5) <= wait <= timedelta(minutes=15)


def test_waits_double_up_to_two_hours() -> None:
    # 5, 10, 20, 40, 80, 120, 120 minutes, and up to half as much again
    for attempt, minutes in enumerate((5, 10, 20, 40, 80, 120, 120), 1):
        wait = (next_retry_at(7, attempt, NOW, FIRST) - NOW) / timedelta(minutes=1)
        assert minutes <= wait <= minutes * 1.5


def test_greylisted_mail_comes_again_after_five_minutes_and_then_after_fifteen() -> None:
    for attempt, minutes in enumerate((5, 15, 30, 60, 120, 120), 1):
        when = next_retry_at(7, attempt, NOW, FIRST, Meaning.GREYLISTED)
        assert minutes <= (when - NOW) / timedelta(minutes=1) <= minutes * 1.5


def test_a_full_mailbox_is_left_alone_for_hours() -> None:
    for attempt, hours in enumerate((1, 2, 2, 2), 1):
        when = next_retry_at(7, attempt, NOW, FIRST, Meaning.FULL)
        assert hours <= (when - NOW) / timedelta(hours=1) <= hours * 1.5


def test_throttled_mail_waits_a_few_minutes_and_longer_each_time() -> None:
    for attempt, minutes in enumerate((5, 10, 20, 40, 80, 120), 1):
        when = next_retry_at(7, attempt, NOW, FIRST, Meaning.THROTTLED)
        assert minutes <= (when - NOW) / timedelta(minutes=1) <= minutes * 1.5


def test_what_was_refused_together_does_not_come_back_together() -> None:
    assert len({next_retry_at(delivery, 1, NOW, FIRST) for delivery in range(1000)}) > 990


def test_the_same_row_has_the_same_wait() -> None:
    assert next_retry_at(7, 3, NOW, FIRST) == next_retry_at(7, 3, NOW, FIRST)


@given(
    st.integers(1, 2**40),
    st.integers(-3, 10**9),
    st.floats(0.001, 86400, allow_nan=False),
    st.sampled_from(Meaning),
)
def test_any_attempt_has_a_bounded_wait(
    delivery: int, attempt: int, seconds: float, meaning: Meaning
) -> None:
    first = timedelta(seconds=seconds)
    wait = next_retry_at(delivery, attempt, NOW, first, meaning) - NOW
    assert first <= wait <= max(first, LONGEST_WAIT) * 1.5


def test_a_relay_is_left_alone_longer_each_time_up_to_five_minutes() -> None:
    pauses = [next_pause(failures).total_seconds() for failures in (1, 2, 3, 4, 9, 10, 10**6)]
    assert pauses == [1, 2, 4, 8, 256, 300, 300]
