"""A person decides about mail that is held: it arrived, or it goes once more."""

from datetime import timedelta

import pytest
from delivery_world import NOW, FakeRelay, World

from feedsvc.deliveries.settle import load_held, send_again, settle_arrived
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S

pytestmark = pytest.mark.anyio
ALICE = "alice@example.com"
DAY = timedelta(days=1)


async def held(world: World) -> int:
    (delivery_id,) = await world.add(ALICE, state=S.HELD, doubts=1, reason="no reply")
    return delivery_id


async def test_held_mail_is_listed_with_its_address_and_reason(world: World) -> None:
    delivery_id = await held(world)
    async with world.database.read() as session:
        (found,) = await load_held(session, 10)
    assert (found.id, found.address, found.reason) == (delivery_id, ALICE, "no reply")


async def test_what_arrived_is_sent_and_not_sent_again(world: World) -> None:
    delivery_id = await held(world)
    async with world.database.write() as session:
        assert await settle_arrived(session, [delivery_id, 999], NOW) == 1
        assert await send_again(session, [delivery_id], NOW, DAY) == 0
    assert (await world.row(delivery_id)).state is S.SENT


async def test_what_goes_again_goes_once(world: World) -> None:
    delivery_id = await held(world)
    async with world.database.write() as session:
        assert await send_again(session, [delivery_id], NOW, DAY) == 1
        assert await send_again(session, [delivery_id], NOW, DAY) == 0
    relay = FakeRelay()
    async with world.sender(relay) as sender:
        await sender.drain()
        await sender.drain()
    assert relay.recipients() == [ALICE]
    assert (await world.row(delivery_id)).state is S.SENT


async def test_it_stays_held_while_another_mail_to_the_person_is_under_way(world: World) -> None:
    delivery_id = await held(world)
    first = await world.row(delivery_id)
    edition_id, cohort_id = await world.add_edition("2026-11-23T06:00Z")
    async with world.database.write() as session:
        session.add(
            Delivery(
                edition_id=edition_id,
                cohort_id=cohort_id,
                subscriber_id=first.subscriber_id,
                subscription_id=first.subscription_id,
                from_seq=20,
                cut_seq=30,
                next_at=NOW,
                expires_at=NOW + DAY,
                changed_at=NOW,
            )
        )
    async with world.database.write() as session:
        assert await send_again(session, [delivery_id], NOW, DAY) == 0
    assert (await world.row(delivery_id)).state is S.HELD
