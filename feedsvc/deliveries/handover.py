"""Handing a lane's messages over: so many connections as the relay bears, each with one message
at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from feedsvc.deliveries.hand import Hand
from feedsvc.deliveries.lane import TOO_MUCH, Job, Lane
from feedsvc.deliveries.means import Means
from feedsvc.deliveries.outcomes import decide_outcome
from feedsvc.deliveries.retry import next_pause
from feedsvc.errors import RelayUnavailable
from feedsvc.model.relay import Meaning, RelayConnection, SendResult, Verdict

log = structlog.get_logger()

#: Below so many ready messages more are made.
_LOW = 16
#: How long a slow first answer holds up further connections to a relay.
_PROOF_SECONDS = 1.0


class Handover:
    """Works for one lane during one drain."""

    def __init__(self, hand: Hand, lane: Lane, means: Means) -> None:
        self.accepted = 0
        self._hand, self._lane, self._means = hand, lane, means
        self._workers: set[asyncio.Task[None]] = set()
        #: Workers that have not ended, nor are about to.
        self._active = 0
        #: Connections that are open and have not failed.
        self._up = 0
        self._is_proven = False
        self._watched: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until the lane has ended.

        One connection comes first; the others when the relay has taken a mail of it, or is merely
        slow: what is wrong with a password is not told ten times.
        """
        try:
            self._add_worker()
            await self._await_proof()
            self._is_proven = True
            while self._active < self._lane.concurrency.allowed and not self._lane.is_ended:
                self._add_worker()
            await self._finish(self._workers)
            await self._finish(self._watched)
        except asyncio.CancelledError:
            await cancel_all(lambda: {*self._workers, *self._watched})
            raise
        except Exception:
            # The others finish what they have on the wire.
            while pending := [one for one in (*self._workers, *self._watched) if not one.done()]:
                await asyncio.wait(pending)
            raise

    async def _finish(self, tasks: set[asyncio.Task[None]]) -> None:
        """Wait for tasks that may be joined by others; raises what one of them raised."""
        while tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks -= done
            for task in done:
                task.result()

    async def _await_proof(self) -> None:
        (first,) = self._workers
        proof = asyncio.create_task(self._lane.is_proven.wait())
        try:
            while not (first.done() or proof.done()):
                was_up = self._up
                await asyncio.wait(
                    [first, proof], timeout=_PROOF_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if was_up:
                    return
        finally:
            proof.cancel()

    def _add_worker(self) -> None:
        self._active += 1
        self._workers.add(asyncio.create_task(self._work()))

    async def _work(self) -> None:
        """One connection's work: message after message until there is none."""
        lane, hand = self._lane, self._hand
        connection: RelayConnection | None = None
        failures = 0
        try:
            while not self._is_one_too_many(connection):
                job = await lane.take(_LOW)
                if job is None:
                    break
                if not hand.may_go(job):
                    continue
                if connection is None:
                    connection = await self._open(job)
                    self._up += connection is not None
                if connection is not None and await self._send(connection, job):
                    failures = 0
                    continue
                if connection is not None:
                    self._up -= 1
                    await lane.drop(connection)
                    connection = None
                if not self._up:
                    # No connection is left that works: the relay is down, not one session.
                    self._end_lane()
                    return
                failures += 1
                await self._means.wait(lane.ended, next_pause(failures).total_seconds())
        except Exception:
            self._end_lane(pause=False)
            raise
        finally:
            self._active -= 1
            if connection is not None:
                self._up -= 1
                await lane.keep(connection)

    def _is_one_too_many(self, connection: RelayConnection | None) -> bool:
        """Whether a worker is to leave; who has a connection that works leaves last."""
        allowed = self._lane.concurrency.allowed
        return (self._active if connection is None else self._up) > allowed

    async def _open(self, job: Job) -> RelayConnection | None:
        """A connection; None, with the job back in its place, when there is none to be had."""
        lane = self._lane
        try:
            if (connection := await lane.connect()) is None:
                self._put_back(job)
            return connection
        except RelayUnavailable as error:
            lane.note_problem(error.reason)
            if error.code == TOO_MUCH:
                lane.concurrency.note_throttled(self._means.monotonic())
            self._put_back(job)
            return None
        except BaseException:
            self._put_back(job)
            raise

    def _put_back(self, job: Job) -> None:
        if self._lane.is_ended:
            self._hand.release(job)
        else:
            self._lane.put(job)

    def _end_lane(self, *, pause: bool = True) -> None:
        lane = self._lane
        if pause and not lane.is_ended:
            lane.pause()
        for job in lane.end():
            self._hand.release(job)

    async def _send(self, connection: RelayConnection, job: Job) -> bool:
        """Hand over one message; whether the connection is still good."""
        means, claim, message = self._means, job.claim, job.message
        assert message is not None
        asked: list[asyncio.Future[bool]] = []

        def permit() -> Awaitable[bool]:
            asked.append(means.committer.ask_dot(claim, job.date_at, message.signed_with))
            return asked[-1]

        try:
            result = await connection.send(message.envelope, message.content, permit)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            log.exception("the relay's code failed", relay=self._lane.name, delivery=claim.id)
            if waited_for := [one for one in asked if not one.done()]:
                await asyncio.wait(waited_for)
            verdict = Verdict.UNKNOWN if any(map(_is_granted, asked)) else Verdict.UNAVAILABLE
            result = SendResult(verdict, text=f"{type(error).__name__}: {error}")
        job.message = None
        is_marked = any(map(_is_granted, asked))
        self._settle(job, result, is_marked)
        return result.verdict is not Verdict.UNAVAILABLE

    def _settle(self, job: Job, result: SendResult, is_marked: bool) -> None:
        """Have it written down, and tell all who learn from it."""
        means, lane, claim, now = self._means, self._lane, job.claim, self._means.clock()
        outcome = decide_outcome(claim.facts, result, now, means.policy)
        means.committer.record(claim, outcome, result, lane.name, was_marked=is_marked)
        is_withheld = result.verdict is Verdict.WITHHELD
        self._hand.let_go(job, was_used=not is_withheld)
        means.tally.note(lane.name, outcome.state, result.meaning)
        if is_withheld:
            self._watch(self._hand.look_at_edition(claim.edition_id))
            return
        means.throttles.note(job.wish, result, now)
        if result.verdict is Verdict.UNAVAILABLE:
            said = " ".join(filter(None, (str(result.code or ""), result.text)))
            lane.note_problem(said, result.meaning)
        elif not lane.is_proven.is_set() or lane.problem is not None:
            lane.note_good()
        self._learn(result)
        trip = means.breaker.note(claim.edition_id, job.wish.provider, result, now)
        if trip is not None:
            self._hand.stop(trip)
            means.trips.note(trip)
            self._watch(means.trips.try_to_settle())

    def _learn(self, result: SendResult) -> None:
        """How many connections the relay bears."""
        lane, monotonic = self._lane, self._means.monotonic
        if result.verdict is Verdict.ACCEPTED:
            self.accepted += 1
            lane.concurrency.note_accepted(monotonic())
            if self._active < lane.concurrency.allowed and self._is_proven and not lane.is_ended:
                self._add_worker()
        elif result.meaning is Meaning.THROTTLED or result.code == TOO_MUCH:
            lane.concurrency.note_throttled(monotonic())

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._watched.add(task)


def _is_granted(answer: asyncio.Future[bool]) -> bool:
    """Whether a permit was given; nobody has heard of one that was given up before."""
    return answer.done() and not answer.cancelled() and answer.result()


def _is_cancelled() -> bool:
    """Whether this task is to end, as against what it called having been cancelled by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def cancel_all(find: Callable[[], Collection[asyncio.Task[None]]]) -> None:
    """Cancel tasks until all have ended, however often we are cancelled meanwhile.

    QUIRK: before Python 3.12 asyncio.wait_for, which the SMTP library waits with, can swallow a
    cancellation that comes together with a reply: so more than once.
    """
    while pending := [task for task in find() if not task.done()]:
        for task in pending:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait(pending, timeout=0.1)
