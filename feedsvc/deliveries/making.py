"""Making messages: in threads, a few at a time, so that some are always ready for a lane."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import structlog

from feedsvc.deliveries.hand import Hand, name_fault
from feedsvc.deliveries.lane import Job, Lane
from feedsvc.deliveries.means import Prepare
from feedsvc.errors import DatabaseUnavailable, MessageUnbuildable
from feedsvc.model.relay import Message

log = structlog.get_logger()

#: Messages made at a time in a thread, and how many a lane keeps ready.
CHUNK = 8
READY = 24
#: Threads that make messages: signing goes on beside the loop, and beside itself.
THREADS = max(1, min(4, (os.cpu_count() or 2) - 1))

#: Takes a job whose message was made, or what went wrong.
Made = Callable[[Job, Message | Exception], None]


async def prepare_jobs(jobs: Sequence[Job], prepare: Prepare, hand: Hand) -> None:
    """Find out how messages are made; one that cannot be stops none of the others.

    Raises:
        DatabaseUnavailable: not all are prepared.
    """
    try:
        build = await prepare([job.claim for job in jobs])
    except DatabaseUnavailable:
        raise
    except Exception as error:
        if len(jobs) > 1:
            log.warning("batch cannot be prepared, trying singly", error=name_fault(error))
    else:
        for job in jobs:
            job.build = build
        return
    for job in jobs:
        try:
            job.build = await prepare([job.claim])
        except DatabaseUnavailable:
            raise
        except Exception as error:
            hand.set_aside(job, error)


async def make_messages(lane: Lane, executor: Executor, made: Made) -> None:
    """Keep some messages of a lane ready, until the lane has ended."""
    loop = asyncio.get_running_loop()
    while not lane.is_ended:
        if not lane.waiting:
            lane.has_waiting.clear()
            await lane.has_waiting.wait()
        elif lane.ready >= READY:
            lane.is_low.clear()
            await lane.is_low.wait()
        else:
            jobs = [lane.waiting.popleft() for _ in range(min(CHUNK, len(lane.waiting)))]
            # When cut off here, they are nobody's; whoever cuts a drain off gives back its rows.
            messages = await loop.run_in_executor(executor, _make, jobs)
            for job, message in zip(jobs, messages, strict=True):
                made(job, message)


def _make(jobs: Sequence[Job]) -> list[Message | Exception]:
    return [_make_one(job) for job in jobs]


def _make_one(job: Job) -> Message | Exception:
    try:
        if job.build is None:
            raise MessageUnbuildable("what its message is made of was not loaded")
        message = job.build(job.claim, job.date_at)
        if message.envelope.recipient != job.claim.address:
            # SECURITY: nobody's message goes to somebody else, whoever made the mistake.
            raise MessageUnbuildable("the message was made for another address")
    except Exception as error:
        return error
    return message
