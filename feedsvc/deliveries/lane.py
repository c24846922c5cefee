"""A lane: one relay with its kept connections, how much it bears, and whether it is up."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from feedsvc.deliveries.claim import Claim
from feedsvc.deliveries.concurrency import Concurrency
from feedsvc.deliveries.means import Build
from feedsvc.deliveries.retry import next_pause
from feedsvc.deliveries.route import Route
from feedsvc.deliveries.throttles import Wish
from feedsvc.errors import RelayUnavailable
from feedsvc.kit.replies import advice, hide_addresses
from feedsvc.model.relay import Meaning, Message, RelayConnection

log = structlog.get_logger()

#: "Service not available": ends every session that was too many (RFC 5321 §4.2.3).
TOO_MUCH = 421


@dataclass(slots=True)
class Job:
    """A claimed delivery on its way to a connection."""

    claim: Claim
    wish: Wish
    #: Of the Date field.
    date_at: datetime
    #: Whether tokens of what limits it were taken for it.
    holds_tokens: bool
    #: Makes its message; None until what that needs has been loaded.
    build: Build | None = None
    message: Message | None = None
    #: Whether what it came to has been handed in.
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class RelayState:
    """How a relay stands, for people and metrics."""

    name: str
    #: Open now, those without work included.
    connections: int
    #: How many may be.
    allowed: int
    queued: int
    paused_until: datetime | None
    problem: str | None


class Lane:
    """Lives as long as its sender; drains come and go."""

    def __init__(
        self, route: Route, clock: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self.route, self.relay, self.name = route, route.relay, route.relay.name
        most = route.relay.connections
        self.concurrency = Concurrency(route.first_connections or most, most)
        #: Claimed, and not made into messages yet.
        self.waiting: deque[Job] = deque()
        #: Set when there is something waiting.
        self.has_waiting = asyncio.Event()
        #: Set when the ready messages get few.
        self.is_low = asyncio.Event()
        #: Whether it has taken a mail since it was last down.
        self.is_proven = asyncio.Event()
        self.problem: str | None = None
        self.paused_until: datetime | None = None
        self.open_connections = 0
        self._clock, self._monotonic = clock, monotonic
        self._ready: deque[Job] = deque()
        self._wanting: deque[asyncio.Future[Job | None]] = deque()
        #: Set when nothing is taken any more.
        self.ended = asyncio.Event()
        self._is_open = False
        self._failures = 0
        self._paused_until_monotonic = 0.0
        #: Connections without work, with since when.
        self._idle: list[tuple[RelayConnection, float]] = []

    # -- what is to be sent ------------------------------------------------------------------------

    @property
    def ready(self) -> int:
        """Messages that are made and wait for a connection."""
        return len(self._ready)

    @property
    def queued(self) -> int:
        """Deliveries that no connection has taken yet."""
        return len(self.waiting) + len(self._ready)

    @property
    def is_usable(self) -> bool:
        """Whether a drain may give it work: a connection could be opened, and it is not down."""
        return self.is_up and self._is_open and not self.is_ended

    @property
    def is_ended(self) -> bool:
        """Whether nothing is taken any more."""
        return self.ended.is_set()

    def begin(self) -> None:
        """A drain begins."""
        self.ended.clear()
        self._is_open = False

    async def prove(self) -> None:
        """Have a connection, so that nothing is claimed for a relay that is not there; or pause.

        Gives up when the lane ends.
        """
        try:
            connection = await self.connect()
        except RelayUnavailable as error:
            self.note_problem(error.reason)
            if error.code == TOO_MUCH:
                self.concurrency.note_throttled(self._monotonic())
            self.pause()
        else:
            if connection is not None:
                self._idle.append((connection, self._monotonic()))
                self._is_open = True

    def add(self, job: Job) -> None:
        """Have a message made and sent; notices before all others."""
        if job.claim.notice_id is not None:
            self.waiting.appendleft(job)
        else:
            self.waiting.append(job)
        self.has_waiting.set()

    def put(self, job: Job) -> None:
        """A message is made."""
        while self._wanting:
            wanting = self._wanting.popleft()
            if not wanting.done():
                wanting.set_result(job)
                return
        if job.claim.notice_id is not None:
            self._ready.appendleft(job)
        else:
            self._ready.append(job)

    async def take(self, low: int) -> Job | None:
        """The next message; None when the drain has ended. Below `low`, more are asked for."""
        if self.is_ended:
            return None
        if len(self._ready) <= low:
            self.is_low.set()
        if self._ready:
            return self._ready.popleft()
        wanting: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self._wanting.append(wanting)
        return await wanting

    def end(self) -> list[Job]:
        """Nothing more is taken; what had not been taken, to be given back."""
        self.ended.set()
        left = [*self._ready, *self.waiting]
        self._ready.clear()
        self.waiting.clear()
        while self._wanting:
            wanting = self._wanting.popleft()
            if not wanting.done():
                wanting.set_result(None)
        self.has_waiting.set()
        self.is_low.set()
        return left

    # -- connections -------------------------------------------------------------------------------

    async def connect(self) -> RelayConnection | None:
        """A kept connection, or a new one; None when the lane ended before there was one.

        Raises:
            RelayUnavailable: there is none to be had.
        """
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_usable:
                return connection
            await self._close(connection)
        opening = asyncio.ensure_future(self.relay.open())
        ending = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait([opening, ending], return_when=asyncio.FIRST_COMPLETED)
            # QUIRK: before Python 3.12 asyncio.wait_for can swallow a cancellation, so again.
            while not opening.done():
                opening.cancel()
                await asyncio.wait([opening], timeout=0.1)
        except asyncio.CancelledError:
            opening.cancel()
            opening.add_done_callback(self._keep_unawaited)
            raise
        finally:
            ending.cancel()
        return self._opened(opening)

    def _keep_unawaited(self, opening: asyncio.Future[RelayConnection]) -> None:
        """Whoever opened it was cut off; if it is open all the same, it is closed in time."""
        if not opening.cancelled() and opening.exception() is None:
            self.open_connections += 1
            self._idle.append((opening.result(), self._monotonic()))

    def _opened(self, opening: asyncio.Future[RelayConnection]) -> RelayConnection | None:
        """What came of opening a connection, which may have been given up."""
        if opening.cancelled():
            if self.is_ended:
                return None
            raise RelayUnavailable(self.name, "opening a connection was given up")
        error = opening.exception()
        if error is None:
            self.open_connections += 1
            return opening.result()
        if isinstance(error, Exception) and not isinstance(error, RelayUnavailable):
            log.error("the relay's code failed", relay=self.name, exc_info=error)
            raise RelayUnavailable(self.name, f"{type(error).__name__}: {error}") from error
        raise error

    async def keep(self, connection: RelayConnection) -> None:
        """Take back a connection that has no work."""
        if self.route.idle_seconds > 0 and connection.is_usable:
            self._idle.append((connection, self._monotonic()))
        else:
            await self._close(connection)

    async def drop(self, connection: RelayConnection) -> None:
        """Take back a connection that is of no use any more."""
        await self._close(connection)

    async def close_idle(self, *, all_of_them: bool = False) -> None:
        """Close the connections that had no work for too long."""
        limit = self._monotonic() - self.route.idle_seconds
        old = [one for one in self._idle if all_of_them or one[1] <= limit]
        self._idle = [one for one in self._idle if one not in old]
        for connection, _ in old:
            await self._close(connection)

    async def _close(self, connection: RelayConnection) -> None:
        self.open_connections -= 1
        try:
            await connection.close()
        except Exception:
            log.exception("the relay's code failed", relay=self.name)

    # -- health ------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether it may be tried."""
        return self._monotonic() >= self._paused_until_monotonic

    def note_good(self) -> None:
        """It has taken a mail."""
        self._failures, self.problem, self.paused_until = 0, None, None
        self._paused_until_monotonic = 0.0
        self.is_proven.set()

    def note_problem(self, problem: str, meaning: Meaning = Meaning.UNKNOWN) -> None:
        """Something speaks against it; what can be done about it is added."""
        what_to_do = advice(meaning, problem)
        self.problem = problem = f"{problem} ({what_to_do})" if what_to_do else problem
        log.warning("relay problem", relay=self.name, problem=hide_addresses(problem))

    def pause(self) -> None:
        """Leave it alone for a while, longer each time it fails again."""
        self._failures += 1
        pause = next_pause(self._failures)
        self.paused_until = self._clock() + pause
        self._paused_until_monotonic = self._monotonic() + pause.total_seconds()
        self.is_proven.clear()
        log.warning(
            "relay paused",
            relay=self.name,
            problem=hide_addresses(self.problem or ""),
            pause_s=pause / timedelta(seconds=1),
        )

    def state(self) -> RelayState:
        """How it stands."""
        paused_until = None if self.is_up else self.paused_until
        return RelayState(
            self.name,
            self.open_connections,
            self.concurrency.allowed,
            self.queued,
            paused_until,
            self.problem,
        )
