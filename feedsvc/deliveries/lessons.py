"""What replies teach about how much the other side bears. Pure.

Who says "too much" is left alone for a minute, longer each time when that was not enough, and
then gets half of what it was seen to get; that grows with every minute until it is borne or the
lesson is over (additive increase, multiplicative decrease). Greylisting teaches nothing.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from feedsvc.deliveries.throttle import CLOCK_TOLERANCE
from feedsvc.model.relay import Meaning, SendResult, Verdict

#: The first rest, doubled each time up to the longest.
FIRST_REST = timedelta(minutes=1)
LONGEST_REST = timedelta(hours=1)
#: After so many minutes in which nothing was refused as too much, there is no limit any more.
CLEAN_MINUTES = 30.0
#: Mails a second below which nobody is held.
SLOWEST_PER_SECOND = 0.1
#: A rest is one of a row if the one before has ended no longer ago than this, or than its length.
_IN_A_ROW = timedelta(minutes=5)
#: What the rate grows by every minute: a part of what it began with, and a mail a minute.
_GROWTH = 0.1
_MAIL_A_MINUTE = 1 / 60
#: A burst of that many seconds.
_BURST_SECONDS = 2.0
_MOST_RESTS = 20

_TOO_MUCH = re.compile(r"\b4\.7\.\d")
#: QUIRK: too much for one mailbox says nothing about its neighbours (Gmail's 4.2.1, QQ's
#: "Mailbox unavailable or access denied").
_ONE_MAILBOX = re.compile(r"\b[45]\.2\.1\b|mailbox unavailable or access denied", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What has been learnt about a relay or provider."""

    #: When it was learnt; None: not yet known, of a rest that was only asked for.
    noted_at: datetime | None
    #: Mails a second borne at `clean_since`; None: as configured.
    learnt_per_second: float | None = None
    clean_since: datetime | None = None
    rests_until: datetime | None = None
    #: Rests in a row.
    rests: int = 0
    reason: str | None = None

    def is_resting(self, now: datetime) -> bool:
        """Whether it is to be left alone."""
        return self.rests_until is not None and self.rests_until > now

    def per_second(self, now: datetime) -> float | None:
        """Mails a second it bears by now; None: as configured."""
        if self.learnt_per_second is None or self.clean_since is None:
            return None
        minutes = max((now - self.clean_since).total_seconds(), 0.0) / 60
        if minutes >= CLEAN_MINUTES:
            return None
        return self.learnt_per_second + minutes * (
            self.learnt_per_second * _GROWTH + _MAIL_A_MINUTE
        )

    def is_over(self, now: datetime) -> bool:
        """Whether it says nothing any more."""
        return not self.is_resting(now) and self.per_second(now) is None


def burst_of(per_second: float) -> float:
    """Tokens at most in the bucket of a learnt rate."""
    return max(1.0, per_second * _BURST_SECONDS)


def is_too_much(result: SendResult) -> bool:
    """Whether a reply to one mail says that its provider gets too much from us."""
    if result.verdict is not Verdict.DEFERRED or _ONE_MAILBOX.search(result.text):
        return False
    if result.meaning is Meaning.THROTTLED:
        return True
    is_open = result.meaning in (Meaning.UNKNOWN, Meaning.POLICY)
    return is_open and (result.code == 421 or _TOO_MUCH.search(result.text) is not None)


def is_relay_full(result: SendResult) -> bool:
    """Whether a reply to the session says that the relay itself gets too much."""
    return result.verdict is Verdict.UNAVAILABLE and result.meaning is Meaning.THROTTLED


