"""How many read a feed, counted without knowing anybody.

Two sorts of reader: hosted ones say for how many people they ask (agents.py), and single clients
are counted by linear counting: each sets one bit of a bitmap, chosen by a keyed digest, and the
number of bits that are still zero tells how many there were. Nothing here touches the database.
"""

import asyncio
import hmac
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import log

from feedsvc.feeds.readers.agents import MAX_AGENT_LENGTH, AgentCount, read_agent, read_client

#: Bits of a bitmap: at a hundred thousand clients the count is off by half a percent.
BITS = 2**16
_BYTES = BITS // 8
#: A client is counted once in so many days, and a hosted reader's number is good for as long.
ROLLING_DAYS = 7
#: Hosted readers of one feed that are told apart on one day; a client can invent as many as it
#: likes.
MOST_AGENTS = 100
#: Programs at one address that are told apart; it can invent as many as it likes, too.
PROGRAMS_AN_ADDRESS = 16
#: Notes that wait, and distinct ones that are kept until they are counted.
_NOTES = 4096
_MOST_DISTINCT = 200_000

FeedDay = tuple[str, str]
_Note = tuple[str, bytes, bytes]


@dataclass(frozen=True, slots=True)
class ReaderTotals:
    """How many read a feed: a lower bound, as good as what hosted readers say.

    `hosted` is the sum of their last numbers of the last seven days, `individuals` the distinct
    clients of those days.
    """

    hosted: int = 0
    individuals: int = 0
    #: Hosted reader -> for how many people it asks.
    by_agent: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Both together."""
        return self.hosted + self.individuals


@dataclass(slots=True)
class Gathered:
    """What has been counted and not been stored yet."""

    #: (feed, day) -> agent -> for how many it asks.
    hosted: dict[FeedDay, dict[str, int]] = field(default_factory=dict)
    #: (feed, day) -> bits that clients set.
    bits: dict[FeedDay, set[int]] = field(default_factory=dict)


class ReaderCounts:
    """Counts requests for feeds: `note` on the hot path, `gather` beside it.

    Args:
        key: what the choice of bits is keyed with (`Keyring.derive`), so that nobody who has only
            the database can find out whether an address is among the clients. It is the same for
            ever, since a client has to set the same bit on each of seven days.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._notes: list[_Note] = []
        #: Distinct, in the order they first came.
        self._distinct: dict[_Note, None] = {}
        self._gathered = Gathered()
        #: What this process has stored today, so that it is not written again.
        self._stored = Gathered()
        self._day = ""

    def note(
        self, feed_key: str, user_agent: bytes, client: bytes, conditional: bool = False
    ) -> None:
        """Remember a request for a feed, whatever its answer; a 304 is a reader like any other.

        Args:
            client: what it is counted by: the IPv4 address it came from, or the network of an IPv6
                one, whose second half hosts change every day (RFC 8981).
            conditional: makes no difference; programs that keep nothing between requests read too.
        """
        notes = self._notes
        # SECURITY: a client may send any length; no more is looked at.
        notes.append((feed_key, user_agent[:MAX_AGENT_LENGTH], client))
        if len(notes) >= _NOTES:
            self._settle()

    def _settle(self) -> None:
        """Keep of the notes what is distinct; what goes beyond the bound is not counted."""
        notes, self._notes = self._notes, []
        if len(self._distinct) < _MOST_DISTINCT:
            self._distinct.update(dict.fromkeys(notes))

    async def gather(self, now: datetime) -> None:
        """Count what has been noted, as requests of the present day (UTC); in a thread.

        One at a time, and none between `take` and `keep`.
        """
        self._settle()
        notes, self._distinct = self._distinct, {}
        if notes:
            await asyncio.to_thread(self._gather, notes, _day(now))

    def _gather(self, notes: Iterable[_Note], day: str) -> None:
        if day != self._day:
            self._day, self._stored = day, Gathered()
        for feed, user_agent, client in notes:
            reader = _read_reader(user_agent)
            if isinstance(reader, AgentCount):
                self._count_hosted((feed, day), reader)
            elif reader is not None:
                self._count_client((feed, day), reader, client)

    def _count_hosted(self, feed_day: FeedDay, stated: AgentCount) -> None:
        agents = self._gathered.hosted.setdefault(feed_day, {})
        known = self._stored.hosted.get(feed_day, {})
        is_new = stated.agent not in known and stated.agent not in agents
        if is_new and len(known.keys() | agents.keys()) >= MOST_AGENTS:
            return
        number = stated.subscribers
        if stated.feed_id is None:
            # It may fetch several documents of the feed, each for others, and does not say which:
            # the largest of its numbers is the lower bound.
            number = max(number, agents.get(stated.agent, 0), known.get(stated.agent, 0))
        agents[stated.agent] = number

    def _count_client(self, feed_day: FeedDay, program: str, client: bytes) -> None:
        bit = self._bit(feed_day[0], program, client)
        if bit not in self._stored.bits.get(feed_day, ()):
            self._gathered.bits.setdefault(feed_day, set()).add(bit)

    def _bit(self, feed: str, program: str, client: bytes) -> int:
        # SECURITY: the feed is part of what is digested, so that bits of two feeds cannot be
        # matched to find out who reads both.
        slot = zlib.crc32(program.encode()) % PROGRAMS_AN_ADDRESS
        message = b"%s\0%d\0%s" % (feed.encode(), slot, client)
        digest = hmac.digest(self._key, message, "sha256")
        return int.from_bytes(digest[:4], "big") % BITS

    def take(self) -> Gathered:
        """What has been gathered and is not on disk; it stays until it is kept."""
        hosted = {}
        for feed_day, agents in self._gathered.hosted.items():
            known = self._stored.hosted.get(feed_day, {})
            changed = {one: number for one, number in agents.items() if known.get(one) != number}
            if changed:
                hosted[feed_day] = changed
        return Gathered(hosted, {one: set(bits) for one, bits in self._gathered.bits.items()})

    def keep(self, taken: Gathered) -> None:
        """Note that what was taken is on disk."""
        self._gathered = Gathered()
        for feed_day, agents in taken.hosted.items():
            if feed_day[1] == self._day:
                self._stored.hosted.setdefault(feed_day, {}).update(agents)
        for feed_day, bits in taken.bits.items():
            if feed_day[1] == self._day:
                self._stored.bits.setdefault(feed_day, set()).update(bits)


