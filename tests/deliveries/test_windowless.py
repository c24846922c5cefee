"""Mails without a window, such as announcements: they move no cursor, and are in nobody's way."""

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from delivery_world import NOW, FakeRelay, World
from sqlalchemy.exc import IntegrityError

from feedsvc.deliveries.claim import claim_batch
from feedsvc.deliveries.doubts import Change, Doubt, Settling, choose_change
from feedsvc.deliveries.settle import Settled, settle_doubts
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import EditionState as E
from feedsvc.model.relay import SendResult, Verdict
from feedsvc.model.subscriber import AddressState, SubscriptionState

pytestmark = pytest.mark.anyio
ALICE, LILEI = "alice@example.com", "lilei@xn--fsqu00a.xn--4rr70v"
DAY = timedelta(days=1)
NUMBERS = count()
NO_WINDOW: dict[str, Any] = {"from_seq": None, "cut_seq": None}
SILENCE = SendResult(Verdict.UNKNOWN, text="no reply")
ARRIVED, AGAIN, CARRY = Settling.ARRIVED, Settling.AGAIN, Settling.CARRY

#: Alice's copy of an announcement got no reply. Her cursor is nobody's business here.
HELD = Doubt(
    id=1,
    state=S.HELD,
    reason="no reply",
    doubts=1,
    address=AddressState.GOOD,
    subscription_id=7,
    subscription=SubscriptionState.ACTIVE,
    edition=E.DONE,
    cursor=20,
    from_seq=None,
    cut_seq=None,
    under_way=True,
    is_ours=False,
)


async def also(world: World, delivery_id: int, state: S = S.PENDING, **values: Any) -> int:
    """Another edition's mail to the same person, without a window unless one is given."""
    first = await world.row(delivery_id)
    edition_id, cohort_id = await world.add_edition(f"beside, {next(NUMBERS)}")
    async with world.database.write() as session:
        row = Delivery(
            **{
                "edition_id": edition_id,
                "cohort_id": cohort_id,
                "subscriber_id": first.subscriber_id,
                "subscription_id": first.subscription_id,
                "state": state,
                "next_at": NOW,
                "expires_at": NOW + DAY,
                "changed_at": NOW,
                **values,
            }
        )
        session.add(row)
        await session.flush()
        return row.id or 0


async def settle(world: World, how: Settling, *ids: int) -> Settled:
    async with world.database.write() as session:
        return await settle_doubts(
            session, how, ids, NOW, digests_expire_after=DAY, notices_expire_after=2 * DAY
        )


async def test_it_goes_beside_a_digest_and_only_the_digest_moves_the_cursor(world: World) -> None:
    (digest,) = await world.add(ALICE)
    letter = await also(world, digest)
    await also(world, digest)  # and a second one
    relay = FakeRelay()
    async with world.sender(relay) as sender:
        await world.change(Delivery, digest, next_at=NOW + timedelta(minutes=1))
        await sender.drain()
        assert relay.recipients() == [ALICE, ALICE]
        assert (await world.row(letter)).state is S.SENT
        assert await world.cursor(ALICE) == 10
        world.clock.forward(minutes=1)
        await sender.drain()
    assert await world.states() == {S.SENT: 3}
    assert await world.cursor(ALICE) == 20


async def test_of_mails_with_a_window_one_is_open_at_a_time_all_the_same(world: World) -> None:
    (digest,) = await world.add(ALICE)
    await also(world, digest)
    with pytest.raises(IntegrityError):
        await also(world, digest, from_seq=10, cut_seq=30)


@pytest.mark.parametrize(
    ("notices", "states"),
    [("resend", [S.SENT]), ("hold", [S.HELD]), ("carry", [S.UNCERTAIN])],
)
async def test_what_gets_no_reply_is_dealt_with_like_a_notice(
    world: World, notices: str, states: list[S]
) -> None:
    (letter,) = await world.add(ALICE, **NO_WINDOW)
    relay = FakeRelay()
    relay.answer(ALICE, SILENCE)
    async with world.sender(relay, uncertain_digests="carry", uncertain_notices=notices) as sender:
        await sender.drain()
        await sender.drain()
    assert [(await world.row(letter)).state] == states
    assert len({bytes(message) for _, message in relay.taken}) == 1  # again is the same, not a new
    assert await world.cursor(ALICE) == 10


