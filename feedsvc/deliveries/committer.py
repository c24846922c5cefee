"""The committer: every mark and every result of a worker goes through it, a group at a time.

Connections ask for the dot of a message and hand in what it came to. What has gathered during the
last commit goes into one transaction; then the permits are given. A result handed in before a dot
is asked for is never committed after it, so a kill leaves at most one message a connection in
doubt.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog

from feedsvc import __version__
from feedsvc.db.engine import Database
from feedsvc.db.journal import Script
from feedsvc.deliveries import outcome_log
from feedsvc.deliveries.claim import Claim
from feedsvc.deliveries.marks import Dot, Settlement, Standing, load_standing, mark_dots, settle
from feedsvc.deliveries.outcomes import Outcome
from feedsvc.deliveries.workers import OwnWorker
from feedsvc.errors import DatabaseUnavailable
from feedsvc.model.relay import SendResult

log = structlog.get_logger()

#: Longest pause before a group is committed while more of it may come: so that other writers get
#: in, and the group is worth it.
GATHERING_SECONDS = 0.0015
_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 5.0
#: Times a result is refused by a database that answers before it is given up: its row stays as it
#: is and is taken back like that of a dead worker.
_MOST_REFUSALS = 5
_SENT_IN_A_LINE = 200


@dataclass(slots=True)
class _Asked:
    dot: Dot
    answer: asyncio.Future[bool]


@dataclass(frozen=True, slots=True)
class _Committed:
    """What a transaction came to."""

    marked: set[int]
    saved: set[int]
    standing: Mapping[int, Standing]


class Committer:
    """Commits for one worker; `run` must be running."""

    def __init__(
        self, database: Database, worker: OwnWorker, clock: Callable[[], datetime]
    ) -> None:
        self._database, self._worker, self._clock = database, worker, clock
        self._asked: list[_Asked] = []
        self._settlements: list[Settlement] = []
        #: Settlements whose commit failed: it is unknown whether they are on disk.
        self._unknown: list[Settlement] = []
        #: Mails that were sent, and are not in the log yet.
        self._sent: list[int] = []
        #: Delivery id -> times the database refused its result.
        self._refusals: dict[int, int] = {}
        #: Marks given whose results have not come yet.
        self._out = 0
        self._work = asyncio.Event()
        self._gathered = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        #: The last thing the database did to us; None once a commit succeeded again.
        self.problem: Exception | None = None

    def ask_dot(
        self, claim: Claim, date_at: datetime, signed_with: str = ""
    ) -> asyncio.Future[bool]:
        """Ask for the mark of a message; True once it is on disk and nobody can have taken over."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        dot = Dot(claim.id, claim.attempt, date_at, claim.address, signed_with)
        self._asked.append(_Asked(dot, answer))
        self._wake()
        return answer

    def record(
        self,
        claim: Claim,
        outcome: Outcome,
        result: SendResult | None = None,
        relay: str | None = None,
        *,
        was_marked: bool = False,
    ) -> None:
        """Hand in what a delivery came to; it is committed soon, and tried until it is."""
        self._settlements.append(Settlement(claim.id, claim.attempt, outcome, result, relay))
        self._out -= was_marked
        self._wake()

    @property
    def is_idle(self) -> bool:
        """Whether everything handed in is on disk."""
        return self._idle.is_set()

    def forget_marks(self) -> None:
        """Nothing is on the wire: wait for no results of marks whose senders were cut off."""
        self._out = 0

    async def flush(self) -> None:
        """Wait until everything handed in is on disk, however long the database is away."""
        await self._idle.wait()
        self._tell_sent()

    async def run(self) -> None:
        """Commit groups until cancelled."""
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            await self._work.wait()
            await self._gather()
            self._work.clear()
            asked, self._asked = self._asked, []
            new, self._settlements = self._settlements, []
            try:
                await self._commit(asked, new)
            except Exception as error:
                self.problem = error
                # Nobody may write a dot whose mark may not be on disk.
                _answer(asked, set())
                self._unknown += new
                log.warning(
                    "commit failed", worker=self._worker.id, results=len(self._unknown),
                    retry_in_s=retry_seconds, error=f"{type(error).__name__}: {error}",
                )  # fmt: skip
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(retry_seconds * 2, _LONGEST_RETRY_SECONDS)
                if not isinstance(error, DatabaseUnavailable):
                    await self._commit_singly()
                self._work.set()
            else:
                self.problem, retry_seconds = None, _FIRST_RETRY_SECONDS
            finally:
                _answer([one for one in asked if not one.answer.done()], set())
            if not (self._asked or self._settlements or self._unknown):
                if self._out <= 0:
                    self._tell_sent()
                self._idle.set()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()
        if self._out <= 0:
            self._gathered.set()

    async def _gather(self) -> None:
        """Let the group grow while messages are on the wire whose results are about to come."""
        self._gathered.clear()
        if self._out > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gathered.wait(), GATHERING_SECONDS)

    async def _commit(self, asked: Sequence[_Asked], new: Sequence[Settlement]) -> None:
        worker = self._worker
        dots = [one.dot for one in asked if not one.answer.cancelled()] if worker.is_live else []
        settlements = [*self._unknown, *new]
        done = _Committed(set(), set(), {})
        if dots or settlements:
            done = await self._database.run(self._script(dots, settlements))
        self._unknown = []
        # A commit that took too long may have made others believe that we are dead.
        self._out += _answer(asked, done.marked if worker.is_live else set())
        self._note(settlements, done)

    def _script(self, dots: Sequence[Dot], settlements: Sequence[Settlement]) -> Script[_Committed]:
        """Results first, then marks: nobody has two in doubt."""
        kind, now, own = self._database.kind, self._clock(), self._worker.id
        saved: set[int] = set()
        marked: set[int] = set()
        standing: Mapping[int, Standing] = {}
        if settlements:
            saved = yield from settle(kind, own, settlements, now)
            if lost := [one.id for one in settlements if one.id not in saved]:
                standing = yield from load_standing(kind, lost)
        if dots:
            marked = yield from mark_dots(kind, own, dots, __version__, now)
        return _Committed(marked, saved, standing)

    def _note(self, settlements: Iterable[Settlement], done: _Committed) -> None:
        ours: list[Settlement] = []
        for one in settlements:
            self._refusals.pop(one.id, None)
            if one.id in done.saved or _is_saved(one, done.standing):
                ours.append(one)
            else:
                outcome_log.note_fenced(one, done.standing.get(one.id))
        self._sent += outcome_log.note(ours)
        if len(self._sent) >= _SENT_IN_A_LINE:
            self._tell_sent()

    def _tell_sent(self) -> None:
        """One line for many mails that went as they should: one each would cost more than they."""
        sent, self._sent = self._sent, []
        outcome_log.note_sent(sent)

    async def _commit_singly(self) -> None:
        """After a refusal by a database that answers: find the result that it will not take."""
        waiting, self._unknown = self._unknown, []
        for position, one in enumerate(waiting):
            try:
                self._note([one], await self._database.run(self._script([], [one])))
            except DatabaseUnavailable:
                self._unknown += waiting[position:]
                return
            except Exception as error:
                times = self._refusals[one.id] = self._refusals.get(one.id, 0) + 1
                if times < _MOST_REFUSALS:
                    self._unknown.append(one)
                    continue
                del self._refusals[one.id]
                log.error(
                    "result cannot be written", delivery=one.id, attempt=one.attempt,
                    would_be=one.outcome.state.value, error=f"{type(error).__name__}: {error}",
                )  # fmt: skip


def _answer(asked: Sequence[_Asked], marked: set[int]) -> int:
    """Give the permits; how many of them to go on."""
    given = 0
    for one in asked:
        if not one.answer.done():
            is_marked = one.dot.id in marked
            given += is_marked
            one.answer.set_result(is_marked)
    return given


def _is_saved(one: Settlement, standing: Mapping[int, Standing]) -> bool:
    """Whether a settlement is on disk already, by a commit that looked failed."""
    return standing.get(one.id) == (one.attempt, one.outcome.state, None)
