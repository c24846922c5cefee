"""When to try again. Pure."""

import zlib
from datetime import datetime, timedelta

from feedsvc.model.relay import Meaning

#: RFC 5321 §4.5.4.1 thinks of half hours; a digest is stale after a day.
LONGEST_WAIT = timedelta(hours=2)
#: A mailbox that is full stays so for a while.
_FULL_WAIT = timedelta(hours=1)
_SHORTEST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=5)
_DOUBLINGS = 20


def next_retry_at(
    delivery_id: int,
    attempt: int,
    now: datetime,
    first: timedelta,
    meaning: Meaning = Meaning.UNKNOWN,
) -> datetime:
    """When a mail refused for now is tried again: `first`, doubled each time, up to two hours.

    A greylisted mail comes again after `first`, and then after three times that (RFC 6647 §2.3
    thinks of one to fifteen minutes); a full mailbox is not looked at before an hour has gone.
    Up to half as much is added, by the delivery's id, so that what was refused together does not
    come back together.
    """
    before = min(max(attempt, 1) - 1, _DOUBLINGS)
    wait, longest = first * (1 << before), max(first, LONGEST_WAIT)
    match meaning:
        case Meaning.GREYLISTED if before:
            wait = wait * 3 / 2
        case Meaning.FULL:
            wait = max(wait, _FULL_WAIT * (1 << before))
    spread = zlib.crc32(f"{delivery_id}/{attempt}".encode()) / 2**32
    return now + min(wait, longest) * (1 + spread / 2)


def next_pause(failures: int) -> timedelta:
    """How long a relay is left alone after so many failures in a row: 1 s, doubled up to 5 min."""
    return min(_SHORTEST_PAUSE * (1 << min(max(failures, 1) - 1, _DOUBLINGS)), _LONGEST_PAUSE)