def learn(before: Lesson | None, seen_per_second: float, reason: str, now: datetime) -> Lesson:
    """The lesson of a reply that says "too much".

    Args:
        before: what was known.
        seen_per_second: at which rate mail went.
        reason: the reply, cleaned.
        now: the present.
    """
    if before is not None and before.is_resting(now) and before.learnt_per_second is not None:
        return before  # was on its way when the rest began
    bears = before.per_second(now) if before is not None else None
    borne = min(seen_per_second, bears) if bears is not None else seen_per_second
    rests = _count_rests(before, now)
    until = now + min(FIRST_REST * 2 ** (rests - 1), LONGEST_REST)
    if before is not None and before.rests_until is not None:
        until = max(until, before.rests_until)
    return Lesson(
        noted_at=now,
        learnt_per_second=max(borne / 2, SLOWEST_PER_SECOND),
        clean_since=until,
        rests_until=until,
        rests=rests,
        reason=reason,
    )


def _count_rests(before: Lesson | None, now: datetime) -> int:
    if before is None or before.rests_until is None or not before.rests:
        return 1
    last = min(FIRST_REST * 2 ** (before.rests - 1), LONGEST_REST)
    if now - before.rests_until > max(_IN_A_ROW, last):
        return 1
    return min(before.rests + 1, _MOST_RESTS)


def add_rest(before: Lesson | None, until: datetime, reason: str) -> Lesson:
    """Leave somebody alone until then, whatever was learnt; never shorter than already said."""
    if before is None:
        return Lesson(None, rests_until=until, reason=reason)
    if before.rests_until is not None and before.rests_until >= until:
        return before
    return replace(before, noted_at=None, rests_until=until, reason=reason)


def merge(stored: Lesson | None, ours: Lesson) -> Lesson:
    """What holds when another node may have learnt at the same time: the stricter of both.

    A stored lesson whose rest had ended when ours was learnt is an older one, and gives way.
    """
    if stored is None:
        return ours
    if ours.noted_at is not None and not stored.is_resting(ours.noted_at):
        return ours
    rates = [one.learnt_per_second for one in (stored, ours) if one.learnt_per_second is not None]
    last = max((stored, ours), key=lambda one: _instant(one.rests_until))
    return Lesson(
        noted_at=ours.noted_at or stored.noted_at,
        learnt_per_second=min(rates, default=None),
        clean_since=max((stored.clean_since, ours.clean_since), key=_instant),
        rests_until=last.rests_until,
        rests=max(stored.rests, ours.rests),
        reason=last.reason,
    )


def _instant(at: datetime | None) -> float:
    return at.timestamp() if at is not None else -1.0


def follow_clock(lesson: Lesson, now: datetime) -> Lesson:
    """The same lesson by a clock that went back: it must not last longer for that."""
    if lesson.noted_at is None or lesson.noted_at - now <= CLOCK_TOLERANCE:
        return lesson
    back = lesson.noted_at - now
    return replace(
        lesson,
        noted_at=now,
        clean_since=lesson.clean_since - back if lesson.clean_since else None,
        rests_until=lesson.rests_until - back if lesson.rests_until else None,
    )


class Recent:
    """How many mails went lately, by name: whole minutes, coarsely. Keeps its own state."""

    #: Before that its counts tell little, and those of the minute before are taken with them.
    _ENOUGH_SECONDS = 15.0
    _MINUTE = timedelta(minutes=1)

    def __init__(self) -> None:
        #: Of the present minute; whoever counts adds to it.
        self.counts: dict[str, int] = {}
        self.began: datetime | None = None
        self._before: dict[str, int] | None = None

    def turn(self, now: datetime) -> datetime:
        """Begin the next minute; returns when it ends."""
        is_next = self.began is not None and self._MINUTE <= now - self.began < 2 * self._MINUTE
        self._before = self.counts if is_next else None
        self.began = self.began + self._MINUTE if is_next and self.began else now
        self.counts = {}
        return self.began + self._MINUTE

    def per_second(self, name: str, now: datetime) -> float:
        """The rate at which mail went; 0 when none did."""
        if self.began is None:
            return 0.0
        seconds = max((now - self.began).total_seconds(), 1.0)
        count = self.counts.get(name, 0)
        if seconds >= self._ENOUGH_SECONDS or self._before is None:
            return count / seconds
        return (count + self._before.get(name, 0)) / (seconds + self._MINUTE.total_seconds())
