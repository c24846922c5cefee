"""One drain: claim what is due, make the messages, send them over a few connections, until
nothing is due, the relay is gone, or we are told to stop.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from feedsvc.deliveries.claim import Batch, Claim, claim_batch
from feedsvc.deliveries.means import Build, Means
from feedsvc.deliveries.outcomes import (
    decide_outcome,
    decide_release,
    decide_unbuildable,
)
from feedsvc.deliveries.retry import next_pause
from feedsvc.errors import DatabaseUnavailable, FeedsvcError, MessageUnbuildable, RelayUnavailable
from feedsvc.kit.replies import hide_addresses
from feedsvc.model.relay import RelayConnection, SendResult, Verdict

log = structlog.get_logger()

#: Rows claimed at a time; the next are claimed when half of them are on their way.
BATCH = 200
#: How often new work is looked for while a slow relay keeps the last mails.
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Job:
    claim: Claim
    build: Build


class Drain:
    """Runs once. `is_relay_down` when it ended because no connection was left that works."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self.accepted = 0
        self.is_relay_down = False
        #: What a connection last had to say against the relay.
        self.relay_problem = ""
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._in_hand = 0
        self._holds_suspect = False
        self._nudge = asyncio.Event()
        #: The feeder wants to know when fewer jobs than this wait.
        self._wake_below = BATCH // 2
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        #: Connections that are open and have not failed.
        self._up: set[int] = set()

    def nudge(self) -> None:
        """There may be something new to claim."""
        self._nudge.set()

    def end(self) -> None:
        """Claim and begin nothing more; what is on the wire is finished."""
        if self._ended.is_set():
            return
        self._ended.set()
        while not self._jobs.empty():
            job = self._jobs.get_nowait()
            if job is not None:
                self._release(job.claim)
        for _ in range(self._means.relay.connections):
            self._jobs.put_nowait(None)
        self._nudge.set()

    async def run(self, first: RelayConnection) -> None:
        """Send over this connection and, once a message went through, over more.

        Raises:
            DatabaseUnavailable: while claiming; nothing is left in hand but what the committer
                still has to write.
        """
        self._tasks.append(asyncio.create_task(self._work(0, first)))
        try:
            try:
                await self._feed()
            finally:
                self.end()
            await self._finish_work()
        except asyncio.CancelledError:
            # What is on the wire stays in doubt; what is not is given back by whoever cancels.
            await self._cancel_work()
            raise
        except Exception:
            await self._finish_work()
            raise

    async def _cancel_work(self) -> None:
        # QUIRK: before Python 3.12 asyncio.wait_for, which the SMTP library waits with, can
        # swallow a cancellation that comes together with a reply: so more than once.
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.1)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish_work(self) -> None:
        """Wait for the connections; raises what one of them raised."""
        while pending := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(pending)
        for task in self._tasks:
            task.result()

    async def _feed(self) -> None:
        """Keep the queue filled until nothing is due and nothing is in hand."""
        while not self._ended.is_set():
            self._nudge.clear()
            self._wake_below = BATCH // 2
            if self._holds_suspect or self._jobs.qsize() > self._wake_below:
                await self._nudge.wait()
                continue
            if self._means.committer.problem is not None:
                # Do not claim what could not be written down.
                await self._sleep(_LOOK_SECONDS)
                continue
            batch = await self._claim()
            if batch is None:
                return
            if batch.claims:
                await self._queue(batch.claims)
            elif not batch.looked_at:
                if self._in_hand == 0:
                    return
                self._wake_below = -1
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), _LOOK_SECONDS)
                if self._in_hand == 0:
                    # What came back may be due again at once.
                    await self._means.committer.flush()

    async def _claim(self) -> Batch | None:
        """The next batch; None when others have taken us for dead."""
        means = self._means
        if not means.worker.is_live and not await means.worker.beat():
            return None
        if alone := self._in_hand == 0:
            await means.committer.flush()
        async with means.database.write() as session:
            batch = await claim_batch(session, means.worker.id, means.clock(), BATCH, alone=alone)
        self._in_hand += len(batch.claims)
        self._holds_suspect = any(claim.crashes for claim in batch.claims)
        for delivery, reason in batch.set_aside.items():
            log.info("delivery set aside", delivery=delivery, reason=reason)
        return batch

    async def _queue(self, claims: Sequence[Claim]) -> None:
        try:
            jobs = await self._prepare(claims)
        except BaseException:
            for claim in claims:
                self._release(claim)
            raise
        for job in jobs:
            if self._ended.is_set():
                self._release(job.claim)
            else:
                self._jobs.put_nowait(job)

    async def _prepare(self, claims: Sequence[Claim]) -> list[_Job]:
        """Jobs for what can be prepared; one that cannot stops none of the others."""
        try:
            build = await self._means.prepare(claims)
            return [_Job(claim, build) for claim in claims]
        except DatabaseUnavailable:
            raise
        except Exception as error:
            if len(claims) > 1:
                log.warning("batch cannot be prepared, trying singly", error=_name(error))
        jobs: list[_Job] = []
        for claim in claims:
            try:
                jobs.append(_Job(claim, await self._means.prepare([claim])))
            except DatabaseUnavailable:
                raise
            except Exception as error:
                permanent = isinstance(error, FeedsvcError) and error.permanent
                self._set_aside(claim, error, permanent)
        return jobs

    async def _work(self, number: int, connection: RelayConnection | None) -> None:
        """One connection's work: message after message until there is none."""
        failures = 0
        if connection is not None:
            self._up.add(number)
        try:
            while (job := await self._jobs.get()) is not None:
                if connection is None:
                    connection = await self._open(number, job)
                    problem = connection is None
                else:
                    problem = not await self._send(number, connection, job)
                if not problem:
                    failures = 0
                    continue
                self._up.discard(number)
                if connection is not None:
                    await connection.close()
                    connection = None
                if not self._up:
                    # No connection is left that works: the relay is down, not one session.
                    self.is_relay_down = True
                    self.end()
                    return
                failures += 1
                await self._sleep(next_pause(failures).total_seconds())
        except Exception:
            self.end()
            raise
        finally:
            self._up.discard(number)
            if connection is not None:
                await connection.close()

    async def _open(self, number: int, job: _Job) -> RelayConnection | None:
        """A connection for a job that then waits again; None when there is none to be had."""
        try:
            connection = await self._means.relay.open()
        except RelayUnavailable as error:
            self._note_problem(error.reason)
            return None
        finally:
            self._put_back(job)
        self._up.add(number)
        return connection

    async def _send(self, number: int, connection: RelayConnection, job: _Job) -> bool:
        """Make and hand over one message; whether the connection is still good."""
        means, claim = self._means, job.claim
        date_at = claim.date_at or means.clock().replace(microsecond=0)
        try:
            envelope, message = job.build(claim, date_at)
            if envelope.recipient != claim.address:
                # SECURITY: nobody's message goes to somebody else, whoever made the mistake.
                raise MessageUnbuildable("the message was made for another address")
        except Exception as error:
            self._set_aside(claim, error, permanent=True)
            return True
        answers: list[asyncio.Future[bool]] = []

        def permit() -> Awaitable[bool]:
            answers.append(means.committer.ask_dot(claim, date_at))
            return answers[-1]

        try:
            result = await connection.send(envelope, message, permit)
        except Exception as error:
            log.exception("the relay's code failed", relay=means.relay.name, delivery=claim.id)
            granted = [await answer for answer in answers]
            verdict = Verdict.UNKNOWN if any(granted) else Verdict.UNAVAILABLE
            result = SendResult(verdict, text=_name(error))
        self._finish(claim, result)
        return result.verdict is not Verdict.UNAVAILABLE

    def _finish(self, claim: Claim, result: SendResult) -> None:
        means = self._means
        outcome = decide_outcome(claim.facts, result, means.clock(), means.policy)
        means.committer.record(claim, outcome, result)
        self._let_go()
        if result.verdict is Verdict.UNAVAILABLE:
            self._note_problem(" ".join(filter(None, (str(result.code or ""), result.text))))
            return
        self.accepted += result.verdict is Verdict.ACCEPTED
        if len(self._tasks) == 1 and not self._ended.is_set():
            # The relay takes mail: the other connections may come.
            self._tasks += [
                asyncio.create_task(self._work(number, None))
                for number in range(1, means.relay.connections)
            ]

    def _set_aside(self, claim: Claim, error: Exception, permanent: bool) -> None:
        means = self._means
        deliberate = isinstance(error, FeedsvcError)
        log.warning(
            "message cannot be made",
            delivery=claim.id,
            problem=hide_addresses(_name(error)),
            exc_info=None if deliberate else error,
        )
        outcome = decide_unbuildable(
            claim.facts, _name(error), permanent, means.clock(), means.policy
        )
        means.committer.record(claim, outcome)
        self._let_go()

    def _put_back(self, job: _Job) -> None:
        if self._ended.is_set():
            self._release(job.claim)
        else:
            self._jobs.put_nowait(job)

    def _release(self, claim: Claim) -> None:
        self._means.committer.record(claim, decide_release(claim.facts))
        self._let_go()

    def _let_go(self) -> None:
        self._in_hand -= 1
        if self._in_hand == 0:
            self._holds_suspect = False
        if self._in_hand == 0 or self._jobs.qsize() <= self._wake_below:
            self._nudge.set()

    def _note_problem(self, problem: str) -> None:
        self.relay_problem = problem
        name = self._means.relay.name
        log.warning("relay problem", relay=name, problem=hide_addresses(problem))

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)


def _name(error: Exception) -> str:
    return str(error) if isinstance(error, FeedsvcError) else f"{type(error).__name__}: {error}"
