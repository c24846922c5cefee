"""A write that is cut off holds nothing: the next one need not wait for it."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from feedsvc.db import engine
from feedsvc.db.engine import Database
from feedsvc.db.journal import Script

pytestmark = pytest.mark.anyio

#: Takes a while, and gives rows while it does.
_SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
    " SELECT i FROM n",
    "postgresql": "SELECT i, pg_sleep(1) FROM generate_series(1, 3) i",
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing is freed by chance."""
    gc.disable()
    yield
    gc.enable()


def insert() -> Script[None]:
    yield text("INSERT INTO note VALUES (2)"), {}


@pytest.mark.parametrize("turns", [1, 30])
async def test_a_write_that_was_cut_off_holds_no_lock(
    database_url: str, no_collection: None, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr(engine, "_PRAGMAS", ("busy_timeout=2000", "synchronous=FULL"))
    database = Database(database_url)
    async with database.write() as session:
        await session.execute(text("CREATE TABLE IF NOT EXISTS note (number INTEGER)"))
        await session.execute(text("DELETE FROM note"))
    reading = asyncio.Event()

    async def work() -> Any:
        async with database.write() as session:
            await session.execute(text("INSERT INTO note VALUES (1)"))
            asyncio.get_running_loop().call_soon(reading.set)
            return (await session.execute(text(_SLOW[database.kind]))).all()

    task = asyncio.create_task(work())
    await reading.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    # The task, and with it the traceback, is held until the end of the test.
    await asyncio.wait([task])
    assert task.cancelled()
    await asyncio.wait_for(database.run(insert()), 20)
    async with database.read() as session:
        numbers = (await session.execute(text("SELECT number FROM note"))).scalars().all()
    assert numbers == [2]
    async with database.write() as session:
        await session.execute(text("DROP TABLE note"))
    await database.dispose()
