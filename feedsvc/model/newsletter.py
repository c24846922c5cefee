"""Newsletters and their schedules, as rows that editions and subscriptions point at.

What stands in config.toml decides; these rows follow it by key at every start. Pinned notes and
articles kept out of a newsletter are made by its operators, and live here alone.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_enum, stored_json


class Review(StrEnum):
    """Whether a person looks at an edition before it goes."""

    #: It goes when it is due.
    AUTOMATIC = "automatic"
    #: It is made ahead of its time, and waits for approval.
    DRAFT = "draft"


class Unapproved(StrEnum):
    """What becomes of a draft that nobody has approved when its time comes."""

    #: It goes as it is.
    SEND = "send"
    #: It does not go; its articles come with the next edition.
    SKIP = "skip"


class OnWithdrawal(StrEnum):
    """What becomes of mails not sent yet when an article in them is withdrawn."""

    #: They go without it.
    WITHOUT = "without"
    #: They do not go; what else was in them comes with the next edition.
    STOP = "stop"


class CatchUp(StrEnum):
    """What becomes of a period that was missed by more than the schedule's grace."""

    #: One edition goes at once, with all that has come since.
    LATE = "late"
    #: Nothing goes; its articles come with the next regular edition.
    MERGE = "merge"
    #: Nothing goes, and its articles are not mailed any more.
    DROP = "drop"


class ItemOrder(StrEnum):
    """In which order articles stand in a mail."""

    #: By publication date, newest first.
    NEWEST = "newest"
    #: By publication date, oldest first.
    OLDEST = "oldest"
    #: By the weight their authors gave them, heaviest first; equal ones newest first.
    WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the articles of a mail are laid out, and what stands above them."""

    order: ItemOrder = ItemOrder.NEWEST
    #: Articles of one section stand together, under its name.
    by_section: bool = False
    #: Sections that come first, in this order; the others follow by their names.
    sections: tuple[str, ...] = ()
    #: The first article is shown larger, above all sections.
    lead: bool = False
    #: Jinja2 templates of one line; empty for the usual ones.
    subject: str = ""
    preheader: str = ""

    def stored(self) -> dict[str, Any]:
        """As a map for the database."""
        return asdict(self) | {"sections": list(self.sections), "order": self.order.value}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "Arrangement":
        """From the database's map; what is missing there is as usual."""
        known = {name: stored[name] for name in cls.__slots__ if name in stored}
        known["order"] = ItemOrder(known.get("order", ItemOrder.NEWEST))
        known["sections"] = tuple(known.get("sections", ()))
        return cls(**known)


class Newsletter(SQLModel, table=True):
    """What people subscribe to."""

    __tablename__ = "newsletter"
    __table_args__ = KEEP_IDS

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True, max_length=100)
    title: str = Field(max_length=200)
    description: str = Field(default="", max_length=1000)
    language: str = Field(max_length=35)
    theme: str = Field(default="plain", max_length=100)
    from_name: str = Field(max_length=200)
    from_address: str = Field(max_length=320)
    #: Who sends this, in words, and where they can be found by post.
    sender: str = Field(max_length=300)
    postal_address: str = Field(max_length=500)
    #: A Selection as a map: sources, sections, topics, language.
    selection: dict[str, Any] = Field(default_factory=dict, sa_type=stored_json())
    #: A condition beside it (kit.filters); empty admits all.
    filter: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    max_items: int = 30
    #: Fewer articles than this make no mail for a reader, for `carry_max` periods at most.
    min_items: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    carry_max: int = Field(default=3, sa_column_kwargs={"server_default": "3"})
    #: An Arrangement as a map.
    arrangement: dict[str, Any] = Field(
        default_factory=dict, sa_type=stored_json(), sa_column_kwargs={"server_default": "{}"}
    )
    review: Review = Field(
        default=Review.AUTOMATIC,
        sa_type=stored_enum(Review),
        sa_column_kwargs={"server_default": "automatic"},
    )
    #: How long before it is due a draft is made.
    review_minutes: int = Field(default=120, sa_column_kwargs={"server_default": "120"})
    unapproved: Unapproved = Field(
        default=Unapproved.SEND,
        sa_type=stored_enum(Unapproved),
        sa_column_kwargs={"server_default": "send"},
    )
    on_withdrawal: OnWithdrawal = Field(
        default=OnWithdrawal.WITHOUT,
        sa_type=stored_enum(OnWithdrawal),
        sa_column_kwargs={"server_default": "without"},
    )
    #: Articles of the mail that greets a new subscriber; 0 for none.
    welcome_items: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: Its editions can be read on the site by anybody.
    archive: bool = Field(default=True, sa_column_kwargs={"server_default": "1"})
    public: bool = True
    #: No longer in the configuration: keeps its subscribers, begins no edition. One that is
    #: under way ends.
    retired: bool = False


