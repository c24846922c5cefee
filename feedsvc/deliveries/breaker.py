"""The circuit breaker: when so many mails are refused that going on would do harm.

Tells what should be paused, and why; pauses nothing. Knows what this process has seen lately, and
no clock. Results that say nothing about list or sender (deferred, throttled, greylisted, full,
no reply) count as nothing at all, not even as mails.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from feedsvc.config_sending import BreakerSettings
from feedsvc.kit.replies import advice, hide_addresses
from feedsvc.model.relay import Meaning, SendResult, Verdict

#: An edition is judged by its last mails, this many times as many as it takes to judge at all.
_EDITION_SPAN = 10
_PROVIDER_SPAN = 2
#: A provider takes fewer to be judged than an edition, by this factor: it is only left alone.
_PROVIDER_FACTOR = 5
#: Fewer blocks than this are two people's own filters, and no verdict on us.
_FEWEST_BLOCKS = 3
#: Of what happened longer ago nothing is known any more.
_STALE = timedelta(hours=6)
#: Bounds of memory; whoever was heard of last stays.
_MOST_EDITIONS = 64
_MOST_PROVIDERS = 2000
#: Characters of a provider's own words that are shown.
_WORDS = 200


@dataclass(frozen=True, slots=True)
class Trip:
    """Something should be paused: an edition until a person resumes it, or a provider `until`."""

    edition_id: int | None
    provider: str | None
    until: datetime | None
    #: What happened and what can be done, for people; holds no addresses.
    reason: str


class _Kind(IntEnum):
    """What a result says, to the breaker."""

    TAKEN = 0
    #: Refused: nobody there.
    DEAD = 1
    #: Refused at RCPT because of the address, in other ways or in words nobody knows.
    REFUSED = 2
    #: Refused because of us, or of what we send.
    BLOCKED = 3


_OF_THE_ADDRESS = {
    Meaning.DEAD_ADDRESS: _Kind.DEAD,
    Meaning.DEAD_DOMAIN: _Kind.DEAD,
    Meaning.UNUSABLE_ADDRESS: _Kind.REFUSED,
    Meaning.DISABLED: _Kind.REFUSED,
    Meaning.UNKNOWN: _Kind.REFUSED,
    Meaning.TOO_LARGE: _Kind.BLOCKED,
}


class _Edition:
    """The last mails of one edition."""

    __slots__ = ("blocked", "dead", "last", "mails", "noted_at", "refused")

    def __init__(self, now: datetime) -> None:
        self.mails: deque[tuple[str, _Kind]] = deque()
        self.dead = self.refused = self.blocked = 0
        self.noted_at = now
        #: The last refusal of a kind.
        self.last: dict[_Kind, SendResult] = {}

    def add(self, provider: str, kind: _Kind, result: SendResult, span: int) -> None:
        self.mails.append((provider, kind))
        if kind:
            self._count(kind, 1)
            self.last[kind] = result
        if len(self.mails) > span:
            kind = self.mails.popleft()[1]
            if kind:
                self._count(kind, -1)

    def drop_blocked(self, provider: str) -> None:
        """Forget how a provider blocks us: it is left alone for that already."""
        gone = (provider, _Kind.BLOCKED)
        self.mails = deque(mail for mail in self.mails if mail != gone)
        self.blocked = sum(kind is _Kind.BLOCKED for _, kind in self.mails)

    @property
    def blocked_elsewhere(self) -> int:
        """Mails blocked by others than the provider that blocks most."""
        by_provider = Counter(name for name, kind in self.mails if kind is _Kind.BLOCKED)
        return self.blocked - max(by_provider.values(), default=0)

    def _count(self, kind: _Kind, by: int) -> None:
        if kind is _Kind.BLOCKED:
            self.blocked += by
        elif kind is _Kind.DEAD:
            self.dead += by
        else:
            self.refused += by


class _Provider:
    """The last mails to one provider; whether each was blocked."""

    __slots__ = ("blocked", "mails", "noted_at", "rests_until")

    def __init__(self, now: datetime) -> None:
        self.mails: deque[bool] = deque()
        self.blocked = 0
        self.noted_at = now
        self.rests_until: datetime | None = None

    def add(self, is_blocked: bool, span: int) -> None:
        self.mails.append(is_blocked)
        self.blocked += is_blocked
        if len(self.mails) > span:
            self.blocked -= self.mails.popleft()

    def clear(self) -> None:
        self.mails.clear()
        self.blocked = 0


class Breaker:
    """Watches results, of all editions and providers at once. Used from one thread."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        at_least = settings.at_least
        self._edition_span = at_least * _EDITION_SPAN
        self._provider_at_least = max(1, at_least // _PROVIDER_FACTOR)
        self._provider_span = max(self._provider_at_least, at_least * _PROVIDER_SPAN)
        self._fewest_blocks = min(_FEWEST_BLOCKS, self._provider_at_least)
        self._pause = timedelta(minutes=settings.pause_minutes)
        self._editions: OrderedDict[int, _Edition] = OrderedDict()
        self._providers: OrderedDict[str, _Provider] = OrderedDict()

    def note(
        self, edition_id: int | None, provider: str, result: SendResult, now: datetime
    ) -> Trip | None:
        """Count one result; what should be paused because of it, if anything.

        `edition_id` None is a notice, which counts for its provider alone. After a trip the
        counting of what tripped begins anew.
        """
        kind = _kind_of(result)
        if kind is None:
            return None
        trip = self._note_provider(provider, kind, result, now)
        if edition_id is None:
            return trip
        edition = self._edition(edition_id, now)
        if kind is _Kind.BLOCKED and (trip or self._rests(provider)):
            return trip
        edition.add(provider, kind, result, self._edition_span)
        return trip or self._judge_edition(edition_id, edition, kind)

    def forget(self, edition_id: int) -> None:
        """Count an edition anew: it was resumed, or is over."""
        self._editions.pop(edition_id, None)

    def _note_provider(
        self, name: str, kind: _Kind, result: SendResult, now: datetime
    ) -> Trip | None:
        provider = self._provider(name, now)
        if provider.rests_until is not None:
            # What was on its way when the provider was left alone comes in still.
            return None
        provider.add(kind is _Kind.BLOCKED, self._provider_span)
        mails, blocked = len(provider.mails), provider.blocked
        if (
            mails < self._provider_at_least
            or blocked < self._fewest_blocks
            or blocked < mails * self._settings.blocked_share
        ):
            return None
        provider.clear()
        provider.rests_until = now + self._pause
        for edition in self._editions.values():
            edition.drop_blocked(name)
        minutes = self._settings.pause_minutes
        return Trip(
            None,
            name,
            provider.rests_until,
            f"{blocked} of the last {mails} mails to {name} were refused because of us, so it is"
            f" left alone for {minutes:g} minutes. {_last(result)}",
        )

    def _judge_edition(self, edition_id: int, edition: _Edition, kind: _Kind) -> Trip | None:
        settings, mails = self._settings, len(edition.mails)
        if mails < settings.at_least:
            return None
        # The shares grow by a refusal, or when there are enough to judge.
        if not kind and mails != settings.at_least:
            return None
        refused = edition.dead + edition.refused
        if refused and refused >= mails * settings.refused_share:
            what = _say_refused(edition, refused)
        elif (
            edition.blocked
            and edition.blocked >= mails * settings.blocked_share
            and (elsewhere := edition.blocked_elsewhere) >= self._fewest_blocks
            and elsewhere >= mails * settings.blocked_share
        ):
            what = (
                f"{edition.blocked} of the last {mails} mails were refused because of us, by"
                " several providers. Put right what they say, then resume the edition."
                f" {_last(edition.last[_Kind.BLOCKED])}"
            )
        else:
            return None
        self.forget(edition_id)
        return Trip(edition_id, None, None, what)

    def _edition(self, edition_id: int, now: datetime) -> _Edition:
        edition = self._editions.get(edition_id)
        if edition is None or now - edition.noted_at > _STALE:
            edition = self._editions[edition_id] = _Edition(now)
            if len(self._editions) > _MOST_EDITIONS:
                self._editions.popitem(last=False)
        edition.noted_at = now
        self._editions.move_to_end(edition_id)
        return edition

    def _provider(self, name: str, now: datetime) -> _Provider:
        provider = self._providers.get(name)
        if provider is None:
            provider = self._providers[name] = _Provider(now)
            if len(self._providers) > _MOST_PROVIDERS:
                self._providers.popitem(last=False)
        elif provider.rests_until is not None:
            if now >= provider.rests_until:
                provider.rests_until = None
        elif now - provider.noted_at > _STALE:
            provider.clear()
        provider.noted_at = now
        self._providers.move_to_end(name)
        return provider

    def _rests(self, name: str) -> bool:
        return self._providers[name].rests_until is not None


def _kind_of(result: SendResult) -> _Kind | None:
    """None for what says nothing about list or sender."""
    match result.verdict:
        case Verdict.ACCEPTED:
            return _Kind.TAKEN
        case Verdict.REFUSED:
            return _Kind.DEAD if result.address_dead else _OF_THE_ADDRESS.get(result.meaning)
        case Verdict.BLOCKED if result.code is not None:
            # Without a code it was the relay's own doing, for what this one address needs.
            return _Kind.BLOCKED
        case _:
            return None


def _say_refused(edition: _Edition, refused: int) -> str:
    what = f"{refused} of the last {len(edition.mails)} mails were refused because "
    if 2 * edition.dead >= refused:
        dead = "" if edition.dead == refused else f" ({edition.dead}) or cannot be used"
        return (
            f"{what}their addresses do not exist{dead}: the list may be old, or somebody else's."
            " See where the addresses come from, then resume or cancel the edition."
            f" {_last(edition.last[_Kind.DEAD])}"
        )
    return (
        f"{what}of their addresses, or for reasons that are not plain. Read what the servers say,"
        f" then resume or cancel the edition. {_last(edition.last[_Kind.REFUSED])}"
    )


def _last(refusal: SendResult) -> str:
    """A refusal in their own words, and what can be done about it."""
    words = hide_addresses(f"{refusal.code or ''} {refusal.text}")[:_WORDS]
    what = advice(refusal.meaning, refusal.text)
    return f"The last said: {words}" + (f" ({what})" if what else "")
