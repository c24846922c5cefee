"""What a dead worker held is taken back: the unsent silently, the doubtful by policy."""

from datetime import timedelta
from typing import Any

import pytest
from delivery_world import NOW, FakeRelay, World, only_postgresql, only_sqlite
from sqlalchemy import update
from sqlmodel import col

from feedsvc.deliveries.claim import claim_batch
from feedsvc.deliveries.outcomes import CRASHES_ALONE, SUSPECT
from feedsvc.deliveries.sender import Recovered
from feedsvc.model.delivery import Delivery, DeliveryState, Worker

pytestmark = pytest.mark.anyio
S = DeliveryState
ALICE, CAROL = "alice@example.com", "carol@example.com"
LONG_AGO = NOW - timedelta(days=400)


async def leave(
    world: World, worker: str | None, state: S, *people: str, **changes: Any
) -> list[int]:
    """Rows as a worker leaves them that dies; `worker` row included."""
    if worker is not None:
        async with world.database.write() as session:
            row = Worker(id=worker, node="n", started_at=LONG_AGO, heartbeat_at=LONG_AGO)
            session.add(row)
            await session.flush()
    fixed = {"date_at": NOW, "address": people[0]} if state is S.DOT else {}
    values = fixed | {"state": state, "worker": worker or "nobody", "attempt": 1} | changes
    return await world.add(*people, **values)


async def test_claimed_rows_of_a_dead_worker_wait_again_and_are_sent_once(
    world: World, relay: FakeRelay
) -> None:
    people = [f"p{number}@example.com" for number in range(5)]
    await leave(world, "dead", S.CLAIMED, *people)
    async with world.sender(relay) as sender:
        assert await sender.recover() == Recovered(unsent=5)
        assert await sender.recover() == Recovered()
        rows = await world.rows()
        assert {(row.state, row.worker, row.doubts) for row in rows} == {(S.PENDING, None, 0)}
        assert await sender.drain() == 5
    assert sorted(relay.recipients()) == people


@pytest.mark.parametrize(
    ("policy", "state", "cursor"),
    [("carry", S.UNCERTAIN, 10), ("resend", S.PENDING, 10), ("hold", S.HELD, 20)],
)
async def test_dotted_rows_of_a_dead_worker_end_as_the_policy_says(
    world: World, relay: FakeRelay, policy: str, state: S, cursor: int
) -> None:
    (delivery,) = await leave(world, "dead", S.DOT, ALICE)
    async with world.sender(relay, uncertain_digests=policy) as sender:
        assert await sender.recover() == Recovered(in_doubt=1)
    row = await world.row(delivery)
    assert (row.state, row.doubts, row.worker) == (state, 1, None)
    assert "the sender died before a reply came" in (row.reason or "")
    assert await world.cursor(ALICE) == cursor


async def test_a_resent_mail_keeps_its_date_and_address(world: World, relay: FakeRelay) -> None:
    first = NOW - timedelta(minutes=7)
    await leave(world, "dead", S.DOT, ALICE, date_at=first, address="alice.old@example.com")
    async with world.sender(relay, uncertain_digests="resend") as sender:
        await sender.recover()
        assert await sender.drain() == 1
    ((recipient, message),) = relay.taken
    assert recipient == "alice.old@example.com"
    assert b"Date: Sun, 22 Nov 2026 05:53:00 +0000" in message


async def test_rows_of_a_worker_that_nobody_knows_are_taken_back(
    world: World, relay: FakeRelay
) -> None:
    await leave(world, None, S.CLAIMED, ALICE)
    async with world.sender(relay) as sender:
        assert (await sender.recover()).total == 1


@only_postgresql
async def test_a_living_worker_keeps_its_rows(world: World, relay: FakeRelay) -> None:
    await world.add(ALICE, CAROL)
    async with world.sender(relay) as other, world.sender(relay) as sender:
        await world.change(Delivery, 1, state=S.CLAIMED, worker=other.worker.id, attempt=1)
        assert await sender.recover() == Recovered()
        assert (await world.row(1)).worker == other.worker.id