class Schedule(SQLModel, table=True):
    """When a newsletter goes out, as one of the rhythms its subscribers choose from."""

    __tablename__ = "schedule"
    __table_args__ = (UniqueConstraint("newsletter_id", "key"), KEEP_IDS)

    id: int | None = Field(default=None, primary_key=True)
    newsletter_id: int = Field(foreign_key="newsletter.id")
    key: str = Field(max_length=100)
    label: str = Field(max_length=200)
    description: str = Field(default="", max_length=500, sa_column_kwargs={"server_default": ""})
    #: Five fields: minute, hour, day of month, month, day of week. Empty: each article, as soon as
    #: nothing has changed for `settle_minutes`.
    cron: str = Field(max_length=100)
    #: IANA name of the zone the cron is read in; with `own_zone`, for those of whom none is known.
    zone: str = Field(max_length=64)
    #: Everybody gets it at these hours in their own zone.
    own_zone: bool = Field(default=False, sa_column_kwargs={"server_default": "0"})
    settle_minutes: float = Field(default=10, sa_column_kwargs={"server_default": "10"})
    #: The longest an article waits for others.
    settle_max_minutes: float = Field(default=60, sa_column_kwargs={"server_default": "60"})
    catch_up: CatchUp = Field(
        default=CatchUp.LATE,
        sa_type=stored_enum(CatchUp),
        sa_column_kwargs={"server_default": "late"},
    )
    #: How late an edition may begin before its period counts as missed.
    grace_minutes: float = Field(default=60, sa_column_kwargs={"server_default": "60"})
    #: Mails leave at random times within so long.
    spread_minutes: float = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: Weekdays (`sun`), days (`2026-10-01`) and spans of days (`2026-10-01..2026-10-07`) on which
    #: nothing comes due.
    quiet_days: list[str] = Field(
        default_factory=list, sa_type=stored_json(), sa_column_kwargs={"server_default": "[]"}
    )
    max_items: int = Field(default=30, sa_column_kwargs={"server_default": "30"})
    min_items: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    #: When it began, or was last changed: no period before this comes due.
    since: datetime
    #: Publication number at that moment: an edition for each article begins after it.
    since_seq: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    retired: bool = False

    @property
    def is_each_article(self) -> bool:
        """Whether it follows the articles rather than the clock."""
        return not self.cron


class PinnedNote(SQLModel, table=True):
    """A few words of the operator that stand above the articles of a newsletter for a while."""

    __tablename__ = "pinned_note"
    __table_args__ = KEEP_IDS

    id: int | None = Field(default=None, primary_key=True)
    newsletter_id: int = Field(foreign_key="newsletter.id", index=True)
    #: Markdown.
    text: str = Field(sa_column=Column(Text, nullable=False))
    #: For mails in this language only; None for all.
    language: str | None = Field(default=None, max_length=35)
    #: It stands in editions due from here …
    starts_at: datetime
    #: … to before here; None for ever.
    ends_at: datetime | None = None
    created_at: datetime
    created_by: str = Field(max_length=40)


class DroppedArticle(SQLModel, table=True):
    """An article that a newsletter's operator keeps out of all its editions to come."""

    __tablename__ = "dropped_article"

    newsletter_id: int = Field(foreign_key="newsletter.id", primary_key=True)
    article_id: int = Field(foreign_key="article.id", primary_key=True)
    at: datetime
    by: str = Field(max_length=40)
