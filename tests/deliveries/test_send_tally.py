"""Handovers and replies are counted by relay."""

import pytest

from feedsvc.deliveries.tally import SendTally
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.relay import Meaning as M


def test_handovers_are_counted_by_relay_and_state() -> None:
    tally = SendTally()
    for relay, state in (("main", S.SENT), ("main", S.SENT), ("main", S.HELD), ("spare", S.SENT)):
        tally.note(relay, state, M.UNKNOWN)
    assert tally.deliveries() == {("main", S.SENT): 2, ("main", S.HELD): 1, ("spare", S.SENT): 1}


@pytest.mark.parametrize(
    ("state", "meaning", "counted"),
    [
        (S.SENT, M.UNKNOWN, "accepted"),
        (S.FAILED, M.DEAD_ADDRESS, "dead_address"),
        (S.DEFERRED, M.THROTTLED, "throttled"),
        (S.DEFERRED, M.UNKNOWN, "unknown"),
        (S.EXPIRED, M.FULL, "mailbox_full"),
        (S.PENDING, M.OUR_FAULT, "our_configuration"),
        pytest.param(S.PENDING, M.UNKNOWN, None, id="given back: there was no reply"),
        pytest.param(S.UNCERTAIN, M.UNKNOWN, None, id="in doubt: there was no reply"),
        pytest.param(S.HELD, M.UNKNOWN, None, id="held: there was no reply"),
    ],
)
def test_a_reply_is_counted_by_what_it_says(state: S, meaning: M, counted: str | None) -> None:
    tally = SendTally()
    tally.note("main", state, meaning)
    assert tally.replies() == ({("main", counted): 1} if counted else {})
