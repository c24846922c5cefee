"""Reads a SQLite file at once, in the thread that asks.

Beside the sessions of engine.py, for what is large, never changes once it is there, and is wanted
by work that runs in a thread anyway: nothing passes through an event loop or a mapper.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_BUSY_TIMEOUT_SECONDS = 10.0
#: So much of the file is read where the system has it, in place of page by page. QUIRK: a disk
#: that fails to give such a page ends the process (SIGBUS) where reading it would be an error.
_MAPPED_BYTES = 2**30


class DirectReader:
    """Connections that only read, outside of every transaction; any thread may use them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Each is used by one thread at a time.
        self._idle: list[sqlite3.Connection] = []

    def fetch(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows as SQLite holds them: an instant is text. Blocking.

        Raises:
            sqlite3.Error: whatever it has against it; around it, a transaction of the database
                says whether that is an outage.
        """
        connection = self._take()
        try:
            rows = connection.execute(statement, parameters).fetchall()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return rows

    def open(self) -> None:
        """Have a connection that knows the tables, so that the first read need not wait for it."""
        self.fetch("SELECT count(*) FROM sqlite_schema", ())

    def close(self) -> None:
        """Close all connections; the next read opens another."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=_BUSY_TIMEOUT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute(f"PRAGMA mmap_size={_MAPPED_BYTES}").close()
            return connection
