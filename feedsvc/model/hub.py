"""WebSub (W3C Recommendation, 23 January 2018): who is told when a document has changed."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_enum


class HubState(StrEnum):
    """Where a subscription at the embedded hub stands."""

    #: Asked for; the subscriber has not yet confirmed that it meant it.
    VERIFYING = "verifying"
    #: Gets every new version until its lease ends.
    ACTIVE = "active"
    #: Over: unsubscribed, expired, gone, or given up.
    ENDED = "ended"


class HubSubscription(SQLModel, table=True):
    """One callback that wants one topic, at the embedded hub."""

    __tablename__ = "hub_subscription"
    __table_args__ = (
        UniqueConstraint("topic", "callback"),
        Index("ix_hub_subscription_due", "next_at"),
        Index("ix_hub_subscription_host", "callback_host"),
        KEEP_IDS,
    )

    id: int | None = Field(default=None, primary_key=True)
    #: Path of the document, as in ServedDocument.path.
    topic: str = Field(max_length=300)
    callback: str = Field(max_length=2000)
    callback_host: str = Field(max_length=300)
    state: HubState = Field(default=HubState.VERIFYING, sa_type=stored_enum(HubState))
    #: Key of the signatures; None where none are wanted.
    secret: str | None = Field(default=None, max_length=200)
    lease_until: datetime | None = None
    #: What has been asked for and not been verified yet: `subscribe`, `unsubscribe`, or None.
    asked_mode: str | None = Field(default=None, max_length=20)
    asked_secret: str | None = Field(default=None, max_length=200)
    asked_lease_seconds: int | None = None
    #: Entity tag of the document that was delivered last, and of the one that is owed.
    delivered: str | None = Field(default=None, max_length=64)
    owed: str | None = Field(default=None, max_length=64)
    #: When there is something to do: verify, deliver, end with the lease, or be forgotten.
    next_at: datetime | None = None
    #: Deliveries tried since the last one that arrived or was given up.
    attempt: int = 0
    #: The last answer, for people.
    reply: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime


class HubPing(SQLModel, table=True):
    """A hub elsewhere that is to be told that a document has changed."""

    __tablename__ = "hub_ping"
    __table_args__ = (Index("ix_hub_ping_due", "next_at"),)

    hub: str = Field(primary_key=True, max_length=500)
    #: Path of the document, as in ServedDocument.path.
    topic: str = Field(primary_key=True, max_length=300)
    #: Entity tag of the newest version that it knows or is to be told of.
    etag: str = Field(max_length=64)
    #: When to tell it; None when it knows, or would not hear.
    next_at: datetime | None = None
    attempt: int = 0
    #: The last answer, for people.
    reply: str | None = Field(default=None, sa_column=Column(Text))


class HubHost(SQLModel, table=True):
    """How often a host, or an address, was asked in vain whether it meant a subscription.

    SECURITY: anybody may name anybody's host in a callback; this bounds what comes of it.
    """

    __tablename__ = "hub_host"

    #: A name in lower case, or an IP address.
    host: str = Field(primary_key=True, max_length=300)
    #: Since when the questions are counted.
    since: datetime
    #: Questions less those that were confirmed.
    unconfirmed: int
