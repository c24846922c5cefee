"""When to try again. Pure."""

import zlib
from datetime import datetime, timedelta

#: RFC 5321 §4.5.4.1 thinks of half hours; a digest is stale after a day.
LONGEST_WAIT = timedelta(hours=2)
_SHORTEST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=5)
_DOUBLINGS = 20


def next_retry_at(delivery_id: int, attempt: int, now: datetime, first: timedelta) -> datetime:
    """When a mail refused for now is tried again: `first`, doubled each time, up to two hours.

    Up to half as much is added, by the delivery's id, so that what was refused together does not
    come back together. The first retry after five to fifteen minutes is what greylisting waits
    for (RFC 6647 §2.3).
    """
    wait = min(first * (1 << min(max(attempt, 1) - 1, _DOUBLINGS)), max(first, LONGEST_WAIT))
    spread = zlib.crc32(f"{delivery_id}/{attempt}".encode()) / 2**32
    return now + wait * (1 + spread / 2)


def next_pause(failures: int) -> timedelta:
    """How long a relay is left alone after so many failures in a row: 1 s, doubled up to 5 min."""
    return min(_SHORTEST_PAUSE * (1 << min(max(failures, 1) - 1, _DOUBLINGS)), _LONGEST_PAUSE)
