"""A person decides about mail in doubt: arrived, the same once more, or its articles next time."""

from datetime import timedelta

import pytest
from delivery_world import NOW, FakeRelay, World, only_postgresql
from sqlalchemy import select
from sqlmodel import col

from feedsvc.deliveries.doubts import Settling
from feedsvc.deliveries.settle import Settled, find_doubtful, load_doubtful, settle_doubts
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.subscriber import Subscription

pytestmark = pytest.mark.anyio
ALICE, BOB, LILEI = "alice@example.com", "bob@example.com", "lilei@xn--fsqu00a.xn--4rr70v"
DAY, TWO_DAYS = timedelta(days=1), timedelta(days=2)


async def held(world: World, address: str = ALICE, /, **values: object) -> int:
    """A mail that waits for a person; its window counts as mailed."""
    (delivery_id,) = await world.add(
        address, **{"state": S.HELD, "doubts": 1, "reason": "no reply", **values}
    )
    _, subscription = await world.person(address)
    await world.change(Subscription, subscription.id, cursor=20)
    return delivery_id


async def settle(world: World, how: Settling, *ids: int) -> Settled:
    async with world.database.write() as session:
        return await settle_doubts(
            session, how, ids, NOW, digests_expire_after=DAY, notices_expire_after=TWO_DAYS
        )


async def another(world: World, delivery_id: int, state: S, cut_seq: int = 30) -> int:
    """A later edition's mail to the same person."""
    first = await world.row(delivery_id)
    edition_id, cohort_id = await world.add_edition(f"edition up to {cut_seq}")
    async with world.database.write() as session:
        later = Delivery(
            edition_id=edition_id,
            cohort_id=cohort_id,
            subscriber_id=first.subscriber_id,
            subscription_id=first.subscription_id,
            from_seq=first.cut_seq,
            cut_seq=cut_seq,
            state=state,
            doubts=1,
            next_at=NOW,
            expires_at=NOW + DAY,
            changed_at=NOW,
        )
        session.add(later)
        await session.flush()
        return later.id or 0


async def test_mail_in_doubt_is_listed_with_its_address_and_reason(world: World) -> None:
    carried = await held(world, LILEI, state=S.UNCERTAIN, relay="main")
    await world.add(BOB, state=S.SENT)
    waiting = await held(world)
    notice = await world.add_notice("carol@example.com", state=S.HELD)
    async with world.database.read() as session:
        found = await load_doubtful(session, 10)
        ours = await load_doubtful(session, 10, world.edition_id)
        assert [one.id for one in await load_doubtful(session, 1)] == [notice]
        assert await find_doubtful(session, Settling.AGAIN) == [notice, waiting, carried]
        assert await find_doubtful(session, Settling.CARRY, world.edition_id) == [waiting]
    assert [one.id for one in found] == [notice, waiting, carried]
    assert [one.id for one in ours] == [waiting, carried]
    assert (found[1].address, found[1].reason, found[1].since) == (ALICE, "no reply", NOW)
    assert (found[2].address, found[2].relay, found[2].doubts) == (LILEI, "main", 1)


async def test_what_arrived_is_sent_and_not_sent_again(world: World) -> None:
    delivery_id = await held(world)
    settled = await settle(world, Settling.ARRIVED, delivery_id, 999)
    assert settled == Settled([delivery_id], {999: "there is no such mail"})
    row = await world.row(delivery_id)
    assert (row.state, row.reason) == (S.SENT, "arrived, the operator says; before: no reply")
    assert (await settle(world, Settling.AGAIN, delivery_id)).done == []
    assert await world.cursor(ALICE) == 20


async def test_what_was_carried_and_arrived_does_not_come_in_the_next_digest(world: World) -> None:
    (delivery_id,) = await world.add(ALICE, state=S.UNCERTAIN, doubts=1)
    await settle(world, Settling.ARRIVED, delivery_id)
    assert await world.cursor(ALICE) == 20


