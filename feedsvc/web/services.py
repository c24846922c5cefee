"""What the web is handed by the composition root, and how its actions reach it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from fastapi import Request
from starlette.types import Receive, Scope, Send

from feedsvc.config import Settings
from feedsvc.db.engine import Database
from feedsvc.deliveries.tally import SendTally
from feedsvc.kit.templating import Templates
from feedsvc.kit.tokens import Keyring
from feedsvc.model.feed import ServedDocument
from feedsvc.web.feeds.tally import FeedTally


class FeedServer(Protocol):
    """Serves feed documents from memory, in front of the framework."""

    #: How requests were answered.
    tally: FeedTally

    def handles(self, path: str) -> bool:
        """Whether a request for this path is for it."""
        ...

    def documents(self) -> Sequence[ServedDocument]:
        """What it serves."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request (ASGI)."""
        ...


class RelayStanding(Protocol):
    """How a relay stands in this process."""

    @property
    def name(self) -> str:
        """Its key in the configuration."""
        ...

    @property
    def connections(self) -> int:
        """How many are open."""
        ...

    @property
    def allowed(self) -> int:
        """How many may be open at present."""
        ...

    @property
    def queued(self) -> int:
        """Mails in memory that wait for a connection."""
        ...

    @property
    def paused_until(self) -> datetime | None:
        """Until when it is left alone; None when it is used."""
        ...

    @property
    def problem(self) -> str | None:
        """What it last had against us; None when all is well."""
        ...


class Sending(Protocol):
    """The sender of this process."""

    @property
    def tally(self) -> SendTally:
        """What handovers came to."""
        ...

    def relay_states(self) -> Sequence[RelayStanding]:
        """How every relay stands."""
        ...


@dataclass(frozen=True, slots=True)
class WebServices:
    """Everything the web needs of the rest."""

    database: Database
    settings: Settings
    templates: Templates
    keyring: Keyring
    feeds: FeedServer
    #: The present; aware UTC.
    clock: Callable[[], datetime]
    #: Called when a mail may have come to be sent; returns at once.
    poke: Callable[[], None]
    #: What sends in this process; None when nothing does.
    sending: Sending | None = None


def services_of(request: Request) -> WebServices:
    """The services of the application that a request came to."""
    return cast(WebServices, request.app.state.services)
