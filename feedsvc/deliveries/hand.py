"""What a drain has in hand: claimed deliveries from their claim to what they come to."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import structlog

from feedsvc.deliveries.breaker import Trip
from feedsvc.deliveries.claim import Claim
from feedsvc.deliveries.due import is_sending
from feedsvc.deliveries.lane import Job
from feedsvc.deliveries.means import Means
from feedsvc.deliveries.outcomes import decide_release, decide_unbuildable
from feedsvc.deliveries.throttles import Wish
from feedsvc.errors import DatabaseUnavailable, FeedsvcError
from feedsvc.kit.replies import hide_addresses
from feedsvc.model.throttle import ThrottleKind

log = structlog.get_logger()


class Hand:
    """Counts what is in hand, and gives back what is not to be sent.

    Args:
        freed: called whenever something has left.
    """

    def __init__(self, means: Means, freed: Callable[[], None]) -> None:
        self.count = 0
        #: One of them may be what workers died of.
        self.holds_suspect = False
        #: Tokens taken and not used yet, by what limits them.
        self.held: Counter[tuple[ThrottleKind, str]] = Counter()
        #: Tokens that were taken for mail that did not go, to be given back.
        self.unused: list[Wish] = []
        self._means, self._freed = means, freed
        #: Editions that stopped sending while their mail was queued.
        self._stopped: set[int] = set()
        #: Those of them that had stopped before the last claim began.
        self._resumable: set[int] = set()
        #: Providers that are left alone, until when.
        self._resting: dict[str, datetime] = {}

    def begin_claim(self) -> None:
        """A claim begins: what stops from now on may have stopped after it."""
        self._resumable = set(self._stopped)

    def take(self, claims: Sequence[Claim], wishes: dict[int, Wish]) -> list[Job]:
        """Take claimed deliveries, the wishes of which were granted."""
        now = self._means.clock().replace(microsecond=0)
        holds_tokens = not self._means.throttles.is_free
        if holds_tokens:
            for claim in claims:
                self.held.update(_keys(wishes[claim.id]))
        if self._resumable:
            # They stopped before these were claimed, so they are sending again.
            resumed = {claim.edition_id or 0 for claim in claims}
            self._stopped -= self._resumable & resumed
        self.count += len(claims)
        self.holds_suspect = any(claim.crashes for claim in claims)
        return [
            Job(claim, wishes[claim.id], claim.date_at or now, holds_tokens) for claim in claims
        ]

    def may_go(self, job: Job) -> bool:
        """Whether a job is still to be sent; what is not is given back here."""
        if not self._means.worker.is_live:
            # No mark would be granted; the relay need not hear of it.
            self.release(job)
            return False
        if job.claim.edition_id in self._stopped:
            self.release(job)
            return False
        if until := self._resting.get(job.wish.provider):
            if until > self._means.clock():
                self.release(job, until)
                return False
            del self._resting[job.wish.provider]
        return True

    def stop(self, trip: Trip) -> None:
        """Give back what is queued of an edition that was stopped, or for a provider that rests."""
        if trip.edition_id is not None:
            self._stopped.add(trip.edition_id)
        if trip.provider is not None and trip.until is not None:
            self._resting[trip.provider] = trip.until

    def release(self, job: Job, next_at: datetime | None = None) -> None:
        """Give back what was certainly not sent, to be looked at again at `next_at`, or at once."""
        outcome = replace(decide_release(job.claim.facts), next_at=next_at)
        self._means.committer.record(job.claim, outcome)
        self.let_go(job, was_used=False)

    def let_go(self, job: Job, *, was_used: bool) -> None:
        """A job has left our hands; what it came to is on its way to the committer.

        `was_used`: it was handed over, whatever came of that.
        """
        job.is_gone = True
        if job.holds_tokens:
            self.held.subtract(_keys(job.wish))
            if not was_used:
                self.unused.append(job.wish)
        self.count -= 1
        if self.count == 0:
            self.holds_suspect = False
        self._freed()

    async def look_at_edition(self, edition_id: int | None) -> None:
        """A mark was refused: when its edition has stopped, give back what is queued of it."""
        if edition_id is None or edition_id in self._stopped:
            return
        with suppress(DatabaseUnavailable):
            async with self._means.database.read() as session:
                if not await is_sending(session, edition_id):
                    self._stopped.add(edition_id)

    def set_aside(self, job: Job, error: Exception) -> None:
        """Have it written down that a message could not be made.

        It is tried again unless that cannot help; of what nobody thought of, it may.
        """
        means, claim = self._means, job.claim
        log.warning(
            "message cannot be made",
            delivery=claim.id,
            problem=hide_addresses(name_fault(error)),
            exc_info=None if isinstance(error, FeedsvcError) else error,
        )
        permanent = isinstance(error, FeedsvcError) and error.permanent
        outcome = decide_unbuildable(
            claim.facts, name_fault(error), permanent, means.clock(), means.policy
        )
        means.committer.record(claim, outcome)
        self.let_go(job, was_used=False)


def _keys(wish: Wish) -> list[tuple[ThrottleKind, str]]:
    return [
        (ThrottleKind.RELAY, wish.relay),
        (ThrottleKind.DOMAIN, wish.domain),
        (ThrottleKind.PROVIDER, wish.provider),
    ]


def name_fault(error: Exception) -> str:
    """What went wrong, on one line."""
    return str(error) if isinstance(error, FeedsvcError) else f"{type(error).__name__}: {error}"
