"""Counts of what handovers came to, since the process began. In memory, for /metrics."""

from collections import Counter
from collections.abc import Mapping

from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import Meaning

#: States that only a reply leads to.
_REPLIED = (DeliveryState.DEFERRED, DeliveryState.FAILED, DeliveryState.EXPIRED)
ACCEPTED = "accepted"


class SendTally:
    """Counts by relay: states that deliveries came to, and meanings of replies."""

    def __init__(self) -> None:
        self._deliveries: Counter[tuple[str, DeliveryState]] = Counter()
        self._replies: Counter[tuple[str, str]] = Counter()

    def note(self, relay: str, state: DeliveryState, meaning: Meaning) -> None:
        """Count what one handover came to. Cheap."""
        self._deliveries[relay, state] += 1
        if state is DeliveryState.SENT:
            self._replies[relay, ACCEPTED] += 1
        elif meaning is not Meaning.UNKNOWN or state in _REPLIED:
            self._replies[relay, meaning.value.replace(" ", "_")] += 1

    def deliveries(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Handovers by relay and the state they led to."""
        return dict(self._deliveries)

    def replies(self) -> Mapping[tuple[str, str], int]:
        """Replies by relay and what they said: a meaning, or `accepted`."""
        return dict(self._replies)
