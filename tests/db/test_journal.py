"""Scripts in SQLite's own thread: each is committed whole or not at all, in the order given."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from feedsvc.db import engine
from feedsvc.db.engine import Database
from feedsvc.db.journal import Script, SqliteJournal
from feedsvc.errors import DatabaseUnavailable

pytestmark = pytest.mark.anyio
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

_INSERT = text("INSERT INTO note VALUES (:words)")
_WORDS = text("SELECT words FROM note ORDER BY rowid")
_BROKEN = text("INSERT INTO nowhere VALUES (1)")


def note(*words: str) -> Script[int]:
    for one in words:
        yield _INSERT, {"words": one}
    return len(words)


def read() -> Script[list[str]]:
    rows = yield _WORDS, {}
    return [row[0] for row in rows]


class Bomb(Exception):
    """Something in a script that nobody thought of."""


def note_and_fail(error: BaseException | None) -> Script[None]:
    yield _INSERT, {"words": "never"}
    if error is not None:
        raise error
    yield _BROKEN, {}


def note_when(told: threading.Event, words: str) -> Script[None]:
    """Holds the thread in the middle of its transaction."""
    yield _INSERT, {"words": words}
    assert told.wait(10)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE note (words TEXT NOT NULL CHECK (words <> 'bad'))")
    journal = SqliteJournal(path, ("busy_timeout=50", "synchronous=FULL"))
    yield journal
    await asyncio.to_thread(journal.close)


async def within(seconds: float, work: Any) -> Any:
    return await asyncio.wait_for(work, seconds)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (note_and_fail(None), sqlite3.OperationalError),
        (note_and_fail(Bomb()), Bomb),
        (note("never", "bad"), sqlite3.IntegrityError),
    ],
    ids=["statement", "script", "constraint"],
)
async def test_what_fails_in_the_middle_leaves_nothing_and_the_next_goes_on(
    journal: SqliteJournal, script: Script[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await within(10, journal.run(script))
    assert await within(10, journal.run(note("夜市", "二"))) == 2
    assert await within(10, journal.run(read())) == ["夜市", "二"]


async def test_a_script_without_a_statement_ends(journal: SqliteJournal) -> None:
    assert await within(10, journal.run(note())) == 0


async def test_a_lock_that_another_process_holds_is_an_error_and_then_none(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await within(10, journal.run(note("late")))
    other.execute("ROLLBACK")
    other.close()
    await within(10, journal.run(note("in time")))
    assert await within(10, journal.run(read())) == ["in time"]


async def test_a_commit_that_fails_is_told_and_leaves_nothing(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute(
            "CREATE TABLE child (id REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    journal = SqliteJournal(tmp_path / "journal.db", ("foreign_keys=ON",))

    def orphan() -> Script[None]:
        yield _INSERT, {"words": "never"}
        yield text("INSERT INTO child VALUES (7)"), {}

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await within(10, journal.run(orphan()))
    assert await within(10, journal.run(read())) == []
    await asyncio.to_thread(journal.close)


async def test_a_file_that_cannot_be_opened_is_opened_when_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "later" / "journal.db"
    journal = SqliteJournal(path, ())
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            await within(10, journal.run(note("x")))
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE note (words TEXT)")
    assert await within(10, journal.run(note("x"))) == 1
    await asyncio.to_thread(journal.close)


async def test_a_caller_that_is_cancelled_again_and_again_waits_for_the_thread(
    journal: SqliteJournal,
) -> None:
    told = threading.Event()
    running = asyncio.create_task(journal.run(note_when(told, "one")))
    for _ in range(3):
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0)
        assert not running.done()
    told.set()
    with pytest.raises(asyncio.CancelledError):
        await within(10, running)
    assert await within(10, journal.run(read())) == ["one"]


@only_sqlite
async def test_a_cancelled_write_keeps_its_turn_until_it_is_through(database: Database) -> None:
    async with database.write() as session:
        await session.execute(text("CREATE TABLE IF NOT EXISTS note (words TEXT)"))
    told = threading.Event()
    first = asyncio.create_task(database.run(note_when(told, "first")))
    second = asyncio.create_task(database.run(note("second")))
    await asyncio.sleep(0)
    for _ in range(2):
        first.cancel()
        await asyncio.sleep(0)
    assert not second.done()
    told.set()
    await within(10, second)
    assert await within(10, database.run(read())) == ["first", "second"]


async def test_what_was_given_before_the_end_is_done_and_what_comes_after_it_too(
    journal: SqliteJournal,
) -> None:
    told = threading.Event()
    before = asyncio.create_task(journal.run(note_when(told, "before")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(journal.close))
    while journal._thread is not None:  # noqa: ASYNC110 - it has begun to close
        await asyncio.sleep(0)
    after = asyncio.create_task(journal.run(note("after")))
    told.set()
    await within(10, asyncio.gather(before, closing, after, return_exceptions=True))
    # Two connections at a time: whoever came second may have been refused, but was answered.
    assert before.exception() is None
    assert "before" in await within(10, journal.run(read()))


def test_a_loop_that_has_gone_is_told_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE note (words TEXT)")
    journal = SqliteJournal(path, ())
    told = threading.Event()
    loop = asyncio.new_event_loop()
    running = journal.run(note_when(told, "one"))
    loop.call_soon(lambda: running.send(None))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    told.set()
    journal.close()
    running.close()
    assert asyncio.run(journal.run(read())) == ["one"]
    journal.close()


@only_postgresql
async def test_a_server_that_does_not_answer_in_time_is_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_COMMAND_TIMEOUT_SECONDS", 0.2)
    database = Database(database_url)

    def dawdle() -> Script[None]:
        yield text("SELECT pg_sleep(30)"), {}

    with pytest.raises(DatabaseUnavailable, match="does not answer: TimeoutError"):
        await within(20, database.run(dawdle()))
    with pytest.raises(DatabaseUnavailable):
        await database.check()
    await within(10, database.run(read_one()))
    await database.check()
    await database.dispose()


def read_one() -> Script[int]:
    rows = yield text("SELECT 1"), {}
    return int(rows[0][0])


@only_postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)",
        "SET TRANSACTION READ ONLY; CREATE TABLE note (words TEXT)",
    ],
    ids=["ended from outside", "standby"],
)
async def test_a_server_that_will_take_it_later_counts_as_away(
    database: Database, statement: str
) -> None:
    first, second = statement.split("; ")

    def script() -> Script[None]:
        yield text(first), {}
        yield text(second), {}

    with pytest.raises(DatabaseUnavailable):
        await within(10, database.run(script()))


@only_sqlite
async def test_a_file_that_may_only_be_read_counts_as_away(database: Database) -> None:
    async with database.write() as session:
        await session.execute(text("CREATE TABLE IF NOT EXISTS note (words TEXT)"))

    def script() -> Script[None]:
        yield text("PRAGMA query_only=ON"), {}
        yield _INSERT, {"words": "x"}

    with pytest.raises(DatabaseUnavailable, match="readonly"):
        await within(10, database.run(script()))
    assert await within(10, database.run(note("x"))) == 1
