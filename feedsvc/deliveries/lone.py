"""Limits of one mail a period: when the one before was handed over.

In memory: of what a process before may have sent, the worst is assumed.
"""

from datetime import datetime, timedelta

from feedsvc.deliveries.throttle import CLOCK_TOLERANCE
from feedsvc.model.throttle import ThrottleKind

#: A handover takes less than that, slow servers included.
_LONGEST_HANDOVER = timedelta(hours=1)
#: More than a period, lest two fall on the two ends of one.
_GAP = timedelta(milliseconds=1)


class Lone:
    """The last handover for each name that may have one a period."""

    def __init__(self) -> None:
        #: None: it is under way.
        self._ended: dict[tuple[ThrottleKind, str], datetime | None] = {}

    def __bool__(self) -> bool:
        return bool(self._ended)

    def take(self, key: tuple[ThrottleKind, str]) -> None:
        """A mail goes."""
        self._ended[key] = None

    def give_back(self, key: tuple[ThrottleKind, str]) -> None:
        """It did not go, and waits for none before it."""
        self._ended.pop(key, None)

    def note(self, key: tuple[ThrottleKind, str], now: datetime) -> None:
        """It has been handed over."""
        if key in self._ended:
            self._ended[key] = now

    def wait_seconds(
        self,
        key: tuple[ThrottleKind, str],
        period_seconds: int,
        taken_at: datetime | None,
        in_hand: int,
        now: datetime,
    ) -> float:
        """How long until the next may go; not above 0 when it may.

        Args:
            key: kind and name of the limit.
            period_seconds: of the limit.
            taken_at: when the last token was taken, by the database; None: it is there.
            in_hand: mails under way.
            now: the present.
        """
        if in_hand:
            return 0.0  # the bucket has no room
        if (
            taken_at is None
            or now - taken_at > timedelta(seconds=period_seconds) + _LONGEST_HANDOVER
        ):
            return 0.0
        ended = self._ended.get(key)
        if ended is None or ended - now > CLOCK_TOLERANCE:
            # By another process, or nobody told us, or the clock went back.
            ended = self._ended[key] = now
        return (ended + timedelta(seconds=period_seconds) + _GAP - now).total_seconds()
