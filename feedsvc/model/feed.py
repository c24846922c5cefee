"""Feeds: what is published, as which bytes, with which validators, and what is known of each."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from sqlalchemy import Column, Index, LargeBinary, Text, false
from sqlmodel import Field, SQLModel

from feedsvc.model.columns import stored_json


class FeedFormat(StrEnum):
    """The serialisations a feed can be published in."""

    #: RSS 2.0, `application/rss+xml`.
    RSS = "rss"
    #: Atom 1.0 (RFC 4287), `application/atom+xml`.
    ATOM = "atom"
    #: JSON Feed 1.1, `application/feed+json`.
    JSON = "json"


#: Media type and file name of each format below `/feeds/<key>/`.
MEDIA_TYPES: dict[FeedFormat, str] = {
    FeedFormat.RSS: "application/rss+xml; charset=utf-8",
    FeedFormat.ATOM: "application/atom+xml; charset=utf-8",
    FeedFormat.JSON: "application/feed+json; charset=utf-8",
}
DOCUMENT_NAMES: dict[FeedFormat, str] = {
    FeedFormat.RSS: "rss.xml",
    FeedFormat.ATOM: "atom.xml",
    FeedFormat.JSON: "feed.json",
}


@dataclass(frozen=True, slots=True)
class ArchiveName:
    """One version of one archive page of a feed; pages are counted upwards from the oldest."""

    number: int
    version: int


def document_path(
    feed_key: str, feed_format: FeedFormat, archive: ArchiveName | None = None
) -> str:
    """Path below the base URL at which a document is served, decoded, without a leading slash."""
    folder = f"feeds/{feed_key}"
    if archive is not None:
        folder += f"/archive/{archive.number}-{archive.version}"
    return f"{folder}/{DOCUMENT_NAMES[feed_format]}"


def document_url(
    base_url: str, feed_key: str, feed_format: FeedFormat, archive: ArchiveName | None = None
) -> str:
    """Address of a document as it is written in links (RFC 3986: percent-encoded UTF-8)."""
    return f"{base_url}/{quote(document_path(feed_key, feed_format, archive))}"


class Feed(SQLModel, table=True):
    """What is known of a feed that is, or ever was, published under a key."""

    __tablename__ = "feed"

    #: `all`, or `topics/科技` for one member of a family of feeds.
    key: str = Field(primary_key=True, max_length=100)
    #: Key of the family in the configuration, and the value this member is for; None for others.
    family: str | None = Field(default=None, max_length=50, index=True)
    value: str | None = Field(default=None, max_length=200)
    #: Digest of the settings its documents were made with; another one makes them again.
    made_with: str = Field(default="", max_length=64)
    #: The number of article changes its documents hold; see articles/changed.py.
    basis: int = 0
    #: When its window changes though no article does, because one grows too old for it.
    renew_at: datetime | None = None
    #: Why its documents could not be renewed; None when all is well.
    problem: str | None = Field(default=None, sa_column=Column(Text))
    #: The identity podcast directories know it by (`podcast:guid`): minted once, kept on moves.
    guid: str = Field(max_length=36)
    created_at: datetime


class FeedDocument(SQLModel, table=True):
    """One published document. `last_modified` moves forward by at least a second a version."""

    __tablename__ = "feed_document"

    feed: str = Field(primary_key=True, max_length=100)
    format: str = Field(primary_key=True, max_length=100)
    version: int = 1
    #: The number of article changes it was made after; see articles/changed.py.
    basis: int = 0
    #: Strong entity tag of the identity bytes, without quotes.
    etag: str = Field(max_length=64)
    last_modified: datetime
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    body_gzip: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    #: None until they are made.
    body_br: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    body_zstd: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    #: Whether the codings are as small as they get; before that they are as quick as they get.
    dense: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class FeedEntry(SQLModel, table=True):
    """Which articles a feed's documents hold: who is touched when one of them changes."""

    __tablename__ = "feed_entry"
    __table_args__ = (
        Index("ix_feed_entry_article", "article"),
        Index("ix_feed_entry_fragment", "fragment"),
    )

    feed: str = Field(primary_key=True, max_length=100)
    article: int = Field(primary_key=True)
    #: Key of the fragment its documents were joined from.
    fragment: str = Field(max_length=64)


class FeedFragment(SQLModel, table=True):
    """One entry as it was written once, in each format; kept while a feed holds it."""

    __tablename__ = "feed_fragment"

    #: Digest of everything its bytes depend on.
    key: str = Field(primary_key=True, max_length=64)
    updated_at: datetime
    rss: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    atom: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    json_item: bytes | None = Field(default=None, sa_column=Column("json", LargeBinary))


class FeedArchive(SQLModel, table=True):
    """One archive page (RFC 5005 §4): a range of publication numbers of a feed.

    The ranges of a feed follow each other without gaps, from 0 on. An edit or withdrawal within
    one makes a new version; addresses of older ones lead to it.
    """

    __tablename__ = "feed_archive"
    __table_args__ = (
        Index("ix_feed_archive_feed_to_seq", "feed", "to_seq"),
        Index("ix_feed_archive_range", "to_seq", "from_seq"),
    )

    feed: str = Field(primary_key=True, max_length=100)
    #: Counted upwards from the oldest; a number is never given to another page.
    number: int = Field(primary_key=True)
    #: It holds the feed's articles with from_seq < seq <= to_seq.
    from_seq: int
    to_seq: int
    version: int = 1
    #: The version of the page before it that this version links to; 0 where there is none.
    previous_version: int = 0
    #: Publication numbers of the articles it holds, in their order.
    seqs: list[int] = Field(default_factory=list, sa_type=stored_json())
    #: Digest of the entries it holds, to see that one has changed.
    digest: str = Field(max_length=64)
    #: Digest of the settings the feed's pages are made by. Empty: the page is gone, and its row
    #: keeps the count of pages.
    made_with: str = Field(max_length=64)
    last_modified: datetime


class FeedReader(SQLModel, table=True):
    """How many readers a hosted feed reader said it fetches a feed for, on a day (UTC)."""

    __tablename__ = "feed_reader"

    feed: str = Field(primary_key=True, max_length=100)
    #: ISO date.
    day: str = Field(primary_key=True, max_length=10)
    #: Name of the feed reader, such as Feedly, and its own id for the feed where it has several.
    agent: str = Field(primary_key=True, max_length=100)
    subscribers: int


class FeedClients(SQLModel, table=True):
    """A sketch of how many clients fetched a feed on a day (UTC): counts, but names nobody."""

    __tablename__ = "feed_clients"

    feed: str = Field(primary_key=True, max_length=100)
    #: ISO date.
    day: str = Field(primary_key=True, max_length=10)
    #: A bitmap for linear counting; which bit a client sets depends on a key of the service.
    bitmap: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


@dataclass(frozen=True, slots=True)
class ServedDocument:
    """A document as the web serves it from memory.

    `path` is decoded and has no leading slash; bodies are None where a coding has not been made.
    """

    path: str
    media_type: str
    etag: str
    last_modified: datetime
    body: bytes
    body_gzip: bytes
    body_br: bytes | None = None
    body_zstd: bytes | None = None
    #: Key of the feed; of an archive page, too.
    feed: str = ""
    #: Its own address, for `Link: rel="self"`.
    url: str = ""
    is_archive: bool = False
    #: As FeedDocument.version; 0 where there are none.
    version: int = 0
