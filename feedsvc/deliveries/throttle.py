"""Limits on sending as buckets of tokens, and which mails may go under all of them. Pure.

What holds. A limit of L mails in a period P is kept as a strict sliding window where the mail
arrives: never more than L handovers in any window of that length, the ends included, whatever
passes between the taking of a token and the handover, and over kills and restarts. For a token is
taken, and committed, before its mail goes; a bucket holds at most `burst` tokens; at most
`in_hand` mails have taken one and are not yet sent; and so many tokens come in that
`burst + in_hand + what comes in during P` stays below L + 1. Mails handed over in a window were in
hand at its beginning, or have taken their token in it.

It holds for one node. Each further one may have as many in hand: n nodes send at most
(n - 1) x `Pace.in_hand` more in a window. Their clocks must agree to within CLOCK_TOLERANCE. A
clock that jumps forward brings one full bucket too early; one that goes back brings none. What a
killed process had left in the buffers of its sockets may arrive a moment after the next one began.

A limit of one leaves no room for that: its next token comes a period after the handover before.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from feedsvc.config_relays import WarmUpSettings
from feedsvc.config_values import Rate, read_rate

#: A clock that is back by less is another node's, or was set right: it is waited for.
CLOCK_TOLERANCE = timedelta(minutes=1)
DAY_SECONDS = 86400

#: A mail is not asked about more often, nor less often.
SHORTEST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 1800.0

#: Below the exact rate by so much, lest rounding make one mail more of it in the longest run.
_MARGIN = 1e-6
#: No limit that can be written is greater.
_MOST = 999_999_999
_WORDS = {1: "second", 60: "minute", 3600: "hour", DAY_SECONDS: "day"}
#: Spreads what comes after the last place in line evenly, by the mail's id.
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Wish:
    """A mail that would go now, and what limits may be on it."""

    #: The delivery's.
    id: int
    relay: str
    #: The domain it is from, as in From.
    domain: str
    #: The provider of the recipient's mailbox.
    provider: str
    #: A person waits for it: when put off, it does not queue behind mails put off before.
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How tokens are given out so that a limit holds where the mail arrives."""

    rate: Rate
    #: Tokens at most in the bucket.
    burst: int
    #: Mails at most that have taken a token and are not yet sent.
    in_hand: int
    per_second: float

    @property
    def is_lone(self) -> bool:
        """One mail a period: the period begins when the one before has been sent."""
        return self.rate.count == 1

    @property
    def text(self) -> str:
        """As it stands in the configuration, such as `500/hour`."""
        return f"{self.rate.count}/{_WORDS[self.rate.seconds]}"


def pace_of(rate: Rate) -> Pace:
    """How a limit is kept.

    What is kept in the bucket and in hand is lost to the rate, so it is as much as goes in the
    time that a mail is in hand: ten seconds, and less where the period is short. 20000 a day are
    sent as 19995, 500 an hour as 497, 60 a minute as 55, 10 a second as 7.
    """
    count, seconds = rate.count, rate.seconds
    if count == 1:
        return Pace(rate, 1, 1, (1 - _MARGIN) / seconds)
    ahead = min(max(seconds / 20, 0.25), 10.0)
    reserve = max(1, math.ceil(count * ahead / (seconds + 2 * ahead)))
    return Pace(rate, reserve, reserve, (count - 2 * reserve + 1) * (1 - _MARGIN) / seconds)


def paces_of(
    limits: Sequence[str], warm_up: WarmUpSettings | None = None, today: date | None = None
) -> tuple[Pace, ...]:
    """The paces of some limits; the lowest of those for the same period.

    Args:
        limits: as in the configuration.
        warm_up: its limit of the day is one more, on any 24 hours.
        today: the day in UTC; needed with `warm_up`.
    """
    counts: dict[int, int] = {}
    for rate in map(read_rate, limits):
        counts[rate.seconds] = min(counts.get(rate.seconds, _MOST), rate.count)
    if warm_up is not None and today is not None:
        count = warm_up_count(warm_up, today)
        if count is not None:
            counts[DAY_SECONDS] = min(counts.get(DAY_SECONDS, _MOST), count)
    return tuple(pace_of(Rate(count, seconds)) for seconds, count in sorted(counts.items()))


