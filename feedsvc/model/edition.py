"""Editions, their waves, and the cohorts whose mail is the same."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_enum, stored_json


class EditionKind(StrEnum):
    """Why an edition exists."""

    #: What is new to each reader since their cursor.
    DIGEST = "digest"


class EditionState(StrEnum):
    """Where an edition stands."""

    #: Deliveries are being written; none can be claimed.
    COMPOSING = "composing"
    #: Complete, not yet sending.
    FROZEN = "frozen"
    #: Deliveries may be claimed.
    SENDING = "sending"
    #: Stopped by an operator or the circuit breaker; goes on when resumed.
    PAUSED = "paused"
    #: Every delivery has ended.
    DONE = "done"
    #: Given up by an operator; windows stay open, unless the operator said to drop them.
    CANCELLED = "cancelled"
    #: Nothing to send; `reason` says why.
    SKIPPED = "skipped"


#: States from which an edition can still send.
OPEN_EDITIONS = (
    EditionState.COMPOSING,
    EditionState.FROZEN,
    EditionState.SENDING,
    EditionState.PAUSED,
)


class Edition(SQLModel, table=True):
    """One sending of a newsletter. One a schedule and period: the unique row decides who fires.

    `period` is the due instant in UTC, ISO 8601. An edition sent by hand has no schedule.
    """

    __tablename__ = "edition"
    __table_args__ = (
        UniqueConstraint("schedule_id", "period"),
        Index("ix_edition_open", "state", "id"),
        KEEP_IDS,
    )

    id: int | None = Field(default=None, primary_key=True)
    newsletter_id: int = Field(foreign_key="newsletter.id", index=True)
    schedule_id: int | None = Field(default=None, foreign_key="schedule.id")
    kind: EditionKind = Field(default=EditionKind.DIGEST, sa_type=stored_enum(EditionKind))
    period: str = Field(max_length=40)
    state: EditionState = Field(default=EditionState.COMPOSING, sa_type=stored_enum(EditionState))
    reason: str | None = Field(default=None, sa_column=Column(Text))
    #: Totals at the freeze: deliveries, waiting, left_out. `dropped` is there when it was cancelled
    #: so that its articles are not carried over: readers whose cursor was moved for that.
    counters: dict[str, Any] = Field(default_factory=dict, sa_type=stored_json())
    created_at: datetime
    frozen_at: datetime | None = None
    #: Since when it is paused.
    paused_at: datetime | None = None
    done_at: datetime | None = None


class Wave(SQLModel, table=True):
    """An edition's going out in one zone. `cut_seq` is the newest article it can hold."""

    __tablename__ = "wave"
    __table_args__ = (UniqueConstraint("edition_id", "zone"), KEEP_IDS)

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int = Field(foreign_key="edition.id", ondelete="CASCADE")
    zone: str = Field(max_length=64)
    due_at: datetime
    cut_seq: int
    composed_at: datetime | None = None
    #: People who could not be composed because an earlier mail to them was on its way.
    waiting: int = 0


class Cohort(SQLModel, table=True):
    """The subscribers of an edition whose mail has the same content; rendered once."""

    __tablename__ = "cohort"
    __table_args__ = (UniqueConstraint("edition_id", "content_key"), KEEP_IDS)

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int = Field(foreign_key="edition.id", ondelete="CASCADE")
    #: Digest of the ordered article revisions, language and theme.
    content_key: str = Field(max_length=64)
    language: str = Field(max_length=35)
    theme: str = Field(max_length=100)
    subject: str = Field(sa_column=Column(Text, nullable=False))
    html: str = Field(sa_column=Column(Text, nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False))
    #: The page without anybody's tokens: "read in the browser".
    page: str = Field(sa_column=Column(Text, nullable=False))


class ItemOutcome(StrEnum):
    """What became of one article in one cohort's window."""

    #: In the mail with its excerpt.
    MAILED = "mailed"
    #: Beyond the mail's limit: counted under "and n more", with a link.
    AND_MORE = "and_more"
    #: Withdrawn before the freeze.
    WITHDRAWN = "withdrawn"


class CohortItem(SQLModel, table=True):
    """One article of a cohort, at the revision that was rendered, with its outcome."""

    __tablename__ = "cohort_item"
    __table_args__ = (CheckConstraint("position >= 0", name="position_counts_up"),)

    cohort_id: int = Field(foreign_key="cohort.id", primary_key=True, ondelete="CASCADE")
    article_id: int = Field(foreign_key="article.id", primary_key=True, index=True)
    revision: int
    position: int
    outcome: ItemOutcome = Field(sa_type=stored_enum(ItemOutcome))
