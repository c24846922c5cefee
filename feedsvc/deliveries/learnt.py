"""The lessons a process knows: noted at once, written now and then, and those of other nodes."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from feedsvc.db.engine import after_commit
from feedsvc.deliveries.lessons import (
    Lesson,
    Recent,
    add_rest,
    follow_clock,
    is_relay_full,
    is_too_much,
    learn,
    merge,
)
from feedsvc.deliveries.throttle import Wish
from feedsvc.deliveries.throttle_rows import (
    LESSON,
    RowKey,
    StoredThrottle,
    read_all,
    read_for_writing,
    write_rows,
)
from feedsvc.kit.replies import hide_addresses
from feedsvc.model.relay import SendResult, Verdict
from feedsvc.model.throttle import ThrottleKind

#: Whom a lesson is about.
LessonKey = tuple[ThrottleKind, str]

#: So many providers that get too much within a minute of one another mean the relay itself.
_MANY_PROVIDERS = 3
_TOGETHER = timedelta(minutes=1)
_MAX_REASON = 500
_FORGET_EVERY = timedelta(seconds=10)


class Learnt:
    """What is known, by relay and provider."""

    def __init__(self) -> None:
        self.lessons: dict[LessonKey, Lesson] = {}
        self.unsaved: set[LessonKey] = set()
        self._relays = Recent()
        self._providers = Recent()
        self._minute_ends: datetime | None = None
        #: Relay -> provider -> when it was last said there that it gets too much.
        self._signs: dict[str, dict[str, datetime]] = {}
        self._forgot_at: datetime | None = None

    def note(self, wish: Wish, result: SendResult, now: datetime) -> None:
        """Count a handover, and learn from its reply."""
        ends, began = self._minute_ends, self._relays.began
        if ends is None or began is None or not began <= now < ends:
            self._relays.turn(now)
            self._minute_ends = self._providers.turn(now)
        counts = self._relays.counts
        counts[wish.relay] = counts.get(wish.relay, 0) + 1
        counts = self._providers.counts
        counts[wish.provider] = counts.get(wish.provider, 0) + 1
        if result.verdict in (Verdict.DEFERRED, Verdict.UNAVAILABLE):
            self._learn(wish, result, now)

    def _learn(self, wish: Wish, result: SendResult, now: datetime) -> None:
        reason = hide_addresses(f"{result.code or ''} {result.text}")[:_MAX_REASON]
        relay = (ThrottleKind.RELAY, wish.relay)
        if is_relay_full(result):
            self._add(relay, self._relays.per_second(wish.relay, now), reason, now)
        elif is_too_much(result):
            seen = self._providers.per_second(wish.provider, now)
            self._add((ThrottleKind.PROVIDER, wish.provider), seen, reason, now)
            if self._is_said_of_many(wish, now):
                self._add(relay, self._relays.per_second(wish.relay, now), reason, now)

    def _add(self, key: LessonKey, seen_per_second: float, reason: str, now: datetime) -> None:
        before = self.lessons.get(key)
        lesson = learn(before, seen_per_second, reason, now)
        if lesson is not before:
            self.lessons[key] = lesson
            self.unsaved.add(key)

    def _is_said_of_many(self, wish: Wish, now: datetime) -> bool:
        """Whether it is the relay that has enough: it says so whoever the mail is for."""
        signs = self._signs.setdefault(wish.relay, {})
        for provider in [one for one, at in signs.items() if abs(now - at) > _TOGETHER]:
            del signs[provider]
        signs[wish.provider] = now
        return len(signs) >= _MANY_PROVIDERS

    def rest(self, key: LessonKey, until: datetime, reason: str) -> None:
        """Leave somebody alone until then."""
        before = self.lessons.get(key)
        lesson = add_rest(before, until, hide_addresses(reason)[:_MAX_REASON])
        if lesson is not before:
            self.lessons[key] = lesson
            self.unsaved.add(key)

    def forget(self, now: datetime) -> None:
        """Drop the lessons that are over; looked for now and then."""
        last = self._forgot_at
        if last is not None and last <= now < last + _FORGET_EVERY:
            return
        self._forgot_at = now
        for key, lesson in list(self.lessons.items()):
            lesson = self.lessons[key] = follow_clock(lesson, now)
            if lesson.is_over(now):
                del self.lessons[key]
                self.unsaved.discard(key)

    def refresh(self, key: LessonKey, row: StoredThrottle, now: datetime) -> Lesson:
        """What holds now that the row of a lesson has been read."""
        written = row.lesson or Lesson(None)
        stored = follow_clock(written, now)
        if stored is not written:
            row.refilled_at = now
            row.must_be_written = True
        row.lesson = stored
        ours = self.lessons.get(key)
        if ours is not None and key in self.unsaved:
            return merge(stored, ours)
        self.lessons[key] = stored
        return stored

    async def save(self, session: AsyncSession, now: datetime) -> None:
        """Write what was noted, beside what other nodes have noted."""
        noted: dict[RowKey, Lesson] = {
            (kind, name, LESSON): replace(lesson, noted_at=lesson.noted_at or now)
            for (kind, name) in self.unsaved
            if (lesson := self.lessons.get((kind, name))) is not None
        }
        there = await read_for_writing(session, noted.keys())
        saved: dict[RowKey, StoredThrottle] = {}
        for key, ours in noted.items():
            row = there.get(key)
            stored = follow_clock(row.lesson, now) if row and row.lesson else None
            saved[key] = StoredThrottle(0.0, now, merge(stored, ours))
        await write_rows(session, saved)
        before = dict(self.lessons)
        after_commit(session, lambda: self._settle(saved, before))

    def _settle(self, saved: dict[RowKey, StoredThrottle], before: dict[LessonKey, Lesson]) -> None:
        """They are on disk; what was learnt meanwhile is not."""
        for (kind, name, _), row in saved.items():
            if row.lesson and self.lessons.get((kind, name)) is before.get((kind, name)):
                self.lessons[kind, name] = row.lesson
                self.unsaved.discard((kind, name))

    async def load(self, session: AsyncSession) -> None:
        """Read what other nodes have learnt, and what was learnt before the start."""
        for (kind, name, _), row in await read_all(session, lessons_only=True):
            stored = row.lesson
            if stored is None or (stored.learnt_per_second is None and stored.rests_until is None):
                continue
            ours = self.lessons.get((kind, name))
            is_ours = ours is not None and (kind, name) in self.unsaved
            self.lessons[kind, name] = merge(stored, ours) if is_ours and ours else stored
