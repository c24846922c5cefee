"""Claiming takes what is due, in order, and sets aside what must not be sent."""

from datetime import timedelta

import pytest
from delivery_world import NOW, World, only_sqlite
from sqlalchemy import text
from sqlmodel import col

from feedsvc.deliveries.claim import Batch, claim_batch
from feedsvc.deliveries.due import due_rows, has_due, next_due_at
from feedsvc.deliveries.totals import edition_totals
from feedsvc.model.delivery import Delivery, DeliveryState
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState

pytestmark = pytest.mark.anyio
ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
LILEI = "lilei@xn--fsqu00a.xn--4rr70v"


async def claim(world: World, limit: int = 200, worker: str = "w1", alone: bool = True) -> Batch:
    async with world.database.write() as session:
        return await claim_batch(session, worker, world.clock.now, limit, alone=alone)


async def test_a_claim_carries_what_building_needs(world: World) -> None:
    (delivery,) = await world.add(LILEI)
    person, subscription = await world.person(LILEI)
    await world.change(Subscriber, person.id, name="李雷", language="zh-CN")
    (one,) = (await claim(world)).claims
    assert (one.id, one.attempt, one.subscriber_id) == (delivery, 1, person.id)
    assert (one.address, one.name, one.language) == (LILEI, "李雷", "zh-CN")
    assert (one.edition_id, one.cohort_id) == (world.edition_id, world.cohort_id)
    assert (one.subscription_id, one.notice_id, one.date_at) == (subscription.id, None, None)
    assert one.expires_at == NOW + timedelta(hours=24)
    row = await world.row(delivery)
    assert (row.state, row.worker, row.attempt) == (DeliveryState.CLAIMED, "w1", 1)


async def test_notices_go_ahead_of_digests(world: World) -> None:
    digests = await world.add(ALICE, CAROL)
    notice = await world.add_notice(BOB)
    assert [one.id for one in (await claim(world, 1)).claims] == [notice]
    assert [one.id for one in (await claim(world)).claims] == digests


async def test_nothing_is_claimed_twice(world: World) -> None:
    await world.add(ALICE, CAROL)
    first, second = await claim(world, worker="w1"), await claim(world, worker="w2")
    assert (len(first.claims), second.looked_at) == (2, 0)


async def test_two_workers_at_once_share_the_rows(world: World) -> None:
    await world.add(*(f"p{number}@example.com" for number in range(40)))
    async with world.database.write() as one:
        mine = await claim_batch(one, "w1", NOW, 25)
        if world.database.kind == "postgresql":
            async with world.database.write() as other:
                theirs = await claim_batch(other, "w2", NOW, 25)
        await one.commit()
    if world.database.kind == "sqlite":
        theirs = await claim(world, 25, "w2")
    ids = [claimed.id for claimed in (*mine.claims, *theirs.claims)]
    assert len(ids) == len(set(ids)) == 40


async def test_a_deferred_mail_waits_for_its_time(world: World) -> None:
    later = NOW + timedelta(minutes=5)
    await world.add(ALICE, state=DeliveryState.DEFERRED, next_at=later)
    assert (await claim(world)).looked_at == 0
    async with world.database.read() as session:
        assert not await has_due(session, NOW)
        assert await next_due_at(session) == later
    world.clock.now = later
    assert len((await claim(world)).claims) == 1


@pytest.mark.parametrize(
    "state", [state for state in EditionState if state is not EditionState.SENDING]
)
async def test_an_edition_that_is_not_sending_keeps_its_mails(
    world: World, state: EditionState
) -> None:
    (delivery,) = await world.add(ALICE)
    await world.change(Edition, world.edition_id, state=state)
    assert (await claim(world)).looked_at == 0
    assert (await world.row(delivery)).state is DeliveryState.PENDING
    async with world.database.read() as session:
        assert await next_due_at(session) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (SubscriptionState.UNSUBSCRIBED, "unsubscribed"),
        (SubscriptionState.PAUSED, "paused"),
        (SubscriptionState.PENDING, "not confirmed"),
    ],
)
async def test_who_left_is_skipped_and_keeps_their_window(
    world: World, state: SubscriptionState, words: str
) -> None:
    (delivery,) = await world.add(ALICE)
    _, subscription = await world.person(ALICE)
    await world.change(Subscription, subscription.id, state=state)
    batch = await claim(world)
    assert (batch.claims, batch.looked_at) == ([], 1)
    row = await world.row(delivery)
    assert row.state is DeliveryState.SKIPPED
    assert words in (row.reason or "")
    assert await world.cursor(ALICE) == 10


