"""Limits on sending, shared by all nodes: which mails may go now, and what replies have taught.

Tokens and lessons are rows of the database. What is only in memory may be lost: the places in
line of mails that were put off, and how many mails went lately.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.config_relays import RelaySettings
from feedsvc.config_sending import SendingSettings
from feedsvc.deliveries.learnt import Learnt
from feedsvc.deliveries.lessons import Lesson, burst_of
from feedsvc.deliveries.limits import Limits, ThrottleState, describe_row
from feedsvc.deliveries.lone import Lone
from feedsvc.deliveries.throttle import (
    LONGEST_WAIT_SECONDS,
    Bucket,
    Pace,
    Wish,
    choose_later,
)
from feedsvc.deliveries.throttle_rows import (
    LESSON,
    RowKey,
    StoredThrottle,
    prune,
    read_all,
    read_for_writing,
    write_rows,
)
from feedsvc.model.relay import SendResult, Verdict
from feedsvc.model.throttle import ThrottleKind

__all__ = ["ThrottleState", "Throttles", "Wish", "prune"]

_MAX_NAME = 253


class Throttles:
    """See the module. `relays` are all those configured, by name.

    `admit`, `give_back` and `save` keep other nodes from theirs until the transaction ends, so it
    should be short. All of it is for one event loop.
    """

    def __init__(self, relays: Mapping[str, RelaySettings], sending: SendingSettings) -> None:
        self._limits = Limits(relays, sending)
        self._has_limits = bool(self._limits)
        self._learnt = Learnt()
        self._lone = Lone()
        #: When somebody asks for the next token, and the first place in line not promised.
        self._lines: dict[RowKey, tuple[datetime, datetime]] = {}

    @property
    def is_free(self) -> bool:
        """Nothing is limited, learnt or resting: `admit` need not be asked."""
        return not self._has_limits and not self._learnt.lessons

    @property
    def needs_saving(self) -> bool:
        """Something was noted that other nodes do not know."""
        return bool(self._learnt.unsaved)

    async def admit(
        self,
        session: AsyncSession,
        wishes: Sequence[Wish],
        in_hand: Mapping[tuple[ThrottleKind, str], int],
        now: datetime,
    ) -> dict[int, datetime]:
        """Take tokens for the mails that may go now, in the order given.

        Args:
            session: the write transaction that claims them; they may go once it is committed.
            wishes: the mails.
            in_hand: how many mails of this process have taken a token and have neither been sent
                nor given back, by whatever they count for; as it is at `now`.
            now: the present, looked at within the transaction.

        Returns:
            For those that may not go, by delivery, when to ask again.
        """
        self._learnt.forget(now)
        paces = self._find_paces(wishes, now)
        if not paces:
            return {}
        rows = await self._read(session, paces, now)
        buckets: dict[RowKey, Bucket] = {}
        gates: dict[ThrottleKind, dict[str, tuple[Bucket, ...]]]
        gates = {kind: {} for kind in ThrottleKind}
        for key, pace in paces.items():
            kind, name, _ = key
            bucket = self._bucket(key, pace, rows[key], in_hand.get((kind, name), 0), now)
            self._put_line(key, bucket, now)
            buckets[key] = bucket
            gates[kind][name] = (*gates[kind].get(name, ()), bucket)
        later = choose_later(
            wishes,
            gates[ThrottleKind.RELAY],
            gates[ThrottleKind.DOMAIN],
            gates[ThrottleKind.PROVIDER],
            now,
        )
        await write_rows(session, self._settle(buckets, paces, rows, now))
        return later

    def _find_paces(self, wishes: Sequence[Wish], now: datetime) -> dict[RowKey, Pace | None]:
        """The rows that have a say in the wishes; None for a lesson."""
        found: dict[RowKey, Pace | None] = {}
        lessons = self._learnt.lessons
        for kind, names in (
            (ThrottleKind.DOMAIN, {wish.domain for wish in wishes}),
            (ThrottleKind.PROVIDER, {wish.provider for wish in wishes}),
            (ThrottleKind.RELAY, {wish.relay for wish in wishes}),
        ):
            for name in names:
                if len(name) > _MAX_NAME:
                    continue  # no domain is as long; there is no row for it
                for pace in self._limits.find(kind, name, now):
                    found[kind, name, pace.rate.seconds] = pace
                if (kind, name) in lessons:
                    found[kind, name, LESSON] = None
        return found

    async def _read(
        self, session: AsyncSession, paces: Mapping[RowKey, Pace | None], now: datetime
    ) -> dict[RowKey, StoredThrottle]:
        """All the rows; who has none has a full bucket, or has taught nothing."""
        rows = await read_for_writing(session, paces.keys())
        for key, pace in paces.items():
            if key not in rows:
                tokens, lesson = (pace.burst, None) if pace else (0.0, Lesson(None))
                rows[key] = StoredThrottle(tokens, now, lesson)
        return rows

    def _bucket(
        self,
        key: RowKey,
        pace: Pace | None,
        row: StoredThrottle,
        in_hand: int,
        now: datetime,
    ) -> Bucket:
        if pace is None:
            return self._lesson_bucket(key, row, now)
        taken_at = row.refilled_at if row.tokens < 1 else None
        row.refill(pace.burst, pace.per_second, now)
        bucket = Bucket(row.tokens, pace.per_second, room=pace.in_hand - in_hand)
        if pace.is_lone:
            bucket.closed_seconds = self._lone.wait_seconds(
                key[:2], pace.rate.seconds, taken_at, in_hand, now
            )
        return bucket

    def _lesson_bucket(self, key: RowKey, row: StoredThrottle, now: datetime) -> Bucket:
        lesson = self._learnt.refresh(key[:2], row, now)
        rate, until = lesson.per_second(now), lesson.rests_until
        closed = max((until - now).total_seconds(), 0.0) if until is not None else 0.0
        if rate is None:
            return Bucket(math.inf, math.inf, closed_seconds=closed)
        row.refill(burst_of(rate), rate, now)
        return Bucket(row.tokens, rate, closed_seconds=closed)

    def _put_line(self, key: RowKey, bucket: Bucket, now: datetime) -> None:
        """Have the bucket know the places that were promised."""
        if key not in self._lines:
            return
        head, line = ((at - now).total_seconds() for at in self._lines[key])
        # A place that is further off was promised by a clock that has gone back since.
        if line <= 2 * LONGEST_WAIT_SECONDS:
            bucket.head_seconds, bucket.line_seconds = head, line

    def _settle(
        self,
        buckets: Mapping[RowKey, Bucket],
        paces: Mapping[RowKey, Pace | None],
        rows: Mapping[RowKey, StoredThrottle],
        now: datetime,
    ) -> dict[RowKey, StoredThrottle]:
        """The rows that are to be written; remembers the places that were promised."""
        changed: dict[RowKey, StoredThrottle] = {}
        for key, bucket in buckets.items():
            if bucket.line_seconds > 0:
                places = (bucket.head_seconds, bucket.line_seconds)
                head, line = (now + timedelta(seconds=seconds) for seconds in places)
                self._lines[key] = (head, line)
            else:
                self._lines.pop(key, None)
            row, pace = rows[key], paces[key]
            if bucket.taken and math.isfinite(bucket.tokens):
                row.tokens = bucket.tokens
                row.must_be_written = True
            if bucket.taken and pace is not None and pace.is_lone:
                self._lone.take(key[:2])
            if row.must_be_written:
                changed[key] = row
        return changed

    async def give_back(self, session: AsyncSession, wishes: Sequence[Wish], now: datetime) -> None:
        """Give back the tokens of mails that were admitted and will not be sent now.

        In the transaction that gives the mails back, and once for each.
        """
        paces = {
            key: pace for key, pace in self._find_paces(wishes, now).items() if pace is not None
        }
        if not paces:
            return
        given = Counter(
            key
            for wish in wishes
            for key in (
                (ThrottleKind.RELAY, wish.relay),
                (ThrottleKind.DOMAIN, wish.domain),
                (ThrottleKind.PROVIDER, wish.provider),
            )
        )
        rows = await read_for_writing(session, paces.keys())
        for key, row in rows.items():
            pace = paces[key]
            row.refill(pace.burst, pace.per_second, now)
            row.tokens += given[key[:2]]  # whoever reads it takes no more than a full bucket
            if pace.is_lone:
                self._lone.give_back(key[:2])
        await write_rows(session, rows)

    def note(self, wish: Wish, result: SendResult, now: datetime) -> None:
        """Learn from a handover; to be told of each, as soon as its result is known."""
        if result.verdict is Verdict.WITHHELD:
            return
        if self._lone:
            self._lone.note((ThrottleKind.RELAY, wish.relay), now)
            self._lone.note((ThrottleKind.DOMAIN, wish.domain), now)
            self._lone.note((ThrottleKind.PROVIDER, wish.provider), now)
        self._learnt.note(wish, result, now)

    def rest(self, kind: ThrottleKind, name: str, until: datetime, reason: str) -> None:
        """Leave a relay, domain or provider alone until then; it comes back by itself."""
        self._learnt.rest((kind, name[:_MAX_NAME]), until, reason)

    def rests_until(self, wish: Wish, now: datetime) -> datetime | None:
        """Until when a mail's relay, domain or provider rests; None when it may go.

        For mails that were admitted before and are still queued.
        """
        lessons = self._learnt.lessons
        if not lessons:
            return None
        ends = [
            lesson.rests_until
            for key in (
                (ThrottleKind.RELAY, wish.relay),
                (ThrottleKind.DOMAIN, wish.domain),
                (ThrottleKind.PROVIDER, wish.provider),
            )
            if (lesson := lessons.get(key)) is not None and lesson.rests_until is not None
        ]
        return max((end for end in ends if end > now), default=None)

    async def save(self, session: AsyncSession, now: datetime) -> None:
        """Write what was noted for other nodes and the next start; merges with what they wrote."""
        await self._learnt.save(session, now)

    async def load(self, session: AsyncSession) -> None:
        """Read what was learnt: at the start, and every few seconds where there are other nodes."""
        await self._learnt.load(session)

    async def load_states(self, session: AsyncSession, now: datetime) -> list[ThrottleState]:
        """All limits that mail went under lately, and all lessons, by kind and name."""
        rows = await read_all(session)
        states = (describe_row(key, row, self._limits, now) for key, row in rows)
        return [state for state in states if state is not None]
