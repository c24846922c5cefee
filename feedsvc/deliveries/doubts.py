"""What can be decided about a mail in doubt, and what it makes of its row. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from feedsvc.deliveries.claim import choose_skip
from feedsvc.model.delivery import DeliveryState
from feedsvc.model.edition import EditionState
from feedsvc.model.subscriber import AddressState, SubscriptionState


class Settling(StrEnum):
    """What a person says of a mail in doubt."""

    #: It arrived.
    ARRIVED = "arrived"
    #: The same mail is to go once more.
    AGAIN = "again"
    #: It is not repeated; its articles come in the next digest.
    CARRY = "carry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A mail in doubt, and where its reader stands. Of a notice all below `address` is None.

    Announcements and their like have no window: no cursor moves for them, and no digest repeats
    them or stands in their way.
    """

    id: int
    state: DeliveryState
    reason: str | None
    #: How often it was handed over without a reply.
    doubts: int
    address: AddressState
    subscription_id: int | None
    subscription: SubscriptionState | None
    edition: EditionState | None
    cursor: int | None
    from_seq: int | None
    cut_seq: int | None
    #: Another mail with a window for the same subscription is open.
    under_way: bool
    #: Nobody else can change the subscription until we are through.
    is_ours: bool

    @property
    def is_notice(self) -> bool:
        """A mail that no edition is behind."""
        return self.edition is None

    @property
    def has_window(self) -> bool:
        """Whether its articles come in the next digest, should it not have arrived."""
        return self.from_seq is not None


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the row; `cursor` None leaves the reader's as it is."""

    state: DeliveryState
    reason: str
    cursor: int | None = None


def choose_change(how: Settling, doubt: Doubt) -> Change | str:
    """What a decision makes of a mail in doubt; or why nothing, in words."""
    if doubt.state not in (DeliveryState.HELD, DeliveryState.UNCERTAIN):
        return "not in doubt (any more)"
    if doubt.has_window and not doubt.is_ours:
        return "being changed at this moment; say it again"
    match how:
        case Settling.ARRIVED:
            return _arrived(doubt)
        case Settling.AGAIN:
            return _again(doubt)
        case Settling.CARRY:
            return _carry(doubt)


def _arrived(doubt: Doubt) -> Change:
    # A digest that was carried has left its window open. While another mail that covers it is
    # under way, that one settles it: it would find the cursor moved, and leave it behind itself.
    covers = _has_open_window(doubt) and not doubt.under_way
    said = _say("arrived, the operator says", doubt)
    return Change(DeliveryState.SENT, said, doubt.cut_seq if covers else None)


def _again(doubt: Doubt) -> Change | str:
    if doubt.doubts > 1:
        return "in doubt twice, which is final"
    if (skip := choose_skip(doubt.address, doubt.subscription, doubt.is_notice)) is not None:
        return skip
    if doubt.edition is EditionState.CANCELLED:
        return "its edition was cancelled"
    if doubt.has_window and doubt.under_way:
        return "another mail to the same person is under way"
    is_carried = doubt.state is DeliveryState.UNCERTAIN and doubt.has_window
    if is_carried and not _has_open_window(doubt):
        return "its articles came with a later edition"
    said = _say("sent once more, as the operator says", doubt)
    # Its window is settled when it arrives. Should it not, its articles come in the next digest;
    # but not if later ones were mailed since, which going back would repeat.
    reopens = doubt.has_window and not is_carried and doubt.cursor == doubt.cut_seq
    return Change(DeliveryState.PENDING, said, doubt.from_seq if reopens else None)


def _carry(doubt: Doubt) -> Change | str:
    if doubt.state is DeliveryState.UNCERTAIN:
        return "carried already" if doubt.has_window else "given up already"
    said = _say("not repeated, as the operator says", doubt)
    if not doubt.has_window:
        return Change(DeliveryState.UNCERTAIN, said)
    # What was settled after it stays settled: going back would repeat it.
    if doubt.under_way or doubt.cursor != doubt.cut_seq:
        return "later articles were mailed since: it can only go again, or have arrived"
    return Change(DeliveryState.UNCERTAIN, said, doubt.from_seq)


def _has_open_window(doubt: Doubt) -> bool:
    return doubt.cursor is not None and doubt.cursor == doubt.from_seq


def _say(what: str, doubt: Doubt) -> str:
    """The new reason, with the one before."""
    return f"{what}; before: {doubt.reason or 'no reason'}"
