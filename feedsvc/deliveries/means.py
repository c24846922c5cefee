"""What a drain works with, and the functions it asks for messages."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from feedsvc.db.engine import Database
from feedsvc.deliveries.breaker import Breaker
from feedsvc.deliveries.committer import Committer
from feedsvc.deliveries.mail_domains import MailDomains
from feedsvc.deliveries.outcomes import Policy
from feedsvc.deliveries.tally import SendTally
from feedsvc.deliveries.throttles import Throttles
from feedsvc.deliveries.trips import Trips
from feedsvc.deliveries.workers import OwnWorker
from feedsvc.model.delivery import ClaimedDelivery
from feedsvc.model.relay import Message

#: Makes one message, given the Date to write into it; runs in a thread. Raises MessageUnbuildable.
Build = Callable[[ClaimedDelivery, datetime], Message]
#: Loads what the messages of a batch need; runs outside transactions.
Prepare = Callable[[Sequence[ClaimedDelivery]], Awaitable[Build]]
#: Waits until an event is set, for so many seconds at most; whether it is set.
Wait = Callable[[asyncio.Event, float], Awaitable[bool]]


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait by the clock of the event loop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


@dataclass(frozen=True, slots=True)
class Means:
    """What a drain works with; the same for every one of a sender."""

    database: Database
    prepare: Prepare
    policy: Policy
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    worker: OwnWorker
    committer: Committer
    throttles: Throttles
    domains: MailDomains
    breaker: Breaker
    tally: SendTally
    #: Messages are made in its threads.
    executor: Executor
    #: Newsletter -> names of the relays that may carry it; those left out go by any.
    carriers: Mapping[str, Collection[str]]
    #: What is stopped because so much of it is refused.
    trips: Trips
    wait: Wait
