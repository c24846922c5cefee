"""Deliveries: one message's way to one subscriber. The row is the truth.

    pending -> claimed -> dot -> sent
                                 deferred -> pending again when due, until expired or superseded
                                 failed, skipped, uncertain, held

`is_mailable()` is the one rule on whether a person may be mailed; it stands in the statement
that marks the dot, so nothing is sent after an unsubscribe has been committed.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Column, Index, Text, UniqueConstraint, or_, select, text
from sqlalchemy.sql.elements import ColumnElement
from sqlmodel import Field, SQLModel, col

from feedsvc.model.columns import KEEP_IDS, stored_enum
from feedsvc.model.edition import Edition, EditionState
from feedsvc.model.subscriber import AddressState, Subscriber, Subscription, SubscriptionState


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    #: To be sent.
    PENDING = "pending"
    #: Taken by a worker; certainly not sent yet.
    CLAIMED = "claimed"
    #: About to be, or being, handed over: from here on only a reply tells.
    DOT = "dot"
    #: Accepted by the relay.
    SENT = "sent"
    #: Refused for now; tried again at `next_at`.
    DEFERRED = "deferred"
    #: Refused for good, or cannot be made; `reason` says which.
    FAILED = "failed"
    #: Not mailable any more when its turn came.
    SKIPPED = "skipped"
    #: Handed over, no reply; the policy for it has been carried out.
    UNCERTAIN = "uncertain"
    #: Handed over, no reply; waits for a person.
    HELD = "held"
    #: Still deferred when it stopped being worth sending.
    EXPIRED = "expired"
    #: A later edition took its window over.
    SUPERSEDED = "superseded"


#: At most one delivery of a subscription that has a window is in one of these (a partial unique
#: index says so).
OPEN_STATES = (
    DeliveryState.PENDING,
    DeliveryState.CLAIMED,
    DeliveryState.DOT,
    DeliveryState.DEFERRED,
)
_OPEN_SQL = "state IN ('pending', 'claimed', 'dot', 'deferred')"
_WAITING_SQL = "state IN ('pending', 'deferred')"
_IN_HAND_SQL = "state IN ('claimed', 'dot')"
#: States that most deliveries never see.
_TROUBLED_SQL = (
    "state IN ('deferred', 'failed', 'skipped', 'uncertain', 'held', 'expired', 'superseded')"
)
#: Conditions, word for word as in the partial indexes: bound values would hide those from SQLite.
IS_OPEN = text(f"delivery.{_OPEN_SQL}")
IS_WAITING = text(f"delivery.{_WAITING_SQL}")
IS_IN_HAND = text(f"delivery.{_IN_HAND_SQL}")
IS_TROUBLED = text(f"delivery.{_TROUBLED_SQL}")
#: A mail with a window that has not ended: at most one a subscription.
HAS_OPEN_WINDOW = text(f"delivery.{_OPEN_SQL} AND delivery.from_seq IS NOT NULL")

#: Notices go ahead of digests.
PRIORITY_NOTICE = 0
PRIORITY_DIGEST = 10


class Delivery(SQLModel, table=True):
    """One message's way to one subscriber: an edition's, or a notice's."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("edition_id", "subscriber_id"),
        UniqueConstraint("notice_id"),
        CheckConstraint("(edition_id IS NULL) <> (notice_id IS NULL)", name="edition_or_notice"),
        CheckConstraint(
            "edition_id IS NULL OR (subscription_id IS NOT NULL AND cohort_id IS NOT NULL)",
            name="edition_has_cohort",
        ),
        CheckConstraint(
            "(from_seq IS NULL) = (cut_seq IS NULL)"
            " AND (from_seq IS NULL OR (from_seq < cut_seq AND edition_id IS NOT NULL))",
            name="window_is_whole",
        ),
        Index(
            "uq_delivery_one_open",
            "subscription_id",
            unique=True,
            sqlite_where=text(_OPEN_SQL + " AND from_seq IS NOT NULL"),
            postgresql_where=text(_OPEN_SQL + " AND from_seq IS NOT NULL"),
        ),
        Index(
            "ix_delivery_due",
            "edition_id",
            "next_at",
            sqlite_where=text(_WAITING_SQL),
            postgresql_where=text(_WAITING_SQL),
        ),
        Index(
            "ix_delivery_worker",
            "worker",
            sqlite_where=text(_IN_HAND_SQL),
            postgresql_where=text(_IN_HAND_SQL),
        ),
        Index(
            "ix_delivery_open",
            "edition_id",
            sqlite_where=text(_OPEN_SQL),
            postgresql_where=text(_OPEN_SQL),
        ),
        Index(
            "ix_delivery_troubled",
            "state",
            "edition_id",
            sqlite_where=text(_TROUBLED_SQL),
            postgresql_where=text(_TROUBLED_SQL),
        ),
        Index("ix_delivery_subscriber", "subscriber_id"),
        KEEP_IDS,
    )

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int | None = Field(default=None, foreign_key="edition.id")
    notice_id: int | None = Field(default=None, foreign_key="notice.id", ondelete="CASCADE")
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    subscription_id: int | None = Field(
        default=None, foreign_key="subscription.id", ondelete="CASCADE"
    )
    cohort_id: int | None = Field(default=None, foreign_key="cohort.id")
    priority: int = PRIORITY_DIGEST
    #: The window `(from_seq, cut_seq]` this mail settles; None for what moves no cursor.
    from_seq: int | None = None
    cut_seq: int | None = None
    state: DeliveryState = Field(default=DeliveryState.PENDING, sa_type=stored_enum(DeliveryState))
    #: Handovers begun; counted when the row is claimed.
    attempt: int = 0
    #: Times a worker died holding it. After the first it is sent last and alone; three deaths
    #: with it alone in hand set it aside.
    crashes: int = 0
    #: Times its handover ended without a reply; the second time is final.
    doubts: int = 0
    worker: str | None = Field(default=None, max_length=40)
    next_at: datetime
    expires_at: datetime
    #: Fixed at the first dot: what a byte-equal resend needs.
    date_at: datetime | None = None
    address: str | None = Field(default=None, max_length=320)
    renderer: str | None = Field(default=None, max_length=40)
    #: DKIM selectors, separated by blanks; empty when it was not signed.
    signed_with: str | None = Field(default=None, max_length=200)
    relay: str | None = Field(default=None, max_length=100)
    reply_code: int | None = None
    reply_text: str | None = Field(default=None, sa_column=Column(Text))
    #: Why it stands where it stands, in words a person can read.
    reason: str | None = Field(default=None, sa_column=Column(Text))
    changed_at: datetime


