"""Articles, what a source yields before them, and the counter that orders them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import KEEP_IDS, stored_enum, stored_json


class MediaType(StrEnum):
    """What the bytes of a raw item are written in."""

    #: Markdown with optional YAML front matter.
    MARKDOWN = "text/markdown"
    #: An HTML document or fragment, with optional front matter.
    HTML = "text/html"
    #: Plain text, with optional front matter; also a news page saved as text.
    PLAIN = "text/plain"


@dataclass(frozen=True, slots=True)
class RawItem:
    """One thing a source holds, untouched.

    `key` names it within its source for ever (a relative path, a row id, an address);
    `location` is what a person would open to mend it; `fingerprint` is a digest of `content`.
    """

    source: str
    key: str
    location: str
    media_type: MediaType
    content: bytes
    fingerprint: str
    modified_at: datetime
    #: Address that relative links in the content are relative to, when the source knows one.
    base_url: str | None = None
    #: A saved page whose headline, time and body stand among navigation, not in front matter.
    is_page: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one item that an operator should see."""

    location: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.location}:{self.line}" if self.line is not None else self.location
        return f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look at a source saw.

    `present` maps every key that is there to its fingerprint; `items` holds at least those whose
    fingerprint differs from what the caller said it knows. Unreadable files are in `problems`
    and count as present, so that nothing is withdrawn because of them.
    """

    source: str
    present: dict[str, str]
    items: tuple[RawItem, ...]
    problems: tuple[Problem, ...] = ()
    #: Something is being written and was left as it was known; look again in a second.
    unsettled: bool = False


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A file that goes with an article (RSS 2.0 `<enclosure>`)."""

    url: str
    media_type: str
    length_bytes: int


@dataclass(frozen=True, slots=True)
class ArticleData:
    """An article as parsed and sanitised, before it is stored; everything is clean text."""

    title: str
    content: str
    summary: str
    published_at: datetime
    updated_at: datetime | None = None
    language: str = "en"
    section: str | None = None
    topics: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    url: str | None = None
    image: str | None = None
    enclosures: tuple[Enclosure, ...] = ()
    slug: str | None = None
    #: The author marked it as not to be published yet (front matter `draft: true`).
    draft: bool = False
    #: Digest of everything a reader sees; equal hash, equal article.
    content_hash: str = ""
    #: As Article.extra.
    extra: dict[str, Any] = field(default_factory=dict)
    #: As Article.weight.
    weight: int = 0
    #: Where an HTML document says it stands (`<link rel=canonical>`); only compared, never shown.
    canonical: str | None = None
    #: The id its author gave it for the whole world; only compared, never shown.
    source_guid: str | None = None


class ArticleState(StrEnum):
    """Where an article stands on its way to readers."""

    #: Stored, and published as soon as `published_at` has come.
    SCHEDULED = "scheduled"
    #: Kept back by its author (draft) or by the operator.
    HELD = "held"
    #: In feeds, archives and editions; has a `seq`.
    PUBLISHED = "published"
    #: Gone from its source or taken back; never comes into an edition again.
    WITHDRAWN = "withdrawn"


class Article(SQLModel, table=True):
    """Our stored piece of writing: sanitised once, with an id minted once.

    `seq` is the publication number: whoever sees n sees all below it. `guid` never changes.
    """

    __tablename__ = "article"
    __table_args__ = (
        UniqueConstraint("source", "source_key"),
        CheckConstraint(
            "state NOT IN ('scheduled', 'held') OR seq IS NULL", name="unpublished_has_no_seq"
        ),
        CheckConstraint("state <> 'published' OR seq IS NOT NULL", name="published_has_seq"),
        Index("ix_article_due", "state", "published_at"),
        Index("ix_article_published", "state", "seq"),
        Index("ix_article_changed", "changed"),
        # For the windows of feeds: what is young, and what few articles have in common.
        Index("ix_article_stored", "stored_at"),
        Index("ix_article_section", "state", "section", "seq"),
        Index("ix_article_source", "state", "source", "seq"),
        Index("ix_article_language", "state", "language", "seq"),
        Index(
            "ix_article_withdrawn",
            "withdrawn_at",
            sqlite_where=text("withdrawn_at IS NOT NULL"),
            postgresql_where=text("withdrawn_at IS NOT NULL"),
        ),
        KEEP_IDS,
    )

    id: int | None = Field(default=None, primary_key=True)
    source: str = Field(max_length=100)
    source_key: str = Field(max_length=1000)
    fingerprint: str = Field(max_length=64, index=True)
    seq: int | None = Field(default=None, unique=True)
    revision: int = 1
    guid: str = Field(unique=True, max_length=100)
    slug: str = Field(unique=True, max_length=200)
    title: str = Field(sa_column=Column(Text, nullable=False))
    authors: list[str] = Field(default_factory=list, sa_type=stored_json())
    section: str | None = Field(default=None, max_length=200)
    topics: list[str] = Field(default_factory=list, sa_type=stored_json())
    language: str = Field(max_length=35)
    published_at: datetime
    updated_at: datetime
    url: str | None = Field(default=None, max_length=2000)
    content: str = Field(sa_column=Column(Text, nullable=False))
    summary: str = Field(sa_column=Column(Text, nullable=False))
    image: str | None = Field(default=None, max_length=2000)
    enclosures: list[dict[str, Any]] = Field(default_factory=list, sa_type=stored_json())
    content_hash: str = Field(max_length=64)
    #: What articles that tell the same share; None for one that stands alone.
    story: str | None = Field(default=None, max_length=100, index=True)
    #: What its author thinks of its importance: heavier ones come first where mails are so ordered.
    weight: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: When its present revision was stored.
    revised_at: datetime | None = None
    announce: bool = True
    state: ArticleState = Field(default=ArticleState.SCHEDULED, sa_type=stored_enum(ArticleState))
    stored_at: datetime
    withdrawn_at: datetime | None = None
    #: The number of the last change that readers may see; see articles/changed.py.
    changed: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    #: What only some formats have a place for: duration, episode, transcript, …; see
    #: articles/media.py for the names.
    extra: dict[str, Any] = Field(
        default_factory=dict, sa_type=stored_json(), sa_column_kwargs={"server_default": "{}"}
    )
    #: Why feeds leave this revision out (it cannot be serialised); None when all is well.
    set_aside: str | None = Field(default=None, sa_column=Column(Text))


