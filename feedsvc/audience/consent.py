"""Whether a wish to subscribe leads to a confirmation mail, and a confirmation to a subscription.

Pure: states and times in, a verdict out. Doing what it says is the work of `subscriptions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from feedsvc.model.subscriber import AddressState, SubscriptionState

#: An address gets at most one confirmation in this time, over all newsletters.
CONFIRMATION_PAUSE = timedelta(hours=24)
#: And at most so many in a week.
CONFIRMATIONS_A_WEEK = 3
WEEK = timedelta(days=7)
#: How long a wish can be confirmed, from the moment it was asked.
CONFIRMATION_LASTS = timedelta(hours=48)

_UNREACHABLE = frozenset({AddressState.DEAD, AddressState.COMPLAINED})
_CONFIRMED = frozenset({SubscriptionState.ACTIVE, SubscriptionState.PAUSED})


class RequestVerdict(StrEnum):
    """What becomes of a request. The person who asked is told the same in each case."""

    #: The address is asked to confirm.
    ASK = "ask"
    #: The newsletter is private or retired, or has no such schedule.
    NOT_OPEN = "not_open"
    #: The address is dead, or its owner called our mail spam.
    UNREACHABLE = "unreachable"
    #: Subscribed already.
    SUBSCRIBED = "subscribed"
    #: The address has been asked to confirm something lately.
    ASKED_LATELY = "asked_lately"


class ConfirmationVerdict(StrEnum):
    """What becomes of a confirmation."""

    #: The subscription becomes active, from now on.
    ACTIVATE = "activate"
    #: It is active already, and stays as it is.
    ALREADY = "already"
    #: The wish is too old, or the person has left since.
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an address when somebody asks for a newsletter in its name.

    `subscription` is None when there is none to this newsletter; `asked_at` holds the times of
    the confirmations of the last week, for whichever newsletter.
    """

    address: AddressState = AddressState.GOOD
    subscription: SubscriptionState | None = None
    asked_at: Sequence[datetime] = ()


def decide_request(standing: Standing, now: datetime) -> RequestVerdict:
    """Whether the address is asked to confirm."""
    if standing.address in _UNREACHABLE:
        return RequestVerdict.UNREACHABLE
    if standing.subscription in _CONFIRMED:
        return RequestVerdict.SUBSCRIBED
    if any(now - at < CONFIRMATION_PAUSE for at in standing.asked_at):
        return RequestVerdict.ASKED_LATELY
    if sum(now - at < WEEK for at in standing.asked_at) >= CONFIRMATIONS_A_WEEK:
        return RequestVerdict.ASKED_LATELY
    return RequestVerdict.ASK


def decide_confirmation(
    state: SubscriptionState, wished_at: datetime, left_at: datetime | None, now: datetime
) -> ConfirmationVerdict:
    """Whether a confirmation makes the subscription active.

    Args:
        state: where the subscription stands.
        wished_at: when the wish was asked that is being confirmed.
        left_at: when the person last left this newsletter; None if never. A wish of before does
            not bring them back.
        now: the present.
    """
    if state in _CONFIRMED:
        return ConfirmationVerdict.ALREADY
    if now - wished_at > CONFIRMATION_LASTS:
        return ConfirmationVerdict.EXPIRED
    if left_at is not None and left_at >= wished_at:
        return ConfirmationVerdict.EXPIRED
    return ConfirmationVerdict.ACTIVATE
