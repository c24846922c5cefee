"""The limits that are configured, and how they and what was learnt stand now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from feedsvc.config_relays import RelaySettings
from feedsvc.config_sending import SendingSettings
from feedsvc.deliveries.lessons import burst_of
from feedsvc.deliveries.throttle import Pace, paces_of
from feedsvc.deliveries.throttle_rows import RowKey, StoredThrottle
from feedsvc.model.throttle import ThrottleKind

#: Stands in the configuration for each provider that has no limits of its own.
_DEFAULT = "default"


class Limits:
    """Looked up by what they are on. `relays` are all those configured, by name."""

    def __init__(self, relays: Mapping[str, RelaySettings], sending: SendingSettings) -> None:
        self._relays = relays
        self._domains = {key: paces_of(given) for key, given in sending.domain_limits.items()}
        self._providers = {key: paces_of(given) for key, given in sending.provider_limits.items()}
        self._default = self._providers.pop(_DEFAULT, ())
        self._of_relays: dict[str, tuple[Pace, ...]] = {}
        self._day: date | None = None

    def __bool__(self) -> bool:
        return bool(
            self._default
            or any(self._domains.values())
            or any(self._providers.values())
            or any(relay.limits or relay.warm_up for relay in self._relays.values())
        )

    def find(self, kind: ThrottleKind, name: str, now: datetime) -> tuple[Pace, ...]:
        """The limits on a relay, domain or provider; a warming relay's change at midnight, UTC."""
        if kind is ThrottleKind.DOMAIN:
            return self._domains.get(name, ())
        if kind is ThrottleKind.PROVIDER:
            return self._providers.get(name, self._default)
        if now.date() != self._day:
            self._day = now.date()
            self._of_relays = {
                key: paces_of(relay.limits, relay.warm_up, self._day)
                for key, relay in self._relays.items()
            }
        return self._of_relays.get(name, ())


@dataclass(frozen=True, slots=True)
class ThrottleState:
    """One limit, or what has been learnt, as it stands; for people and for metrics."""

    kind: ThrottleKind
    name: str
    #: As configured, such as `500/hour`; None: what has been learnt.
    limit: str | None
    #: Mails that could go at once; None where there is only a rest.
    tokens: float | None
    rests_until: datetime | None = None
    #: Mails a second, where replies have taught us a rate.
    learnt_per_second: float | None = None
    reason: str | None = None


def describe_row(
    key: RowKey, row: StoredThrottle, limits: Limits, now: datetime
) -> ThrottleState | None:
    """How a row stands now; None when it says nothing, or its limit is no longer configured."""
    kind, name, period = key
    if row.lesson is not None:
        return _describe_lesson(key, row, now)
    for pace in limits.find(kind, name, now):
        if pace.rate.seconds == period:
            row.refill(pace.burst, pace.per_second, now)
            return ThrottleState(kind, name, pace.text, row.tokens)
    return None


def _describe_lesson(key: RowKey, row: StoredThrottle, now: datetime) -> ThrottleState | None:
    lesson = row.lesson
    if lesson is None or lesson.is_over(now):
        return None
    tokens, rate = None, lesson.per_second(now)
    if rate is not None:
        row.refill(burst_of(rate), rate, now)
        tokens = row.tokens
    until = lesson.rests_until if lesson.is_resting(now) else None
    return ThrottleState(key[0], key[1], None, tokens, until, rate, lesson.reason)
