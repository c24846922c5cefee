"""The database: one write and one read transaction at a time per need, on SQLite or PostgreSQL.

SQLite: WAL, `synchronous=FULL` (what was answered is on disk), `BEGIN IMMEDIATE` for writes, and
writers of this process queue in order instead of meeting at the busy timeout.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from feedsvc.db.direct import DirectReader
from feedsvc.db.journal import Script, SqliteJournal, run_script
from feedsvc.errors import DatabaseUnavailable

T = TypeVar("T")
AfterCommit = Callable[[], Awaitable[None] | None]
_AFTER = "after_commit"
_DIRECT = "direct_reader"
_BUSY_TIMEOUT_MS = 10_000
#: Of every connection that writes, besides WAL.
_PRAGMAS = (f"busy_timeout={_BUSY_TIMEOUT_MS}", "synchronous=FULL", "foreign_keys=ON")
#: A PostgreSQL that has not answered a statement by then is taken for gone.
_COMMAND_TIMEOUT_SECONDS = 120
_WAL_ATTEMPTS = 100
_WAL_PAUSE_SECONDS = 0.05


def driver_url(url: str, base: Path | None = None) -> URL:
    """The URL with our asynchronous driver; a relative SQLite path is taken below `base`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "feedsvc.db")
        if base is not None and not path.is_absolute():
            path = base / path
        return parsed.set(drivername="sqlite+aiosqlite", database=str(path))
    return parsed.set(drivername="postgresql+asyncpg")


def after_commit(session: AsyncSession, action: AfterCommit) -> None:
    """Run `action` once the session's transaction is on disk; never if it is rolled back."""
    session.info.setdefault(_AFTER, []).append(action)


def direct_reader(session: AsyncSession) -> DirectReader | None:
    """What reads the session's database at once, outside of its transaction; None on PostgreSQL.

    It sees what has been committed by the time it reads, and not what the session has written.
    """
    reader: DirectReader | None = session.info.get(_DIRECT)
    return reader


