"""One drain: claim what is due, have the messages made, give each to the lane of its relay, until
nothing is due, no relay is left, or we are told to stop.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from feedsvc.deliveries.admission import Admission
from feedsvc.deliveries.claim import Batch, Claim, claim_batch
from feedsvc.deliveries.due import next_due_at
from feedsvc.deliveries.hand import Hand
from feedsvc.deliveries.handover import Handover, cancel_all
from feedsvc.deliveries.lane import Job, Lane
from feedsvc.deliveries.making import THREADS, make_messages, prepare_jobs
from feedsvc.deliveries.means import Means
from feedsvc.deliveries.throttles import Wish
from feedsvc.model.relay import Message

log = structlog.get_logger()

#: Most rows claimed at a time, and at first; the next are claimed when half are on their way.
BATCH = 400
_FIRST_BATCH = 100
_LEAST_BATCH = 20
#: A batch that lasts less is too small, and one that lasts more too large.
_SHORT_SECONDS = 1.0
_LONG_SECONDS = 5.0
#: How often new work is looked for while a slow relay keeps the last mails.
_LOOK_SECONDS = 1.0
#: So long is waited for what a limit lets go, before the drain ends and the next one begins; and
#: so long after its beginning, because others wait for the end of a drain.
_SOON = timedelta(seconds=2)
_LIMITED_SECONDS = 30.0
#: Later than that by so much, lest a timer that is early find nothing.
_SOON_MARGIN = 0.005


class Drain:
    """Runs once. `accepted` mails were taken."""

    def __init__(self, means: Means, lanes: Sequence[Lane]) -> None:
        self._means, self._lanes = means, lanes
        self._by_name = {lane.name: lane for lane in lanes}
        self._hand = Hand(means, self._note_free)
        self._admission = Admission(means, lanes, self._hand)
        self._nudge = asyncio.Event()
        #: The feeder wants to know when no more jobs than this wait.
        self._wake_below = _FIRST_BATCH // 2
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        #: Lanes that something works for, and those of them whose first connection is opened.
        self._working: set[str] = set()
        self._proving: set[str] = set()
        #: At the beginning it is waited for them a moment, so that the best is chosen.
        self._is_patient = True
        self._handovers: list[Handover] = []
        #: When the next mail is due, if that is soon; and for which it was waited already.
        self._soon: datetime | None = None
        self._awaited: datetime | None = None
        self._begun = means.monotonic()
        #: Rows claimed at a time: what is sent in some seconds, so that notices need not wait long.
        self._limit = _FIRST_BATCH
        self._claimed_at = means.monotonic()
        #: Nothing was in hand when the last claim began.
        self._was_alone = False

    @property
    def accepted(self) -> int:
        """Mails that were taken."""
        return sum(one.accepted for one in self._handovers)

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is begun."""
        return self._ended.is_set()

    @property
    def unused(self) -> list[Wish]:
        """Tokens that were taken for mail that did not go and are not given back yet."""
        return self._hand.unused

    def nudge(self) -> None:
        """There may be something new to claim."""
        self._nudge.set()

    def end(self) -> None:
        """Claim and begin nothing more; what is on the wire is finished."""
        if self._ended.is_set():
            return
        self._ended.set()
        for lane in self._lanes:
            for job in lane.end():
                self._hand.release(job)
        self._nudge.set()

    async def run(self) -> None:
        """Send by every lane that is up.

        Raises:
            DatabaseUnavailable: while claiming; nothing is left in hand but what the committer
                still has to write.
        """
        try:
            try:
                await self._feed()
            finally:
                self.end()
            await self._finish_work()
        except asyncio.CancelledError:
            # What is on the wire stays in doubt; what is not is given back by whoever cancels.
            await cancel_all(lambda: self._tasks)
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise
        except Exception:
            await self._finish_work()
            raise

    def _start_lanes(self) -> None:
        """Put to work the lanes that are up; those that were down for a while, too."""
        for lane in self._lanes:
            if lane.is_up and lane.name not in self._working:
                lane.begin()
                self._working.add(lane.name)
                self._proving.add(lane.name)
                self._tasks.append(asyncio.create_task(self._guarded(self._work(lane))))

    async def _work(self, lane: Lane) -> None:
        """All that is done for a lane, from its first connection to its end."""
        try:
            try:
                await lane.prove()
            finally:
                self._proving.discard(lane.name)
                self._nudge.set()
            if lane.is_usable and not self.is_ended:
                handover = Handover(self._hand, lane, self._means)
                self._handovers.append(handover)
                made = partial(self._made, lane)
                make = [make_messages(lane, self._means.executor, made) for _ in range(THREADS)]
                tasks = [
                    asyncio.create_task(self._guarded(work)) for work in (handover.run(), *make)
                ]
                self._tasks += tasks
                await asyncio.wait(tasks)
        finally:
            # Nobody works for it any more, whatever the reason.
            for job in lane.end():
                self._hand.release(job)
            self._working.discard(lane.name)
            self._nudge.set()
            await lane.close_idle()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            self.end()
            raise

    async def _finish_work(self) -> None:
        """Wait for the connections; raises what one of them raised."""
        while pending := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(pending)
        for task in self._tasks:
            task.result()

    # -- claiming ----------------------------------------------------------------------------------

    async def _feed(self) -> None:
        """Keep the lanes filled until nothing is due and nothing is in hand."""
        while not self._ended.is_set():
            self._nudge.clear()
            self._wake_below = self._limit // 2
            if self._hand.holds_suspect or self._queued > self._wake_below:
                await self._nudge.wait()
                continue
            if self._means.committer.problem is not None:
                # Do not claim what could not be written down.
                await self._means.wait(self._ended, _LOOK_SECONDS)
                continue
            self._start_lanes()
            if self._must_await_lanes():
                await self._await_lanes()
                continue
            if not any(lane.is_usable for lane in self._lanes):
                return
            batch = await self._claim()
            if batch is None:
                return
            if batch.claims:
                await self._queue(batch.claims)
            elif not batch.looked_at and not await self._await_due():
                return

    def _must_await_lanes(self) -> bool:
        """Whether a first connection that is being opened decides what is done next."""
        is_any_usable = any(lane.is_usable for lane in self._lanes)
        return bool(self._proving) and (self._is_patient or not is_any_usable)

    async def _await_lanes(self) -> None:
        """Give those whose first connection is opened a moment."""
        if not await self._means.wait(self._nudge, _LOOK_SECONDS):
            self._is_patient = False

    async def _await_due(self) -> bool:
        """Nothing is due: wait for what is in hand, which may come back, or for what a limit lets
        go soon; False when there is neither.
        """
        means, soon, seconds = self._means, self._soon, _LOOK_SECONDS
        if soon is not None:
            seconds = max((soon - means.clock()).total_seconds(), 0.0) + _SOON_MARGIN
        elif self._hand.count == 0:
            # What came back since the claim began may be due at once.
            return not self._was_alone
        self._wake_below = -1
        if not await means.wait(self._nudge, seconds):
            self._awaited = soon
        return True

    async def _written(self) -> None:
        """Wait until the results are on disk, but not beyond the end."""
        if self._means.committer.is_idle:
            return
        flushing = asyncio.create_task(self._means.committer.flush())
        ending = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait([flushing, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            flushing.cancel()
            ending.cancel()

    @property
    def _queued(self) -> int:
        return sum(lane.queued for lane in self._lanes)

    async def _claim(self) -> Batch | None:
        """The next batch; None when others have taken us for dead, or it is the end."""
        means = self._means
        self._is_patient = False
        if not means.worker.is_live and not await means.worker.beat():
            return None
        await means.trips.settle()
        if alone := self._hand.count == 0:
            await self._written()
        self._was_alone = alone
        if self.is_ended:
            return None
        self._hand.begin_claim()
        admit = self._admission.put_off
        async with means.database.write() as session:
            if means.throttles.needs_saving:
                await means.throttles.save(session, means.clock())
            if self._hand.unused:
                unused, self._hand.unused = self._hand.unused, []
                await means.throttles.give_back(session, unused, means.clock())
            batch = await claim_batch(
                session, means.worker.id, means.clock(), self._limit, admit, alone=alone
            )
            self._soon = None
            if self._admission.is_limited and not batch.looked_at:
                self._soon = self._choose_soon(await next_due_at(session))
        self._adapt(len(batch.claims))
        for delivery, reason in batch.set_aside.items():
            log.info("delivery set aside", delivery=delivery, reason=reason)
        return batch

    def _adapt(self, claimed: int) -> None:
        now = self._means.monotonic()
        seconds, self._claimed_at = now - self._claimed_at, now
        if claimed < self._limit:
            return
        if seconds < _SHORT_SECONDS:
            self._limit = min(self._limit * 2, BATCH)
        elif seconds > _LONG_SECONDS:
            self._limit = max(self._limit // 2, _LEAST_BATCH)

    def _choose_soon(self, at: datetime | None) -> datetime | None:
        """When something is due that is worth waiting for; not twice, lest the clock stand."""
        now = self._means.clock()
        if at is None or at == self._awaited or not now < at <= now + _SOON:
            return None
        is_late = self._means.monotonic() - self._begun > _LIMITED_SECONDS
        return None if is_late else at

    async def _queue(self, claims: Sequence[Claim]) -> None:
        jobs = self._hand.take(claims, self._admission.wishes)
        try:
            await prepare_jobs(jobs, self._means.prepare, self._hand)
        except BaseException:
            for job in jobs:
                if not job.is_gone:
                    self._hand.release(job)
            raise
        for job in jobs:
            lane = self._by_name[job.wish.relay]
            if job.is_gone:
                continue
            if self.is_ended or lane.is_ended:
                self._hand.release(job)
            else:
                lane.add(job)

    # -- making and ending -------------------------------------------------------------------------

    def _made(self, lane: Lane, job: Job, message: Message | Exception) -> None:
        if isinstance(message, Exception):
            self._hand.set_aside(job, message)
        elif self.is_ended or lane.is_ended:
            self._hand.release(job)
        else:
            job.message = message
            lane.put(job)

    def _note_free(self) -> None:
        if self._hand.count == 0 or self._queued <= self._wake_below:
            self._nudge.set()