def is_mailable() -> ColumnElement[bool]:
    """Whether a delivery's person may be mailed now, as an SQL condition on `delivery`.

    A digest needs a living address and an active subscription; a notice only a living address.
    Its edition, if it has one, must be sending.
    """
    living = (
        select(col(Subscriber.id))
        .where(
            col(Subscriber.id) == col(Delivery.subscriber_id),
            col(Subscriber.state).not_in([AddressState.DEAD, AddressState.COMPLAINED]),
        )
        .correlate(Delivery)
        .exists()
    )
    active = (
        select(col(Subscription.id))
        .where(
            col(Subscription.id) == col(Delivery.subscription_id),
            col(Subscription.state) == SubscriptionState.ACTIVE,
        )
        .correlate(Delivery)
        .exists()
    )
    sending = (
        select(col(Edition.id))
        .where(
            col(Edition.id) == col(Delivery.edition_id),
            col(Edition.state) == EditionState.SENDING,
        )
        .correlate(Delivery)
        .exists()
    )
    return living & or_(col(Delivery.notice_id).is_not(None), active & sending)


class Worker(SQLModel, table=True):
    """A sending process, by a random id per start. Stale heartbeat by database time: dead."""

    __tablename__ = "worker"

    id: str = Field(primary_key=True, max_length=40)
    node: str = Field(max_length=200)
    started_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """What a worker knows of a delivery it has claimed; enough to build and send its message."""

    id: int
    attempt: int
    subscriber_id: int
    #: Where it goes: the person's present address, or the one fixed at the first dot.
    address: str
    name: str
    language: str
    edition_id: int | None
    cohort_id: int | None
    subscription_id: int | None
    notice_id: int | None
    date_at: datetime | None
    expires_at: datetime
    newsletter_id: int | None = None
    #: As in its row: what a resend is to be signed with; None before the first dot.
    signed_with: str | None = None
