"""The port to relays: what is handed over, and what can come back."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who a message is from and to, on the wire (RFC 5321 §2.3.1)."""

    return_path: str
    recipient: str
    #: Proven by whoever made the content: ASCII, lines ended by CRLF alone, of at most 998 octets,
    #: none beginning with a dot. A relay need not look again.
    is_wire_ready: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One person's mail, ready to be handed over."""

    envelope: Envelope
    content: bytes
    #: DKIM selectors it is signed with, separated by blanks; empty when it is not signed.
    signed_with: str = ""


class Verdict(StrEnum):
    """What a handover came to."""

    #: 250 to the final dot: the relay has taken responsibility.
    ACCEPTED = "accepted"
    #: Refused for now (4xx, greylisting, throttling); trying later is right.
    DEFERRED = "deferred"
    #: Refused for good, because of this recipient (5xx).
    REFUSED = "refused"
    #: Refused for good, because of us (policy, 5.7.x); says nothing against the person.
    BLOCKED = "blocked"
    #: The session failed before the message was taken: connection, TLS, AUTH, MAIL FROM.
    UNAVAILABLE = "unavailable"
    #: The final dot may have been written, and no reply came.
    UNKNOWN = "unknown"
    #: The mark for the dot was refused; nothing was handed over.
    WITHHELD = "withheld"


class Meaning(StrEnum):
    """What a reply says, whatever its code."""

    #: Nobody lives there.
    DEAD_ADDRESS = "dead address"
    #: The domain does not exist or takes no mail.
    DEAD_DOMAIN = "dead domain"
    #: The address cannot be written or carried on this way.
    UNUSABLE_ADDRESS = "unusable address"
    #: The mailbox exists but is switched off; often for good.
    DISABLED = "disabled"
    #: The mailbox is full.
    FULL = "mailbox full"
    #: This message is too large for them.
    TOO_LARGE = "too large"
    #: They refuse us: policy, reputation, authentication of the domain, content.
    POLICY = "blocked by policy"
    #: Too much mail at once; less of it, later, is right.
    THROTTLED = "throttled"
    #: Not yet known there; the same mail a little later is taken.
    GREYLISTED = "greylisted"
    #: Our sign-in or our commands are wrong: says nothing about the message.
    OUR_FAULT = "our configuration"
    #: Nothing we recognise; the first digit decides.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SendResult:
    """The outcome of one handover, with the reply as the relay gave it."""

    verdict: Verdict
    code: int | None = None
    text: str = ""
    #: The address itself is dead (5.1.1 and its kin), as against full, disabled or too large.
    address_dead: bool = False
    #: What the reply says; UNKNOWN too where there was none, or it was a plain yes.
    meaning: Meaning = Meaning.UNKNOWN


#: Awaited by a relay before it writes the final dot: True once the mark is committed.
Permit = Callable[[], Awaitable[bool]]


class RelayConnection(Protocol):
    """One kept connection; used by one task at a time."""

    @property
    def is_usable(self) -> bool:
        """Whether keeping it is of use: False once it has ended, or been used for long enough."""
        ...

    async def send(self, envelope: Envelope, message: bytes, permit: Permit) -> SendResult:
        """Hand one message over. `message` has CRLF line ends and no line over 998 octets.

        Must await `permit()` before anything that could make the relay take the message, and
        must answer WITHHELD without handing over when it is False. Never raises for what a relay
        may do; after the final dot may have been written, anything but a reply is UNKNOWN.
        """
        ...

    async def close(self) -> None:
        """Leave politely; never raises."""
        ...


class Relay(Protocol):
    """What we hand mail to."""

    name: str
    #: How many connections may be open at once.
    connections: int

    async def open(self) -> RelayConnection:
        """Open a connection. Raises RelayUnavailable, which says why."""
        ...
