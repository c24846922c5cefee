"""What a subscriber had chosen at an earlier time, from the log of their changes. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from feedsvc.editions.why.facts import Jump
from feedsvc.model.subscriber import SubscriptionChange

#: What the log calls a beginning.
_CONFIRMED = ("confirmed", "added")
#: What changes whether somebody is mailed at all.
_STATES = (*_CONFIRMED, "requested", "unsubscribed", "paused", "resumed")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A subscriber's choices of one time."""

    #: Key of the schedule.
    schedule: str
    topics: tuple[str, ...]
    language: str
    zone: str


@dataclass(frozen=True, slots=True)
class History:
    """What they have now, and how it came to be, oldest first."""

    present: Chosen
    changes: Sequence[SubscriptionChange]

    def at(self, when: datetime) -> Chosen:
        """What they had chosen at an instant: the present, with what came after it undone."""
        chosen = self.present
        for change in reversed(self.changes):
            if change.at <= when:
                break
            if change.what == "changed":
                chosen = _undone(chosen, change.detail.get("before", {}))
        return chosen

    @property
    def schedules(self) -> frozenset[str]:
        """Keys of the schedules they have had."""
        before = (change.detail.get("before", {}).get("schedule") for change in self.changes)
        return frozenset({self.present.schedule, *(key for key in before if key)})

    @property
    def topics_since(self) -> datetime | None:
        """When they last changed their topics; None: never since they confirmed."""
        return _last(
            change.at
            for change in self.changes
            if change.what == "changed" and "topics" in change.detail.get("after", {})
        )

    @property
    def state_since(self) -> datetime | None:
        """When they last came, left, paused or went on."""
        return _last(change.at for change in self.changes if change.what in _STATES)

    @property
    def beginnings(self) -> list[tuple[datetime, int]]:
        """When they confirmed, and the number of the newest article then."""
        return [
            (change.at, int(change.detail["cursor"]))
            for change in self.changes
            if change.what in _CONFIRMED and "cursor" in change.detail
        ]

    @property
    def jumps(self) -> list[Jump]:
        """What they did not want at the end of pauses."""
        return [
            Jump(change.at, int(change.detail["from"]), int(change.detail["to"]))
            for change in self.changes
            if change.what == "resumed" and {"from", "to"} <= change.detail.keys()
        ]


def _undone(chosen: Chosen, before: dict[str, Any]) -> Chosen:
    known = {name: before[name] for name in Chosen.__slots__ if name in before}
    if "topics" in known:
        known["topics"] = tuple(known["topics"])
    return replace(chosen, **known)


def _last(times: Iterable[datetime]) -> datetime | None:
    return max(times, default=None)
