"""Transactions keep what they promise on both databases."""

import asyncio

import pytest
from sqlalchemy import update
from sqlmodel import col

from feedsvc.db.engine import Database, after_commit
from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.article import Counter

pytestmark = pytest.mark.anyio


async def test_concurrent_writers_lose_no_update(database: Database) -> None:
    async with database.write() as session:
        session.add(Counter(name="n", value=0))

    async def add_one() -> None:
        async with database.write() as session:
            await session.execute(
                update(Counter).where(col(Counter.name) == "n").values(value=Counter.value + 1)
            )

    await asyncio.gather(*(add_one() for _ in range(40)))
    async with database.read() as session:
        counter = await session.get(Counter, "n")
        assert counter is not None
        assert counter.value == 40


async def test_what_follows_a_commit_runs_after_it_and_never_after_a_rollback(
    database: Database,
) -> None:
    done: list[str] = []
    async with database.write() as session:
        after_commit(session, lambda: done.append("kept"))
        assert done == []
    assert done == ["kept"]

    async def fail() -> None:
        async with database.write() as session:
            after_commit(session, lambda: done.append("never"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert done == ["kept"]


async def test_reading_keeps_nothing(database: Database) -> None:
    async with database.read() as session:
        session.add(Counter(name="n", value=1))
        await session.flush()
    async with database.read() as session:
        assert await session.get(Counter, "n") is None


async def test_an_unreachable_database_is_said_in_a_sentence() -> None:
    database = Database("postgresql://nobody:secret@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailable, match="does not answer") as raised:
        await database.check()
    assert "secret" not in str(raised.value)
    await database.dispose()
