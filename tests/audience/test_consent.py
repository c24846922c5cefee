"""Who is asked to confirm, and which confirmation counts."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsvc.audience.consent import (
    CONFIRMATION_LASTS,
    CONFIRMATION_PAUSE,
    CONFIRMATIONS_A_WEEK,
    WEEK,
    ConfirmationVerdict,
    RequestVerdict,
    Standing,
    decide_confirmation,
    decide_request,
)
from feedsvc.model.subscriber import AddressState, SubscriptionState

NOW = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        pytest.param(Standing(), RequestVerdict.ASK, id="nobody knows the address"),
        pytest.param(
            Standing(subscription=SubscriptionState.PENDING), RequestVerdict.ASK, id="asked before"
        ),
        pytest.param(
            Standing(subscription=SubscriptionState.UNSUBSCRIBED), RequestVerdict.ASK, id="has left"
        ),
        pytest.param(
            Standing(subscription=SubscriptionState.ACTIVE), RequestVerdict.SUBSCRIBED, id="active"
        ),
        pytest.param(
            Standing(subscription=SubscriptionState.PAUSED), RequestVerdict.SUBSCRIBED, id="paused"
        ),
        pytest.param(
            Standing(address=AddressState.FAILING), RequestVerdict.ASK, id="address is failing"
        ),
        pytest.param(
            Standing(address=AddressState.DEAD), RequestVerdict.UNREACHABLE, id="address is dead"
        ),
        pytest.param(
            Standing(address=AddressState.COMPLAINED), RequestVerdict.UNREACHABLE, id="complained"
        ),
        pytest.param(
            Standing(asked_at=[NOW - 24 * HOUR + timedelta(microseconds=1)]),
            RequestVerdict.ASKED_LATELY,
            id="just under a day ago",
        ),
        pytest.param(Standing(asked_at=[NOW - 24 * HOUR]), RequestVerdict.ASK, id="a day ago"),
        pytest.param(
            Standing(asked_at=[NOW - 25 * HOUR * n for n in (1, 2, 3)]),
            RequestVerdict.ASKED_LATELY,
            id="three times this week",
        ),
        pytest.param(
            Standing(asked_at=[NOW - 25 * HOUR, NOW - 50 * HOUR, NOW - 7 * 24 * HOUR]),
            RequestVerdict.ASK,
            id="the third has left the week",
        ),
    ],
)
def test_an_address_is_asked_to_confirm_only_when(
    standing: Standing, verdict: RequestVerdict
) -> None:
    assert decide_request(standing, NOW) is verdict


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 60 * 24 * 21), max_size=80))
def test_nobody_can_make_us_flood_a_stranger(minutes: list[int]) -> None:
    asked: list[datetime] = []
    for at in sorted(NOW + timedelta(minutes=minute) for minute in minutes):
        if decide_request(Standing(asked_at=asked), at) is RequestVerdict.ASK:
            asked.append(at)
    for first, second in pairwise(asked):
        assert second - first >= CONFIRMATION_PAUSE
    for at in asked:
        assert sum(at <= other < at + WEEK for other in asked) <= CONFIRMATIONS_A_WEEK


@pytest.mark.parametrize(
    ("state", "age", "left_after", "verdict"),
    [
        pytest.param("pending", 0 * HOUR, None, "activate", id="at once"),
        pytest.param("pending", CONFIRMATION_LASTS, None, "activate", id="at the last moment"),
        pytest.param("pending", CONFIRMATION_LASTS + HOUR, None, "expired", id="too late"),
        pytest.param("unsubscribed", HOUR, -HOUR, "activate", id="comes back"),
        pytest.param("unsubscribed", HOUR, HOUR / 2, "expired", id="left after having asked"),
        pytest.param("active", HOUR, None, "already", id="again"),
        pytest.param("active", 99 * CONFIRMATION_LASTS, None, "already", id="again, years later"),
        pytest.param("paused", HOUR, None, "already", id="while taking a rest"),
    ],
)
def test_a_confirmation_counts_only_when(
    state: str, age: timedelta, left_after: timedelta | None, verdict: str
) -> None:
    wished_at = NOW - age
    left_at = None if left_after is None else wished_at + left_after
    decided = decide_confirmation(SubscriptionState(state), wished_at, left_at, NOW)
    assert decided is ConfirmationVerdict(verdict)
