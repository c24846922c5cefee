"""What is stopped because so much of it is refused: at once in memory, and durably."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import Database
from feedsvc.deliveries.breaker import Trip
from feedsvc.deliveries.throttles import Throttles
from feedsvc.errors import DatabaseUnavailable, EditionOver, NotFound
from feedsvc.model.throttle import ThrottleKind

log = structlog.get_logger()

#: Stops an edition: id, reason, and when. Whether it was to be stopped.
PauseEdition = Callable[[AsyncSession, int, str, datetime], Awaitable[bool]]


class Trips:
    """Writes trips down; while the database is away they are kept, and nothing is to be claimed."""

    def __init__(
        self,
        database: Database,
        pause_edition: PauseEdition,
        throttles: Throttles,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._pause_edition = database, pause_edition
        self._throttles, self._clock = throttles, clock
        #: Of editions that still go on, as far as the database knows.
        self._open: list[Trip] = []
        self._turn = asyncio.Lock()

    def note(self, trip: Trip) -> None:
        """So much is refused that going on would do harm; to be followed by `settle`."""
        if trip.provider is not None and trip.until is not None:
            kind = ThrottleKind.PROVIDER
            self._throttles.rest(kind, trip.provider, trip.until, trip.reason)
            _say(trip)
        if trip.edition_id is not None:
            self._open.append(trip)

    async def try_to_settle(self) -> None:
        """As `settle`, which is called again before anything is claimed."""
        with suppress(DatabaseUnavailable):
            await self.settle()
            if self._throttles.needs_saving:
                async with self._database.write() as session:
                    await self._throttles.save(session, self._clock())

    async def settle(self) -> None:
        """Stop the editions that are to be stopped, durably. Raises DatabaseUnavailable."""
        if not self._open:
            return
        async with self._turn:
            while self._open:
                trip, is_news = self._open[0], False
                with suppress(NotFound, EditionOver):
                    async with self._database.write() as session:
                        is_news = await self._pause_edition(
                            session, trip.edition_id or 0, trip.reason, self._clock()
                        )
                del self._open[0]
                if is_news:
                    _say(trip)


def _say(trip: Trip) -> None:
    log.error(
        "sending stopped",
        edition=trip.edition_id,
        provider=trip.provider,
        until=trip.until.isoformat() if trip.until else None,
        reason=trip.reason,
    )
