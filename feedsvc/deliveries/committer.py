"""The committer: every mark and every result of a worker goes through it, a group at a time.

Connections ask for the dot of a message and hand in what it came to. What has gathered during the
last commit goes into one transaction; then the permits are given. A result handed in before a dot
is asked for is never committed after it, so a kill leaves at most one message a connection in
doubt.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from feedsvc import __version__
from feedsvc.db.engine import Database
from feedsvc.deliveries.claim import Claim
from feedsvc.deliveries.marks import Dot, Settlement, load_standing, mark_dots, settle
from feedsvc.deliveries.outcomes import Outcome
from feedsvc.deliveries.workers import OwnWorker
from feedsvc.kit.replies import hide_addresses
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import SendResult, Verdict

log = structlog.get_logger()

#: Pause before a group is committed, so that other writers get in and the group is worth it.
GATHERING_SECONDS = 0.0015
_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 5.0


@dataclass(slots=True)
class _Asked:
    dot: Dot
    answer: asyncio.Future[bool]


class Committer:
    """Commits for one worker; `run` must be running."""

    def __init__(
        self,
        database: Database,
        worker: OwnWorker,
        relay: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._database, self._worker = database, worker
        self._relay, self._clock = relay, clock
        self._asked: list[_Asked] = []
        self._settlements: list[Settlement] = []
        #: Settlements whose commit failed: it is unknown whether they are on disk.
        self._unknown: list[Settlement] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        #: The last thing the database did to us; None once a commit succeeded again.
        self.problem: Exception | None = None

    def ask_dot(self, claim: Claim, date_at: datetime) -> asyncio.Future[bool]:
        """Ask for the mark of a message; True once it is on disk and nobody can have taken over."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(Dot(claim.id, claim.attempt, date_at, claim.address), answer))
        self._wake()
        return answer

    def record(self, claim: Claim, outcome: Outcome, result: SendResult | None = None) -> None:
        """Hand in what a delivery came to; it is committed soon, and tried until it is."""
        self._settlements.append(Settlement(claim.id, claim.attempt, outcome, result))
        self._wake()

    async def flush(self) -> None:
        """Wait until everything handed in is on disk, however long the database is away."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit groups until cancelled."""
        retry_seconds = _FIRST_RETRY_SECONDS
        while True:
            await self._work.wait()
            await asyncio.sleep(GATHERING_SECONDS)
            self._work.clear()
            asked, self._asked = self._asked, []
            new, self._settlements = self._settlements, []
            try:
                await self._commit(asked, new)
            except Exception as error:
                self.problem = error
                self._unknown += new
                log.warning(
                    "commit failed", worker=self._worker.id, results=len(self._unknown),
                    retry_in_s=retry_seconds, error=f"{type(error).__name__}: {error}",
                )  # fmt: skip
                # Nobody may write a dot whose mark may not be on disk.
                _answer(asked, set())
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(retry_seconds * 2, _LONGEST_RETRY_SECONDS)
                self._work.set()
            else:
                self.problem, retry_seconds = None, _FIRST_RETRY_SECONDS
            finally:
                _answer([one for one in asked if not one.answer.done()], set())
            if not (self._asked or self._settlements or self._unknown):
                self._idle.set()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    async def _commit(self, asked: Sequence[_Asked], new: Sequence[Settlement]) -> None:
        now, worker, unknown = self._clock(), self._worker, self._unknown
        dots = [one.dot for one in asked if not one.answer.cancelled()] if worker.is_live else []
        settlements = [*unknown, *new]
        marked: set[int] = set()
        saved: set[int] = set()
        standing: dict[int, tuple[int, DeliveryState, str | None]] = {}
        if dots or settlements:
            async with self._database.write() as session:
                if settlements:
                    saved = await settle(session, worker.id, settlements, self._relay, now)
                    lost = [one.id for one in settlements if one.id not in saved]
                    standing = await load_standing(session, lost) if lost else {}
                if dots:
                    marked = await mark_dots(session, worker.id, dots, __version__, now)
        self._unknown = []
        # A commit that took too long may have made others believe that we are dead.
        _answer(asked, marked if worker.is_live else set())
        for one in settlements:
            if one.id in saved or _is_saved(one, standing):
                _log(one)
            else:
                _log_fenced(one, standing.get(one.id))


def _answer(asked: Sequence[_Asked], marked: set[int]) -> None:
    for one in asked:
        if not one.answer.done():
            one.answer.set_result(one.dot.id in marked)


def _is_saved(one: Settlement, standing: dict[int, tuple[int, DeliveryState, str | None]]) -> bool:
    """Whether a settlement is on disk already, by a commit that looked failed."""
    return standing.get(one.id) == (one.attempt, one.outcome.state, None)


def _log(one: Settlement) -> None:
    outcome, result = one.outcome, one.result
    reply = f"{result.code or ''} {result.text}".strip() if result is not None else ""
    write = (
        log.info if outcome.state in (DeliveryState.SENT, DeliveryState.PENDING) else log.warning
    )
    write(
        "delivery",
        delivery=one.id,
        attempt=one.attempt,
        state=outcome.state.value,
        next_at=outcome.next_at.isoformat() if outcome.next_at else None,
        reason=hide_addresses(outcome.reason or "") or None,
        reply=hide_addresses(reply) or None,
    )


def _log_fenced(one: Settlement, standing: tuple[int, DeliveryState, str | None] | None) -> None:
    accepted = one.result is not None and one.result.verdict is Verdict.ACCEPTED
    log.warning(
        "known repeat" if accepted else "delivery was no longer ours",
        delivery=one.id,
        attempt=one.attempt,
        would_be=one.outcome.state.value,
        stands_at=standing[1].value if standing else "gone",
    )
