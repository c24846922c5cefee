"""Editions, their waves, and the cohorts whose mail is the same."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_enum, stored_json
from feedsvc.model.newsletter import CatchUp


class EditionKind(StrEnum):
    """Why an edition exists."""

    #: What is new to each reader since their cursor.
    DIGEST = "digest"
    #: Written by the operator, for once; moves no cursor.
    ANNOUNCEMENT = "announcement"
    #: The newest articles, for those who have just come; moves no cursor.
    WELCOME = "welcome"
    #: Says what was wrong, to those who got an article; moves no cursor.
    CORRECTION = "correction"


class EditionState(StrEnum):
    """Where an edition stands."""

    #: Waits for approval, or for its time.
    DRAFT = "draft"
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
    EditionState.DRAFT,
    EditionState.COMPOSING,
    EditionState.FROZEN,
    EditionState.SENDING,
    EditionState.PAUSED,
)


@dataclass(frozen=True, slots=True)
class Curation:
    """What an operator decided about an edition; frozen for all its waves by the approval."""

    #: Articles that are not in it.
    dropped: tuple[int, ...] = ()
    #: Articles that come first, in this order.
    order: tuple[int, ...] = ()
    #: Markdown above the articles.
    intro: str = ""
    approved_at: str | None = None
    approved_by: str | None = None

    def stored(self) -> dict[str, Any]:
        """As a map for the database."""
        return asdict(self) | {"dropped": list(self.dropped), "order": list(self.order)}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "Curation":
        """From the database's map."""
        known = {name: stored[name] for name in cls.__slots__ if name in stored}
        for name in ("dropped", "order"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


class Edition(SQLModel, table=True):
    """One sending of a newsletter. One a schedule and period: the unique row decides who fires.

    `period` is the due instant in UTC, ISO 8601; for the subscribers' own zones the local time
    without a zone; for "each article" the number of the first article it covers. An edition sent
    by hand has no schedule.
    """

    __tablename__ = "edition"
    __table_args__ = (
        UniqueConstraint("schedule_id", "period"),
        Index("uq_edition_once", "once", unique=True),
        Index("ix_edition_open", "state", "id"),
        # Its archive, newest first.
        Index("ix_edition_newsletter", "newsletter_id", "id"),
        KEEP_IDS,
    )

    id: int | None = Field(default=None, primary_key=True)
    newsletter_id: int = Field(foreign_key="newsletter.id")
    schedule_id: int | None = Field(default=None, foreign_key="schedule.id")
    kind: EditionKind = Field(default=EditionKind.DIGEST, sa_type=stored_enum(EditionKind))
    period: str = Field(max_length=40)
    state: EditionState = Field(default=EditionState.COMPOSING, sa_type=stored_enum(EditionState))
    reason: str | None = Field(default=None, sa_column=Column(Text))
    #: What there is one edition of though it has no schedule; None where there may be several.
    once: str | None = Field(default=None, max_length=200)
    #: When its first wave is due; a draft is approved by then.
    due_at: datetime | None = None
    #: Until when zones may still come to their hour; None when all waves are known.
    open_until: datetime | None = None
    #: The newest article of a draft, for all waves; None: each wave has what there is when it is
    #: due.
    cut_seq: int | None = None
    #: A Curation as a map.
    curation: dict[str, Any] = Field(
        default_factory=dict, sa_type=stored_json(), sa_column_kwargs={"server_default": "{}"}
    )
    #: Totals at the freeze: deliveries, waiting, left_out. `dropped` is there when it was cancelled
    #: so that its articles are not carried over: readers whose cursor was moved for that.
    counters: dict[str, Any] = Field(default_factory=dict, sa_type=stored_json())
    created_at: datetime
    frozen_at: datetime | None = None
    #: Since when it is paused.
    paused_at: datetime | None = None
    done_at: datetime | None = None


class Letter(SQLModel, table=True):
    """What the operator wrote, of an edition that is an announcement or a correction."""

    __tablename__ = "letter"

    edition_id: int = Field(foreign_key="edition.id", primary_key=True, ondelete="CASCADE")
    subject: str = Field(max_length=200)
    #: Markdown.
    body: str = Field(sa_column=Column(Text, nullable=False))
    #: Whom of the newsletter's subscribers it is for: lists of `schedules`, `topics`,
    #: `languages`, `zones`; a missing one means all.
    audience: dict[str, Any] = Field(default_factory=dict, sa_type=stored_json())
    #: Of a correction: the article that its readers got.
    article_id: int | None = Field(default=None, foreign_key="article.id")
    created_by: str = Field(default="operator", max_length=40)


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
    #: Set when its period was missed and the schedule says not to mail late.
    missed: CatchUp | None = Field(default=None, sa_type=stored_enum(CatchUp))
    #: People who could not be composed because an earlier mail to them was on its way.
    waiting: int = 0


class GroupOutcome(StrEnum):
    """What a wave came to for the readers of a group."""

    #: They get the mail of their cohort.
    MAILED = "mailed"
    #: Nothing new matched their choices: their window is settled.
    NOTHING = "nothing"
    #: Fewer articles than make a mail: carried over to the next edition.
    CARRIED = "carried"
    #: Their period was missed, and the schedule says to drop what was in it.
    DROPPED = "dropped"


class ReaderGroupRow(SQLModel, table=True):
    """Readers of a wave who stood at the same point with the same choices, and what they got.

    Kept, so that one can say later why somebody got no mail.
    """

    __tablename__ = "reader_group"
    __table_args__ = (
        UniqueConstraint("wave_id", "from_seq", "topics", "language", "carried", "had"),
        KEEP_IDS,
    )

    id: int | None = Field(default=None, primary_key=True)
    wave_id: int = Field(foreign_key="wave.id", ondelete="CASCADE")
    from_seq: int
    topics: list[str] = Field(default_factory=list, sa_type=stored_json())
    language: str = Field(max_length=35)
    #: How many periods had been carried over for them.
    carried: int = 0
    #: Of the older articles of stories that are new to others: which they got, as bits.
    had: int = 0
    outcome: GroupOutcome = Field(sa_type=stored_enum(GroupOutcome))
    cohort_id: int | None = Field(default=None, foreign_key="cohort.id", ondelete="CASCADE")
    #: Where there is no cohort: article id -> what became of it, for those not just unmatched.
    reasons: dict[str, str] = Field(default_factory=dict, sa_type=stored_json())
    readers: int = 0


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
    #: Dropped by the operator, from the edition or the newsletter.
    DROPPED = "dropped"
    #: Of a story of which they get, or got, another article.
    DUPLICATE = "duplicate"


class CohortItem(SQLModel, table=True):
    """One article of a cohort, at the revision that was rendered, with its outcome."""

    __tablename__ = "cohort_item"
    __table_args__ = (CheckConstraint("position >= 0", name="position_counts_up"),)

    cohort_id: int = Field(foreign_key="cohort.id", primary_key=True, ondelete="CASCADE")
    article_id: int = Field(foreign_key="article.id", primary_key=True, index=True)
    revision: int
    position: int
    outcome: ItemOutcome = Field(sa_type=stored_enum(ItemOutcome))
