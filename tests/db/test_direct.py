"""A SQLite file is read at once, by whichever thread asks, and shows what has been committed."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feedsvc.db.direct import DirectReader
from feedsvc.db.engine import Database, direct_reader
from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.article import Counter

pytestmark = pytest.mark.anyio
COUNT = "SELECT value FROM counter WHERE name = ?"


async def put(database: Database, name: str, value: int) -> None:
    async with database.write() as session:
        session.add(Counter(name=name, value=value))


async def test_only_sqlite_is_read_at_once(database: Database) -> None:
    async with database.read() as session:
        reader = direct_reader(session)
    assert (reader is None) == (database.kind == "postgresql")


async def test_what_is_committed_is_seen_and_nothing_else(database: Database) -> None:
    if database.direct is None:
        pytest.skip("PostgreSQL is read through sessions alone")
    await put(database, "北京", 1)
    assert database.direct.fetch(COUNT, ["北京"]) == [(1,)]
    async with database.write() as session:
        session.add(Counter(name="later", value=2))
        await session.flush()
        assert database.direct.fetch(COUNT, ["later"]) == []
    assert database.direct.fetch(COUNT, ["later"]) == [(2,)]


async def test_many_threads_read_beside_one_another(database: Database) -> None:
    if database.direct is None:
        pytest.skip("PostgreSQL is read through sessions alone")
    for number in range(20):
        await put(database, str(number), number)
    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(database.direct.fetch, COUNT, [str(n % 20)]) for n in range(400)]
        assert [read.result() for read in reads] == [[(n % 20,)] for n in range(400)]


async def test_it_reads_again_after_it_was_closed(database: Database) -> None:
    if database.direct is None:
        pytest.skip("PostgreSQL is read through sessions alone")
    await put(database, "n", 1)
    await database.check()
    await database.dispose()
    assert database.direct.fetch(COUNT, ["n"]) == [(1,)]


async def test_it_cannot_write(database: Database) -> None:
    if database.direct is None:
        pytest.skip("PostgreSQL is read through sessions alone")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.direct.fetch("DELETE FROM counter", ())


async def test_a_damaged_file_is_an_outage_and_a_wrong_statement_is_not(tmp_path: Path) -> None:
    whole = Database(f"sqlite:///{tmp_path / 'whole.db'}")
    damaged, missing = tmp_path / "damaged?#.db", tmp_path / "missing.db"
    damaged.write_bytes(b"no database at all" * 1000)

    await whole.check()

    async def read(path: Path, statement: str) -> None:
        async with whole.read():
            DirectReader(path).fetch(statement, ())

    with pytest.raises(DatabaseUnavailable, match="not a database"):
        await read(damaged, "SELECT count(*) FROM sqlite_schema")
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        await read(missing, "SELECT 1")
    assert not missing.exists()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await read(tmp_path / "whole.db", "SELECT 1 FROM nobody")
    await whole.dispose()