async def test_what_goes_again_goes_once(world: World) -> None:
    delivery_id = await held(world)
    await world.change(Edition, world.edition_id, state=EditionState.DONE, done_at=NOW)
    assert (await settle(world, Settling.AGAIN, delivery_id)).done == [delivery_id]
    assert (await settle(world, Settling.AGAIN, delivery_id)).done == []
    assert await world.cursor(ALICE) == 10  # should it be refused, its articles come next time
    relay = FakeRelay()
    async with world.sender(relay) as sender:
        await sender.drain()
        await sender.drain()
    assert relay.recipients() == [ALICE]
    assert (await world.row(delivery_id)).state is S.SENT
    assert await world.cursor(ALICE) == 20


async def test_what_goes_again_is_the_same_mail_and_opens_its_edition(world: World) -> None:
    fixed = {"date_at": NOW - DAY, "address": "old@example.com", "signed_with": "s1"}
    delivery_id = await held(world, **fixed)
    await world.change(Edition, world.edition_id, state=EditionState.DONE, done_at=NOW)
    await settle(world, Settling.AGAIN, delivery_id)
    row = await world.row(delivery_id)
    assert (row.state, row.doubts, row.next_at, row.expires_at) == (S.PENDING, 1, NOW, NOW + DAY)
    assert {name: getattr(row, name) for name in fixed} == fixed
    async with world.database.read() as session:
        edition = await session.get_one(Edition, world.edition_id)
    assert (edition.state, edition.done_at) == (EditionState.SENDING, None)


async def test_a_notice_that_goes_again_lives_as_long_as_a_notice(world: World) -> None:
    notice = await world.add_notice(BOB, state=S.HELD, doubts=1)
    assert (await settle(world, Settling.AGAIN, notice)).done == [notice]
    assert (await world.row(notice)).expires_at == NOW + TWO_DAYS


async def test_it_stays_held_while_another_mail_to_the_person_is_under_way(world: World) -> None:
    delivery_id = await held(world)
    await another(world, delivery_id, S.PENDING)
    settled = await settle(world, Settling.AGAIN, delivery_id)
    assert settled.left_out == {delivery_id: "another mail to the same person is under way"}
    assert (await world.row(delivery_id)).state is S.HELD


async def test_of_two_held_mails_to_a_person_one_goes_again_at_a_time(world: World) -> None:
    first = await held(world)
    second = await another(world, first, S.HELD)
    settled = await settle(world, Settling.AGAIN, first, second)
    assert settled == Settled([second], {first: "another mail to the same person is under way"})
    await world.change(Delivery, second, state=S.SENT)
    assert (await settle(world, Settling.AGAIN, first)).done == [first]


async def test_what_is_carried_comes_in_the_next_digest(world: World) -> None:
    delivery_id = await held(world)
    assert (await settle(world, Settling.CARRY, delivery_id)).done == [delivery_id]
    assert await world.cursor(ALICE) == 10
    row = await world.row(delivery_id)
    assert (row.state, row.reason) == (
        S.UNCERTAIN,
        "not repeated, as the operator says; before: no reply",
    )


async def test_held_mails_of_a_person_are_carried_together_from_the_newest_back(
    world: World,
) -> None:
    first = await held(world)
    second = await another(world, first, S.HELD)
    _, subscription = await world.person(ALICE)
    await world.change(Subscription, subscription.id, cursor=30)
    assert (await settle(world, Settling.CARRY, first)).done == []
    assert (await settle(world, Settling.CARRY, first, second)).done == [second, first]
    assert await world.cursor(ALICE) == 10


async def test_of_two_that_were_carried_and_arrived_the_later_counts(world: World) -> None:
    (first,) = await world.add(ALICE, state=S.UNCERTAIN, doubts=1)
    second = await another(world, first, S.UNCERTAIN)
    await world.change(Delivery, second, from_seq=10)
    await settle(world, Settling.ARRIVED, first, second)
    assert await world.cursor(ALICE) == 30


@only_postgresql
async def test_who_is_being_composed_for_is_told_to_be_busy(world: World) -> None:
    delivery_id = await held(world)
    async with world.database.write() as composer:
        await composer.execute(select(col(Subscription.id)).with_for_update())
        settled = await settle(world, Settling.CARRY, delivery_id)
    assert settled.left_out == {delivery_id: "being changed at this moment; say it again"}
    assert (await settle(world, Settling.CARRY, delivery_id)).done == [delivery_id]
