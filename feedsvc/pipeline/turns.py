"""Many writes in a row that leave room for others: who else writes waits for a moment, not for all.

QUIRK: whoever finds an SQLite file locked asks again after 1, 2, 5, 10, 15, 20, then three times
25 ms, later seldom. A pause that is longer than 25 ms is met by one of those three; shorter ones,
however many, may all be missed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import Database

#: Seconds of writing after which there is a pause, and how long that is.
_WORK_SECONDS, _REST_SECONDS = 0.04, 0.027


class Turns:
    """Write transactions of one kind of work, one at a time, with pauses between them.

    On PostgreSQL, where writers do not wait for each other, all at once and without pauses.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._worked = 0.0

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """As Database.write, when it is one's turn."""
        if self._database.path is None:
            async with self._database.write() as session:
                yield session
            return
        loop = asyncio.get_running_loop()
        async with self._lock:
            async with self._database.write() as session:
                begin = loop.time()
                yield session
            self._worked += loop.time() - begin
            if self._worked >= _WORK_SECONDS:
                self._worked = 0.0
                await asyncio.sleep(_REST_SECONDS)
