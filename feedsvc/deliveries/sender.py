"""The sender: one worker of this process, its heartbeat, its committer, and its drains."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from feedsvc.config import SendingSettings
from feedsvc.db.engine import Database
from feedsvc.deliveries.claim import has_due
from feedsvc.deliveries.committer import Committer
from feedsvc.deliveries.drain import Drain
from feedsvc.deliveries.means import Build, Means, Prepare
from feedsvc.deliveries.outcomes import Policy
from feedsvc.deliveries.recover import Recovered, recover_dead, release_own
from feedsvc.deliveries.retry import next_pause
from feedsvc.deliveries.workers import OwnWorker
from feedsvc.errors import DatabaseUnavailable, RelayUnavailable
from feedsvc.kit.replies import hide_addresses
from feedsvc.model.relay import Relay, RelayConnection

__all__ = ["Build", "Prepare", "Recovered", "Sender"]

log = structlog.get_logger()

#: How long a stop waits for a database that is away.
_PATIENCE_SECONDS = 10.0


class Sender:
    """Sends what is due. On SQLite the caller holds the sender lock, so every other worker is dead.

    `relay_problem` says why the last drain found no relay, and `paused_until` when to try again;
    both are None when all is well. A drain before that time does nothing.
    """

    def __init__(
        self,
        database: Database,
        relay: Relay,
        prepare: Prepare,
        settings: SendingSettings,
        clock: Callable[[], datetime],
        node: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.relay_problem: str | None = None
        self.paused_until: datetime | None = None
        self._database, self._clock, self._monotonic = database, clock, monotonic
        self._policy = Policy.of(settings)
        timeout = settings.heartbeat_timeout_seconds
        self.worker = OwnWorker(database, node, timeout, monotonic)
        committer = Committer(database, self.worker, relay.name, clock)
        self._means = Means(database, relay, prepare, self._policy, clock, self.worker, committer)
        self._lock = asyncio.Lock()
        self._drain: Drain | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._failures = 0
        self._paused_until_monotonic = 0.0
        #: Rows may be in our name that we do not hold: a drain was cut, or a commit is unknown.
        self._has_leftovers = False

    async def start(self) -> None:
        """Register the worker and begin its heartbeat. Raises DatabaseUnavailable."""
        await self.worker.register()
        self._tasks = [
            asyncio.create_task(self.worker.keep_beating(), name="heartbeat"),
            asyncio.create_task(self._means.committer.run(), name="committer"),
        ]

    async def recover(self) -> Recovered:
        """Take back what dead workers held. Raises DatabaseUnavailable. May run at any time."""
        timeout = None if self._database.kind == "sqlite" else self.worker.timeout_seconds
        total = Recovered()
        while True:
            async with self._database.write() as session:
                recovered = await recover_dead(
                    session, self.worker.id, timeout, self._clock(), self._policy
                )
            if not recovered.total:
                return total
            total += recovered

    async def drain(self, stop: asyncio.Event | None = None) -> int:
        """Send until nothing is due; how many mails the relay took.

        One at a time: a second call makes the first look again, then runs after it. `stop` lets
        what is on the wire finish and gives the rest back. When it returns, nothing is left in
        our hands, unless the database was away while stopping.

        Raises:
            DatabaseUnavailable: the database is away; call again later.
        """
        if self._drain is not None:
            self._drain.nudge()
        async with self._lock:
            if self._monotonic() < self._paused_until_monotonic or (stop and stop.is_set()):
                return 0
            await self._clear_hands()
            async with self._database.read() as session:
                if not await has_due(session, self._clock()):
                    return 0
            try:
                connection = await self._means.relay.open()
            except RelayUnavailable as error:
                self._pause(error.reason)
                return 0
            return await self._run(connection, stop)

    async def close(self) -> None:
        """Leave: write down what can be, give back what is ours, remove the worker.

        End the drain before. Does not raise when the database is away: recovery does the rest.
        """
        async with self._lock:
            try:
                await asyncio.wait_for(self._means.committer.flush(), _PATIENCE_SECONDS)
            except TimeoutError:
                log.warning("leaving with results that could not be written")
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks = []
            with suppress(DatabaseUnavailable):
                self._has_leftovers = True
                await self._release_leftovers()
                await self.worker.remove()

    async def _run(self, connection: RelayConnection, stop: asyncio.Event | None) -> int:
        drain = self._drain = Drain(self._means)
        watcher = asyncio.create_task(_end_when(stop, drain)) if stop else None
        self._has_leftovers = True
        try:
            await drain.run(connection)
        finally:
            self._drain = None
            if watcher is not None:
                watcher.cancel()
        await self._flush(stop)
        if drain.accepted or not drain.is_relay_down:
            self._failures, self.relay_problem, self.paused_until = 0, None, None
        if drain.is_relay_down:
            self._pause(drain.relay_problem)
        return drain.accepted

    async def _flush(self, stop: asyncio.Event | None) -> None:
        """Wait for the results to be on disk; when stopping, not for ever."""
        flushing = asyncio.create_task(self._means.committer.flush())
        stopping = asyncio.create_task(stop.wait()) if stop else None
        try:
            waiting = [task for task in (flushing, stopping) if task is not None]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not flushing.done():
                await asyncio.wait([flushing], timeout=_PATIENCE_SECONDS)
            self._has_leftovers = not flushing.done()
        finally:
            for task in (flushing, stopping):
                if task is not None:
                    task.cancel()

    async def _clear_hands(self) -> None:
        """Before a drain: be alive, and hold nothing. Raises DatabaseUnavailable."""
        try:
            await asyncio.wait_for(self._means.committer.flush(), _PATIENCE_SECONDS)
        except TimeoutError as error:
            problem = self._means.committer.problem
            raise DatabaseUnavailable(f"results cannot be written: {problem}") from error
        await self._release_leftovers()
        await self.worker.revive()

    async def _release_leftovers(self) -> None:
        if self._has_leftovers:
            async with self._database.write() as session:
                await release_own(session, self.worker.id, self._clock(), self._policy)
            self._has_leftovers = False

    def _pause(self, problem: str) -> None:
        """Leave the relay alone for a while, longer each time it fails again."""
        self._failures += 1
        pause = next_pause(self._failures)
        self.relay_problem = problem
        self.paused_until = self._clock() + pause
        self._paused_until_monotonic = self._monotonic() + pause.total_seconds()
        log.warning(
            "relay paused",
            relay=self._means.relay.name,
            problem=hide_addresses(problem),
            pause_s=pause / timedelta(seconds=1),
        )


async def _end_when(stop: asyncio.Event, drain: Drain) -> None:
    await stop.wait()
    drain.end()
