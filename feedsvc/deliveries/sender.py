"""The sender: one worker of this process, its heartbeat, its committer, and its drains."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import count

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.config_sending import SendingSettings
from feedsvc.db.engine import Database
from feedsvc.deliveries.breaker import Breaker
from feedsvc.deliveries.committer import Committer
from feedsvc.deliveries.drain import Drain
from feedsvc.deliveries.due import has_due
from feedsvc.deliveries.lane import Lane, RelayState
from feedsvc.deliveries.mail_domains import MailDomains
from feedsvc.deliveries.making import THREADS
from feedsvc.deliveries.means import Build, Means, Prepare, Wait, wait_for_event
from feedsvc.deliveries.outcomes import Policy
from feedsvc.deliveries.recover import Recovered, recover_dead, release_own
from feedsvc.deliveries.route import Route
from feedsvc.deliveries.tally import SendTally
from feedsvc.deliveries.throttles import Throttles, Wish
from feedsvc.deliveries.trips import PauseEdition, Trips
from feedsvc.deliveries.workers import OwnWorker
from feedsvc.errors import DatabaseUnavailable

__all__ = ["Build", "Prepare", "Recovered", "RelayState", "Route", "Sender"]

log = structlog.get_logger()

#: How long a stop waits for a database that is away.
_PATIENCE_SECONDS = 10.0
_HOUSEKEEPING_SECONDS = 1.0
_BEATS_A_LESSON = 5


async def pause_nothing(_session: AsyncSession, _edition: int, _reason: str, _at: datetime) -> bool:
    """For whoever has no editions to pause."""
    return False


class Sender:
    """Sends what is due. On SQLite the caller holds the sender lock, so every other worker is dead.

    Args:
        routes: the relays, with their places among one another; at least one.
        carriers: newsletter -> names of the relays that may carry it; those left out go by any.
        pause_edition: stops an edition, with a reason.
        wait: how a drain waits for work.
    """

    def __init__(
        self,
        database: Database,
        routes: Sequence[Route],
        prepare: Prepare,
        settings: SendingSettings,
        clock: Callable[[], datetime],
        node: str,
        *,
        throttles: Throttles | None = None,
        carriers: Mapping[str, Collection[str]] | None = None,
        pause_edition: PauseEdition = pause_nothing,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Wait = wait_for_event,
    ) -> None:
        self._database, self._clock, self._monotonic = database, clock, monotonic
        self._policy = Policy.of(settings)
        throttles = throttles or Throttles({}, settings)
        timeout = settings.heartbeat_timeout_seconds
        self.worker = OwnWorker(database, node, timeout, monotonic)
        self._lanes = [Lane(route, clock, monotonic) for route in routes]
        self._means = Means(
            database=database,
            prepare=prepare,
            policy=self._policy,
            clock=clock,
            monotonic=monotonic,
            worker=self.worker,
            committer=Committer(database, self.worker, clock),
            throttles=throttles,
            domains=MailDomains(is_asking=settings.look_up_providers),
            breaker=Breaker(settings.breaker),
            tally=SendTally(),
            executor=ThreadPoolExecutor(THREADS, thread_name_prefix="messages"),
            carriers=carriers or {},
            trips=Trips(database, pause_edition, throttles, clock),
            wait=wait,
        )
        self._lock = asyncio.Lock()
        self._drain: Drain | None = None
        self._tasks: list[asyncio.Task[None]] = []
        #: Rows may be in our name that we do not hold: a drain was cut, or a commit is unknown.
        self._has_leftovers = False

    @property
    def tally(self) -> SendTally:
        """What came of the mails of this process."""
        return self._means.tally

    def relay_states(self) -> list[RelayState]:
        """How the relays stand."""
        return [lane.state() for lane in self._lanes]

    @property
    def relay_problem(self) -> str | None:
        """Why no mail can go; None when at least one relay can be tried."""
        if any(lane.is_up and lane.problem is None for lane in self._lanes):
            return None
        return next((lane.problem for lane in self._lanes if lane.problem), None)

    @property
    def paused_until(self) -> datetime | None:
        """When the first relay is tried again; None when one can be now."""
        if any(lane.is_up for lane in self._lanes):
            return None
        return min(lane.paused_until for lane in self._lanes if lane.paused_until)

    async def start(self) -> None:
        """Register the worker and begin its heartbeat. Raises DatabaseUnavailable."""
        async with self._database.read() as session:
            await self._means.throttles.load(session)
            await self._means.domains.load(session)
        await self.worker.register()  # last: a start that fails leaves nothing
        self._tasks = [
            asyncio.create_task(self.worker.keep_beating(), name="heartbeat"),
            asyncio.create_task(self._means.committer.run(), name="committer"),
            asyncio.create_task(self._keep_house(), name="housekeeping"),
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
            # Not begun: another process has the right to send.
            if not self._tasks or not any(lane.is_up for lane in self._lanes):
                return 0
            if stop is not None and stop.is_set():
                return 0
            await self._clear_hands()
            async with self._database.read() as session:
                if not await has_due(session, self._clock()):
                    return 0
            return await self._run(stop)

    async def close(self) -> None:
        """Leave: write down what can be, give back what is ours, remove the worker.

        End the drain before. Does not raise when the database is away: recovery does the rest.
        """
        async with self._lock:
            try:
                await asyncio.wait_for(self._means.committer.flush(), _PATIENCE_SECONDS)
            except TimeoutError:
                log.warning("leaving with results that could not be written")
            for lane in self._lanes:
                await lane.close_idle(all_of_them=True)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks = []
            with suppress(DatabaseUnavailable):
                self._has_leftovers = True
                await self._release_leftovers()
                await self._save_lessons()
                await self.worker.remove()

    async def _run(self, stop: asyncio.Event | None) -> int:
        drain = self._drain = Drain(self._means, self._lanes)
        watcher = asyncio.create_task(_end_when(stop, drain)) if stop else None
        self._has_leftovers = True
        try:
            await drain.run()
        finally:
            self._drain = None
            if watcher is not None:
                watcher.cancel()
        await self._flush(stop)
        await self._save_lessons(drain.unused)
        return drain.accepted

    async def _save_lessons(self, unused: Sequence[Wish] = ()) -> None:
        """Write down what was learnt of limits, and give back the tokens that were not used."""
        throttles = self._means.throttles
        if unused or throttles.needs_saving:
            async with self._database.write() as session:
                if throttles.needs_saving:
                    await throttles.save(session, self._clock())
                if unused:
                    await throttles.give_back(session, unused, self._clock())

    async def _keep_house(self) -> None:
        """Close connections that have no work, learn whose mail servers domains have, and what
        other nodes have learnt of limits.
        """
        for beat in count(1):
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            try:
                for lane in self._lanes:
                    await lane.close_idle()
                await self._means.domains.look_up(self._database, self._clock())
                if self._database.kind == "postgresql" and beat % _BEATS_A_LESSON == 0:
                    async with self._database.read() as session:
                        await self._means.throttles.load(session)
            except DatabaseUnavailable:
                continue
            except Exception:
                log.exception("housekeeping failed")

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
        self._means.committer.forget_marks()
        await self._means.trips.settle()
        await self._release_leftovers()
        await self.worker.revive()

    async def _release_leftovers(self) -> None:
        if self._has_leftovers:
            async with self._database.write() as session:
                await release_own(session, self.worker.id, self._clock(), self._policy)
            self._has_leftovers = False


async def _end_when(stop: asyncio.Event, drain: Drain) -> None:
    await stop.wait()
    drain.end()