@pytest.mark.parametrize("state", [AddressState.DEAD, AddressState.COMPLAINED])
async def test_a_dead_address_gets_not_even_a_notice(world: World, state: AddressState) -> None:
    await world.add(CAROL)
    notice = await world.add_notice(BOB)
    async with world.database.write() as session:
        for row in [await session.get(Subscriber, number) for number in (1, 2)]:
            assert row is not None
            row.state = state
        await session.flush()
    assert (await claim(world)).looked_at == 2
    assert (await world.row(notice)).state is DeliveryState.SKIPPED


async def test_an_unconfirmed_person_gets_their_notice(world: World) -> None:
    notice = await world.add_notice(BOB)
    assert [one.notice_id for one in (await claim(world)).claims] == [1]
    assert (await world.row(notice)).state is DeliveryState.CLAIMED


async def test_a_failing_address_is_tried(world: World) -> None:
    await world.add(CAROL)
    await world.change(Subscriber, 1, state=AddressState.FAILING, failures=3)
    (one,) = (await claim(world)).claims
    assert one.is_failing


async def test_what_is_past_its_time_expires(world: World) -> None:
    (delivery,) = await world.add(ALICE, expires_at=NOW)
    assert (await claim(world)).looked_at == 1
    row = await world.row(delivery)
    assert row.state is DeliveryState.EXPIRED
    assert row.reason
    assert await world.cursor(ALICE) == 10


async def test_the_address_and_date_of_the_first_dot_are_kept(world: World) -> None:
    await world.add(ALICE, date_at=NOW - timedelta(hours=1), address="old@example.com", doubts=1)
    (one,) = (await claim(world)).claims
    assert (one.address, one.date_at) == ("old@example.com", NOW - timedelta(hours=1))
    assert one.doubts == 1


async def test_suspects_come_last_and_one_by_one(world: World) -> None:
    await world.add(ALICE, crashes=2)
    await world.add(BOB, crashes=1)
    (fresh,) = await world.add(CAROL)
    assert [one.id for one in (await claim(world)).claims] == [fresh]
    assert (await claim(world, alone=False)).looked_at == 0
    assert [one.address for one in (await claim(world)).claims] == [BOB]
    assert [one.address for one in (await claim(world)).claims] == [ALICE]


@only_sqlite
async def test_claiming_looks_only_where_mail_waits(world: World) -> None:
    """The partial index serves the claim, however many deliveries have ended."""
    of_edition = due_rows().where(col(Delivery.edition_id) == 1).order_by(col(Delivery.next_at))
    query = str(of_edition.compile(world.database.engine.sync_engine)).replace("?", "'x'")
    async with world.database.read() as session:
        plan = await session.execute(text("EXPLAIN QUERY PLAN " + query))
        told = " ".join(str(row) for row in plan)
        assert "USING INDEX ix_delivery_due (edition_id=? AND next_at<?)" in told
        assert "TEMP B-TREE" not in told


async def test_totals_count_the_deliveries_of_one_edition(world: World) -> None:
    await world.add(ALICE, state=DeliveryState.SENT)
    await world.add(CAROL, state=DeliveryState.FAILED)
    await world.add_notice(BOB)
    async with world.database.read() as session:
        totals = await edition_totals(session, world.edition_id)
    assert totals == {DeliveryState.SENT: 1, DeliveryState.FAILED: 1}


@only_sqlite
async def test_no_edition_waits_for_many_others_to_be_through(world: World) -> None:
    for number in range(12):
        edition = await world.add_edition(f"e{number}")
        await world.add(*(f"p{one}@{number}.example" for one in range(40)), edition=edition)
    served = set()
    for _ in range(12):
        served |= {one.edition_id for one in (await claim(world, limit=40)).claims}
        world.clock.forward(seconds=1)
    assert len(served) == 12
