"""People and their consent: subscriber, subscription, and the log of every change."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, UniqueConstraint, text
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


class Resume(StrEnum):
    """From where somebody who paused goes on."""

    #: With what is published after the pause.
    NOW = "now"
    #: With what was published meanwhile, too.
    CATCH_UP = "catch_up"


_UNREACHABLE_SQL = "state IN ('dead', 'complained')"
#: A condition, word for word as in the partial index: bound values would hide it from SQLite.
IS_UNREACHABLE = text(f"subscriber.{_UNREACHABLE_SQL}")


class Subscriber(SQLModel, table=True):
    """A person, by the address they gave."""

    __tablename__ = "subscriber"
    __table_args__ = (
        Index(
            "ix_subscriber_unreachable",
            "state",
            sqlite_where=text(_UNREACHABLE_SQL),
            postgresql_where=text(_UNREACHABLE_SQL),
        ),
        KEEP_IDS,
    )

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
        Index("ix_subscription_readers", "newsletter_id", "schedule_id", "state", "id"),
        Index("ix_subscription_wave", "newsletter_id", "schedule_id", "state", "zone", "id"),
        Index(
            "ix_subscription_paused",
            "paused_until",
            sqlite_where=text("paused_until IS NOT NULL"),
            postgresql_where=text("paused_until IS NOT NULL"),
        ),
        Index(
            "ix_subscription_welcome",
            "welcome_at",
            sqlite_where=text("welcome_at IS NOT NULL"),
            postgresql_where=text("welcome_at IS NOT NULL"),
        ),
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
    #: Language of the mail's own words for this person.
    language: str = Field(default="en", max_length=35, sa_column_kwargs={"server_default": "en"})
    #: IANA name; empty: that of the schedule.
    zone: str = Field(default="", max_length=64, sa_column_kwargs={"server_default": ""})
    #: None while paused: until they say so.
    paused_until: datetime | None = None
    #: Of one who is paused: from where they go on.
    resume: Resume = Field(
        default=Resume.CATCH_UP,
        sa_type=stored_enum(Resume),
        sa_column_kwargs={"server_default": "catch_up"},
    )
    cursor: int | None = None
    #: Editions that had too few articles for them since `carried_from`, their cursor then; not
    #: valid any more when the cursor has moved. `carried_by` is the last of them.
    carried: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    carried_from: int | None = None
    carried_by: int | None = None
    #: When they confirmed, while a welcome edition is owed to them.
    welcome_at: datetime | None = None
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