async def test_the_policy_for_digests_is_theirs_alone(world: World) -> None:
    (digest,) = await world.add(ALICE)
    relay = FakeRelay()
    relay.answer(ALICE, SILENCE)
    async with world.sender(relay, uncertain_notices="resend") as sender:
        await sender.drain()
    assert (await world.row(digest)).state is S.UNCERTAIN


async def test_a_dead_workers_mail_is_dealt_with_like_a_notice(world: World) -> None:
    (letter,) = await world.add(ALICE, **NO_WINDOW, state=S.DOT, worker="dead", attempt=1)
    (digest,) = await world.add(LILEI, state=S.DOT, worker="dead", attempt=1)
    async with world.sender(FakeRelay()) as sender:
        recovered = await sender.recover()
        assert recovered.in_doubt == 2
        assert (await world.row(letter)).state is S.PENDING
        assert (await world.row(digest)).state is S.UNCERTAIN


async def test_a_claim_knows_whether_a_digest_would_follow(world: World) -> None:
    await world.add(ALICE)
    await world.add(LILEI, **NO_WINDOW)
    await world.add_notice("bob@example.com")
    async with world.database.write() as session:
        batch = await claim_batch(session, "w", NOW, 10)
    windows = {one.address: one.facts.has_window for one in batch.claims}
    assert windows == {ALICE: True, LILEI: False, "bob@example.com": False}


@pytest.mark.parametrize(
    ("how", "doubt", "state"),
    [
        pytest.param(ARRIVED, HELD, S.SENT, id="arrived"),
        pytest.param(ARRIVED, replace(HELD, state=S.UNCERTAIN, doubts=2), S.SENT, id="late"),
        pytest.param(AGAIN, HELD, S.PENDING, id="again, beside a digest that is under way"),
        pytest.param(AGAIN, replace(HELD, state=S.UNCERTAIN), S.PENDING, id="given up, and again"),
        pytest.param(CARRY, HELD, S.UNCERTAIN, id="given up"),
    ],
)
def test_a_decision_about_it_leaves_the_cursor_alone(how: Settling, doubt: Doubt, state: S) -> None:
    change = choose_change(how, doubt)
    assert isinstance(change, Change)
    assert (change.state, change.cursor) == (state, None)


@pytest.mark.parametrize(
    ("how", "doubt", "why"),
    [
        (AGAIN, replace(HELD, doubts=2), "in doubt twice, which is final"),
        (AGAIN, replace(HELD, edition=E.CANCELLED), "its edition was cancelled"),
        (
            AGAIN,
            replace(HELD, subscription=SubscriptionState.UNSUBSCRIBED),
            "unsubscribed before it was sent",
        ),
        (CARRY, replace(HELD, state=S.UNCERTAIN), "given up already"),
    ],
)
def test_what_cannot_be_decided_about_it_has_a_reason(
    how: Settling, doubt: Doubt, why: str
) -> None:
    assert choose_change(how, doubt) == why


async def test_deciding_about_letters_and_digests_of_a_person_at_once(world: World) -> None:
    (digest,) = await world.add(ALICE, state=S.UNCERTAIN, doubts=1)
    letter = await also(world, digest, S.HELD, doubts=1)
    another = await also(world, digest, S.HELD, doubts=1, reason="x")
    settled = await settle(world, AGAIN, digest, letter, another)
    assert sorted(settled.done) == sorted([digest, letter, another])
    assert await world.states() == {S.PENDING: 3}


async def test_an_open_letter_does_not_keep_a_digest_from_being_settled(world: World) -> None:
    (digest,) = await world.add(ALICE, state=S.UNCERTAIN, doubts=1)
    await also(world, digest)
    assert (await settle(world, ARRIVED, digest)).done == [digest]
    assert await world.cursor(ALICE) == 20