class Database:
    """Hands out transactions. Values go in and out of them; no transaction spans the network."""

    def __init__(self, url: str, base: Path | None = None) -> None:
        self.url = driver_url(url, base)
        self.kind: Literal["sqlite", "postgresql"] = (
            "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        )
        self._writer = asyncio.Lock()
        #: Why the last write failed; None once one has succeeded again.
        self._write_problem: str | None = None
        if self.kind == "sqlite":
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            self.engine = _sqlite_engine(self.url)
            self.read_engine = self.engine.execution_options(sqlite_begin="BEGIN")
            self.direct: DirectReader | None = DirectReader(Path(self.url.database or ""))
            self._journal: SqliteJournal | None = SqliteJournal(
                Path(self.url.database or ""), _PRAGMAS
            )
        else:
            self.engine = create_async_engine(
                self.url,
                pool_pre_ping=True,
                pool_size=10,
                hide_parameters=True,
                connect_args={"command_timeout": _COMMAND_TIMEOUT_SECONDS},
            )
            self.read_engine = self.engine
            self.direct = self._journal = None

    @property
    def path(self) -> Path | None:
        """The SQLite file; None on PostgreSQL."""
        return Path(self.url.database or "") if self.kind == "sqlite" else None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One write transaction: committed at the end of the block, rolled back by an exception.

        Raises:
            DatabaseUnavailable: the database does not answer. After a failed commit it is unknown
                whether the transaction is on disk: read again before deciding.
        """
        turn = self._writer if self.kind == "sqlite" else nullcontext()
        with self._noting_problems():
            async with turn, self._transaction(self.engine) as session:
                yield session
                after = session.info.pop(_AFTER, [])
                await session.commit()
        for action in after:
            result = action()
            if result is not None:
                await result

    async def run(self, script: Script[T]) -> T:
        """Run a script in a write transaction of its own: the short way, for the hot path.

        It waits for its turn among the writers of this process like any other.

        Raises:
            DatabaseUnavailable: as from `write`.
        """
        if self._journal is None:
            async with self.write() as session:
                return await run_script(await session.connection(), script)
        with self._noting_problems():
            async with self._writer:
                try:
                    return await self._journal.run(script)
                except (OSError, sqlite3.Error) as error:
                    if isinstance(error, OSError) or is_outage(error):
                        raise DatabaseUnavailable(self._outage_text(error)) from error
                    raise

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """One consistent view for reading; nothing done in it is kept, what was loaded stays."""
        async with self._transaction(self.read_engine) as session:
            yield session
            session.expunge_all()  # a rollback would empty the loaded rows
            await session.rollback()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        try:
            async with AsyncSession(engine, expire_on_commit=False, autoflush=False) as session:
                session.info[_DIRECT] = self.direct
                yield session
        except (OSError, DBAPIError, sqlite3.Error) as error:
            is_invalid = isinstance(error, DBAPIError) and error.connection_invalidated
            if isinstance(error, OSError) or is_invalid or is_outage(error):
                raise DatabaseUnavailable(self._outage_text(error)) from error
            raise

    def _outage_text(self, error: BaseException) -> str:
        said = str(getattr(error, "orig", None) or error).strip()
        # QUIRK: a time limit that passed says nothing at all.
        reason = said.splitlines()[0] if said else type(error).__name__
        url = self.url.set(drivername=self.kind).render_as_string()  # as the operator wrote it
        return f"the database {url} does not answer: {reason}"

    @contextmanager
    def _noting_problems(self) -> Iterator[None]:
        """Remember of a write whether it could be made."""
        try:
            yield
        except DatabaseUnavailable as error:
            self._write_problem = str(error)
            raise
        self._write_problem = None

    async def check(self) -> None:
        """Make sure the database answers, and that the last write to it did not fail.

        A full disk, or one that fails, can be read from as if nothing were the matter.

        Raises:
            DatabaseUnavailable: it does not answer, or did not take what was last written.
        """
        if self._write_problem is not None:
            raise DatabaseUnavailable(self._write_problem)
        async with self.read() as session:
            await session.execute(text("SELECT 1"))
            if self.direct is not None:
                await asyncio.to_thread(self.direct.open)

    async def dispose(self) -> None:
        """Close all connections."""
        if self.direct is not None:
            self.direct.close()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)
        await self.engine.dispose()


#: What asyncpg and sqlite3 call an outage, as against a mistake in a statement.
_OUTAGES = (
    "CannotConnectNowError",
    "ConnectionDoesNotExistError",
    "ConnectionRefusedError",
    "ConnectionError",
    "InterfaceError",
    "InvalidAuthorizationSpecificationError",
    "InvalidCatalogNameError",
    "InvalidPasswordError",
    "AdminShutdownError",
    "CrashShutdownError",
    "TooManyConnectionsError",
    "DiskFullError",
    "OutOfMemoryError",
    # A standby, until it is promoted.
    "ReadOnlySQLTransactionError",
    "attempt to write a readonly database",
    # Two transactions were in each other's way, or one was ended from outside: again, later.
    "DeadlockDetectedError",
    "SerializationError",
    "LockNotAvailableError",
    "QueryCanceledError",
    "unable to open database file",
    "disk I/O error",
    "database or disk is full",
    "database is locked",
    "file is not a database",
    "database disk image is malformed",
)


def is_outage(error: BaseException) -> bool:
    """Whether a driver's error says that the database is gone rather than that we erred."""
    orig = getattr(error, "orig", None)
    # SQLAlchemy keeps asyncpg's own error, which alone has the name, behind its own.
    seen = f"{error!r} {orig!r} {getattr(orig, '__cause__', None)!r}"
    return any(sign in seen for sign in _OUTAGES)


def _switch_to_wal(cursor: Any) -> None:
    """Have writers and readers go on beside one another; the file remembers it.

    QUIRK: while the mode changes, SQLite refuses others at once instead of having them wait, so
    processes that start together on a new file must try again.
    """
    for attempts_left in reversed(range(_WAL_ATTEMPTS)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or not attempts_left:
                raise
            time.sleep(_WAL_PAUSE_SECONDS)


class _SqliteConnection(sqlite3.Connection):
    """Ends its transaction when it is closed.

    QUIRK: SQLite lets a closed connection live on, with its transaction and its locks, as long as
    somebody holds a statement of it, as the traceback of a cancelled query does.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.rollback()
        super().close()


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(
        url,
        connect_args={"factory": _SqliteConnection},
        poolclass=AsyncAdaptedQueuePool,
        pool_size=8,
        hide_parameters=True,  # SECURITY: they hold addresses, and faults are logged
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _set_pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # our BEGIN, not the driver's
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        _switch_to_wal(cursor)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        options = connection.get_execution_options()
        connection.exec_driver_sql(options.get("sqlite_begin", "BEGIN IMMEDIATE"))

    return engine
