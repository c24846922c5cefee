"""Short write transactions for the hot path: scripts of constant statements, without the ORM.

A script is a generator: it yields a statement with its parameters, is sent the rows, and returns
what it came to. The same script runs in a session of either database; on SQLite it can also run
in one hop to a thread that owns one connection, where a session would take a dozen.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Executable, bindparam
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
#: A statement that is the same object every time, made with `given()` for what is given each time,
#: and its parameters by name. Values are those
#: of Python; what comes back from SQLite's own thread is as SQLite holds it: an instant is text.
Step = tuple[Executable, Mapping[str, Any]]
Rows = Sequence[Sequence[Any]]
Script = Generator[Step, Rows, T]

_DIALECT = sqlite.dialect(paramstyle="qmark")


def given(name: str) -> BindParameter[Any]:
    """A parameter of a statement in a script.

    QUIRK: without a value of its own, lists of constants beside it could not be written out.
    """
    return bindparam(name, None)


async def run_script(connection: AsyncConnection, script: Script[T]) -> T:
    """Run a script in a transaction that the caller opened and ends."""
    rows: Rows = ()
    first = True
    while True:
        try:
            statement, parameters = next(script) if first else script.send(rows)
        except StopIteration as done:
            result: T = done.value
            return result
        first = False
        answer = await connection.execute(statement, dict(parameters))
        rows = answer.all() if answer.returns_rows else ()


@dataclass(slots=True)
class _Order:
    """A script that waits for the thread, and whom to tell."""

    script: Script[Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


class SqliteJournal:
    """One connection in a thread of its own, made anew after every failure."""

    def __init__(self, path: Path, pragmas: Sequence[str]) -> None:
        self._path, self._pragmas = path, pragmas
        #: Of the present thread; each has its own, so that none takes what is another's.
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        #: Held while it is given something, so that nothing comes behind its end.
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._compiled: dict[Executable, tuple[str, Sequence[str], Mapping[str, Any]]] = {}

    async def run(self, script: Script[T]) -> T:
        """Run a script in a transaction of its own; committed to disk when this returns.

        A cancelled caller waits until the thread is through, so that transactions stay in order.

        Raises:
            sqlite3.Error: whatever SQLite has against it. After a failed commit it is unknown
                whether it is on disk.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._put(_Order(script, loop, done))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            while not done.done():
                with suppress(asyncio.CancelledError):  # once is enough
                    await asyncio.wait([done])
            raise

    def _put(self, order: _Order) -> None:
        with self._turn:
            if self._thread is None:
                self._orders = SimpleQueue()
                self._thread = threading.Thread(
                    target=self._work, args=(self._orders,), name="journal", daemon=True
                )
                self._thread.start()
            self._orders.put(order)

    def close(self) -> None:
        """End the thread, after what it has been given. May be called twice; the next script
        begins another.
        """
        with self._turn:
            thread, self._thread = self._thread, None
            self._orders.put(None)
        if thread is not None:
            thread.join()

    def _work(self, orders: SimpleQueue[_Order | None]) -> None:
        connection: sqlite3.Connection | None = None
        while (order := orders.get()) is not None:
            try:
                connection = connection or self._connect()
                result, error = self._transact(connection, order.script), None
            except BaseException as caught:
                result, error = None, caught
                # What it was in the middle of is rolled back, if it was not committed.
                _close(connection)
                connection = None
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                order.loop.call_soon_threadsafe(_tell, order.done, result, error)
            del order
        _close(connection)

    def _transact(self, connection: sqlite3.Connection, script: Script[Any]) -> Any:
        connection.execute("BEGIN IMMEDIATE")
        rows: Rows | None = None
        while True:
            try:
                statement, parameters = next(script) if rows is None else script.send(rows)
            except StopIteration as done:
                connection.execute("COMMIT")
                return done.value
            text, names, constants = self._compile(statement)
            values = [_bound(parameters, constants, name) for name in names]
            rows = connection.execute(text, values).fetchall()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            for pragma in self._pragmas:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _compile(self, statement: Executable) -> tuple[str, Sequence[str], Mapping[str, Any]]:
        found = self._compiled.get(statement)
        if found is None:
            found = self._compiled[statement] = _compile(statement)
        return found


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.rollback()  # closing does not, while somebody holds a statement of it
        connection.close()


def _compile(statement: Any) -> tuple[str, Sequence[str], Mapping[str, Any]]:
    """The text, the names of its parameters in order, and the values of those that have one."""
    made = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return made.string, made.positiontup or (), made.params


def _tell(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)


def _bound(parameters: Mapping[str, Any], constants: Mapping[str, Any], name: str) -> Any:
    value = parameters[name] if name in parameters else constants[name]
    return stored_instant(value) if isinstance(value, datetime) else value


def stored_instant(at: datetime) -> str:
    """An instant as SQLite holds it."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def read_instant(stored: str | datetime | None) -> datetime | None:
    """An instant, from what either database gives back for it."""
    if stored is None or isinstance(stored, datetime):
        return stored
    return datetime.fromisoformat(stored).replace(tzinfo=UTC)
