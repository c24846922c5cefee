"""People and their consent: subscriber, subscription, and the log of every change."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_enum, stored_json


class AddressState(StrEnum):
    """What we know about an address."""

    #: Nothing speaks against it.
    GOOD = "good"
    #: Some mails to it failed lately; see `failures`.
    FAILING = "failing"
    #: It does not exist; nothing is sent to it, not even a notice.
    DEAD = "dead"
    #: Its owner called a mail of ours spam; nothing is sent to it.
    COMPLAINED = "complained"


class SubscriptionState(StrEnum):
    """Where one person stands with one newsletter."""

    #: Asked for, not confirmed: gets one confirmation notice and nothing else.
    PENDING = "pending"
    #: Confirmed; gets editions.
    ACTIVE = "active"
    #: Wants a rest until `paused_until`.
    PAUSED = "paused"
    #: Left; only their own confirmation brings them back.
    UNSUBSCRIBED = "unsubscribed"


class Subscriber(SQLModel, table=True):
    """A person, by the address they gave."""

    __tablename__ = "subscriber"
    __table_args__ = KEEP_IDS

    id: int | None = Field(default=None, primary_key=True)
    #: As it goes on the wire: local part as given, domain as an A-label in lower case.
    address: str = Field(max_length=320)
    #: The form that is compared; see kit.addresses.
    address_key: str = Field(unique=True, max_length=320)
    state: AddressState = Field(default=AddressState.GOOD, sa_type=stored_enum(AddressState))
    failures: int = 0
    name: str = Field(default="", max_length=200)
    language: str = Field(default="en", max_length=35)
    zone: str | None = Field(default=None, max_length=64)
    created_at: datetime


class Subscription(SQLModel, table=True):
    """One person's consent to one newsletter, and how far they have been mailed.

    `cursor` is the newest article number (`seq`) settled for this person; it starts at the
    newest at confirmation, and is None before.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        UniqueConstraint("subscriber_id", "newsletter_id"),
        CheckConstraint("state <> 'active' OR cursor IS NOT NULL", name="active_has_cursor"),
        Index("ix_subscription_compose", "newsletter_id", "schedule_id", "state", "cursor"),
        KEEP_IDS,
    )

    id: int | None = Field(default=None, primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    newsletter_id: int = Field(foreign_key="newsletter.id")
    schedule_id: int = Field(foreign_key="schedule.id")
    #: Empty: everything the newsletter holds. Sorted.
    topics: list[str] = Field(default_factory=list, sa_type=stored_json())
    state: SubscriptionState = Field(
        default=SubscriptionState.PENDING, sa_type=stored_enum(SubscriptionState)
    )
    paused_until: datetime | None = None
    cursor: int | None = None
    requested_at: datetime
    confirmed_at: datetime | None = None
    #: Which wording of the form was agreed to, and how ("form", "command line", "api").
    consent_text: str = Field(default="", sa_column=Column(Text, nullable=False))
    consent_how: str = Field(default="", max_length=40)


class SubscriptionChange(SQLModel, table=True):
    """One change of a subscription; never rewritten."""

    __tablename__ = "subscription_change"
    __table_args__ = KEEP_IDS

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int = Field(foreign_key="subscription.id", ondelete="CASCADE", index=True)
    at: datetime
    what: str = Field(max_length=40)
    #: Who did it: "subscriber", "one-click", "operator", "form".
    by: str = Field(max_length=40)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=stored_json())
