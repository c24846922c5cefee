"""How often one client may ask for one feed document before it is told to wait.

A token bucket for each client, user agent and document. With `feed_requests_per_minute = 60` (the
default) a bucket holds 60 tokens, and one comes back each second:

- a whole document costs 1 token, so that a client may fetch it 60 times at once, and then once a
  second;
- a 304 costs a quarter: 240 at once, then four a second. Asking with a condition is what is wanted;
- an archive page costs a quarter, from one bucket for all archive pages of a feed and whatever the
  user agent, so that a new reader can walk through a long history, and nobody gets more looked up
  by another name.

A client is an IPv4 address or an IPv6 /64. One that meets an empty bucket is answered 429, which
costs it nothing, with the seconds until its bucket is full again in Retry-After: who waits so long
is not told off again. Well-behaved readers ask a few times an hour and never see this; it is for
loops without a pause. Many people behind one address have their user agents in common at worst,
and 60 of them may ask within the same second.

At most `MOST_BUCKETS` buckets of some 200 bytes are kept; the least recently used go first.
"""

from collections import OrderedDict
from math import ceil

FULL_COST = 1.0
KNOWN_COST = 0.25
ARCHIVE_COST = 0.25
MOST_BUCKETS = 20_000
#: Seconds in which an empty bucket is full again.
_REFILL_SECONDS = 60.0
_ROUNDING = 1e-6


class FeedLimits:
    """The buckets of all clients."""

    def __init__(self, requests_per_minute: int, most_buckets: int = MOST_BUCKETS) -> None:
        """`requests_per_minute`: tokens a bucket holds, and gets a minute; at least 1."""
        self._seconds_per_token = _REFILL_SECONDS / requests_per_minute
        self._most = most_buckets
        # A bucket is kept as the instant at which it is full again. The key is a hash, so that
        # nobody's user agent fills the memory; it is a keyed one, so that nobody picks a bucket.
        self._full_at: OrderedDict[int, float] = OrderedDict()

    def take(
        self, network: bytes, user_agent: bytes, document: str, cost: float, now: float
    ) -> int:
        """Take tokens for a request.

        Args:
            network: of the client; see clients.py.
            document: what is asked for.
            cost: tokens it takes.
            now: seconds of a clock that never goes back.

        Returns:
            0 when there were enough tokens, else the seconds to wait; none were taken then.
        """
        key = hash((network, user_agent, document))
        full_at = self._full_at
        before = max(full_at.get(key, now), now)
        after = before + cost * self._seconds_per_token
        if after - now > _REFILL_SECONDS + _ROUNDING:
            full_at.move_to_end(key)  # it is there, or it were full
            return max(1, ceil(before - now))
        full_at[key] = after
        full_at.move_to_end(key)
        if len(full_at) > self._most:
            full_at.popitem(last=False)
        return 0

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._full_at)