#: Fields of filters that hold several texts and are looked up -> the columns they are in.
LABELLED = {"topic": "topics", "author": "authors"}
#: Characters of the longest text that is looked up.
LABEL_LENGTH = 200


class ArticleLabel(SQLModel, table=True):
    """A topic or author of a published article, so that those few have are found at once.

    Taken from the article whenever it changes; see articles/labels.py. Longer texts are left out.
    """

    __tablename__ = "article_label"
    __table_args__ = (Index("ix_article_label_seq", "seq"), {"sqlite_with_rowid": False})

    #: One of LABELLED.
    kind: str = Field(primary_key=True, max_length=10)
    value: str = Field(primary_key=True, max_length=LABEL_LENGTH)
    #: Publication number of the article, so that they stand in order.
    seq: int = Field(primary_key=True)


class StoryKeyKind(StrEnum):
    """What two articles have in common that may tell the same."""

    #: The address they say they stand at.
    ADDRESS = "address"
    #: The id they were given.
    GUID = "guid"
    #: Words of the title above a sentence of the body.
    TEXT = "text"


class StoryKey(SQLModel, table=True):
    """By what an article is found when another tells the same; see articles/story_keys.py."""

    __tablename__ = "story_key"
    __table_args__ = (Index("ix_story_key_article", "article_id"), {"sqlite_with_rowid": False})

    #: A digest of 63 bits.
    value: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    article_id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: StoryKeyKind = Field(sa_type=stored_enum(StoryKeyKind))
    #: The day the article bears, counted from 0001-01-01.
    day: int


class Counter(SQLModel, table=True):
    """A named counter row; its lock orders those who take numbers from it."""

    __tablename__ = "counter"

    name: str = Field(primary_key=True, max_length=50)
    value: int = 0


class Source(SQLModel, table=True):
    """What we remember of a source between scans."""

    __tablename__ = "source"

    key: str = Field(primary_key=True, max_length=100)
    first_complete_scan_at: datetime | None = None
    last_scan_at: datetime | None = None
    last_change_at: datetime | None = None
    #: Digest of the settings and the reader that its articles were last read with; None when they
    #: are all to be read again.
    read_with: str | None = Field(default=None, max_length=64)
    #: Why the last scan was refused as a whole; None when it was fine.
    error: str | None = Field(default=None, sa_column=Column(Text))


class SourceProblem(SQLModel, table=True):
    """An item of a source that could not become an article; its last good version stays."""

    __tablename__ = "source_problem"

    source: str = Field(primary_key=True, max_length=100)
    source_key: str = Field(primary_key=True, max_length=1000)
    fingerprint: str = Field(max_length=64)
    location: str = Field(max_length=2000)
    line: int | None = None
    reason: str = Field(sa_column=Column(Text, nullable=False))
    seen_at: datetime


def article_address(article: Article, base_url: str) -> str:
    """Where an article is read: its own address, or its page with us."""
    return article.url or f"{base_url}/articles/{article.slug}"


def as_problem(row: SourceProblem) -> Problem:
    """A stored problem as a value that says where and what."""
    return Problem(row.location, row.reason, row.line)