def warm_up_count(warm_up: WarmUpSettings, today: date) -> int | None:
    """Mails a warming relay may be given in a day; None once it is warm.

    As on its first day before that, too.
    """
    passed = max((today - warm_up.since).days, 0)
    if passed >= warm_up.days:
        return None
    count = float(warm_up.first_day)
    for _ in range(passed):
        count *= warm_up.growth
        if count >= _MOST:
            return _MOST
    return int(count)


def refill(
    tokens: float, refilled_at: datetime, burst: float, per_second: float, now: datetime
) -> tuple[float, datetime]:
    """Tokens now, and since when that is so.

    A clock that went back is waited for when it is a matter of seconds; else it is believed, and
    brings nothing.
    """
    elapsed = now - refilled_at
    if elapsed < timedelta(0):
        return min(tokens, burst), refilled_at if -elapsed <= CLOCK_TOLERANCE else now
    return min(burst, tokens + elapsed.total_seconds() * per_second), now


@dataclass(slots=True)
class Bucket:
    """One limit while a batch is gone through; seconds are counted from now."""

    tokens: float
    per_second: float
    #: Mails that may still be taken in hand.
    room: float = math.inf
    #: Nothing goes before that.
    closed_seconds: float = 0.0
    #: The first place in line that has not been promised to a mail put off before.
    line_seconds: float = 0.0
    #: When a mail put off before asks for the next token; not in the future: none does.
    head_seconds: float = 0.0
    taken: int = field(default=0, init=False)

    def is_open(self) -> bool:
        """Whether one more mail may go."""
        return self.tokens >= 1 and self.room >= 1 and self.closed_seconds <= 0

    def take(self) -> None:
        """Have one mail go."""
        self.tokens -= 1
        self.room -= 1
        self.taken += 1

    def next_token_seconds(self) -> float:
        """When one mail could go."""
        missing = max(1 - self.tokens, 0.0)
        return max(self.closed_seconds, missing / self.per_second)

    def next_place_seconds(self) -> float:
        """When it is the turn of the next mail that is put off.

        Who should ask for the next token may have come too early for it by a moment, or be gone;
        then it is for the first who comes, lest it be lost.
        """
        token = self.next_token_seconds()
        return token if self.head_seconds <= 0 else max(self.line_seconds, token)

    def give_place(self, seconds: float) -> None:
        """Promise that place."""
        if self.head_seconds <= 0:
            self.head_seconds = max(seconds, SHORTEST_WAIT_SECONDS)
        self.line_seconds = max(self.line_seconds, seconds + 1 / self.per_second)


#: The limits on each of some names.
Buckets = Mapping[str, tuple[Bucket, ...]]


def choose_later(
    wishes: Sequence[Wish], relays: Buckets, domains: Buckets, providers: Buckets, now: datetime
) -> dict[int, datetime]:
    """Take tokens for the mails that may go under all their limits, in the order given.

    Returns:
        For the others, by id, when to ask again: when it will be their turn, so that each is
        asked about when there is a token for it; those whose turn is more than half an hour off
        are spread over the second half of it. What one limit holds back takes nothing from the
        others.
    """
    later: dict[int, datetime] = {}
    found: dict[tuple[str, str, str], tuple[Bucket, ...]] = {}
    for wish in wishes:
        key = (wish.relay, wish.domain, wish.provider)
        buckets = found.get(key)
        if buckets is None:
            buckets = found[key] = (
                *relays.get(wish.relay, ()),
                *domains.get(wish.domain, ()),
                *providers.get(wish.provider, ()),
            )
        closed = [bucket for bucket in buckets if not bucket.is_open()]
        if closed:
            later[wish.id] = now + timedelta(seconds=_queue(wish, closed))
            continue
        for bucket in buckets:
            bucket.take()
    return later


def _queue(wish: Wish, closed: Sequence[Bucket]) -> float:
    """Seconds after which to ask again; gives a place in the longest of the lines."""
    if wish.is_urgent:
        seconds = max(bucket.next_token_seconds() for bucket in closed)
    else:
        longest = max(closed, key=Bucket.next_place_seconds)
        seconds = longest.next_place_seconds()
        if seconds <= LONGEST_WAIT_SECONDS:
            longest.give_place(seconds)
        else:
            first = LONGEST_WAIT_SECONDS / 2
            if longest.closed_seconds < LONGEST_WAIT_SECONDS:
                first = max(first, longest.closed_seconds)
            share = wish.id * _GOLDEN % 1
            seconds = first + share * (LONGEST_WAIT_SECONDS - first)
    return min(max(seconds, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