@lru_cache(maxsize=4096)
def _read_reader(user_agent: bytes) -> AgentCount | str | None:
    """A hosted reader's number, the name of a single client's program, or None for no reader."""
    text = user_agent.decode("latin-1")
    return read_agent(text) or read_client(text)


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def rolling_days(now: datetime) -> list[str]:
    """The days (UTC) that count at an instant, the oldest first."""
    today = now.astimezone(UTC).date()
    return [(today - timedelta(days=back)).isoformat() for back in reversed(range(ROLLING_DAYS))]


def pack_bits(bits: Iterable[int]) -> bytes:
    """A bitmap as it is stored: deflated, since most are nearly empty."""
    bitmap = bytearray(_BYTES)
    for bit in bits:
        bitmap[bit >> 3] |= 1 << (bit & 7)
    return zlib.compress(bitmap, 6)


def merge_bitmaps(stored: Iterable[bytes]) -> bytes:
    """The stored bitmap of all clients that are in any of these."""
    merged = 0
    for one in stored:
        merged |= _unpack(one)
    return zlib.compress(merged.to_bytes(_BYTES, "little"), 6)


def count_clients(stored: Iterable[bytes]) -> int:
    """How many clients are in any of these bitmaps, by linear counting (Whang et al., 1990)."""
    merged = 0
    for one in stored:
        merged |= _unpack(one)
    zeros = max(BITS - merged.bit_count(), 1)
    return round(-BITS * log(zeros / BITS))


def _unpack(stored: bytes) -> int:
    # SECURITY: inflates to a bitmap's size, and no further.
    return int.from_bytes(zlib.decompressobj().decompress(stored, _BYTES), "little")


def add_up(numbers: Iterable[tuple[str, str, int]], bitmaps: Iterable[bytes]) -> ReaderTotals:
    """Totals of one feed.

    Args:
        numbers: (day, agent, subscribers) in any order; the last day of each agent counts.
        bitmaps: of its clients, of the same days.
    """
    last: dict[str, tuple[str, int]] = {}
    for day, agent, subscribers in numbers:
        if agent not in last or last[agent][0] < day:
            last[agent] = (day, subscribers)
    by_agent: dict[str, int] = {}
    for agent, (_, subscribers) in last.items():
        name = agent.partition("#")[0]
        by_agent[name] = by_agent.get(name, 0) + subscribers
    ordered = dict(sorted(by_agent.items(), key=lambda one: (-one[1], one[0])))
    return ReaderTotals(sum(by_agent.values()), count_clients(bitmaps), ordered)
