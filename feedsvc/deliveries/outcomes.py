"""What a delivery becomes: the arrows of the delivery diagram. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from feedsvc.config_sending import SendingSettings
from feedsvc.deliveries.retry import next_pause, next_retry_at
from feedsvc.kit.replies import advice
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.relay import Meaning, SendResult, Verdict

Uncertain = Literal["carry", "resend", "hold"]

#: A mail is set aside when workers died this often with it alone in hand.
CRASHES_ALONE = 3
#: A first death counts once for every mail the worker held, so these are sent alone afterwards.
SUSPECT = 1

#: What a reply said, in our words; they stand behind the server's own.
_SAID = {
    Meaning.DEAD_ADDRESS: "the address does not exist",
    Meaning.DEAD_DOMAIN: "the domain does not exist, or takes no mail",
    Meaning.UNUSABLE_ADDRESS: "mail cannot be sent to an address written like this",
    Meaning.DISABLED: "the mailbox is switched off",
    Meaning.FULL: "the mailbox is full",
    Meaning.THROTTLED: "too much mail at once",
    Meaning.GREYLISTED: "not known there yet; the same mail is taken a little later",
}
#: Refused because of this mail or of us, whatever the verdict: says nothing about the address.
_NOT_THEIRS = frozenset(
    {
        Meaning.TOO_LARGE,
        Meaning.POLICY,
        Meaning.OUR_FAULT,
        Meaning.THROTTLED,
        Meaning.GREYLISTED,
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How deliveries are tried again, and what becomes of those in doubt."""

    first_retry: timedelta
    uncertain_digests: Uncertain
    #: Of all mail that has no window.
    uncertain_notices: Uncertain

    @classmethod
    def of(cls, settings: SendingSettings) -> "Policy":
        """The policy the settings ask for."""
        return cls(
            timedelta(seconds=settings.first_retry_seconds),
            settings.uncertain_digests,
            settings.uncertain_notices,
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the outcome of a handover depends on, besides its result."""

    id: int
    attempt: int
    #: Its articles come in the next digest should it not arrive. Notices, announcements and their
    #: like have none: nothing stands in for them.
    has_window: bool
    doubts: int
    crashes: int
    expires_at: datetime
    #: The person's address has refused mails lately.
    is_failing: bool = False


class SubscriberEffect(StrEnum):
    """What an outcome says about the person's address."""

    #: Nothing.
    NONE = "none"
    #: It takes mail.
    ALIVE = "alive"
    #: It refused a mail, for its own reasons.
    FAILURE = "failure"
    #: It does not exist.
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is written into the delivery's row, and what follows from it.

    `next_at` None leaves the row's as it is. `settles` moves the subscription's cursor.
    """

    state: DeliveryState
    reason: str | None
    doubts: int
    crashes: int
    next_at: datetime | None = None
    settles: bool = False
    effect: SubscriberEffect = SubscriberEffect.NONE


def decide_outcome(facts: Facts, result: SendResult, now: datetime, policy: Policy) -> Outcome:
    """The state a handover ends in."""
    match result.verdict:
        case Verdict.ACCEPTED:
            return Outcome(
                DeliveryState.SENT,
                None,
                facts.doubts,
                0,
                settles=True,
                effect=SubscriberEffect.ALIVE if facts.is_failing else SubscriberEffect.NONE,
            )
        case Verdict.DEFERRED:
            return _decide_deferred(facts, result, now, policy)
        case Verdict.REFUSED:
            return _end(
                DeliveryState.FAILED, f"refused: {_reply(result)}", facts, _effect_of(result)
            )
        case Verdict.BLOCKED:
            return _end(DeliveryState.FAILED, f"blocked: {_reply(result)}", facts)
        case Verdict.UNAVAILABLE:
            # Behind the others, lest one mail that ends sessions stop all the rest.
            return Outcome(
                DeliveryState.PENDING,
                f"the relay was not available: {_reply(result)}",
                facts.doubts,
                facts.crashes,
                next_at=now + next_pause(facts.attempt),
            )
        case Verdict.UNKNOWN:
            return _decide_doubt(facts, result, now, policy)
        case Verdict.WITHHELD:
            return decide_release(facts)


def decide_release(facts: Facts) -> Outcome:
    """What was claimed and certainly not handed over is as it was found."""
    return Outcome(DeliveryState.PENDING, None, facts.doubts, facts.crashes)


def decide_unbuildable(
    facts: Facts, problem: str, permanent: bool, now: datetime, policy: Policy
) -> Outcome:
    """A message that could not be made: for good, or tried again like a mail refused for now."""
    if permanent:
        return _end(DeliveryState.FAILED, f"cannot be made: {problem}", facts)
    return _decide_later(facts, f"could not be made: {problem}", now, policy)


def decide_recovery(
    facts: Facts, *, was_dotted: bool, was_alone: bool, now: datetime, policy: Policy
) -> Outcome:
    """What becomes of a row whose worker died holding it.

    A claimed row is certainly unsent. Of a dead worker's many rows none is to blame in
    particular: each becomes a suspect, to be sent alone; three deaths alone set it aside.
    """
    crashes = facts.crashes + 1 if was_alone else max(facts.crashes, SUSPECT)
    crashed = replace(facts, crashes=crashes)
    if was_dotted:
        silence = SendResult(Verdict.UNKNOWN, text="the sender died before a reply came")
        outcome = _decide_doubt(crashed, silence, now, policy)
    else:
        outcome = decide_release(crashed)
    if outcome.state is DeliveryState.PENDING and crashes >= SUSPECT + CRASHES_ALONE:
        reason = f"set aside after {CRASHES_ALONE} crashes with this mail alone in hand"
        state = DeliveryState.UNCERTAIN if crashed.doubts or was_dotted else DeliveryState.FAILED
        return Outcome(state, reason, outcome.doubts, crashes)
    return outcome


def _effect_of(refusal: SendResult) -> SubscriberEffect:
    """What a final refusal says about the address; a block on us says nothing about anybody."""
    if refusal.address_dead:
        return SubscriberEffect.DEAD
    if refusal.meaning in _NOT_THEIRS:
        return SubscriberEffect.NONE
    return SubscriberEffect.FAILURE


def _end(
    state: DeliveryState,
    reason: str,
    facts: Facts,
    effect: SubscriberEffect = SubscriberEffect.NONE,
) -> Outcome:
    """An end without arrival, unless an earlier handover got no reply: then it says so."""
    if facts.doubts:
        reason += "; an earlier try may have arrived"
    return Outcome(state, reason, facts.doubts, 0, effect=effect)


def _decide_deferred(facts: Facts, result: SendResult, now: datetime, policy: Policy) -> Outcome:
    return _decide_later(facts, f"refused for now: {_reply(result)}", now, policy, result.meaning)


def _decide_later(
    facts: Facts,
    why: str,
    now: datetime,
    policy: Policy,
    meaning: Meaning = Meaning.UNKNOWN,
) -> Outcome:
    next_at = next_retry_at(facts.id, facts.attempt, now, policy.first_retry, meaning)
    if next_at >= facts.expires_at:
        # Nobody hears of a retry that would come too late.
        return _end(DeliveryState.EXPIRED, f"given up; last {why}", facts)
    return Outcome(DeliveryState.DEFERRED, why, facts.doubts, 0, next_at=next_at)


def _decide_doubt(facts: Facts, result: SendResult, now: datetime, policy: Policy) -> Outcome:
    doubts = facts.doubts + 1
    choice = policy.uncertain_digests if facts.has_window else policy.uncertain_notices
    silence = result.text or "no reply"
    if choice == "hold":
        return Outcome(
            DeliveryState.HELD, f"may have arrived: {silence}", doubts, facts.crashes, settles=True
        )
    if choice == "resend" and doubts == 1 and now < facts.expires_at:
        return Outcome(
            DeliveryState.PENDING,
            f"may have arrived, sent once more: {silence}",
            doubts,
            facts.crashes,
            next_at=now,
        )
    # The second time is final: whoever has two copies shall not get a third.
    more = " both times" if doubts > 1 else ""
    if choice == "resend" and doubts == 1:
        more = "; too late to send it once more"
    return Outcome(
        DeliveryState.UNCERTAIN, f"may have arrived{more}: {silence}", doubts, facts.crashes
    )


def _reply(result: SendResult) -> str:
    """The server's words, and ours behind them where they say more."""
    reply = " ".join(part for part in (str(result.code or ""), result.text) if part)
    ours = _SAID.get(result.meaning)
    if result.verdict in (Verdict.BLOCKED, Verdict.UNAVAILABLE) or ours is None:
        ours = advice(result.meaning, reply) or ours
    return (f"{reply} ({ours})" if ours else reply) or "no reason"
