"""Counting deliveries: exact, of one moment, and without looking at what has been sent."""

from datetime import timedelta

import pytest
from delivery_world import NOW, World, only_sqlite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, text

from feedsvc.deliveries.totals import Queue, _counting, edition_totals, load_queue, load_totals
from feedsvc.model.delivery import Delivery
from feedsvc.model.delivery import DeliveryState as S
from feedsvc.model.edition import Edition
from feedsvc.model.edition import EditionState as E

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)
ON_THEIR_WAY = {S.CLAIMED: "w", S.DOT: "w"}


async def add(world: World, state: S, number: int, **values: object) -> None:
    address = f"reader{number}@example.com"
    await world.add(address, state=state, worker=ON_THEIR_WAY.get(state), **values)


async def test_every_state_is_counted(world: World) -> None:
    other = await world.add_edition("2026-11-23T06:00Z")
    for number, state in enumerate(S):
        await add(world, state, number)
        await add(world, state, 100 + number, edition=other)
    await add(world, S.SENT, 50)
    await world.add_notice("bob@example.com")
    async with world.database.read() as session:
        assert await edition_totals(session, world.edition_id) == {
            **dict.fromkeys(S, 1),
            S.SENT: 2,
        }
        found = await load_totals(session, [world.edition_id, other[0], 999])
        assert found.keys() == {world.edition_id, other[0]}
        assert found[other[0]] == dict.fromkeys(S, 1)
        assert await edition_totals(session, 999) == {}


@given(st.lists(st.sampled_from(S), max_size=12))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_what_is_derived_is_what_there_is(world: World, states: list[S]) -> None:
    async with world.database.write() as session:
        await session.execute(delete(Delivery))
        await session.execute(text("DELETE FROM subscription"))
        await session.execute(text("DELETE FROM subscriber"))
    for number, state in enumerate(states):
        await add(world, state, number)
    async with world.database.read() as session:
        totals = await edition_totals(session, world.edition_id)
    assert totals == {state: states.count(state) for state in S if state in states}


@only_sqlite
async def test_the_rows_of_mails_that_were_sent_are_not_looked_at(world: World) -> None:
    """By SQLite's own word: each count uses an index that holds all it needs."""
    engine = world.database.engine.sync_engine
    statement = _counting([1]).compile(engine, compile_kwargs={"literal_binds": True})
    async with world.database.read() as session:
        plan = (await session.execute(text(f"EXPLAIN QUERY PLAN {statement}"))).all()
    looks = [row[3] for row in plan if "delivery" in row[3]]
    assert len(looks) == 11
    allowed = ("ix_delivery_open", "ix_delivery_troubled", "ix_delivery_worker", "COVERING INDEX")
    assert [look for look in looks if not any(name in look for name in allowed)] == []


async def test_the_queue_tells_what_waits(world: World) -> None:
    paused = await world.add_edition("p", E.PAUSED)
    await world.add_edition("d", E.DONE)
    await add(world, S.PENDING, 1, next_at=NOW - HOUR)
    await add(world, S.DEFERRED, 2, next_at=NOW + HOUR)
    await add(world, S.CLAIMED, 3, next_at=NOW - 3 * HOUR)
    await add(world, S.HELD, 4)
    await add(world, S.PENDING, 5, edition=paused, next_at=NOW - 9 * HOUR)
    await world.add_notice("bob@example.com", next_at=NOW - 2 * HOUR)
    await world.add_notice("carol@example.com", state=S.UNCERTAIN)
    async with world.database.read() as session:
        queue = await load_queue(session, NOW)
        assert queue == Queue(
            editions={E.SENDING: 1, E.PAUSED: 1},
            digests_waiting={E.SENDING: 2, E.PAUSED: 1},
            notices_waiting=1,
            in_doubt={S.HELD: 1, S.UNCERTAIN: 1},
            oldest_due_at=NOW - 2 * HOUR,
        )
        earlier = await load_queue(session, NOW - 5 * HOUR)
    assert earlier.oldest_due_at is None  # a clock that was set back has nothing due


async def test_an_empty_queue_is_told_as_empty(world: World) -> None:
    await world.change(Edition, world.edition_id, state=E.DONE)
    async with world.database.read() as session:
        assert await load_queue(session, NOW) == Queue()
