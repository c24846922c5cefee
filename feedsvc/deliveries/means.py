"""What a drain works with, and the two functions it asks for messages."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from feedsvc.db.engine import Database
from feedsvc.deliveries.committer import Committer
from feedsvc.deliveries.outcomes import Policy
from feedsvc.deliveries.workers import OwnWorker
from feedsvc.model.delivery import ClaimedDelivery
from feedsvc.model.relay import Envelope, Relay

#: Makes one message, given the Date to write into it. Raises MessageUnbuildable.
Build = Callable[[ClaimedDelivery, datetime], tuple[Envelope, bytes]]
#: Loads what the messages of a batch need; runs outside transactions.
Prepare = Callable[[Sequence[ClaimedDelivery]], Awaitable[Build]]


@dataclass(frozen=True, slots=True)
class Means:
    """What a drain works with; the same for every one of a sender."""

    database: Database
    relay: Relay
    prepare: Prepare
    policy: Policy
    clock: Callable[[], datetime]
    worker: OwnWorker
    committer: Committer
