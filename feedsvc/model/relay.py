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


@dataclass(frozen=True, slots=True)
class SendResult:
    """The outcome of one handover, with the reply as the relay gave it."""

    verdict: Verdict
    code: int | None = None
    text: str = ""
    #: The address itself is dead (5.1.1 and its kin), as against full, disabled or too large.
    address_dead: bool = False


#: Awaited by a relay before it writes the final dot: True once the mark is committed.
Permit = Callable[[], Awaitable[bool]]


class RelayConnection(Protocol):
    """One kept connection; used by one task at a time."""

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
