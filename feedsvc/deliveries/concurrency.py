"""How many connections a relay is asked to bear: few at first, fewer when it says "too much".

Additive increase, multiplicative decrease, as TCP does. Pure, but for what it remembers.
"""

#: Accepted mails for each connection before another is added, as long as nothing was too much.
_PROOF = 5
#: After something was too much: how long all must be well before another is added.
_CLEAN_SECONDS = 60.0
#: What is refused together counts once.
_ONCE_SECONDS = 10.0


class Concurrency:
    """Connections that may be open at once: between one and `most`, beginning with `first`."""

    def __init__(self, first: int, most: int) -> None:
        self.allowed = max(1, min(first, most))
        self._most = most
        self._accepted = 0
        self._changed_at = 0.0
        self._halved_at: float | None = None

    def note_accepted(self, monotonic: float) -> None:
        """A mail was taken: in time, one more connection is allowed."""
        if self.allowed >= self._most:
            return
        self._accepted += 1
        if self._halved_at is None:
            if self._accepted < self.allowed * _PROOF:
                return
        elif monotonic - self._changed_at < _CLEAN_SECONDS:
            return
        self.allowed += 1
        self._accepted = 0
        self._changed_at = monotonic

    def note_throttled(self, monotonic: float) -> None:
        """The relay said that it is too much."""
        if self._halved_at is not None and monotonic - self._halved_at < _ONCE_SECONDS:
            self._changed_at = monotonic
            return
        self.allowed = max(1, self.allowed // 2)
        self._halved_at = self._changed_at = monotonic
        self._accepted = 0
