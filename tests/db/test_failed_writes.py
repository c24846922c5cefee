"""A database that can be read but not written is not well, and says so until it can be again."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from feedsvc.db.engine import Database
from feedsvc.db.journal import Script
from feedsvc.errors import DatabaseUnavailable

pytestmark = pytest.mark.anyio


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """Have this process's files grow no further, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def create() -> Script[None]:
    """A script that makes the table."""
    yield text("CREATE TABLE note (words TEXT)"), {}


def insert(words: str) -> Script[None]:
    """A script that notes some words."""
    yield text("INSERT INTO note VALUES (:words)"), {"words": words}


async def test_a_failed_write_of_the_short_way_is_told_until_one_succeeds(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'small.db'}")
    await database.run(create())
    with files_at_most(64 * 1024):
        with pytest.raises(DatabaseUnavailable, match="disk"):
            await database.run(insert("长" * 100_000))
        with pytest.raises(DatabaseUnavailable, match="disk"):
            await database.check()
    await database.run(insert("夜市"))
    await database.check()
    async with database.read() as session:
        assert (await session.execute(text("SELECT words FROM note"))).scalar_one() == "夜市"
    await database.dispose()


async def test_a_write_that_failed_is_told_until_one_succeeds(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'small.db'}")
    async with database.write() as session:
        await session.execute(text("CREATE TABLE note (words TEXT)"))
    await database.check()
    with files_at_most(64 * 1024):
        with pytest.raises(DatabaseUnavailable, match="disk"):
            async with database.write() as session:
                await session.execute(text("INSERT INTO note VALUES (hex(zeroblob(200000)))"))
        async with database.read() as session:
            assert (await session.execute(text("SELECT count(*) FROM note"))).scalar_one() == 0
        with pytest.raises(DatabaseUnavailable, match="disk"):
            await database.check()
    async with database.write() as session:
        await session.execute(text("INSERT INTO note VALUES ('夜市')"))
    await database.check()
    await database.dispose()
