"""Who lives is told by the database's clock; who must stop, by one's own that never jumps."""

from datetime import UTC, datetime, timedelta

import pytest
from delivery_world import World, only_postgresql, only_sqlite

from feedsvc.db.engine import Database
from feedsvc.deliveries.workers import OwnWorker, fetch_database_time, load_dead_workers
from feedsvc.model.delivery import Worker

pytestmark = pytest.mark.anyio


def own(world: World, database: Database | None = None) -> OwnWorker:
    return OwnWorker(database or world.database, "node-1", 10, world.clock.monotonic)


async def dead(world: World, worker: OwnWorker, seconds: float | None) -> list[str]:
    async with world.database.read() as session:
        return await load_dead_workers(session, worker.id, seconds)


async def test_a_heartbeat_is_written_by_the_databases_clock(world: World) -> None:
    worker = own(world)
    await worker.register()
    world.clock.forward(days=400)  # our own clock has no say
    assert await worker.beat()
    async with world.database.read() as session:
        row = await session.get(Worker, worker.id)
        now = await fetch_database_time(session)
    assert row is not None
    assert timedelta(0) <= now - row.heartbeat_at < timedelta(seconds=60)
    assert abs(now - datetime.now(UTC)) < timedelta(hours=1)


async def test_a_worker_is_dead_when_its_heartbeat_is_old(world: World) -> None:
    worker, other = own(world), own(world)
    await worker.register()
    await other.register()
    assert await dead(world, worker, 10) == []
    async with world.database.read() as session:
        now = await fetch_database_time(session)
    await world.change(Worker, other.id, heartbeat_at=now - timedelta(seconds=11))
    assert await dead(world, worker, 10) == [other.id]
    assert await dead(world, worker, 600) == []
    assert await dead(world, worker, None) == [other.id]


@only_sqlite
async def test_where_a_lock_says_who_may_send_a_slow_disk_stops_nobody(world: World) -> None:
    worker = own(world)
    assert not worker.is_live
    await worker.register()
    world.clock.monotonic_seconds += 500
    assert worker.is_live
    async with world.database.write() as session:
        await session.delete(await session.get(Worker, worker.id))
    assert not await worker.beat()
    assert not worker.is_live


@only_postgresql
async def test_a_worker_stops_long_before_others_call_it_dead(world: World) -> None:
    worker = own(world)
    assert not worker.is_live
    await worker.register()
    world.clock.monotonic_seconds += 5
    assert worker.is_live
    world.clock.monotonic_seconds += 0.1
    assert not worker.is_live
    assert await worker.beat()
    assert worker.is_live


async def test_a_clock_that_jumps_kills_nobody(world: World) -> None:
    worker = own(world)
    await worker.register()
    world.clock.now += timedelta(days=40)
    assert worker.is_live
    world.clock.now -= timedelta(days=400)
    assert worker.is_live


async def test_a_buried_worker_knows_it_and_starts_again_under_another_id(world: World) -> None:
    worker = own(world)
    await worker.register()
    first = worker.id
    async with world.database.write() as session:
        await session.delete(await session.get(Worker, first))
        await session.flush()
    assert not await worker.beat()
    assert not worker.is_live
    await worker.revive()
    assert worker.is_live
    assert worker.id != first
