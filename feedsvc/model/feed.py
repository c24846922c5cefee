"""Feed documents: the bytes readers are served, with the validators that belong to them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel


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


def document_path(feed_key: str, feed_format: FeedFormat) -> str:
    """Path below the base URL at which a feed document is served, without a leading slash."""
    return f"feeds/{feed_key}/{DOCUMENT_NAMES[feed_format]}"


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


@dataclass(frozen=True, slots=True)
class ServedDocument:
    """A document as the web serves it from memory."""

    path: str
    media_type: str
    etag: str
    last_modified: datetime
    body: bytes
    body_gzip: bytes