@only_sqlite
async def test_on_sqlite_every_other_worker_is_dead_at_once(world: World, relay: FakeRelay) -> None:
    async with world.sender(relay) as other:
        await world.add(ALICE, state=S.CLAIMED, worker=other.worker.id, attempt=1)
        async with world.sender(relay) as sender:
            assert await sender.recover() == Recovered(unsent=1)


async def test_our_own_rows_are_not_taken_back_from_us(world: World, relay: FakeRelay) -> None:
    async with world.sender(relay) as sender:
        await world.add(ALICE, state=S.CLAIMED, worker=sender.worker.id, attempt=1)
        assert await sender.recover() == Recovered()


async def test_of_many_rows_none_is_to_blame(world: World, relay: FakeRelay) -> None:
    await leave(world, "dead", S.CLAIMED, ALICE, CAROL, crashes=SUSPECT)
    await leave(world, "dead-2", S.CLAIMED, "bob@example.com", crashes=SUSPECT)
    async with world.sender(relay) as sender:
        await sender.recover()
    assert [row.crashes for row in await world.rows()] == [SUSPECT, SUSPECT, SUSPECT + 1]


async def test_dead_workers_are_forgotten(world: World, relay: FakeRelay) -> None:
    await leave(world, "dead", S.CLAIMED, ALICE)
    async with world.sender(relay) as sender:
        await sender.recover()
        async with world.database.read() as session:
            assert await session.get(Worker, "dead") is None
            assert await session.get(Worker, sender.worker.id) is not None


@only_sqlite
async def test_many_rows_are_taken_back(world: World, relay: FakeRelay) -> None:
    people = [f"p{number}@example.com" for number in range(1100)]
    await leave(world, "dead", S.CLAIMED, *people)
    async with world.sender(relay) as sender:
        assert await sender.recover() == Recovered(unsent=1100)
    assert all(row.crashes == SUSPECT for row in await world.rows())


@only_sqlite
async def test_a_mail_that_kills_its_worker_is_set_aside_and_the_others_are_sent(
    world: World, relay: FakeRelay
) -> None:
    """Each round a worker claims as usual and dies as soon as it holds the poison."""
    people = [f"p{number}@example.com" for number in range(12)]
    (poison, *_) = await world.add(CAROL, *people)
    deaths = 0

    for _ in range(40):
        async with world.sender(relay) as sender:
            await sender.recover()
        worker = f"dead-{deaths}"
        async with world.database.write() as session:
            session.add(Worker(id=worker, node="n", started_at=LONG_AGO, heartbeat_at=LONG_AGO))
            await session.flush()
        async with world.database.write() as session:
            batch = await claim_batch(session, worker, world.clock.now, 200)
        if not batch.looked_at:
            break
        if poison in [claim.id for claim in batch.claims]:
            deaths += 1
            continue
        async with world.database.write() as session:
            # This worker survives: its rows are sent by the ordinary way.
            ids = [claim.id for claim in batch.claims]
            await session.execute(
                update(Delivery).where(col(Delivery.id).in_(ids)).values(state=S.SENT, worker=None)
            )
    row = await world.row(poison)
    assert row.state is S.FAILED
    assert row.reason == "set aside after 3 crashes with this mail alone in hand"
    assert deaths == 1 + CRASHES_ALONE
    assert await world.states() == {S.SENT: 12, S.FAILED: 1}


@only_postgresql
async def test_a_late_answer_of_a_buried_worker_changes_nothing(
    world: World, relay: FakeRelay
) -> None:
    (delivery,) = await world.add(ALICE)

    async def bury(_recipient: str) -> None:
        row = await world.row(delivery)
        await world.change(Worker, row.worker, heartbeat_at=LONG_AGO)
        async with world.sender(FakeRelay(), uncertain_digests="hold") as rescuer:
            assert await rescuer.recover() == Recovered(in_doubt=1)

    relay.after_permit = bury
    async with world.sender(relay) as sender:
        assert await sender.drain() == 1
        row = await world.row(delivery)
        assert row.state is S.HELD
        buried = sender.worker.id
        await world.add(CAROL)
        relay.after_permit = None
        world.clock.forward(seconds=6)
        assert await sender.drain() == 1
        assert sender.worker.id != buried
    assert relay.recipients() == [ALICE, CAROL]
