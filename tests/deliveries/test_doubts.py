"""What a person may decide about mail in doubt, and what keeps articles from being repeated."""

from dataclasses import replace

import pytest

from feedsvc.deliveries.doubts import Change, Doubt, Settling, choose_change
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionState as E
from feedsvc.model.subscriber import AddressState, SubscriptionState

ARRIVED, AGAIN, CARRY = Settling.ARRIVED, Settling.AGAIN, Settling.CARRY

#: Alice's digest of the articles 11 to 20 got no reply; it waits, and counts as mailed.
HELD = Doubt(
    id=1,
    state=S.HELD,
    reason="may have arrived: no reply",
    doubts=1,
    address=AddressState.GOOD,
    subscription_id=7,
    subscription=SubscriptionState.ACTIVE,
    edition=E.DONE,
    cursor=20,
    from_seq=10,
    cut_seq=20,
    under_way=False,
    is_ours=True,
)
#: The same under the policy carry: its articles are to come in her next digest.
CARRIED = replace(HELD, state=S.UNCERTAIN, cursor=10)
NOTICE = replace(
    HELD,
    subscription_id=None,
    subscription=None,
    edition=None,
    cursor=None,
    from_seq=None,
    cut_seq=None,
    is_ours=False,
)


@pytest.mark.parametrize(
    ("how", "doubt", "state", "cursor"),
    [
        pytest.param(ARRIVED, HELD, S.SENT, None, id="held arrived: counted as mailed already"),
        pytest.param(ARRIVED, CARRIED, S.SENT, 20, id="carried arrived: not to come again"),
        pytest.param(
            ARRIVED, replace(CARRIED, cursor=30), S.SENT, None, id="arrived, and came once more"
        ),
        pytest.param(
            ARRIVED, replace(CARRIED, under_way=True), S.SENT, None, id="arrived, comes once more"
        ),
        pytest.param(ARRIVED, replace(HELD, doubts=2), S.SENT, None, id="doubted twice, arrived"),
        pytest.param(ARRIVED, NOTICE, S.SENT, None, id="notice arrived"),
        pytest.param(AGAIN, HELD, S.PENDING, 10, id="held again: settled when it arrives"),
        pytest.param(
            AGAIN, replace(HELD, cursor=30), S.PENDING, None, id="held again after a later mail"
        ),
        pytest.param(AGAIN, CARRIED, S.PENDING, None, id="carried again"),
        pytest.param(AGAIN, NOTICE, S.PENDING, None, id="notice again"),
        pytest.param(
            AGAIN, replace(NOTICE, state=S.UNCERTAIN), S.PENDING, None, id="given up notice again"
        ),
        pytest.param(CARRY, HELD, S.UNCERTAIN, 10, id="held carried: the window is open again"),
        pytest.param(CARRY, NOTICE, S.UNCERTAIN, None, id="notice given up"),
    ],
)
def test_a_decision_changes_the_row_and_says_so(
    how: Settling, doubt: Doubt, state: S, cursor: int | None
) -> None:
    change = choose_change(how, doubt)
    assert isinstance(change, Change)
    assert (change.state, change.cursor) == (state, cursor)
    assert "the operator says" in change.reason
    assert change.reason.endswith("before: may have arrived: no reply")


@pytest.mark.parametrize(
    ("how", "doubt", "why"),
    [
        (AGAIN, replace(HELD, doubts=2), "in doubt twice, which is final"),
        (AGAIN, replace(NOTICE, doubts=2), "in doubt twice, which is final"),
        (AGAIN, replace(HELD, under_way=True), "another mail to the same person is under way"),
        (AGAIN, replace(CARRIED, cursor=30), "its articles came with a later edition"),
        (AGAIN, replace(HELD, edition=E.CANCELLED), "its edition was cancelled"),
        (AGAIN, replace(HELD, address=AddressState.DEAD), "the address is dead"),
        (AGAIN, replace(NOTICE, address=AddressState.DEAD), "the address is dead"),
        (
            AGAIN,
            replace(HELD, subscription=SubscriptionState.UNSUBSCRIBED),
            "unsubscribed before it was sent",
        ),
        (CARRY, CARRIED, "carried already"),
        (
            CARRY,
            replace(HELD, cursor=30),
            "later articles were mailed since: it can only go again, or have arrived",
        ),
        (
            CARRY,
            replace(HELD, under_way=True),
            "later articles were mailed since: it can only go again, or have arrived",
        ),
        *(
            (how, replace(HELD, is_ours=False), "being changed at this moment; say it again")
            for how in Settling
        ),
        *((how, replace(HELD, state=S.SENT), "not in doubt (any more)") for how in Settling),
        *((how, replace(HELD, state=S.PENDING), "not in doubt (any more)") for how in Settling),
    ],
)
def test_what_would_repeat_or_lose_something_is_left_out_with_a_reason(
    how: Settling, doubt: Doubt, why: str
) -> None:
    assert choose_change(how, doubt) == why
